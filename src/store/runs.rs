//! Runs, their steps and attempts: begun in `begin`, carried on and read here.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{AnyConnection, Row, any::AnyRow};
use uuid::Uuid;

use super::{
    ApprovalFilter, Store, StoreError, approvals, dialect, outbox, rollback, rows,
    rows::{Flag, flag, number},
    windows,
};
use crate::approval::Approval;
use crate::failpoints;
use crate::news::Outlet;
use crate::run::{AttemptOutcome, AttemptRecord, Class, Mode, RunId, RunRecord, RunState, StepRecord, StepState};

/// A change of a run: the run as it is now, the step that changed, and the attempt that ended.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Change {
    pub run: RunRecord,
    pub step: Option<StepRecord>,
    pub attempt: Option<AttemptRecord>,
    /// What people are asked from then on.
    pub ask: Option<Box<Approval>>,
    /// Whether a guardrail held the step back for good.
    pub held: bool,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RunFilter {
    pub state: Option<String>,
    pub playbook: Option<String>,
    /// The number of one of its alerts.
    pub alert: Option<i64>,
    pub mode: Option<Mode>,
    /// The first characters of its identifier.
    pub start: Option<String>,
    pub most: i64,
}

/// A run as far as it has come.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Progress {
    pub run: RunRecord,
    pub steps: Vec<StepRecord>,
    /// The messages of its alerts as they came, that of the run's alert first.
    pub events: Vec<Vec<u8>>,
    /// Whether further alerts may join it still.
    pub gathers: bool,
}

/// How a run stands when something of it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the recorder's, as it knows it.
    Ours,
    /// Somebody else has changed it meanwhile, so whoever works on it must let go and read it again.
    Touched,
    /// Somebody else ended it, and nothing was recorded.
    Ended,
}

/// A run with all that happened in it.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Timeline {
    pub run: RunRecord,
    /// The numbers of all its alerts.
    pub alerts: Vec<i64>,
    pub steps: Vec<StepRecord>,
    /// Each with the id of its step.
    pub attempts: Vec<(String, AttemptRecord)>,
    /// What people were asked, the first question first.
    pub approvals: Vec<Approval>,
}

impl Change {
    /// A change of nothing but the run itself.
    pub fn of(run: RunRecord) -> Self {
        Self { run, step: None, attempt: None, ask: None, held: false }
    }
}

