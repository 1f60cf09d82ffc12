//! Windows: how often a playbook answers, and which alerts it answers together or only once. Plain data and pure functions.
//!
//! A run asks for windows ([`Windows`]), somebody knows what is in them ([`Seen`]), and [`admit`] says what becomes of the run. The store
//! keeps what is known in its journal; [`Memory`] keeps it in memory, for whoever only wants to know what would happen.
//!
//! A clock that was set back by minutes opens no window again: what lies in the future counts as well. What lies further ahead was written
//! while the clock was wrong, and holds nothing back; the kill switch was thrown then.

mod memory;

use std::time::Duration;

use jiff::Timestamp;

pub use memory::Memory;

use crate::{
    duration::Span,
    run::{RunId, Strategy},
};

/// What a run asks for, with rendered keys. They are asked in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Windows {
    pub threshold: Option<Threshold>,
    pub dedup: Option<Dedup>,
    pub group: Option<Group>,
    pub throttle: Option<Throttle>,
    pub concurrency: Option<Concurrency>,
}

/// A run only when this has happened so often within a while, this time included. Every further time within the while passes as well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Threshold {
    pub key: String,
    pub count: u32,
    pub within: Duration,
}

/// No other run of that key for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Dedup {
    pub key: String,
    pub window: Duration,
}

/// One run for all alerts of that key which come before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Group {
    pub key: String,
    /// How long the first alert waits for others.
    pub wait: Duration,
    /// How much time lies between two runs of the key at least.
    pub interval: Duration,
}

/// At most so many runs of that key within a while.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Throttle {
    pub key: String,
    pub max: u32,
    pub per: Duration,
}

/// At most so many open runs of that key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Concurrency {
    pub key: String,
    pub max: u32,
    pub strategy: Strategy,
}

/// What is known under the keys that a run asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// How often the threshold's key was met within its while, this time not counted. More than its count need not be known.
    pub hits: u32,
    /// The last run of the dedup key, and until when it holds that.
    pub holder: Option<(RunId, Timestamp)>,
    /// The run that alerts of the group join.
    pub gathering: Option<RunId>,
    /// When a run of the group last began, or will.
    pub last_start: Option<Timestamp>,
    /// When runs of the throttle's key began within its while, the last first. More than its number need not be known.
    pub starts: Vec<Timestamp>,
    /// The open runs of the concurrency key that wait for no other, the oldest first. More than its number need not be known, unless
    /// they are to be cancelled.
    pub open: Vec<RunId>,
    /// Those that wait for others.
    pub queued: Vec<RunId>,
}

/// What becomes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It begins.
    Begin {
        /// When it has something to do.
        due: Timestamp,
    },
    /// It begins when others of its concurrency key have ended.
    Queue {
        /// When it has something to do, at the soonest.
        due: Timestamp,
        /// These are to end as soon as nothing of theirs is under way.
        cancel: Vec<RunId>,
    },
    /// Another run answers its alert.
    Join {
        /// That run.
        run: RunId,
    },
    /// It does not begin.
    Held {
        /// The window that held it: a word.
        rule: &'static str,
        /// Why, for people.
        detail: String,
        /// Until when nothing of the key begins, if that is known.
        until: Option<Timestamp>,
    },
}

/// A window of which something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Threshold,
    Dedup,
    Group,
    Throttle,
}

/// What is to be kept of an admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In which window.
    pub kind: Kind,
    /// Under which key.
    pub key: String,
    /// When it happened.
    pub at: Timestamp,
    /// From when on it cannot matter any more.
    pub until: Timestamp,
    /// How many of the key are worth keeping, the latest.
    pub keep: u32,
}

impl Windows {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Kind {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Dedup => "dedup",
            Self::Group => "group",
            Self::Throttle => "throttle",
        }
    }

    /// Whether only the last entry of a key counts, whatever its time.
    pub fn is_replaced(self) -> bool {
        match self {
            Self::Dedup | Self::Group => true,
            Self::Threshold | Self::Throttle => false,
        }
    }
}

/// What becomes of a run: the threshold counts first, then dedup, group, throttle and concurrency are asked.
pub fn admit(windows: &Windows, seen: &Seen, now: Timestamp) -> Admission {
    let below = windows.threshold.as_ref().and_then(|threshold| below(threshold, seen));
    let held = below.or_else(|| windows.dedup.as_ref().and_then(|dedup| duplicate(dedup, seen, now)));
    if let Some(held) = held {
        return held;
    }
    if let (Some(_), Some(run)) = (&windows.group, &seen.gathering) {
        return Admission::Join { run: run.clone() };
    }
    if let Some(held) = windows.throttle.as_ref().and_then(|throttle| throttled(throttle, seen)) {
        return held;
    }
    let due = windows.group.as_ref().map_or(now, |group| gathered(group, seen, now));
    match &windows.concurrency {
        Some(concurrency) => placed(concurrency, seen, due),
        None => Admission::Begin { due },
    }
}

