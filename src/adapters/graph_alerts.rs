//! `graph_alerts`: asks Microsoft Graph for the partner's security alerts again and again.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Member, Part, Surroundings,
    inlet::Inlet,
    microsoft,
    review::Review,
    seen::{Seen, Unseen},
    settings::{Every, connection},
    task::{At, Fetched, Source, Task, Trouble},
};
use crate::{
    bus::BoxFuture,
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
    /// How far back the very first listing reaches, if that is further than `lookback`: write `400d` to see what was left open before.
    backfill: Option<Span>,
    /// Alerts that were detected longer than this before the very first listing wait in the quarantine, with the reason `review`, until
    /// a person releases them: no playbook acts on what somebody may have dealt with already.
    #[serde(default = "a_day")]
    review_after: Span,
}

struct Listing {
    microsoft: Arc<Microsoft>,
    lookback: SignedDuration,
    backfill: SignedDuration,
    inlet: Inlet,
    review_after: SignedDuration,
    review: Review,
}

impl Member for GraphAlerts {
    const TYPE: &'static str = "graph_alerts";
    const SUMMARY: &'static str = "Ask Microsoft Graph for the partner's security alerts";
    const EXAMPLE: &'static str = r#"{"every": "60s", "connection": "contoso"}"#;

    fn connection(&self) -> Option<&str> {
        Some(&self.connection)
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        let microsoft = connection(&self.connection, &around.connections)?;
        let lookback = self.lookback.signed();
        let backfill = self.backfill.as_ref().map_or(lookback, |span| span.signed()).max(lookback);
        let review = Review::new(&inlet, around);
        let listing = Listing { microsoft, lookback, backfill, inlet: inlet.clone(), review_after: self.review_after.signed(), review };
        Ok(Part::Task(Task::new(self.every.0, inlet, around, listing)))
    }
}

impl Source for Listing {
    fn tenant(&self) -> Option<&Microsoft> {
        Some(&self.microsoft)
    }

    fn fetch<'a>(&'a self, position: &'a mut Option<String>, at: At<'a>) -> BoxFuture<'a, Result<Fetched, Trouble>> {
        Box::pin(async move {
            let mut known = Seen::read(position.as_deref());
            if at.page.is_none() {
                known.begin(at.now);
            }
            let since = self.since(&known, at.now);
            let Page { alerts, next } = match at.page {
                Some(next) => self.microsoft.next_page(next).await?,
                None => self.microsoft.list_alerts(&AlertQuery { since, ..AlertQuery::default() }).await?,
            };
            let (mut messages, mut old) = (Vec::new(), Vec::new());
            for raw in &alerts {
                let read = microsoft::alert(raw, &self.inlet.source, at.now);
                // Which properties the service filters by is not documented. Where it refuses to, everything is listed and filtered here.
                if read.as_ref().is_ok_and(|alert| since.is_some_and(|since| alert.detected_at < since)) {
                    continue;
                }
                match known.unseen(raw, read, &self.inlet, at.now) {
                    Some(Unseen::Alert(alert, _)) if known.was_old(&alert, self.review_after) => old.push(*alert),
                    Some(Unseen::Alert(_, message) | Unseen::Unreadable(message)) => messages.push(message),
                    None => {}
                }
            }
            self.review.hold(old, at.now).await?;
            if next.is_none() {
                known.finish(at.now);
            }
            *position = Some(known.write());
            Ok(Fetched { messages, next })
        })
    }
}

