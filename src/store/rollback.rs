//! What the steps of a run did is undone after the run has ended: a person asks for it, or its time has come. The run is taken up again for
//! that, and goes back to how it had ended. Who decides, and that the run is taken up, are one transaction; so it happens once, whoever asks.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::{AnyConnection, Connection};

use super::{
    Act, Store, StoreError, audit, rows,
    runs::{read_run, read_step},
};
use crate::run::{Decided, Ending, Ruling, RunId, RunState, StepRecord};

/// A person who decides about what a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decider {
    /// The name; whoever asks for something does not approve it.
    pub person: String,
    /// The name, and how it is known: `mina (command line)`.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// What became of the runs whose steps were due to be undone by themselves.
#[derive(Debug, Default)]
pub struct Returns {
    /// Those that were taken up, each with its playbook.
    pub begun: Vec<(RunId, String)>,
    /// Those that cannot be read, each with why; they are looked at again later.
    pub unreadable: Vec<(RunId, String)>,
}

/// A run that cannot be read is mended by a person, if at all, and must not be told of all the time.
const PUT_OFF: SignedDuration = SignedDuration::from_hours(1);

/// As many runs are taken up at once as can be driven in a moment.
const AT_ONCE: i64 = 100;

/// Whether a step is undone by itself still. What is undone already, or was tried, is nobody's to begin again.
macro_rules! returns {
    ($step:literal) => {
        concat!(
            $step,
            ".returns_at IS NOT NULL AND ",
            $step,
            ".decided IS NULL AND ",
            $step,
            ".state = 'succeeded'
                 AND NOT EXISTS (SELECT 1 FROM step AS undo WHERE undo.run = ",
            $step,
            ".run AND undo.id = ",
            $step,
            ".id || '.rollback')"
        )
    };
}

/// Steps that are undone by themselves, of runs that have ended. The last is undone first, so that one waits for those after it whose time
/// is later than that.
macro_rules! returning {
    ($what:literal, later than $time:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM step JOIN run ON run.id = step.run
                 WHERE run.state IN ('done', 'no_action', 'failed', 'rejected', 'expired', 'cancelled') AND ",
            returns!("step"),
            "
                   AND NOT EXISTS (SELECT 1 FROM step AS later WHERE later.run = step.run AND later.position > step.position
                                     AND later.returns_at > ",
            $time,
            " AND ",
            returns!("later"),
            ") ",
            $rest
        )
    };
}

impl Store {
    /// Takes a run that has ended up again to undo what these steps did, each in that round; durable when this returns, with who asked.
    /// Says whether it did: not if it has not ended, or if somebody has decided otherwise meanwhile.
    ///
    /// # Errors
    /// The store cannot be written; nothing begins.
    pub async fn roll_back(&self, run: &RunId, steps: Vec<(String, u32)>, by: &Decider) -> Result<bool, StoreError> {
        let (run, now, by) = (run.clone(), self.clock.now(), by.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for (step, round) in &steps {
                        if !is_open(connection, &run, (step, *round)).await? {
                            return Ok(false);
                        }
                    }
                    if steps.is_empty() || !take_up(connection, &run, now).await? {
                        return Ok(false);
                    }
                    for (step, round) in &steps {
                        let decided =
                            Decided { ruling: Ruling::Undo, round: *round, who: by.who.clone(), reason: by.reason.clone(), at: now };
                        decide(connection, &run, step, &decided).await?;
                    }
                    let query = "INSERT INTO requester (run, person) VALUES ($1, $2) ON CONFLICT (run, person) DO NOTHING";
                    sqlx::query(query).bind(&run.0).bind(&by.person).execute(&mut *connection).await?;
                    let names: Vec<_> = steps.iter().map(|(step, _)| step).collect();
                    audit::write(connection, &act("run.rollback", &run, &by.who, json!({"steps": names, "reason": by.reason})), now)
                        .await?;
                    Ok(true)
                })
            })
            .await
    }

    /// What these steps did stays, although they would be undone by themselves; without a name, that of all such steps. Durable when this
    /// returns, with who decided it; returns the steps that it holds for.
    ///
    /// # Errors
    /// The store cannot be written; nothing was decided.
    pub async fn keep_done(&self, run: &RunId, named: Vec<String>, by: &Decider) -> Result<Vec<String>, StoreError> {
        let (run, now, by) = (run.clone(), self.clock.now(), by.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = concat!("SELECT id FROM step WHERE run = $1 AND ", returns!("step"), " ORDER BY position");
                    let found: Vec<(String,)> = sqlx::query_as(query).bind(&run.0).fetch_all(&mut *connection).await?;
                    let kept: Vec<String> = found.into_iter().map(|(id,)| id).filter(|id| named.is_empty() || named.contains(id)).collect();
                    if kept.is_empty() {
                        return Ok(kept);
                    }
                    for step in &kept {
                        let decided = Decided { ruling: Ruling::Keep, round: 0, who: by.who.clone(), reason: by.reason.clone(), at: now };
                        decide(connection, &run, step, &decided).await?;
                    }
                    // Whoever drives the run knows nothing of it yet.
                    let query = "UPDATE run SET touched = TRUE WHERE id = $1 AND state IN ('ready', 'waiting')";
                    sqlx::query(query).bind(&run.0).execute(&mut *connection).await?;
                    audit::write(connection, &act("run.keep", &run, &by.who, json!({"steps": kept, "reason": by.reason})), now).await?;
                    Ok(kept)
                })
            })
            .await
    }

    /// Takes up the runs again whose steps are now undone by themselves. One that cannot be read keeps no other waiting.
    ///
    /// # Errors
    /// The store cannot be read or written; some may have been taken up.
    pub async fn begin_returns(&self, now: Timestamp) -> Result<Returns, StoreError> {
        // Most of the time there is nothing, and a look costs no commit.
        const DUE: &str =
            returning!("DISTINCT step.run, run.playbook", later than "$1", "AND step.returns_at <= $1 ORDER BY step.run LIMIT $2");
        let due: Vec<(String, String)> = sqlx::query_as(DUE).bind(now.as_microsecond()).bind(AT_ONCE).fetch_all(&self.readers).await?;
        let mut returns = Returns::default();
        for (run, playbook) in due {
            let run = RunId(run);
            let (taken, name) = (run.clone(), playbook.clone());
            let begun = self.writer.write(move |connection| Box::pin(async move { try_return(connection, &taken, &name, now).await }));
            match begun.await? {
                Ok(true) => returns.begun.push((run, playbook)),
                Ok(false) => {}
                Err(why) => returns.unreadable.push((run, why)),
            }
        }
        Ok(returns)
    }

    /// When a step of a run that has ended is undone by itself.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn next_return(&self) -> Result<Option<Timestamp>, StoreError> {
        const NEXT: &str = returning!("min(step.returns_at)", later than "step.returns_at", "");
        let (next,): (Option<i64>,) = sqlx::query_as(NEXT).fetch_one(&self.readers).await?;
        next.map(rows::time).transpose()
    }

    /// The run that has changed the target of a step since, or may have.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn overtaken_by(&self, run: &RunId, step: &StepRecord) -> Result<Option<RunId>, StoreError> {
        let Some((target, since)) = step.target.as_deref().zip(step.first_intent_at) else { return Ok(None) };
        let query = "SELECT run FROM step WHERE target_key = $1 AND first_intent_at > $2 AND run <> $3
                       AND (state IN ('executing', 'verifying', 'confirming', 'indeterminate') OR uncertain
                            OR state = 'succeeded' AND precondition IS NOT NULL)
                     ORDER BY first_intent_at DESC LIMIT 1";
        let found: Option<(String,)> =
            sqlx::query_as(query).bind(rows::key(target)).bind(since.as_microsecond()).bind(&run.0).fetch_optional(&self.readers).await?;
        Ok(found.map(|(run,)| RunId(run)))
    }
}

