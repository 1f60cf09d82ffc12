//! `fraud_events`: asks Partner Center for fraud events, the form that Graph's alerts had before.
//!
//! Microsoft has announced the end of it; where `graph_alerts` works, this is not needed. Graph may call the same fact by another
//! identifier, so the two do not share a `source`.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Member, Part, Surroundings,
    inlet::Inlet,
    microsoft,
    review::Review,
    seen::{Seen, Unseen},
    settings::{Every, connection},
    task::{At, Fetched, Source, Task, Trouble},
};
use crate::{alert::Alert, bus::BoxFuture, connections::Microsoft, duration::Span};

/// Ask Partner Center for fraud events, the older form of security alerts. The connection needs a `refresh_token`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FraudEvents {
    /// How often.
    every: Every,
    /// Which connection of type `microsoft`.
    connection: String,
    /// How many events a page has.
    #[serde(default = "a_hundred")]
    #[schemars(range(min = 1, max = 1000))]
    page_size: u32,
    /// Events that were detected longer than this before the very first listing wait in the quarantine until a person releases them.
    #[serde(default = "a_day")]
    review_after: Span,
}

struct Listing {
    microsoft: Arc<Microsoft>,
    page_size: u32,
    inlet: Inlet,
    review_after: SignedDuration,
    review: Review,
}

impl Member for FraudEvents {
    const TYPE: &'static str = "fraud_events";
    const SUMMARY: &'static str = "Ask Partner Center for fraud events, the older form of security alerts";
    const EXAMPLE: &'static str = r#"{"every": "5m", "connection": "contoso"}"#;

    fn connection(&self) -> Option<&str> {
        Some(&self.connection)
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        anyhow::ensure!((1..=1000).contains(&self.page_size), "`page_size` is {}; use 1 to 1000", self.page_size);
        let microsoft = connection(&self.connection, &around.connections)?;
        let review = Review::new(&inlet, around);
        let listing =
            Listing { microsoft, page_size: self.page_size, inlet: inlet.clone(), review_after: self.review_after.signed(), review };
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
            let page = at.page.and_then(|page| page.parse().ok()).unwrap_or(1);
            if page == 1 {
                known.begin(at.now);
            }
            let events = self.microsoft.fraud_events(page, self.page_size).await?;
            let (mut messages, mut old) = (Vec::new(), Vec::new());
            for raw in &events {
                match known.unseen(raw, alert(raw, &self.inlet.source, at.now), &self.inlet, at.now) {
                    Some(Unseen::Alert(alert, _)) if known.was_old(&alert, self.review_after) => old.push(*alert),
                    Some(Unseen::Alert(_, message) | Unseen::Unreadable(message)) => messages.push(message),
                    None => {}
                }
            }
            self.review.hold(old, at.now).await?;
            // There is no link to a next page and no count: a page that is full may have one after it.
            let is_full = u32::try_from(events.len()).is_ok_and(|count| count >= self.page_size);
            let next = is_full.then(|| (page + 1).to_string());
            if next.is_none() {
                known.finish(at.now);
            }
            *position = Some(known.write());
            Ok(Fetched { messages, next })
        })
    }
}

/// A fraud event as an alert, by way of Graph's form of the same.
fn alert(raw: &Value, source: &str, now: Timestamp) -> Result<Alert, String> {
    let text = |name: &str| microsoft::named(raw, name).and_then(Value::as_str).unwrap_or_default();
    let resources = microsoft::named(raw, "affectedResources").and_then(Value::as_array).into_iter().flatten();
    let resources = resources.filter_map(|it| microsoft::named(it, "azureResourceId").map(|id| json!({"resourceId": id})));
    let is_resolved = text("eventStatus").eq_ignore_ascii_case("resolved");
    let of_resolved = |name: &str| Some(text(name)).filter(|it| is_resolved && !it.is_empty() && *it != "None");
    let in_form_of_graph = json!({
        "id": text("eventId"),
        "alertType": text("eventType"),
        "status": text("eventStatus").to_lowercase(),
        "severity": text("severity").to_lowercase(),
        "confidenceLevel": text("confidenceLevel").to_lowercase(),
        "displayName": text("displayName"),
        "description": text("description"),
        "customerTenantId": text("customerTenantId"),
        "subscriptionId": text("subscriptionId"),
        "valueAddedResellerTenantId": text("valueAddedResellerTenantId"),
        "catalogOfferId": text("catalogOfferId"),
        "detectedDateTime": utc(text("eventTime")),
        "firstObservedDateTime": utc(text("firstOccurrence")),
        "lastObservedDateTime": utc(text("lastOccurrence")),
        "resolvedReason": of_resolved("resolvedReason").map(str::to_lowercase),
        "resolvedOnDateTime": of_resolved("resolvedOn").and_then(utc),
        "resolvedBy": of_resolved("resolvedBy"),
        "isTest": text("isTest").eq_ignore_ascii_case("true"),
        "affectedResources": resources.collect::<Vec<_>>(),
        "additionalDetails": microsoft::named(raw, "additionalDetails"),
    });
    let customer_name = Some(text("customerFriendlyName")).filter(|it| !it.is_empty()).map(str::to_owned);
    let alert = microsoft::alert(&in_form_of_graph, source, now)?;
    Ok(Alert { customer_name, raw: raw.clone(), ..alert })
}

