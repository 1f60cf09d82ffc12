//! The words for what people are asked: the question with its exact plan, their votes, and how it ends.
//!
//! Plain data, as the store keeps it and people read it. Who may vote, and what a vote decides, is in [`rules`].

mod rules;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub use rules::{Ballot, Counted, LONGEST_REASON, Refused, judge};

use crate::{digest::sha256, run::RunId, word::words};

/// Names one question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApprovalId(pub String);

/// A question to people, with what they said.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Approval {
    pub id: ApprovalId,
    pub run: RunId,
    /// The path of the step that asks: an `approval` step, or the step that a guardrail of the site asks about.
    #[serde(rename = "step")]
    pub asker: String,
    /// How often it has been asked, from 1: a changed plan is another question.
    pub round: u32,
    /// Stands for the whole plan. Whoever votes says which plan they saw.
    pub hash: String,
    #[serde(flatten)]
    pub question: Question,
    pub state: ApprovalState,
    /// How it ended, for people.
    pub outcome: String,
    pub opened_at: Timestamp,
    pub expires_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    /// The last vote of each person, in the order in which they were cast.
    pub votes: Vec<Vote>,
}

/// What is asked, and whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Question {
    pub playbook: String,
    pub title: String,
    /// Why the site asks, or why it is asked again; empty where the playbook asks for the first time.
    pub why: String,
    /// The guardrail that asks; none where the playbook does.
    pub rule: Option<String>,
    /// What may be done when they agree, and nothing else.
    pub plan: Vec<Planned>,
    pub groups: Vec<String>,
    pub escalate: Vec<Escalated>,
    /// How many must agree.
    pub quorum: u32,
    /// Where they are asked.
    pub channels: Vec<String>,
    /// Who began the run or wrote its alert by hand; they do not decide about it.
    pub requesters: Vec<String>,
    /// What counts when nobody has answered in time.
    #[serde(alias = "silence")]
    pub on_timeout: OnTimeout,
}

/// A group that is asked as well from a moment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Escalated {
    pub at: Timestamp,
    pub groups: Vec<String>,
}

/// One step as people saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The path of the step.
    pub step: String,
    /// What it does.
    pub action: String,
    /// Its rendered arguments.
    pub with: Value,
    /// What it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Why the arguments could not be rendered yet. What was not seen is not agreed to: once they are known, people are asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// What counts when nobody has answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum OnTimeout {
    #[serde(alias = "rejects")]
    Reject,
    #[serde(alias = "approves")]
    Approve,
}

/// What a step that asked has as its output once that is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Decided {
    pub decision: ApprovalState,
    /// Who said so.
    pub by: Vec<String>,
    pub reason: String,
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// People may vote.
    Open,
    /// Enough people agreed.
    Approved,
    /// One did not agree.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// It counts no more: the plan changed, or its run has ended.
    Void,
}

/// What one person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Choice {
    Approve,
    Reject,
}

/// What one person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Vote {
    pub person: String,
    pub choice: Choice,
    pub reason: String,
    pub at: Timestamp,
    /// The plan that they saw.
    pub hash: String,
    /// How they came: through the API with a token, or on the command line as whom the system knows.
    pub via: String,
}

impl ApprovalId {
    /// The same for the same question, so that it is not opened twice.
    pub fn of(run: &RunId, asker: &str, round: u32) -> Self {
        Self(run.request_id(&format!("{asker}?{round}")).to_string())
    }