/// Begins it, or says why the run cannot be read: then nothing of it is written but that it is put off.
async fn try_return(
    connection: &mut AnyConnection,
    run: &RunId,
    playbook: &str,
    now: Timestamp,
) -> Result<Result<bool, String>, sqlx::Error> {
    let mut whole = connection.begin().await?;
    match begin_return(&mut whole, run, playbook, now).await {
        Ok(is_begun) => whole.commit().await.map(|()| Ok(is_begun)),
        Err(unreadable @ (sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })) => {
            whole.rollback().await?;
            let query = "UPDATE step SET returns_at = $3 WHERE run = $1 AND returns_at <= $2 AND decided IS NULL";
            let later = now.checked_add(PUT_OFF).unwrap_or(Timestamp::MAX);
            sqlx::query(query).bind(&run.0).bind(now.as_microsecond()).bind(later.as_microsecond()).execute(connection).await?;
            Ok(Err(unreadable.to_string()))
        }
        Err(error) => Err(error),
    }
}

async fn begin_return(connection: &mut AnyConnection, run: &RunId, playbook: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    const STEPS: &str =
        returning!("step.id, step.returns_at", later than "$2", "AND step.run = $1 AND step.returns_at <= $2 ORDER BY step.position");
    // Another node may have done it since, or a person decided.
    let steps: Vec<(String, i64)> = sqlx::query_as(STEPS).bind(&run.0).bind(now.as_microsecond()).fetch_all(&mut *connection).await?;
    if steps.is_empty() || !take_up(connection, run, now).await? {
        return Ok(false);
    }
    let who = format!("playbook {playbook}");
    for (step, returns_at) in &steps {
        let until = rows::time(*returns_at).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let reason = format!("nobody kept it until {until}");
        decide(connection, run, step, &Decided { ruling: Ruling::Undo, round: 1, who: who.clone(), reason, at: now }).await?;
    }
    let names: Vec<_> = steps.iter().map(|(step, _)| step).collect();
    audit::write(connection, &act("run.return", run, &who, json!({"steps": names})), now).await?;
    Ok(true)
}

