//! What a person wants to run is not stopped again by itself: holds on subscriptions, plans and tenants, placed by an operator, or because
//! what we had stopped was seen at work again although we had not started it.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{Act, Held, Store, StoreError, audit, intents::Intent, rows};
use crate::{failpoints, mention::mentions, run::RunId, word::words};

/// A hold, in force or over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Hold {
    pub number: i64,
    /// An identifier. What mentions it is held.
    pub target: String,
    pub cause: HoldCause,
    /// Who placed it.
    pub who: String,
    pub reason: String,
    pub since: Timestamp,
    pub until: Timestamp,
    /// The run and the step of it that stopped the target before somebody started it again.
    pub undone: Option<(RunId, String)>,
    /// When, by whom and why it was ended before its time.
    pub released: Option<(Timestamp, String, String)>,
}

/// Why there is a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldCause {
    /// We had stopped it, and somebody else started it again.
    Reactivated,
    /// A person wants it.
    Marked,
}

/// What holds mean for a step that may stop a customer's business, or that is never repeated.
#[derive(Debug, Clone)]
pub struct Heed {
    /// Whether it may stop a customer's business. If not, it is held only with everything, where what it answers is older than that hold:
    /// it may have been done before.
    pub is_destructive: bool,
    /// The actions that stop something: what they did, and nobody of us undid, was undone by a person.
    pub stops: Vec<&'static str>,
    /// The actions that do something else to the same targets, and cannot start them again.
    pub starts_nothing: Vec<&'static str>,
    /// How long a person who started something again is to be left alone.
    pub lasts: SignedDuration,
    /// When people agreed to exactly this step.
    pub approved_at: Option<Timestamp>,
}

/// The target of a hold on everything.
pub const EVERYTHING: &str = "*";

impl Hold {
    /// Whether it is in force at a moment.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        let released = self.released.as_ref().map_or(Timestamp::MAX, |(at, ..)| *at);
        self.since <= now && now < self.until.min(released)
    }

    /// Whether it holds back, at that moment, what touches these things. Who agreed after it was placed knew of it.
    pub fn binds(&self, touched: &Value, approved_at: Option<Timestamp>, now: Timestamp) -> bool {
        self.is_in_force(now)
            && approved_at.is_none_or(|at| at <= self.since)
            && (self.is_on_everything() || mentions(touched, &self.target))
    }

    /// Whether it holds whatever is destructive.
    pub fn is_on_everything(&self) -> bool {
        self.target == EVERYTHING
    }
}

impl Store {
    /// Every hold, newest first; or only those that are in force.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn holds(&self, in_force_at: Option<Timestamp>) -> Result<Vec<Hold>, StoreError> {
        let found = sqlx::query(READ).bind(in_force_at.map(Timestamp::as_microsecond)).fetch_all(&self.readers).await?;
        found.iter().map(read).collect()
    }

    /// Places a hold for a person; durable when this returns its number.
    ///
    /// # Errors
    /// The store cannot be written; nothing is held.
    pub async fn hold(&self, target: &str, lasts: SignedDuration, (who, reason): (&str, &str)) -> Result<i64, StoreError> {
        let now = self.clock.now();
        let hold = New::marked(target, (who, reason));
        self.writer.write(move |connection| Box::pin(async move { place(connection, &hold, lasts, now).await })).await
    }

    /// Ends a hold before its time, for a person; says whether it was in force.
    ///
    /// # Errors
    /// The store cannot be written; it is held still.
    pub async fn release_hold(&self, number: i64, (who, reason): (&str, &str)) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let act = Act { who: who.to_owned(), what: "hold.release", subject: format!("hold {number}"), detail: json!({"reason": reason}) };
        let (who, reason) = (who.to_owned(), reason.to_owned());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = "UPDATE hold SET released_at = $2, released_by = $3, release_reason = $4
                                 WHERE number = $1 AND released_at IS NULL AND until > $2";
                    let done = sqlx::query(query).bind(number).bind(now.as_microsecond()).bind(who).bind(rows::text(&reason));
                    let is_released = done.execute(&mut *connection).await?.rows_affected() == 1;
                    if is_released {
                        audit::write(connection, &act, now).await?;
                    }
                    Ok(is_released)
                })
            })
            .await
    }

    /// Takes note that targets were seen at work, by a look that began at that time: what we had stopped was started by somebody else.
    ///
    /// # Errors
    /// The store cannot be read or written; nothing was noted.
    pub async fn seen_at_work(&self, targets: Vec<String>, heed: Heed, looked_at: Timestamp) -> Result<(), StoreError> {
        for target in targets {
            let seen = Seen { target: rows::key(&target), looked_at, by: None };
            // Most of the time we never touched it, and a look costs no commit.
            if undone(&mut *self.readers.acquire().await?, &seen, &heed).await?.is_none() {
                continue;
            }
            let (heed, now) = (heed.clone(), self.clock.now());
            self.writer.write(move |connection| Box::pin(async move { note(connection, &seen, &heed, now).await })).await?;
        }
        Ok(())
    }
}

