//! What an expression may read at its place in a playbook, and whether it reads anything else.
//!
//! What can be known at load is said at load: a misspelt field of the alert, a step that comes later, a table that is not there.

use std::ops::Range;

use super::{
    codes, fields,
    node::Node,
    reader::{Reader, did_you_mean, listed},
};
use crate::expression::{Chain, calls, chains};

/// The names at one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visible<'a> {
    pub(super) names: &'static [&'static str],
    /// The steps whose outcome is known here.
    pub(super) steps: &'a [String],
    /// All steps, for a better sentence about one that comes later.
    pub(super) all_steps: &'a [String],
    pub(super) vars: &'a [String],
}

/// In `when` and `dedup.key`.
pub(super) const IN_TRIGGER: &[&str] = &["alert"];
/// In `vars`.
pub(super) const IN_VARS: &[&str] = &["alert", "vars"];
/// In steps.
pub(super) const IN_STEPS: &[&str] = &["alert", "vars", "steps", "run"];
/// In the steps under `on_error`.
pub(super) const IN_ON_ERROR: &[&str] = &["alert", "vars", "steps", "run", "error"];

const OF_STEP: &[&str] = &["output", "status", "error"];
const OF_RUN: &[&str] = &["id", "playbook"];
const OF_ERROR: &[&str] = &["step", "message"];

impl Visible<'_> {
    /// Only the alert.
    pub(super) const fn in_trigger() -> Self {
        Self { names: IN_TRIGGER, steps: &[], all_steps: &[], vars: &[] }
    }

    /// Reports what an expression reads that is not there. The expression starts at `start` of the node's value.
    pub(super) fn check(&self, reader: &mut Reader<'_>, node: &Node, text: &str, start: usize) {
        let place = |reader: &Reader<'_>, span: &Range<usize>| reader.span_inside(node, &(start + span.start..start + span.end));
        for chain in chains(text) {
            for (word, span, code, what, known) in self.faults(reader, &chain) {
                let place = place(reader, &span);
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let help = did_you_mean(&word, known.iter().copied())
                    .or_else(|| (!known.is_empty()).then(|| format!("known here: {}", listed(&known))));
                reader.report_with_help(code, &place, what, help);
            }
        }
        let tables: Vec<String> = reader.sandbox.tables().map(ToOwned::to_owned).collect();
        for (table, span) in calls(text, "lookup") {
            if !tables.contains(&table) {
                let place = place(reader, &span);
                let help = did_you_mean(&table, tables.iter().map(String::as_str));
                reader.report_with_help(codes::UNKNOWN_REFERENCE, &place, format!("there is no lookup table `{table}`"), help);
            }
        }
    }

    fn faults(&self, reader: &Reader<'_>, chain: &Chain) -> Vec<Fault> {
        let path = chain.path();
        let word = |at: usize| chain.words.get(at).cloned().unwrap_or_default();
        let fault = |at: usize, code, what: String, known: Vec<String>| vec![(word(at).0, word(at).1, code, what, known)];
        let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        match path.as_slice() {
            [] => function_fault(reader, chain),
            ["alert", field, ..] if !fields::is_known(field) => {
                fault(1, codes::UNKNOWN_FIELD, format!("an alert has no `{field}`"), fields::names().map(ToOwned::to_owned).collect())
            }
            ["vars", name, ..] if !self.has(self.vars, name) => {
                fault(1, codes::UNKNOWN_REFERENCE, format!("there is no variable `{name}` here"), self.vars.to_vec())
            }
            ["steps", id, ..] if !self.has(self.steps, id) => {
                if self.has(self.all_steps, id) {
                    return fault(1, codes::UNKNOWN_REFERENCE, format!("the step `{id}` has not been taken here"), Vec::new());
                }
                fault(1, codes::UNKNOWN_REFERENCE, format!("there is no step `{id}`"), self.steps.to_vec())
            }
            ["steps", _, part, ..] if !OF_STEP.contains(part) => {
                fault(2, codes::UNKNOWN_REFERENCE, format!("a step has no `{part}`"), owned(OF_STEP))
            }
            ["run", part, ..] if !OF_RUN.contains(part) => {
                fault(1, codes::UNKNOWN_REFERENCE, format!("a run has no `{part}`"), owned(OF_RUN))
            }
            ["error", part, ..] if !OF_ERROR.contains(part) => {
                fault(1, codes::UNKNOWN_REFERENCE, format!("an error has no `{part}`"), owned(OF_ERROR))
            }
            _ => Vec::new(),
        }
    }

    #[expect(clippy::unused_self, reason = "it reads better beside its callers")]
    fn has(&self, known: &[String], name: &str) -> bool {
        known.iter().any(|it| it == name)
    }
}

/// The word, its bytes, the code, the sentence, and what there is instead.
type Fault = (String, Range<usize>, &'static str, String, Vec<String>);

fn function_fault(reader: &Reader<'_>, chain: &Chain) -> Vec<Fault> {
    let [(name, span)] = chain.words.as_slice() else { return Vec::new() };
    if reader.sandbox.has_function(name) {
        return Vec::new();
    }
    let known = reader.sandbox.functions().map(ToOwned::to_owned).collect();
    vec![(name.clone(), span.clone(), codes::UNKNOWN_FUNCTION, format!("there is no function `{name}`"), known)]
}
