//! Azure subscriptions: read, cancelled for `compromise`, and made active again.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{collection, error, link, no_subscription};
use crate::{
    answer::Answer,
    call::Call,
    ledger::Effect,
    state::{Activity, State},
    world::{Entitlement, EntitlementStatus, PlanStatus},
};

pub(super) fn answer(state: &mut State, call: &Call, [customer, plan]: [&str; 2], rest: &[&str]) -> Answer {
    let Some(found) = state.plan_mut(customer, plan) else {
        return no_subscription();
    };
    let plan_status = found.status;
    let base = format!("/customers/{customer}/subscriptions/{}/azureEntitlements", found.id);
    let owner = Owner { customer, plan: &found.id.clone(), base: &base };
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            let items: Vec<_> = found.entitlements.iter().map(|it| owner.json(it)).collect();
            Answer::json(200, &collection(&items))
        }
        (method, [id, action @ ..]) => {
            let Some(entitlement) = found.entitlement_mut(id) else {
                return error(404, "800111", "The Azure entitlement was not found.");
            };
            let shown = owner.json(entitlement);
            match (method, action) {
                ("GET", []) => Answer::json(200, &shown),
                ("POST", ["cancel"]) => cancel(state, call, &owner, &shown),
                ("POST", ["reactivate"]) if can_reactivate(plan_status, entitlement) => {
                    reactivate(state, call.now, customer, id);
                    Answer::json(202, &shown).effect(Effect::new("entitlement.reactivated", &text(&shown, "id")))
                }
                ("POST", ["reactivate"]) => error(400, "900337", "The entitlement cannot be reactivated."),
                _ => error(405, "405", "The method is not allowed."),
            }
        }
        _ => error(405, "405", "The method is not allowed."),
    }
}

/// Makes the Azure subscription active, whatever it was; whether it was not.
pub(crate) fn reactivate(state: &mut State, now: Timestamp, customer: &str, id: &str) -> bool {
    let found = state.customer_mut(customer).and_then(|it| it.plan.entitlement_mut(id));
    let Some(entitlement) = found else {
        return false;
    };
    let was_active = entitlement.status == EntitlementStatus::Active && entitlement.cancels_at.is_none();
    entitlement.status = EntitlementStatus::Active;
    entitlement.cancels_at = None;
    log(state, "reactivate_azure_entitlement", (customer, id), now);
    !was_active
}

fn cancel(state: &mut State, call: &Call, owner: &Owner<'_>, shown: &Value) -> Answer {
    let body = call.object().unwrap_or_default();
    match body.get("cancellationReason").and_then(Value::as_str) {
        None => return error(400, "800002", "The cancellation reason is missing."),
        Some("compromise") => {}
        Some(_) => return error(400, "900307", "The cancellation reason is not valid."),
    }
    let delay = SignedDuration::try_from(state.site.options.cancel_delay).unwrap_or(SignedDuration::ZERO);
    let status = state.site.options.cancel_status;
    let id = text(shown, "id");
    let found = state.plan_mut(owner.customer, owner.plan).and_then(|plan| plan.entitlement_mut(&id));
    let Some(entitlement) = found else {
        return error(404, "800111", "The Azure entitlement was not found.");
    };
    if entitlement.status == EntitlementStatus::Inactive {
        return error(400, "800040", "The status cannot change from inactive to inactive.");
    }
    let is_pending = entitlement.cancels_at.is_some();
    if !is_pending {
        entitlement.cancels_at = Some(call.now + delay);
        log(state, "cancel_azure_entitlement", (owner.customer, &id), call.now);
    }
    // As documented, the answer still reads `active`.
    let effect = Effect::new("entitlement.cancelled", &id).repeated(is_pending);
    Answer::json(status, shown).effect(effect)
}

struct Owner<'a> {
    customer: &'a str,
    plan: &'a str,
    base: &'a str,
}

impl Owner<'_> {
    fn json(&self, entitlement: &Entitlement) -> Value {
        json!({
            "id": entitlement.id,
            "friendlyName": entitlement.name,
            "status": entitlement.status.name(),
            "subscriptionId": self.plan,
            "links": { "self": link(&format!("{}/{}", self.base, entitlement.id)) },
            "attributes": { "objectType": "AzureEntitlement" },
        })
    }
}

fn can_reactivate(plan: PlanStatus, entitlement: &Entitlement) -> bool {
    plan == PlanStatus::Active && entitlement.status == EntitlementStatus::Inactive
}

fn log(state: &mut State, operation: &str, (customer, id): (&str, &str), now: Timestamp) {
    let (old, new) = match operation {
        "cancel_azure_entitlement" => ("active", "inactive"),
        _ => ("inactive", "active"),
    };
    let activity = Activity { operation, resource_type: "azure_entitlement", customer_id: customer, resource_id: id, old, new };
    state.log_activity(activity, now);
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
