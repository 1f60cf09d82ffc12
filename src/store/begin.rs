//! Runs begin: as their windows allow, in the transaction in which that is decided.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;
use sqlx::AnyConnection;

use super::{Act, Store, StoreError, audit, dialect, events, rows, rows::Flag, windows};
use crate::{
    failpoints,
    news::Outlet,
    run::{Mode, Replay, RunId, RunState},
    window::{self, Admission, Windows},
};

/// A run to begin.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NewRun {
    pub id: RunId,
    /// The number of the alert; none for a run that a schedule or a person begins.
    pub alert: Option<i64>,
    /// What begins it. No other run of the playbook has the same: `alert:N`, `group:N`, `tick:TIME`, `manual:UUID`, `replay:UUID`.
    pub occasion: String,
    pub playbook: String,
    pub playbook_hash: String,
    pub playbook_text: Arc<str>,
    /// What the text leans on.
    pub playbook_around: Arc<str>,
    pub mode: Mode,
    pub inputs: Value,
    pub vars: Value,
    pub windows: Windows,
    /// Who wants it, where the alert was answered before.
    pub replay: Option<Replay>,
}

/// What became of a run that was to begin without an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It began, or begins when others have ended.
    New,
    /// A run of the same occasion is there already.
    Known,
    /// A window held it.
    Held(String),
}

impl Store {
    /// Begins a run that answers no alert, as its windows allow; durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written; nothing began.
    pub async fn begin(&self, run: NewRun) -> Result<Begun, StoreError> {
        let (now, outlet) = (self.clock.now(), self.outlet.clone());
        self.writer.write(move |connection| Box::pin(async move { begin(connection, &run, (&outlet, now)).await })).await
    }

    /// As [`Store::begin`], for a person, who therefore does not decide about it: who began it with which inputs is recorded with it.
    ///
    /// # Errors
    /// The store cannot be written; nothing began.
    pub async fn begin_by(&self, run: NewRun, person: &str, who: &str) -> Result<Begun, StoreError> {
        let (now, person, outlet) = (self.clock.now(), person.to_owned(), self.outlet.clone());
        let detail = serde_json::json!({"playbook": run.playbook, "inputs": run.inputs});
        let act = Act { who: who.to_owned(), what: "run.start", subject: format!("run {}", run.id), detail };
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let begun = begin(connection, &run, (&outlet, now)).await?;
                    if begun == Begun::New {
                        request(connection, &run.id, &person).await?;
                        audit::write(connection, &act, now).await?;
                    }
                    Ok(begun)
                })
            })
            .await
    }

    /// Lets no more alerts join a run that gathers them; durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written; alerts may join still.
    pub async fn begin_group(&self, run: &RunId) -> Result<(), StoreError> {
        let (run, now) = (run.clone(), self.clock.now());
        self.writer.write(move |connection| Box::pin(async move { windows::close_group(connection, &run, now).await })).await
    }
}

/// Notes who wants a run, and therefore does not decide about it.
pub(super) async fn request(connection: &mut AnyConnection, run: &RunId, person: &str) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO requester (run, person) VALUES ($1, $2) ON CONFLICT (run, person) DO NOTHING";
    sqlx::query(query).bind(&run.0).bind(person).execute(connection).await.map(|_| ())
}

/// Begins a run that no decision about an alert begins.
pub(super) async fn begin(connection: &mut AnyConnection, run: &NewRun, (outlet, now): (&Outlet, Timestamp)) -> Result<Begun, sqlx::Error> {
    let query = "SELECT 1 FROM run WHERE playbook = $1 AND occasion = $2";
    let known: Option<(i64,)> = sqlx::query_as(query).bind(&run.playbook).bind(&run.occasion).fetch_optional(&mut *connection).await?;
    if known.is_some() {
        return Ok(Begun::Known);
    }
    keep_playbooks(connection, [run], now).await?;
    match admit(connection, run, now).await? {
        Admission::Held { detail, .. } => Ok(Begun::Held(detail)),
        Admission::Begin { .. } | Admission::Queue { .. } => {
            events::begun(connection, run, (outlet, now)).await?;
            Ok(Begun::New)
        }
        Admission::Join { .. } => Ok(Begun::New),
    }
}

