//! `entitlement.get`: look at an Azure subscription whose plan is known.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Action, Context, Done, Failure,
    entitlement::{self, Place},
};
use crate::{
    connections::{CustomerId, EntitlementId, PlanId},
    run::Class,
};

/// Looks at an Azure subscription whose plan is known; `entitlement.find` looks for one whose plan is not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntitlementGet {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The plan that the Azure subscription stands under; `entitlement.find` tells it.
    plan_id: PlanId,
    /// The Azure subscription.
    entitlement_id: EntitlementId,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for EntitlementGet {
    const NAME: &'static str = "entitlement.get";
    const SUMMARY: &'static str = "Look at an Azure subscription whose plan is known";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "plan_id": "44444444-dddd-4ddd-8ddd-000000000004",
        "entitlement_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    const CLASS: Class = Class::Read;

    fn shows_at_work(&self, output: &Value) -> Vec<String> {
        entitlement::at_work(output)
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let place = Place {
            customer: &self.customer_tenant_id,
            plan: &self.plan_id,
            entitlement: &self.entitlement_id,
            connection: self.connection.as_deref(),
        };
        Ok(Done::Now(place.output(&place.look(ctx).await?)))
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;
    use serde_json::json;

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };

    #[tokio::test]
    async fn an_azure_subscription_is_read_under_its_plan_and_under_no_other() {
        let bench = Bench::new(Options::default()).await;
        let ids = bench.ids();
        let mut with = json!({ "customer_tenant_id": ids["customer"], "plan_id": ids["plan"], "entitlement_id": ids["entitlement"] });
        let Done::Now(output) = bench.perform(&prepare("entitlement.get", with.clone())).await.unwrap() else { panic!() };
        assert_eq!((&output["status"], &output["plan_id"]), (&"active".into(), &ids["plan"]));
        with["plan_id"] = "99999999-bbbb-4bbb-8bbb-000000000009".into();
        let failure = bench.perform(&prepare("entitlement.get", with)).await.unwrap_err();
        assert_eq!((failure.kind, failure.http_status), (FailureKind::Rejected, Some(404)));
    }
}
