//! A journal that was restored from a backup, or whose server has lost what it had committed: it does not know what was done since.
//!
//! It is noticed by its [`Mark`], and noted in the journal itself, so that every node sees it. From then on no intent is recorded but of what
//! only tells people, until somebody answers for the journal: what was under way is reviewed, everything destructive is held for a while, and
//! the journal goes on under a new name.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

use super::{
    Act, EVERYTHING, Mark, Store, StoreError, audit, events, holds, outbox, rows,
    rows::Flag,
    runs::{read_step, write_step},
};
use crate::{
    news::{EventKind, News, Outlet},
    run::{RunId, StepRecord},
};

/// What a step that was under way is worth when nobody knows what was done since; nothing where that is as it stands.
pub type Review = fn(&StepRecord, Timestamp) -> Option<StepRecord>;

/// What was done so that a restored journal can be gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Where the journal ends.
    pub ends: Timestamp,
    /// How many steps were under way and are looked at, or wait for a person.
    pub reviewed: usize,
    /// The number of the hold on everything.
    pub hold: i64,
    /// Until when that lasts.
    pub until: Timestamp,
}

/// Who notes it, and answers for what the option does.
const WHO: &str = "quell";

/// Why everything is stopped, for people.
const WHY: &str = "the journal knows less than was known of it: it was restored from a backup, or its server has lost what it had committed. \
                   Alerts are taken in and people are told, and nothing else is done. End every `quell run` on this journal and start one with \
                   `--after-restore`, once: it reads back what was under way before it does anything about it, and for a while does nothing \
                   destructive without people's word";

impl Store {
    /// The same journal, whose restore is noticed by that mark.
    #[must_use]
    pub fn marked_by(mut self, mark: Mark) -> Self {
        self.mark = Some(mark);
        self
    }

    /// Looks whether the journal was restored from a backup and nobody has answered for it; notes it where that is news, and how far the
    /// journal has come where it is not so.
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn notice_restore(&self) -> Result<bool, StoreError> {
        let Some(mark) = self.mark.clone() else { return Ok(false) };
        // A look costs no commit, and may be a moment older than what this process knows: the writer's own look decides.
        let (id, intents, behind): (String, i64, Option<i64>) = sqlx::query_as(READ).fetch_one(&self.readers).await?;
        if behind.is_some() {
            return Ok(true);
        }
        if !mark.is_behind(&id, intents) {
            mark.raise(&id, intents);
            return Ok(false);
        }
        let (now, outlet) = (self.clock.now(), self.outlet.clone());
        self.writer.write(move |connection| Box::pin(async move { note(connection, &mark, (&outlet, now)).await })).await
    }

    /// Goes on with a journal for which somebody answers: what was under way is reviewed, and everything is held for that long. Durable when
    /// this returns.
    ///
    /// # Errors
    /// The store cannot be written; everything stays as it is.
    pub async fn after_restore(&self, review: Review, lasts: SignedDuration) -> Result<Recovered, StoreError> {
        let (now, outlet) = (self.clock.now(), self.outlet.clone());
        let recovered =
            self.writer.write(move |connection| Box::pin(async move { recover(connection, review, lasts, (&outlet, now)).await })).await?;
        // The file of the new name is there before anything is done under it.
        self.notice_restore().await?;
        Ok(recovered)
    }
}

const READ: &str = "SELECT id, intents, behind_since FROM mark";

/// Where the journal ends: the watch over its health writes it every few seconds.
const ENDS: &str = "SELECT coalesce(mark.behind_since, (SELECT max(at) FROM kept), $1), mark.behind_since IS NOT NULL FROM mark";

