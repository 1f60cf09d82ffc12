//! `audit_records`: looks in Partner Center's activity log for fraud of which neither a callback nor a listing has told.
//!
//! A record is a hint, as a callback is: what it hints at is read from Graph.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Member, Part, Surroundings,
    inlet::Inlet,
    microsoft::{self, named},
    review,
    settings::{Every, connection},
    task::{At, Fetched, Source, Task, Trouble},
};
use crate::{
    bus::{BoxFuture, Message},
    connections::{AlertQuery, Microsoft},
    duration::Span,
    store::{AlertFilter, Store},
};

/// Find in Partner Center's activity log what no webhook and no listing has brought. Give it the `source` of those.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditRecords {
    /// How often.
    #[serde(default = "every_quarter")]
    every: Every,
    /// Which connection of type `microsoft`.
    connection: String,
    /// How long the others have to bring an alert before it counts as lost.
    #[serde(default = "a_quarter")]
    grace: Span,
}

struct Log {
    microsoft: Arc<Microsoft>,
    grace: SignedDuration,
    store: Store,
    inlet: Inlet,
}

/// What is remembered between rounds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// When the last whole round began.
    listed_at: Option<Timestamp>,
    /// Records that were gone after. Older ones than are listed again are forgotten.
    done: BTreeSet<String>,
}

/// The log's word for what the portal calls "Azure Fraud event detected".
const FRAUD: &str = "azure_fraud_event_detected";

/// The log is by days, and a record may come late.
const AGAIN: SignedDuration = SignedDuration::from_hours(48);

/// Partner Center refuses to list from before that.
const OLDEST: SignedDuration = SignedDuration::from_hours(24 * 89);

/// Alerts that are older than their record by more than this are other alerts.
const BEFORE_RECORD: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Graph's pages of one week; more are a list that goes in circles.
const MOST_PAGES: usize = 1_000;

impl Member for AuditRecords {
    const TYPE: &'static str = "audit_records";
    const SUMMARY: &'static str = "Find in Partner Center's activity log what no webhook and no listing has brought";
    const EXAMPLE: &'static str = r#"{"every": "15m", "connection": "contoso", "grace": "15m"}"#;

    fn connection(&self) -> Option<&str> {
        Some(&self.connection)
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        let microsoft = connection(&self.connection, &around.connections)?;
        // So that a rate of nothing is told as nothing, and not as unknown.
        inlet.signals.reconciled(&inlet.adapter, &[]);
        let log = Log { microsoft, grace: self.grace.signed(), store: around.store.clone(), inlet: inlet.clone() };
        Ok(Part::Task(Task::new(self.every.0, inlet, around, log)))
    }
}

impl Source for Log {
    fn tenant(&self) -> Option<&Microsoft> {
        Some(&self.microsoft)
    }

    fn fetch<'a>(&'a self, position: &'a mut Option<String>, at: At<'a>) -> BoxFuture<'a, Result<Fetched, Trouble>> {
        Box::pin(async move {
            let mut known: Position = position.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let messages = self.look(&mut known, at.now).await?;
            known.listed_at = Some(at.now);
            *position = serde_json::to_string(&known).ok();
            Ok(Fetched { messages, next: None })
        })
    }
}

impl Log {
    /// Goes after each record that is new and has had its time.
    async fn look(&self, known: &mut Position, now: Timestamp) -> Result<Vec<Message>, Trouble> {
        let reach = known.listed_at.map_or(AGAIN, |listed_at| now.duration_since(listed_at).saturating_add(AGAIN)).clamp(AGAIN, OLDEST);
        let (from, to) = (day(now.checked_sub(reach).unwrap_or(now)), day(now));
        let records = self.microsoft.audit_records(from, to).await?;
        let (mut done, mut customers, mut earliest) = (BTreeSet::new(), BTreeSet::new(), now);
        for record in records.iter().filter(|record| text(record, "operationType").eq_ignore_ascii_case(FRAUD)) {
            let id = text(record, "id").to_owned();
            let at: Timestamp = text(record, "operationDate").parse().unwrap_or(now);
            let is_due = now.duration_since(at) >= self.grace;
            if is_due && !known.done.contains(&id) {
                customers.insert(text(record, "customerId").to_lowercase());
                earliest = earliest.min(at);
            }
            if is_due {
                done.insert(id);
            }
        }
        known.done = done;
        if customers.is_empty() { Ok(Vec::new()) } else { self.missing(&customers, earliest, now).await }
    }

    /// The alerts of these customers since shortly before that time that are not in the journal. One listing serves all of them.
    async fn missing(&self, customers: &BTreeSet<String>, earliest: Timestamp, now: Timestamp) -> Result<Vec<Message>, Trouble> {
        let since = earliest.checked_sub(BEFORE_RECORD).ok();
        let mut page = self.microsoft.list_alerts(&AlertQuery { since, ..AlertQuery::default() }).await?;
        let held = review::held(&self.store).await.map_err(|error| Trouble::new(format!("look what is held back: {error}")))?;
        let is_held = |id: &str| held.iter().any(|alert| alert.id == id && alert.source == self.inlet.source);
        let (mut messages, mut found) = (Vec::new(), Vec::new());
        for _ in 0..MOST_PAGES {
            for raw in page.alerts.iter().filter(|raw| customers.contains(&text(raw, "customerTenantId").to_lowercase())) {
                let Ok(alert) = microsoft::alert(raw, &self.inlet.source, now) else { continue };
                // Where the service refuses to filter, it lists what is older too.
                let is_asked_for = since.is_none_or(|since| alert.detected_at >= since);
                if is_asked_for && !found.contains(&alert.id) && !is_held(&alert.id) && !self.is_known(&alert.id).await? {
                    found.push(alert.id.clone());
                    messages.push(self.inlet.pack(alert, now).map_err(|malformed| Trouble::new(malformed.to_string()))?);
                }
            }
            let Some(next) = page.next else { break };
            page = self.microsoft.next_page(&next).await?;
        }
        self.inlet.signals.reconciled(&self.inlet.adapter, &found);
        Ok(messages)
    }