impl Store {
    /// The runs that have something to do at that time, longest due first; all of them, or only those of one mode.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn due_runs(&self, now: Timestamp, only: Option<Mode>, most: i64) -> Result<Vec<RunId>, StoreError> {
        let query = "SELECT id FROM run WHERE state IN ('ready', 'waiting') AND due_at <= $1 AND ($2 IS NULL OR mode = $2)
                     ORDER BY due_at, id LIMIT $3";
        let only = only.map(Mode::as_str);
        let found: Vec<(String,)> = sqlx::query_as(query).bind(now.as_microsecond()).bind(only).bind(most).fetch_all(&self.readers).await?;
        Ok(found.into_iter().map(|(id,)| RunId(id)).collect())
    }

    /// When an open run has something to do next.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let query = "SELECT min(due_at) FROM run WHERE state IN ('ready', 'waiting')";
        let (due,): (Option<i64>,) = sqlx::query_as(query).fetch_one(&self.readers).await?;
        due.map(rows::time).transpose()
    }

    /// The runs that have not ended.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn open_runs(&self) -> Result<Vec<(RunId, String)>, StoreError> {
        let query = "SELECT id, playbook, due_at FROM run WHERE state IN ('ready', 'waiting')
                     UNION ALL SELECT id, playbook, due_at FROM run WHERE state = 'queued' ORDER BY due_at";
        let found: Vec<(String, String, i64)> = sqlx::query_as(query).fetch_all(&self.readers).await?;
        Ok(found.into_iter().map(|(id, playbook, _)| (RunId(id), playbook)).collect())
    }

    /// The hashes of the texts that open runs use.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn texts_in_use(&self) -> Result<HashSet<String>, StoreError> {
        let query =
            "SELECT playbook_hash FROM run WHERE state IN ('ready', 'waiting') UNION SELECT playbook_hash FROM run WHERE state = 'queued'";
        let found: Vec<(String,)> = sqlx::query_as(query).fetch_all(&self.readers).await?;
        Ok(found.into_iter().map(|(hash,)| hash).collect())
    }

    /// How many runs have not ended, those among them that wait for their turn.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn runs_in_progress(&self) -> Result<i64, StoreError> {
        let query =
            "SELECT (SELECT count(*) FROM run WHERE state IN ('ready', 'waiting')) + (SELECT count(*) FROM run WHERE state = 'queued')";
        let (count,): (i64,) = sqlx::query_as(query).fetch_one(&self.readers).await?;
        Ok(count)
    }

    /// How many runs wait for a person because nobody knows whether a step happened.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn indeterminate_runs(&self) -> Result<i64, StoreError> {
        let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM run WHERE state = 'indeterminate'").fetch_one(&self.readers).await?;
        Ok(count)
    }

    /// A run with its steps and alerts, to go on with it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn progress(&self, run: &RunId) -> Result<Option<Progress>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        let query = "SELECT run.*, alert.event, EXISTS (SELECT 1 FROM step WHERE step.run = run.id) AS has_steps,
                            EXISTS (SELECT 1 FROM joined_alert WHERE joined_alert.run = run.id) AS has_joined
                     FROM run LEFT JOIN alert ON alert.number = run.alert WHERE run.id = $1";
        let Some(row) = sqlx::query(query).bind(&run.0).fetch_optional(&mut *reader).await? else { return Ok(None) };
        let mut steps = Vec::new();
        // Most runs are read once, before their first step.
        if flag(&row, "has_steps")? {
            let query = "SELECT * FROM step WHERE run = $1 ORDER BY position";
            let rows = sqlx::query(query).bind(&run.0).fetch_all(&mut *reader).await?;
            steps = rows.iter().map(read_step).collect::<Result<_, _>>()?;
        }
        let event: Option<Vec<u8>> = row.try_get("event")?;
        let mut events: Vec<Vec<u8>> = event.into_iter().collect();
        if flag(&row, "has_joined")? {
            let query = "SELECT event FROM joined_alert JOIN alert ON alert.number = joined_alert.alert WHERE run = $1 ORDER BY number";
            let joined: Vec<(Vec<u8>,)> = sqlx::query_as(query).bind(&run.0).fetch_all(&mut *reader).await?;
            events.extend(joined.into_iter().map(|(event,)| event));
        }
        let gathering: Option<&str> = row.try_get("gathering")?;
        Ok(Some(Progress { run: read_run(&row)?, steps, events, gathers: gathering.is_some() }))
    }

    /// A run with its steps and attempts, for people.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn timeline(&self, run: &RunId) -> Result<Option<Timeline>, StoreError> {
        let Some(Progress { run, steps, .. }) = self.progress(run).await? else { return Ok(None) };
        let query = "SELECT * FROM attempt WHERE run = $1 ORDER BY intent_at, number";
        let attempts = sqlx::query(query).bind(&run.id.0).fetch_all(&self.readers).await?;
        let attempts = attempts.iter().map(read_attempt).collect::<Result<_, _>>()?;
        let query = "SELECT alert FROM joined_alert WHERE run = $1 ORDER BY alert";
        let joined: Vec<(i64,)> = sqlx::query_as(query).bind(&run.id.0).fetch_all(&self.readers).await?;
        let alerts = run.alert.into_iter().chain(joined.into_iter().map(|(alert,)| alert)).collect();
        let mut approvals = self.approvals(&ApprovalFilter { run: Some(run.id.clone()), ..ApprovalFilter::default() }).await?;
        approvals.reverse();
        Ok(Some(Timeline { run, alerts, steps, attempts, approvals }))
    }

    /// The runs that a filter lets through, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        let query = "SELECT * FROM run WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR playbook = $2)
                       AND ($3 IS NULL OR alert = $3 OR id IN (SELECT run FROM joined_alert WHERE joined_alert.alert = $3))
                       AND ($6 IS NULL OR mode = $6) AND ($5 IS NULL OR substr(id, 1, length($5)) = $5)
                     ORDER BY created_at DESC, id DESC LIMIT $4";
        let rows = sqlx::query(query)
            .bind(&filter.state)
            .bind(&filter.playbook)
            .bind(filter.alert)
            .bind(if filter.most == 0 { i64::MAX } else { filter.most })
            .bind(&filter.start)
            .bind(filter.mode.map(Mode::as_str))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read_run).collect()
    }

    /// The text of a playbook that a run began with, and what that leans on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn playbook_text(&self, hash: &str) -> Result<Option<(String, String)>, StoreError> {
        let query = "SELECT text, around FROM playbook_text WHERE hash = $1";
        Ok(sqlx::query_as(query).bind(hash).fetch_optional(&self.readers).await?)
    }

    /// Records a change; durable when this returns. Unless it says [`Standing::Ours`], whoever works on the run must let go.
    ///
    /// # Errors
    /// The store cannot be written; nothing was recorded.
    pub async fn record(&self, change: Change) -> Result<Standing, StoreError> {
        let (now, driver, outlet) = (self.clock.now(), self.driver(), self.outlet.clone());
        self.writer.write(move |connection| Box::pin(async move { record(connection, &change, driver, (&outlet, now)).await })).await
    }
}

