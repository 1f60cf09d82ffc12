//! What may be wrong with a tenant, an application or a person's rights: each makes the services answer as they do where that is so.
//!
//! Unlike a fault, a trouble is no accident of one request. It stays until somebody puts it right, and every service knows of it.

use serde::{Deserialize, Serialize};

/// Something that a person has to put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The application's secret is over its date.
    SecretExpired,
    /// The application may sign in with a certificate that it registered, and this is not the one.
    CertificateUnknown,
    /// No administrator has consented to the application.
    ConsentMissing,
    /// The person signed in without a second factor.
    MfaMissing,
    /// The tenant wants a second factor now.
    MfaWanted,
    /// Conditional Access refuses the sign-in.
    PolicyBlocks,
    /// The application may not read the alerts.
    AlertsUnreadable,
    /// The application may read the alerts and not change them.
    AlertsUnchangeable,
    /// Nobody has consented that the application uses Partner Center on a person's behalf.
    PartnerCenterMissing,
    /// The person is no Admin agent.
    AdminAgentMissing,
    /// Partner Center belongs to another partner than the settings say.
    OtherPartner,
    /// The partner has no customers.
    NoCustomers,
    /// No relationship lets the partner into its customers' tenants.
    GdapMissing,
    /// Nobody gave a role in the customers' Azure subscriptions.
    AzureRoleMissing,
    /// The application may not read the customers' users.
    UsersUnreadable,
    /// Graph refuses `$filter`.
    FilterRefused,
    /// Graph does not heed `$filter`.
    FilterIgnored,
    /// Graph has the alerts in no other version than `v1.0`.
    BetaGone,
    /// Every clock here is ten minutes ahead.
    ClockAhead,
}

/// How far ahead [`Trouble::ClockAhead`] is.
pub(crate) const AHEAD_SECONDS: i64 = 600;
