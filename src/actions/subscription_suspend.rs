//! `subscription.suspend`: suspend the plan of an Azure subscription, and with it everything under the plan.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Action, Context, Done, Failure, Observed, ReadBack,
    plan::{Change, PlanTarget, recorded},
};
use crate::{
    connections::{Microsoft, PlanId, Suspension},
    run::Class,
};

/// Suspends the plan that an Azure subscription stands under. All Azure subscriptions under it must be cancelled first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct SubscriptionSuspend(PlanTarget);

const CHANGE: Change = Change { from: "active", to: "suspended", done: "suspended" };

impl Action for SubscriptionSuspend {
    const NAME: &'static str = "subscription.suspend";
    const SUMMARY: &'static str = "Suspend the plan of an Azure subscription, and everything under it";
    const EXAMPLE: &'static str =
        r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    /// Every attempt carries the `ETag` that was seen before the first one, so that a late one cannot overrule a person.
    const CLASS: Class = Class::Verified;
    const DESTRUCTIVE: bool = true;

    fn target(&self, ctx: &Context<'_>) -> Option<String> {
        Some(self.0.target(ctx))
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        self.0.observe(ctx, CHANGE).await
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let microsoft = self.0.microsoft(ctx)?;
        let plan = recorded(ctx)?;
        match microsoft.suspend_plan(&self.0.customer_tenant_id, &plan, ctx.request_id).await? {
            Suspension::Done => Ok(self.0.done(plan, CHANGE, true)),
            Suspension::Accepted => Ok(self.0.done(plan, CHANGE, false)),
            Suspension::EntitlementsActive => Err(self.still_active(&microsoft, &plan.id).await),
        }
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        self.0.read_back(ctx, CHANGE).await
    }
}

impl SubscriptionSuspend {
    /// Says what must be cancelled first.
    async fn still_active(&self, microsoft: &Microsoft, plan: &PlanId) -> Failure {
        let listed = microsoft.list_entitlements(&self.0.customer_tenant_id, plan).await.unwrap_or_default();
        let active = listed.iter().filter(|it| it.is_active());
        let names: Vec<_> = active.map(|it| format!("`{}` ({})", it.id, it.name)).collect();
        let which = if names.is_empty() { "them".to_owned() } else { names.join(", ") };
        let message = format!("the plan `{plan}` cannot be suspended while Azure subscriptions under it are active (900115)");
        let mut failure = Failure::rejected(format!("{message}; first cancel {which} with `entitlement.cancel`"));
        failure.http_status = Some(403);
        failure
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quell_simulator::{Fault, FaultKind, Options, PlanStatus};
    use serde_json::json;
    use uuid::Uuid;

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };
    use crate::connections::{EntitlementAt, bench};

    /// A bench on which every Azure subscription of the first customer is cancelled.
    async fn cancelled() -> Bench {
        let bench = Bench::new(Options { cancel_delay: Duration::ZERO, ..Options::default() }).await;
        let microsoft = bench.services.connections.only().unwrap();
        let (customer, plan, _) = bench::first(&bench.simulator);
        for it in microsoft.list_entitlements(&customer, &plan).await.unwrap() {
            let at = EntitlementAt { customer: &customer, plan: &plan, entitlement: &it.id };
            microsoft.cancel_entitlement(at, "compromise", Uuid::now_v7()).await.unwrap();
        }
        bench
    }

    fn suspend(bench: &Bench) -> super::super::Prepared {
        let ids = bench.ids();
        prepare("subscription.suspend", json!({ "customer_tenant_id": ids["customer"], "subscription_id": ids["entitlement"] }))
    }

    #[tokio::test]
    async fn a_plan_is_suspended_whole_and_found_so_afterwards() {
        let mut bench = cancelled().await;
        let action = suspend(&bench);
        assert!(matches!(bench.observe(&action).await, Observed::Ready(_)));
        assert_eq!(action.target(&bench.ctx()), Some(format!("plan:{}", bench.ids()["plan"].as_str().unwrap())));
        let before = bench.simulator.world().remove(0).plan;
        assert!(matches!(bench.perform(&action).await.unwrap(), Done::Now(output) if output["plan_status"] == "suspended"));
        let after = bench.simulator.world().remove(0).plan;
        assert_eq!((after.status, after.auto_renew_enabled), (PlanStatus::Suspended, before.auto_renew_enabled));
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
        assert!(matches!(bench.observe(&action).await, Observed::AlreadyDone(_)));
    }

    #[tokio::test]
    async fn what_must_be_cancelled_first_is_named() {
        let mut bench = Bench::new(Options::default()).await;
        let action = suspend(&bench);
        bench.observe(&action).await;
        let failure = bench.perform(&action).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
        for it in bench.simulator.world().remove(0).plan.entitlements {
            assert!(failure.message.contains(&it.id) && failure.message.contains(&it.name), "{failure}");
        }
        assert_eq!(bench.read_back(&action).await, ReadBack::Untouched);
    }

    #[tokio::test]
    async fn a_person_who_reactivates_meanwhile_is_not_overruled() {
        let mut bench = cancelled().await;
        let action = suspend(&bench);
        bench.observe(&action).await;
        bench.simulator.fault(Fault { method: Some("PATCH".to_owned()), ..Fault::once(FaultKind::ApplyThenDrop) });
        assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Unknown);
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
        assert!(bench.simulator.reactivate(bench.ids()["plan"].as_str().unwrap()));
        assert!(matches!(bench.read_back(&action).await, ReadBack::Changed(_)));
        // Another request id, as if the service had forgotten the first one.
        let ctx = Context { request_id: Uuid::now_v7(), ..bench.ctx() };
        assert_eq!(action.perform(&ctx).await.unwrap_err().kind, FailureKind::Conflict);
        assert_eq!(bench.simulator.counts().suspended, 1);
    }

    #[tokio::test]
    async fn an_azure_subscription_that_does_not_stand_under_the_plan_is_refused() {
        let bench = cancelled().await;
        let other = bench.simulator.world().remove(1).plan;
        let ids = bench.ids();
        for with in [
            json!({ "customer_tenant_id": ids["customer"], "subscription_id": other.entitlements[0].id }),
            json!({ "customer_tenant_id": ids["customer"], "plan_id": ids["plan"], "subscription_id": other.entitlements[0].id }),
        ] {
            let failure = prepare("subscription.suspend", with).observe(&bench.ctx()).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Rejected, "{failure}");
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_without_a_look_before() {
        let bench = cancelled().await;
        assert_eq!(bench.perform(&suspend(&bench)).await.unwrap_err().kind, FailureKind::Rejected);
        assert_eq!(bench.simulator.counts().suspended, 0);
    }
}