/// Notes that the journal is behind, if it is; says so.
async fn note(connection: &mut AnyConnection, mark: &Mark, (outlet, now): (&Outlet, Timestamp)) -> Result<bool, sqlx::Error> {
    let (id, intents, behind): (String, i64, Option<i64>) = sqlx::query_as(READ).fetch_one(&mut *connection).await?;
    if behind.is_some() || !mark.is_behind(&id, intents) {
        return Ok(behind.is_some());
    }
    let (ends, _): (i64, Flag) = sqlx::query_as(ENDS).bind(now.as_microsecond()).fetch_one(&mut *connection).await?;
    sqlx::query("UPDATE mark SET behind_since = $1").bind(ends).execute(&mut *connection).await?;
    let detail = json!({"intents": intents, "ends": rows::time(ends).unwrap_or(now)});
    let act = Act { who: WHO.to_owned(), what: "journal.restored", subject: "all actions".to_owned(), detail };
    audit::write(connection, &act, now).await?;
    events::switched(connection, EventKind::ActionsStopped, (WHO, WHY), (outlet, now)).await?;
    let news = News::ActionsStopped { who: WHO.to_owned(), reason: WHY.to_owned() };
    outbox::tell(connection, (outlet, now), &news, 1).await?;
    Ok(true)
}

async fn recover(
    connection: &mut AnyConnection,
    review: Review,
    lasts: SignedDuration,
    (outlet, now): (&Outlet, Timestamp),
) -> Result<Recovered, sqlx::Error> {
    let (ends, Flag(was_noticed)): (i64, Flag) = sqlx::query_as(ENDS).bind(now.as_microsecond()).fetch_one(&mut *connection).await?;
    let ends = rows::time(ends).unwrap_or(now);
    let reviewed = review_all(connection, review, now).await?;
    // Whoever drives a run reads it again, and claims it first where several could.
    sqlx::query("UPDATE run SET touched = TRUE, node = NULL WHERE state IN ('ready', 'waiting')").execute(&mut *connection).await?;
    let reason = format!("the journal was restored from a backup, and does not know what was done between {ends:.0} and {now:.0}");
    let everything = holds::New::marked(EVERYTHING, (WHO, &reason));
    let hold = holds::place(connection, &everything, lasts, now).await?;
    sqlx::query("UPDATE mark SET id = $1, behind_since = NULL").bind(Uuid::now_v7().to_string()).execute(&mut *connection).await?;
    let detail = json!({"ends": ends, "steps": reviewed, "hold": hold});
    let act = Act { who: WHO.to_owned(), what: "journal.after_restore", subject: "all actions".to_owned(), detail };
    audit::write(connection, &act, now).await?;
    if was_noticed {
        events::switched(connection, EventKind::ActionsResumed, (WHO, &reason), (outlet, now)).await?;
        let news = News::ActionsResumed { who: WHO.to_owned(), reason };
        outbox::tell(connection, (outlet, now), &news, 1).await?;
    }
    let until = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
    Ok(Recovered { ends, reviewed, hold, until })
}

/// Reviews every step of open runs that has not ended; returns how many are not as they were.
async fn review_all(connection: &mut AnyConnection, review: Review, now: Timestamp) -> Result<usize, sqlx::Error> {
    let query = "SELECT step.* FROM run JOIN step ON step.run = run.id
                 WHERE run.state IN ('ready', 'waiting') AND step.ended_at IS NULL ORDER BY step.run, step.position";
    let mut reviewed = 0;
    for row in sqlx::query(query).fetch_all(&mut *connection).await? {
        let (run, step) = (RunId(row.try_get("run")?), read_step(&row).map_err(|error| sqlx::Error::Decode(Box::new(error)))?);
        let Some(step) = review(&step, now) else { continue };
        reviewed += 1;
        write_step(connection, &run, &step, None).await?;
        let query = "UPDATE attempt SET outcome = 'unknown', message = 'the journal was restored from a backup', ended_at = $3
                     WHERE run = $1 AND step = $2 AND outcome IS NULL";
        sqlx::query(query).bind(&run.0).bind(&step.id).bind(now.as_microsecond()).execute(&mut *connection).await?;
        sqlx::query("UPDATE run SET due_at = $2 WHERE id = $1").bind(&run.0).bind(now.as_microsecond()).execute(&mut *connection).await?;
    }
    Ok(reviewed)
}
