//! What a step is about to do: its condition evaluated and its arguments rendered from what is recorded. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::machine;
use crate::{
    expression::Scope,
    playbook::{Body, Planned, Playbook, Step},
    run::{Class, RunRecord, StepRecord, StepState},
};

/// What a step may look at.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Sight<'a> {
    pub playbook: &'a Playbook,
    pub alert: &'a Value,
    pub run: &'a RunRecord,
    pub steps: &'a [StepRecord],
}

/// The record of a step that begins: planned, or ended at once because it is skipped, stops the run, or cannot be evaluated.
pub fn plan(step: &Step, sight: Sight<'_>, now: Timestamp) -> StepRecord {
    let mut record = blank(step, sight, now);
    match step.plan(&mut scope(sight, now)) {
        Ok(Planned::Act(arguments)) => {
            record.plan = arguments;
            return record;
        }
        Ok(Planned::Skip) => record.state = StepState::Skipped,
        Ok(Planned::Stop { outcome, reason }) => {
            record.state = StepState::Succeeded;
            record.output = machine::stop_output(outcome, &reason);
        }
        Err(error) => {
            record.state = StepState::Failed;
            record.error = Some(error.to_string());
        }
    }
    record.ended_at = Some(now);
    record
}

fn blank(step: &Step, sight: Sight<'_>, now: Timestamp) -> StepRecord {
    let (action, class) = match &step.body {
        Body::Action { entry, .. } => (entry.name, entry.class),
        Body::Stop { .. } => (machine::STOP, Class::Read),
    };
    StepRecord {
        id: step.id.clone(),
        position: u32::try_from(sight.steps.len()).unwrap_or(u32::MAX),
        action: action.to_owned(),
        class,
        state: StepState::Planned,
        plan: Value::Null,
        output: Value::Null,
        error: None,
        request_id: sight.run.id.request_id(&step.id),
        precondition: None,
        target: None,
        attempts: 0,
        uncertain: false,
        first_intent_at: None,
        due_at: None,
        started_at: now,
        ended_at: None,
    }
}

/// The names that a step's expressions see.
fn scope(sight: Sight<'_>, now: Timestamp) -> Scope {
    let mut scope = Scope::new(now);
    scope.set("alert", sight.alert);
    scope.set("vars", &sight.run.vars);
    scope.set("run", &json!({"id": sight.run.id, "playbook": sight.run.playbook, "alert": sight.run.alert}));
    let steps: Map<String, Value> = sight.steps.iter().map(|step| (step.id.clone(), seen(step))).collect();
    scope.set("steps", &Value::Object(steps));
    if let Some(trouble) = machine::trouble(sight.playbook, sight.steps) {
        scope.set("error", &json!({"step": trouble.id, "message": trouble.error.as_deref().unwrap_or_default()}));
    } else {
        scope.set("error", &json!({"step": "", "message": "the run did not end in time"}));
    }
    scope
}

fn seen(step: &StepRecord) -> Value {
    json!({"output": step.output, "status": step.state, "error": step.error.as_deref().unwrap_or_default()})
}
