//! `budget.get`: which spending budget a customer has.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure};
use crate::{connections::CustomerId, run::Class};

/// Tells a customer's spending budget for a month; `null` where there is none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetGet {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for BudgetGet {
    const NAME: &'static str = "budget.get";
    const SUMMARY: &'static str = "Tell a customer's spending budget";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001" }"#;
    const CLASS: Class = Class::Read;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let amount = ctx.microsoft(self.connection.as_deref())?.get_budget(&self.customer_tenant_id).await?;
        Ok(Done::Now(json!({ "customer_tenant_id": self.customer_tenant_id, "amount": amount })))
    }
}
