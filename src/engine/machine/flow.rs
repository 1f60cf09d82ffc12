//! How far sequences of steps have come, alone and together.

use jiff::Timestamp;

use super::{
    can_be_looked_at,
    frame::{Doing, Frame, Task},
};
use crate::{
    playbook::Step,
    run::{RunState, StepRecord, StepState},
};

/// How far a sequence has come.
pub(super) enum Flow<'p> {
    Open(Open<'p>),
    Through,
    Stopped(RunState, String),
    /// In trouble: the record of the step that failed, and what follows.
    Trouble(Box<StepRecord>, &'p Step),
}

#[derive(Default)]
pub(super) struct Open<'p> {
    pub(super) tasks: Vec<Task<'p>>,
    pub(super) wait: Option<Timestamp>,
    /// Whether what is waited for may be happening outside.
    pub(super) under_way: bool,
}

impl<'p> Open<'p> {
    pub(super) fn task(step: &'p Step, frame: &Frame<'p>, doing: Doing) -> Flow<'p> {
        Flow::Open(Self { tasks: vec![Task { step, frame: frame.clone(), doing }], wait: None, under_way: false })
    }

    /// A look in place of an attempt: what comes of the look is judged by the state that the step is in then.
    pub(super) fn look(step: &'p Step, frame: &Frame<'p>, record: &StepRecord, state: StepState) -> Flow<'p> {
        Self::task(step, frame, Doing::Look(StepRecord { state, ..record.clone() }))
    }

    pub(super) fn wait(until: Timestamp, under_way: bool) -> Flow<'p> {
        Flow::Open(Self { tasks: Vec::new(), wait: Some(until), under_way })
    }

    pub(super) fn add(&mut self, other: Self) {
        self.tasks.extend(other.tasks);
        self.wait = [self.wait, other.wait].into_iter().flatten().min();
        self.under_way |= other.under_way;
    }

    /// What remains when nothing new may begin: what may have happened is seen to its end, and nothing is sent again that can be looked at.
    pub(super) fn drained(mut self) -> Option<Self> {
        self.tasks.retain(Task::is_under_way);
        for task in &mut self.tasks {
            if let Doing::Attempt(record) = &task.doing
                && can_be_looked_at(record.class)
            {
                task.doing = Doing::Look(StepRecord { state: StepState::Confirming, ..record.clone() });
            }
        }
        if !self.under_way {
            self.wait = None;
        }
        (!self.tasks.is_empty() || self.wait.is_some()).then_some(self)
    }
}

/// A step in trouble, and in front of what went wrong the words for where.
pub(super) type Fault = (Box<StepRecord>, String);

/// What several sequences have come to together.
pub(super) struct Joined<'p, F> {
    pub(super) open: Open<'p>,
    pub(super) trouble: Option<Fault>,
    pub(super) stopped: Option<(RunState, String)>,
    pub(super) output: F,
}

impl Open<'_> {
    /// A run is looked at again when its time has run out, whatever it waits for.
    pub(super) fn until(mut self, latest: Timestamp) -> Self {
        self.wait = Some(self.wait.map_or(latest, |wait| wait.min(latest)));
        self
    }
}

/// Of two troubles the one that a person must see.
pub(super) fn worse(one: Option<Fault>, other: Fault) -> Fault {
    match one {
        Some(one) if one.0.state == StepState::Indeterminate || other.0.state != StepState::Indeterminate => one,
        Some(_) | None => other,
    }
}
