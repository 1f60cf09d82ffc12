//! The kill switch as every node sees it: a row, looked at in the transaction of each intent.

use serde_json::json;

use super::{Act, Store, StoreError, audit, events, outbox, stop_file};
use crate::news::{EventKind, News};

impl Store {
    /// Records no more intents but of what only tells people; durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written; actions go on unless the file stops them.
    pub async fn stop_actions(&self, who: &str, reason: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        let act = Act { who: who.to_owned(), what: "actions.stop", subject: "all actions".to_owned(), detail: json!({"reason": reason}) };
        let (who, reason, outlet) = (who.to_owned(), reason.to_owned(), self.outlet.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = "INSERT INTO stopped (one, who, since, reason) VALUES (1, $1, $2, $3) ON CONFLICT (one) DO NOTHING";
                    let thrown = sqlx::query(query).bind(&who).bind(now.as_microsecond()).bind(&reason).execute(&mut *connection).await?;
                    if thrown.rows_affected() > 0 {
                        events::switched(connection, EventKind::ActionsStopped, (&who, &reason), (&outlet, now)).await?;
                        outbox::tell(connection, (&outlet, now), &News::ActionsStopped { who, reason }, 1).await?;
                    }
                    audit::write(connection, &act, now).await
                })
            })
            .await
    }

    /// Records intents again; durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written; actions stay stopped.
    pub async fn resume_actions(&self, who: &str, reason: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        let act = Act { who: who.to_owned(), what: "actions.resume", subject: "all actions".to_owned(), detail: json!({"reason": reason}) };
        let (who, reason, outlet) = (who.to_owned(), reason.to_owned(), self.outlet.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let released = sqlx::query("DELETE FROM stopped").execute(&mut *connection).await?.rows_affected();
                    if released + stop_file::forget(connection).await? > 0 {
                        events::switched(connection, EventKind::ActionsResumed, (&who, &reason), (&outlet, now)).await?;
                        outbox::tell(connection, (&outlet, now), &News::ActionsResumed { who, reason }, 1).await?;
                    }
                    audit::write(connection, &act, now).await
                })
            })
            .await
    }

    /// Whether the actions are stopped.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn actions_stopped(&self) -> Result<bool, StoreError> {
        let (stopped,): (i64,) = sqlx::query_as("SELECT count(*) FROM stopped").fetch_one(&self.readers).await?;
        Ok(stopped > 0)
    }
}
