//! Whose "yes" a step needs, what people are shown before they say it, and what their answers mean for it. Pure.
//!
//! People agree to a plan, not to a step: what is rendered when the step begins must be exactly what they saw.

mod preview;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

pub use preview::plan_of;

use super::machine::Frame;
use crate::{
    approval::{Approval, ApprovalId, ApprovalState, Decided, Planned},
    duration::Span,
    playbook::{Body, Step},
    run::{StepRecord, StepState},
};

/// Whom the site asks where a guardrail wants a person's word and no playbook has asked, as written under `approvals:`.
/// Nobody who answers has never permitted anything: when the time is over, the step is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SiteApprovals {
    /// The groups that are asked. Without one, the site asks nobody, and the guardrail holds the step back.
    pub groups: Vec<String>,
    /// Where they are asked.
    pub channels: Vec<String>,
    /// How many must agree. One person who was permitted to decide.
    #[serde(deserialize_with = "some_people")]
    #[schemars(range(min = 1))]
    pub quorum: u32,
    /// How long they have. Half a shift: whoever was asked is still there.
    pub timeout: Span,
}

/// How the answers to what was asked stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// People agreed to exactly this, at that moment.
    Given(Timestamp),
    /// They are being asked, until then.
    Waits(ApprovalId, Timestamp),
    /// The time of that question is over, and somebody must take note of it.
    Over(ApprovalId),
    /// They must be asked, in that round.
    Ask(u32),
    /// They did not agree.
    Refused(Box<Approval>),
    /// They were asked so often that something is wrong with the plan.
    Restless,
}

/// A plan that changes more often under people's eyes is not one that anybody can agree to.
pub const MOST_ROUNDS: u32 = 3;

impl Default for SiteApprovals {
    fn default() -> Self {
        Self { groups: Vec::new(), channels: Vec::new(), quorum: 1, timeout: Span(std::time::Duration::from_hours(4)) }
    }
}

impl SiteApprovals {
    /// Whether anybody is asked.
    pub fn asks(&self) -> bool {
        !self.groups.is_empty()
    }

    /// What is wrong with the settings.
    pub fn fault(&self) -> Option<String> {
        if self.asks() && self.channels.is_empty() {
            return Some(
                "`approvals.channels` is empty, so nobody would hear of the question; name a channel, e.g. `log:default`".to_owned(),
            );
        }
        if !self.asks() && *self != Self::default() {
            return Some("`approvals.groups` is empty, so nobody could answer; name a group of `users`".to_owned());
        }
        self.timeout.0.is_zero().then(|| "`approvals.timeout` is nothing, so nobody could answer in time; write e.g. `4h`".to_owned())
    }
}

/// The paths of the `approval` steps that asked about a step and were told "yes".
///
/// # Errors
/// One that is to ask about it has not, or was not told "yes": the step must not be taken.
pub fn asked(step: &Step, frame: &Frame<'_>, steps: &[StepRecord]) -> Result<Vec<String>, String> {
    let mut askers = Vec::new();
    if frame.undoes.is_some() {
        return Ok(askers);
    }
    for asker in frame.playbook.every_step() {
        let Body::Approval(approval) = &asker.body else { continue };
        if !approval.for_steps.contains(&step.id) {
            continue;
        }
        match seen(&asker.id, frame, steps) {
            // Its author says that then nobody needs to be asked.
            Some(record) if matches!(record.state, StepState::Skipped | StepState::Shadowed) => {}
            Some(record) if is_yes(record) => askers.push(record.id.clone()),
            None if is_passed_by(&asker.id, frame, steps) => {}
            Some(_) | None => return Err(format!("the approval `{}` for this step was not given", asker.id)),
        }
    }
    Ok(askers)
}

/// How things stand with what a step asked in its rounds, for what would be done now.
pub fn standing(rounds: &[Approval], planned: &Planned, has_begun: bool, now: Timestamp) -> Standing {
    let counts = |round: &&Approval| round.state == ApprovalState::Approved || has_begun && round.state == ApprovalState::Void;
    if let Some(given) = rounds.iter().filter(counts).rfind(|round| round.covers(planned)) {
        return Standing::Given(given.decided_at.unwrap_or(given.opened_at));
    }
    let Some(last) = rounds.last() else { return Standing::Ask(1) };
    match last.state {
        ApprovalState::Open if last.expires_at > now => Standing::Waits(last.id.clone(), last.expires_at),
        ApprovalState::Open => Standing::Over(last.id.clone()),
        ApprovalState::Approved | ApprovalState::Void if last.round < MOST_ROUNDS => Standing::Ask(last.round + 1),
        ApprovalState::Approved | ApprovalState::Void => Standing::Restless,
        ApprovalState::Rejected | ApprovalState::Expired => Standing::Refused(Box::new(last.clone())),
    }
}

/// The record of a step that can be seen from a frame: of the same item where it lies in a list.
fn seen<'r>(id: &str, frame: &Frame<'_>, steps: &'r [StepRecord]) -> Option<&'r StepRecord> {
    steps.iter().find(|record| {
        let (around, own) = record.id.split_at(record.id.rfind('/').map_or(0, |at| at + 1));
        own == id && around.starts_with(&frame.base) && frame.prefix.starts_with(around)
    })
}

fn is_yes(record: &StepRecord) -> bool {
    record.state == StepState::Succeeded && Decided::decision_in(&record.output) == Some(ApprovalState::Approved)
}

/// Whether the run went another way, past what is to ask: a step around it was skipped, or another case of it was taken.
fn is_passed_by(id: &str, frame: &Frame<'_>, steps: &[StepRecord]) -> bool {
    let playbook = frame.playbook;
    let way = way_to(&playbook.steps, id).or_else(|| way_to(&playbook.on_error, id)).unwrap_or_default();
    way.into_iter().any(|(around, sequence)| {
        let Some(record) = seen(&around.id, frame, steps) else { return false };
        match &around.body {
            _ if record.state == StepState::Skipped => true,
            Body::Switch { cases, .. } => {
                let taken = record.plan.get("case").and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok());
                taken.unwrap_or(cases.len()) != sequence
            }
            Body::Action { .. }
            | Body::Stop { .. }
            | Body::Foreach { .. }
            | Body::Parallel { .. }
            | Body::Script(_)
            | Body::Wait(_)
            | Body::Call { .. }
            | Body::Approval(_) => false,
        }
    })
}

/// The steps around a step, outermost first, each with which of its sequences leads there.
fn way_to<'p>(steps: &'p [Step], id: &str) -> Option<Vec<(&'p Step, usize)>> {
    for step in steps {
        if step.id == id {
            return Some(Vec::new());
        }
        for (number, sequence) in step.body.sequences().into_iter().enumerate() {
            if let Some(mut way) = way_to(sequence, id) {
                way.insert(0, (step, number));
                return Some(way);
            }
        }
    }
    None
}

/// A quorum of nobody would be no question.
fn some_people<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let quorum = u32::deserialize(deserializer)?;
    if quorum == 0 { Err(D::Error::custom("`quorum` is at least 1")) } else { Ok(quorum) }
}
