//! What an expression may read at its place in a playbook, and whether it reads anything else.
//!
//! What can be known at load is said at load: a misspelt field of the alert, a step that comes later, a table that is not there.

use std::{ops::Range, sync::Arc};

use super::{
    codes, fields,
    node::Node,
    outline::Outline,
    reader::{Reader, listed},
};
use crate::expression::{Chain, calls, chains};
use crate::problem::did_you_mean;

/// The names at one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Visible {
    pub(super) names: Vec<String>,
    /// The steps whose outcome is known here.
    pub(super) steps: Vec<Seen>,
    pub(super) vars: Vec<String>,
    pub(super) inputs: Vec<String>,
    /// The steps that a condition around this place has asked about, and which may then be read.
    pub(super) asked: Vec<String>,
    /// All steps, for a better sentence about one that is not known here.
    pub(super) outline: Arc<Outline>,
    /// How many steps lie around this place.
    pub(super) depth: usize,
    /// Whether a `foreach` is around this place.
    pub(super) is_in_each: bool,
    /// Whether secrets may stand here.
    pub(super) takes_secrets: bool,
}

/// A step that was passed.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    id: String,
    /// Whether it has run for certain.
    is_certain: bool,
}

/// A name that expressions can read, where it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readable {
    /// The name.
    pub name: &'static str,
    /// What it holds, in a few words.
    pub holds: &'static str,
    /// What can stand after it, where that is the same everywhere.
    pub parts: &'static [&'static str],
}

/// The names that expressions can read, which a list's items must not take.
pub const READABLE: &[Readable] = &[
    Readable { name: "alert", holds: "the alert with its fields", parts: &[] },
    Readable { name: "alerts", holds: "all alerts of the run", parts: &[] },
    Readable { name: "vars", holds: "the variables", parts: &[] },
    Readable { name: "steps", holds: "the steps that were taken before, by their ids", parts: &[] },
    Readable { name: "run", holds: "the run", parts: OF_RUN },
    Readable { name: "inputs", holds: "what the playbook was given", parts: &[] },
    Readable { name: "error", holds: "what failed", parts: OF_ERROR },
    Readable { name: "output", holds: "what `verify` read", parts: &[] },
];

/// What can stand after the id of a step.
pub const OF_STEP: &[&str] = &["output", "status", "error"];
const OF_RUN: &[&str] = &["id", "playbook"];
const OF_ERROR: &[&str] = &["step", "message"];

impl Visible {
    /// Only these names.
    pub(super) fn of(names: &[&str]) -> Self {
        Self { names: names.iter().map(|it| (*it).to_owned()).collect(), ..Self::default() }
    }

    /// The same and one more name.
    pub(super) fn with(&self, name: &str) -> Self {
        let mut more = self.clone();
        more.names.push(name.to_owned());
        more
    }

    /// The same where secrets may stand, too.
    pub(super) fn with_secrets(&self) -> Self {
        Self { takes_secrets: true, ..self.clone() }
    }

    /// Inside a step.
    pub(super) fn deeper(&self) -> Self {
        Self { depth: self.depth + 1, ..self.clone() }
    }

    /// The step was passed.
    pub(super) fn pass(&mut self, id: &str) {
        let outline = Arc::clone(&self.outline);
        self.see(outline.seen_after(id));
    }

    pub(super) fn see(&mut self, seen: Vec<(&str, bool)>) {
        self.steps.extend(seen.into_iter().map(|(id, is_certain)| Seen { id: id.to_owned(), is_certain }));
    }

    /// Nothing that was passed has run for certain.
    pub(super) fn doubt_all(&mut self) {
        self.steps.iter_mut().for_each(|step| step.is_certain = false);
    }

    /// A condition on this text holds from here on, or has been asked.
    pub(super) fn ask(&mut self, condition: &str) {
        let asked = chains(condition).into_iter().filter_map(|chain| match chain.path().as_slice() {
            ["steps", id, ..] => Some((*id).to_owned()),
            _ => None,
        });
        self.asked.extend(asked);
    }

