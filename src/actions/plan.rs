//! What the actions that change a plan have in common: its parameters, the look before and the look after.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, Done, Failure, Observed, ReadBack};
use crate::connections::{CustomerId, EntitlementAt, EntitlementId, Microsoft, PlanId, Subscription};

/// The plan that an Azure subscription stands under.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct PlanTarget {
    /// The customer's Entra tenant.
    pub(super) customer_tenant_id: CustomerId,
    /// The Azure subscription, as alerts name it.
    subscription_id: EntitlementId,
    /// The plan that it stands under; looked for if left out.
    #[serde(default)]
    plan_id: Option<PlanId>,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

/// From which state a plan is brought into which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// What is done to it, for a sentence.
    pub(super) done: &'static str,
}

impl PlanTarget {
    pub(super) fn microsoft(&self, ctx: &Context<'_>) -> Result<std::sync::Arc<Microsoft>, Failure> {
        ctx.microsoft(self.connection.as_deref())
    }

    pub(super) fn target(&self, ctx: &Context<'_>) -> String {
        let observed = || Subscription::read(ctx.precondition.get("plan")?.clone()).ok().map(|plan| plan.id);
        match self.plan_id.clone().or_else(observed) {
            Some(plan) => format!("plan:{plan}"),
            None => format!("entitlement:{}", self.subscription_id),
        }
    }

    /// Looks whether there is something to change. Without an `ETag` a late request could overrule a person.
    pub(super) async fn observe(&self, ctx: &Context<'_>, change: Change) -> Result<Observed, Failure> {
        let microsoft = self.microsoft(ctx)?;
        let plan = self.plan_id(&microsoft).await?;
        let plan = microsoft.get_subscription(&self.customer_tenant_id, &plan).await?;
        match plan.status.as_str() {
            status if status == change.to => Ok(Observed::AlreadyDone(self.output(&plan))),
            status if status == change.from && plan.etag.is_empty() => {
                Err(Failure::rejected(format!("Partner Center gave no `ETag` for the plan, so it cannot be {} safely", change.done)))
            }
            // The whole of it: a write that leaves something out clears that.
            status if status == change.from => Ok(Observed::Ready(json!({ "plan": plan.body }))),
            other => {
                let only = format!("only one that is `{}` can be {}", change.from, change.done);
                Err(Failure::rejected(format!("the plan `{}` is `{other}`, and {only}", plan.id)))
            }
        }
    }

    /// What an answer to the change means.
    pub(super) fn done(&self, plan: Subscription, change: Change, is_done: bool) -> Done {
        if is_done {
            Done::Now(self.output(&Subscription { status: change.to.to_owned(), ..plan }))
        } else {
            Done::Accepted(self.output(&plan))
        }
    }

    pub(super) async fn read_back(&self, ctx: &Context<'_>, change: Change) -> Result<ReadBack, Failure> {
        let before = recorded(ctx)?;
        let now = self.microsoft(ctx)?.get_subscription(&self.customer_tenant_id, &before.id).await?;
        Ok(match now.status.as_str() {
            status if status == change.to => ReadBack::Reached(self.output(&now)),
            status if status == change.from && now.etag == before.etag => ReadBack::Untouched,
            "pending" => ReadBack::CannotTell("another change of the plan is under way".to_owned()),
            status => ReadBack::Changed(format!("the plan is `{status}`, and was changed by somebody since it was looked at")),
        })
    }

    /// The plan, after a look that the Azure subscription really stands under it: a wrong pair would stop another business.
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
pub(super) fn recorded(ctx: &Context<'_>) -> Result<Subscription, Failure> {
    let body = ctx.precondition.get("plan").cloned().unwrap_or_default();
    Subscription::read(body).ok().ok_or_else(|| Failure::rejected("the plan was not looked at before the first attempt"))
}
