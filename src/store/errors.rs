//! Errors of playbooks on alerts and at the times of schedules: each is noted once for a text of the playbook, in the transaction of the decision, and with it how far people
//! were told. Telling them is for others.

use jiff::Timestamp;
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{Store, StoreError, rows};

/// An error of which people are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PlaybookError {
    pub playbook: String,
    pub playbook_hash: String,
    /// What is the same whenever it comes up.
    pub error: String,
    /// As it was when it came up first.
    pub detail: String,
    /// What was to be answered then: `alert:N` or `tick:TIME`.
    pub occasion: String,
    pub first_at: Timestamp,
    pub attempts: u32,
    /// The channels that were told.
    pub told: Vec<String>,
}

/// Who reads five errors of a playbook mends it; more of them would only be counted.
const MOST_ERRORS: i64 = 5;

impl Store {
    /// The errors of which people are to be told by now, oldest first; those that came up before `since` are past telling.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn untold_errors(&self, since: Timestamp, most: i64) -> Result<Vec<PlaybookError>, StoreError> {
        let query = "SELECT * FROM playbook_error WHERE due_at <= $1 AND first_at >= $2 ORDER BY first_at LIMIT $3";
        let now = self.clock.now().as_microsecond();
        let found = sqlx::query(query).bind(now).bind(since.as_microsecond()).bind(most).fetch_all(&self.readers).await?;
        found.iter().map(read).collect()
    }

    /// Notes how far people were told of an error, and when they are to be told again, if at all; durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written; the error is as it was, and people may be told twice.
    pub async fn error_told(&self, error: PlaybookError, again: Option<Timestamp>) -> Result<(), StoreError> {
        let query = "UPDATE playbook_error SET due_at = $4, attempts = $5, told = $6
                     WHERE playbook = $1 AND playbook_hash = $2 AND error = $3";
        let told = serde_json::json!(error.told).to_string();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(query)
                        .bind(error.playbook)
                        .bind(error.playbook_hash)
                        .bind(error.error)
                        .bind(again.map(Timestamp::as_microsecond))
                        .bind(i64::from(error.attempts))
                        .bind(told)
                        .execute(connection)
                        .await
                        .map(|_| ())
                })
            })
            .await
    }
}

/// Notes an error, unless it is known or the text has enough of them.
pub(super) async fn note(
    connection: &mut AnyConnection,
    (playbook, hash): (&str, &str),
    (occasion, detail): (&str, &str),
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO playbook_error (playbook, playbook_hash, error, detail, occasion, first_at, due_at)
                 SELECT $1, $2, $3, $4, $5, $6, $6
                 WHERE (SELECT count(*) FROM playbook_error WHERE playbook = $1 AND playbook_hash = $2) < $7
                 ON CONFLICT DO NOTHING";
    sqlx::query(query)
        .bind(playbook)
        .bind(hash)
        .bind(rows::text(&without_values(detail)))
        .bind(rows::text(detail))
        .bind(occasion)
        .bind(now.as_microsecond())
        .bind(MOST_ERRORS)
        .execute(connection)
        .await
        .map(|_| ())
}

/// A sentence without what stands in backticks and without digits, which differ from alert to alert.
fn without_values(detail: &str) -> String {
    let outside = detail.split('`').step_by(2).collect::<Vec<_>>().join("`…`");
    outside.chars().filter(|c| !c.is_ascii_digit()).take(LONGEST_ERROR).collect()
}

/// Longer than any sentence of ours, shorter than a text that somebody else's words made long.
const LONGEST_ERROR: usize = 300;

fn read(row: &AnyRow) -> Result<PlaybookError, StoreError> {
    Ok(PlaybookError {
        playbook: row.try_get("playbook")?,
        playbook_hash: row.try_get("playbook_hash")?,
        error: row.try_get("error")?,
        detail: row.try_get("detail")?,
        occasion: row.try_get("occasion")?,
        first_at: rows::time(row.try_get("first_at")?)?,
        attempts: rows::number(row, "attempts")?,
        told: serde_json::from_str(row.try_get("told")?).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        alert::Alert,
        lifecycle::Tasks,
        store::{Arrival, Decision, Received, Verdict},
    };

    const NOW: &str = "2026-03-02T04:11:09Z";

    #[test]
    fn an_error_that_differs_by_alert_is_one() {
        let error = |value: &str| without_values(&format!("the number `{value}` cannot be compared with the text `x`, at {value}"));
        assert_eq!(error("12"), error("13"));
        assert_eq!(error("12"), "the number `…` cannot be compared with the text `…`, at ");
        assert_ne!(error("12"), without_values("`alert` has no `severty`; did you mean `severity`?"));
    }

    #[tokio::test]
    async fn an_error_is_noted_once_for_a_text_and_told_until_it_is_done() {
        let (store, mut errors) = (Store::open("sqlite::memory:", &Tasks::default(), None).await.unwrap(), Vec::new());
        let mut failures: Vec<(&str, String)> = (0..3).map(|value| ("first", format!("`{value}` is no number"))).collect();
        failures.push(("second", "`7` is no number".to_owned()));
        failures.extend(["a", "b", "c", "d", "e", "f", "g"].map(|word| ("third", format!("error {word}"))));
        for (number, (hash, detail)) in (1..).zip(failures) {
            let id = number.to_string();
            let alert = json!({"id": id, "source": "s", "kind": "k", "title": "t", "detected_at": NOW, "received_at": NOW});
            let alert: Alert = serde_json::from_value(alert).unwrap();
            store.take_in(vec![Arrival::Alert(Box::new(Received { event: alert.to_event(), alert }))]).await.unwrap();
            let verdict = Verdict::Error { playbook: "p".to_owned(), hash: hash.to_owned(), detail };
            store.decide(vec![Decision { alert: number, verdicts: vec![verdict] }]).await.unwrap();
        }
        errors.extend(store.untold_errors(Timestamp::MIN, 100).await.unwrap());
        let of = |hash: &str| errors.iter().filter(|it| it.playbook_hash == hash).map(|it| it.detail.as_str()).collect::<Vec<_>>();
        assert_eq!((of("first"), of("second"), of("third").len()), (vec!["`0` is no number"], vec!["`7` is no number"], 5));
        assert!(store.untold_errors(Timestamp::MAX, 100).await.unwrap().is_empty(), "what is past telling is not told");

        let again = errors.pop().unwrap();
        for error in errors {
            store.error_told(error, None).await.unwrap();
        }
        let told = PlaybookError { attempts: 1, told: vec!["slack:a".to_owned()], ..again };
        store.error_told(told.clone(), Some(Timestamp::MAX)).await.unwrap();
        assert!(store.untold_errors(Timestamp::MIN, 100).await.unwrap().is_empty(), "its time has not come");
        store.error_told(told.clone(), Some(Timestamp::UNIX_EPOCH)).await.unwrap();
        assert_eq!(store.untold_errors(Timestamp::MIN, 100).await.unwrap(), [told]);
    }
}