async fn record(
    connection: &mut AnyConnection,
    change: &Change,
    driver: Option<String>,
    (outlet, now): (&Outlet, Timestamp),
) -> Result<Standing, sqlx::Error> {
    let run = &change.run;
    if let Some(step) = change.step.as_ref().filter(|step| step.action == "approval")
        && is_answered_otherwise(connection, &run.id, step).await?
    {
        return Ok(Standing::Touched);
    }
    // Whoever touched the run wants it looked at soon, whatever its driver knew when it went on.
    let query = "UPDATE run SET state = $2, reason = $3, due_at = CASE WHEN touched AND due_at < $4 THEN due_at ELSE $4 END, ended_at = $5,
                                gathering = CASE WHEN $5 IS NULL THEN gathering END, node = CASE $2 WHEN 'ready' THEN node END
                 WHERE id = $1 AND state IN ('ready', 'waiting') AND ($6 IS NULL OR node = $6)
                 RETURNING touched, playbook, concurrency";
    let updated: Option<(Flag, String, Option<String>)> = sqlx::query_as(query)
        .bind(&run.id.0)
        .bind(run.state.as_str())
        .bind(rows::text(&run.reason))
        .bind(run.due_at.as_microsecond())
        .bind(run.ended_at.map(Timestamp::as_microsecond))
        .bind(driver)
        .fetch_optional(&mut *connection)
        .await?;
    let Some((Flag(is_touched), playbook, concurrency)) = updated else { return Ok(Standing::Ended) };
    if is_touched {
        sqlx::query("UPDATE run SET touched = FALSE WHERE id = $1").bind(&run.id.0).execute(&mut *connection).await?;
    }
    if let Some(step) = &change.step {
        write_step(connection, &run.id, step, change.attempt.as_ref()).await?;
        if step.action == "approval" && step.state.is_final() {
            approvals::close_step(connection, &run.id, step, (outlet, now)).await?;
        }
        if !step.may_have_happened() {
            let query = "DELETE FROM target_lock WHERE run = $1 AND step = $2";
            sqlx::query(query).bind(&run.id.0).bind(&step.id).execute(&mut *connection).await?;
        }
    }
    if let Some(approval) = &change.ask {
        approvals::open(connection, approval, outlet).await?;
    }
    if run.state.is_final() {
        approvals::close_all(connection, &run.id, (outlet, now)).await?;
    }
    outbox::tell_of_change(connection, (outlet, now), change).await?;
    if run.state.is_final() && (run.state != RunState::Indeterminate || failpoints::mistake("doubt_unlocks")) {
        sqlx::query("DELETE FROM target_lock WHERE run = $1").bind(&run.id.0).execute(&mut *connection).await?;
    }
    if let (true, Some(key)) = (run.state.is_final(), concurrency) {
        windows::admit_queued(connection, (&playbook, run.mode), &key, now).await?;
    }
    Ok(if is_touched { Standing::Touched } else { Standing::Ours })
}