/// Keeps the texts of playbooks, each once.
pub(super) async fn keep_playbooks(
    connection: &mut AnyConnection,
    runs: impl IntoIterator<Item = &NewRun>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let texts: BTreeMap<&str, &NewRun> = runs.into_iter().map(|run| (run.playbook_hash.as_str(), run)).collect();
    for (hash, run) in texts {
        let query = "INSERT INTO playbook_text (hash, name, text, around, first_used_at) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (hash) DO NOTHING";
        sqlx::query(query)
            .bind(hash)
            .bind(&run.playbook)
            .bind(&*run.playbook_text)
            .bind(&*run.playbook_around)
            .bind(now.as_microsecond())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Decides what becomes of a run, and makes it so.
pub(super) async fn admit(connection: &mut AnyConnection, run: &NewRun, now: Timestamp) -> Result<Admission, sqlx::Error> {
    // Most playbooks have no windows, and cost nothing here.
    if run.windows.is_empty() {
        insert(connection, run, RunState::Ready, now, now).await?;
        return Ok(Admission::Begin { due: now });
    }
    let seen = windows::seen(connection, (&run.playbook, run.mode), &run.windows, now).await?;
    let admission = window::admit(&run.windows, &seen, now);
    let answers = match &admission {
        Admission::Begin { due } => {
            insert(connection, run, if *due > now { RunState::Waiting } else { RunState::Ready }, *due, now).await?;
            &run.id
        }
        Admission::Queue { due, cancel } => {
            for other in cancel {
                cancel_run(connection, other, now).await?;
            }
            insert(connection, run, RunState::Queued, *due, now).await?;
            &run.id
        }
        Admission::Join { run: other } => {
            let query = "INSERT INTO joined_alert (run, alert) VALUES ($1, $2)";
            sqlx::query(query).bind(&other.0).bind(run.alert).execute(&mut *connection).await?;
            other
        }
        Admission::Held { .. } => &run.id,
    };
    for entry in window::entries(&run.windows, &admission, now).into_iter().filter(|_| !failpoints::mistake("windows_forgotten")) {
        windows::keep(connection, (&run.playbook, run.mode), answers, &entry).await?;
    }
    Ok(admission)
}

/// Lets an open run end as soon as nothing of it is under way; says whether that is news.
pub(super) async fn cancel_run(connection: &mut AnyConnection, run: &RunId, now: Timestamp) -> Result<bool, sqlx::Error> {
    // No alert may join a run that answers no more; and one that waits for others has nothing to wait for.
    let query =
        "UPDATE run SET cancel = TRUE, touched = TRUE, due_at = CASE WHEN due_at < $2 THEN due_at ELSE $2 END, state = CASE state WHEN 'queued' THEN 'ready' ELSE state END
                 WHERE id = $1 AND NOT cancel AND state IN ('ready', 'waiting', 'queued')
                 RETURNING gathering IS NOT NULL";
    let found: Option<(Flag,)> = sqlx::query_as(query).bind(&run.0).bind(now.as_microsecond()).fetch_optional(&mut *connection).await?;
    if let Some((Flag(true),)) = found {
        windows::close_group(connection, run, now).await?;
    }
    Ok(found.is_some())
}

async fn insert(connection: &mut AnyConnection, run: &NewRun, state: RunState, due: Timestamp, now: Timestamp) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO run (id, alert, occasion, playbook, playbook_hash, mode, inputs, vars, state, reason, created_at, due_at,
                                  gathering, concurrency, concurrency_max, replay)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, $11, $12, $13, $14, $15);
                 INSERT INTO decision (alert, playbook, verdict, detail, run) SELECT $2, $4, 'run', '', $1 WHERE $2 IS NOT NULL AND $15 IS NULL";
    // What was decided about an alert when it came stays, however often it is answered.
    let replay = run.replay.as_ref().map(|replay| serde_json::json!(replay).to_string());
    dialect::each(connection, query, |query| {
        query
            .bind(&run.id.0)
            .bind(run.alert)
            .bind(&run.occasion)
            .bind(&run.playbook)
            .bind(&run.playbook_hash)
            .bind(run.mode.as_str())
            .bind(run.inputs.to_string())
            .bind(run.vars.to_string())
            .bind(state.as_str())
            .bind(now.as_microsecond())
            .bind(due.as_microsecond())
            .bind(run.windows.group.as_ref().map(|group| rows::key(&group.key)))
            .bind(run.windows.concurrency.as_ref().map(|it| rows::key(&it.key)))
            .bind(run.windows.concurrency.as_ref().map(|it| i64::from(it.max)))
            .bind(replay.clone())
    })
    .await
}
