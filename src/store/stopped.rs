//! The kill switch as every node sees it: a row, looked at in the transaction of each intent.

use jiff::Timestamp;
use serde_json::json;

use super::{Act, Store, StoreError, audit, rows};

/// Who stopped the actions, since when and why.
type StoppedBy = (String, Timestamp, String);

impl Store {
    /// Records no more intents but of what only tells people; durable when this returns. Says whether that is new.
    ///
    /// # Errors
    /// The store cannot be written; actions go on unless the file stops them.
    pub async fn stop_actions(&self, who: &str, reason: &str) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let act = Act { who: who.to_owned(), what: "actions.stop", subject: "all actions".to_owned(), detail: json!({"reason": reason}) };
        let (who, reason) = (who.to_owned(), reason.to_owned());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = "INSERT INTO stopped (one, who, since, reason) VALUES (1, $1, $2, $3) ON CONFLICT (one) DO NOTHING";
                    let done = sqlx::query(query).bind(who).bind(now.as_microsecond()).bind(reason).execute(&mut *connection).await?;
                    audit::write(connection, &act, now).await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    /// Records intents again; durable when this returns. Says whether they were stopped.
    ///
    /// # Errors
    /// The store cannot be written; actions stay stopped.
    pub async fn resume_actions(&self, who: &str, reason: &str) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let act = Act { who: who.to_owned(), what: "actions.resume", subject: "all actions".to_owned(), detail: json!({"reason": reason}) };
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query("DELETE FROM stopped").execute(&mut *connection).await?;
                    audit::write(connection, &act, now).await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }

    /// Who stopped the actions, if they are stopped.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn actions_stopped(&self) -> Result<Option<StoppedBy>, StoreError> {
        let found: Option<(String, i64, String)> =
            sqlx::query_as("SELECT who, since, reason FROM stopped").fetch_optional(&self.readers).await?;
        found.map(|(who, since, reason)| Ok((who, rows::time(since)?, reason))).transpose()
    }
}