/// Its times are in UTC, and do not say so.
fn utc(time: &str) -> Option<String> {
    let says_so = time.parse::<Timestamp>().is_ok();
    (!time.is_empty()).then(|| if says_so { time.to_owned() } else { format!("{time}Z") })
}

/// Few pages, each of some hundred kilobytes.
fn a_hundred() -> u32 {
    100
}

/// What is open for longer has most likely been looked at by somebody.
fn a_day() -> Span {
    Span(Duration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use quell_simulator::{AlertSeed, Notify, Options, Simulator};

    use super::{
        super::testing::{Bench, task},
        *,
    };
    use crate::alert::{Severity, Status};

    #[tokio::test]
    async fn every_page_is_read_and_only_new_states_are_published() {
        let simulator = Simulator::start(Options { notify: false, ..Options::default() }).await.unwrap();
        let bench = Bench::consented(&simulator).await;
        let settings = json!({"name": "fraud", "type": "fraud_events", "every": "5m", "connection": "contoso", "page_size": 2});
        let task = task(settings, &bench.around);
        let seed = |customer| AlertSeed { customer, notify: Notify::No, ..AlertSeed::default() };
        let ids: Vec<_> = (0..4).map(|customer| simulator.add_alert(seed(customer))).collect();
        assert_eq!(task.round().await.unwrap(), 4, "the page after the last full one is empty");
        assert_eq!(task.round().await.unwrap(), 0);
        assert!(simulator.set_alert_status(&ids[1], "resolved", Some("fraud")));
        assert_eq!(task.round().await.unwrap(), 1);
        let alerts = bench.bus.alerts();
        let (first, last) = (&alerts[0], &alerts[4]);
        assert_eq!((first.kind.as_str(), first.severity, first.status), ("crypto_mining", Severity::High, Status::Active));
        assert!(first.id.ends_with(&ids[0]) && first.details.get("resolved_by").is_none(), "{first:?}");
        assert_eq!((last.status, last.details["resolved_reason"].as_str()), (Status::Resolved, Some("fraud")));
    }

    #[tokio::test]
    async fn what_was_old_at_the_first_listing_waits_for_a_person() {
        let simulator = Simulator::start(Options { notify: false, ..Options::default() }).await.unwrap();
        let bench = Bench::consented(&simulator).await;
        let task = task(json!({"name": "fraud", "type": "fraud_events", "every": "5m", "connection": "contoso"}), &bench.around);
        let detected = Some("2024-03-02T04:11:09.5Z".parse().unwrap());
        simulator.add_alert(AlertSeed { detected, ..AlertSeed::default() });
        assert_eq!(task.round().await.unwrap(), 0);
        assert_eq!(bench.around.store.quarantine(true, 10).await.unwrap()[0].reason, "review");
    }

    #[test]
    fn the_dates_and_words_that_mean_nothing_are_left_out() {
        let raw = json!({
            "eventId": "s_1", "eventTime": "2026-03-02T04:11:09.5", "eventType": "NetworkConnectionsToCryptoMiningPools", "eventStatus": "Active",
            "severity": "High", "resolvedReason": "None", "resolvedOn": "9999-12-31T23:59:59.9970000", "resolvedBy": "", "isTest": "false",
            "customerFriendlyName": "Example", "affectedResources": [{"azureResourceId": "/subscriptions/s", "type": "x"}], "activityLogs": "[]",
        });
        let alert = alert(&raw, "fraud", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((alert.kind.as_str(), alert.detected_at.to_string().as_str()), ("crypto_mining", "2026-03-02T04:11:09.5Z"));
        assert_eq!((alert.resources, alert.customer_name.as_deref()), (vec!["/subscriptions/s".to_owned()], Some("Example")));
        assert!(!alert.details.contains_key("resolved_at") && !alert.details.contains_key("resolved_reason"));
        assert!(super::alert(&json!({}), "fraud", Timestamp::UNIX_EPOCH).is_err());
    }
}
