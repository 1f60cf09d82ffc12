//! The alerts themselves: made from a seed, read, and changed in the two ways that Graph permits.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Callback},
    call::Call,
    ledger::Effect,
    options::USER,
    seed::{AlertSeed, Notify},
    services::{graph, sinks::fresh_id},
    signing::Event,
    state::{Activity, State},
};

const STATUSES: &[&str] = &["active", "investigating", "resolved"];
const REASONS: &[&str] = &["legitimate", "ignore", "fraud"];

/// Adds the alert and writes the activity log; returns its id and the callback that announces it, if one is wanted.
pub(crate) fn add(state: &mut State, seed: AlertSeed, now: Timestamp) -> (String, Option<Callback>) {
    let (tenant, subscription) = place(state, &seed);
    let id = seed.id.clone().unwrap_or_else(|| fresh_id().to_string());
    let is_announced = match seed.notify {
        Notify::AsConfigured => state.site.options.notify,
        Notify::Yes => true,
        Notify::No => false,
    };
    let alert = alert(&id, seed, (&tenant, &subscription), now);
    state.alerts.push(&id, alert);
    let activity = Activity {
        operation: "azure_fraud_event_detected",
        resource_type: "azure_fraud_event",
        customer_id: &tenant,
        resource_id: &subscription,
        old: "",
        new: &json!({ "subscriptionId": subscription, "eventId": id }).to_string(),
    };
    let record = state.log_activity(activity, now);
    let base = "https://api.partnercenter.microsoft.com/auditactivity/v1/auditrecords";
    let callback = is_announced.then(|| Callback {
        event: Event { audit_uri: Some(format!("{base}/{record}")), ..Event::fraud(&subscription) },
        validation: None,
    });
    (id, callback)
}

pub(crate) fn get(state: &State, call: &Call, id: &str) -> Answer {
    match state.alerts.get(id) {
        Some(alert) => {
            let select = call.parameter("$select").unwrap_or_default();
            Answer::json(200, &graph::selected(alert, select))
        }
        None => not_found(call),
    }
}

pub(crate) fn update(state: &mut State, call: &Call, id: &str) -> Answer {
    let Some(alert) = state.alerts.get_mut(id) else {
        return not_found(call);
    };
    let change = match Change::read(call) {
        Ok(change) => change,
        Err(text) => return graph::error(call, 400, "BadRequest", &text),
    };
    let is_changed = change.apply(alert, call.now);
    let effect = Effect::new("alert.updated", id).repeated(!is_changed);
    Answer::json(200, &Value::Object(alert.clone())).effect(effect)
}

/// Somebody else changes the status, for instance in the portal.
pub(crate) fn set_status(state: &mut State, id: &str, change: &Change, now: Timestamp) -> bool {
    state.alerts.get_mut(id).is_some_and(|alert| change.apply(alert, now))
}

/// The status that an alert is to have.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
}

impl Change {
    fn read(call: &Call) -> Result<Self, String> {
        let body = call.json();
        let Some(fields) = body.as_ref().and_then(Value::as_object) else {
            return Err("The request body is not a JSON object.".to_owned());
        };
        let mut change = Self { status: String::new(), reason: None };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("status", Value::String(status)) if STATUSES.contains(&status.as_str()) => {
                    change.status.clone_from(status);
                }
                ("@odata.type", _) | ("resolvedReason", Value::Null) => {}
                ("resolvedReason", Value::String(reason)) if REASONS.contains(&reason.as_str()) => {
                    change.reason = Some(reason.clone());
                }
                ("status" | "resolvedReason", _) => {
                    return Err(format!("Invalid value for property '{name}'."));
                }
                _ => return Err(format!("The property '{name}' cannot be updated.")),
            }
        }
        if change.status.is_empty() {
            return Err("The property 'status' is required.".to_owned());
        }
        Ok(change)
    }

    /// Whether anything differs afterwards.
    fn apply(&self, alert: &mut Map<String, Value>, now: Timestamp) -> bool {
        let old = alert.get("status").cloned().unwrap_or_default();
        let old_reason = alert.get("resolvedReason").cloned().unwrap_or_default();
        let is_resolved = self.status == "resolved";
        let reason = self.reason.clone().filter(|_| is_resolved);
        let is_same_reason = !is_resolved || reason.is_none() || json!(reason) == old_reason;
        if old == self.status.as_str() && is_same_reason {
            return false;
        }
        let entry = json!({
            "statusFrom": old,
            "statusTo": self.status,
            "updatedBy": USER,
            "updatedDateTime": now.to_string(),
        });
        if let Some(Value::Array(log)) = alert.get_mut("activityLogs") {
            log.push(entry);
        }
        let resolved_on = is_resolved.then(|| now.to_string());
        let resolved_by = is_resolved.then_some(USER);
        alert.insert("status".to_owned(), self.status.as_str().into());
        alert.insert("resolvedReason".to_owned(), reason.into());
        alert.insert("resolvedOnDateTime".to_owned(), resolved_on.into());
        alert.insert("resolvedBy".to_owned(), resolved_by.into());
        true
    }
}

fn not_found(call: &Call) -> Answer {
    graph::error(call, 404, "ResourceNotFound", "The alert does not exist.")
}

/// The tenant and the Azure subscription that a seed means.
fn place(state: &State, seed: &AlertSeed) -> (String, String) {
    let count = state.customers.len().max(1);
    let customer = state.customers.get(seed.customer % count);
    let entitlements = customer.map(|it| it.plan.entitlements.as_slice()).unwrap_or_default();
    let entitlement = entitlements.get(seed.entitlement % entitlements.len().max(1));
    let tenant = seed.tenant_id.clone().or_else(|| customer.map(|it| it.tenant_id.clone()));
    let subscription = seed.subscription_id.clone().or_else(|| entitlement.map(|it| it.id.clone()));
    (tenant.unwrap_or_default(), subscription.unwrap_or_default())
}

fn alert(id: &str, seed: AlertSeed, (tenant, subscription): (&str, &str), now: Timestamp) -> Map<String, Value> {
    let detected = seed.detected.unwrap_or(now).to_string();
    let machine = format!("/subscriptions/{subscription}/resourceGroups/rg-batch/providers/Microsoft.Compute/virtualMachines/vm-07");
    let resources = seed.affected_resources.unwrap_or_else(|| vec![machine]);
    let resources: Vec<_> = resources.iter().map(|id| json!({ "resourceId": id, "resourceType": "AzureResource" })).collect();
    let value = json!({
        "id": id,
        "displayName": seed.display_name,
        "description": seed.description,
        "alertType": seed.alert_type,
        "status": seed.status,
        "severity": seed.severity,
        "confidenceLevel": seed.confidence,
        "customerTenantId": tenant,
        "subscriptionId": subscription,
        "valueAddedResellerTenantId": null,
        "catalogOfferId": "MS-AZR-0017G",
        "detectedDateTime": detected,
        "firstObservedDateTime": detected,
        "lastObservedDateTime": detected,
        "resolvedReason": null,
        "resolvedOnDateTime": null,
        "resolvedBy": null,
        "isTest": seed.is_test,
        "affectedResources": resources,
        "activityLogs": [],
        "additionalDetails": seed.additional_details,
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
