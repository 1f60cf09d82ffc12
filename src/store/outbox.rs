//! The outbox: messages that leave, each written in the transaction of what it tells of, and kept until it is delivered or given up. So a
//! restart loses none, and one that is sent twice carries the same identifier.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use sqlx::AnyConnection;
use uuid::Uuid;

use super::{Change, Store, StoreError, events, rows};
use crate::{
    approval::{Approval, ApprovalId, ApprovalState},
    news::{News, Outlet, RunNews, Turn},
    run::{Mode, RunRecord, RunState},
};

/// A message that is to be sent now.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Outgoing {
    /// The same for a repeat.
    pub id: String,
    pub channel: String,
    /// How often it was tried before.
    pub attempts: u32,
    /// How many occurrences it tells of; the news are of the first.
    pub times: i64,
    pub news: News,
}

/// What became of a message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Fate {
    Delivered,
    /// It is tried again.
    Again {
        at: Timestamp,
        why: String,
    },
    /// It is not tried again.
    GivenUp {
        why: String,
    },
}

/// What was delivered or given up is kept for so long: people look into last week's, hardly into last month's.
const FORGET_AFTER: Duration = Duration::from_hours(30 * 24);

/// So many are forgotten with each write at most, so that no write takes long.
const FORGET_AT_ONCE: i64 = 1_000;

/// Whoever took a message and died has it sent again after this; longer than any channel takes to answer.
const TAKEN_FOR: Duration = Duration::from_mins(2);

impl Store {
    /// The same journal, whose news go there.
    #[must_use]
    pub fn with_outlet(mut self, outlet: Outlet) -> Self {
        self.outlet = outlet;
        self
    }

    /// Takes messages that are due, so that nobody else sends them meanwhile, and nothing more is counted in them.
    ///
    /// # Errors
    /// The store cannot be written; nothing was taken.
    pub async fn take_outgoing(&self, most: i64) -> Result<Vec<Outgoing>, StoreError> {
        let now = self.clock.now();
        // Most of the time there is nothing, and a look costs no commit.
        let query = "SELECT 1 FROM outbox WHERE ended_at IS NULL AND channel IS NOT NULL AND due_at <= $1 LIMIT 1";
        let due: Option<(i64,)> = sqlx::query_as(query).bind(now.as_microsecond()).fetch_optional(&self.readers).await?;
        if due.is_none() {
            return Ok(Vec::new());
        }
        let taken = self.writer.write(move |connection| Box::pin(async move { take(connection, now, most).await })).await?;
        let (mut outgoing, mut unreadable) = (Vec::with_capacity(taken.len()), Vec::new());
        for row in taken {
            match read(&row) {
                Ok(message) => outgoing.push(message),
                Err(error) => unreadable.push((row.0, Fate::GivenUp { why: error.to_string() })),
            }
        }
        // It would stand in the way of the others for ever.
        self.outgoing_sent(unreadable).await?;
        Ok(outgoing)
    }

