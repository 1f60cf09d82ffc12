//! What the actions that change an Azure subscription have in common: where it is, and what it looks like.

use serde_json::{Value, json};

use super::{Context, Failure};
use crate::connections::{CustomerId, Entitlement, EntitlementAt, EntitlementId, PlanId};

/// Where an Azure subscription is found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) customer: &'a CustomerId,
    pub(super) plan: &'a PlanId,
    pub(super) entitlement: &'a EntitlementId,
    pub(super) connection: Option<&'a str>,
}

impl Place<'_> {
    pub(super) fn at(&self) -> EntitlementAt<'_> {
        EntitlementAt { customer: self.customer, plan: self.plan, entitlement: self.entitlement }
    }

    pub(super) fn target(&self) -> String {
        format!("entitlement:{}", self.entitlement)
    }

    pub(super) async fn look(&self, ctx: &Context<'_>) -> Result<Entitlement, Failure> {
        ctx.microsoft(self.connection)?.get_entitlement(self.at()).await
    }

    /// What a request that was accepted says of itself: the status follows some minutes later.
    pub(super) fn accepted(&self) -> Value {
        json!({ "entitlement_id": self.entitlement, "plan_id": self.plan })
    }

    pub(super) fn output(&self, entitlement: &Entitlement) -> Value {
        json!({
            "customer_tenant_id": self.customer,
            "plan_id": self.plan,
            "entitlement_id": entitlement.id,
            "name": entitlement.name,
            "status": entitlement.status,
        })
    }
}

/// The Azure subscription and the plan of a look at both, as far as they are active; named as the actions that stop them name them.
pub(super) fn at_work(output: &Value) -> Vec<String> {
    let parts = [("entitlement", "entitlement_id", "status"), ("plan", "plan_id", "plan_status")];
    let active = parts.into_iter().filter(|(_, _, status)| output.get(status).and_then(Value::as_str) == Some("active"));
    active.filter_map(|(kind, id, _)| Some(format!("{kind}:{}", output.get(id)?.as_str()?))).collect()
}
