//! Why an attempt did not succeed, and what that tells about the outside world.

use std::time::Duration;

use jiff::Timestamp;

use crate::net::{NetError, Reply};

/// Why an attempt did not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Failure {
    pub kind: FailureKind,
    /// For people; holds no secret.
    pub message: String,
    pub http_status: Option<u16>,
    /// How long the other side asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// What a failed attempt tells about the outside world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Certainly not executed: nothing was sent, or the other side said that it is too busy. Another try may succeed.
    NotDone,
    /// Certainly not executed, and another try would fail the same way.
    Rejected,
    /// The precondition no longer holds: somebody changed the target.
    Conflict,
    /// It may or may not have been executed.
    Unknown,
}

impl Failure {
    /// A failure without an HTTP answer.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), http_status: None, retry_after: None }
    }

    /// Refused for good.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Rejected, message)
    }

    /// What an answer other than success means, when its body tells no more than its status does.
    pub fn from_reply(who: &str, reply: &Reply) -> Self {
        let excerpt = reply.text_excerpt();
        let said = if excerpt.is_empty() { String::new() } else { format!(": {excerpt}") };
        Self::from_status(reply, format!("{who} answered {}{said}", reply.status))
    }

    /// What an answer other than success means, with a sentence of the caller's.
    pub fn from_status(reply: &Reply, message: String) -> Self {
        let retry_after = reply.retry_after(Timestamp::now());
        let kind = kind_of(reply.status, retry_after.is_some());
        Self { kind, message, http_status: Some(reply.status), retry_after }
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Refused(message) => Self::new(FailureKind::Rejected, message),
            NetError::NotSent(message) => Self::new(FailureKind::NotDone, message),
            NetError::Unknown(message) => Self::new(FailureKind::Unknown, message),
        }
    }
}

fn kind_of(status: u16, asks_to_wait: bool) -> FailureKind {
    match status {
        // A throttle refuses before it works. So does 503 when it names a time; without one a gateway may have lost the answer.
        429 => FailureKind::NotDone,
        503 if asks_to_wait => FailureKind::NotDone,
        412 => FailureKind::Conflict,
        // A gateway says 408 when the service behind it did not answer in time.
        408 | 500.. => FailureKind::Unknown,
        // An answer other than 2xx that is below 400 is a redirect, which is never followed.
        0..=499 => FailureKind::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_whether_it_was_executed() {
        use FailureKind::{Conflict, NotDone, Rejected, Unknown};
        for (status, wait, kind) in [
            (301, false, Rejected),
            (400, false, Rejected),
            (401, false, Rejected),
            (403, false, Rejected),
            (404, false, Rejected),
            (408, false, Unknown),
            (409, false, Rejected),
            (412, false, Conflict),
            (422, false, Rejected),
            (429, false, NotDone),
            (429, true, NotDone),
            (500, false, Unknown),
            (500, true, Unknown),
            (502, false, Unknown),
            (503, false, Unknown),
            (503, true, NotDone),
            (504, false, Unknown),
        ] {
            assert_eq!(kind_of(status, wait), kind, "{status}");
        }
    }
}
