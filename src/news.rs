//! The words for what leaves: what people are told without having asked for it, whom the site wants told, and what other systems learn.
//!
//! Plain data, as the store keeps it until it is delivered. What people read of it is written in `engine::outbox`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{approval::ApprovalId, run::RunId, word::words};

/// Something that people are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum News {
    /// People are asked, or it is known how that ended; told as the question stands when it is sent.
    Approval { approval: ApprovalId, turn: Turn },
    /// Nobody knows whether a step happened: the run waits for a person.
    RunInDoubt(RunNews),
    /// A run that acts ended because a step failed.
    RunFailed(RunNews),
    /// A guardrail held a step back for good.
    StepHeld { run: RunId, playbook: String, step: String, action: String, why: String },
    /// A playbook cannot be evaluated. What was to be answered when that came up first is `alert:N` or `tick:TIME`.
    PlaybookError { playbook: String, occasion: String, detail: String, since: Timestamp },
    /// The kill switch was thrown.
    ActionsStopped { who: String, reason: String },
    /// It was released.
    ActionsResumed { who: String, reason: String },
    /// A message is not an alert.
    Quarantined { reason: String, detail: String },
}

/// A run that has come to an end that people should know of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RunNews {
    pub run: RunId,
    pub playbook: String,
    pub alert: Option<i64>,
    pub reason: String,
}

/// Why people hear of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// They are asked.
    Opened,
    /// Others are asked as well.
    Escalated,
    /// It is known how it ended.
    Decided,
}

/// What the site may want somebody told of. Questions are not among it: they name their own channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// A run waits for a person, because nobody knows whether a step happened.
    RunInDoubt,
    /// A run failed.
    RunFailed,
    /// A guardrail held a step back for good.
    StepHeld,
    /// A playbook cannot be evaluated on alerts, or when its schedule begins it.
    PlaybookError,
    /// The kill switch was thrown or released.
    ActionsStopped,
    /// Messages are not alerts.
    Quarantined,
}

/// Whom the site wants told of what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tell {
    /// Of what; of everything, if it is left out.
    #[serde(default = "everything")]
    pub of: Vec<Topic>,
    /// Through which channels.
    pub to: Vec<String>,
}

/// What other systems are announced. Its word is the routing key, and a part of the type of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was decided which playbooks answer an alert.
    AlertDecided,
    /// A run began, or waits for its turn.
    RunBegun,
    /// A run ended, or stopped because nobody knows whether a step happened.
    RunEnded,
    /// A step ended that may have changed something.
    StepEnded,
    /// People are asked.
    ApprovalOpened,
    /// It is known how that ended.
    ApprovalClosed,
    /// The kill switch was thrown.
    ActionsStopped,
    /// It was released.
    ActionsResumed,
}

/// Where news and events go. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Outlet {
    tell: Arc<[Tell]>,
    /// Whether events are announced to other systems.
    pub announces: bool,
}

/// The language of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Korean.
    Ko,
}

/// How often a channel is told of the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long the first waits, so that what comes with it is counted in it.
    pub first: Duration,
    /// At least so long after the one before it.
    pub every: Duration,
}

/// Long enough that a burst of malformed messages is counted in one message, short enough for a person.
const BURST: Duration = Duration::from_secs(15);

/// Whoever is called to a run in doubt wants to know of the next one soon.
const PRESSING: Duration = Duration::from_mins(5);

/// Whoever has heard of a failure looks at all of them.
const CALM: Duration = Duration::from_mins(15);

