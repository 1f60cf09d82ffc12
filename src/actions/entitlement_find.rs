//! `entitlement.find`: find the plan of an Azure subscription, and what else is under it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, entitlement};
use crate::{
    connections::{CustomerId, EntitlementId},
    run::Class,
};

/// Finds the plan of an Azure subscription, and the other active subscriptions under it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntitlementFind {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The Azure subscription, as alerts name it.
    subscription_id: EntitlementId,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for EntitlementFind {
    const NAME: &'static str = "entitlement.find";
    const SUMMARY: &'static str = "Find the plan of an Azure subscription, and what else is active under it";
    const EXAMPLE: &'static str =
        r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    const CLASS: Class = Class::Read;

    fn shows_at_work(&self, output: &Value) -> Vec<String> {
        entitlement::at_work(output)
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let found = microsoft.find_entitlement(&self.customer_tenant_id, &self.subscription_id).await?;
        let others = found.others.iter().filter(|it| it.is_active());
        Ok(Done::Now(json!({
            "plan_id": found.plan.id,
            "plan_status": found.plan.status,
            "entitlement_id": found.entitlement.id,
            "name": found.entitlement.name,
            "status": found.entitlement.status,
            "others_active": others.map(|it| json!({ "id": it.id, "name": it.name })).collect::<Vec<Value>>(),
        })))
    }
}
