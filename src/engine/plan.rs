//! What a step is about to do: its condition evaluated and its arguments rendered from what is recorded. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::machine::{self, Frame};
use crate::{
    approval::{ApprovalState, Decided},
    expression::{ExpressionError, Scope},
    playbook::{Body, OnError, Planned, Step, Verify},
    run::{Class, RunRecord, StepRecord, StepState},
};

/// What a step may look at.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Sight<'a> {
    /// The alert; nothing for a run that was not begun by one.
    pub alert: &'a Value,
    /// All alerts of a group.
    pub alerts: &'a Value,
    pub run: &'a RunRecord,
    pub steps: &'a [StepRecord],
}

/// The record of a step that begins: planned, under way, or ended at once because there is nothing to wait for.
pub fn plan(step: &Step, frame: &Frame<'_>, sight: Sight<'_>, now: Timestamp) -> StepRecord {
    let mut record = blank(step, frame, sight, now);
    let planned = match &frame.undoes {
        Some(undone) if takes_nothing(step) => Ok(Planned::Act(undone.plan.clone())),
        Some(_) | None => step.plan(frame.playbook, &mut scope(frame, sight, now), now),
    };
    match planned {
        Ok(Planned::Act(arguments)) => {
            record.plan = arguments;
            return record;
        }
        Ok(Planned::Until(moment)) => wait(&mut record, Value::Null, moment),
        Ok(Planned::Ask { question, until }) => wait(&mut record, question, until),
        Ok(Planned::Case(case)) => contain(&mut record, json!({ "case": case })),
        Ok(Planned::Each(items)) => contain(&mut record, json!({ "items": items })),
        Ok(Planned::Branches) => contain(&mut record, Value::Null),
        Ok(Planned::Call { inputs, vars }) => contain(&mut record, json!({"inputs": inputs, "vars": vars})),
        Ok(Planned::Skip) => end(&mut record, StepState::Skipped, Value::Null, now),
        Ok(Planned::Stop { outcome, reason }) => {
            end(&mut record, StepState::Succeeded, machine::stop_output(outcome, &reason), now);
        }
        Ok(Planned::Computed(output)) => end(&mut record, StepState::Succeeded, output, now),
        Err(error) => {
            record.error = Some(error.to_string());
            end(&mut record, StepState::Failed, Value::Null, now);
        }
    }
    record
}

/// What an `approval` step leaves behind in shadow mode: nobody is asked, and the run shows all that would be done if they agreed.
pub fn assume(record: &mut StepRecord, now: Timestamp) {
    record.due_at = None;
    end(record, StepState::Shadowed, Decided::by_nobody(ApprovalState::Approved, "assumed: nobody is asked in shadow mode").output(), now);
}

/// The record of a call whose playbook has ended: its output is what that gives back.
pub fn give_back(step: &Step, frame: &Frame<'_>, mut record: StepRecord, sight: Sight<'_>, now: Timestamp) -> StepRecord {
    let Body::Call { playbook: name, .. } = &step.body else { return record };
    let Some(called) = frame.playbook.called(name) else { return record };
    let inner = frame.called(called, &record);
    let output = called.output.as_ref().map_or(Ok(Value::Null), |output| output.render(&mut scope(&inner, sight, now)));
    match output {
        Ok(output) => end(&mut record, StepState::Succeeded, output, now),
        Err(error) => {
            record.error = Some(format!("`output` of the playbook `{name}`: {error}"));
            end(&mut record, StepState::Failed, Value::Null, now);
        }
    }
    record
}

/// Gives a step that failed the output that its author wrote for that case.
pub fn fall_back(step: &Step, frame: &Frame<'_>, record: &mut StepRecord, sight: Sight<'_>, now: Timestamp) {
    let (StepState::Failed, OnError::Instead(output)) = (record.state, &step.on_error) else { return };
    let mut scope = scope(frame, sight, now);
    scope.set("error", &json!({"step": record.id, "message": record.error.as_deref().unwrap_or_default()}));
    match output.render(&mut scope) {
        Ok(output) => record.output = output,
        Err(error) => record.error = Some(format!("{}; and `on_error`: {error}", record.error.as_deref().unwrap_or_default())),
    }
}

