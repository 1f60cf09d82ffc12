//! Alerts: taken in with the messages that are none, decided upon, listed.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    NewRun, Store, StoreError, begin, errors, events, quarantine,
    quarantine::Rejected,
    rows,
    rows::{Flag, flag},
    windows,
};
use crate::{
    alert::Alert,
    failpoints,
    news::Outlet,
    run::{Mode, RunId},
    window::Admission,
};

/// What a message from the bus turned out to be.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// An alert.
    Alert(Box<Received>),
    /// Something else, for the quarantine.
    Rejected(Rejected),
}

/// An alert with the bytes that carried it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Received {
    pub alert: Alert,
    pub event: Vec<u8>,
}

/// An alert about which nothing was decided yet.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Undecided {
    pub number: i64,
    /// Whether another state of the same alert is known already.
    pub is_revision: bool,
    pub event: Vec<u8>,
}

/// What is to be done about an alert.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Decision {
    pub alert: i64,
    pub verdicts: Vec<Verdict>,
}

/// What one playbook says to one alert, where it says anything but "no".
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It matched.
    Run(Box<NewRun>),
    /// It could not be evaluated.
    Error {
        /// The playbook's name; empty where the alert itself cannot be read.
        playbook: String,
        /// Names its text.
        hash: String,
        /// Why.
        detail: String,
    },
}

/// Which alerts to list.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AlertFilter {
    pub source: Option<String>,
    pub kind: Option<String>,
    /// Part of the identifier, title, customer or subscription, or the number.
    pub text: Option<String>,
    /// The number or the whole identifier.
    pub name: Option<String>,
    pub most: i64,
}

/// An alert as listed.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AlertRow {
    pub number: i64,
    pub id: String,
    pub source: String,
    pub revision: String,
    pub is_revision: bool,
    pub kind: String,
    pub severity: String,
    pub status: String,
    pub title: String,
    pub customer_tenant_id: String,
    pub subscription_id: String,
    pub detected_at: Timestamp,
    pub received_at: Timestamp,
    pub deliveries: i64,
    /// `received`, `matched`, `held`, `error` or `no_match`.
    pub outcome: String,
    #[serde(skip)]
    pub event: Vec<u8>,
}

impl Decision {
    /// Lets every run of it decide and record, and never act.
    pub fn silence(&mut self) {
        for verdict in &mut self.verdicts {
            if let Verdict::Run(run) = verdict {
                run.mode = Mode::Shadow;
            }
        }
    }
}