/// The hold that stands against an intent, looked for in its transaction. What the step itself has just seen at work becomes one.
pub(super) async fn against(connection: &mut AnyConnection, intent: &Intent) -> Result<Option<Held>, sqlx::Error> {
    let Some(heed) = intent.heed.as_ref().filter(|_| !failpoints::mistake("no_holds")) else { return Ok(None) };
    let (step, now) = (&intent.step, intent.attempt.intent_at);
    // After an attempt that may have had its effect, what is seen may be that.
    if let Some(target) = step.target.as_ref().filter(|_| heed.is_destructive && !step.uncertain) {
        let seen = Seen { target: rows::key(target), looked_at: now, by: Some((intent.run.0.clone(), step.id.clone())) };
        note(connection, &seen, heed, now).await?;
    }
    let found = sqlx::query(READ).bind(Some(now.as_microsecond())).fetch_all(&mut *connection).await?;
    let touched = json!([step.plan, step.precondition, step.target]);
    for row in &found {
        let hold = read(row).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let concerns = heed.is_destructive || hold.is_on_everything() && is_older(connection, &intent.run, hold.since).await?;
        if concerns && hold.binds(&touched, heed.approved_at, now) {
            return Ok(Some(Held::OnHold(Box::new(hold))));
        }
    }
    Ok(None)
}

/// Whether a run, or what it answers, was there at a moment already.
async fn is_older(connection: &mut AnyConnection, run: &RunId, than: Timestamp) -> Result<bool, sqlx::Error> {
    let query = "SELECT 1 FROM run LEFT JOIN alert ON alert.number = run.alert
                 WHERE run.id = $1 AND (run.created_at <= $2 OR alert.detected_at <= $2)";
    let found: Option<(i64,)> = sqlx::query_as(query).bind(&run.0).bind(than.as_microsecond()).fetch_optional(connection).await?;
    Ok(found.is_some())
}

/// A look that showed a target at work.
struct Seen {
    target: String,
    looked_at: Timestamp,
    /// The step that looked to stop it.
    by: Option<(String, String)>,
}

pub(super) struct New {
    target: String,
    cause: HoldCause,
    who: String,
    reason: String,
    undone: Option<(String, String)>,
}

impl New {
    /// What a person wants.
    pub(super) fn marked(target: &str, (who, reason): (&str, &str)) -> Self {
        Self { target: target.to_owned(), cause: HoldCause::Marked, who: who.to_owned(), reason: reason.to_owned(), undone: None }
    }
}

/// The step of ours that stopped a target last, if nothing of ours can have started it since, and nobody has noted so yet.
const UNDONE: &str = "
    SELECT stopped.run, stopped.id FROM step AS stopped
    WHERE stopped.target_key = $1 AND stopped.state = 'succeeded' AND stopped.action IN (SELECT value FROM json_each($2))
      AND stopped.first_intent_at IS NOT NULL AND stopped.precondition IS NOT NULL AND stopped.ended_at < $3
      AND NOT EXISTS (SELECT 1 FROM step AS later
                      WHERE later.target_key = $1 AND later.first_intent_at IS NOT NULL AND later.state NOT IN ('failed', 'skipped')
                        AND later.action NOT IN (SELECT value FROM json_each($6))
                        AND NOT (later.run = $4 AND later.id = $5) AND coalesce(later.ended_at, later.first_intent_at) > stopped.ended_at)
      AND NOT EXISTS (SELECT 1 FROM target_lock WHERE target_lock.target = $1 AND NOT (target_lock.run = $4 AND target_lock.step = $5))
      AND NOT EXISTS (SELECT 1 FROM hold WHERE hold.run = stopped.run AND hold.step = stopped.id)
    ORDER BY stopped.ended_at DESC LIMIT 1";

