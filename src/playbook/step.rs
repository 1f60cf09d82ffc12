//! The steps of a playbook: what each does, when, and what follows when it does not succeed. How they are read is `reading`'s matter.

use std::time::Duration;

use super::arguments::Arguments;
use crate::{
    actions::Entry,
    approval::OnTimeout,
    expression::{Expression, Script, Template, chains},
    retry::RetryPolicy,
    run::Class,
};

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name, by which later steps read its outcome.
    pub id: String,
    /// It is skipped where this is false.
    pub condition: Option<Expression>,
    /// What it does.
    pub body: Body,
    /// How often it is tried.
    pub retry: RetryPolicy,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// What follows when it fails for good.
    pub on_error: OnError,
    /// How what it did is undone.
    pub rollback: Option<Rollback>,
    /// How its outcome is found out, in place of what its action does.
    pub verify: Option<Verify>,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Body {
    /// Performs an action.
    Action {
        /// The action.
        entry: &'static Entry,
        /// Its parameters.
        with: Arguments,
    },
    /// Ends the run.
    Stop {
        /// As what it ends.
        outcome: StopOutcome,
        /// Why, for people.
        reason: Template,
    },
    /// Takes the steps of the first case that holds.
    Switch {
        /// The cases, in order.
        cases: Vec<Case>,
        /// Taken when none holds.
        otherwise: Vec<Step>,
    },
    /// Takes its steps once for every item of a list.
    Foreach {
        /// The list, read once when the step begins.
        items: Arguments,
        /// The name by which its steps read the item.
        name: String,
        /// How many items are worked on at once, from 1.
        max_parallel: u32,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Takes several branches at once.
    Parallel {
        /// The branches by their names.
        branches: Vec<(String, Vec<Step>)>,
        /// How many of them must succeed.
        join: Join,
    },
    /// Computes its output.
    Script(Script),
    /// Lets time pass.
    Wait(Wait),
    /// Takes the steps of another playbook.
    Call {
        /// Its name; [`Playbook::called`](super::Playbook::called) is the playbook.
        playbook: String,
        /// Its inputs.
        inputs: Arguments,
    },
    /// Asks people whether other steps may be taken.
    Approval(Box<Approval>),
}

/// One case of a `switch`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Case {
    pub condition: Expression,
    pub steps: Vec<Step>,
}

/// How many branches of a `parallel` must succeed for it to succeed. It ends when that is decided and nothing of it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// All of them.
    All,
    /// This many.
    AtLeast(u32),
}

/// For how long a `wait` lets time pass.
#[derive(Debug, Clone)]
pub enum Wait {
    /// So long.
    For(Duration),
    /// Until the moment that the expression gives.
    Until(Expression),
}

/// A question to people.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Approval {
    pub title: Template,
    /// The steps that may be taken when they agree.
    pub for_steps: Vec<String>,
    pub groups: Vec<String>,
    /// How many must agree.
    pub quorum: u32,
    /// Where they are asked.
    pub channels: Arguments,
    pub timeout: Duration,
    /// What counts when nobody has answered in time. Has no default: somebody must have thought of it.
    pub on_timeout: OnTimeout,
    pub escalate: Vec<Escalation>,
}

/// Whom to ask as well when nobody has answered for a while.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Escalation {
    pub after: Duration,
    pub groups: Vec<String>,
}

/// How what a step did is undone.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The step that undoes it: an action, under the id `ID.rollback`.
    pub step: Box<Step>,
    /// For how long it can be undone.
    pub expires: Duration,
    /// How long after it was done it is undone by itself, unless a person keeps it.
    pub after: Option<Duration>,
}

/// How the outcome of a step is found out when nobody knows what an attempt did.
#[derive(Debug, Clone)]
pub struct Verify {
    /// An action that reads.
    pub entry: &'static Entry,
    /// Its parameters.
    pub with: Arguments,
    /// Whether what it read, as `output`, shows that the step happened.
    pub reached: Expression,
}

/// As what a `stop` ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// Everything that was to be done was done.
    Done,
    /// Nothing needed to be done.
    NoAction,
    /// It could not be done.
    Failed,
}

/// What follows when a step fails for good.
#[derive(Debug, Clone)]
pub enum OnError {
    /// The run fails, and the steps under the playbook's `on_error` are taken.
    Fail,
    /// The run goes on.
    Continue,
    /// The run goes on, and this is the step's output.
    Instead(Arguments),
    /// What earlier steps did is undone in reverse order, and then the run fails.
    Rollback,
}

impl Step {
    /// The step and all steps inside it, in the order of the text.
    pub fn and_inner(&self) -> Vec<&Self> {
        let inner = self.body.sequences().into_iter().flatten().flat_map(Self::and_inner);
        std::iter::once(self).chain(inner).collect()
    }

    /// How the step may be repeated, by how its action may be. Who says where to look need not decide at once.
    pub fn class(&self, of_action: Class) -> Class {
        if of_action == Class::Unsafe && self.verify.is_some() { Class::Verified } else { of_action }
    }

    /// Whether its condition reads the outcome of that step.
    pub fn asks(&self, id: &str) -> bool {
        let reads = |condition: &Expression| chains(condition.text()).iter().any(|chain| chain.path().starts_with(&["steps", id]));
        self.condition.as_ref().is_some_and(reads)
    }
}

impl Body {
    /// The sequences of steps inside it.
    pub fn sequences(&self) -> Vec<&[Step]> {
        match self {
            Self::Switch { cases, otherwise } => cases.iter().map(|case| &*case.steps).chain([&**otherwise]).collect(),
            Self::Foreach { steps, .. } => vec![steps],
            Self::Parallel { branches, .. } => branches.iter().map(|(_, steps)| &**steps).collect(),
            Self::Action { .. } | Self::Stop { .. } | Self::Script(_) | Self::Wait(_) | Self::Call { .. } | Self::Approval(_) => Vec::new(),
        }
    }

    /// The word under which a step is recorded that performs no action; an action is recorded under its name.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Action { entry, .. } => entry.name,
            Self::Stop { .. } => "stop",
            Self::Switch { .. } => "switch",
            Self::Foreach { .. } => "foreach",
            Self::Parallel { .. } => "parallel",
            Self::Script(_) => "script",
            Self::Wait(_) => "wait",
            Self::Call { .. } => "playbook",
            Self::Approval(_) => "approval",
        }
    }
}
