//! `audit_records`: looks in Partner Center's activity log for fraud of which neither a callback nor a listing has told.
//!
//! A record is a hint, as a callback is: what it hints at is read from Graph.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

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
    /// Records that were gone after, each with the alert that it told of. Older ones than are listed again are forgotten.
    told_of: BTreeMap<String, String>,
    /// What could not be read of Graph's list, and was set aside.
    set_aside: BTreeSet<String>,
}

/// What the log says of one fraud.
#[derive(Debug)]
struct Record<'a> {
    id: String,
    /// In lower case.
    customer: String,
    at: Timestamp,
    raw: &'a Value,
}

/// An alert that Graph shows, as far as a record can be held to it.
#[derive(Debug)]
struct Shown {
    id: String,
    /// In lower case.
    customer: String,
    detected_at: Option<Timestamp>,
}

/// The log's word for what the portal calls "Azure Fraud event detected".
const FRAUD: &str = "azure_fraud_event_detected";

/// The log is by days, and a record may come late.
const AGAIN: SignedDuration = SignedDuration::from_hours(48);

/// Partner Center refuses to list from before that.
const OLDEST: SignedDuration = SignedDuration::from_hours(24 * 89);

/// Alerts that are older than their record by more than this are other alerts.
const BEFORE_RECORD: SignedDuration = SignedDuration::from_hours(24);

/// How far back Graph is asked beyond the record: what was lost before may be found with it.
const LOOKED_FOR: SignedDuration = SignedDuration::from_hours(24 * 7);

