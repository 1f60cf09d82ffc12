//! What a run has to do next, and where in the run each step stands.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    playbook::{Playbook, Step},
    run::{RunState, StepRecord},
};

/// What a run has to do next.
#[derive(Debug)]
pub enum Next<'p> {
    /// All of this, in any order or at once; and at that time at the latest there is more.
    Work(Vec<Task<'p>>, Option<Timestamp>),
    /// Nothing until then.
    Wait(Timestamp),
    /// The run has ended.
    End(RunState, String),
}

/// One thing to do.
#[derive(Debug, Clone)]
pub struct Task<'p> {
    /// The step that it is about.
    pub step: &'p Step,
    /// Where the step stands.
    pub frame: Frame<'p>,
    /// What to do.
    pub doing: Doing,
}

/// What to do about a step.
#[derive(Debug, Clone)]
pub enum Doing {
    /// Begin it: evaluate its condition and render its arguments.
    Plan,
    /// Attempt it.
    Attempt(StepRecord),
    /// Take note that the program ended during an attempt.
    Interrupted(StepRecord),
    /// Look at the target: what did an attempt do, or is what was accepted finished?
    Look(StepRecord),
    /// Record that it ended so.
    Close(StepRecord),
    /// Record that the playbook it called has ended, with what that gives back.
    Return(StepRecord),
}

/// Where a sequence of steps stands in a run.
#[derive(Debug, Clone)]
pub struct Frame<'p> {
    /// The playbook that the steps are written in.
    pub playbook: &'p Playbook,
    /// The playbooks whose calls led there, the run's own first.
    pub callers: Vec<&'p Playbook>,
    /// What stands before the ids of that playbook's outermost steps.
    pub base: String,
    /// What stands before the ids of this sequence's steps.
    pub prefix: String,
    /// The items of the lists around, by name, innermost last.
    pub items: Vec<(&'p str, Value)>,
    /// The inputs and variables of a called playbook; the run's own hold otherwise.
    pub given: Option<Value>,
    /// The record of the step that this one undoes.
    pub undoes: Option<Box<StepRecord>>,
}

impl<'p> Frame<'p> {
    /// The outermost steps of a run.
    pub fn outermost(playbook: &'p Playbook) -> Self {
        Self { playbook, callers: Vec::new(), base: String::new(), prefix: String::new(), items: Vec::new(), given: None, undoes: None }
    }

    /// The outermost steps of a playbook that a step of this frame called, by the record of that step.
    #[must_use]
    pub fn called(&self, playbook: &'p Playbook, call: &StepRecord) -> Self {
        let base = format!("{}/", call.id);
        let callers = self.playbooks().collect();
        Self { playbook, callers, prefix: base.clone(), base, items: Vec::new(), given: Some(call.plan.clone()), undoes: None }
    }

    /// The playbooks that a step of this frame is a part of: the run's own, those called on the way, and the one that it is written in.
    pub fn playbooks(&self) -> impl Iterator<Item = &'p Playbook> {
        self.callers.iter().copied().chain([self.playbook])
    }

    /// The name under which a step of this sequence is recorded.
    pub fn path(&self, step: &Step) -> String {
        match &self.undoes {
            Some(undone) => undone.undone_by(undone.undo_round().unwrap_or(1)),
            None => format!("{}{}", self.prefix, step.id),
        }
    }
}

impl Task<'_> {
    /// The name under which the step is recorded.
    pub fn path(&self) -> String {
        self.frame.path(self.step)
    }

    /// Whether it is about something that may be happening outside, so that time running out must not end it.
    pub(super) fn is_under_way(&self) -> bool {
        match &self.doing {
            Doing::Interrupted(_) | Doing::Look(_) => true,
            Doing::Attempt(record) => record.uncertain,
            Doing::Plan | Doing::Close(_) | Doing::Return(_) => false,
        }
    }
}
