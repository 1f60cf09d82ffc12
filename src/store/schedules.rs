//! Up to when the times of each schedule were seen to.

use jiff::Timestamp;

use super::{Begun, NewRun, Store, StoreError, begin, errors, rows};
use crate::{clock, failpoints};

/// A time of a schedule at which an expression failed, so that no run begins.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct TickFailure {
    /// The hash of the playbook.
    pub hash: String,
    pub occasion: String,
    pub detail: String,
}

impl Store {
    /// The times of a playbook's schedule as they were written, and up to when they were seen to; `None` before the first time.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn schedule(&self, playbook: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        let query = "SELECT times, last FROM schedule WHERE playbook = $1";
        let found: Option<(String, i64)> = sqlx::query_as(query).bind(playbook).fetch_optional(&self.readers).await?;
        found.map(|(times, last)| Ok((times, rows::time(last)?))).transpose()
    }

    /// Begins runs of a schedule, notes why others cannot begin, and remembers that its times up to `last` were seen to, all or nothing;
    /// durable when this returns.
    /// Says what became of each run. What was seen to stays so when the clock is corrected; what a clock that was far
    /// ahead saw to is forgotten.
    ///
    /// # Errors
    /// The store cannot be written; nothing began and nothing was remembered.
    pub async fn advance_schedule(
        &self,
        playbook: &str,
        (times, last): (&str, Timestamp),
        runs: Vec<NewRun>,
        failures: Vec<TickFailure>,
    ) -> Result<Vec<Begun>, StoreError> {
        if failpoints::mistake("ticks_before_runs") && !runs.is_empty() {
            Box::pin(self.advance_schedule(playbook, (times, last), Vec::new(), Vec::new())).await?;
            failpoints::crash("ticks_kept");
        }
        let (playbook, times, now, outlet) = (playbook.to_owned(), times.to_owned(), self.clock.now(), self.outlet.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let mut begun = Vec::with_capacity(runs.len());
                    for run in &runs {
                        begun.push(begin::begin(connection, run, (&outlet, now)).await?);
                    }
                    for TickFailure { hash, occasion, detail } in &failures {
                        errors::note(connection, (&playbook, hash), (occasion, detail), (&outlet, now)).await?;
                    }
                    let query = "INSERT INTO schedule (playbook, times, last) VALUES ($1, $2, $3)
                                 ON CONFLICT (playbook) DO UPDATE SET times = excluded.times, last =
                                     CASE WHEN schedule.last > excluded.last AND schedule.last <= excluded.last + $4 THEN schedule.last ELSE excluded.last END";
                    let (last, jump) = (last.as_microsecond(), clock::JUMP.as_micros());
                    let jump = i64::try_from(jump).unwrap_or(i64::MAX);
                    sqlx::query(query).bind(playbook).bind(times).bind(last).bind(jump).execute(connection).await?;
                    Ok(begun)
                })
            })
            .await
    }

    /// Forgets up to when the times of a schedule were seen to; durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written; it is remembered still.
    pub async fn forget_schedule(&self, playbook: &str) -> Result<(), StoreError> {
        let playbook = playbook.to_owned();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("DELETE FROM schedule WHERE playbook = $1").bind(playbook).execute(connection).await.map(|_| ())
                })
            })
            .await
    }
}
