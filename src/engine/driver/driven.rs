//! A run in memory, as recorded: what its steps and actions see of it, and what its steps make of it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::unwritten::Unwritten;
use crate::{
    actions::{Context, Services},
    alert::Alert,
    engine::{
        machine::{self, Frame, Next},
        plan::Sight,
    },
    failpoints,
    playbook::{Playbook, Step},
    run::{RunRecord, RunState, StepRecord, StepState},
};

/// A run in memory. Several of its steps may be worked on at once; what is recorded of them is changed by one at a time.
pub(super) struct Driven {
    pub(super) begun: RunRecord,
    pub(super) playbook: Arc<Playbook>,
    pub(super) alert: Option<Alert>,
    /// Who wrote its alerts by hand.
    pub(super) senders: Vec<String>,
    pub(super) alert_value: Value,
    pub(super) alerts: Value,
    pub(super) recorded: tokio::sync::Mutex<Recorded>,
    pub(super) unwritten: Arc<Unwritten>,
}

/// What is recorded of a run.
pub(super) struct Recorded {
    pub(super) run: RunRecord,
    pub(super) steps: Vec<StepRecord>,
    /// Whether the journal knows more than this: somebody touched the run, or something was not recorded. Then nothing is concluded from
    /// it any more, nothing new begins, and the run is read again.
    pub(super) is_stale: bool,
}

/// The step that is worked on, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) step: &'a Step,
    pub(super) frame: &'a Frame<'a>,
}

impl Driven {
    pub(super) fn sight<'a>(&'a self, recorded: &'a Recorded) -> Sight<'a> {
        Sight { alert: &self.alert_value, alerts: &self.alerts, run: &recorded.run, steps: &recorded.steps }
    }

    pub(super) fn context<'a>(&'a self, record: &'a StepRecord, precondition: &'a Value, services: &'a Services) -> Context<'a> {
        Context {
            run: &self.begun.id,
            playbook: &self.begun.playbook,
            step: &record.id,
            alert: self.alert.as_ref(),
            request_id: if failpoints::mistake("new_request_id") { uuid::Uuid::now_v7() } else { record.request_id },
            precondition,
            accepted: &record.output,
            services,
        }
    }

    /// When what the run answers came to us.
    pub(super) fn received_at(&self) -> Timestamp {
        self.alert.as_ref().map_or(self.begun.created_at, |alert| alert.received_at)
    }

    /// When what the run answers happened.
    pub(super) fn detected_at(&self) -> Timestamp {
        self.alert.as_ref().map_or(self.begun.created_at, |alert| alert.detected_at)
    }
}

impl Recorded {
    /// The run as the steps make it: ready, waiting until a time, or ended.
    pub(super) fn advanced(&self, playbook: &Playbook, now: Timestamp) -> RunRecord {
        let mut run = self.run.clone();
        if self.is_stale {
            run.state = RunState::Ready;
            run.due_at = now;
            return run;
        }
        match machine::next(playbook, &run, &self.steps, now) {
            Next::End(state, reason) => {
                run.state = state;
                run.reason = reason;
                run.ended_at = Some(now);
            }
            Next::Wait(due) => {
                run.state = RunState::Waiting;
                run.due_at = due;
            }
            Next::Work(..) => {
                run.state = RunState::Ready;
                run.due_at = now;
            }
        }
        run
    }

    /// Whether the run still asks for an attempt at a step.
    pub(super) fn needs(&self, playbook: &Playbook, path: &str, now: Timestamp) -> bool {
        match machine::next(playbook, &self.run, &self.steps, now) {
            Next::Work(tasks, _) => !self.is_stale && tasks.iter().any(|task| task.path() == path),
            Next::Wait(_) | Next::End(..) => false,
        }
    }

    /// Whether nobody knows what one of the steps did.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.steps.iter().any(|step| step.state == StepState::Indeterminate)
    }

    pub(super) fn put(&mut self, record: StepRecord) {
        match self.steps.iter_mut().find(|step| step.id == record.id) {
            Some(step) => *step = record,
            None => self.steps.push(record),
        }
    }
}
