//! What the actions on a customer's Azure have in common: the subscription that they look into.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Context, Failure};
use crate::connections::{CustomerId, EntitlementId, Microsoft};

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
