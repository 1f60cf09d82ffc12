//! `graph_alerts`: asks Microsoft Graph for the partner's security alerts again and again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Member, Part, Surroundings,
    inlet::Inlet,
    microsoft,
    settings::{Every, connection},
    task::{At, Fetched, Source, Task, Trouble},
};
use crate::{
    bus::{BoxFuture, Message},
    connections::{AlertQuery, Failure, Microsoft, Page},
    duration::Span,
};

/// Ask Microsoft Graph for the partner's security alerts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphAlerts {
    /// How often.
    every: Every,
    /// Which connection of type `microsoft`.
    connection: String,
    /// How far back each listing reaches, so that late changes and late arrivals are seen.
    #[serde(default = "a_week")]
    lookback: Span,
}

struct Listing {
    microsoft: Arc<Microsoft>,
    lookback: SignedDuration,
    inlet: Inlet,
}

/// What is remembered between rounds. Losing it is harmless: what comes again is recognised by its dedup key.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// When the last whole round began.
    listed_at: Option<Timestamp>,
    /// Alerts of the last whole round and their states.
    seen: BTreeMap<String, String>,
    /// Alerts of this round so far.
    listed: BTreeMap<String, String>,
}

/// More open alerts than any partner has in a week; what is beyond is published again, which is harmless.
const MOST_REMEMBERED: usize = 10_000;

impl Member for GraphAlerts {
    const TYPE: &'static str = "graph_alerts";
    const SUMMARY: &'static str = "Ask Microsoft Graph for the partner's security alerts";
    const EXAMPLE: &'static str = r#"{"every": "60s", "connection": "contoso"}"#;

    fn connection(&self) -> Option<&str> {
        Some(&self.connection)
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        let microsoft = connection(&self.connection, &around.connections)?;
        let listing = Listing { microsoft, lookback: self.lookback.signed(), inlet: inlet.clone() };
        Ok(Part::Task(Task::new(self.every.0, inlet, around, listing)))
    }
}

impl Source for Listing {
    fn fetch<'a>(&'a self, position: &'a mut Option<String>, at: At<'a>) -> BoxFuture<'a, Result<Fetched, Trouble>> {
        Box::pin(async move {
            let mut known = position.as_deref().map(Position::read).unwrap_or_default();
            let Page { alerts, next } = if let Some(next) = at.page {
                self.microsoft.next_page(next).await?
            } else {
                known.listed.clear();
                let since = since(&known, at.now, self.lookback);
                self.microsoft.list_alerts(&AlertQuery { since, ..AlertQuery::default() }).await?
            };
            let messages = known.unseen(&alerts, &self.inlet, at.now);
            if next.is_none() {
                known.finish(at.now);
            }
            *position = Some(known.write());
            Ok(Fetched { messages, next })
        })
    }
}

/// Reaches back from the last whole round, so that a long standstill leaves no gap.
fn since(known: &Position, now: Timestamp, lookback: SignedDuration) -> Option<Timestamp> {
    let from = known.listed_at.map_or(now, |listed_at| listed_at.min(now));
    from.checked_sub(lookback).ok()
}

impl Position {
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn write(&self) -> String {
        // Texts and times always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The alerts of a page in states that were not seen, as messages.
    fn unseen(&mut self, alerts: &[Value], inlet: &Inlet, now: Timestamp) -> Vec<Message> {
        let mut messages = Vec::new();
        for raw in alerts {
            let packed = microsoft::alert(raw, &inlet.source, now).and_then(|alert| {
                let (id, revision) = (alert.id.clone(), alert.revision.clone());
                inlet.pack(alert, now).map(|message| (id, revision, message)).map_err(|malformed| malformed.to_string())
            });
            let (id, revision, message) = packed.unwrap_or_else(|reason| {
                let message = inlet.pack_unreadable(raw, &reason);
                (message.key.clone(), String::new(), message)
            });
            // A listing that changes while it is read may name an alert twice.
            let is_known = self.seen.get(&id) == Some(&revision) || self.listed.get(&id) == Some(&revision);
            self.listed.insert(id, revision);
            if !is_known {
                messages.push(message);
            }
        }
        messages
    }

    fn finish(&mut self, now: Timestamp) {
        self.seen = std::mem::take(&mut self.listed).into_iter().take(MOST_REMEMBERED).collect();
        self.listed_at = Some(now);
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self { message: failure.to_string(), retry_after: failure.retry_after }
    }
}

/// Longer than the response time that Microsoft measures, and than a weekend.
fn a_week() -> Span {
    Span(Duration::from_hours(7 * 24))
}

#[cfg(test)]
mod tests {
    use quell_simulator::{AlertSeed, Fault, Notify, Options, Simulator};
    use serde_json::json;

