//! Events: what other systems learn of what happened. Rows of the outbox for no channel, written in the transaction of what they tell of
//! where the site announces anything, and gone once the broker has them.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::{Change, NewRun, Store, StoreError, outbox, rows, runs::read_run};
use crate::{
    approval::{Approval, Choice},
    news::{EventKind, Outlet},
    run::{Class, RunId, RunRecord, StepRecord},
};

/// An event that waits for the broker.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct WaitingEvent {
    /// Later events have higher ones.
    pub number: i64,
    /// The same for a repeat.
    pub id: String,
    pub kind: String,
    pub subject: String,
    pub at: Timestamp,
    /// How often the broker returned it.
    pub returned: u32,
    pub data: Value,
}

type Row = (i64, String, String, String, i64, i64, String);

/// Those that were not tried, the first first; and those that were returned and are due again. Each has an index of its own.
const FRESH: &str = "SELECT number, id, kind, about, at, attempts, payload FROM outbox
                     WHERE ended_at IS NULL AND channel IS NULL AND attempts = 0 ORDER BY number LIMIT $1";
const RETURNED: &str = "SELECT number, id, kind, about, at, attempts, payload FROM outbox
                        WHERE ended_at IS NULL AND channel IS NULL AND attempts > 0 AND due_at <= $2 ORDER BY due_at, number LIMIT $1";

impl Store {
    /// The events that are to be announced now, the first first. What the broker returned comes after all that it has not seen.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn waiting_events(&self, most: i64) -> Result<Vec<WaitingEvent>, StoreError> {
        let mut found: Vec<Row> = sqlx::query_as(FRESH).bind(most).fetch_all(&self.readers).await?;
        let left = most.saturating_sub(i64::try_from(found.len()).unwrap_or(most));
        if left > 0 {
            let now = self.clock.now().as_microsecond();
            let returned: Vec<Row> = sqlx::query_as(RETURNED).bind(left).bind(now).fetch_all(&self.readers).await?;
            found.extend(returned);
        }
        let read = |(number, id, kind, subject, at, attempts, data): Row| {
            let returned = u32::try_from(attempts).unwrap_or(u32::MAX);
            Ok(WaitingEvent { number, id, kind, subject, at: rows::time(at)?, returned, data: rows::json(&data)? })
        };
        found.into_iter().map(read).collect()
    }

    /// How many events wait.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn events_waiting(&self) -> Result<i64, StoreError> {
        let query = "SELECT (SELECT count(*) FROM outbox WHERE ended_at IS NULL AND channel IS NULL AND attempts = 0)
                          + (SELECT count(*) FROM outbox WHERE ended_at IS NULL AND channel IS NULL AND attempts > 0)";
        let (count,): (i64,) = sqlx::query_as(query).fetch_one(&self.readers).await?;
        Ok(count)
    }

    /// Lets go of events that the broker has.
    ///
    /// # Errors
    /// The store cannot be written; they are announced again.
    pub async fn events_announced(&self, numbers: Vec<i64>) -> Result<(), StoreError> {
        if numbers.is_empty() {
            return Ok(());
        }
        let query = "DELETE FROM outbox WHERE number IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";
        let numbers = Value::from(numbers).to_string();
        self.writer
            .write(move |connection| Box::pin(async move { sqlx::query(query).bind(numbers).execute(connection).await.map(|_| ()) }))
            .await
    }

    /// Puts off events that the broker returned, each to a time of its own, so that they do not stand before the others.
    ///
    /// # Errors
    /// The store cannot be written; they stand where they stood.
    pub async fn events_returned(&self, events: Vec<(i64, Timestamp)>, why: &str) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let why = rows::text(why);
        let query = "UPDATE outbox SET due_at = $2, attempts = attempts + 1, error = $3 WHERE number = $1 AND ended_at IS NULL";
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for (number, due) in &events {
                        sqlx::query(query).bind(number).bind(due.as_microsecond()).bind(&why).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Gives up events, so many as this says. Their rows stay for a while.
    ///
    /// # Errors
    /// The store cannot be written; they wait on.
    pub async fn give_up_events(&self, numbers: Vec<i64>, why: &str) -> Result<u64, StoreError> {
        if numbers.is_empty() {
            return Ok(0);
        }
        let (numbers, now, why) = (Value::from(numbers).to_string(), self.clock.now(), rows::text(why));
        let query = "UPDATE outbox SET ended_at = $2, error = $3
                     WHERE number IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND ended_at IS NULL";
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    outbox::forget(connection, now).await?;
                    let done = sqlx::query(query).bind(numbers).bind(now.as_microsecond()).bind(why).execute(connection).await?;
                    Ok(done.rows_affected())
                })
            })
            .await
    }
}

