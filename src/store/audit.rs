//! The audit log: who did what. Each entry is bound to the one before it by a hash, so that whoever edits the past must write every later
//! entry anew, and anybody who remembers one later hash sees it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::AnyConnection;

use super::{Store, StoreError, rows};
use crate::digest::sha256;

/// Something that a person did, or that came into use.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Who did it, and how that is known: `mina (command line)`.
    pub who: String,
    /// A word from a bounded set: `run.cancel`, `actions.stop`.
    pub what: &'static str,
    /// What it was done to: a run, a message, a playbook.
    pub subject: String,
    /// What else is to be known of it, such as the reason that was given.
    pub detail: Value,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Audited {
    pub number: i64,
    pub at: Timestamp,
    pub who: String,
    pub what: String,
    pub subject: String,
    pub detail: Value,
    /// SHA-256 over this entry and the hash of the one before it, in hexadecimal digits.
    pub hash: String,
}

/// What a look at the whole chain showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chain {
    /// Every entry is as it was written.
    Whole {
        /// How many entries there are.
        entries: i64,
        /// The hash of the last; none of an empty log.
        head: Option<String>,
        /// Whether the hash that was asked for is that of an entry.
        holds: bool,
    },
    /// The first entry that is not as it was written, or does not follow the one before it.
    Broken {
        /// Its number.
        number: i64,
        /// What is wrong with it.
        why: String,
    },
}

/// As stored: what is hashed is exactly what is kept.
type Row = (i64, i64, String, String, String, String, String);

/// Read at once while the chain is looked at.
const PAGE: i64 = 1_000;

impl Store {
    /// Records an act that changes nothing else in the journal; durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn audit(&self, act: Act) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.writer.write(move |connection| Box::pin(async move { write(connection, &act, now).await })).await
    }

    /// The entries after a number, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn audited(&self, after: i64, most: i64) -> Result<Vec<Audited>, StoreError> {
        self.audit_rows(after, most).await?.into_iter().map(read).collect()
    }

    /// The number of the last entry; 0 if there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn last_audited(&self) -> Result<i64, StoreError> {
        let (last,): (Option<i64>,) = sqlx::query_as("SELECT max(number) FROM audit").fetch_one(&self.readers).await?;
        Ok(last.unwrap_or_default())
    }

    /// Looks at every entry. With `known`, a hash that somebody remembers from outside, also whether it is still there: an entry that was
    /// cut off at the end breaks no chain.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn verify_audit(&self, known: Option<&str>) -> Result<Chain, StoreError> {
        let (mut last, mut head, mut holds) = (0, None::<String>, known.is_none());
        loop {
            let page = self.audit_rows(last, PAGE).await?;
            if page.is_empty() {
                return Ok(Chain::Whole { entries: last, head, holds });
            }
            for row in page {
                let broken = |why: &str| Ok(Chain::Broken { number: row.0, why: why.to_owned() });
                if row.0 != last + 1 {
                    return broken("entries before it are missing");
                }
                if row.6 != hash_of(&row, head.as_deref()) {
                    return broken("it was changed after it was written, or one before it was");
                }
                holds |= known == Some(row.6.as_str());
                (last, head) = (row.0, Some(row.6));
            }
        }
    }

    async fn audit_rows(&self, after: i64, most: i64) -> Result<Vec<Row>, StoreError> {
        let query = "SELECT number, at, who, what, subject, detail, hash FROM audit WHERE number > $1 ORDER BY number LIMIT $2";
        Ok(sqlx::query_as(query).bind(after).bind(most).fetch_all(&self.readers).await?)
    }
}

