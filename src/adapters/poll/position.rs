//! What a poll remembers between rounds: how far it has come, what the source said about freshness, and what could not be read.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::net::Reply;

/// What is remembered. Losing it is harmless: what comes again is recognised by its dedup key.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    /// The highest cursor of all whole rounds.
    pub(super) cursor: Option<String>,
    /// By what the source may recognise that nothing has changed.
    pub(super) validators: Option<Validators>,
    /// Keys of items that could not be read and were published for the quarantine; once is enough.
    set_aside: VecDeque<String>,
}

/// What the source said about the freshness of one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    /// Stands for the address and the rules of reading; the address may hold a secret.
    pub(super) of: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

/// A source with more unreadable items is broken, and then repeats in the quarantine are the smaller fault.
const MOST_SET_ASIDE: usize = 1_000;

impl Position {
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(super) fn write(&self) -> String {
        // Texts always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Remembers an item that could not be read; says whether it is new.
    pub(super) fn set_aside(&mut self, key: &str) -> bool {
        if self.set_aside.iter().any(|known| known == key) {
            return false;
        }
        if self.set_aside.len() >= MOST_SET_ASIDE {
            self.set_aside.pop_front();
        }
        self.set_aside.push_back(key.to_owned());
        true
    }

    /// Moves the cursor on to an item's; never back, and never beyond now, where it would skip what is still to come.
    pub(super) fn advance(&mut self, to: String, now: Timestamp) {
        let to = match to.parse::<Timestamp>() {
            Ok(time) if time > now => now.to_string(),
            Ok(_) | Err(_) => to,
        };
        if self.cursor.as_ref().is_none_or(|cursor| is_later(&to, cursor)) {
            self.cursor = Some(to);
        }
    }
}

impl Validators {
    /// What an answer says, if it says anything.
    pub(super) fn of(of: String, reply: &Reply) -> Option<Self> {
        let header = |name| reply.header(name).map(str::to_owned);
        let validators = Self { of, etag: header("etag"), last_modified: header("last-modified") };
        (validators.etag.is_some() || validators.last_modified.is_some()).then_some(validators)
    }
}

/// Compares times as times and numbers as numbers. Of cursors that are neither, the last one that the source gave counts.
fn is_later(to: &str, cursor: &str) -> bool {
    if let (Ok(to), Ok(cursor)) = (to.parse::<Timestamp>(), cursor.parse::<Timestamp>()) {
        return to > cursor;
    }
    if let (Ok(to), Ok(cursor)) = (to.parse::<i128>(), cursor.parse::<i128>()) {
        return to > cursor;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_moves_on_never_back_and_never_into_the_future() {
        let now = "2026-03-02T00:00:00Z".parse().unwrap();
        for (steps, end) in [
            (&["2026-03-01T00:00:00Z", "2026-03-01T02:00:00+05:00"][..], "2026-03-01T00:00:00Z"),
            (&["2026-03-01T00:00:00Z", "2099-01-01T00:00:00Z"], "2026-03-02T00:00:00Z"),
            (&["9", "10", "8"], "10"),
            (&["b", "a"], "a"),
        ] {
            let mut position = Position::default();
            for step in steps {
                position.advance((*step).to_owned(), now);
            }
            assert_eq!(position.cursor.as_deref(), Some(end), "{steps:?}");
        }
    }

    #[test]
    fn an_unreadable_item_is_set_aside_once() {
        let mut position = Position::default();
        assert!(position.set_aside("a"));
        let mut position = Position::read(&position.write());
        assert!(!position.set_aside("a"));
        assert!((0..2_000).all(|at| position.set_aside(&at.to_string())));
        assert_eq!(position.set_aside.len(), MOST_SET_ASIDE);
    }
}
