//! The past, read in bulk: which alerts came, what was decided about them and what was done. For `quell backtest` and `quell explain`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::Row;

use super::{Store, StoreError, rows, rows::Flag, runs, windows};
use crate::{
    run::{Mode, RunId, RunRecord, StepRecord},
    window::{Seen, Windows},
};

/// An alert and what became of it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Past {
    pub number: i64,
    pub is_revision: bool,
    pub stored_at: Timestamp,
    /// Its message as it came.
    pub event: Vec<u8>,
    /// By playbook: the verdict's word and its detail.
    pub decisions: Vec<(String, String, String)>,
    /// Its runs with their steps, but for replays.
    pub runs: Vec<(RunRecord, Vec<StepRecord>)>,
    /// The runs that answered it once more, because a person wanted it.
    pub replays: Vec<RunRecord>,
}

/// How the occasion of a run begins that answers one alert; its number follows.
pub const ALERT: &str = "alert:";

/// How the occasion of a run begins that a schedule began; its time follows.
pub const TICK: &str = "tick:";

/// How the occasion of a run begins that answers an alert once more.
pub const REPLAY: &str = "replay:";

/// A while in the past.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct While {
    pub since: Timestamp,
    pub until: Timestamp,
}

impl Store {
    /// How many alerts were taken in within a while.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn count_past(&self, within: While) -> Result<u64, StoreError> {
        let query = "SELECT count(*) FROM alert WHERE stored_at >= $1 AND stored_at < $2";
        let (count,): (i64,) =
            sqlx::query_as(query).bind(within.since.as_microsecond()).bind(within.until.as_microsecond()).fetch_one(&self.readers).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The alerts of a while that come after a number, in the order in which they came.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn past(&self, after: i64, within: While, most: i64) -> Result<Vec<Past>, StoreError> {
        let query = "SELECT number, is_revision, stored_at, event FROM alert
                     WHERE number > $1 AND stored_at >= $2 AND stored_at < $3 ORDER BY number LIMIT $4";
        let found: Vec<(i64, Flag, i64, Vec<u8>)> = sqlx::query_as(query)
            .bind(after)
            .bind(within.since.as_microsecond())
            .bind(within.until.as_microsecond())
            .bind(most)
            .fetch_all(&self.readers)
            .await?;
        let (Some(first), Some(last)) = (found.first().map(|it| it.0), found.last().map(|it| it.0)) else { return Ok(Vec::new()) };
        let mut decisions = self.decisions_between(first, last).await?;
        let mut runs = self.runs_between(first, last).await?;
        let past = found.into_iter().map(|(number, Flag(is_revision), stored_at, event)| {
            let decisions = decisions.remove(&number).unwrap_or_default();
            let runs = runs.remove(&number).unwrap_or_default();
            let (replays, runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(|(run, _)| run.replay.is_some());
            let replays = replays.into_iter().map(|(run, _)| run).collect();
            Ok(Past { number, is_revision, stored_at: rows::time(stored_at)?, event, decisions, runs, replays })
        });
        past.collect()
    }

    /// The runs that schedules began for their times within a while: the time, the playbook and the run, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn ticked(&self, within: While) -> Result<Vec<(Timestamp, String, RunId)>, StoreError> {
        let query = "SELECT occasion, playbook, id FROM run WHERE alert IS NULL AND occasion LIKE $1";
        let found: Vec<(String, String, String)> = sqlx::query_as(query).bind(format!("{TICK}%")).fetch_all(&self.readers).await?;
        let time = |occasion: &str| occasion.strip_prefix(TICK)?.parse::<Timestamp>().ok();
        let ticked = found.into_iter().filter_map(|(occasion, playbook, run)| Some((time(&occasion)?, playbook, RunId(run))));
        let mut ticked: Vec<_> = ticked.filter(|(at, ..)| within.since <= *at && *at < within.until).collect();
        ticked.sort();
        Ok(ticked)
    }

    /// The alert of that number and what became of it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn past_of(&self, number: i64) -> Result<Option<Past>, StoreError> {
        let always = While { since: Timestamp::MIN, until: Timestamp::MAX };
        Ok(self.past(number - 1, always, 1).await?.into_iter().find(|past| past.number == number))
    }

    /// What is known under the keys of windows that a run of a playbook would ask for.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn windows_seen(&self, (playbook, mode): (&str, Mode), asked: &Windows, now: Timestamp) -> Result<Seen, StoreError> {
        let mut reader = self.readers.acquire().await?;
        Ok(windows::seen(&mut reader, (playbook, mode), asked, now).await?)
    }

    /// The steps that were first attempted since a moment: action, playbook and when, as limits count them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn attempted_since(&self, since: Timestamp) -> Result<Vec<(String, String, Timestamp)>, StoreError> {
        let query = "SELECT action, within, first_intent_at FROM step WHERE first_intent_at > $1";
        let found: Vec<(String, String, i64)> = sqlx::query_as(query).bind(since.as_microsecond()).fetch_all(&self.readers).await?;
        found.into_iter().map(|(action, within, at)| Ok((action, within, rows::time(at)?))).collect()
    }

    async fn decisions_between(&self, first: i64, last: i64) -> Result<BTreeMap<i64, Vec<(String, String, String)>>, StoreError> {
        let query = "SELECT alert, playbook, verdict, detail FROM decision WHERE alert BETWEEN $1 AND $2";
        let found: Vec<(i64, String, String, String)> = sqlx::query_as(query).bind(first).bind(last).fetch_all(&self.readers).await?;
        let mut by_alert: BTreeMap<i64, Vec<_>> = BTreeMap::new();
        for (alert, playbook, verdict, detail) in found {
            by_alert.entry(alert).or_default().push((playbook, verdict, detail));
        }
        Ok(by_alert)
    }

    async fn runs_between(&self, first: i64, last: i64) -> Result<BTreeMap<i64, Vec<(RunRecord, Vec<StepRecord>)>>, StoreError> {
        let query =
            "SELECT step.* FROM step JOIN run ON run.id = step.run WHERE run.alert BETWEEN $1 AND $2 ORDER BY step.run, step.position";
        let found = sqlx::query(query).bind(first).bind(last).fetch_all(&self.readers).await?;
        let mut steps: BTreeMap<String, Vec<StepRecord>> = BTreeMap::new();
        for row in &found {
            steps.entry(row.try_get("run")?).or_default().push(runs::read_step(row)?);
        }
        let query = "SELECT * FROM run WHERE alert BETWEEN $1 AND $2 ORDER BY created_at, id";
        let found = sqlx::query(query).bind(first).bind(last).fetch_all(&self.readers).await?;
        let mut by_alert: BTreeMap<i64, Vec<_>> = BTreeMap::new();
        for row in &found {
            let run = runs::read_run(row)?;
            let steps = steps.remove(&run.id.0).unwrap_or_default();
            by_alert.entry(run.alert.unwrap_or_default()).or_default().push((run, steps));
        }
        Ok(by_alert)
    }
}
