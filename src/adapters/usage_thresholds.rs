//! `usage_thresholds`: asks Partner Center how much of its budget each customer has used.
//!
//! It is how abuse shows that nobody raised an alert of. The numbers are a day old, and a budget stops nothing.

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Member, Part, Surroundings,
    inlet::Inlet,
    microsoft::named,
    seen::{Seen, Unseen},
    settings::{Every, connection},
    task::{At, Fetched, Source, Task, Trouble},
};
use crate::{alert::Alert, bus::BoxFuture, connections::Microsoft};

/// Ask Partner Center which customers have used how much of their monthly budget. The connection needs a `refresh_token`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageThresholds {
    /// How often.
    #[serde(default = "every_hour")]
    every: Every,
    /// Which connection of type `microsoft`.
    connection: String,
    /// At how many percent of its budget there is an alert of a customer, of the kind `usage_threshold`: one for each in a month, and
    /// where several are passed at once, one for the highest. A customer without a budget has none.
    #[serde(default = "where_the_portal_warns")]
    percentages: Vec<u32>,
}

struct Usage {
    microsoft: Arc<Microsoft>,
    /// The highest first.
    percentages: Vec<u32>,
    inlet: Inlet,
}

impl Member for UsageThresholds {
    const TYPE: &'static str = "usage_thresholds";
    const SUMMARY: &'static str = "Ask Partner Center which customers have used how much of their budget";
    const EXAMPLE: &'static str = r#"{"every": "1h", "connection": "contoso", "percentages": [80, 100, 200]}"#;

    fn connection(&self) -> Option<&str> {
        Some(&self.connection)
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        let mut percentages = self.percentages.clone();
        percentages.sort_unstable_by(|one, other| other.cmp(one));
        anyhow::ensure!(percentages.last().is_some_and(|&lowest| lowest > 0), "`percentages` needs one or more, each above 0");
        let usage = Usage { microsoft: connection(&self.connection, &around.connections)?, percentages, inlet: inlet.clone() };
        Ok(Part::Task(Task::new(self.every.0, inlet, around, usage)))
    }
}

impl Source for Usage {
    fn tenant(&self) -> Option<&Microsoft> {
        Some(&self.microsoft)
    }

    fn fetch<'a>(&'a self, position: &'a mut Option<String>, at: At<'a>) -> BoxFuture<'a, Result<Fetched, Trouble>> {
        Box::pin(async move {
            let mut known = Seen::read(position.as_deref());
            known.begin(at.now);
            let mut messages = Vec::new();
            for raw in &self.microsoft.usage_records().await? {
                let Some((used, passed)) = self.passed(raw) else { continue };
                let read = alert(raw, (used, passed), &self.inlet.source, at.now);
                match known.unseen(raw, read, &self.inlet, at.now) {
                    Some(Unseen::Alert(_, message) | Unseen::Unreadable(message)) => messages.push(message),
                    None => {}
                }
            }
            known.finish(at.now);
            *position = Some(known.write());
            Ok(Fetched { messages, next: None })
        })
    }
}

impl Usage {
    /// How much was used, and the highest percentage that this passes.
    fn passed(&self, raw: &Value) -> Option<(f64, u32)> {
        let used = named(raw, "percentUsed")?.as_f64()?;
        let passed = self.percentages.iter().find(|&&it| used >= f64::from(it))?;
        Some((used, *passed))
    }
}

fn alert(raw: &Value, (used, passed): (f64, u32), source: &str, now: Timestamp) -> Result<Alert, String> {
    let text = |name: &str| named(raw, name).and_then(Value::as_str).filter(|it| !it.is_empty());
    let customer = text("resourceId").ok_or("the record has no `resourceId`, which is the customer")?;
    let as_of: Timestamp = text("lastModifiedDate").and_then(|it| it.parse().ok()).unwrap_or(now);
    let name = text("resourceName").unwrap_or(customer);
    let month = as_of.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string();
    let fields = json!({
        "id": format!("{customer}/{month}/{passed}"),
        "source": source,
        "kind": "usage_threshold",
        "severity": if passed >= 100 { "high" } else { "medium" },
        "title": format!("{name} has used {used:.0} % of its budget"),
        "customer_tenant_id": customer,
        "customer_name": text("resourceName"),
        "detected_at": as_of,
        "received_at": now,
        "details": {
            "percent": passed, "percent_used": used, "budget": named(raw, "budget").and_then(|it| named(it, "amount")),
            "total_cost": named(raw, "totalCost"), "currency": text("currencyCode").or_else(|| text("currencyLocale")),
        },
        "raw": raw,
    });
    serde_json::from_value(fields).map_err(|error| error.to_string())
}

/// What it tells is a day old.
fn every_hour() -> Every {
    Every(Duration::from_hours(1))
}

/// Partner Center mails from eighty percent on.
fn where_the_portal_warns() -> Vec<u32> {
    vec![80, 100]
}

#[cfg(test)]
mod tests {
    use quell_simulator::{Options, Simulator};

    use super::{
        super::testing::{Bench, task},
        *,
    };
    use crate::alert::Severity;

    #[tokio::test]
    async fn a_customer_that_passes_a_percentage_is_told_of_once_in_a_month_for_each() {
        let simulator = Simulator::start(Options::default()).await.unwrap();
        let bench = Bench::consented(&simulator).await;
        let task = task(json!({"name": "budgets", "type": "usage_thresholds", "connection": "contoso"}), &bench.around);
        assert_eq!(task.round().await.unwrap(), 0, "no customer has a budget");
        let percent = |used: f64| {
            json!({"kind": "status", "path": "usagerecords", "status": 200, "body": {"items": [
                {"resourceId": "c-1", "resourceName": "Example", "percentUsed": used, "lastModifiedDate": "2026-03-02T02:00:00+00:00"},
                {"resourceId": "c-2", "percentUsed": null}, {"resourceId": "c-3", "percentUsed": 79.9},
            ]}})
        };
        for (used, alerts) in [(80.0, 1), (85.5, 0), (312.4, 1), (320.0, 0)] {
            simulator.clear_faults();
            simulator.fault(serde_json::from_value(percent(used)).unwrap());
            assert_eq!(task.round().await.unwrap(), alerts, "{used}");
        }
        let alerts = bench.bus.alerts();
        assert_eq!((alerts[0].id.as_str(), alerts[0].severity), ("c-1/2026-03/80", Severity::Medium));
        assert_eq!((alerts[1].id.as_str(), alerts[1].severity), ("c-1/2026-03/100", Severity::High));
        assert_eq!((alerts[1].title.as_str(), &alerts[1].details["percent_used"]), ("Example has used 312 % of its budget", &json!(312.4)));
    }

    #[tokio::test]
    async fn percentages_that_say_nothing_fail_the_build() {
        let simulator = Simulator::start(Options::default()).await.unwrap();
        let bench = Bench::consented(&simulator).await;
        for wrong in [json!([]), json!([0, 80])] {
            let settings = json!({"name": "b", "type": "usage_thresholds", "connection": "contoso", "percentages": wrong});
            let config = serde_json::from_value(settings).unwrap();
            let fault = format!("{:#}", super::super::build(&[config], &bench.around).unwrap_err().remove(0));
            assert!(fault.contains("`percentages`"), "{fault}");
        }
    }
}
