//! `entitlement.cancel`: cancel an Azure subscription. Its resources are deallocated; only Microsoft brings back what was lost.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, Observed, ReadBack};
use crate::{
    connections::{CustomerId, Entitlement, EntitlementAt, EntitlementId, PlanId},
    run::Class,
};

/// Cancels an Azure subscription because it is compromised.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntitlementCancel {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The plan that the Azure subscription stands under; `entitlement.find` tells it.
    plan_id: PlanId,
    /// The Azure subscription.
    entitlement_id: EntitlementId,
    /// Why; Partner Center takes no other reason.
    #[serde(default)]
    reason: Reason,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Reason {
    #[default]
    Compromise,
}

impl Action for EntitlementCancel {
    const NAME: &'static str = "entitlement.cancel";
    const SUMMARY: &'static str = "Cancel an Azure subscription; its resources stop";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "plan_id": "44444444-dddd-4ddd-8ddd-000000000004",
        "entitlement_id": "22222222-bbbb-4bbb-8bbb-000000000002", "reason": "compromise" }"#;
    /// Partner Center recognises a repeat by its `MS-RequestId`.
    const CLASS: Class = Class::Keyed;
    const DESTRUCTIVE: bool = true;

    fn target(&self, _ctx: &Context<'_>) -> Option<String> {
        Some(format!("entitlement:{}", self.entitlement_id))
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        let entitlement = self.look(ctx).await?;
        let output = self.output(&entitlement);
        Ok(if is_cancelled(&entitlement) { Observed::AlreadyDone(output) } else { Observed::Ready(output) })
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let reason = match self.reason {
            Reason::Compromise => "compromise",
        };
        ctx.microsoft(self.connection.as_deref())?.cancel_entitlement(self.at(), reason, ctx.request_id).await?;
        // Even a 200 only says that it will be: the status follows some minutes later.
        Ok(Done::Accepted(json!({ "entitlement_id": self.entitlement_id, "plan_id": self.plan_id })))
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        let entitlement = self.look(ctx).await?;
        Ok(if is_cancelled(&entitlement) {
            ReadBack::Reached(self.output(&entitlement))
        } else if entitlement.is_active() {
            ReadBack::Unchanged
        } else {
            ReadBack::CannotTell(format!("the Azure subscription is `{}`", entitlement.status))
        })
    }
}

impl EntitlementCancel {
    fn at(&self) -> EntitlementAt<'_> {
        EntitlementAt { customer: &self.customer_tenant_id, plan: &self.plan_id, entitlement: &self.entitlement_id }
    }

    async fn look(&self, ctx: &Context<'_>) -> Result<Entitlement, Failure> {
        ctx.microsoft(self.connection.as_deref())?.get_entitlement(self.at()).await
    }

    fn output(&self, entitlement: &Entitlement) -> Value {
        json!({
            "customer_tenant_id": self.customer_tenant_id,
            "plan_id": self.plan_id,
            "entitlement_id": entitlement.id,
            "name": entitlement.name,
            "status": entitlement.status,
        })
    }
}

/// `inactive` is the word that is documented.
fn is_cancelled(entitlement: &Entitlement) -> bool {
    entitlement.status == "inactive"
}