/// Whether people answered an approval before its time was over, although its driver did not see that.
async fn is_answered_otherwise(connection: &mut AnyConnection, run: &RunId, step: &StepRecord) -> Result<bool, sqlx::Error> {
    let query = "SELECT output FROM step WHERE run = $1 AND id = $2 AND output <> 'null'";
    let answer: Option<(String,)> = sqlx::query_as(query).bind(&run.0).bind(&step.id).fetch_optional(connection).await?;
    let closed = step.output.to_string();
    Ok(answer.is_some_and(|(answer,)| answer != closed))
}

/// Writes a step and, if there is one, an attempt at it: both in one visit to the thread of the database.
pub(super) async fn write_step(
    connection: &mut AnyConnection,
    run: &RunId,
    step: &StepRecord,
    attempt: Option<&AttemptRecord>,
) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO step (run, id, position, action, class, state, plan, output, error, request_id, precondition, target,
                                   attempts, first_intent_at, due_at, started_at, ended_at, uncertain, within, returns_at, target_key, refused_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $25, $26, $27, $28)
                 ON CONFLICT (run, id) DO UPDATE SET
                     class = excluded.class, state = excluded.state, output = excluded.output, error = excluded.error,
                     precondition = excluded.precondition, target = excluded.target, target_key = excluded.target_key,
                     attempts = excluded.attempts,
                     first_intent_at = excluded.first_intent_at, due_at = excluded.due_at, ended_at = excluded.ended_at,
                     uncertain = excluded.uncertain, returns_at = excluded.returns_at, refused_at = excluded.refused_at;
                 INSERT INTO attempt (run, step, number, intent_at, outcome, http_status, message, ended_at)
                 SELECT $1, $2, $19, $20, $21, $22, $23, $24 WHERE $19 IS NOT NULL
                 ON CONFLICT (run, step, number) DO UPDATE SET
                     outcome = excluded.outcome, http_status = excluded.http_status, message = excluded.message, ended_at = excluded.ended_at";
    dialect::each(connection, query, |query| {
        query
            .bind(&run.0)
            .bind(&step.id)
            .bind(i64::from(step.position))
            .bind(&step.action)
            .bind(step.class.as_str())
            .bind(step.state.as_str())
            .bind(step.plan.to_string())
            .bind(step.output.to_string())
            .bind(step.error.as_deref().map(rows::text))
            .bind(step.request_id.to_string())
            .bind(step.precondition.as_ref().map(ToString::to_string))
            .bind(step.target.as_deref().map(rows::text))
            .bind(i64::from(step.attempts))
            .bind(step.first_intent_at.map(Timestamp::as_microsecond))
            .bind(step.due_at.map(Timestamp::as_microsecond))
            .bind(step.started_at.as_microsecond())
            .bind(step.ended_at.map(Timestamp::as_microsecond))
            .bind(step.uncertain)
            .bind(attempt.map(|it| i64::from(it.number)))
            .bind(attempt.map(|it| it.intent_at.as_microsecond()))
            .bind(attempt.and_then(|it| it.outcome).map(AttemptOutcome::as_str))
            .bind(attempt.and_then(|it| it.http_status).map(i64::from))
            .bind(attempt.map(|it| rows::text(&it.message)))
            .bind(attempt.and_then(|it| it.ended_at).map(Timestamp::as_microsecond))
            .bind(&step.within)
            .bind(step.returns_at.map(Timestamp::as_microsecond))
            .bind(step.target.as_deref().map(rows::key))
            .bind(step.refused_at.map(Timestamp::as_microsecond))
    })
    .await?;
    rollback::begun(connection, run, &step.id).await
}

