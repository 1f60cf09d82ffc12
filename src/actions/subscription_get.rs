//! `subscription.get`: look at an Azure subscription and its plan.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, entitlement};
use crate::{
    connections::{CustomerId, EntitlementId},
    run::Class,
};

/// Looks at an Azure subscription and the plan that it stands under.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionGet {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The Azure subscription, as alerts name it.
    subscription_id: EntitlementId,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for SubscriptionGet {
    const NAME: &'static str = "subscription.get";
    const SUMMARY: &'static str = "Look at an Azure subscription and its plan";
    const EXAMPLE: &'static str =
        r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    const CLASS: Class = Class::Read;

    fn shows_at_work(&self, output: &Value) -> Vec<String> {
        entitlement::at_work(output)
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let found = microsoft.find_entitlement(&self.customer_tenant_id, &self.subscription_id).await?;
        Ok(Done::Now(json!({
            "status": found.entitlement.status,
            "name": found.entitlement.name,
            "entitlement_id": found.entitlement.id,
            "plan_id": found.plan.id,
            "plan_status": found.plan.status,
            "plan_name": found.plan.name,
            "customer_tenant_id": self.customer_tenant_id,
        })))
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
    async fn an_azure_subscription_is_found_under_its_plan() {
        let bench = Bench::new(Options::default()).await;
        let ids = bench.ids();
        let spelt = ids["entitlement"].as_str().unwrap().to_uppercase();
        let with = json!({ "customer_tenant_id": ids["customer"], "subscription_id": spelt });
        let Done::Now(output) = bench.perform(&prepare("subscription.get", with.clone())).await.unwrap() else { panic!() };
        assert_eq!((&output["entitlement_id"], &output["plan_id"]), (&ids["entitlement"], &ids["plan"]));
        assert_eq!((output["status"].as_str(), output["plan_status"].as_str()), (Some("active"), Some("active")));
        let Done::Now(found) = bench.perform(&prepare("entitlement.find", with)).await.unwrap() else { panic!() };
        let others = bench.simulator.world().remove(0).plan.entitlements.len() - 1;
        assert_eq!(found["others_active"].as_array().unwrap().len(), others);
    }

    #[tokio::test]
    async fn a_subscription_of_nobody_is_said_to_be_missing() {
        let bench = Bench::new(Options::default()).await;
        let with = json!({ "customer_tenant_id": bench.ids()["customer"], "subscription_id": "99999999-bbbb-4bbb-8bbb-000000000009" });
        let failure = bench.perform(&prepare("subscription.get", with)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert!(failure.message.contains("99999999-bbbb-4bbb-8bbb-000000000009"), "{failure}");
    }
}
