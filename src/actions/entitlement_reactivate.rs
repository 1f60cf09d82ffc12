//! `entitlement.reactivate`: make a cancelled Azure subscription active again.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Context, Done, Failure, Observed, ReadBack, entitlement::Place};
use crate::{
    connections::{CustomerId, EntitlementId, PlanId},
    run::Class,
};

/// Makes a cancelled Azure subscription active again. Its plan must be active; what was deleted meanwhile does not come back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntitlementReactivate {
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

impl Action for EntitlementReactivate {
    const NAME: &'static str = "entitlement.reactivate";
    const SUMMARY: &'static str = "Make a cancelled Azure subscription active again";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "plan_id": "44444444-dddd-4ddd-8ddd-000000000004",
        "entitlement_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    /// Partner Center recognises a repeat by its `MS-RequestId`.
    const CLASS: Class = Class::Keyed;

    fn target(&self, _ctx: &Context<'_>) -> Option<String> {
        Some(self.place().target())
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        let entitlement = self.place().look(ctx).await?;
        let output = self.place().output(&entitlement);
        Ok(if entitlement.is_active() { Observed::AlreadyDone(output) } else { Observed::Ready(output) })
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        ctx.microsoft(self.connection.as_deref())?.reactivate_entitlement(self.place().at(), ctx.request_id).await?;
        Ok(Done::Accepted(self.place().accepted()))
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        let entitlement = self.place().look(ctx).await?;
        Ok(match entitlement.status.as_str() {
            "active" => ReadBack::Reached(self.place().output(&entitlement)),
            "inactive" => ReadBack::Unchanged,
            other => ReadBack::CannotTell(format!("the Azure subscription is `{other}`")),
        })
    }
}

impl EntitlementReactivate {
    fn place(&self) -> Place<'_> {
        Place {
            customer: &self.customer_tenant_id,
            plan: &self.plan_id,
            entitlement: &self.entitlement_id,
            connection: self.connection.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quell_simulator::{Fault, FaultKind, Options};
    use serde_json::{Value, json};

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };

    /// A bench whose first Azure subscription is cancelled, with its ids as parameters.
    async fn cancelled() -> (Bench, Value) {
        let bench = Bench::new(Options { cancel_delay: Duration::ZERO, ..Options::default() }).await;
        let ids = bench.ids();
        let with = json!({ "customer_tenant_id": ids["customer"], "plan_id": ids["plan"], "entitlement_id": ids["entitlement"] });
        bench.perform(&prepare("entitlement.cancel", with.clone())).await.unwrap();
        (bench, with)
    }

    #[tokio::test]
    async fn what_was_cancelled_is_active_again() {
        let (mut bench, with) = cancelled().await;
        let action = prepare("entitlement.reactivate", with);
        assert!(matches!(bench.observe(&action).await, Observed::Ready(_)));
        assert_eq!(bench.read_back(&action).await, ReadBack::Unchanged);
        assert!(matches!(bench.perform(&action).await.unwrap(), Done::Accepted(_)));
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
        assert!(matches!(bench.observe(&action).await, Observed::AlreadyDone(_)));
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown_and_a_look_tells() {
        let (mut bench, with) = cancelled().await;
        let action = prepare("entitlement.reactivate", with);
        bench.observe(&action).await;
        let fault = Fault::once(FaultKind::ApplyThenDrop);
        bench.simulator.fault(Fault { method: Some("POST".to_owned()), path: Some("/reactivate".to_owned()), ..fault });
        assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Unknown);
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
    }
}