pub(super) fn read_run(row: &AnyRow) -> Result<RunRecord, StoreError> {
    Ok(RunRecord {
        id: RunId(row.try_get("id")?),
        alert: row.try_get("alert")?,
        inputs: rows::json(row.try_get("inputs")?)?,
        playbook: row.try_get("playbook")?,
        playbook_hash: row.try_get("playbook_hash")?,
        mode: rows::word("a mode", row.try_get("mode")?, Mode::parse)?,
        vars: rows::json(row.try_get("vars")?)?,
        state: rows::word("a run's state", row.try_get("state")?, RunState::parse)?,
        reason: row.try_get("reason")?,
        created_at: rows::time(row.try_get("created_at")?)?,
        due_at: rows::time(row.try_get("due_at")?)?,
        ended_at: optional_time(row, "ended_at")?,
        resumed_at: optional_time(row, "resumed_at")?,
        ended_as: rows::document(row, "ended_as")?,
        cancel: flag(row, "cancel")?,
        replay: rows::document(row, "replay")?,
    })
}

pub(super) fn read_step(row: &AnyRow) -> Result<StepRecord, StoreError> {
    let request_id: &str = row.try_get("request_id")?;
    let precondition: Option<&str> = row.try_get("precondition")?;
    Ok(StepRecord {
        id: row.try_get("id")?,
        within: row.try_get("within")?,
        position: number(row, "position")?,
        action: row.try_get("action")?,
        class: rows::word("a class", row.try_get("class")?, Class::parse)?,
        state: rows::word("a step's state", row.try_get("state")?, StepState::parse)?,
        plan: rows::json(row.try_get("plan")?)?,
        output: rows::json(row.try_get("output")?)?,
        error: row.try_get("error")?,
        request_id: Uuid::parse_str(request_id).map_err(|error| rows::corrupt("a request id", error.to_string()))?,
        precondition: precondition.map(rows::json).transpose()?,
        target: row.try_get("target")?,
        attempts: number(row, "attempts")?,
        uncertain: flag(row, "uncertain")?,
        refused_at: optional_time(row, "refused_at")?,
        first_intent_at: optional_time(row, "first_intent_at")?,
        due_at: optional_time(row, "due_at")?,
        started_at: rows::time(row.try_get("started_at")?)?,
        ended_at: optional_time(row, "ended_at")?,
        returns_at: optional_time(row, "returns_at")?,
        decided: rows::document(row, "decided")?,
    })
}

fn read_attempt(row: &AnyRow) -> Result<(String, AttemptRecord), StoreError> {
    let outcome: Option<&str> = row.try_get("outcome")?;
    let http_status: Option<i64> = row.try_get("http_status")?;
    let attempt = AttemptRecord {
        number: number(row, "number")?,
        intent_at: rows::time(row.try_get("intent_at")?)?,
        outcome: outcome.map(|word| rows::word("an attempt's outcome", word, AttemptOutcome::parse)).transpose()?,
        http_status: http_status.and_then(|status| u16::try_from(status).ok()),
        message: row.try_get("message")?,
        ended_at: optional_time(row, "ended_at")?,
    };
    Ok((row.try_get("step")?, attempt))
}

fn optional_time(row: &AnyRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let microseconds: Option<i64> = row.try_get(column)?;
    microseconds.map(rows::time).transpose()
}
