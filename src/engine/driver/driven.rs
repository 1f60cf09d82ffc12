//! A run in memory, as recorded: what its steps and actions see of it, and what its steps make of it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    actions::{Context, Services},
    alert::Alert,
    engine::{
        machine::{self, Next},
        plan::Sight,
    },
    playbook::Playbook,
    run::{RunRecord, RunState, StepRecord},
};

/// A run in memory, as recorded.
pub(super) struct Driven {
    pub(super) run: RunRecord,
    pub(super) steps: Vec<StepRecord>,
    pub(super) playbook: Arc<Playbook>,
    pub(super) alert: Alert,
    pub(super) alert_value: Value,
}

impl Driven {
    pub(super) fn sight(&self) -> Sight<'_> {
        Sight { playbook: &self.playbook, alert: &self.alert_value, run: &self.run, steps: &self.steps }
    }

    pub(super) fn context<'a>(&'a self, record: &'a StepRecord, precondition: &'a Value, services: &'a Services) -> Context<'a> {
        Context {
            run: &self.run.id,
            playbook: &self.run.playbook,
            step: &record.id,
            alert: &self.alert,
            request_id: record.request_id,
            precondition,
            services,
        }
    }

    /// The run as the steps make it: ready, waiting until a time, or ended.
    pub(super) fn advanced(&self) -> RunRecord {
        let now = Timestamp::now();
        let mut run = self.run.clone();
        match machine::next(&self.playbook, &run, &self.steps, now) {
            Next::End(state, reason) => {
                run.state = state;
                run.reason = reason;
                run.ended_at = Some(now);
            }
            Next::Wait(due) => {
                run.state = RunState::Waiting;
                run.due_at = due;
            }
            Next::Plan(_) | Next::Attempt(..) | Next::Interrupted(..) | Next::Look(..) => {
                run.state = RunState::Ready;
                run.due_at = now;
            }
        }
        run
    }

    pub(super) fn put(&mut self, record: StepRecord) {
        match self.steps.iter_mut().find(|step| step.id == record.id) {
            Some(step) => *step = record,
            None => self.steps.push(record),
        }
    }
}