/// The parameters of the action that finds out what a step did.
///
/// # Errors
/// One of their expressions fails.
pub fn inquiry(verify: &Verify, frame: &Frame<'_>, sight: Sight<'_>, now: Timestamp) -> Result<Value, ExpressionError> {
    verify.with.render(&mut scope(frame, sight, now))
}

/// Whether what was read shows that the step happened.
///
/// # Errors
/// The condition fails.
pub fn is_reached(verify: &Verify, frame: &Frame<'_>, output: &Value, sight: Sight<'_>, now: Timestamp) -> Result<bool, ExpressionError> {
    let mut scope = scope(frame, sight, now);
    scope.set("output", output);
    verify.reached.boolean(&mut scope)
}

fn takes_nothing(step: &Step) -> bool {
    matches!(&step.body, Body::Action { with, .. } if with.constant().and_then(Value::as_object).is_some_and(Map::is_empty))
}

fn wait(record: &mut StepRecord, plan: Value, until: Timestamp) {
    record.plan = plan;
    record.state = StepState::Waiting;
    record.due_at = Some(until);
}

fn contain(record: &mut StepRecord, plan: Value) {
    record.plan = plan;
    record.state = StepState::Running;
}

fn end(record: &mut StepRecord, state: StepState, output: Value, now: Timestamp) {
    record.state = state;
    record.output = output;
    record.ended_at = Some(now);
}

/// The record of a step of which nothing is known yet.
pub(super) fn blank(step: &Step, frame: &Frame<'_>, sight: Sight<'_>, now: Timestamp) -> StepRecord {
    let class = if let Body::Action { entry, .. } = &step.body { entry.class } else { Class::Read };
    let path = frame.path(step);
    StepRecord {
        request_id: sight.run.id.request_id(&path),
        id: path,
        within: frame.playbooks().map(|playbook| playbook.name.as_str()).collect::<Vec<_>>().join("/"),
        position: u32::try_from(sight.steps.len()).unwrap_or(u32::MAX),
        action: step.body.word().to_owned(),
        class,
        state: StepState::Planned,
        plan: Value::Null,
        output: Value::Null,
        error: None,
        precondition: None,
        target: None,
        attempts: 0,
        uncertain: false,
        first_intent_at: None,
        due_at: None,
        started_at: now,
        ended_at: None,
        refused_at: None,
        returns_at: None,
        decided: None,
    }
}

/// The names that a step's expressions see.
pub(super) fn scope(frame: &Frame<'_>, sight: Sight<'_>, now: Timestamp) -> Scope {
    let mut scope = Scope::new(now);
    // A called playbook sees what it was given, and nothing of the run that called it.
    if let Some(given) = &frame.given {
        scope.set("inputs", given.get("inputs").unwrap_or(&Value::Null));
        scope.set("vars", given.get("vars").unwrap_or(&Value::Null));
    } else {
        scope.set("alert", sight.alert);
        scope.set("alerts", sight.alerts);
        scope.set("inputs", &sight.run.inputs);
        scope.set("vars", &sight.run.vars);
    }
    scope.set("run", &json!({"id": sight.run.id, "playbook": sight.run.playbook}));
    scope.set("steps", &Value::Object(steps(frame, sight.steps)));
    for (name, item) in &frame.items {
        scope.set(name, item);
    }
    let error = match machine::trouble(frame, sight.steps) {
        Some(trouble) => json!({"step": trouble.id, "message": trouble.error.as_deref().unwrap_or_default()}),
        None => json!({"step": "", "message": "the run did not end in time"}),
    };
    scope.set("error", &error);
    scope
}

/// The steps that can be seen from a sequence: those of the sequences around it, and for a step that lies in a list, that of the same item.
fn steps(frame: &Frame<'_>, records: &[StepRecord]) -> Map<String, Value> {
    let mut seen: Map<String, Value> = frame
        .playbook
        .every_step()
        .into_iter()
        .map(|step| (step.id.clone(), json!({"output": null, "status": "not_taken", "error": ""})))
        .collect();
    for record in records {
        let (prefix, id) = record.id.rsplit_once('/').map_or(("", record.id.as_str()), |(before, id)| (before, id));
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        if prefix.starts_with(&frame.base) && frame.prefix.starts_with(&prefix) {
            seen.insert(
                id.to_owned(),
                json!({"output": record.output, "status": record.state, "error": record.error.as_deref().unwrap_or_default()}),
            );
        }
    }
    seen
}
