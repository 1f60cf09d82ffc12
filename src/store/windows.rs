//! Windows in the journal: what is known under a key, and what is kept of it. What follows from that is decided in `window`.
//!
//! Runs of one mode know nothing of the others: what is only recorded in shadow holds no run back that acts.
//!
//! All of this is part of the transaction that begins runs, so that two alerts cannot both be the first.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::{dialect, rows};
use crate::{
    clock,
    run::{Mode, RunId, Strategy},
    window::{Concurrency, Entry, Kind, Seen, Windows, since},
};

/// Entries are forgotten so long after they could matter last: a clock that is set back by less forgets nothing.
const FORGET_AFTER: i64 = 86_400_000_000;

/// What is known under the keys that a run asks for.
pub(super) async fn seen(connection: &mut AnyConnection, of: (&str, Mode), windows: &Windows, now: Timestamp) -> Result<Seen, sqlx::Error> {
    let ((playbook, mode), mut seen) = (of, Seen::default());
    if let Some(threshold) = &windows.threshold {
        let hits = times(connection, (of, Kind::Threshold, &threshold.key), (since(now, threshold.within), now), threshold.count).await?;
        seen.hits = u32::try_from(hits.len()).unwrap_or(u32::MAX);
    }
    if let Some(dedup) = &windows.dedup {
        let query = "SELECT run, until FROM window_entry WHERE playbook = $1 AND mode = $3 AND kind = 'dedup' AND key = $2 AND at <= $4";
        let found: Option<(String, i64)> = sqlx::query_as(query)
            .bind(playbook)
            .bind(rows::key(&dedup.key))
            .bind(mode.as_str())
            .bind(believable(now))
            .fetch_optional(&mut *connection)
            .await?;
        seen.holder = found.map(|(run, until)| (RunId(run), moment(until)));
    }
    if let Some(group) = &windows.group {
        let query = "SELECT (SELECT id FROM run WHERE playbook = $1 AND mode = $3 AND gathering = $2),
                            (SELECT at FROM window_entry WHERE playbook = $1 AND mode = $3 AND kind = 'group' AND key = $2)";
        let (run, last): (Option<String>, Option<i64>) =
            sqlx::query_as(query).bind(playbook).bind(rows::key(&group.key)).bind(mode.as_str()).fetch_one(&mut *connection).await?;
        seen.gathering = run.map(RunId);
        seen.last_start = last.map(moment);
    }
    if let Some(throttle) = &windows.throttle {
        seen.starts = times(connection, (of, Kind::Throttle, &throttle.key), (since(now, throttle.per), now), throttle.max).await?;
    }
    if let Some(Concurrency { key, max, strategy }) = &windows.concurrency {
        let (open, queued) = match strategy {
            Strategy::Queue | Strategy::Skip => (i64::from(*max), 1),
            Strategy::CancelRunning => (i64::MAX, i64::MAX),
        };
        seen.open = open_runs(connection, (of, key), "ready waiting", open).await?;
        seen.queued = open_runs(connection, (of, key), "queued", queued).await?;
    }
    Ok(seen)
}

/// Keeps what a run left in a window.
pub(super) async fn keep(
    connection: &mut AnyConnection,
    (playbook, mode): (&str, Mode),
    run: &RunId,
    entry: &Entry,
) -> Result<(), sqlx::Error> {
    let Entry { kind, key, at, until, keep } = entry;
    if kind.is_replaced() {
        let query = "DELETE FROM window_entry WHERE playbook = $1 AND mode = $4 AND kind = $2 AND key = $3";
        sqlx::query(query).bind(playbook).bind(kind.as_str()).bind(rows::key(key)).bind(mode.as_str()).execute(&mut *connection).await?;
    }
    // What a clock that was wrong left would be kept in place of this one.
    let query = "DELETE FROM window_entry WHERE playbook = $1 AND mode = $4 AND kind = $2 AND key = $3 AND at > $5";
    let query = sqlx::query(query).bind(playbook).bind(kind.as_str()).bind(rows::key(key)).bind(mode.as_str());
    query.bind(believable(*at)).execute(&mut *connection).await?;
    let query = "INSERT INTO window_entry (playbook, kind, key, at, until, run, mode) VALUES ($1, $2, $3, $4, $5, $6, $8);
                 DELETE FROM window_entry WHERE number IN (
                     SELECT number FROM window_entry WHERE playbook = $1 AND mode = $8 AND kind = $2 AND key = $3 ORDER BY at DESC, number DESC LIMIT 9223372036854775807 OFFSET $7)";
    dialect::each(connection, query, |query| {
        query
            .bind(playbook)
            .bind(kind.as_str())
            .bind(rows::key(key))
            .bind(at.as_microsecond())
            .bind(until.as_microsecond())
            .bind(&run.0)
            .bind(i64::from(*keep))
            .bind(mode.as_str())
    })
    .await
}

