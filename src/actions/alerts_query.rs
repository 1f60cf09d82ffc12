//! `alerts.query`: which other alerts there are, at the source.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, alert};
use crate::{
    connections::{AlertQuery, CustomerId, EntitlementId},
    duration::Span,
    run::Class,
};

/// Looks for alerts at the source. Everything that is given must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertsQuery {
    /// Where work on them stands.
    #[serde(default)]
    status: Option<alert::Standing>,
    /// The customer's Entra tenant.
    #[serde(default)]
    customer_tenant_id: Option<CustomerId>,
    /// The Azure subscription.
    #[serde(default)]
    subscription_id: Option<EntitlementId>,
    /// Detected within so long.
    #[serde(default)]
    within: Option<Span>,
    /// Detected longer ago than that.
    #[serde(default)]
    older_than: Option<Span>,
    /// At most so many, from 1 to 200.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 200))]
    limit: usize,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

/// What is told of an alert is some kilobytes long, and the output of a step is kept.
const MOST_ALERTS: usize = 200;

/// More pages than a question is worth: the filter was refused, and all alerts of the partner are being read.
const MOST_PAGES: usize = 50;

impl Action for AlertsQuery {
    const NAME: &'static str = "alerts.query";
    const SUMMARY: &'static str = "Look for other alerts at the source";
    const EXAMPLE: &'static str =
        r#"{ "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002", "status": "active", "within": "7d", "limit": 20 }"#;
    const CLASS: Class = Class::Read;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        if !(1..=MOST_ALERTS).contains(&self.limit) {
            return Err(Failure::rejected(format!("`limit` must be from 1 to {MOST_ALERTS}")));
        }
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let now = Timestamp::now();
        let ago = |span: Option<Span>| span.and_then(|span| now.checked_sub(span.signed()).ok());
        let (since, before) = (ago(self.within), ago(self.older_than));
        let query = AlertQuery {
            since,
            status: self.status.map(|it| it.word().to_owned()),
            subscription_id: self.subscription_id.as_ref().map(ToString::to_string),
        };
        let mut found = Vec::new();
        let mut page = microsoft.list_alerts(&query).await?;
        let mut pages = 1;
        loop {
            // Graph may have refused the filter, and then it gives all.
            found.extend(page.alerts.iter().filter(|it| self.wants(it, since, before)).map(alert::told));
            let Some(next) = page.next.as_deref().filter(|_| found.len() <= self.limit && pages < MOST_PAGES) else { break };
            page = microsoft.next_page(next).await?;
            pages += 1;
        }
        let is_cut = found.len() > self.limit || page.next.is_some();
        found.truncate(self.limit);
        Ok(Done::Now(json!({ "count": found.len(), "more": is_cut, "alerts": found })))
    }
}

impl AlertsQuery {
    fn wants(&self, alert: &Value, since: Option<Timestamp>, before: Option<Timestamp>) -> bool {
        let detected = alert::detected(alert);
        self.status.is_none_or(|it| alert::says(alert, "status", it.word()))
            && self.customer_tenant_id.as_ref().is_none_or(|it| alert::says(alert, "customerTenantId", it.as_str()))
            && self.subscription_id.as_ref().is_none_or(|it| alert::says(alert, "subscriptionId", it.as_str()))
            && since.is_none_or(|since| detected.is_none_or(|it| it >= since))
            // Of what does not say when it was detected, nobody knows that it is old.
            && before.is_none_or(|before| detected.is_some_and(|it| it < before))
    }
}

/// Enough to see what else happens, and little to keep.
fn limit() -> usize {
    50
}

#[cfg(test)]
mod tests {
    use quell_simulator::{AlertSeed, Fault, FaultKind, Options};

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };

    async fn query(bench: &Bench, with: Value) -> Value {
        let Done::Now(output) = bench.perform(&prepare("alerts.query", with)).await.unwrap() else { panic!() };
        output
    }

    #[tokio::test]
    async fn alerts_of_a_subscription_are_found_over_all_pages() {
        let bench = Bench::new(Options { page_size: 2, ..Options::default() }).await;
        for customer in [0, 1, 0, 1, 0] {
            bench.simulator.add_alert(AlertSeed { customer, ..AlertSeed::default() });
        }
        let with = json!({ "subscription_id": bench.ids()["entitlement"], "status": "active", "within": "1h" });
        let output = query(&bench, with.clone()).await;
        assert_eq!((&output["count"], &output["more"]), (&4.into(), &false.into()));
        let mut few = with;
        few["limit"] = 3.into();
        let output = query(&bench, few).await;
        assert_eq!((&output["count"], &output["more"]), (&3.into(), &true.into()));
        assert_eq!(query(&bench, json!({ "customer_tenant_id": bench.ids()["customer"] })).await["count"], 4);
        assert_eq!(query(&bench, json!({ "status": "resolved" })).await["count"], 0);
        assert_eq!(query(&bench, json!({ "older_than": "1h" })).await["count"], 0);
        assert!(query(&bench, json!({ "older_than": "0s" })).await["count"].as_u64() > Some(0));
    }

    #[tokio::test]
    async fn a_filter_that_graph_refuses_is_applied_here() {
        let bench = Bench::new(Options::default()).await;
        bench.simulator.add_alert(AlertSeed { customer: 1, ..AlertSeed::default() });
        let kind = FaultKind::Status { status: 400, body: None, retry_after: None };
        bench.simulator.fault(Fault { path: Some("filter".to_owned()), ..Fault::always(kind) });
        assert_eq!(query(&bench, json!({ "subscription_id": bench.ids()["entitlement"] })).await["count"], 1);
    }

    #[tokio::test]
    async fn too_many_alerts_are_not_asked_for() {
        let bench = Bench::new(Options::default()).await;
        let failure = bench.perform(&prepare("alerts.query", json!({ "limit": 201 }))).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
    }
}
