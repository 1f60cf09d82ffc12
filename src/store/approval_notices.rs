//! Messages about approvals: written in the transaction of what they tell of, and kept until they are delivered. So a restart loses none,
//! and one that is sent twice carries the same identifier.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::{Store, StoreError, approvals};
use crate::approval::{Approval, ApprovalId, ApprovalState};

/// A message that is to be sent now.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DueNotice {
    /// The same for a repeat.
    pub id: String,
    /// `opened`, `escalated` or `decided`.
    pub kind: String,
    pub channel: String,
    /// How often it was tried before.
    pub attempts: u32,
    /// What it is about, as it stands now.
    pub approval: Approval,
}

/// Whoever took a message and died has it sent again after this; longer than any channel takes to answer.
const TAKEN_FOR: Duration = Duration::from_mins(2);

impl Store {
    /// Takes messages that are due, so that nobody else sends them meanwhile.
    ///
    /// # Errors
    /// The store cannot be written; nothing was taken.
    pub async fn take_notices(&self, most: i64) -> Result<Vec<DueNotice>, StoreError> {
        let now = self.clock.now();
        // Most of the time there is nothing, and a look costs no commit.
        let query = "SELECT 1 FROM approval_notice WHERE ended_at IS NULL AND due_at <= $1 LIMIT 1";
        let due: Option<(i64,)> = sqlx::query_as(query).bind(now.as_microsecond()).fetch_optional(&self.readers).await?;
        if due.is_none() {
            return Ok(Vec::new());
        }
        self.writer.write(move |connection| Box::pin(async move { take(connection, now, most).await })).await
    }

    /// Notes that a message was delivered.
    ///
    /// # Errors
    /// The store cannot be written; it is sent again.
    pub async fn notice_sent(&self, id: &str) -> Result<(), StoreError> {
        self.end_notice(id, "").await
    }

    /// Notes that a message cannot be delivered, and is not tried again.
    ///
    /// # Errors
    /// The store cannot be written; it is sent again.
    pub async fn notice_given_up(&self, id: &str, why: &str) -> Result<(), StoreError> {
        self.end_notice(id, why).await
    }

    /// Notes that a message was not delivered, and when it is tried again.
    ///
    /// # Errors
    /// The store cannot be written; it is tried again soon.
    pub async fn notice_failed(&self, id: &str, why: &str, again: Timestamp) -> Result<(), StoreError> {
        let (id, why) = (id.to_owned(), why.to_owned());
        let query = "UPDATE approval_notice SET error = $2, due_at = $3 WHERE id = $1 AND ended_at IS NULL";
        self.writer
            .write(move |connection| {
                Box::pin(
                    async move { sqlx::query(query).bind(id).bind(why).bind(again.as_microsecond()).execute(connection).await.map(|_| ()) },
                )
            })
            .await
    }

    async fn end_notice(&self, id: &str, why: &str) -> Result<(), StoreError> {
        let (id, why, now) = (id.to_owned(), why.to_owned(), self.clock.now().as_microsecond());
        let query = "UPDATE approval_notice SET error = $2, ended_at = $3 WHERE id = $1";
        self.writer
            .write(move |connection| {
                Box::pin(async move { sqlx::query(query).bind(id).bind(why).bind(now).execute(connection).await.map(|_| ()) })
            })
            .await
    }
}

/// The messages that a question is open: now, and whenever others are asked as well.
pub(super) async fn write_opened(connection: &mut AnyConnection, approval: &Approval) -> Result<(), sqlx::Error> {
    let later = approval.question.escalate.iter().map(|it| ("escalated", it.at));
    for (number, (kind, at)) in [("opened", approval.opened_at)].into_iter().chain(later).enumerate() {
        for channel in &approval.question.channels {
            let id = approval.id.message(&format!("{kind} {number}"), channel);
            write(connection, &approval.id, (&id, kind, channel), at).await?;
        }
    }
    Ok(())
}

/// The messages that a question is decided, in place of those that nobody needs any more.
pub(super) async fn write_decided(
    connection: &mut AnyConnection,
    id: &ApprovalId,
    state: ApprovalState,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let query = "DELETE FROM approval_notice WHERE approval = $1 AND ended_at IS NULL AND attempts = 0";
    sqlx::query(query).bind(&id.0).execute(&mut *connection).await?;
    // Only those who heard of the question want to hear how it ended.
    let query = "SELECT DISTINCT channel FROM approval_notice WHERE approval = $1 AND kind = 'opened' AND error = '' ORDER BY channel";
    let told: Vec<(String,)> = sqlx::query_as(query).bind(&id.0).fetch_all(&mut *connection).await?;
    for (channel,) in told {
        let message = id.message(&format!("decided {state}"), &channel);
        write(connection, id, (&message, "decided", &channel), now).await?;
    }
    Ok(())
}

async fn write(
    connection: &mut AnyConnection,
    approval: &ApprovalId,
    (id, kind, channel): (&str, &str, &str),
    due: Timestamp,
) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO approval_notice (id, approval, kind, channel, due_at, attempts, error) VALUES ($1, $2, $3, $4, $5, 0, '')
                 ON CONFLICT (id) DO NOTHING";
    let written = sqlx::query(query).bind(id).bind(&approval.0).bind(kind).bind(channel).bind(due.as_microsecond()).execute(connection);
    written.await.map(|_| ())
}

async fn take(connection: &mut AnyConnection, now: Timestamp, most: i64) -> Result<Vec<DueNotice>, sqlx::Error> {
    let query = "SELECT id, approval, kind, channel, attempts FROM approval_notice WHERE ended_at IS NULL AND due_at <= $1
                 ORDER BY due_at, id LIMIT $2";
    let due: Vec<(String, String, String, String, i64)> =
        sqlx::query_as(query).bind(now.as_microsecond()).bind(most).fetch_all(&mut *connection).await?;
    let until = now.checked_add(TAKEN_FOR).unwrap_or(now).as_microsecond();
    let mut taken = Vec::with_capacity(due.len());
    for (id, approval, kind, channel, attempts) in due {
        let Some(approval) = approvals::load(connection, &ApprovalId(approval)).await? else { continue };
        let query = "UPDATE approval_notice SET due_at = $2, attempts = attempts + 1 WHERE id = $1";
        sqlx::query(query).bind(&id).bind(until).execute(&mut *connection).await?;
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        taken.push(DueNotice { id, kind, channel, attempts, approval });
    }
    Ok(taken)
}
