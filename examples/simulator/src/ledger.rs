//! The append-only record of every request and of what it changed: the truth that Quell's journal is compared with.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One request to the simulator, or one callback that it sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 1 without gaps.
    pub seq: u64,
    /// When the request was carried out or refused.
    pub at: Timestamp,
    /// `login`, `graph`, `partner-center`, `slack`, `teams`, `pagerduty`, `smtp`, `cert`, `operator` (a person's own
    /// change) or `callback` (an event that the simulator sent).
    pub service: String,
    /// HTTP method, or SMTP command.
    pub method: String,
    /// Path and query as sent; for a callback the URL it went to.
    pub path: String,
    /// `MS-RequestId`, or `client-request-id` for Graph.
    pub request_id: Option<String>,
    /// `MS-CorrelationId`.
    pub correlation_id: Option<String>,
    /// The precondition as sent.
    pub if_match: Option<String>,
    /// Hexadecimal digest of the request body.
    pub body_sha256: String,
    /// The request body when it is JSON and small. Never kept for sign-ins.
    pub body: Option<Value>,
    /// Status that was, or would have been, answered.
    pub status: u16,
    /// The request changed something: it has an effect that is not a repeat.
    pub applied: bool,
    /// A whole answer was handed to the client's connection.
    pub answered: bool,
    /// What the request did or found done.
    pub effect: Option<Effect>,
}

/// A side effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Such as `subscription.suspended`, `entitlement.cancelled`, `alert.updated`, `message.slack`, `message.email`.
    pub kind: String,
    /// Id of the changed thing: plan, Azure subscription, alert, channel, deduplication key or `Message-ID`.
    pub target: String,
    /// The state was already so, or the request was a known repetition: nothing new happened.
    pub repeat: bool,
}

impl Effect {
    pub(crate) fn new(kind: &str, target: &str) -> Self {
        Self { kind: kind.to_owned(), target: target.to_owned(), repeat: false }
    }

    pub(crate) fn repeated(mut self, repeat: bool) -> Self {
        self.repeat = repeat;
        self
    }
}

/// How often each effect was applied; repeats do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Azure plans suspended.
    pub suspended: usize,
    /// Azure subscriptions whose cancellation was accepted.
    pub cancelled: usize,
    /// Azure plans and subscriptions made active again, by API or by an operator.
    pub reactivated: usize,
    /// Alerts whose status was changed through Graph.
    pub alert_updates: usize,
    /// Spending budgets changed.
    pub budgets: usize,
    /// Slack messages.
    pub slack: usize,
    /// Teams messages.
    pub teams: usize,
    /// `PagerDuty` events, one per action and deduplication key.
    pub pagerduty: usize,
    /// Mails, one per `Message-ID`.
    pub emails: usize,
    /// Access tokens issued.
    pub tokens: usize,
    /// Callbacks that were answered with success.
    pub callbacks: usize,
    /// Effects that were found already done.
    pub repeats: usize,
    /// Requests received, with or without effect.
    pub requests: usize,
}

/// All entries, in memory and, when asked for, on disk.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    file: Option<File>,
}

impl Ledger {
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let file = OpenOptions::new().create(true).append(true).open(path).with_context(|| format!("open ledger `{}`", path.display()))?;
        Ok(Self { entries: Vec::new(), file: Some(file) })
    }

    /// Gives the entry its number and makes it durable; returns the number.
    pub(crate) fn append(&mut self, mut entry: Entry) -> u64 {
        entry.seq = self.entries.len() as u64 + 1;
        entry.applied = entry.effect.as_ref().is_some_and(|it| !it.repeat);
        let seq = entry.seq;
        self.write(&entry);
        self.entries.push(entry);
        seq
    }

    /// The client hung up before its answer was ready. The entry is written again: the last line of a number counts.
    pub(crate) fn mark_unanswered(&mut self, seq: u64) {
        let found = self.entries.iter_mut().find(|entry| entry.seq == seq);
        let Some(entry) = found else { return };
        entry.answered = false;
        let entry = entry.clone();
        self.write(&entry);
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether such an effect on this target is already recorded.
    pub(crate) fn has_effect(&self, kind: &str, target: &str) -> bool {
        let mut effects = self.entries.iter().filter_map(|it| it.effect.as_ref());
        effects.any(|effect| effect.kind == kind && effect.target == target)
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in &self.entries {
            if entry.service != "callback" && entry.service != "operator" {
                counts.requests += 1;
            }
            if let Some(effect) = &entry.effect {
                counts.add(effect);
            }
        }
        counts
    }

    fn write(&mut self, entry: &Entry) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_string(entry)
            .map_err(Into::into)
            .and_then(|line| file.write_all(format!("{line}\n").as_bytes()))
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            complain(&error);
        }
    }
}

impl Counts {
    fn add(&mut self, effect: &Effect) {
        let count = match effect.kind.as_str() {
            _ if effect.repeat => &mut self.repeats,
            "subscription.suspended" => &mut self.suspended,
            "entitlement.cancelled" => &mut self.cancelled,
            "subscription.reactivated" | "entitlement.reactivated" => &mut self.reactivated,
            "alert.updated" => &mut self.alert_updates,
            "budget.updated" => &mut self.budgets,
            "message.slack" => &mut self.slack,
            "message.teams" => &mut self.teams,
            "event.pagerduty" => &mut self.pagerduty,
            "message.email" => &mut self.emails,
            "token.issued" => &mut self.tokens,
            "callback.delivered" => &mut self.callbacks,
            _ => return,
        };
        *count += 1;
    }
}

#[expect(clippy::print_stderr, reason = "a test that trusts the file must learn that it has a hole")]
fn complain(error: &std::io::Error) {
    eprintln!("quell-simulator: write ledger: {error}");
}
