//! The names that a test uses: steps, actions, approvals and tables must be there. A mock for a misspelt step would answer nobody, and a call
//! of a misspelt action never happens.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    format::{Crash, OneOrMany, Test, Tests},
    world::id_of,
};
use crate::{
    actions,
    playbook::{Body, Library, Playbook},
    problem::did_you_mean,
    secret::{Secret, Secrets},
};

/// What can be named.
struct Known<'a> {
    steps: BTreeSet<String>,
    approvals: BTreeSet<String>,
    /// What steps are looked for with.
    verifies: BTreeSet<String>,
    /// Those that can be undone, and those that are undone by themselves.
    undoable: BTreeSet<String>,
    returning: BTreeSet<String>,
    actions: Vec<&'static str>,
    tables: Vec<&'a str>,
    secrets: BTreeSet<String>,
}

/// The first name in the defaults that is not there, in a sentence.
///
/// # Errors
/// The sentence.
pub(super) fn check_defaults(tests: &Tests, playbook: &Playbook, library: &Library) -> Result<(), String> {
    let known = Known::of(playbook, library);
    known.callable("mocks", tests.defaults.mocks.keys())?;
    known.tables("lookups", tests.defaults.lookups.keys())?;
    known.secrets(&tests.defaults.secrets)
}

/// The first name in a test that is not there, in a sentence.
///
/// # Errors
/// The sentence.
pub(super) fn check(test: &Test, playbook: &Playbook, library: &Library) -> Result<(), String> {
    let known = Known::of(playbook, library);
    let expect = &test.expect;
    known.callable("mocks", test.mocks.keys())?;
    known.tables("lookups", test.lookups.keys())?;
    known.secrets(&test.secrets)?;
    Known::among("approvals", &known.approvals, test.approvals.keys())?;
    Known::among("rollback", &known.undoable, test.rollback.keys())?;
    Known::among("keep", &known.returning, test.keep.keys())?;
    if let Some(Crash::BeforeCall(step) | Crash::AfterCall(step)) = &test.crash {
        Known::among("crash", &known.steps, [step])?;
    }
    Known::among("steps", &known.steps, expect.steps.keys())?;
    Known::among("outputs", &known.steps, expect.outputs.keys())?;
    let calls = expect.calls.iter().flatten();
    Known::among("calls", &known.steps, calls.clone().filter_map(|call| call.step.as_ref()))?;
    known.actions("calls", calls.filter_map(|call| call.action.as_ref()))?;
    known.callable("never_calls", expect.never_calls.iter())?;
    match &expect.outcome {
        Some(OneOrMany(outcomes)) if outcomes.len() > 1 && expect.runs.is_some_and(|runs| runs != outcomes.len()) => {
            Err(format!("`outcome` lists {} outcomes, and `runs` is another number", outcomes.len()))
        }
        Some(_) | None => Ok(()),
    }
}

impl<'a> Known<'a> {
    fn of(playbook: &Playbook, library: &'a Library) -> Self {
        let mut known = Self {
            steps: BTreeSet::new(),
            approvals: BTreeSet::new(),
            verifies: BTreeSet::new(),
            undoable: BTreeSet::new(),
            returning: BTreeSet::new(),
            actions: actions::CATALOG.iter().map(|entry| entry.name).collect(),
            tables: library.sandbox.tables().collect(),
            secrets: playbook.secrets().into_iter().map(ToOwned::to_owned).collect(),
        };
        known.add(playbook);
        known
    }

    /// The steps of a playbook and of those that it calls.
    fn add(&mut self, playbook: &Playbook) {
        for step in playbook.every_step() {
            self.steps.insert(step.id.clone());
            if let Some(rollback) = &step.rollback {
                self.steps.insert(rollback.step.id.clone());
                self.undoable.insert(step.id.clone());
                self.returning.extend(rollback.after.map(|_| step.id.clone()));
            }
            self.verifies.extend(step.verify.as_ref().map(|_| format!("{}.verify", step.id)));
            if matches!(step.body, Body::Approval(_)) {
                self.approvals.insert(step.id.clone());
            }
        }
        playbook.called.values().for_each(|called| self.add(called));
    }

    fn among<'n>(what: &str, known: &BTreeSet<String>, names: impl IntoIterator<Item = &'n String>) -> Result<(), String> {
        let unknown = names.into_iter().find(|name| !known.contains(id_of(name)));
        unknown.map_or(Ok(()), |name| Err(told(what, name, "step", known.iter().map(String::as_str))))
    }

    /// Steps, actions, and groups of actions.
    fn callable<'n>(&self, what: &str, names: impl IntoIterator<Item = &'n String>) -> Result<(), String> {
        let is_group = |name: &str| {
            let group = name.strip_suffix('*').filter(|group| group.ends_with('.'));
            group.is_some_and(|group| self.actions.iter().any(|action| action.starts_with(group)))
        };
        let is_called = |name: &str| self.steps.contains(name) || self.verifies.contains(name);
        let is_known = |name: &str| is_called(id_of(name)) || self.actions.contains(&name) || is_group(name);
        let unknown = names.into_iter().find(|name| !is_known(name));
        let known = self.steps.iter().chain(&self.verifies).map(String::as_str).chain(self.actions.iter().copied());
        unknown.map_or(Ok(()), |name| Err(told(what, name, "step and no action", known)))
    }

    fn actions<'n>(&self, what: &str, names: impl IntoIterator<Item = &'n String>) -> Result<(), String> {
        let unknown = names.into_iter().find(|name| !self.actions.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| Err(told(what, name, "action", self.actions.iter().copied())))
    }

    /// Secrets that the playbook sends, with values that can stand for one.
    fn secrets(&self, said: &BTreeMap<String, String>) -> Result<(), String> {
        if let Some(name) = said.keys().find(|name| !self.secrets.contains(*name)) {
            return Err(told("secrets", name, "step that sends a secret", self.secrets.iter().map(String::as_str)));
        }
        let values = said.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str())));
        Secrets::of(values).map(drop).map_err(|why| format!("`secrets`: {why}"))
    }

    fn tables<'n>(&self, what: &str, names: impl IntoIterator<Item = &'n String>) -> Result<(), String> {
        let unknown = names.into_iter().find(|name| !self.tables.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| Err(told(what, name, "table", self.tables.iter().copied())))
    }
}

fn told<'k>(what: &str, name: &str, kind: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    let help = did_you_mean(name, known.clone());
    let help = help.unwrap_or_else(|| format!("there are `{}`", known.collect::<Vec<_>>().join("`, `")));
    format!("`{what}`: there is no {kind} `{name}`; {help}")
}
