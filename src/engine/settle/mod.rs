//! A person settles what nobody knows: whether a step in doubt happened. Pure: what becomes of the records; the store writes them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    machine,
    plan::{self, Sight},
};
use crate::{
    playbook::Playbook,
    run::{StepRecord, StepState},
};

/// What a person found out about a step in doubt, or decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// It happened; this is its output, for the steps that follow.
    Happened(Value),
    /// It did not happen.
    DidNot,
}

/// The steps that nobody but a person can decide about; not those around them, which only wait for that.
pub fn in_doubt<'a>(playbook: &Playbook, steps: &'a [StepRecord]) -> Vec<&'a StepRecord> {
    let doubtful = |record: &&StepRecord| record.may_have_happened();
    let is_around = |outer: &StepRecord| steps.iter().filter(doubtful).any(|inner| lies_in(playbook, steps, &inner.id, &outer.id));
    steps.iter().filter(doubtful).filter(|record| !is_around(record)).collect()
}

/// The records that change when a step in doubt is settled: its own, and those of the steps around it, which go on.
///
/// A step that failed has the output that its author wrote for that case, as if it had failed by itself.
pub fn settle(
    playbook: &Playbook,
    sight: Sight<'_>,
    (step, finding): (&StepRecord, &Finding),
    (who, reason): (&str, &str),
    now: Timestamp,
) -> Vec<StepRecord> {
    let written = machine::find(playbook, sight.steps, &step.id);
    let mut own = StepRecord { uncertain: false, due_at: None, ended_at: Some(now), ..step.clone() };
    match finding {
        Finding::Happened(output) => {
            own.state = StepState::Succeeded;
            own.error = None;
            own.output = if output.is_null() { json!({"settled": "happened", "by": who, "reason": reason}) } else { output.clone() };
        }
        Finding::DidNot => {
            own.state = StepState::Failed;
            own.error = Some(format!("it did not happen: {who} found that out: {reason}"));
            if let Some((written, frame)) = &written {
                plan::fall_back(written, frame, &mut own, sight, now);
            }
        }
    }
    if let Some((written, _)) = &written {
        machine::set_return(written, &mut own);
    }
    let doubtful = sight.steps.iter().filter(|outer| outer.state == StepState::Indeterminate);
    let around = doubtful.filter(|outer| lies_in(playbook, sight.steps, &step.id, &outer.id));
    let around =
        around.map(|outer| StepRecord { state: StepState::Running, output: Value::Null, error: None, ended_at: None, ..outer.clone() });
    std::iter::once(own).chain(around).collect()
}

/// Whether one step lies inside another: in an item of its list, in the playbook that it calls, in one of its cases or branches.
fn lies_in(playbook: &Playbook, steps: &[StepRecord], inner: &str, outer: &str) -> bool {
    if inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['/', '['])) {
        return true;
    }
    // Cases and branches leave no mark in a path.
    let around = outer.rfind('/').map_or("", |at| outer.split_at(at + 1).0);
    let next = inner.strip_prefix(around).and_then(|rest| rest.split(['/', '[']).next());
    let written = machine::find(playbook, steps, outer).map(|(step, _)| step);
    next.zip(written).is_some_and(|(next, step)| step.id != next && step.and_inner().iter().any(|inner| inner.id == next))
}

#[cfg(test)]
mod tests;
