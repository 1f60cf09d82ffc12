//! What a run would do, played to its end in memory: the engine's own state machine, plans and guardrails, with answers that are known
//! beforehand in place of the world. Pure: nothing is sent, nothing is written, and time passes only in thought.
//!
//! What cannot be known is said, not guessed: a step that reads the output of a call that nobody made is [`Unclear`], and so is what
//! follows from it.

mod answers;
mod appraise;
mod needs;
mod play;
mod tally;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use answers::{Answer, Answers, Nothing, Recorded};
pub use appraise::{Appraisal, appraise, run_of};
pub use tally::Tally;

use super::{
    consent::SiteApprovals,
    guardrails::{Guardrails, HeldBack},
};
use crate::{
    alert::Alert,
    playbook::Playbook,
    run::{Class, RunRecord, RunState, StepRecord},
    store::Hold,
};

/// A run that is about to begin.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Subject<'a> {
    pub playbook: &'a Playbook,
    pub run: &'a RunRecord,
    pub alert: Option<&'a Alert>,
    /// The alert as expressions see it.
    pub seen: &'a Value,
    /// All alerts that the run answers, as expressions see them.
    pub alerts: &'a Value,
}

/// What the future is read from.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Outlook<'a> {
    pub guardrails: &'a Guardrails,
    /// Whom the site asks.
    pub site: &'a SiteApprovals,
    /// What people want to run, with when they said so.
    pub holds: &'a [Hold],
    pub answers: &'a dyn Answers,
    pub approvals: Approvals,
}

/// What people are assumed to say when they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approvals {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

/// A run as it would be.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Foreseen {
    pub run: RunRecord,
    pub steps: Vec<StepRecord>,
    /// In the order in which they would be made.
    pub calls: Vec<Call>,
    /// What people would be asked, by step.
    pub questions: Vec<(String, Value)>,
    /// The steps that cannot be foreseen, in order. What stands after the first of them is what would happen if the run goes on there.
    pub unclear: Vec<Unclear>,
}

/// A call that would be made, or held back.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Call {
    pub step: String,
    pub action: &'static str,
    pub class: Class,
    pub destructive: bool,
    pub with: Value,
    pub fate: Fate,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is made.
    Made,
    /// A guardrail holds it back.
    Held(HeldBack),
    /// It is recorded only, because the playbook is in shadow mode; and the guardrail that would hold it back otherwise.
    Shadowed(Option<HeldBack>),
}

/// A step that cannot be foreseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// The step.
    pub step: String,
    /// The step whose answer is not known.
    pub needs: String,
}

/// The action by which people are told.
pub const NOTIFY: &str = "notify";

impl Foreseen {
    /// Why its end is not known, if it is not.
    pub fn limit(&self) -> Option<String> {
        let Unclear { step, needs } = self.unclear.first()?;
        Some(format!("cannot be foreseen from step `{step}` on: the output of `{needs}` is not known"))
    }

    /// Whether it fails, as far as that can be foreseen.
    pub fn fails(&self) -> bool {
        self.unclear.is_empty() && self.run.state == RunState::Failed
    }
}

impl Call {
    /// Whether it is made.
    pub fn is_made(&self) -> bool {
        self.fate == Fate::Made
    }

    /// The guardrail that holds it back, or would if the playbook acted.
    pub fn held(&self) -> Option<&HeldBack> {
        match &self.fate {
            Fate::Held(held) | Fate::Shadowed(Some(held)) => Some(held),
            Fate::Made | Fate::Shadowed(None) => None,
        }
    }
}

/// The run that begins now, played to its end. The tally counts what it does against the limits, as the store does.
pub fn foresee(subject: Subject<'_>, outlook: Outlook<'_>, tally: &mut Tally) -> Foreseen {
    play::play(subject, outlook, tally)
}