impl News {
    /// What kind of news it is: a word from a bounded set.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Approval { turn: Turn::Opened, .. } => "approval_opened",
            Self::Approval { turn: Turn::Escalated, .. } => "approval_escalated",
            Self::Approval { turn: Turn::Decided, .. } => "approval_decided",
            Self::RunInDoubt(_) => "run_in_doubt",
            Self::RunFailed(_) => "run_failed",
            Self::StepHeld { .. } => "step_held",
            Self::PlaybookError { .. } => "playbook_error",
            Self::ActionsStopped { .. } => "actions_stopped",
            Self::ActionsResumed { .. } => "actions_resumed",
            Self::Quarantined { .. } => "quarantined",
        }
    }

    /// What it is about. News of one kind about one thing are told together.
    pub fn about(&self) -> String {
        match self {
            Self::Approval { approval, .. } => format!("approval {approval}"),
            Self::RunInDoubt(run) | Self::RunFailed(run) => format!("playbook {}", run.playbook),
            Self::StepHeld { playbook, .. } | Self::PlaybookError { playbook, .. } => format!("playbook {playbook}"),
            Self::ActionsStopped { .. } | Self::ActionsResumed { .. } => "all actions".to_owned(),
            Self::Quarantined { reason, .. } => format!("quarantine {reason}"),
        }
    }

    /// The topic under which the site says who hears it; none of a question, which says so itself.
    pub fn topic(&self) -> Option<Topic> {
        match self {
            Self::Approval { .. } => None,
            Self::RunInDoubt(_) => Some(Topic::RunInDoubt),
            Self::RunFailed(_) => Some(Topic::RunFailed),
            Self::StepHeld { .. } => Some(Topic::StepHeld),
            Self::PlaybookError { .. } => Some(Topic::PlaybookError),
            Self::ActionsStopped { .. } | Self::ActionsResumed { .. } => Some(Topic::ActionsStopped),
            Self::Quarantined { .. } => Some(Topic::Quarantined),
        }
    }

    /// How often it is told; none if every one of it is a message of its own.
    pub fn pace(&self) -> Option<Pace> {
        match self {
            // Errors of playbooks are told once each; who throws a switch is a person.
            Self::Approval { .. } | Self::PlaybookError { .. } | Self::ActionsStopped { .. } | Self::ActionsResumed { .. } => None,
            Self::RunInDoubt(_) => Some(Pace { first: Duration::ZERO, every: PRESSING }),
            Self::RunFailed(_) | Self::StepHeld { .. } => Some(Pace { first: Duration::ZERO, every: CALM }),
            Self::Quarantined { .. } => Some(Pace { first: BURST, every: CALM }),
        }
    }
}

impl Outlet {
    /// One that tells these people, and announces events if that is wanted.
    pub fn new(tell: &[Tell], announces: bool) -> Self {
        Self { tell: tell.into(), announces }
    }

    /// The channels that are told of a topic, each once.
    pub fn told_of(&self, topic: Topic) -> BTreeSet<&str> {
        let wanted = self.tell.iter().filter(|tell| tell.of.contains(&topic));
        wanted.flat_map(|tell| &tell.to).map(String::as_str).collect()
    }
}

fn everything() -> Vec<Topic> {
    Topic::ALL.to_vec()
}

words! {
    Language { En => "en", Ko => "ko" }
    Turn { Opened => "opened", Escalated => "escalated", Decided => "decided" }
    EventKind {
        AlertDecided => "alert.decided", RunBegun => "run.begun", RunEnded => "run.ended", StepEnded => "step.ended",
        ApprovalOpened => "approval.opened", ApprovalClosed => "approval.closed",
        ActionsStopped => "actions.stopped", ActionsResumed => "actions.resumed",
    }
    Topic {
        RunInDoubt => "run_in_doubt", RunFailed => "run_failed", StepHeld => "step_held", PlaybookError => "playbook_error",
        ActionsStopped => "actions_stopped", Quarantined => "quarantined",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_hears_a_topic_once_however_often_it_is_named() {
        let tell: Vec<Tell> =
            serde_json::from_str(r#"[{"to": ["slack:a"]}, {"of": ["run_failed", "quarantined"], "to": ["slack:b", "slack:a"]}]"#).unwrap();
        let outlet = Outlet::new(&tell, false);
        assert_eq!(outlet.told_of(Topic::RunFailed).into_iter().collect::<Vec<_>>(), ["slack:a", "slack:b"]);
        assert_eq!(outlet.told_of(Topic::StepHeld).into_iter().collect::<Vec<_>>(), ["slack:a"]);
        assert!(Outlet::default().told_of(Topic::RunInDoubt).is_empty());
    }

    #[test]
    fn a_topic_is_written_as_it_is_called() {
        for topic in Topic::ALL {
            assert_eq!(serde_json::to_value(topic).unwrap(), topic.as_str());
        }
    }
}
