//! The words for a run and what it consists of: run, step, attempt, and the states each can be in.
//!
//! Plain data, as the store keeps it and people read it. What may follow what is decided in `engine::machine`.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::word::words;

/// Names one run: a time-ordered UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

/// How an action may be repeated when nobody knows whether it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Changes nothing: repeat.
    Read,
    /// A repeat has no further effect: repeat.
    Idempotent,
    /// The other side recognises a repeat by its key, for some minutes; afterwards only a look at the target tells.
    Keyed,
    /// Only a look at the target tells, and a repeat carries the state seen before the first attempt.
    Verified,
    /// Never repeated: a person decides.
    Unsafe,
}

/// Whether a playbook acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Loaded and checked, and matched with nothing.
    Disabled,
    /// Decides and records, and never acts.
    Shadow,
    /// Acts.
    Enforce,
}

/// What becomes of a run that would be one too many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// It waits for its turn.
    Queue,
    /// It does not begin.
    Skip,
    /// The others end as soon as nothing of theirs is under way, and then it begins.
    CancelRunning,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Has something to do now.
    Ready,
    /// Has something to do later.
    Waiting,
    /// Begins when another run of the same concurrency key has ended.
    Queued,
    /// Ended: all steps were taken.
    Done,
    /// Ended: a step found that nothing needed to be done.
    NoAction,
    /// Ended: a step failed for good.
    Failed,
    /// Ended: people did not agree to what it asked.
    Rejected,
    /// Ended: nobody answered in time what it asked.
    Expired,
    /// Stopped: nobody knows whether a step happened, and a person must decide.
    Indeterminate,
    /// Ended: a person or a later run cancelled it.
    Cancelled,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Its arguments are rendered and recorded; nothing was sent yet.
    Planned,
    /// Steps inside it are being taken.
    Running,
    /// It lets time pass, or people think.
    Waiting,
    /// An intent is recorded: from here until an outcome is recorded it may have happened.
    Executing,
    /// Nobody knows what an attempt did, and the target is being looked at.
    Verifying,
    /// The other side accepted it and has not finished it.
    Confirming,
    /// It did not happen, and is tried again later.
    Retrying,
    /// It happened.
    Succeeded,
    /// It was not needed: its condition was false, or the target was so already.
    Skipped,
    /// It was held back because the playbook is in shadow mode.
    Shadowed,
    /// It did not happen, and is not tried again.
    Failed,
    /// Nobody knows whether it happened.
    Indeterminate,
}

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The other side did it.
    Ok,
    /// The other side took it over and will report.
    Accepted,
    /// It was certainly not done.
    NotDone,
    /// It was refused for good.
    Rejected,
    /// It may or may not have been done.
    Unknown,
}

/// What is to become of what a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// It is undone.
    Undo,
    /// It stays, and is not undone by itself any more.
    Keep,
}

/// What was decided about what a step did, after it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Decided {
    pub ruling: Ruling,
    /// The how-manieth time that it is to be undone: what failed may be tried again. 0 where it stays.
    pub round: u32,
    /// A person, or the playbook whose time for it had come.
    pub who: String,
    pub reason: String,
    pub at: Timestamp,
}

/// How a run had ended before it was taken up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Ending {
    pub state: RunState,
    pub reason: String,
}

/// Who wanted an alert answered once more, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Replay {
    pub who: String,
    pub reason: String,
}

/// A run as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RunRecord {
    pub id: RunId,
    /// The number of the alert in the store; none for a run that a schedule or a person began.
    pub alert: Option<i64>,
    /// What it was given: by a person, a schedule, or nobody.
    pub inputs: Value,
    pub playbook: String,
    /// Names the text of the playbook that the run uses, whatever is edited meanwhile.
    pub playbook_hash: String,
    pub mode: Mode,
    /// The playbook's variables, as they were when the run began.
    pub vars: Value,
    pub state: RunState,
    /// Why it ended as it did, for people.
    pub reason: String,
    pub created_at: Timestamp,
    /// When it has something to do next.
    pub due_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// When a person let it go on after one of its steps had been in doubt; its time limits count from there.
    pub resumed_at: Option<Timestamp>,
    /// How it had ended before it was taken up again to undo what its steps did. Nothing else of it goes on then.
    pub ended_as: Option<Box<Ending>>,
    /// Whether it is to end as soon as nothing of it is under way.
    pub cancel: bool,
    /// Who wanted it, where its alert had been answered before.
    pub replay: Option<Box<Replay>>,
}

/// A step of a run as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct StepRecord {
    /// Where it stands in the run: its id, after those of the steps it lies in: `each[2]/tell`, `call/suspend`.
    pub id: String,
    /// The playbooks that it is a part of: the run's own, those called on the way, and the one that it is written in, joined by `/`.
    pub within: String,
    /// In which order steps were begun, from 0.
    pub position: u32,
    /// The action, or the word for what a step without one does, e.g. `stop`.
    pub action: String,
    pub class: Class,
    pub state: StepState,
    /// The rendered arguments.
    pub plan: Value,
    /// What the outside answered.
    pub output: Value,
    pub error: Option<String>,
    /// The same for every attempt of the step, so that the other side can recognise a repeat.
    pub request_id: Uuid,
    /// What the target was before the first attempt; every attempt carries the same.
    pub precondition: Option<Value>,
    /// What is locked while the step is under way.
    pub target: Option<String>,
    pub attempts: u32,
    /// Whether nobody knows what an earlier attempt did.
    pub uncertain: bool,
    /// When the last attempt was refused for good, if nobody knows what an earlier one did.
    pub refused_at: Option<Timestamp>,
    pub first_intent_at: Option<Timestamp>,
    pub due_at: Option<Timestamp>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// When what it did is undone by itself, unless somebody decides before.
    pub returns_at: Option<Timestamp>,
    /// What was decided about what it did.
    pub decided: Option<Box<Decided>>,
}

