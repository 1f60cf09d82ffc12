//! `subscription.reactivate`: make a suspended plan active again.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, Observed, ReadBack};
use crate::{
    connections::{CustomerId, EntitlementAt, EntitlementId, Microsoft, PlanId, Subscription, Suspension},
    run::Class,
};

/// Makes the plan that an Azure subscription stands under active again. Takes what `subscription.suspend` takes, so that it undoes that.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionReactivate {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The Azure subscription, as alerts name it.
    subscription_id: EntitlementId,
    /// The plan that it stands under; looked for if left out.
    #[serde(default)]
    plan_id: Option<PlanId>,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for SubscriptionReactivate {
    const NAME: &'static str = "subscription.reactivate";
    const SUMMARY: &'static str = "Make a suspended plan active again";
    const EXAMPLE: &'static str =
        r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    /// The documentation shows no `If-Match` here; it is sent all the same, so that a person's later decision is not overruled.
    const CLASS: Class = Class::Verified;

    fn target(&self, ctx: &Context<'_>) -> Option<String> {
        let observed = || Subscription::read(ctx.precondition.get("plan")?.clone()).ok().map(|plan| plan.id);
        Some(match self.plan_id.clone().or_else(observed) {
            Some(plan) => format!("plan:{plan}"),
            None => format!("entitlement:{}", self.subscription_id),
        })
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let plan = self.plan_id(&microsoft).await?;
        let plan = microsoft.get_subscription(&self.customer_tenant_id, &plan).await?;
        match plan.status.as_str() {
            "active" => Ok(Observed::AlreadyDone(self.output(&plan))),
            "suspended" => Ok(Observed::Ready(json!({ "plan": plan.body }))),
            other => Err(Failure::rejected(format!("the plan `{}` is `{other}`, and only a suspended one can be made active", plan.id))),
        }
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let plan = recorded(ctx)?;
        match microsoft.reactivate_plan(&self.customer_tenant_id, &plan, ctx.request_id).await? {
            Suspension::Done => Ok(Done::Now(self.output(&Subscription { status: "active".to_owned(), ..plan }))),
            Suspension::Accepted => Ok(Done::Accepted(self.output(&plan))),
            Suspension::EntitlementsActive => {
                Err(Failure::rejected("Partner Center refused it because of active Azure subscriptions (900115)"))
            }
        }
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let before = recorded(ctx)?;
        let now = microsoft.get_subscription(&self.customer_tenant_id, &before.id).await?;
        Ok(match now.status.as_str() {
            "active" => ReadBack::Reached(self.output(&now)),
            "suspended" if now.etag == before.etag => ReadBack::Unchanged,
            "pending" => ReadBack::CannotTell("another change of the plan is under way".to_owned()),
            status => ReadBack::Changed(format!("the plan is `{status}`, and was changed by somebody since it was looked at")),
        })
    }
}

impl SubscriptionReactivate {
    /// The plan, after a look that the Azure subscription really stands under it.
    async fn plan_id(&self, microsoft: &Microsoft) -> Result<PlanId, Failure> {
        let Some(plan) = &self.plan_id else {
            return Ok(microsoft.find_entitlement(&self.customer_tenant_id, &self.subscription_id).await?.plan.id);
        };
        let at = EntitlementAt { customer: &self.customer_tenant_id, plan, entitlement: &self.subscription_id };
        microsoft.get_entitlement(at).await?;
        Ok(plan.clone())
    }

    fn output(&self, plan: &Subscription) -> Value {
        json!({
            "customer_tenant_id": self.customer_tenant_id,
            "subscription_id": self.subscription_id,
            "plan_id": plan.id,
            "plan_name": plan.name,
            "plan_status": plan.status,
        })
    }
}

/// The plan as it was before the first attempt.
fn recorded(ctx: &Context<'_>) -> Result<Subscription, Failure> {
    let body = ctx.precondition.get("plan").cloned().unwrap_or_default();
    Subscription::read(body).ok().ok_or_else(|| Failure::rejected("the plan was not looked at before the first attempt"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quell_simulator::{Fault, FaultKind, Options, PlanStatus};
    use uuid::Uuid;

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };
    use crate::connections::bench;

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
