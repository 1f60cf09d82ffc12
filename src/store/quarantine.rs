//! The quarantine: messages that are not alerts, and alerts that nothing may act on unread, kept until a person decides.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::AnyConnection;

use super::{Act, Arrival, Store, StoreError, audit, outbox, rows};
use crate::news::{News, Outlet};

/// A message that is not an alert, or one that a person is to look at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// A word from a bounded set, for counting.
    pub reason: &'static str,
    /// What is wrong, for people.
    pub detail: String,
    /// The message as it came.
    pub body: Vec<u8>,
}

/// A message in the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct QuarantineRow {
    pub number: i64,
    pub at: Timestamp,
    pub reason: String,
    pub detail: String,
    pub state: QuarantineState,
    pub decided_at: Option<Timestamp>,
    #[serde(skip)]
    pub body: Vec<u8>,
}

/// What became of a message in the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineState {
    /// It waits for a decision.
    Held,
    /// It was put on the bus again.
    Released,
    /// It was dropped by a person; the row and its bytes stay.
    Dropped,
}

impl QuarantineState {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Released => "released",
            Self::Dropped => "dropped",
        }
    }
}

type Row = (i64, i64, String, String, String, Option<i64>, Vec<u8>);

impl Store {
    /// The messages in quarantine, newest first; all states, or only those that wait.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn quarantine(&self, only_held: bool, most: i64) -> Result<Vec<QuarantineRow>, StoreError> {
        let query = "SELECT number, at, reason, detail, state, decided_at, body FROM quarantine
                     WHERE state = 'held' OR NOT $1 ORDER BY number DESC LIMIT $2";
        let rows: Vec<Row> = sqlx::query_as(query).bind(only_held).bind(most).fetch_all(&self.readers).await?;
        rows.into_iter().map(read).collect()
    }

    /// One message in quarantine.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn quarantined(&self, number: i64) -> Result<Option<QuarantineRow>, StoreError> {
        let query = "SELECT number, at, reason, detail, state, decided_at, body FROM quarantine WHERE number = $1";
        let row: Option<Row> = sqlx::query_as(query).bind(number).fetch_optional(&self.readers).await?;
        row.map(read).transpose()
    }

    /// Records what a person decided about a held message, and who, with what else is to be known; says whether it was still held.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn decide_quarantined(&self, number: i64, state: QuarantineState, who: &str, detail: Value) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let what = match state {
            QuarantineState::Held => "quarantine.hold",
            QuarantineState::Released => "quarantine.release",
            QuarantineState::Dropped => "quarantine.drop",
        };
        let act = Act { who: who.to_owned(), what, subject: format!("message {number}"), detail };
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = "UPDATE quarantine SET state = $2, decided_at = $3 WHERE number = $1 AND state = 'held'";
                    let done = sqlx::query(query).bind(number).bind(state.as_str()).bind(now.as_microsecond());
                    let is_decided = done.execute(&mut *connection).await?.rows_affected() == 1;
                    if is_decided {
                        audit::write(connection, &act, now).await?;
                    }
                    Ok(is_decided)
                })
            })
            .await
    }
}

pub(super) async fn insert(connection: &mut AnyConnection, rejected: &Rejected, now: i64) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO quarantine (at, reason, detail, body, state) VALUES ($1, $2, $3, $4, 'held')";
    sqlx::query(query)
        .bind(now)
        .bind(rejected.reason)
        .bind(rows::text(&rejected.detail))
        .bind(&rejected.body)
        .execute(connection)
        .await
        .map(|_| ())
}

/// Tells of the messages among arrivals that are not alerts: however many, of each reason once.
pub(super) async fn tell(
    connection: &mut AnyConnection,
    arrivals: &[Arrival],
    (outlet, now): (&Outlet, Timestamp),
) -> Result<(), sqlx::Error> {
    let mut rejected: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
    for arrival in arrivals {
        if let Arrival::Rejected(Rejected { reason, detail, .. }) = arrival {
            rejected.entry(reason).or_insert((0, detail)).0 += 1;
        }
    }
    for (reason, (times, detail)) in rejected {
        let news = News::Quarantined { reason: reason.to_owned(), detail: rows::text(detail) };
        outbox::tell(connection, (outlet, now), &news, times).await?;
    }
    Ok(())
}

fn read((number, at, reason, detail, state, decided_at, body): Row) -> Result<QuarantineRow, StoreError> {
    let state = match state.as_str() {
        "released" => QuarantineState::Released,
        "dropped" => QuarantineState::Dropped,
        _ => QuarantineState::Held,
    };
    Ok(QuarantineRow { number, at: rows::time(at)?, reason, detail, state, decided_at: decided_at.map(rows::time).transpose()?, body })
}