/// How long Graph has to show what a record tells of; a person looks after what it never shows. Less than a record is listed for.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_hours(24);

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
    /// Goes after each record that has had its time and whose alert was not seen yet.
    async fn look(&self, known: &mut Position, now: Timestamp) -> Result<Vec<Message>, Trouble> {
        let again = AGAIN.saturating_add(self.grace);
        let reach = known.listed_at.map_or(again, |listed_at| now.duration_since(listed_at).saturating_add(again)).clamp(AGAIN, OLDEST);
        let (from, to) = (day(now.checked_sub(reach).unwrap_or(now)), day(now));
        let listed = self.microsoft.audit_records(from, to).await?;
        let (mut messages, mut open, mut told_of) = (Vec::new(), Vec::<Record<'_>>::new(), BTreeMap::new());
        for raw in listed.iter().filter(|record| text(record, "operationType").eq_ignore_ascii_case(FRAUD)) {
            match Record::read(raw) {
                Ok(record) => match known.told_of.get(&record.id) {
                    Some(alert) => drop(told_of.insert(record.id, alert.clone())),
                    None if now.duration_since(record.at) < self.grace || open.iter().any(|it| it.id == record.id) => {}
                    None => open.push(record),
                },
                Err(why) => {
                    let message = self.inlet.pack_unreadable(raw, why);
                    if told_of.insert(message.key.clone(), String::new()).is_none() && !known.told_of.contains_key(&message.key) {
                        messages.push(message);
                    }
                }
            }
        }
        known.told_of = told_of;
        if open.is_empty() {
            return Ok(messages);
        }
        open.sort_by_key(|record| record.at);
        let shown = self.missing(&open, known, now, &mut messages).await?;
        messages.extend(open.iter().filter_map(|record| self.settle(record, &shown, known, now)));
        Ok(messages)
    }

    /// A record is done when Graph shows an alert that no other record told of. One whose alert is never shown is a person's.
    fn settle(&self, record: &Record<'_>, shown: &[Shown], known: &mut Position, now: Timestamp) -> Option<Message> {
        let earliest = record.at.checked_sub(BEFORE_RECORD).unwrap_or(record.at);
        let is_free = |it: &&Shown| !known.told_of.values().any(|taken| *taken == it.id);
        let may_be = |it: &&Shown| it.customer == record.customer && it.detected_at.is_none_or(|at| at >= earliest);
        if let Some(alert) = shown.iter().filter(may_be).find(is_free) {
            known.told_of.insert(record.id.clone(), alert.id.clone());
            return None;
        }
        if now.duration_since(record.at) < SHOWN_WITHIN.max(self.grace) {
            return None;
        }
        known.told_of.insert(record.id.clone(), String::new());
        Some(self.inlet.pack_unreadable(record.raw, "the activity log tells of a fraud of which Graph shows no alert"))
    }

    /// The alerts of these customers since shortly before, and as messages those that are not in the journal. One listing serves all of them.
    async fn missing(
        &self,
        open: &[Record<'_>],
        known: &mut Position,
        now: Timestamp,
        messages: &mut Vec<Message>,
    ) -> Result<Vec<Shown>, Trouble> {
        let since = open.first().and_then(|earliest| earliest.at.checked_sub(LOOKED_FOR).ok());
        let mut page = self.microsoft.list_alerts(&AlertQuery { since, ..AlertQuery::default() }).await?;
        let held = review::held(&self.store).await.map_err(|error| Trouble::new(format!("look what is held back: {error}")))?;
        let is_held = |id: &str| held.iter().any(|alert| alert.id == id && alert.source == self.inlet.source);
        let (mut shown, mut found, mut set_aside) = (Vec::<Shown>::new(), Vec::new(), BTreeSet::new());
        for _ in 0..MOST_PAGES {
            for raw in &page.alerts {
                let customer = text(raw, "customerTenantId").to_lowercase();
                if !open.iter().any(|record| record.customer == customer) {
                    continue;
                }
                let read = microsoft::alert(raw, &self.inlet.source, now).and_then(|alert| alert.checked().map_err(|it| it.to_string()));
                let (alert, message) = match read {
                    Ok(alert) => (alert.clone(), self.inlet.pack(alert, now).map_err(|malformed| Trouble::new(malformed.to_string()))?),
                    Err(reason) => {
                        let message = self.inlet.pack_unreadable(raw, &reason);
                        shown.push(Shown { id: message.key.clone(), customer, detected_at: None });
                        if set_aside.insert(message.key.clone()) && !known.set_aside.contains(&message.key) {
                            messages.push(message);
                        }
                        continue;
                    }
                };
                // Where the service refuses to filter, it lists what is older too.
                if since.is_some_and(|since| alert.detected_at < since) || shown.iter().any(|it| it.id == alert.id) {
                    continue;
                }
                if !is_held(&alert.id) && !self.is_known(&alert.id).await? {
                    found.push(alert.id.clone());
                    messages.push(message);
                }
                shown.push(Shown { id: alert.id, customer, detected_at: Some(alert.detected_at) });
            }
            let Some(next) = page.next else { break };
            page = self.microsoft.next_page(&next).await?;
        }
        known.set_aside = set_aside;
        self.inlet.signals.reconciled(&self.inlet.adapter, &found);
        Ok(shown)
    }

    async fn is_known(&self, id: &str) -> Result<bool, Trouble> {
        let source = Some(self.inlet.source.clone());
        let filter = AlertFilter { source, name: Some(id.to_owned()), most: 1, ..AlertFilter::default() };
        let found = self.store.alerts(&filter).await.map_err(|error| Trouble::new(format!("look for alert {id}: {error}")))?;
        Ok(!found.is_empty())
    }
}

impl<'a> Record<'a> {
    /// A record without its name could not be recognised again, and one without a time would be looked for at the wrong one.
    fn read(raw: &'a Value) -> Result<Self, &'static str> {
        let id = text(raw, "id").to_owned();
        if id.is_empty() {
            return Err("a record of the activity log that tells of fraud has no `id`");
        }
        let date = text(raw, "operationDate");
        // It is in UTC, and need not say so.
        let at = date.parse().or_else(|_error| format!("{date}Z").parse());
        let at = at.map_err(|_error: jiff::Error| "a record of the activity log that tells of fraud has no time as `operationDate`")?;
        Ok(Self { id, customer: text(raw, "customerId").to_lowercase(), at, raw })
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

    /// From now on a service answers so.
    fn answer(simulator: &Simulator, service: &str, path: &str, body: &Value) {
        let fault = json!({"service": service, "path": path, "kind": "status", "status": 200, "body": body});
        simulator.fault(serde_json::from_value(fault).unwrap());
    }

    /// The log holds this record alone.
    fn record(simulator: &Simulator, record: &Value) {
        let body = json!({"totalCount": 1, "items": [record], "attributes": {"objectType": "Collection"}});
        answer(simulator, "partner-center", "auditrecords", &body);
    }

    fn quarantined(bench: &Bench) -> usize {
        let is_alert = |message: &&Message| crate::alert::Alert::from_event(&message.body).is_ok();
        bench.bus.messages().iter().filter(|message| !is_alert(message)).count()
    }

    #[tokio::test]
    async fn a_record_stays_open_until_graph_shows_its_alert_and_not_just_any_of_that_customer() {
        let (simulator, bench, task) = scene("0s").await;
        let first = find(&simulator, 0);
        assert_eq!(task.round().await.unwrap(), 1);
        take_in(&bench).await;
        let second = find(&simulator, 0);
        // Graph lags behind: it shows the first alone.
        let shown = bench.bus.alerts()[0].raw.clone();
        answer(&simulator, "graph", "securityAlerts", &json!({"value": [shown]}));
        assert_eq!((task.round().await.unwrap(), task.round().await.unwrap()), (0, 0));
        simulator.clear_faults();
        assert_eq!(task.round().await.unwrap(), 1);
        let ids: Vec<_> = bench.bus.alerts().into_iter().map(|alert| alert.id).collect();
        assert_eq!(ids, [first, second]);
        assert_eq!(task.round().await.unwrap(), 0);
        assert_eq!(quarantined(&bench), 0);
    }

    #[tokio::test]
    async fn what_graph_never_shows_is_a_persons_after_a_day() {
        for (hours, expected) in [(20, 0), (30, 1)] {
            let (simulator, bench, task) = scene("0s").await;
            let at = (Timestamp::now() - SignedDuration::from_hours(hours)).to_string();
            record(&simulator, &json!({"id": "r", "operationType": FRAUD, "customerId": "c", "operationDate": at}));
            assert_eq!((task.round().await.unwrap(), task.round().await.unwrap()), (expected, 0), "{hours}");
            assert_eq!(quarantined(&bench), expected);
        }
    }

    #[tokio::test]
    async fn an_alert_that_cannot_be_read_is_set_aside_once_and_keeps_no_other_back() {
        let (simulator, bench, task) = scene("0s").await;
        find(&simulator, 0);
        let customer = simulator.world().remove(0).tenant_id;
        let good = json!({"id": "a-1", "customerTenantId": customer, "detectedDateTime": Timestamp::now().to_string()});
        let nameless = json!({"customerTenantId": customer, "displayName": "no id"});
        let control = json!({"id": "a-2", "customerTenantId": customer, "subscriptionId": "s", "alertType": " "});
        answer(&simulator, "graph", "securityAlerts", &json!({"value": [nameless, control, good]}));
        assert!(task.round().await.unwrap() >= 2);
        assert!(bench.bus.alerts().iter().any(|alert| alert.id == "a-1"));
        let set_aside = quarantined(&bench);
        assert!(set_aside >= 1);
        find(&simulator, 0);
        task.round().await.unwrap();
        assert_eq!(quarantined(&bench), set_aside);
    }

    #[tokio::test]
    async fn a_record_without_a_time_is_set_aside_once_and_one_in_utc_is_understood() {
        let (simulator, bench, task) = scene("0s").await;
        record(&simulator, &json!({"id": "r", "operationType": FRAUD, "customerId": "c", "operationDate": "yesterday"}));
        assert_eq!((task.round().await.unwrap(), task.round().await.unwrap()), (1, 0));
        assert_eq!(quarantined(&bench), 1);
        let raw = json!({"id": "r", "operationDate": "2026-03-02T04:12:00.1234567"});
        assert_eq!(Record::read(&raw).unwrap().at.to_string(), "2026-03-02T04:12:00.1234567Z");
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
