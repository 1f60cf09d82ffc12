//! Azure plans: read, suspended and made active again, under the guard of an etag.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{collection, error, link, no_subscription};
use crate::{
    answer::Answer,
    call::Call,
    ledger::Effect,
    state::{Activity, State},
    world::{Plan, PlanStatus},
};

const OFFER: &str = "DZH318Z0BPS6:0001:DZH318Z0BML6";
/// A body without these is not the whole subscription that an update must send.
const REQUIRED: &[&str] = &["id", "offerId", "friendlyName", "quantity", "unitType", "billingType", "orderId"];

pub(super) fn list(state: &mut State, customer: &str) -> Answer {
    let plan = state.customer_mut(customer).map(|it| json(customer, &it.plan));
    let items: Vec<_> = plan.into_iter().collect();
    Answer::json(200, &collection(&items))
}

pub(super) fn get(state: &mut State, customer: &str, plan: &str) -> Answer {
    match state.plan_mut(customer, plan) {
        Some(plan) => Answer::json(200, &json(customer, plan)),
        None => no_subscription(),
    }
}

pub(super) fn usage_records(state: &mut State, customer: &str) -> Answer {
    let records = state.customer_mut(customer).map(|it| {
        json!({
            "id": it.plan.id,
            "name": "Azure plan",
            "offerId": OFFER,
            "status": it.plan.status.name(),
            "partnerOnRecord": "1234567",
            "totalCost": 1562.0,
            "currencyCode": "EUR",
            "usdTotalCost": 1718.2,
            "attributes": { "objectType": "SubscriptionMonthlyUsageRecord" },
        })
    });
    let items: Vec<_> = records.into_iter().collect();
    Answer::json(200, &collection(&items))
}

pub(super) fn update(state: &mut State, call: &Call, customer: &str, plan_id: &str) -> Answer {
    let enforces_etag = state.site.options.enforce_etag;
    let Some(plan) = state.plan_mut(customer, plan_id) else {
        return no_subscription();
    };
    let fields = call.object().unwrap_or_default();
    let wanted = match check(call, &fields, plan, enforces_etag) {
        Ok(wanted) => wanted,
        Err(refused) => return refused,
    };
    // An update that leaves the field out clears it without a word: documented, and a trap.
    let renews = fields.get("autoRenewEnabled").and_then(Value::as_bool).unwrap_or(false);
    if plan.auto_renew_enabled != renews {
        plan.auto_renew_enabled = renews;
        plan.version += 1;
    }
    let plan_id = plan.id.clone();
    let is_new = set_status(state, customer, wanted, call.now);
    let kind = match wanted {
        PlanStatus::Active => "subscription.reactivated",
        PlanStatus::Suspended => "subscription.suspended",
    };
    let effect = Effect::new(kind, &plan_id).repeated(!is_new);
    get(state, customer, &plan_id).effect(effect)
}

/// Gives the customer's plan a status, with a new etag and a line in the activity log; whether it had another before.
pub(crate) fn set_status(state: &mut State, customer: &str, wanted: PlanStatus, now: Timestamp) -> bool {
    let Some(found) = state.customer_mut(customer) else {
        return false;
    };
    let plan = &mut found.plan;
    let (old, plan_id) = (plan.status, plan.id.clone());
    if old == wanted {
        return false;
    }
    plan.status = wanted;
    plan.version += 1;
    let activity = Activity {
        operation: "update_subscription",
        resource_type: "subscription",
        customer_id: customer,
        resource_id: &plan_id,
        old: old.name(),
        new: wanted.name(),
    };
    state.log_activity(activity, now);
    true
}

fn check(call: &Call, fields: &Map<String, Value>, plan: &Plan, enforces_etag: bool) -> Result<PlanStatus, Answer> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let missing: Vec<_> = REQUIRED.iter().filter(|name| !fields.contains_key(**name)).copied().collect();
    if !missing.is_empty() {
        let text = format!("The subscription is incomplete; missing: {}.", missing.join(", "));
        return Err(error(400, "800002", &text));
    }
    if !text("id").eq_ignore_ascii_case(&plan.id) {
        return Err(error(400, "800002", "The id of the body is not that of the path."));
    }
    let wanted = match text("status").to_ascii_lowercase().as_str() {
        "active" => PlanStatus::Active,
        "suspended" => PlanStatus::Suspended,
        _ => {
            return Err(error(400, "800096", "The status cannot be updated to this value."));
        }
    };
    let precondition = call.header("if-match").map(|it| it.trim_matches('"'));
    match precondition {
        _ if !enforces_etag => {}
        // The documented reactivation sends none.
        None if wanted == PlanStatus::Active => {}
        None => return Err(error(400, "800002", "The If-Match header is missing.")),
        Some(sent) if sent == etag(plan) => {}
        Some(_) => return Err(error(400, "2055", "Etag is no longer valid")),
    }
    if wanted == PlanStatus::Suspended && plan.has_active_entitlement() {
        let text = "The Azure plan cannot be suspended while Azure subscriptions under it are active.";
        return Err(error(403, "900115", text));
    }
    Ok(wanted)
}

fn etag(plan: &Plan) -> String {
    STANDARD.encode(json!({ "id": plan.id, "version": plan.version }).to_string())
}

fn json(customer: &str, plan: &Plan) -> Value {
    let reasons: &[&str] = match plan.status {
        PlanStatus::Active => &[],
        PlanStatus::Suspended => &["Partner"],
    };
    json!({
        "id": plan.id,
        "offerId": OFFER,
        "entitlementId": null,
        "offerName": "Azure plan",
        "friendlyName": "Azure plan",
        "quantity": 1,
        "unitType": "Usage-based",
        "hasPurchasableAddons": false,
        "creationDate": "2025-01-15T09:30:00Z",
        "effectiveStartDate": "2025-01-15T00:00:00Z",
        "commitmentEndDate": "2099-01-14T00:00:00Z",
        "status": plan.status.name(),
        "autoRenewEnabled": plan.auto_renew_enabled,
        "isTrial": false,
        "isMicrosoftProduct": true,
        "publisherName": "Microsoft Corporation",
        "billingType": "usage",
        "billingCycle": "monthly",
        "termDuration": "P1M",
        "suspensionReasons": reasons,
        "contractType": "subscription",
        "productType": { "id": "Azure", "displayName": "Azure" },
        "orderId": format!("order-{}", plan.id.split('-').next().unwrap_or_default()),
        "links": { "self": link(&format!("/customers/{customer}/subscriptions/{}", plan.id)) },
        "attributes": { "etag": etag(plan), "objectType": "Subscription" },
    })
}
