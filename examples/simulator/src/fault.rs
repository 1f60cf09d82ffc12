//! Rules that make requests fail, and the dice that decide when.

use std::collections::BTreeMap;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One rule. It applies to a request when everything that it names matches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// Service name as in the ledger; `None` is any.
    #[serde(default)]
    pub service: Option<String>,
    /// HTTP method or SMTP command; `None` is any.
    #[serde(default)]
    pub method: Option<String>,
    /// A part of path and query; `None` is any.
    #[serde(default)]
    pub path: Option<String>,
    /// How often the rule still applies; `None` is without end.
    #[serde(default)]
    pub times: Option<u32>,
    /// Share of the matching requests that it applies to, decided by the seeded dice.
    #[serde(default = "always")]
    pub probability: f64,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Refuse with this status; nothing is applied.
    Status {
        /// The status; for mail the reply code.
        status: u16,
        /// A text or JSON body; without it, the service's own error shape.
        #[serde(default)]
        body: Option<Value>,
        /// Value of a `Retry-After` header, as sent: seconds, a fraction, a date, nonsense.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Apply the request, then answer with this status all the same.
    ApplyThenStatus {
        /// The status.
        status: u16,
    },
    /// Wait before the request is carried out, even if the client hangs up meanwhile.
    Delay {
        /// How long.
        milliseconds: u64,
    },
    /// Carry out the request, then wait before answering.
    DelayAnswer {
        /// How long.
        milliseconds: u64,
    },
    /// Carry out the request, then cut the connection without a byte.
    ApplyThenDrop,
    /// Cut the connection without a byte; nothing is applied.
    DropBeforeApply,
    /// Carry out the request, send half of the answer and cut the connection.
    Truncate,
    /// Carry out the request, and put a UTF-8 byte order mark before the answer.
    ByteOrderMark,
    /// A success answer of so many bytes; nothing is applied.
    Huge {
        /// Size of the body.
        bytes: usize,
    },
    /// A web page, as a proxy in the way would send it; nothing is applied.
    Html {
        /// The status.
        status: u16,
    },
    /// A redirect; nothing is applied.
    Redirect {
        /// Where to.
        location: String,
    },
    /// At most so many requests a minute for one customer (or for the partner, where the path names none); the others
    /// get 429 with `Retry-After`.
    Throttle {
        /// The limit.
        per_minute: usize,
    },
}

impl Fault {
    /// A rule that applies to the next matching request.
    pub fn once(kind: FaultKind) -> Self {
        Self { times: Some(1), ..Self::always(kind) }
    }

    /// A rule that applies to every matching request.
    pub fn always(kind: FaultKind) -> Self {
        Self { service: None, method: None, path: None, times: None, probability: always(), kind }
    }
}

/// What is asked of the rules: enough of a request to match it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) throttle_key: &'a str,
    pub(crate) now: Timestamp,
}

/// What the rules decided for one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    pub(crate) delay: u64,
    pub(crate) answer_delay: u64,
    pub(crate) kind: Option<FaultKind>,
}

/// The rules in force, oldest first.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Vec<Fault>,
    dice: Rng,
    /// Times of recent requests, by rule position and throttle key.
    recent: BTreeMap<(usize, String), Vec<Timestamp>>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), dice: Rng::with_seed(seed), recent: BTreeMap::new() }
    }

    pub(crate) fn push(&mut self, fault: Fault) {
        self.rules.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
        self.recent.clear();
    }

    pub(crate) fn rules(&self) -> &[Fault] {
        &self.rules
    }

    /// Delays add up; the first other rule that applies ends the search.
    pub(crate) fn decide(&mut self, subject: Subject<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        for index in 0..self.rules.len() {
            let Some(kind) = self.draw(index, subject) else {
                continue;
            };
            match kind {
                FaultKind::Delay { milliseconds } => verdict.delay += milliseconds,
                FaultKind::DelayAnswer { milliseconds } => verdict.answer_delay += milliseconds,
                other => {
                    verdict.kind = Some(other);
                    break;
                }
            }
        }
        verdict
    }

    /// A number below `limit`, from the seeded dice.
    pub(crate) fn jitter(&mut self, limit: u64) -> u64 {
        self.dice.u64(..=limit)
    }

    fn draw(&mut self, index: usize, subject: Subject<'_>) -> Option<FaultKind> {
        let rule = self.rules.get_mut(index)?;
        if !matches(rule, subject) || rule.times == Some(0) {
            return None;
        }
        if rule.probability < 1.0 && self.dice.f64() >= rule.probability {
            return None;
        }
        if let FaultKind::Throttle { per_minute } = rule.kind {
            let key = (index, subject.throttle_key.to_owned());
            let wait = throttle(self.recent.entry(key).or_default(), per_minute, subject.now)?;
            return Some(too_many(wait));
        }
        rule.times = rule.times.map(|left| left - 1);
        Some(rule.kind.clone())
    }
}

/// Counts one more request at `now`; when the limit of a minute is used up, says after how many seconds it is not.
pub(crate) fn throttle(recent: &mut Vec<Timestamp>, limit: usize, now: Timestamp) -> Option<i64> {
    let minute = SignedDuration::from_mins(1);
    recent.retain(|at| now.duration_since(*at) < minute);
    if recent.len() < limit {
        recent.push(now);
        return None;
    }
    let oldest = recent.first().copied().unwrap_or(now);
    let wait = minute - now.duration_since(oldest);
    Some(wait.as_secs() + 1)
}

fn too_many(wait: i64) -> FaultKind {
    FaultKind::Status { status: 429, body: None, retry_after: Some(wait.to_string()) }
}

fn matches(rule: &Fault, subject: Subject<'_>) -> bool {
    let service = rule.service.as_deref().unwrap_or(subject.service);
    let method = rule.method.as_deref().unwrap_or(subject.method);
    let path = rule.path.as_deref().unwrap_or("");
    service == subject.service && method.eq_ignore_ascii_case(subject.method) && subject.path.contains(path)
}

fn always() -> f64 {
    1.0
}