/// What is to be kept of an admission, for the next one.
pub fn entries(windows: &Windows, admission: &Admission, now: Timestamp) -> Vec<Entry> {
    let mut entries = Vec::new();
    // Also what is held has happened.
    if let Some(Threshold { key, count, within }) = &windows.threshold {
        entries.push(Entry { kind: Kind::Threshold, key: key.clone(), at: now, until: later(now, *within), keep: *count });
    }
    let begins = match admission {
        Admission::Held { .. } => return entries,
        Admission::Join { .. } => None,
        Admission::Begin { due } | Admission::Queue { due, .. } => Some(*due),
    };
    if let Some(Dedup { key, window }) = &windows.dedup {
        entries.push(Entry { kind: Kind::Dedup, key: key.clone(), at: now, until: later(now, *window), keep: 1 });
    }
    let Some(due) = begins else { return entries };
    if let Some(Group { key, interval, .. }) = &windows.group {
        entries.push(Entry { kind: Kind::Group, key: key.clone(), at: due, until: later(due, *interval), keep: 1 });
    }
    if let Some(Throttle { key, max, per }) = &windows.throttle {
        entries.push(Entry { kind: Kind::Throttle, key: key.clone(), at: now, until: later(now, *per), keep: *max });
    }
    entries
}

/// From when on something counts that counts for a while.
pub fn since(now: Timestamp, span: Duration) -> Timestamp {
    now.checked_sub(span).unwrap_or(Timestamp::MIN)
}

fn below(threshold: &Threshold, seen: &Seen) -> Option<Admission> {
    let Threshold { key, count, within } = threshold;
    let hits = seen.hits.saturating_add(1);
    let detail = || format!("threshold: {hits} of {count} within {} for the key `{key}`", Span(*within));
    (hits < *count).then(|| Admission::Held { rule: Kind::Threshold.as_str(), detail: detail(), until: None })
}

fn duplicate(dedup: &Dedup, seen: &Seen, now: Timestamp) -> Option<Admission> {
    let (holder, until) = seen.holder.as_ref().filter(|(_, until)| *until > now)?;
    let detail = format!("dedup: run {holder} holds the key `{}` until {until}", dedup.key);
    Some(Admission::Held { rule: Kind::Dedup.as_str(), detail, until: Some(*until) })
}

/// When a run of a group begins whose first alert came now.
fn gathered(group: &Group, seen: &Seen, now: Timestamp) -> Timestamp {
    // A start in the future was planned and never made, or the clock was set back; neither is a reason to wait for longer.
    let rested = seen.last_start.map(|last| later(last.min(now), group.interval));
    let waited = later(now, group.wait);
    rested.map_or(waited, |rested| rested.max(waited))
}

fn throttled(throttle: &Throttle, seen: &Seen) -> Option<Admission> {
    let Throttle { key, max, per } = throttle;
    let most = usize::try_from(*max).unwrap_or(usize::MAX);
    if seen.starts.len() < most {
        return None;
    }
    let until = most.checked_sub(1).and_then(|last| seen.starts.get(last)).map(|start| later(*start, *per));
    let next = until.map(|until| format!(", the next one at {until}")).unwrap_or_default();
    let detail = format!("throttle: at most {max} runs within {} for the key `{key}`{next}", Span(*per));
    Some(Admission::Held { rule: Kind::Throttle.as_str(), detail, until })
}

fn placed(concurrency: &Concurrency, seen: &Seen, due: Timestamp) -> Admission {
    let Concurrency { key, max, strategy } = concurrency;
    let is_full = seen.open.len() >= usize::try_from(*max).unwrap_or(usize::MAX);
    match strategy {
        Strategy::Skip if is_full => {
            let running = seen.open.first().map(|run| format!(", such as {run}")).unwrap_or_default();
            let detail = format!("concurrency: {max} runs of the key `{key}` are open already{running}");
            Admission::Held { rule: "concurrency", detail, until: None }
        }
        // Whoever waits already is first.
        Strategy::Queue if is_full || !seen.queued.is_empty() => Admission::Queue { due, cancel: Vec::new() },
        Strategy::CancelRunning if is_full => Admission::Queue { due, cancel: seen.open.iter().chain(&seen.queued).cloned().collect() },
        Strategy::Skip | Strategy::Queue | Strategy::CancelRunning => Admission::Begin { due },
    }
}

fn later(at: Timestamp, span: Duration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