/// It was decided what to do about an alert.
pub(super) async fn decided(connection: &mut AnyConnection, alert: i64, to: (&Outlet, Timestamp)) -> Result<(), sqlx::Error> {
    if !to.0.announces {
        return Ok(());
    }
    let query = "SELECT id, source, revision, kind, severity, customer_tenant_id, subscription_id FROM alert WHERE number = $1";
    let (id, source, revision, kind, severity, customer, subscription): (String, String, String, String, String, String, String) =
        sqlx::query_as(query).bind(alert).fetch_one(&mut *connection).await?;
    let query = "SELECT playbook, verdict, detail, run FROM decision WHERE alert = $1 ORDER BY playbook";
    let verdicts: Vec<(String, String, String, Option<String>)> = sqlx::query_as(query).bind(alert).fetch_all(&mut *connection).await?;
    let verdicts: Vec<Value> = verdicts
        .into_iter()
        .map(|(playbook, verdict, detail, run)| json!({"playbook": playbook, "verdict": verdict, "detail": detail, "run": run}))
        .collect();
    let data = json!({
        "alert": alert, "id": id, "source": source, "revision": revision, "kind": kind, "severity": severity,
        "customer_tenant_id": customer, "subscription_id": subscription, "playbooks": verdicts,
    });
    write(connection, (EventKind::AlertDecided, format!("alert {alert}")), &data, to).await
}

/// A run began, or waits for its turn.
pub(super) async fn begun(connection: &mut AnyConnection, run: &NewRun, to: (&Outlet, Timestamp)) -> Result<(), sqlx::Error> {
    let data = json!({"run": run.id, "playbook": run.playbook, "mode": run.mode, "alert": run.alert, "occasion": run.occasion});
    write(connection, (EventKind::RunBegun, format!("run {}", run.id)), &data, to).await
}

/// A step or its run came to an end.
pub(super) async fn changed(connection: &mut AnyConnection, change: &Change, to: (&Outlet, Timestamp)) -> Result<(), sqlx::Error> {
    let run = &change.run;
    // What only reads changes nothing that others could want to know.
    if let Some(step) = change.step.as_ref().filter(|step| step.state.is_final() && step.class != Class::Read) {
        let StepRecord { id, action, class, state, target, attempts, error, request_id, .. } = step;
        let data = json!({
            "run": run.id, "playbook": run.playbook, "mode": run.mode, "alert": run.alert, "step": id, "action": action, "class": class,
            "state": state, "target": target, "attempts": attempts, "error": error, "request_id": request_id, "held": change.held,
        });
        write(connection, (EventKind::StepEnded, format!("run {}", run.id)), &data, to).await?;
    }
    if run.state.is_final() { ended(connection, run, to).await } else { Ok(()) }
}

/// A person gave up a run that had stopped because nobody knows whether a step happened.
pub(super) async fn given_up(connection: &mut AnyConnection, run: &RunId, to: (&Outlet, Timestamp)) -> Result<(), sqlx::Error> {
    if !to.0.announces {
        return Ok(());
    }
    let row = sqlx::query("SELECT * FROM run WHERE id = $1").bind(&run.0).fetch_one(&mut *connection).await?;
    let run = read_run(&row).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    ended(connection, &run, to).await
}

async fn ended(connection: &mut AnyConnection, run: &RunRecord, to: (&Outlet, Timestamp)) -> Result<(), sqlx::Error> {
    let data = json!({
        "run": run.id, "playbook": run.playbook, "mode": run.mode, "alert": run.alert, "state": run.state, "reason": run.reason,
    });
    write(connection, (EventKind::RunEnded, format!("run {}", run.id)), &data, to).await
}

/// People are asked, or it is known how that ended.
pub(super) async fn asked(connection: &mut AnyConnection, approval: &Approval, to: (&Outlet, Timestamp)) -> Result<(), sqlx::Error> {
    let question = &approval.question;
    let steps: Vec<_> = question.plan.iter().map(|planned| json!({"step": planned.step, "action": planned.action})).collect();
    let mut data = json!({
        "approval": approval.id, "run": approval.run, "playbook": question.playbook, "step": approval.asker, "title": question.title,
        "steps": steps, "hash": approval.hash, "groups": question.groups, "quorum": question.quorum, "expires_at": approval.expires_at,
    });
    let kind = match (approval.decided_at, data.as_object_mut()) {
        (Some(_), Some(data)) => {
            let (approved, rejected) = (approval.voters(Choice::Approve), approval.voters(Choice::Reject));
            data.extend([
                ("state".to_owned(), json!(approval.state)),
                ("outcome".to_owned(), json!(approval.outcome)),
                ("approved_by".to_owned(), json!(approved)),
                ("rejected_by".to_owned(), json!(rejected)),
            ]);
            EventKind::ApprovalClosed
        }
        (_, _) => EventKind::ApprovalOpened,
    };
    write(connection, (kind, format!("approval {}", approval.id)), &data, to).await
}

/// The kill switch was thrown or released.
pub(super) async fn switched(
    connection: &mut AnyConnection,
    kind: EventKind,
    (who, reason): (&str, &str),
    to: (&Outlet, Timestamp),
) -> Result<(), sqlx::Error> {
    write(connection, (kind, "all actions".to_owned()), &json!({"who": who, "reason": reason}), to).await
}

async fn write(
    connection: &mut AnyConnection,
    (kind, subject): (EventKind, String),
    data: &Value,
    (outlet, now): (&Outlet, Timestamp),
) -> Result<(), sqlx::Error> {
    if !outlet.announces {
        return Ok(());
    }
    let query = "INSERT INTO outbox (id, kind, about, channel, payload, times, at, due_at, attempts, error)
                 VALUES ($1, $2, $3, NULL, $4, 1, $5, $5, 0, '')";
    sqlx::query(query)
        .bind(Uuid::now_v7().to_string())
        .bind(kind.as_str())
        .bind(subject)
        .bind(rows::text(&data.to_string()))
        .bind(now.as_microsecond())
        .execute(connection)
        .await
        .map(|_| ())
}
