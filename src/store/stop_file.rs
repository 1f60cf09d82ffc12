//! The kill switch's file, as the journal has it: thrown or released by hand it is in the audit log as well, once, and people are told.

use serde_json::json;
use sqlx::AnyConnection;

use super::{Act, Store, StoreError, audit, events, outbox};
use crate::news::{EventKind, News};

/// Under this and its name, a file is kept that was thrown by hand and is not released.
const KEPT: &str = "stop file/";

/// A switch that a command has thrown is noted by that.
const NOTE: &str =
    "INSERT INTO kept (name, value, at) SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM stopped) ON CONFLICT (name) DO NOTHING";

impl Store {
    /// Takes note of whether a file is thrown, by whom and why. What the commands did to it is in the log already.
    ///
    /// # Errors
    /// The store cannot be used; it is noted when it can.
    pub async fn note_stop_file(&self, file: &str, thrown: Option<(&str, &str)>) -> Result<(), StoreError> {
        let name = format!("{KEPT}{file}");
        let is_known = self.kept(&name).await?.is_some();
        // A look is for every second, and costs no commit.
        if is_known == thrown.is_some() || thrown.is_some() && self.actions_stopped().await? {
            return Ok(());
        }
        let (who, reason) = thrown.unwrap_or(("somebody", ""));
        let (who, reason, is_thrown) = (format!("{who} (the file `{file}`)"), reason.to_owned(), thrown.is_some());
        let (now, outlet) = (self.clock.now(), self.outlet.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let noted = if is_thrown {
                        sqlx::query(NOTE).bind(name).bind(Vec::new()).bind(now.as_microsecond())
                    } else {
                        sqlx::query("DELETE FROM kept WHERE name = $1").bind(name)
                    };
                    if noted.execute(&mut *connection).await?.rows_affected() == 0 {
                        return Ok(());
                    }
                    let (kind, what) =
                        if is_thrown { (EventKind::ActionsStopped, "actions.stop") } else { (EventKind::ActionsResumed, "actions.resume") };
                    let detail = json!({"reason": reason});
                    audit::write(connection, &Act { who: who.clone(), what, subject: "all actions".to_owned(), detail }, now).await?;
                    events::switched(connection, kind, (&who, &reason), (&outlet, now)).await?;
                    let news = if is_thrown { News::ActionsStopped { who, reason } } else { News::ActionsResumed { who, reason } };
                    outbox::tell(connection, (&outlet, now), &news, 1).await
                })
            })
            .await
    }
}

/// A command releases the switch, and says so itself; how many files were thrown by hand.
pub(super) async fn forget(connection: &mut AnyConnection) -> Result<u64, sqlx::Error> {
    let query = "DELETE FROM kept WHERE substr(name, 1, length($1)) = $1";
    sqlx::query(query).bind(KEPT).execute(connection).await.map(|done| done.rows_affected())
}
