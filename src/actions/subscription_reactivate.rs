//! `subscription.reactivate`: make a suspended plan active again.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Action, Context, Done, Failure, Observed, ReadBack,
    plan::{Change, PlanTarget, recorded},
};
use crate::{connections::Suspension, run::Class};

/// Makes the plan that an Azure subscription stands under active again. Takes what `subscription.suspend` takes, so that it undoes that.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct SubscriptionReactivate(PlanTarget);

const CHANGE: Change = Change { from: "suspended", to: "active", done: "made active" };

impl Action for SubscriptionReactivate {
    const NAME: &'static str = "subscription.reactivate";
    const SUMMARY: &'static str = "Make a suspended plan active again";
    const EXAMPLE: &'static str =
        r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    /// The documentation shows no `If-Match` here; it is sent all the same, so that a person's later decision is not overruled.
    const CLASS: Class = Class::Verified;

    fn target(&self, ctx: &Context<'_>) -> Option<String> {
        Some(self.0.target(ctx))
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        self.0.observe(ctx, CHANGE).await
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let plan = recorded(ctx)?;
        match self.0.microsoft(ctx)?.reactivate_plan(&self.0.customer_tenant_id, &plan, ctx.request_id).await? {
            Suspension::Done => Ok(self.0.done(plan, CHANGE, true)),
            Suspension::Accepted => Ok(self.0.done(plan, CHANGE, false)),
            Suspension::EntitlementsActive => {
                Err(Failure::rejected("Partner Center refused it because of active Azure subscriptions (900115)"))
            }
        }
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        self.0.read_back(ctx, CHANGE).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quell_simulator::{Fault, FaultKind, Options, PlanStatus};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };
    use crate::connections::{EntitlementAt, bench};

    /// A bench on which the first customer's plan is suspended, with the parameters that did it.
    async fn suspended() -> (Bench, Value) {
        let mut bench = Bench::new(Options { cancel_delay: Duration::ZERO, ..Options::default() }).await;
        let microsoft = bench.services.connections.only().unwrap();
        let (customer, plan, _) = bench::first(&bench.simulator);
        for it in microsoft.list_entitlements(&customer, &plan).await.unwrap() {
            let at = EntitlementAt { customer: &customer, plan: &plan, entitlement: &it.id };
            microsoft.cancel_entitlement(at, "compromise", Uuid::now_v7()).await.unwrap();
        }
        let ids = bench.ids();
        let with = json!({ "customer_tenant_id": ids["customer"], "subscription_id": ids["entitlement"] });
        let suspend = prepare("subscription.suspend", with.clone());
        bench.observe(&suspend).await;
        // Under a key of its own: Partner Center answers a repeat from memory.
        suspend.perform(&Context { request_id: Uuid::now_v7(), ..bench.ctx() }).await.unwrap();
        bench.precondition = Value::Null;
        (bench, with)
    }

    #[tokio::test]
    async fn what_was_suspended_is_made_active_with_the_same_parameters() {
        let (mut bench, with) = suspended().await;
        let action = prepare("subscription.reactivate", with);
        assert!(matches!(bench.observe(&action).await, Observed::Ready(_)));
        assert!(matches!(bench.perform(&action).await.unwrap(), Done::Now(output) if output["plan_status"] == "active"));
        assert_eq!(bench.simulator.world().remove(0).plan.status, PlanStatus::Active);
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
        assert!(matches!(bench.observe(&action).await, Observed::AlreadyDone(_)));
    }

    #[tokio::test]
    async fn a_lost_answer_is_found_out_and_nothing_is_sent_without_a_look() {
        let (mut bench, with) = suspended().await;
        let action = prepare("subscription.reactivate", with);
        assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Rejected);
        bench.observe(&action).await;
        bench.simulator.fault(Fault { method: Some("PATCH".to_owned()), ..Fault::once(FaultKind::ApplyThenDrop) });
        assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Unknown);
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
    }
}