impl Listing {
    /// Reaches back from the last whole round, so that a long standstill leaves no gap.
    fn since(&self, known: &Seen, now: Timestamp) -> Option<Timestamp> {
        let reach = if known.is_first() { self.backfill } else { self.lookback };
        known.listed_at.map_or(now, |listed_at| listed_at.min(now)).checked_sub(reach).ok()
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

/// What is open for longer has most likely been looked at by somebody.
fn a_day() -> Span {
    Span(Duration::from_hours(24))
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

    async fn scene_with(odd_pages: bool, more: serde_json::Value) -> (Simulator, Bench, Task) {
        let simulator = Simulator::start(Options { notify: false, page_size: 2, odd_pages, ..Options::default() }).await.unwrap();
        let bench = Bench::with(&simulator).await;
        let mut settings = json!({"name": "graph", "type": "graph_alerts", "every": "60s", "connection": "contoso"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let task = task(settings, &bench.around);
        (simulator, bench, task)
    }

    fn find_old(simulator: &Simulator, days: i64, status: &str) -> String {
        let detected = Some(Timestamp::now() - SignedDuration::from_hours(24 * days));
        simulator.add_alert(AlertSeed { detected, status: status.to_owned(), notify: Notify::No, ..AlertSeed::default() })
    }

    async fn held(bench: &Bench) -> Vec<String> {
        let rows = bench.around.store.quarantine(true, 100).await.unwrap();
        assert!(rows.iter().all(|row| row.reason == "review"));
        rows.iter().map(|row| crate::alert::Alert::from_event(&row.body).unwrap().id).collect()
    }

    #[tokio::test]
    async fn an_empty_page_before_others_and_an_alert_on_two_pages_mislead_nobody() {
        let (simulator, bench, task) = scene_with(true, json!({})).await;
        for customer in 0..5 {
            find(&simulator, customer);
        }
        assert_eq!(task.round().await.unwrap(), 5);
        assert_eq!(bench.bus.alerts().len(), 5);
        assert_eq!(task.round().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_link_to_another_host_is_not_followed_and_nothing_is_remembered() {
        let (simulator, bench, task) = scene_with(false, json!({})).await;
        find(&simulator, 0);
        for link in ["https://graph.microsoft.com.evil.example/beta/security/partner/securityAlerts?$skiptoken=x", "http://127.0.0.1:1/x"] {
            let body = json!({"value": [], "@odata.nextLink": link});
            simulator.fault(serde_json::from_value(json!({"service": "graph", "kind": "status", "status": 200, "body": body})).unwrap());
            assert!(task.round().await.unwrap_err().message.contains("leads elsewhere"), "{link}");
            simulator.clear_faults();
        }
        assert_eq!(task.round().await.unwrap(), 1);
        assert_eq!(bench.bus.alerts().len(), 1);
    }

    #[tokio::test]
    async fn where_the_service_refuses_to_filter_it_is_done_here() {
        let (simulator, bench, task) = scene_with(false, json!({})).await;
        let refuses = json!({"service": "graph", "path": "filter", "kind": "status", "status": 400});
        simulator.fault(serde_json::from_value(refuses).unwrap());
        find_old(&simulator, 300, "active");
        let fresh = find(&simulator, 0);
        assert_eq!(task.round().await.unwrap(), 1);
        assert_eq!(bench.bus.alerts()[0].id, fresh);
        assert!(held(&bench).await.is_empty(), "it was not asked for");
    }

    #[tokio::test]
    async fn what_is_old_at_the_first_listing_waits_for_a_person_once_and_what_comes_later_does_not() {
        let (simulator, bench, task) = scene_with(false, json!({"backfill": "400d"})).await;
        let old: Vec<_> = [300, 3].map(|days| find_old(&simulator, days, "active")).into();
        find_old(&simulator, 200, "resolved");
        let fresh = find(&simulator, 0);
        bench.bus.refuse(true);
        assert!(task.round().await.is_err());
        bench.bus.refuse(false);
        assert_eq!(task.round().await.unwrap(), 1);
        assert_eq!(bench.bus.alerts()[0].id, fresh);
        let mut waiting = held(&bench).await;
        waiting.reverse();
        assert_eq!(waiting, old, "though the round was repeated, and what is resolved needs nobody");

        // Somebody works on the old one, which is no reason for a playbook to begin.
        assert!(simulator.set_alert_status(&old[1], "investigating", None));
        assert_eq!(task.round().await.unwrap(), 0);
        assert_eq!(held(&bench).await.len(), 3);
        find(&simulator, 1);
        assert_eq!(task.round().await.unwrap(), 1);
        let lag = bench.metric("quell_poll_lag_seconds{adapter=\"graph\"}").unwrap();
        assert!(lag.parse::<f64>().unwrap() < 60.0, "{lag}");
    }

    #[tokio::test]
    async fn what_one_poll_is_told_of_pace_holds_for_the_tenant() {
        let (simulator, bench, task) = scene_with(false, json!({})).await;
        let microsoft = bench.around.connections.named("contoso").unwrap();
        let busy = json!({"service": "graph", "kind": "status", "status": 429, "retry_after": "37"});
        simulator.fault(serde_json::from_value(busy).unwrap());
        let stop = crate::lifecycle::Stop::default();
        let watched = async {
            while microsoft.wants_quiet(std::time::Instant::now()).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stop.request();
        };
        tokio::join!(task.run(stop.clone()), watched);
        assert!(microsoft.wants_quiet(std::time::Instant::now()).unwrap() > Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_listing_reaches_back_from_the_last_whole_round() {
        let (_simulator, bench, _task) = scene().await;
        let inlet = Inlet::new("graph", "graph", &bench.around);
        let listing = Listing {
            microsoft: bench.around.connections.named("contoso").unwrap(),
            lookback: a_week().signed(),
            backfill: SignedDuration::from_hours(24 * 30),
            review_after: a_day().signed(),
            review: Review::new(&inlet, &bench.around),
            inlet,
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let since = |listed_at: Option<&str>, now: &str| {
            let mut known = Seen::default();
            known.listed_at = listed_at.map(at);
            listing.since(&known, at(now)).unwrap().to_string()
        };
        assert_eq!(since(None, "2026-03-31T00:00:00Z"), "2026-03-01T00:00:00Z");
        assert_eq!(since(Some("2026-02-09T00:00:00Z"), "2026-03-09T00:00:00Z"), "2026-02-02T00:00:00Z");
        assert_eq!(since(Some("2036-01-01T00:00:00Z"), "2026-03-09T00:00:00Z"), "2026-03-02T00:00:00Z");
    }
}