    /// Reports what an expression reads that is not there. The expression starts at `start` of the node's value.
    pub(super) fn check(&self, reader: &mut Reader<'_>, node: &Node, text: &str, start: usize) {
        let place = |reader: &Reader<'_>, span: &Range<usize>| reader.span_inside(node, &(start + span.start..start + span.end));
        let chains = chains(text);
        for chain in &chains {
            if let Some(Fault { word, span, code, what, known, help }) = self.fault(reader, chain) {
                let place = place(reader, &span);
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let help = help
                    .or_else(|| did_you_mean(&word, known.iter().copied()))
                    .or_else(|| (!known.is_empty()).then(|| format!("known here: {}", listed(&known))));
                reader.report_with_help(code, &place, what, help);
            } else if let Some((id, span)) = self.doubtful(text, chain, &chains) {
                let place = place(reader, &span);
                let what = format!("the step `{id}` may not have run here, and then has no output");
                let help =
                    format!("ask first, as in `if: steps.{id}.status == \"succeeded\"`, or read it with `?.` and a default after `??`");
                reader.warn_with_help(codes::MAY_NOT_HAVE_RUN, &place, what, help);
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

    /// A plain reading inside the output of a step that may not have run, where nothing has asked whether it did.
    fn doubtful(&self, text: &str, chain: &Chain, all: &[Chain]) -> Option<(String, Range<usize>)> {
        let (id, span) = read_plainly(text, chain)?;
        let seen = self.steps.iter().find(|step| step.id == id)?;
        let asks = |other: &Chain| other.path().starts_with(&["steps", &id]) && read_plainly(text, other).is_none();
        let is_asked = self.asked.contains(&id) || all.iter().any(asks);
        (!seen.is_certain && !is_asked).then_some((id, span))
    }

    fn fault(&self, reader: &Reader<'_>, chain: &Chain) -> Option<Fault> {
        let path = chain.path();
        let fault = |at: usize, code, what: String, known: Vec<String>| {
            let (word, span) = chain.words.get(at)?.clone();
            Some(Fault { word, span, code, what, known, help: None })
        };
        let unknown = |at: usize, what: String, known: Vec<String>| fault(at, codes::UNKNOWN_REFERENCE, what, known);
        let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        match path.as_slice() {
            [] => function_fault(reader, chain),
            ["alert", field, ..] if !fields::is_known(field) => {
                fault(1, codes::UNKNOWN_FIELD, format!("an alert has no `{field}`"), fields::names().map(ToOwned::to_owned).collect())
            }
            ["vars", name, ..] if !has(&self.vars, name) => unknown(1, format!("there is no variable `{name}` here"), self.vars.clone()),
            ["inputs", name, ..] if !has(&self.inputs, name) => unknown(1, format!("there is no input `{name}`"), self.inputs.clone()),
            ["steps", id, ..] if !self.steps.iter().any(|step| step.id == *id) => {
                let (what, help) = self.unseen(id);
                let known = if help.is_some() || self.outline.get(id).is_some() { Vec::new() } else { self.step_names() };
                unknown(1, what, known).map(|fault| Fault { help, ..fault })
            }
            ["steps", _, part, ..] if !OF_STEP.contains(part) => unknown(2, format!("a step has no `{part}`"), owned(OF_STEP)),
            ["run", part, ..] if !OF_RUN.contains(part) => unknown(1, format!("a run has no `{part}`"), owned(OF_RUN)),
            ["error", part, ..] if !OF_ERROR.contains(part) => unknown(1, format!("an error has no `{part}`"), owned(OF_ERROR)),
            _ => None,
        }
    }

    /// Why a step cannot be read here, and what to read instead.
    fn unseen(&self, id: &str) -> (String, Option<String>) {
        match (self.outline.get(id), self.outline.each_around(id)) {
            (Some(_), Some(each)) if self.steps.iter().any(|step| step.id == each) => (
                format!("the step `{id}` runs once for every item of `{each}`, and cannot be read outside of it"),
                Some(format!("`steps.{each}.output` is a list with the outputs for every item")),
            ),
            (Some(_), _) => (format!("the step `{id}` has not been taken here"), None),
            (None, _) => (format!("there is no step `{id}`"), None),
        }
    }

    fn step_names(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.id.clone()).collect()
    }
}

fn has(known: &[String], name: &str) -> bool {
    known.iter().any(|it| it == name)
}

/// The step inside whose output a chain reads without `?.`, and the bytes of that.
fn read_plainly(text: &str, chain: &Chain) -> Option<(String, Range<usize>)> {
    let [(steps, _), (id, first), (output, before), (_, after), ..] = chain.words.as_slice() else { return None };
    let between = text.get(before.end..after.start).unwrap_or_default();
    (steps == "steps" && output == "output" && !between.contains('?')).then(|| (id.clone(), first.start..after.end))
}

/// What an expression reads that is not there.
struct Fault {
    word: String,
    span: Range<usize>,
    code: &'static str,
    what: String,
    /// What there is instead.
    known: Vec<String>,
    help: Option<String>,
}

fn function_fault(reader: &Reader<'_>, chain: &Chain) -> Option<Fault> {
    let [(name, span)] = chain.words.as_slice() else { return None };
    if reader.sandbox.has_function(name) {
        return None;
    }
    let known = reader.sandbox.functions().map(ToOwned::to_owned).collect();
    let what = format!("there is no function `{name}`");
    Some(Fault { word: name.clone(), span: span.clone(), code: codes::UNKNOWN_FUNCTION, what, known, help: None })
}
