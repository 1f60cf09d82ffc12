//! Answers in place of the world's: none at all, or those that were recorded.

use serde_json::Value;

use crate::run::{Class, StepRecord, StepState};

/// What a call would be answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// This output.
    Output(Value),
    /// It would be refused, and why.
    Failed(String),
    /// Nobody knows. The call is taken to succeed, and what reads its output cannot be foreseen.
    Unknown,
}

/// Answers calls that are not made.
pub trait Answers {
    /// The answer to a step that is about to be attempted: its `action`, `class` and `plan` are set.
    fn answer(&self, step: &StepRecord) -> Answer;
}

/// Knows no answer.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Answers for Nothing {
    fn answer(&self, _step: &StepRecord) -> Answer {
        Answer::Unknown
    }
}

/// The answers that other runs for the same alert were given.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a>(pub &'a [StepRecord]);

impl Answers for Recorded<'_> {
    /// A read with the same arguments is answered as it was, and otherwise as any read of the same kind for this alert was. A change that
    /// was made is answered as it was; one that was not made is unknown.
    fn answer(&self, step: &StepRecord) -> Answer {
        let alike = || self.0.iter().filter(|it| it.action == step.action && has_answer(it));
        if let Some(same) = alike().find(|it| it.plan == step.plan) {
            return match (same.state, step.class) {
                (StepState::Succeeded, _) => Answer::Output(same.output.clone()),
                // What failed to change something then need not fail now; what could not be read then has no other answer.
                (_, Class::Read) => Answer::Failed(same.error.clone().unwrap_or_default()),
                (_, Class::Idempotent | Class::Keyed | Class::Verified | Class::Unsafe) => Answer::Unknown,
            };
        }
        match alike().find(|it| it.state == StepState::Succeeded) {
            Some(other) if step.class == Class::Read => Answer::Output(other.output.clone()),
            Some(_) | None => Answer::Unknown,
        }
    }
}

/// Whether the outside said something; the rest was decided inside.
fn has_answer(step: &StepRecord) -> bool {
    step.attempts > 0 && matches!(step.state, StepState::Succeeded | StepState::Failed)
}
