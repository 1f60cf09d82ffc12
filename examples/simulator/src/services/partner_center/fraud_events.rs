//! The older view of the same alerts: other names, other spellings, no envelope.

use serde_json::{Map, Value, json};

use super::error;
use crate::{
    answer::Answer,
    call::Call,
    ledger::Effect,
    options::TENANT_ID,
    services::graph::alerts::{Change, set_status},
    state::State,
};

/// What only the newer model has.
const NEW_FIELDS: &[&str] = &[
    "eventType",
    "severity",
    "confidenceLevel",
    "displayName",
    "description",
    "affectedResources",
    "additionalDetails",
    "isTest",
    "activityLogs",
];

pub(super) fn list(state: &State, call: &Call) -> Answer {
    let is_new = call.header("x-neweventsmodel").is_some_and(|it| it.eq_ignore_ascii_case("true"));
    let wanted = |parameter: &str, alert: &Map<String, Value>, field: &str| {
        let value = call.parameter(parameter).filter(|it| !it.is_empty());
        value.is_none_or(|value| text(alert, field).eq_ignore_ascii_case(value))
    };
    let found = state.alerts.all().iter().filter(|alert| {
        wanted("EventStatus", alert, "status")
            && wanted("SubscriptionId", alert, "subscriptionId")
            && (!is_new || wanted("EventType", alert, "alertType"))
    });
    let number = |name: &str| call.parameter(name).and_then(|it| it.parse::<usize>().ok()).filter(|_| is_new).unwrap_or(0);
    let (size, page) = (number("PageSize"), number("PageNumber"));
    // Both must be above zero, or paging is off.
    let (skip, take) = if size > 0 && page > 0 { ((page - 1) * size, size) } else { (0, usize::MAX) };
    let events: Vec<_> = found.skip(skip).take(take).map(|alert| in_model(json(alert), is_new)).collect();
    Answer::json(200, &Value::Array(events))
}

/// Without event ids, every event of the subscription is meant: dangerous, and as documented.
pub(super) fn update(state: &mut State, call: &Call, subscription: &str) -> Answer {
    let body = call.object().unwrap_or_default();
    let status = text(&body, "eventStatus").to_ascii_lowercase();
    if !["active", "investigating", "resolved"].contains(&status.as_str()) {
        return error(400, "800002", "The event status is not valid.");
    }
    let reason = text(&body, "resolvedReason").to_ascii_lowercase();
    if status == "resolved" && !["fraud", "ignore"].contains(&reason.as_str()) {
        return error(400, "800002", "The resolved reason is not valid.");
    }
    let listed = body.get("eventIds").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_meant = |alert: &Map<String, Value>| {
        let is_here = text(alert, "subscriptionId").eq_ignore_ascii_case(subscription);
        is_here && (listed.is_empty() || listed.contains(&json!(event_id(alert))))
    };
    let meant: Vec<_> = state.alerts.all().iter().filter(|it| is_meant(it)).collect();
    let ids: Vec<_> = meant.iter().map(|alert| text(alert, "id").to_owned()).collect();
    let reason = Some(reason).filter(|_| status == "resolved");
    let change = Change { status, reason };
    let mut is_changed = false;
    for id in &ids {
        is_changed |= set_status(state, id, &change, call.now);
    }
    let updated: Vec<_> = state.alerts.all().iter().filter(|it| is_meant(it)).map(json).collect();
    let effect = Effect::new("alert.updated", &ids.join(",")).repeated(!is_changed);
    Answer::json(200, &Value::Array(updated)).effect(effect)
}

fn in_model(mut event: Value, is_new: bool) -> Value {
    if let Some(fields) = event.as_object_mut().filter(|_| !is_new) {
        fields.retain(|name, _| !NEW_FIELDS.contains(&name.as_str()));
    }
    event
}

fn event_id(alert: &Map<String, Value>) -> String {
    format!("{}_{}", text(alert, "subscriptionId"), text(alert, "id"))
}

fn json(alert: &Map<String, Value>) -> Value {
    let resolved = alert.get("resolvedReason").and_then(Value::as_str);
    let log = alert.get("activityLogs").cloned().unwrap_or_default();
    json!({
        // Times without a zone, a date far away for "not yet", lists inside texts: all as in Microsoft's samples.
        "eventTime": text(alert, "detectedDateTime").trim_end_matches('Z'),
        "eventId": event_id(alert),
        "partnerTenantId": TENANT_ID,
        "partnerFriendlyName": "Example Partner",
        "customerTenantId": text(alert, "customerTenantId"),
        "subscriptionId": text(alert, "subscriptionId"),
        "subscriptionType": "modern",
        "entityId": text(alert, "id"),
        "hitCount": "1",
        "catalogOfferId": "ms-azr-17g",
        "eventStatus": capitalized(text(alert, "status")),
        "serviceName": "Virtual Machines",
        "firstOccurrence": text(alert, "firstObservedDateTime").trim_end_matches('Z'),
        "lastOccurrence": text(alert, "lastObservedDateTime").trim_end_matches('Z'),
        "resolvedReason": resolved.map_or_else(|| "None".to_owned(), capitalized),
        "resolvedOn": alert.get("resolvedOnDateTime").and_then(Value::as_str)
            .map_or("9999-12-31T23:59:59.9970000", |it| it.trim_end_matches('Z')),
        "resolvedBy": text(alert, "resolvedBy"),
        "eventType": text(alert, "alertType"),
        "severity": capitalized(text(alert, "severity")),
        "confidenceLevel": text(alert, "confidenceLevel"),
        "displayName": text(alert, "displayName"),
        "description": text(alert, "description"),
        "affectedResources": [],
        "additionalDetails": alert.get("additionalDetails"),
        "isTest": alert.get("isTest").and_then(Value::as_bool).unwrap_or(false).to_string(),
        "activityLogs": log.to_string(),
    })
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter();
    first.chain(letters).collect()
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}
