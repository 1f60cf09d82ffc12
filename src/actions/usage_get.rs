//! `usage.get`: what a customer has used this month.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure};
use crate::{connections::CustomerId, run::Class};

/// Tells what a customer's Azure costs this month, in total and for each plan, as Microsoft estimated it about a day ago. Needs a person's consent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageGet {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for UsageGet {
    const NAME: &'static str = "usage.get";
    const SUMMARY: &'static str = "Tell what a customer's Azure costs this month";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001" }"#;
    const CLASS: Class = Class::Read;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        Ok(Done::Now(json!(ctx.microsoft(self.connection.as_deref())?.get_usage(&self.customer_tenant_id).await?)))
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };

    #[tokio::test]
    async fn usage_is_told_to_a_person_and_compared_with_the_budget() {
        let mut bench = Bench::new(Options::default()).await;
        let with = json!({ "customer_tenant_id": bench.ids()["customer"] });
        let usage = prepare("usage.get", with.clone());
        assert_eq!(bench.perform(&usage).await.unwrap_err().kind, FailureKind::Rejected);
        bench.act_for_a_person();
        let mut budget = with;
        budget["amount"] = 781.into();
        bench.perform(&prepare("budget.set", budget)).await.unwrap();
        let Done::Now(output) = bench.perform(&usage).await.unwrap() else { panic!() };
        assert_eq!((&output["budget"], &output["currency"]), (&781.0.into(), &"EUR".into()));
        assert!(output["percent_used"].as_f64().unwrap() > 100.0, "{output}");
        assert_eq!(output["plans"][0]["plan_id"], bench.ids()["plan"]);
    }
}