/// An attempt at a step as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AttemptRecord {
    pub number: u32,
    pub intent_at: Timestamp,
    pub outcome: Option<AttemptOutcome>,
    pub http_status: Option<u16>,
    pub message: String,
    pub ended_at: Option<Timestamp>,
}

impl RunId {
    /// A new identifier; later ones sort after earlier ones.
    pub fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The identifier by which the other side recognises every attempt of one step.
    pub fn request_id(&self, step: &str) -> Uuid {
        let run = Uuid::parse_str(&self.0).unwrap_or(Uuid::NAMESPACE_OID);
        Uuid::new_v5(&run, step.as_bytes())
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RunState {
    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        match self {
            Self::Ready | Self::Waiting | Self::Queued => false,
            Self::Done | Self::NoAction | Self::Failed | Self::Rejected | Self::Expired | Self::Indeterminate | Self::Cancelled => true,
        }
    }
}

impl StepRecord {
    /// Whether it may have happened, and nobody knows: also where its run was given up in the middle of it.
    pub fn may_have_happened(&self) -> bool {
        match self.state {
            StepState::Executing | StepState::Verifying | StepState::Confirming | StepState::Indeterminate => true,
            StepState::Planned | StepState::Retrying | StepState::Waiting => self.uncertain,
            StepState::Running | StepState::Succeeded | StepState::Skipped | StepState::Shadowed | StepState::Failed => false,
        }
    }

    /// Whether it has itself brought about what it was to do. Where the target was so already, or somebody else brought it there between
    /// two attempts, nothing was seen that it started from.
    pub fn has_acted(&self) -> bool {
        self.state == StepState::Succeeded && self.first_intent_at.is_some() && self.precondition.is_some()
    }

    /// The how-manieth time somebody has decided that it is undone; nothing if nobody has, or it stays.
    pub fn undo_round(&self) -> Option<u32> {
        self.decided.as_deref().filter(|decided| decided.ruling == Ruling::Undo).map(|decided| decided.round)
    }

    /// Who decided that what it did stays.
    pub fn kept(&self) -> Option<&Decided> {
        self.decided.as_deref().filter(|decided| decided.ruling == Ruling::Keep)
    }

    /// The name under which the step is recorded that undoes it in that round.
    pub fn undone_by(&self, round: u32) -> String {
        if round > 1 { format!("{}.rollback.{round}", self.id) } else { format!("{}.rollback", self.id) }
    }
}

impl StepState {
    /// Whether nothing more will happen to the step by itself.
    pub fn is_final(self) -> bool {
        match self {
            Self::Planned | Self::Running | Self::Waiting | Self::Executing | Self::Verifying | Self::Confirming | Self::Retrying => false,
            Self::Succeeded | Self::Skipped | Self::Shadowed | Self::Failed | Self::Indeterminate => true,
        }
    }
}

words! {
    Class { Read => "read", Idempotent => "idempotent", Keyed => "keyed", Verified => "verified", Unsafe => "unsafe" }
    Mode { Disabled => "disabled", Shadow => "shadow", Enforce => "enforce" }
    Ruling { Undo => "undo", Keep => "keep" }
    Strategy { Queue => "queue", Skip => "skip", CancelRunning => "cancel_running" }
    RunState {
        Ready => "ready", Waiting => "waiting", Queued => "queued", Done => "done", NoAction => "no_action",
        Failed => "failed", Rejected => "rejected", Expired => "expired", Indeterminate => "indeterminate", Cancelled => "cancelled",
    }
    StepState {
        Planned => "planned", Running => "running", Waiting => "waiting", Executing => "executing", Verifying => "verifying", Confirming => "confirming", Retrying => "retrying",
        Succeeded => "succeeded", Skipped => "skipped", Shadowed => "shadowed", Failed => "failed", Indeterminate => "indeterminate",
    }
    AttemptOutcome { Ok => "ok", Accepted => "accepted", NotDone => "not_done", Rejected => "rejected", Unknown => "unknown" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        assert!(RunState::ALL.iter().all(|it| RunState::parse(it.as_str()) == Some(*it)));
        assert!(StepState::ALL.iter().all(|it| StepState::parse(it.as_str()) == Some(*it)));
        assert!(AttemptOutcome::ALL.iter().all(|it| AttemptOutcome::parse(it.as_str()) == Some(*it)));
    }

    #[test]
    fn a_request_id_is_the_same_for_every_attempt_and_for_no_other_step() {
        let run = RunId::new();
        assert_eq!(run.request_id("suspend"), run.request_id("suspend"));
        assert_ne!(run.request_id("suspend"), run.request_id("cancel"));
        assert_ne!(run.request_id("suspend"), RunId::new().request_id("suspend"));
    }
}