    async fn is_known(&self, id: &str) -> Result<bool, Trouble> {
        let source = Some(self.inlet.source.clone());
        let filter = AlertFilter { source, name: Some(id.to_owned()), most: 1, ..AlertFilter::default() };
        let found = self.store.alerts(&filter).await.map_err(|error| Trouble::new(format!("look for alert {id}: {error}")))?;
        Ok(!found.is_empty())
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    named(value, name).and_then(Value::as_str).unwrap_or_default()
}

fn day(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

/// Partner Center asks not to be polled for what it tells by itself.
fn every_quarter() -> Every {
    Every(Duration::from_mins(15))
}

/// A callback that is tried again and a listing both come sooner.
fn a_quarter() -> Span {
    Span(Duration::from_mins(15))
}

#[cfg(test)]
mod tests {
    use quell_simulator::{AlertSeed, Notify, Options, Simulator};
    use serde_json::json;

    use super::{
        super::testing::{Bench, task},
        *,
    };
    use crate::store::{Arrival, Received};

    const LOST: &str = "quell_reconciled_total{adapter=\"log\"}";

    async fn scene(grace: &str) -> (Simulator, Bench, Task) {
        let simulator = Simulator::start(Options { notify: false, page_size: 2, ..Options::default() }).await.unwrap();
        let bench = Bench::with(&simulator).await;
        let settings = json!({"name": "log", "type": "audit_records", "connection": "contoso", "source": "graph", "grace": grace});
        let task = task(settings, &bench.around);
        (simulator, bench, task)
    }

    fn find(simulator: &Simulator, customer: usize) -> String {
        simulator.add_alert(AlertSeed { customer, notify: Notify::No, ..AlertSeed::default() })
    }

    /// What the engine does with what is on the bus.
    async fn take_in(bench: &Bench) {
        for message in bench.bus.messages() {
            let alert = crate::alert::Alert::from_event(&message.body).unwrap();
            bench.around.store.take_in(vec![Arrival::Alert(Box::new(Received { alert, event: message.body }))]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_alert_that_nobody_brought_is_found_once_and_counted() {
        let (simulator, bench, task) = scene("0s").await;
        assert_eq!(bench.metric(LOST).as_deref(), Some("0"));
        let ids: Vec<_> = (0..3).map(|customer| find(&simulator, customer)).collect();
        assert_eq!(task.round().await.unwrap(), 3);
        let mut found: Vec<_> = bench.bus.alerts().into_iter().map(|alert| (alert.source, alert.id)).collect();
        let mut expected: Vec<_> = ids.into_iter().map(|id| ("graph".to_owned(), id)).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(bench.metric(LOST).as_deref(), Some("3"));
        assert_eq!(task.round().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_in_the_journal_is_not_lost() {
        let (simulator, bench, task) = scene("0s").await;
        find(&simulator, 0);
        assert_eq!(task.round().await.unwrap(), 1);
        take_in(&bench).await;
        // Another record of the same customer makes it look again.
        find(&simulator, 0);
        assert_eq!(task.round().await.unwrap(), 1);
        assert_eq!(bench.metric(LOST).as_deref(), Some("2"));
    }

    #[tokio::test]
    async fn what_waits_for_a_person_is_not_lost_either() {
        let (simulator, bench, task) = scene("0s").await;
        let detected = Some(Timestamp::now() - SignedDuration::from_hours(72));
        simulator.add_alert(AlertSeed { detected, ..AlertSeed::default() });
        let listing = json!({"name": "graph", "type": "graph_alerts", "every": "60s", "connection": "contoso"});
        assert_eq!(super::super::testing::task(listing, &bench.around).round().await.unwrap(), 0);
        assert_eq!(task.round().await.unwrap(), 0);
        assert_eq!(bench.metric(LOST).as_deref(), Some("0"));
    }

    #[tokio::test]
    async fn the_others_have_their_time_first() {
        let (simulator, bench, task) = scene("1h").await;
        find(&simulator, 0);
        assert_eq!(task.round().await.unwrap(), 0);
        assert_eq!(bench.metric(LOST).as_deref(), Some("0"));
    }

    #[tokio::test]
    async fn a_record_is_gone_after_again_when_graph_or_the_bus_did_not_answer() {
        let (simulator, bench, task) = scene("0s").await;
        find(&simulator, 0);
        simulator.fault(serde_json::from_value(json!({"service": "graph", "kind": "status", "status": 503})).unwrap());
        assert!(task.round().await.is_err());
        simulator.clear_faults();
        bench.bus.refuse(true);
        assert!(task.round().await.is_err());
        bench.bus.refuse(false);
        assert_eq!(task.round().await.unwrap(), 1);
    }
}
