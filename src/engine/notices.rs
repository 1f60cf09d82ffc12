//! Tells people of what they are asked, and how it was decided. What is to be said waits in the journal, so that a restart loses nothing;
//! what is said twice carries the same identifier.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::Engine;
use crate::{
    actions::{FailureKind, Services},
    alert::Severity,
    approval::{Approval, ApprovalState, Choice, Planned},
    channels::Notice,
    lifecycle::Stop,
    retry::{Backoff, RetryPolicy},
    store::{DueNotice, Store, StoreError},
    telemetry::signals::Signals,
};

/// Sends what is due.
pub(super) struct Notices {
    store: Store,
    services: Arc<Services>,
    signals: Signals,
}

/// Sent at once; one slow channel does not keep the others waiting.
const BATCH: i64 = 32;

/// How soon people hear of a question. A look at what is due costs no commit.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A channel that is down for hours has people who are told otherwise.
const ATTEMPTS: u32 = 20;

/// A first try that fails is followed soon, because people are waited for; later ones every few minutes.
const AGAIN: RetryPolicy =
    RetryPolicy { max_attempts: ATTEMPTS, delay: Duration::from_secs(2), backoff: Backoff::Exponential, max_delay: Duration::from_mins(5) };

/// Long enough to see what is at stake, short enough for a message.
const LONGEST_ARGUMENTS: usize = 400;

/// The characters of a hash by which people recognise a plan.
const SHOWN_OF_HASH: usize = 12;

impl Notices {
    pub(super) fn new(engine: &Engine) -> Self {
        Self { store: engine.store.clone(), services: Arc::clone(&engine.services), signals: engine.signals.clone() }
    }

    pub(super) async fn run(self, stop: Stop) {
        while !stop.is_requested() {
            let sent = match self.send_some().await {
                Ok(sent) => sent,
                Err(error) => {
                    self.signals.store_failed(&error.to_string());
                    0
                }
            };
            if sent == 0 {
                stop.sleep(LOOK_EVERY).await;
            }
        }
    }

    async fn send_some(&self) -> Result<usize, StoreError> {
        let due = self.store.take_notices(BATCH).await?;
        for done in join_all(due.iter().map(|notice| self.send(notice))).await {
            done?;
        }
        Ok(due.len())
    }

    async fn send(&self, due: &DueNotice) -> Result<(), StoreError> {
        let is_open = due.approval.state == ApprovalState::Open;
        if due.kind != DECIDED && !is_open {
            // Nobody is asked any more what is decided.
            return self.store.notice_given_up(&due.id, "it was decided before it could be told").await;
        }
        let Err(failure) = self.services.channels.send(&due.channel, &told(due)).await else {
            return self.store.notice_sent(&due.id).await;
        };
        let why = failure.to_string();
        let wait = AGAIN.wait_after(due.attempts + 1, fastrand::f64(), failure.retry_after);
        if let Some(wait) = wait.filter(|_| failure.kind != FailureKind::Rejected) {
            let again = self.store.clock().now().checked_add(wait).unwrap_or(jiff::Timestamp::MAX);
            return self.store.notice_failed(&due.id, &why, again).await;
        }
        self.signals.approval_not_told(&due.approval.id.0, &due.channel, &why);
        self.store.notice_given_up(&due.id, &why).await
    }
}

/// The kind of message that tells how it ended; the others ask.
const DECIDED: &str = "decided";

