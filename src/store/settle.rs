//! A person settles what became of a step in doubt, or gives up a run that has one.

use jiff::Timestamp;
use serde_json::json;
use sqlx::AnyConnection;

use super::{
    Act, Store, StoreError, audit, events,
    runs::{read_step, write_step},
};
use crate::run::{RunId, StepRecord};

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The run goes on.
    GoesOn,
    /// Other steps of it are in doubt still.
    Waits,
    /// Somebody else settled it before; nothing was changed.
    Known,
}

impl Store {
    /// Records what a person found out about a step in doubt: its own record first, then those of the steps around it. When none is left
    /// in doubt, the run goes on. Durable when this returns, with who found it out.
    ///
    /// # Errors
    /// The store cannot be written; nothing was settled.
    pub async fn settle(&self, run: &RunId, records: Vec<StepRecord>, (who, reason): (&str, &str)) -> Result<Settled, StoreError> {
        let (run, now) = (run.clone(), self.clock.now());
        let step = records.first().map(|own| (own.id.clone(), own.state.as_str())).unwrap_or_default();
        let output = records.first().map(|own| own.output.clone());
        let detail = json!({"step": step.0, "now": step.1, "output": output, "reason": reason});
        let act = Act { who: who.to_owned(), what: "run.settle", subject: format!("run {run}"), detail };
        self.writer.write(move |connection| Box::pin(async move { settle(connection, &run, &records, &act, now).await })).await
    }

    /// Ends a run that has a step in doubt, although nobody knows what the step did; gives back its targets. Says whether there was one.
    ///
    /// # Errors
    /// The store cannot be written; the run stays as it is.
    pub async fn give_up(&self, run: &RunId, (who, reason): (&str, &str)) -> Result<bool, StoreError> {
        let (run, now) = (run.clone(), self.clock.now());
        let detail = json!({"reason": reason});
        let act = Act { who: who.to_owned(), what: "run.give_up", subject: format!("run {run}"), detail };
        let why = format!("given up by {who}, although a step is in doubt: {reason}");
        let outlet = self.outlet.clone();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = "UPDATE run SET state = 'failed', reason = $2 WHERE id = $1 AND state = 'indeterminate'";
                    let done = sqlx::query(query).bind(&run.0).bind(why).execute(&mut *connection).await?;
                    if done.rows_affected() == 0 {
                        return Ok(false);
                    }
                    sqlx::query("DELETE FROM target_lock WHERE run = $1").bind(&run.0).execute(&mut *connection).await?;
                    events::given_up(connection, &run, (&outlet, now)).await?;
                    audit::write(connection, &act, now).await?;
                    Ok(true)
                })
            })
            .await
    }
}

async fn settle(
    connection: &mut AnyConnection,
    run: &RunId,
    records: &[StepRecord],
    act: &Act,
    now: Timestamp,
) -> Result<Settled, sqlx::Error> {
    let query = "SELECT step.* FROM run JOIN step ON step.run = run.id WHERE run.id = $1 AND run.state = 'indeterminate'";
    let steps = sqlx::query(query).bind(&run.0).fetch_all(&mut *connection).await?;
    let steps: Result<Vec<_>, _> = steps.iter().map(read_step).collect();
    let steps = steps.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    let doubtful: Vec<_> = steps.iter().filter(|step| step.may_have_happened()).collect();
    let is_doubtful = |record: &StepRecord| doubtful.iter().any(|step| step.id == record.id);
    let Some(own) = records.first().filter(|own| is_doubtful(own)) else { return Ok(Settled::Known) };
    // Of two people who settle two steps at once, the other may have opened the steps around already.
    for record in records.iter().filter(|record| is_doubtful(record)) {
        write_step(connection, run, record, None).await?;
    }
    let query = "DELETE FROM target_lock WHERE run = $1 AND step = $2";
    sqlx::query(query).bind(&run.0).bind(&own.id).execute(&mut *connection).await?;
    audit::write(connection, act, now).await?;
    if doubtful.iter().any(|step| records.iter().all(|record| record.id != step.id)) {
        return Ok(Settled::Waits);
    }
    // It takes its place among those of its concurrency key again, whoever has begun meanwhile: what it did stands already.
    // Its time limit is for what it does, not for how long it took people to find out.
    let query = "UPDATE run SET state = 'ready', reason = '', due_at = $2, ended_at = NULL, touched = TRUE, resumed_at = $2 WHERE id = $1";
    sqlx::query(query).bind(&run.0).bind(now.as_microsecond()).execute(connection).await?;
    Ok(Settled::GoesOn)
}
