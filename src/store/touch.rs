//! What somebody else than its driver changes in an open run: it is cancelled. That people answer what it asked is in [`super::approvals`].
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
}