impl Store {
    /// Takes in what came from the bus; durable when this returns. Says of each arrival whether it was new.
    ///
    /// # Errors
    /// The store cannot be written; nothing of it was taken in, and the messages must not be acknowledged.
    pub async fn take_in(&self, arrivals: Vec<Arrival>) -> Result<Vec<bool>, StoreError> {
        let (at, outlet) = (self.clock.now(), self.outlet.clone());
        let now = at.as_microsecond();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let mut news = Vec::with_capacity(arrivals.len());
                    for arrival in &arrivals {
                        news.push(match arrival {
                            Arrival::Alert(received) => insert(connection, received, now).await?,
                            Arrival::Rejected(_) if failpoints::mistake("drop_malformed") => true,
                            Arrival::Rejected(rejected) => quarantine::insert(connection, rejected, now).await.map(|()| true)?,
                        });
                    }
                    quarantine::tell(connection, &arrivals, (&outlet, at)).await?;
                    Ok(news)
                })
            })
            .await
    }

    /// The alerts about which nothing was decided yet, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn undecided(&self, most: i64) -> Result<Vec<Undecided>, StoreError> {
        let query = "SELECT number, is_revision, event FROM alert WHERE state = 'received' ORDER BY number LIMIT $1";
        let found: Vec<(i64, Flag, Vec<u8>)> = sqlx::query_as(query).bind(most).fetch_all(&self.readers).await?;
        Ok(found.into_iter().map(|(number, Flag(is_revision), event)| Undecided { number, is_revision, event }).collect())
    }

    /// Records decisions and begins their runs, except those that a window of an earlier run holds back.
    /// Returns the runs that begin.
    ///
    /// # Errors
    /// The store cannot be written; nothing was decided.
    pub async fn decide(&self, decisions: Vec<Decision>) -> Result<Vec<(i64, NewRun)>, StoreError> {
        let (now, outlet) = (self.clock.now(), self.outlet.clone());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    begin::keep_playbooks(connection, runs_of(&decisions), now).await?;
                    if runs_of(&decisions).any(|run| !run.windows.is_empty()) {
                        windows::forget(connection, now).await?;
                    }
                    let alerts: Vec<i64> = decisions.iter().map(|decision| decision.alert).collect();
                    let alerts = Value::from(alerts).to_string();
                    // Another node may have decided about some of them meanwhile.
                    let query =
                        "SELECT number FROM alert WHERE state = 'received' AND number IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";
                    let open: Vec<(i64,)> = sqlx::query_as(query).bind(&alerts).fetch_all(&mut *connection).await?;
                    let open: HashSet<i64> = open.into_iter().map(|(number,)| number).collect();
                    let mut begun = Vec::new();
                    for decision in decisions.into_iter().filter(|decision| open.contains(&decision.alert)) {
                        for verdict in decision.verdicts {
                            let run = record_verdict(connection, decision.alert, verdict, (&outlet, now)).await?;
                            begun.extend(run.map(|run| (decision.alert, run)));
                        }
                        events::decided(connection, decision.alert, (&outlet, now)).await?;
                    }
                    let query = "UPDATE alert SET state = 'decided' WHERE number IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";
                    sqlx::query(query).bind(alerts).execute(connection).await?;
                    Ok(begun)
                })
            })
            .await
    }

    /// The alerts that a filter lets through, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn alerts(&self, filter: &AlertFilter) -> Result<Vec<AlertRow>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(&filter.source)
            .bind(&filter.kind)
            .bind(&filter.text)
            .bind(if filter.most == 0 { i64::MAX } else { filter.most })
            .bind(&filter.name)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// What was decided about an alert, by playbook: verdict, detail and run.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn decisions(&self, alert: i64) -> Result<Vec<(String, String, String, Option<String>)>, StoreError> {
        let query = "SELECT playbook, verdict, detail, run FROM decision WHERE alert = $1 ORDER BY playbook";
        Ok(sqlx::query_as(query).bind(alert).fetch_all(&self.readers).await?)
    }
}

fn runs_of(decisions: &[Decision]) -> impl Iterator<Item = &NewRun> {
    decisions.iter().flat_map(|decision| &decision.verdicts).filter_map(|verdict| match verdict {
        Verdict::Run(run) => Some(&**run),
        Verdict::Error { .. } => None,
    })
}

async fn insert(connection: &mut AnyConnection, received: &Received, now: i64) -> Result<bool, sqlx::Error> {
    let alert = &received.alert;
    let query = "INSERT INTO alert (key, id, source, revision, kind, severity, status, title, customer_tenant_id, subscription_id,
                                    detected_at, received_at, stored_at, last_seen_at, deliveries, state, event, is_revision)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, 1, 'received', $14,
                         EXISTS (SELECT 1 FROM alert WHERE source = $3 AND id = $2))
                 ON CONFLICT (key) DO UPDATE SET deliveries = alert.deliveries + 1, last_seen_at = excluded.last_seen_at
                 RETURNING deliveries = 1";
    let (Flag(is_new),): (Flag,) = sqlx::query_as(query)
        .bind(if failpoints::mistake("forget_seen") { RunId::new().0 } else { rows::key(&alert.dedup_key()) })
        .bind(&alert.id)
        .bind(&alert.source)
        .bind(&alert.revision)
        .bind(&alert.kind)
        .bind(alert.severity.as_str())
        .bind(alert.status.as_str())
        .bind(rows::text(&alert.title))
        .bind(rows::text(&alert.customer_tenant_id))
        .bind(rows::text(&alert.subscription_id))
        .bind(alert.detected_at.as_microsecond())
        .bind(alert.received_at.as_microsecond())
        .bind(now)
        .bind(&received.event)
        .fetch_one(connection)
        .await?;
    Ok(is_new)
}