async fn undone(connection: &mut AnyConnection, seen: &Seen, heed: &Heed) -> Result<Option<(String, String)>, sqlx::Error> {
    if heed.lasts.is_zero() {
        return Ok(None);
    }
    let (run, step) = seen.by.clone().unwrap_or_default();
    let (stops, starts_nothing) = (json!(heed.stops).to_string(), json!(heed.starts_nothing).to_string());
    sqlx::query_as(UNDONE)
        .bind(&seen.target)
        .bind(stops)
        .bind(seen.looked_at.as_microsecond())
        .bind(run)
        .bind(step)
        .bind(starts_nothing)
        .fetch_optional(connection)
        .await
}

async fn note(connection: &mut AnyConnection, seen: &Seen, heed: &Heed, now: Timestamp) -> Result<(), sqlx::Error> {
    let Some(undone) = undone(connection, seen, heed).await? else { return Ok(()) };
    // The kind of a target stands before its identifier: `plan:…`.
    let id = seen.target.split_once(':').map_or(seen.target.as_str(), |(_, id)| id).to_owned();
    let reason = format!("somebody started it again after the step `{}` of run {} had stopped it", undone.1, undone.0);
    let hold = New { target: id, cause: HoldCause::Reactivated, who: "quell".to_owned(), reason, undone: Some(undone) };
    place(connection, &hold, heed.lasts, now).await.map(|_| ())
}

pub(super) async fn place(connection: &mut AnyConnection, hold: &New, lasts: SignedDuration, now: Timestamp) -> Result<i64, sqlx::Error> {
    let until = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
    let query =
        "INSERT INTO hold (target, cause, who, reason, since, until, run, step) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING number";
    let (run, step) = hold.undone.clone().unzip();
    let (number,): (i64,) = sqlx::query_as(query)
        .bind(rows::text(&hold.target))
        .bind(hold.cause.as_str())
        .bind(&hold.who)
        .bind(rows::text(&hold.reason))
        .bind(now.as_microsecond())
        .bind(until.as_microsecond())
        .bind(run)
        .bind(step)
        .fetch_one(&mut *connection)
        .await?;
    let detail = json!({"target": hold.target, "cause": hold.cause, "until": until, "reason": hold.reason});
    let act = Act { who: hold.who.clone(), what: "hold.add", subject: format!("hold {number}"), detail };
    audit::write(connection, &act, now).await?;
    Ok(number)
}

/// Every hold, or those that are in force at a time.
const READ: &str = "SELECT * FROM hold WHERE $1 IS NULL OR (until > $1 AND released_at IS NULL) ORDER BY number DESC";

fn read(row: &AnyRow) -> Result<Hold, StoreError> {
    let (run, step): (Option<String>, Option<String>) = (row.try_get("run")?, row.try_get("step")?);
    let released_at: Option<i64> = row.try_get("released_at")?;
    let (by, why): (Option<String>, Option<String>) = (row.try_get("released_by")?, row.try_get("release_reason")?);
    let released = released_at.map(|at| rows::time(at).map(|at| (at, by.unwrap_or_default(), why.unwrap_or_default())));
    Ok(Hold {
        number: row.try_get("number")?,
        target: row.try_get("target")?,
        cause: rows::word("a cause", row.try_get("cause")?, HoldCause::parse)?,
        who: row.try_get("who")?,
        reason: row.try_get("reason")?,
        since: rows::time(row.try_get("since")?)?,
        until: rows::time(row.try_get("until")?)?,
        undone: run.map(RunId).zip(step),
        released: released.transpose()?,
    })
}

words! {
    HoldCause { Reactivated => "reactivated", Marked => "marked" }
}