    use super::{
        super::testing::{Bench, task},
        *,
    };

    async fn scene() -> (Simulator, Bench, Task) {
        let simulator = Simulator::start(Options { notify: false, page_size: 2, ..Options::default() }).await.unwrap();
        let bench = Bench::with(&simulator).await;
        let settings = json!({"name": "graph", "type": "graph_alerts", "every": "60s", "connection": "contoso"});
        let task = task(settings, &bench.around);
        (simulator, bench, task)
    }

    fn find(simulator: &Simulator, customer: usize) -> String {
        simulator.add_alert(AlertSeed { customer, notify: Notify::No, ..AlertSeed::default() })
    }

    #[tokio::test]
    async fn every_page_is_read_and_only_new_states_are_published() {
        let (simulator, bench, task) = scene().await;
        let ids: Vec<_> = (0..5).map(|customer| find(&simulator, customer)).collect();
        assert_eq!(task.round().await.unwrap(), 5);
        assert_eq!(task.round().await.unwrap(), 0);
        assert!(simulator.set_alert_status(&ids[2], "resolved", Some("fraud")));
        assert_eq!(task.round().await.unwrap(), 1);
        let alerts = bench.bus.alerts();
        assert_eq!((alerts[5].id.as_str(), alerts[5].details["resolved_reason"].as_str()), (ids[2].as_str(), Some("fraud")));
        assert!(alerts.iter().all(|alert| alert.source == "graph"));
    }

    #[tokio::test]
    async fn what_was_not_published_is_not_remembered() {
        let (simulator, bench, task) = scene().await;
        for customer in 0..3 {
            find(&simulator, customer);
        }
        bench.bus.refuse(true);
        assert!(task.round().await.is_err());
        bench.bus.refuse(false);
        let broken: Fault =
            serde_json::from_value(json!({"service": "graph", "path": "skiptoken", "kind": "status", "status": 500})).unwrap();
        simulator.fault(broken);
        assert!(task.round().await.is_err(), "the second page cannot be had");
        simulator.clear_faults();
        assert_eq!(task.round().await.unwrap(), 3);
        assert_eq!(task.round().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn how_long_graph_wants_to_be_left_alone_is_heard() {
        let (simulator, _bench, task) = scene().await;
        let busy = json!({"service": "graph", "kind": "status", "status": 429, "retry_after": "37"});
        simulator.fault(serde_json::from_value(busy).unwrap());
        assert_eq!(task.round().await.unwrap_err().retry_after, Some(Duration::from_secs(37)));
    }

    #[test]
    fn a_listing_reaches_back_from_the_last_whole_round() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let since = |listed_at: Option<&str>, now: &str| {
            let known = Position { listed_at: listed_at.map(at), ..Position::default() };
            since(&known, at(now), a_week().signed()).unwrap().to_string()
        };
        assert_eq!(since(None, "2026-03-09T00:00:00Z"), "2026-03-02T00:00:00Z");
        assert_eq!(since(Some("2026-02-09T00:00:00Z"), "2026-03-09T00:00:00Z"), "2026-02-02T00:00:00Z");
        assert_eq!(since(Some("2036-01-01T00:00:00Z"), "2026-03-09T00:00:00Z"), "2026-03-02T00:00:00Z");
    }
}