    /// Notes what became of messages that were taken; durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written; all of them are sent again.
    pub async fn outgoing_sent(&self, fates: Vec<(String, Fate)>) -> Result<(), StoreError> {
        if fates.is_empty() {
            return Ok(());
        }
        let moment = self.clock.now();
        let now = moment.as_microsecond();
        let query = "UPDATE outbox SET error = $2, due_at = coalesce($3, due_at), ended_at = $4 WHERE id = $1 AND ended_at IS NULL";
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    forget(connection, moment).await?;
                    for (id, fate) in &fates {
                        let (why, again, ended) = match fate {
                            Fate::Delivered => ("", None, Some(now)),
                            Fate::Again { at, why } => (why.as_str(), Some(at.as_microsecond()), None),
                            Fate::GivenUp { why } => (why.as_str(), None, Some(now)),
                        };
                        sqlx::query(query).bind(id).bind(rows::text(why)).bind(again).bind(ended).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// How many messages are due and have not been delivered.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn outgoing_waiting(&self) -> Result<i64, StoreError> {
        let query = "SELECT count(*) FROM outbox WHERE ended_at IS NULL AND channel IS NOT NULL AND due_at <= $1";
        let now = self.clock.now().as_microsecond();
        let (count,): (i64,) = sqlx::query_as(query).bind(now).fetch_one(&self.readers).await?;
        Ok(count)
    }
}

/// Tells everybody whom the site wants told, of so many occurrences. What comes soon after another of its kind is counted in one message.
pub(super) async fn tell(
    connection: &mut AnyConnection,
    (outlet, now): (&Outlet, Timestamp),
    news: &News,
    times: i64,
) -> Result<(), sqlx::Error> {
    let Some(topic) = news.topic() else { return Ok(()) };
    for channel in outlet.told_of(topic) {
        tell_one(connection, channel, (news, times), now).await?;
    }
    Ok(())
}

/// Tells and announces what becomes of a run. A channel that hears of its end does not hear of the step that was held back at that moment.
pub(super) async fn tell_of_change(
    connection: &mut AnyConnection,
    (outlet, now): (&Outlet, Timestamp),
    change: &Change,
) -> Result<(), sqlx::Error> {
    events::changed(connection, change, (outlet, now)).await?;
    let mut told = BTreeSet::new();
    for news in [end_of(&change.run), held(change)].into_iter().flatten() {
        for channel in news.topic().map(|topic| outlet.told_of(topic)).unwrap_or_default() {
            if told.insert(channel) {
                tell_one(connection, channel, (&news, 1), now).await?;
            }
        }
    }
    Ok(())
}

/// What people should know of the end of a run. One that only records what it would do has done nothing that could fail.
fn end_of(run: &RunRecord) -> Option<News> {
    let RunRecord { id, playbook, alert, reason, .. } = run;
    let news = || RunNews { run: id.clone(), playbook: playbook.clone(), alert: *alert, reason: rows::text(reason) };
    match run.state {
        RunState::Indeterminate => Some(News::RunInDoubt(news())),
        RunState::Failed if run.mode == Mode::Enforce => Some(News::RunFailed(news())),
        RunState::Failed
        | RunState::Ready
        | RunState::Waiting
        | RunState::Queued
        | RunState::Done
        | RunState::NoAction
        | RunState::Rejected
        | RunState::Expired
        | RunState::Cancelled => None,
    }
}

fn held(change: &Change) -> Option<News> {
    let step = change.step.as_ref().filter(|_| change.held)?;
    Some(News::StepHeld {
        run: change.run.id.clone(),
        playbook: change.run.playbook.clone(),
        step: step.id.clone(),
        action: step.action.clone(),
        why: rows::text(step.error.as_deref().unwrap_or_default()),
    })
}

/// Tells one channel.
async fn tell_one(connection: &mut AnyConnection, channel: &str, (news, times): (&News, i64), now: Timestamp) -> Result<(), sqlx::Error> {
    let id = Uuid::now_v7().to_string();
    let Some(pace) = news.pace() else { return write(connection, (&id, channel), (news, times), (now, now)).await };
    let query =
        "UPDATE outbox SET times = times + $4 WHERE about = $1 AND kind = $2 AND channel = $3 AND ended_at IS NULL AND attempts = 0";
    let about = news.about();
    let counted = sqlx::query(query).bind(&about).bind(news.kind()).bind(channel).bind(times).execute(&mut *connection).await?;
    if counted.rows_affected() > 0 {
        return Ok(());
    }
    let query = "SELECT max(due_at) FROM outbox WHERE about = $1 AND kind = $2 AND channel = $3";
    let (last,): (Option<i64>,) = sqlx::query_as(query).bind(&about).bind(news.kind()).bind(channel).fetch_one(&mut *connection).await?;
    let after = |moment: Timestamp, wait: Duration| moment.checked_add(wait).unwrap_or(Timestamp::MAX);
    let last = last.and_then(|last| Timestamp::from_microsecond(last).ok());
    // A clock that was set back keeps nobody waiting for longer.
    let due = last.map_or(now, |last| after(last.min(now), pace.every)).max(after(now, pace.first));
    write(connection, (&id, channel), (news, times), (now, due)).await
}

/// The messages that a question is open: now, and whenever others are asked as well.
pub(super) async fn ask(connection: &mut AnyConnection, approval: &Approval) -> Result<(), sqlx::Error> {
    let later = approval.question.escalate.iter().map(|it| (Turn::Escalated, it.at));
    for (number, (turn, due)) in [(Turn::Opened, approval.opened_at)].into_iter().chain(later).enumerate() {
        for channel in &approval.question.channels {
            let id = approval.id.message(&format!("{turn} {number}"), channel);
            let news = News::Approval { approval: approval.id.clone(), turn };
            write(connection, (&id, channel), (&news, 1), (approval.opened_at, due)).await?;
        }
    }
    Ok(())
}

/// The messages that a question is decided, in place of those that nobody needs any more.
pub(super) async fn tell_decided(
    connection: &mut AnyConnection,
    approval: &ApprovalId,
    state: ApprovalState,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let news = News::Approval { approval: approval.clone(), turn: Turn::Decided };
    let about = news.about();
    let query = "DELETE FROM outbox WHERE about = $1 AND ended_at IS NULL AND attempts = 0";
    sqlx::query(query).bind(&about).execute(&mut *connection).await?;
    // Only those who heard of the question want to hear how it ended.
    let query = "SELECT DISTINCT channel FROM outbox WHERE about = $1 AND kind = 'approval_opened' AND error = '' ORDER BY channel";
    let told: Vec<(String,)> = sqlx::query_as(query).bind(&about).fetch_all(&mut *connection).await?;
    for (channel,) in told {
        let id = approval.message(&format!("decided {state}"), &channel);
        write(connection, (&id, &channel), (&news, 1), (now, now)).await?;
    }
    Ok(())
}

/// Forgets what left or was given up long ago; not that of a question that is open, because who heard of it is to hear how it ends.
pub(super) async fn forget(connection: &mut AnyConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    let before = now.checked_sub(FORGET_AFTER).unwrap_or(Timestamp::MIN);
    let query = "DELETE FROM outbox WHERE number IN (
                     SELECT number FROM outbox WHERE ended_at IS NOT NULL AND ended_at < $1
                       AND NOT EXISTS (SELECT 1 FROM approval WHERE approval.state = 'open' AND outbox.about = 'approval ' || approval.id)
                     ORDER BY ended_at LIMIT $2)";
    sqlx::query(query).bind(before.as_microsecond()).bind(FORGET_AT_ONCE).execute(connection).await.map(|_| ())
}