fn act(what: &'static str, run: &RunId, who: &str, detail: serde_json::Value) -> Act {
    Act { who: who.to_owned(), what, subject: format!("run {run}"), detail }
}

/// A step is written. What it undoes, if it undoes anything, does not return by itself any more.
pub(super) async fn begun(connection: &mut AnyConnection, run: &RunId, step: &str) -> Result<(), sqlx::Error> {
    let Some(undone) = step.strip_suffix(".rollback") else { return Ok(()) };
    let query = "UPDATE step SET returns_at = NULL WHERE run = $1 AND id = $2 AND returns_at IS NOT NULL";
    sqlx::query(query).bind(&run.0).bind(undone).execute(connection).await.map(|_| ())
}

/// Whether somebody decided that what a step did stays. Asked in the transaction of the intent to undo it, because its driver may not know.
pub(super) async fn is_kept(connection: &mut AnyConnection, run: &RunId, step: &str) -> Result<bool, sqlx::Error> {
    Ok(succeeded(connection, run, step).await?.is_some_and(|step| step.kept().is_some()))
}

/// Whether nobody has decided that a step is undone in this round or a later one.
async fn is_open(connection: &mut AnyConnection, run: &RunId, (step, round): (&str, u32)) -> Result<bool, sqlx::Error> {
    let Some(step) = succeeded(connection, run, step).await? else { return Ok(false) };
    Ok(step.undo_round().is_none_or(|decided| decided < round))
}

async fn succeeded(connection: &mut AnyConnection, run: &RunId, step: &str) -> Result<Option<StepRecord>, sqlx::Error> {
    let query = "SELECT * FROM step WHERE run = $1 AND id = $2 AND state = 'succeeded'";
    let row = sqlx::query(query).bind(&run.0).bind(step).fetch_optional(connection).await?;
    row.as_ref().map(read_step).transpose().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

async fn decide(connection: &mut AnyConnection, run: &RunId, step: &str, decided: &Decided) -> Result<(), sqlx::Error> {
    let query = "UPDATE step SET decided = $3 WHERE run = $1 AND id = $2";
    sqlx::query(query).bind(&run.0).bind(step).bind(rows::text(&json!(decided).to_string())).execute(connection).await.map(|_| ())
}

/// What was about to be undone when somebody cancelled that stays, also when the run is taken up for something else. It may be asked for again.
async fn keep_cancelled(connection: &mut AnyConnection, run: &RunId, now: Timestamp) -> Result<(), sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM step WHERE run = $1").bind(&run.0).fetch_all(&mut *connection).await?;
    let steps: Result<Vec<_>, _> = rows.iter().map(read_step).collect();
    let steps = steps.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    let is_over = |id: &str| steps.iter().any(|step| step.id == id && step.state.is_final());
    for step in &steps {
        let Some(round) = step.undo_round().filter(|round| !is_over(&step.undone_by(*round))) else { continue };
        let (who, reason) = ("nobody".to_owned(), "its undoing was cancelled".to_owned());
        decide(connection, run, &step.id, &Decided { ruling: Ruling::Keep, round, who, reason, at: now }).await?;
    }
    Ok(())
}

/// Takes a run up again that has ended; says whether it had. One that waits for a person's word about a step in doubt has not.
async fn take_up(connection: &mut AnyConnection, run: &RunId, now: Timestamp) -> Result<bool, sqlx::Error> {
    let Some(row) = sqlx::query("SELECT * FROM run WHERE id = $1").bind(&run.0).fetch_optional(&mut *connection).await? else {
        return Ok(false);
    };
    let found = read_run(&row).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    if !found.state.is_final() || found.state == RunState::Indeterminate {
        return Ok(false);
    }
    if found.cancel {
        keep_cancelled(connection, run, now).await?;
    }
    // What it ended as first is how it ends again, however often it is taken up.
    let ended_as = found.ended_as.unwrap_or_else(|| Box::new(Ending { state: found.state, reason: found.reason }));
    let query =
        "UPDATE run SET state = 'ready', reason = '', due_at = $2, ended_at = NULL, touched = TRUE, resumed_at = $2, cancel = FALSE,
                                ended_as = $3
                 WHERE id = $1";
    let ended_as = rows::text(&json!(ended_as).to_string());
    sqlx::query(query).bind(&run.0).bind(now.as_microsecond()).bind(ended_as).execute(connection).await.map(|_| true)
}