/// Adds an entry, in the transaction of what it tells.
pub(super) async fn write(connection: &mut AnyConnection, act: &Act, now: Timestamp) -> Result<(), sqlx::Error> {
    let query = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1";
    let last: Option<(i64, String)> = sqlx::query_as(query).fetch_optional(&mut *connection).await?;
    let (number, before) = last.map_or((1, None), |(number, hash)| (number + 1, Some(hash)));
    let (who, what, subject, detail) = (act.who.clone(), act.what.to_owned(), act.subject.clone(), act.detail.to_string());
    let mut row: Row = (number, now.as_microsecond(), who, what, subject, detail, String::new());
    row.6 = hash_of(&row, before.as_deref());
    let (number, at, who, what, subject, detail, hash) = &row;
    let query = "INSERT INTO audit (number, at, who, what, subject, detail, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(query)
        .bind(number)
        .bind(at)
        .bind(who)
        .bind(what)
        .bind(subject)
        .bind(detail)
        .bind(hash)
        .execute(connection)
        .await
        .map(|_| ())
}

/// A JSON array has one reading only, whatever the texts in it hold.
fn hash_of((number, at, who, what, subject, detail, _): &Row, before: Option<&str>) -> String {
    sha256(&serde_json::json!([number, at, who, what, subject, detail, before]).to_string())
}

fn read((number, at, who, what, subject, detail, hash): Row) -> Result<Audited, StoreError> {
    Ok(Audited { number, at: rows::time(at)?, who, what, subject, detail: rows::json(&detail)?, hash })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lifecycle::Tasks;

    async fn with_entries(count: usize) -> (Store, Tasks) {
        let tasks = Tasks::default();
        let store = Store::open("sqlite::memory:", &tasks, None).await.unwrap();
        for number in 0..count {
            let act =
                Act { who: "mina".to_owned(), what: "run.cancel", subject: format!("run {number}"), detail: json!({"reason": "a test"}) };
            store.audit(act).await.unwrap();
        }
        (store, tasks)
    }

    async fn tamper(store: &Store, statement: &'static str) {
        sqlx::query(statement).execute(&store.readers).await.unwrap();
    }

    #[tokio::test]
    async fn a_log_that_nobody_touched_is_whole_and_knows_its_hashes() {
        let (store, _tasks) = with_entries(3).await;
        let entries = store.audited(0, 10).await.unwrap();
        let Chain::Whole { entries: 3, head, holds: true } = store.verify_audit(Some(&entries[1].hash)).await.unwrap() else {
            panic!("not whole")
        };
        assert_eq!(head.as_deref(), Some(entries[2].hash.as_str()));
        assert_eq!(entries[0].detail, json!({"reason": "a test"}));
        assert!(matches!(store.verify_audit(Some("feed")).await.unwrap(), Chain::Whole { holds: false, .. }));
    }

    #[tokio::test]
    async fn every_edit_of_the_past_is_found_at_the_entry_where_it_was_made() {
        for (statement, broken) in [
            ("UPDATE audit SET who = 'jun' WHERE number = 2", 2),
            ("UPDATE audit SET what = 'run.start' WHERE number = 2", 2),
            ("UPDATE audit SET subject = 'run 7' WHERE number = 2", 2),
            ("UPDATE audit SET detail = '{}' WHERE number = 3", 3),
            ("UPDATE audit SET at = at + 1 WHERE number = 1", 1),
            ("UPDATE audit SET hash = 'feed' WHERE number = 3", 3),
            ("DELETE FROM audit WHERE number = 2", 3),
            ("DELETE FROM audit WHERE number = 1", 2),
            ("UPDATE audit SET number = 5 WHERE number = 3", 4),
        ] {
            let (store, _tasks) = with_entries(4).await;
            tamper(&store, statement).await;
            let seen = store.verify_audit(None).await.unwrap();
            assert!(matches!(&seen, Chain::Broken { number, .. } if *number == broken), "{statement}: {seen:?}");
        }
    }

    #[tokio::test]
    async fn entries_cut_off_at_the_end_are_missed_by_whoever_remembers_one() {
        let (store, _tasks) = with_entries(3).await;
        let last = store.audited(2, 1).await.unwrap().remove(0).hash;
        tamper(&store, "DELETE FROM audit WHERE number = 3").await;
        assert!(matches!(store.verify_audit(Some(&last)).await.unwrap(), Chain::Whole { entries: 2, holds: false, .. }));
    }
}
