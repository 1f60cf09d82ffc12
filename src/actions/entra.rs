//! What the actions on a customer's users have in common: which user is meant, and the look before.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, Failure};
use crate::connections::{CustomerId, Microsoft, User, UserName};

/// A user of a customer's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct UserTarget {
    /// The customer's Entra tenant.
    pub(super) customer_tenant_id: CustomerId,
    /// The user: the object's GUID, or the name for signing in.
    user: UserName,
    /// The connection to use; that of the alert's source if left out. Its `customer_access` must be set.
    #[serde(default)]
    connection: Option<String>,
}

impl UserTarget {
    pub(super) fn microsoft(&self, ctx: &Context<'_>) -> Result<Arc<Microsoft>, Failure> {
        ctx.microsoft(self.connection.as_deref())
    }

    /// The same for both ways to name a user, as soon as the user was looked at.
    pub(super) fn target(&self, ctx: &Context<'_>) -> String {
        match recorded(ctx) {
            Ok(user) => format!("user:{}", user.user_id),
            Err(_) => format!("user:{}", self.user),
        }
    }

    /// The look before the first attempt: what would lock ourselves out is refused.
    pub(super) async fn observe(&self, ctx: &Context<'_>) -> Result<User, Failure> {
        let microsoft = self.microsoft(ctx)?;
        microsoft.refuse_own_tenant(&self.customer_tenant_id).await?;
        let user = self.look(ctx).await?;
        microsoft.refuse_own_user(&self.customer_tenant_id, &user).await?;
        Ok(user)
    }

    pub(super) async fn look(&self, ctx: &Context<'_>) -> Result<User, Failure> {
        self.microsoft(ctx)?.get_user(&self.customer_tenant_id, &self.user).await
    }

    pub(super) fn output(&self, user: &User) -> Value {
        json!({
            "customer_tenant_id": self.customer_tenant_id,
            "user_id": user.user_id,
            "name": user.name,
            "user_principal_name": user.user_principal_name,
            "enabled": user.enabled,
        })
    }
}

/// The user as seen before the first attempt: who is renamed meanwhile is still the same.
pub(super) fn recorded(ctx: &Context<'_>) -> Result<User, Failure> {
    let seen = ctx.precondition.get("user").cloned().unwrap_or_default();
    serde_json::from_value(seen).map_err(|_absent| Failure::rejected("the user was not looked at before the first attempt"))
}
