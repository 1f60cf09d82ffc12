//! What people read of news. The values come from alerts and playbooks: a channel shows them and obeys nothing in them.

use jiff::Timestamp;

use super::texts::{Texts, fill};
use crate::{
    alert::Severity,
    approval::{Approval, ApprovalState, Choice, Planned},
    channels::Notice,
    news::{News, RunNews, Turn},
    store::{ALERT, Outgoing, TICK},
};

/// Long enough to see what is at stake, short enough for a message.
const LONGEST_ARGUMENTS: usize = 400;

/// The characters of a hash by which people recognise a plan.
const SHOWN_OF_HASH: usize = 12;

/// What a message says.
struct Said {
    title: String,
    text: String,
    severity: Severity,
    facts: Vec<(&'static str, String)>,
}

/// What a channel is to tell; of a question, with how it stands.
pub(super) fn notice(outgoing: &Outgoing, approval: Option<&Approval>, texts: &Texts) -> Notice {
    let Said { title, mut text, severity, mut facts } = match (&outgoing.news, approval) {
        (News::Approval { turn, .. }, Some(approval)) => question(approval, *turn, texts),
        (news, _) => said(news, texts),
    };
    if outgoing.times > 1 {
        let times = outgoing.times.to_string();
        text.push_str("\n\n");
        text.push_str(&fill(texts.times, &[("times", &times)]));
        facts.push((texts.facts.occurrences, times));
    }
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect();
    Notice { id: outgoing.id.clone(), title, text, severity, facts }
}

fn said(news: &News, texts: &Texts) -> Said {
    let names = &texts.facts;
    match news {
        News::RunInDoubt(run) => of_run(run, (texts.run_in_doubt, texts.run_in_doubt_text), texts),
        News::RunFailed(run) => of_run(run, (texts.run_failed, texts.run_failed_text), texts),
        News::StepHeld { run, playbook, step, action, why } => Said {
            title: fill(texts.step_held, &[("playbook", playbook)]),
            text: fill(texts.step_held_text, &[("why", why), ("run", &run.0)]),
            severity: Severity::High,
            facts: vec![
                (names.step, step.clone()),
                (names.action, action.clone()),
                (names.playbook, playbook.clone()),
                (names.run, run.0.clone()),
            ],
        },
        News::PlaybookError { playbook, occasion, detail, since } => {
            let alert = occasion.strip_prefix(ALERT);
            let (title, text) = match alert {
                Some(_) => (texts.playbook_error, texts.playbook_error_text),
                None => (texts.schedule_error, texts.schedule_error_text),
            };
            Said {
                title: fill(title, &[("playbook", playbook)]),
                text: fill(text, &[("detail", detail), ("alert", alert.unwrap_or_default())]),
                severity: Severity::High,
                facts: vec![
                    (names.playbook, playbook.clone()),
                    (names.alert, alert.map(|number| format!("#{number}")).unwrap_or_default()),
                    (names.first_time, occasion.strip_prefix(TICK).unwrap_or_default().to_owned()),
                    (names.since, since.to_string()),
                ],
            }
        }
        News::ActionsStopped { who, reason } => Said {
            title: texts.actions_stopped.to_owned(),
            text: texts.actions_stopped_text.to_owned(),
            severity: Severity::High,
            facts: vec![(names.who, who.clone()), (names.reason, reason.clone())],
        },
        News::ActionsResumed { who, reason } => Said {
            title: texts.actions_resumed.to_owned(),
            text: texts.actions_resumed_text.to_owned(),
            severity: Severity::Informational,
            facts: vec![(names.who, who.clone()), (names.reason, reason.clone())],
        },
        News::Quarantined { reason, detail } => Said {
            title: fill(texts.quarantined, &[("reason", reason)]),
            text: fill(texts.quarantined_text, &[("detail", detail)]),
            severity: Severity::Medium,
            facts: Vec::new(),
        },
        // The relay looks the question up first.
        News::Approval { approval, .. } => Said {
            title: fill(texts.void, &[("title", &approval.0)]),
            text: texts.nothing_to_decide.to_owned(),
            severity: Severity::Informational,
            facts: vec![(names.approval, approval.0.clone())],
        },
    }
}

fn of_run(news: &RunNews, (title, text): (&str, &str), texts: &Texts) -> Said {
    let RunNews { run, playbook, alert, reason } = news;
    Said {
        title: fill(title, &[("playbook", playbook)]),
        text: fill(text, &[("reason", reason), ("run", &run.0)]),
        severity: Severity::High,
        facts: vec![
            (texts.facts.playbook, playbook.clone()),
            (texts.facts.run, run.0.clone()),
            (texts.facts.alert, alert.map(|alert| format!("#{alert}")).unwrap_or_default()),
        ],
    }
}

fn question(approval: &Approval, turn: Turn, texts: &Texts) -> Said {
    let (question, names) = (&approval.question, &texts.facts);
    let (title, text) = match turn {
        Turn::Opened => (texts.approval_opened, request(approval, texts)),
        Turn::Escalated => (texts.approval_escalated, request(approval, texts)),
        Turn::Decided => (ending(approval.state, texts), outcome(approval, texts)),
    };
    let asked_by = if turn == Turn::Escalated { Timestamp::MAX } else { approval.opened_at };
    let groups = approval.groups_at(asked_by).join(", ");
    Said {
        title: fill(title, &[("title", &question.title)]),
        text,
        severity: if turn == Turn::Decided { Severity::Informational } else { Severity::High },
        facts: vec![
            (names.asks, fill(texts.quorum, &[("quorum", &question.quorum.to_string()), ("groups", &groups)])),
            (names.until, approval.expires_at.to_string()),
            (names.plan, approval.hash.chars().take(SHOWN_OF_HASH).collect()),
            (names.playbook, question.playbook.clone()),
            (names.run, approval.run.0.clone()),
            (names.approval, approval.id.0.clone()),
        ],
    }
}

fn request(approval: &Approval, texts: &Texts) -> String {
    let question = &approval.question;
    let mut lines = Vec::new();
    if !question.why.is_empty() {
        lines.push(fill(texts.why, &[("why", &question.why)]));
    }
    lines.push(texts.plan.to_owned());
    lines.extend(question.plan.iter().map(|planned| line(planned, texts)));
    if question.plan.is_empty() {
        lines.push(texts.empty_plan.to_owned());
    }
    lines.push(String::new());
    lines.push(fill(texts.answer, &[("id", &approval.id.0), ("hash", &approval.hash)]));
    lines.join("\n")
}

fn line(planned: &Planned, texts: &Texts) -> String {
    let arguments = planned.with.to_string();
    let shown: String = arguments.chars().take(LONGEST_ARGUMENTS).collect();
    let more = if arguments.chars().count() > LONGEST_ARGUMENTS { "…" } else { "" };
    match &planned.unknown {
        Some(why) => format!("- {}: {} — {}", planned.step, planned.action, fill(texts.unknown, &[("why", why)])),
        None => format!("- {}: {} {shown}{more}", planned.step, planned.action),
    }
}

fn ending(state: ApprovalState, texts: &Texts) -> &'static str {
    match state {
        ApprovalState::Approved => texts.approved,
        ApprovalState::Rejected => texts.rejected,
        ApprovalState::Expired => texts.expired,
        ApprovalState::Void => texts.void,
        ApprovalState::Open => texts.approval_opened,
    }
}

fn outcome(approval: &Approval, texts: &Texts) -> String {
    let by = |text, choice| fill(text, &[("who", &approval.voters(choice).join(", "))]);
    let said = match approval.state {
        ApprovalState::Approved if approval.votes.is_empty() => texts.silent_yes.to_owned(),
        ApprovalState::Approved => by(texts.approved_by, Choice::Approve),
        ApprovalState::Rejected => by(texts.rejected_by, Choice::Reject),
        ApprovalState::Expired => texts.nobody_decided.to_owned(),
        ApprovalState::Void | ApprovalState::Open => texts.nothing_to_decide.to_owned(),
    };
    if approval.outcome.is_empty() { format!("{said}.") } else { format!("{said}: {}", approval.outcome) }
}
