//! What the actions on alerts at their source have in common: which alert is meant, and what is told of one.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, Failure};

/// Where work on an alert stands, as steps that look for alerts write it.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    Active,
    Investigating,
    Resolved,
}

impl Standing {
    /// Graph's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Investigating => "investigating",
            Self::Resolved => "resolved",
        }
    }
}

/// The alert that a step names, else that of the run.
pub(super) fn id<'a>(named: Option<&'a str>, ctx: &Context<'a>) -> Result<&'a str, Failure> {
    let id = named.or_else(|| ctx.alert.map(|alert| alert.id.as_str()));
    id.ok_or_else(|| Failure::rejected("this run was not begun by an alert; give `alert_id`"))
}

/// What an alert says now, under the names that alerts have in playbooks.
pub(super) fn told(alert: &Value) -> Value {
    let of = |name: &str| alert.get(name).cloned().unwrap_or_default();
    let resources = alert.get("affectedResources").and_then(Value::as_array);
    let resources: Vec<_> = resources.into_iter().flatten().filter_map(|it| it.get("resourceId").cloned()).collect();
    json!({
        "alert_id": of("id"),
        "title": of("displayName"),
        "alert_type": of("alertType"),
        "status": of("status"),
        "severity": of("severity"),
        "confidence": of("confidenceLevel"),
        "customer_tenant_id": of("customerTenantId"),
        "subscription_id": of("subscriptionId"),
        "reseller_tenant_id": of("valueAddedResellerTenantId"),
        "detected_at": of("detectedDateTime"),
        "first_observed_at": of("firstObservedDateTime"),
        "last_observed_at": of("lastObservedDateTime"),
        "resolved_reason": of("resolvedReason"),
        "resolved_by": of("resolvedBy"),
        "resolved_at": of("resolvedOnDateTime"),
        "is_test": of("isTest"),
        "resource_ids": resources,
        "details": of("additionalDetails"),
        "activity": of("activityLogs"),
    })
}

/// Whether a property of an alert is that word, in any case.
pub(super) fn says(alert: &Value, name: &str, word: &str) -> bool {
    text(alert, name).eq_ignore_ascii_case(word)
}

/// A property of an alert that is a text; empty where it is none.
pub(super) fn text<'a>(alert: &'a Value, name: &str) -> &'a str {
    alert.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// When the source saw it, if it says so.
pub(super) fn detected(alert: &Value) -> Option<Timestamp> {
    text(alert, "detectedDateTime").parse().ok()
}

/// Whether the source marks it as a test, for which the documents have `true` and `"true"`.
pub(super) fn is_test(alert: &Value) -> bool {
    says(alert, "isTest", "true") || alert.get("isTest") == Some(&Value::Bool(true))
}
