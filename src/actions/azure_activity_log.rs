//! `azure.activity_log`: who did what in an Azure subscription.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure};
use crate::{
    connections::{ActivityQuery, AzureEvent, CustomerId, EntitlementId},
    duration::Span,
    run::Class,
};

/// Tells who did what in an Azure subscription lately. The access that is used needs the role Reader there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AzureActivityLog {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The Azure subscription.
    subscription_id: EntitlementId,
    /// How far back; Azure keeps 90 days.
    #[serde(default = "a_day")]
    within: Span,
    /// Only operations that begin with one of these, such as `Microsoft.Authorization/roleAssignments/write`, in any case; all if left out.
    #[serde(default)]
    operations: Vec<String>,
    /// At most so many, from 1 to 500.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: usize,
    /// The connection to use; that of the alert's source if left out. Its `customer_access` must be set.
    #[serde(default)]
    connection: Option<String>,
}

/// What is told of an event is a third of a kilobyte long, and the output of a step is kept.
const MOST_EVENTS: usize = 500;

/// A busy subscription writes some thousands of lines a day, and only the wanted ones are kept.
const MOST_READ: usize = 10_000;

impl Action for AzureActivityLog {
    const NAME: &'static str = "azure.activity_log";
    const SUMMARY: &'static str = "Tell who did what in an Azure subscription lately";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001",
        "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002", "within": "24h",
        "operations": ["Microsoft.Authorization/roleAssignments/write", "Microsoft.Compute/virtualMachines/write"] }"#;
    const CLASS: Class = Class::Read;
    const ENTERS_TENANT: bool = true;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        if !(1..=MOST_EVENTS).contains(&self.limit) {
            return Err(Failure::rejected(format!("`limit` must be from 1 to {MOST_EVENTS}")));
        }
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let until = Timestamp::now();
        let from = until.checked_sub(self.within.signed()).map_err(|_beyond| Failure::rejected("`within` is too long"))?;
        let query = ActivityQuery { subscription: &self.subscription_id, from, until, wanted: MOST_READ };
        let read = microsoft.activity_log(&self.customer_tenant_id, query).await?;
        let mut is_cut = read.len() > MOST_READ;
        let mut wanted: Vec<_> = read.into_iter().filter(|it| self.wants(it)).collect();
        is_cut |= wanted.len() > self.limit;
        wanted.truncate(self.limit);
        let mut callers: Vec<_> = wanted.iter().map(|it| it.caller.clone()).filter(|it| !it.is_empty()).collect();
        callers.sort_unstable();
        callers.dedup();
        Ok(Done::Now(json!({ "count": wanted.len(), "more": is_cut, "callers": callers, "events": wanted })))
    }
}

impl AzureActivityLog {
    fn wants(&self, event: &AzureEvent) -> bool {
        let operation = event.operation.to_lowercase();
        self.operations.is_empty() || self.operations.iter().any(|it| operation.starts_with(&it.to_lowercase()))
    }
}

/// Most intruders are noticed within it, and longer logs take long to read.
fn a_day() -> Span {
    Span(std::time::Duration::from_hours(24))
}

/// Enough to see what happened, and little to keep.
fn limit() -> usize {
    100
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;
    use serde_json::Value;

    use super::{
        super::contract::{Bench, prepare},
        *,
    };
    use crate::connections::CustomerAccess;

    #[tokio::test]
    async fn what_the_intruder_did_is_found() {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Person);
        let read = async |with: Value| {
            let Done::Now(output) = bench.perform(&prepare("azure.activity_log", with)).await.unwrap() else { panic!() };
            output
        };
        let mut with = bench.subscription();
        let all = read(with.clone()).await;
        assert_eq!((&all["count"], all["callers"].as_array().unwrap().len()), (&2.into(), 1));
        with["operations"] = json!(["microsoft.authorization/"]);
        let roles = read(with.clone()).await;
        assert_eq!((&roles["count"], &roles["events"][0]["ip"]), (&1.into(), &"203.0.113.66".into()));
        with["within"] = "2h".into();
        assert_eq!(read(with).await["count"], 0);
    }
}
