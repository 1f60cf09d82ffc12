//! What the actions on a customer's Azure have in common: the subscription that they look into, and what people may call what is in it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Context, Failure, FailureKind};
use crate::connections::{CustomerId, EntitlementId, Microsoft, PlanId, UserName};

/// An Azure subscription of a customer's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct InSubscription {
    /// The customer's Entra tenant.
    pub(super) customer_tenant_id: CustomerId,
    /// The Azure subscription.
    pub(super) subscription_id: EntitlementId,
    /// The connection to use; that of the alert's source if left out. Its `customer_access` must be set.
    #[serde(default)]
    connection: Option<String>,
}

impl InSubscription {
    pub(super) fn microsoft(&self, ctx: &Context<'_>) -> Result<Arc<Microsoft>, Failure> {
        ctx.microsoft(self.connection.as_deref())
    }
}

/// The plan that an Azure subscription stands under: people may have protected that, or put it on hold. `None` where Partner Center does not
/// have the subscription or does not let us look.
pub(super) async fn plan_of(microsoft: &Microsoft, customer: &CustomerId, subscription: &EntitlementId) -> Result<Option<PlanId>, Failure> {
    Ok(as_far_as_known(microsoft.find_entitlement(customer, subscription).await)?.map(|found| found.plan.id))
}

/// The name for signing in of who has a role. `None` where that is no user or Graph does not let us look.
pub(super) async fn name_of(microsoft: &Microsoft, customer: &CustomerId, principal: &str) -> Result<Option<String>, Failure> {
    let Ok(user) = UserName::parse(principal) else { return Ok(None) };
    Ok(as_far_as_known(microsoft.get_user(customer, &user).await)?.map(|user| user.user_principal_name))
}

/// What is refused for good cannot be known. What only failed now is no reason to pass by what people have said.
fn as_far_as_known<T>(looked: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match looked {
        Ok(known) => Ok(Some(known)),
        Err(failure) if failure.kind == FailureKind::Rejected => Ok(None),
        Err(failure) => Err(failure),
    }
}