async fn write(
    connection: &mut AnyConnection,
    (id, channel): (&str, &str),
    (news, times): (&News, i64),
    (now, due): (Timestamp, Timestamp),
) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO outbox (id, kind, about, channel, payload, times, at, due_at, attempts, error)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, '') ON CONFLICT (id) DO NOTHING";
    sqlx::query(query)
        .bind(id)
        .bind(news.kind())
        .bind(news.about())
        .bind(channel)
        .bind(serde_json::json!(news).to_string())
        .bind(times)
        .bind(now.as_microsecond())
        .bind(due.as_microsecond())
        .execute(connection)
        .await
        .map(|_| ())
}

/// The columns of a message: id, channel, attempts, times and payload.
type Row = (String, String, i64, i64, String);

async fn take(connection: &mut AnyConnection, now: Timestamp, most: i64) -> Result<Vec<Row>, sqlx::Error> {
    let query = "SELECT id, channel, attempts, times, payload FROM outbox
                 WHERE ended_at IS NULL AND channel IS NOT NULL AND due_at <= $1 ORDER BY due_at, number LIMIT $2";
    let due: Vec<Row> = sqlx::query_as(query).bind(now.as_microsecond()).bind(most).fetch_all(&mut *connection).await?;
    let until = now.checked_add(TAKEN_FOR).unwrap_or(now).as_microsecond();
    for (id, ..) in &due {
        let query = "UPDATE outbox SET due_at = $2, attempts = attempts + 1 WHERE id = $1";
        sqlx::query(query).bind(id).bind(until).execute(&mut *connection).await?;
    }
    Ok(due)
}

fn read((id, channel, attempts, times, payload): &Row) -> Result<Outgoing, StoreError> {
    let news = serde_json::from_str(payload).map_err(|error| rows::corrupt("a message", error.to_string()))?;
    let attempts = u32::try_from(*attempts).unwrap_or(u32::MAX);
    Ok(Outgoing { id: id.clone(), channel: channel.clone(), attempts, times: *times, news })
}
