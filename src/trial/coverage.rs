//! What of a playbook its tests have touched: steps that were taken, and conditions that were both true and false. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{play::Played, world::step_at};
use crate::{
    playbook::{Body, Playbook, Step},
    run::{StepRecord, StepState},
};

/// What of one playbook was touched.
#[derive(Debug, Clone)]
pub struct Coverage {
    /// Its name.
    pub playbook: String,
    /// Its steps, among them those that undo others.
    pub steps: Tally,
    /// Its conditions, each once as true and once as false, its cases and its lists.
    pub branches: Tally,
}

/// How many of how many.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many were touched.
    pub touched: usize,
    /// How many there are.
    pub all: usize,
    /// The others, each in a sentence with its line.
    pub missing: Vec<String>,
}

/// What was touched so far.
#[derive(Debug, Default)]
pub(super) struct Touched(BTreeSet<Mark>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Step(String),
    If(String, bool),
    Case(String, usize),
    Otherwise(String),
    Item(String),
    When(bool),
}

impl Coverage {
    pub(super) fn of(playbook: &Playbook, touched: &Touched) -> Self {
        let (steps, branches): (Vec<Mark>, Vec<Mark>) = marks(playbook).into_iter().partition(|mark| matches!(mark, Mark::Step(_)));
        let tally = |marks: Vec<Mark>| {
            let missing = marks.iter().filter(|mark| !touched.0.contains(mark)).map(|mark| mark.missing(&playbook.text));
            let missing: Vec<String> = missing.collect();
            Tally { touched: marks.len() - missing.len(), all: marks.len(), missing }
        };
        Self { playbook: playbook.name.clone(), steps: tally(steps), branches: tally(branches) }
    }

    /// How much of it was touched, in percent, rounded down: only all of it is 100.
    pub fn percent(&self) -> usize {
        let all = self.steps.all + self.branches.all;
        ((self.steps.touched + self.branches.touched) * 100).checked_div(all).unwrap_or(100)
    }
}

impl Touched {
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn add(&mut self, playbook: &Playbook, played: &Played) {
        if played.when.0 > 0 {
            self.0.insert(Mark::When(true));
        }
        if played.when.1 > 0 {
            self.0.insert(Mark::When(false));
        }
        for record in played.runs.iter().flat_map(|(_, steps)| steps) {
            // What another playbook does when it is called is a matter of its own tests.
            let Some((owner, step)) = step_at(playbook, &record.id) else { continue };
            if std::ptr::eq(owner, playbook) {
                self.add_step(step, record);
            }
        }
    }

    fn add_step(&mut self, step: &Step, record: &StepRecord) {
        let was_skipped = record.state == StepState::Skipped;
        let is_condition_broken = record.error.as_ref().is_some_and(|error| error.starts_with("`if`"));
        if step.condition.is_some() && !is_condition_broken {
            self.0.insert(Mark::If(step.id.clone(), !was_skipped));
        }
        match &step.body {
            Body::Switch { .. } if was_skipped && step.condition.is_some() => {}
            Body::Switch { .. } => drop(self.0.insert(match record.plan.get("case").and_then(Value::as_u64) {
                Some(case) => Mark::Case(step.id.clone(), usize::try_from(case).unwrap_or_default()),
                None => Mark::Otherwise(step.id.clone()),
            })),
            Body::Foreach { .. } => {
                if record.plan.get("items").and_then(Value::as_array).is_some_and(|items| !items.is_empty()) {
                    self.0.insert(Mark::Item(step.id.clone()));
                }
            }
            Body::Action { .. }
            | Body::Stop { .. }
            | Body::Parallel { .. }
            | Body::Script(_)
            | Body::Wait(_)
            | Body::Call { .. }
            | Body::Approval(_) => {}
        }
        if !was_skipped {
            self.0.insert(Mark::Step(step.id.clone()));
        }
    }
}

/// Everything that can be touched.
fn marks(playbook: &Playbook) -> Vec<Mark> {
    let mut marks = Vec::new();
    if playbook.trigger.alert().is_some_and(|trigger| trigger.when.is_some()) {
        marks.extend([Mark::When(true), Mark::When(false)]);
    }
    for step in playbook.every_step() {
        let id = || step.id.clone();
        marks.push(Mark::Step(id()));
        if let Some(rollback) = &step.rollback {
            marks.push(Mark::Step(rollback.step.id.clone()));
        }
        if step.condition.is_some() {
            marks.extend([Mark::If(id(), true), Mark::If(id(), false)]);
        }
        match &step.body {
            Body::Switch { cases, otherwise } => {
                marks.extend((0..cases.len()).map(|case| Mark::Case(id(), case)));
                // A switch that is skipped by its `if` cannot be told from one of which no case holds.
                if !otherwise.is_empty() || step.condition.is_none() {
                    marks.push(Mark::Otherwise(id()));
                }
            }
            Body::Foreach { .. } => marks.push(Mark::Item(id())),
            Body::Action { .. }
            | Body::Stop { .. }
            | Body::Parallel { .. }
            | Body::Script(_)
            | Body::Wait(_)
            | Body::Call { .. }
            | Body::Approval(_) => {}
        }
    }
    marks
}

impl Mark {
    fn missing(&self, text: &str) -> String {
        let (what, id) = match self {
            Self::Step(id) => (format!("`{id}` was never taken"), id),
            Self::If(id, value) => (format!("`if` of `{id}` was never {value}"), id),
            Self::Case(id, case) => (format!("case {} of `{id}` never held", case + 1), id),
            Self::Otherwise(id) => (format!("a case of `{id}` always held"), id),
            Self::Item(id) => (format!("the list of `{id}` was always empty"), id),
            Self::When(value) => return format!("`when` was never {value}, line {}", line_of_key(text, "when")),
        };
        format!("{what}, line {}", line_of_step(text, id))
    }
}

/// The line on which a step begins, as far as the text tells; 0 where it does not.
pub(super) fn line_of_step(text: &str, id: &str) -> usize {
    let id = id.strip_suffix(".rollback").unwrap_or(id);
    let is_named = |line: &str| {
        let after = line.split_once("id:").filter(|(before, _)| !before.ends_with(|it: char| it.is_alphanumeric() || it == '_'));
        let word = after.map(|(_, after)| after.trim_start().trim_start_matches(['"', '\'']));
        word.and_then(|word| word.strip_prefix(id)).is_some_and(|rest| !rest.starts_with(|it: char| it.is_alphanumeric() || it == '_'))
    };
    line_where(text, is_named)
}

/// The line on which a key stands first, as far as the text tells; 0 where it does not.
pub(super) fn line_of_key(text: &str, key: &str) -> usize {
    let (own, inside) = (format!("{key}:"), [format!("{{{key}:"), format!(" {key}:")]);
    match line_where(text, |line| line.starts_with(&own)) {
        0 => line_where(text, |line| !line.starts_with('#') && inside.iter().any(|it| line.contains(it))),
        line => line,
    }
}

/// The first line that is so, from 1; 0 where none is.
fn line_where(text: &str, is_it: impl Fn(&str) -> bool) -> usize {
    text.lines().position(|line| is_it(line.trim_start())).map_or(0, |at| at + 1)
}