/// Returns the run if it begins.
async fn record_verdict(
    connection: &mut AnyConnection,
    alert: i64,
    verdict: Verdict,
    (outlet, now): (&Outlet, Timestamp),
) -> Result<Option<NewRun>, sqlx::Error> {
    let run = match verdict {
        Verdict::Error { playbook, hash, detail } => {
            note(connection, (alert, &playbook), ("error", &detail), None).await?;
            if !playbook.is_empty() {
                let occasion = format!("{}{alert}", super::ALERT);
                errors::note(connection, (&playbook, &hash), (&occasion, &detail), (outlet, now)).await?;
            }
            return Ok(None);
        }
        Verdict::Run(run) => run,
    };
    match begin::admit(connection, &run, now).await? {
        Admission::Begin { .. } | Admission::Queue { .. } => {
            events::begun(connection, &run, (outlet, now)).await?;
            return Ok(Some(*run));
        }
        Admission::Join { run: other } => note(connection, (alert, &run.playbook), ("joined", ""), Some(&other)).await?,
        Admission::Held { detail, .. } => note(connection, (alert, &run.playbook), ("held", &detail), None).await?,
    }
    Ok(None)
}

async fn note(
    connection: &mut AnyConnection,
    (alert, playbook): (i64, &str),
    (verdict, detail): (&str, &str),
    run: Option<&RunId>,
) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO decision (alert, playbook, verdict, detail, run) VALUES ($1, $2, $3, $4, $5)";
    let run = run.map(|run| run.0.as_str());
    sqlx::query(query).bind(alert).bind(playbook).bind(verdict).bind(rows::text(detail)).bind(run).execute(connection).await.map(|_| ())
}

const LIST: &str = "
    SELECT number, id, source, revision, is_revision, kind, severity, status, title, customer_tenant_id, subscription_id,
           detected_at, received_at, deliveries, event,
           CASE WHEN state = 'received' THEN 'received'
                ELSE coalesce((SELECT CASE max(CASE verdict WHEN 'run' THEN 3 WHEN 'joined' THEN 3 WHEN 'error' THEN 2 ELSE 1 END)
                                      WHEN 3 THEN 'matched' WHEN 2 THEN 'error' WHEN 1 THEN 'held' END
                               FROM decision WHERE alert = alert.number), 'no_match')
           END AS outcome
    FROM alert
    WHERE ($1 IS NULL OR source = $1) AND ($2 IS NULL OR kind = $2)
      AND ($3 IS NULL OR CAST(number AS TEXT) = $3 OR instr(id, $3) > 0 OR instr(title, $3) > 0
           OR instr(customer_tenant_id, $3) > 0 OR instr(subscription_id, $3) > 0)
      AND ($5 IS NULL OR CAST(number AS TEXT) = $5 OR id = $5)
    ORDER BY number DESC LIMIT $4";

fn read(row: &AnyRow) -> Result<AlertRow, StoreError> {
    Ok(AlertRow {
        number: row.try_get("number")?,
        id: row.try_get("id")?,
        source: row.try_get("source")?,
        revision: row.try_get("revision")?,
        is_revision: flag(row, "is_revision")?,
        kind: row.try_get("kind")?,
        severity: row.try_get("severity")?,
        status: row.try_get("status")?,
        title: row.try_get("title")?,
        customer_tenant_id: row.try_get("customer_tenant_id")?,
        subscription_id: row.try_get("subscription_id")?,
        detected_at: rows::time(row.try_get("detected_at")?)?,
        received_at: rows::time(row.try_get("received_at")?)?,
        deliveries: row.try_get("deliveries")?,
        outcome: row.try_get("outcome")?,
        event: row.try_get("event")?,
    })
}
