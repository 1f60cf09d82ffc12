//! `alerts.count`: how many alerts there are at the source, by type, and how many partners, customers and subscriptions they are about.
//!
//! Microsoft mails the same numbers once a day; a list of the alerts themselves is what `alerts.query` gives.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, alert};
use crate::{connections::AlertQuery, duration::Span, run::Class};

/// Counts alerts at the source, those of tests left out. Everything that is given must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertsCount {
    /// Where work on them stands: any of these.
    #[serde(default = "unresolved")]
    status: Vec<alert::Standing>,
    /// Detected within so long.
    #[serde(default = "sixty_days")]
    within: Span,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

/// What is counted, of all alerts or of those of a type.
#[derive(Debug, Default)]
struct Tally {
    alerts: usize,
    partners: BTreeSet<String>,
    customers: BTreeSet<String>,
    subscriptions: BTreeSet<String>,
}

/// A tally as it is told.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_type: Option<String>,
    alerts: usize,
    partners: usize,
    customers: usize,
    subscriptions: usize,
}

/// Some thousand alerts: more than anybody has unresolved who reads this, and no more pages than Graph bears at once.
const MOST_PAGES: usize = 100;

impl Action for AlertsCount {
    const NAME: &'static str = "alerts.count";
    const SUMMARY: &'static str = "Count alerts at the source by type, with the customers and subscriptions they are about";
    const EXAMPLE: &'static str = r#"{ "status": ["active", "investigating"], "within": "60d" }"#;
    const CLASS: Class = Class::Read;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let since = Timestamp::now().checked_sub(self.within.signed()).map_err(|_beyond| Failure::rejected("`within` is too long"))?;
        let query = AlertQuery { since: Some(since), ..AlertQuery::default() };
        // A change of the listing between two pages may show an alert on both.
        let mut counted = BTreeMap::new();
        let mut page = microsoft.list_alerts(&query).await?;
        let mut pages = 1;
        loop {
            let wanted = page.alerts.iter().filter(|it| self.wants(it, since));
            counted.extend(wanted.map(|it| (alert::text(it, "id").to_lowercase(), it.clone())));
            let Some(next) = page.next.as_deref().filter(|_| pages < MOST_PAGES) else { break };
            page = microsoft.next_page(next).await?;
            pages += 1;
        }
        Ok(Done::Now(told(counted.values(), page.next.is_some())))
    }
}

impl AlertsCount {
    fn wants(&self, it: &Value, since: Timestamp) -> bool {
        !alert::is_test(it)
            && self.status.iter().any(|standing| alert::says(it, "status", standing.word()))
            && alert::detected(it).is_none_or(|detected| detected >= since)
    }
}

fn told<'a>(alerts: impl Iterator<Item = &'a Value>, is_cut: bool) -> Value {
    let (mut all, mut by_type, mut oldest) = (Tally::default(), BTreeMap::<String, Tally>::new(), None::<Timestamp>);
    for it in alerts {
        all.add(it);
        by_type.entry(alert::text(it, "alertType").to_owned()).or_default().add(it);
        oldest = oldest.into_iter().chain(alert::detected(it)).min();
    }
    let mut types: Vec<Told> = by_type.into_iter().map(|(alert_type, tally)| tally.told(Some(alert_type))).collect();
    types.sort_by_key(|it| std::cmp::Reverse(it.alerts));
    let mut output = json!(all.told(None));
    if let Some(fields) = output.as_object_mut() {
        fields.extend([("oldest_at".to_owned(), json!(oldest)), ("more".to_owned(), is_cut.into()), ("types".to_owned(), json!(types))]);
    }
    output
}

impl Tally {
    fn add(&mut self, it: &Value) {
        self.alerts += 1;
        let sets = [
            (&mut self.partners, "valueAddedResellerTenantId"),
            (&mut self.customers, "customerTenantId"),
            (&mut self.subscriptions, "subscriptionId"),
        ];
        for (set, name) in sets {
            set.extend(Some(alert::text(it, name)).filter(|id| !id.is_empty()).map(str::to_lowercase));
        }
    }

    fn told(&self, alert_type: Option<String>) -> Told {
        let (partners, customers, subscriptions) = (self.partners.len(), self.customers.len(), self.subscriptions.len());
        Told { alert_type, alerts: self.alerts, partners, customers, subscriptions }
    }
}

/// What somebody still has to answer.
fn unresolved() -> Vec<alert::Standing> {
    vec![alert::Standing::Active, alert::Standing::Investigating]
}

/// For so long Microsoft goes on reminding of an alert.
fn sixty_days() -> Span {
    Span(std::time::Duration::from_hours(60 * 24))
}

#[cfg(test)]
mod tests {
    use quell_simulator::{AlertSeed, Options};

    use super::{
        super::contract::{Bench, prepare},
        *,
    };

    async fn count(bench: &Bench, with: Value) -> Value {
        let Done::Now(output) = bench.perform(&prepare("alerts.count", with)).await.unwrap() else { panic!() };
        output
    }

    #[tokio::test]
    async fn alerts_are_counted_by_type_over_all_pages() {
        let bench = Bench::new(Options { page_size: 2, ..Options::default() }).await;
        let before = count(&bench, json!({})).await;
        for (customer, alert_type) in [(0, "CryptoMining"), (1, "CryptoMining"), (0, "VM_AnomalousDeployment"), (0, "CryptoMining")] {
            bench.simulator.add_alert(AlertSeed { customer, alert_type: alert_type.to_owned(), ..AlertSeed::default() });
        }
        let after = count(&bench, json!({})).await;
        let number = |of: &Value, name: &str| of[name].as_u64().unwrap();
        assert_eq!(number(&after, "alerts"), number(&before, "alerts") + 4);
        assert_eq!((number(&after, "customers"), &after["more"]), (2, &json!(false)));
        let of_type = |name: &str| after["types"].as_array().unwrap().iter().find(|it| it["alert_type"] == name).unwrap();
        assert_eq!(number(of_type("VM_AnomalousDeployment"), "customers"), 1);
        assert_eq!(number(of_type("CryptoMining"), "customers"), 2);
        assert_eq!(after["types"][0]["alert_type"], "CryptoMining", "the most come first");
        assert_eq!(count(&bench, json!({ "status": ["resolved"] })).await["alerts"], 0);
    }

    #[test]
    fn what_is_there_twice_is_counted_once_and_names_differ_in_case_alone() {
        let alert = |customer: &str, reseller: Value| {
            json!({
                "alertType": "CryptoMining", "customerTenantId": customer, "subscriptionId": "S-1", "valueAddedResellerTenantId": reseller,
                "detectedDateTime": "2026-03-02T04:11:09Z",
            })
        };
        let all = [alert("c-1", json!("r-1")), alert("C-1", Value::Null), alert("c-2", json!("R-1"))];
        let told = told(all.iter(), true);
        assert_eq!(
            (&told["alerts"], &told["partners"], &told["customers"], &told["subscriptions"]),
            (&3.into(), &1.into(), &2.into(), &1.into())
        );
        assert_eq!((&told["oldest_at"], &told["more"]), (&json!("2026-03-02T04:11:09Z"), &json!(true)));
    }
}