/// What people read. The texts come from alerts and playbooks: a channel shows them and obeys nothing in them.
fn told(due: &DueNotice) -> Notice {
    let approval = &due.approval;
    let question = &approval.question;
    let is_escalated = due.kind == "escalated";
    let (title, text) = if due.kind == DECIDED {
        (format!("{}: {}", ending(approval.state), question.title), outcome(approval))
    } else {
        let word = if is_escalated { "Approval still needed" } else { "Approval needed" };
        (format!("{word}: {}", question.title), request(approval))
    };
    let asked = if is_escalated { approval.groups_at(jiff::Timestamp::MAX) } else { approval.groups_at(approval.opened_at) };
    let facts = [
        ("Asks", format!("{} of {}", question.quorum, asked.join(", "))),
        ("Until", approval.expires_at.to_string()),
        ("Plan", approval.hash.chars().take(SHOWN_OF_HASH).collect()),
        ("Playbook", question.playbook.clone()),
        ("Run", approval.run.0.clone()),
        ("Approval", approval.id.0.clone()),
    ];
    Notice {
        id: due.id.clone(),
        title,
        text,
        severity: if due.kind == DECIDED { Severity::Informational } else { Severity::High },
        facts: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

fn request(approval: &Approval) -> String {
    let question = &approval.question;
    let mut lines = Vec::new();
    if !question.why.is_empty() {
        lines.push(format!("Why: {}", question.why));
    }
    lines.push("If you agree, exactly this is done:".to_owned());
    lines.extend(question.plan.iter().map(line));
    if question.plan.is_empty() {
        lines.push("- nothing of what it asks about, as things stand".to_owned());
    }
    lines.push(String::new());
    lines.push(format!("Look: quell approvals show {}", approval.id));
    lines.push(format!(
        "Then: quell approvals approve {0} --hash {1} (or: reject {0} --hash {1} --reason \"…\")",
        approval.id, approval.hash
    ));
    lines.push(format!("Or through the API: POST /api/v1/approvals/{}/approve", approval.id));
    lines.join("\n")
}

fn line(planned: &Planned) -> String {
    let arguments = planned.with.to_string();
    let shown: String = arguments.chars().take(LONGEST_ARGUMENTS).collect();
    let more = if arguments.chars().count() > LONGEST_ARGUMENTS { "…" } else { "" };
    match &planned.unknown {
        Some(why) => format!("- {}: {} — {why}; you will be asked again", planned.step, planned.action),
        None => format!("- {}: {} {shown}{more}", planned.step, planned.action),
    }
}

fn ending(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Approved => "Approved",
        ApprovalState::Rejected => "Rejected",
        ApprovalState::Expired => "Expired",
        ApprovalState::Void => "No longer needed",
        ApprovalState::Open => "Open",
    }
}

fn outcome(approval: &Approval) -> String {
    let by = |choice| approval.voters(choice).join(", ");
    let said = match approval.state {
        ApprovalState::Approved if approval.votes.is_empty() => "Nobody answered in time, and that counts as a yes".to_owned(),
        ApprovalState::Approved => format!("Approved by {}", by(Choice::Approve)),
        ApprovalState::Rejected => format!("Rejected by {}", by(Choice::Reject)),
        ApprovalState::Expired => "Nobody decided in time, and nothing of it is done".to_owned(),
        ApprovalState::Void | ApprovalState::Open => "Nothing is to be decided any more".to_owned(),
    };
    if approval.outcome.is_empty() { format!("{said}.") } else { format!("{said}: {}", approval.outcome) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{
        approval::{ApprovalId, Question, Silence, Vote},
        run::RunId,
    };

    fn due(kind: &str, state: ApprovalState) -> DueNotice {
        let planned = |step: &str, unknown: Option<&str>| Planned {
            step: step.to_owned(),
            action: "subscription.suspend".to_owned(),
            with: json!({"subscription_id": "s-1"}),
            target: None,
            unknown: unknown.map(ToOwned::to_owned),
        };
        let question = Question {
            playbook: "contain".to_owned(),
            title: "Suspend Production?".to_owned(),
            why: "the plan changed".to_owned(),
            rule: None,
            plan: vec![planned("suspend", None), planned("later", Some("not known yet"))],
            groups: vec!["leads".to_owned()],
            escalate: Vec::new(),
            quorum: 2,
            channels: vec!["log:default".to_owned()],
            requesters: Vec::new(),
            silence: Silence::Rejects,
        };
        let vote = |choice| Vote {
            person: "ann".to_owned(),
            choice,
            reason: "seen it".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            hash: "h".to_owned(),
            via: "test".to_owned(),
        };
        let votes = match state {
            ApprovalState::Approved => vec![vote(Choice::Approve)],
            ApprovalState::Rejected => vec![vote(Choice::Reject)],
            ApprovalState::Open | ApprovalState::Expired | ApprovalState::Void => Vec::new(),
        };
        let approval = Approval {
            id: ApprovalId("a-1".to_owned()),
            run: RunId("r-1".to_owned()),
            asker: "ask".to_owned(),
            round: 1,
            hash: "0123456789abcdef".to_owned(),
            question,
            state,
            outcome: "seen it".to_owned(),
            opened_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            decided_at: None,
            votes,
        };
        DueNotice { id: "n-1".to_owned(), kind: kind.to_owned(), channel: "log:default".to_owned(), attempts: 0, approval }
    }

    #[test]
    fn a_question_shows_the_exact_plan_and_how_to_answer() {
        let notice = told(&due("opened", ApprovalState::Open));
        assert_eq!((notice.id.as_str(), notice.title.as_str()), ("n-1", "Approval needed: Suspend Production?"));
        for shown in [
            "Why: the plan changed",
            r#"- suspend: subscription.suspend {"subscription_id":"s-1"}"#,
            "- later: subscription.suspend — not known yet; you will be asked again",
            "quell approvals show a-1",
            "approve a-1 --hash 0123456789abcdef",
            "POST /api/v1/approvals/a-1/approve",
        ] {
            assert!(notice.text.contains(shown), "{shown}: {}", notice.text);
        }
        assert!(notice.facts.contains(&("Plan".to_owned(), "0123456789ab".to_owned())));
        assert!(told(&due("escalated", ApprovalState::Open)).title.starts_with("Approval still needed"));
    }

    #[test]
    fn an_ending_says_who_decided_and_why() {
        for (state, title, text) in [
            (ApprovalState::Approved, "Approved: Suspend Production?", "Approved by ann: seen it"),
            (ApprovalState::Rejected, "Rejected: Suspend Production?", "Rejected by ann: seen it"),
            (ApprovalState::Expired, "Expired: Suspend Production?", "Nobody decided in time"),
            (ApprovalState::Void, "No longer needed: Suspend Production?", "Nothing is to be decided any more"),
        ] {
            let notice = told(&due("decided", state));
            assert_eq!(notice.title, title);
            assert!(notice.text.contains(text), "{}", notice.text);
        }
    }
}
