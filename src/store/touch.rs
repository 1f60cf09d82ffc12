//! What somebody else than its driver changes in an open run: it is cancelled, or people answer what it asked.
//!
//! The run is due at once then, and marked, so that a driver that is at work on it lets go and reads it again.

use serde_json::Value;

use super::{Act, Store, StoreError, audit, begin::cancel_run};
use crate::run::RunId;

impl Store {
    /// Lets a run end as soon as nothing of it is under way; durable when this returns, with who did it. Says whether it was open and not
    /// cancelled yet.
    ///
    /// # Errors
    /// The store cannot be written; the run goes on.
    pub async fn cancel(&self, run: &RunId, who: &str) -> Result<bool, StoreError> {
        let (run, now) = (run.clone(), self.clock.now());
        let act = Act { who: who.to_owned(), what: "run.cancel", subject: format!("run {run}"), detail: Value::Null };
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let is_new = cancel_run(connection, &run, now).await?;
                    if is_new {
                        audit::write(connection, &act, now).await?;
                    }
                    Ok(is_new)
                })
            })
            .await
    }

    /// Gives an approval that waits for people its output; durable when this returns. Says whether it did: an approval is answered once,
    /// before its time is over, and while its run is open.
    ///
    /// # Errors
    /// The store cannot be written; nothing was answered.
    pub async fn answer(&self, run: &RunId, step: &str, output: Value) -> Result<bool, StoreError> {
        let (run, step, now) = (run.clone(), step.to_owned(), self.clock.now().as_microsecond());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = "UPDATE step SET output = $3
                                 WHERE run = $1 AND id = $2 AND action = 'approval' AND state = 'waiting' AND output = 'null'
                                   AND (due_at IS NULL OR due_at > $4)
                                   AND EXISTS (SELECT 1 FROM run WHERE id = $1 AND NOT cancel AND state IN ('ready', 'waiting'))";
                    let answered =
                        sqlx::query(query).bind(&run.0).bind(step).bind(output.to_string()).bind(now).execute(&mut *connection).await?;
                    if answered.rows_affected() == 0 {
                        return Ok(false);
                    }
                    let query = "UPDATE run SET touched = 1, due_at = min(due_at, $2) WHERE id = $1";
                    sqlx::query(query).bind(&run.0).bind(now).execute(connection).await?;
                    Ok(true)
                })
            })
            .await
    }
}
