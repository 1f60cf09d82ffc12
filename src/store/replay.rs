//! An alert answered once more: what begins for it, who wants it and why, and that this person does not decide about it, in one commit.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use sqlx::AnyConnection;

use super::{Act, Begun, Decider, NewRun, Store, StoreError, audit, begin};
use crate::{news::Outlet, run::RunId};

/// What became of one playbook's run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Replayed {
    pub playbook: String,
    /// Nothing where a window held it.
    pub run: Option<RunId>,
    /// Why a window held it.
    pub held: Option<String>,
}

impl Store {
    /// Begins runs for an alert once more, as their windows allow; durable when this returns, with who wants it. Nothing, and nothing begins,
    /// if it was not decided yet what is done about the alert at all.
    ///
    /// # Errors
    /// The store cannot be written; nothing began.
    pub async fn replay(&self, alert: i64, runs: Vec<NewRun>, by: &Decider) -> Result<Option<Vec<Replayed>>, StoreError> {
        let (by, now, outlet) = (by.clone(), self.clock.now(), self.outlet.clone());
        self.writer.write(move |connection| Box::pin(async move { replay(connection, alert, runs, &by, (&outlet, now)).await })).await
    }
}

async fn replay(
    connection: &mut AnyConnection,
    alert: i64,
    runs: Vec<NewRun>,
    by: &Decider,
    to: (&Outlet, Timestamp),
) -> Result<Option<Vec<Replayed>>, sqlx::Error> {
    let query = "SELECT 1 FROM alert WHERE number = $1 AND state = 'decided'";
    let decided: Option<(i64,)> = sqlx::query_as(query).bind(alert).fetch_optional(&mut *connection).await?;
    if decided.is_none() {
        return Ok(None);
    }
    let mut replayed = Vec::with_capacity(runs.len());
    for run in runs {
        let begun = begin::begin(connection, &run, to).await?;
        let (id, held) = match begun {
            Begun::New | Begun::Known => (Some(run.id), None),
            Begun::Held(detail) => (None, Some(detail)),
        };
        if let Some(id) = &id {
            begin::request(connection, id, &by.person).await?;
        }
        replayed.push(Replayed { playbook: run.playbook, run: id, held });
    }
    let detail = json!({"reason": by.reason, "runs": replayed});
    let act = Act { who: by.who.clone(), what: "alert.replay", subject: format!("alert {alert}"), detail };
    audit::write(connection, &act, to.1).await?;
    Ok(Some(replayed))
}