/// Forgets what cannot matter any more.
pub(super) async fn forget(connection: &mut AnyConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    let before = now.as_microsecond().saturating_sub(FORGET_AFTER);
    sqlx::query("DELETE FROM window_entry WHERE until < $1").bind(before).execute(connection).await.map(|_| ())
}

/// Lets no more alerts join a run. The next run of the group keeps its distance from now.
pub(super) async fn close_group(connection: &mut AnyConnection, run: &RunId, now: Timestamp) -> Result<(), sqlx::Error> {
    let query = "UPDATE window_entry SET until = until + ($2 - at), at = $2
                 WHERE kind = 'group' AND (playbook, mode, key) IN (SELECT playbook, mode, gathering FROM run WHERE id = $1);
                 UPDATE run SET gathering = NULL WHERE id = $1";
    dialect::each(connection, query, |query| query.bind(&run.0).bind(now.as_microsecond())).await
}

/// Lets those begin that have waited for longest under a concurrency key, as far as there is place.
pub(super) async fn admit_queued(
    connection: &mut AnyConnection,
    (playbook, mode): (&str, Mode),
    key: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let query = "UPDATE run SET state = CASE WHEN due_at > $3 THEN 'waiting' ELSE 'ready' END
                 WHERE id = (SELECT id FROM run WHERE playbook = $1 AND mode = $4 AND concurrency = $2 AND state = 'queued' ORDER BY rowid LIMIT 1)
                   AND concurrency_max > (SELECT count(*) FROM run WHERE playbook = $1 AND mode = $4 AND concurrency = $2 AND ended_as IS NULL
                                            AND state IN ('ready', 'waiting'))";
    while sqlx::query(query)
        .bind(playbook)
        .bind(key)
        .bind(now.as_microsecond())
        .bind(mode.as_str())
        .execute(&mut *connection)
        .await?
        .rows_affected()
        > 0
    {}
    Ok(())
}

/// Up to when entries count. What lies further ahead was written while the clock was wrong, and would hold its key until then.
fn believable(now: Timestamp) -> i64 {
    now.as_microsecond().saturating_add(i64::try_from(clock::JUMP.as_micros()).unwrap_or(i64::MAX))
}

/// The times at which something happened after a moment, the last first.
async fn times(
    connection: &mut AnyConnection,
    ((playbook, mode), kind, key): ((&str, Mode), Kind, &str),
    (since, now): (Timestamp, Timestamp),
    most: u32,
) -> Result<Vec<Timestamp>, sqlx::Error> {
    let query = "SELECT at FROM window_entry WHERE playbook = $1 AND mode = $6 AND kind = $2 AND key = $3 AND at > $4 AND at <= $7 ORDER BY at DESC LIMIT $5";
    let found: Vec<(i64,)> = sqlx::query_as(query)
        .bind(playbook)
        .bind(kind.as_str())
        .bind(rows::key(key))
        .bind(since.as_microsecond())
        .bind(i64::from(most))
        .bind(mode.as_str())
        .bind(believable(now))
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().map(|(at,)| moment(at)).collect())
}

/// The runs of a concurrency key in one of those states, the oldest first. Those that were taken up again to undo what they did are not among
/// them: a new run neither waits for that nor ends it.
async fn open_runs(
    connection: &mut AnyConnection,
    ((playbook, mode), key): ((&str, Mode), &str),
    states: &str,
    most: i64,
) -> Result<Vec<RunId>, sqlx::Error> {
    let query = "SELECT id FROM run WHERE playbook = $1 AND mode = $5 AND concurrency = $2 AND ended_as IS NULL
                     AND state IN (SELECT value FROM json_each($3))
                 ORDER BY rowid LIMIT $4";
    let states = serde_json::Value::from(states.split(' ').collect::<Vec<_>>()).to_string();
    let found: Vec<(String,)> =
        sqlx::query_as(query).bind(playbook).bind(rows::key(key)).bind(states).bind(most).bind(mode.as_str()).fetch_all(connection).await?;
    Ok(found.into_iter().map(|(id,)| RunId(id)).collect())
}

/// Only what was a time before was written.
fn moment(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::MAX)
}