    /// Names a message about the question; the same for a repeat of it.
    pub fn message(&self, kind: &str, channel: &str) -> String {
        let own = Uuid::parse_str(&self.0).unwrap_or(Uuid::NAMESPACE_OID);
        Uuid::new_v5(&own, format!("{kind} {channel}").as_bytes()).to_string()
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Approval {
    /// A question that nobody has answered, for what it asks about.
    pub fn opened(run: &RunId, (asker, round): (&str, u32), question: Question, (opened_at, expires_at): (Timestamp, Timestamp)) -> Self {
        Self {
            id: ApprovalId::of(run, asker, round),
            run: run.clone(),
            asker: asker.to_owned(),
            round,
            hash: hash_of(&question.plan),
            question,
            state: ApprovalState::Open,
            outcome: String::new(),
            opened_at,
            expires_at,
            decided_at: None,
            votes: Vec::new(),
        }
    }

    /// The groups that may vote at a moment: those that were asked at first, and those that were asked since.
    pub fn groups_at(&self, now: Timestamp) -> Vec<&str> {
        let since = self.question.escalate.iter().filter(|it| it.at <= now).flat_map(|it| &it.groups);
        self.question.groups.iter().chain(since).map(String::as_str).collect()
    }

    /// Who said that.
    pub fn voters(&self, choice: Choice) -> Vec<&str> {
        self.votes.iter().filter(|vote| vote.choice == choice).map(|vote| vote.person.as_str()).collect()
    }

    /// What the step that asked has as its output once it is decided.
    pub fn output(&self) -> Value {
        let choice = if self.state == ApprovalState::Rejected { Choice::Reject } else { Choice::Approve };
        let by = self.voters(choice).into_iter().map(ToOwned::to_owned).collect();
        Decided { decision: self.state, by, reason: self.outcome.clone() }.output()
    }

    /// Whether this exact step is a part of the plan.
    pub fn covers(&self, planned: &Planned) -> bool {
        let hash = planned.hash();
        self.question.plan.iter().any(|seen| seen.step == planned.step && seen.hash() == hash)
    }
}

/// The reason of an answer that nobody gave in time.
pub const SILENT: &str = "nobody answered in time";

impl OnTimeout {
    /// How a question ends that nobody has answered.
    pub fn decision(self) -> ApprovalState {
        match self {
            Self::Reject => ApprovalState::Expired,
            Self::Approve => ApprovalState::Approved,
        }
    }
}

impl Decided {
    /// An answer that no person gave.
    pub fn by_nobody(decision: ApprovalState, reason: &str) -> Self {
        Self { decision, by: Vec::new(), reason: reason.to_owned() }
    }

    /// As the output of the step.
    pub fn output(&self) -> Value {
        json!(self)
    }

    /// What the output of a step that asked says was decided, if it says so.
    pub fn decision_in(output: &Value) -> Option<ApprovalState> {
        ApprovalState::parse(output.get("decision")?.as_str()?)
    }

    /// The reason that it gives.
    pub fn reason_in(output: &Value) -> &str {
        output.get("reason").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Planned {
    /// Stands for exactly this.
    pub fn hash(&self) -> String {
        // Objects have their keys in order, so that the same content is the same text.
        sha256(&json!([self.step, self.action, self.with, self.target, self.unknown]).to_string())
    }
}

/// Stands for a whole plan.
pub fn hash_of(plan: &[Planned]) -> String {
    let parts: Vec<_> = plan.iter().map(Planned::hash).collect();
    sha256(&parts.join("\n"))
}

words! {
    OnTimeout { Reject => "reject", Approve => "approve" }
    ApprovalState { Open => "open", Approved => "approved", Rejected => "rejected", Expired => "expired", Void => "void" }
    Choice { Approve => "approve", Reject => "reject" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(with: Value) -> Planned {
        Planned { step: "s".to_owned(), action: "log".to_owned(), with, target: None, unknown: None }
    }

    #[test]
    fn a_hash_stands_for_exactly_one_plan() {
        let one = planned(json!({"a": 1, "b": [true, null]}));
        assert_eq!(one.hash().len(), 64);
        let read: Planned = serde_json::from_str(r#"{"with": {"b": [true, null], "a": 1}, "action": "log", "step": "s"}"#).unwrap();
        assert_eq!(read.hash(), one.hash(), "the order of keys says nothing");
        for other in [
            planned(json!({"a": 2, "b": [true, null]})),
            planned(json!({"a": "1", "b": [true, null]})),
            Planned { step: "t".to_owned(), ..one.clone() },
            Planned { action: "notify".to_owned(), ..one.clone() },
            Planned { target: Some("plan:1".to_owned()), ..one.clone() },
            Planned { unknown: Some("later".to_owned()), ..one.clone() },
        ] {
            assert_ne!(other.hash(), one.hash(), "{other:?}");
            assert_ne!(hash_of(&[one.clone(), other.clone()]), hash_of(&[other, one.clone()]), "and so does the order of steps");
        }
        assert_ne!(hash_of(std::slice::from_ref(&one)), hash_of(&[one.clone(), one]));
    }

    #[test]
    fn a_question_has_one_name_for_each_round() {
        let run = RunId::new();
        assert_eq!(ApprovalId::of(&run, "ask", 1), ApprovalId::of(&run, "ask", 1));
        assert_ne!(ApprovalId::of(&run, "ask", 1), ApprovalId::of(&run, "ask", 2));
        let id = ApprovalId::of(&run, "ask", 1);
        assert_ne!(id.message("opened", "slack:a"), id.message("opened", "slack:b"));
        assert_eq!(id.message("opened", "slack:a"), id.message("opened", "slack:a"));
    }
}
