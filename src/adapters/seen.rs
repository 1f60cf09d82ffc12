//! What a poll remembers of alerts that its source lists again and again: only states that were not seen are published.
//!
//! Losing it is harmless but for one thing: what comes again is recognised by its dedup key. Only when the very first listing was is
//! not known any more then, so that alerts of before count as old once more, and wait for a person.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::inlet::Inlet;
use crate::{alert::Alert, bus::Message};

/// What is remembered between rounds.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    /// When the very first listing began.
    begun_at: Option<Timestamp>,
    /// When the last whole round began.
    pub(super) listed_at: Option<Timestamp>,
    /// Alerts of the last whole round and their states.
    #[serde(rename = "seen")]
    before: BTreeMap<String, String>,
    /// Alerts of this round so far.
    listed: BTreeMap<String, String>,
}

/// An alert in a state that was not seen.
#[derive(Debug)]
pub(super) enum Unseen {
    /// It can be published.
    Alert(Box<Alert>, Message),
    /// It cannot be read, and is published as it is.
    Unreadable(Message),
}

/// More open alerts than any partner has in a week; what is beyond is published again, which is harmless.
const MOST_REMEMBERED: usize = 10_000;

impl Seen {
    pub(super) fn read(position: Option<&str>) -> Self {
        position.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    pub(super) fn write(&self) -> String {
        // Texts and times always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A round begins.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.listed.clear();
        if self.listed_at.is_none() {
            self.begun_at = Some(now);
        }
    }

    /// Whether no round was whole yet.
    pub(super) fn is_first(&self) -> bool {
        self.listed_at.is_none()
    }

    /// The alert as a message, if its state was not seen. `raw` is what the source wrote.
    pub(super) fn unseen(&mut self, raw: &Value, read: Result<Alert, String>, inlet: &Inlet, now: Timestamp) -> Option<Unseen> {
        let packed = read.and_then(|alert| {
            let packed = inlet.pack(alert.clone(), now).map_err(|malformed| malformed.to_string())?;
            Ok((alert, packed))
        });
        let (id, revision, unseen) = match packed {
            Ok((alert, message)) => (alert.id.clone(), alert.revision.clone(), Unseen::Alert(Box::new(alert), message)),
            Err(reason) => {
                let message = inlet.pack_unreadable(raw, &reason);
                (message.key.clone(), String::new(), Unseen::Unreadable(message))
            }
        };
        // A listing that changes while it is read may name an alert twice.
        let is_known = self.before.get(&id) == Some(&revision) || self.listed.get(&id) == Some(&revision);
        self.listed.insert(id, revision);
        (!is_known).then_some(unseen)
    }

    /// Whether an alert was old already when listing began: who looks after it now was not told by Quell.
    pub(super) fn was_old(&self, alert: &Alert, after: SignedDuration) -> bool {
        let border = self.begun_at.and_then(|begun| begun.checked_sub(after).ok());
        border.is_some_and(|border| alert.detected_at < border)
    }

    /// The round is whole.
    pub(super) fn finish(&mut self, now: Timestamp) {
        self.before = std::mem::take(&mut self.listed).into_iter().take(MOST_REMEMBERED).collect();
        self.listed_at = Some(now);
    }
}
