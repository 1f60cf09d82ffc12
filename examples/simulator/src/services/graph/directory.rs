//! The users of a customer, with a token for its tenant: read, disabled, signed out, and said to be compromised.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    call::Call,
    cloud::User,
    ledger::Effect,
    options::TENANT_ID,
    services::{graph::error, login::Audience},
    state::State,
    trouble::Trouble,
};

/// Whether the path is about users, who are in the customers' tenants.
pub(super) fn is_meant(path: &[&str]) -> bool {
    matches!(path, [_, "users" | "identityProtection", ..])
}

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    let token = call.bearer().and_then(|text| state.tokens.find(text, call.now));
    let Some(token) = token.filter(|it| it.audience == Audience::Graph) else {
        return error(call, 401, "InvalidAuthenticationToken", "Access token is empty, expired or for another audience.");
    };
    let tenant = token.tenant.clone();
    if tenant == TENANT_ID {
        return error(call, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.");
    }
    if state.has(Trouble::UsersUnreadable) {
        return error(call, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.");
    }
    let Some(cloud) = state.cloud_mut(&tenant, call.now) else {
        return error(call, 404, "Request_ResourceNotFound", "The tenant does not exist.");
    };
    let missing = || error(call, 404, "Request_ResourceNotFound", "The resource does not exist or is not known.");
    match (call.method.as_str(), call.rest().as_slice()) {
        ("GET", [_, "users"]) => {
            let all: Vec<_> = cloud.users.iter().take(1).map(shown).collect();
            Answer::json(200, &json!({ "value": all }))
        }
        ("GET", [_, "users", name]) => cloud.user_mut(name).map_or_else(missing, |it| Answer::json(200, &shown(it))),
        ("PATCH", [_, "users", name]) => cloud.user_mut(name).map_or_else(missing, |it| update(it, call)),
        ("POST", [_, "users", name, "revokeSignInSessions"]) => cloud.user_mut(name).map_or_else(missing, |it| revoke(it, call.now)),
        ("GET", [_, "identityProtection", "riskyUsers", id]) => {
            let risky = cloud.user_mut(id).and_then(|it| it.risk_state.clone());
            risky.map_or_else(missing, |state| Answer::json(200, &json!({ "id": id, "riskState": state, "riskLevel": "high" })))
        }
        ("POST", [_, "identityProtection", "riskyUsers", "confirmCompromised"]) => {
            let body = call.object().unwrap_or_default();
            let id = body.get("userIds").and_then(|it| it.get(0)).and_then(Value::as_str).unwrap_or_default();
            cloud.user_mut(id).map_or_else(missing, confirm)
        }
        _ => error(call, 405, "Request_BadRequest", "Specified HTTP method is not allowed."),
    }
}

fn update(user: &mut User, call: &Call) -> Answer {
    let Some(Value::Bool(enabled)) = call.object().unwrap_or_default().get("accountEnabled").cloned() else {
        return error(call, 400, "Request_BadRequest", "Invalid property.");
    };
    let kind = if enabled { "user.enabled" } else { "user.disabled" };
    let effect = Effect::new(kind, &user.id).repeated(user.enabled == enabled);
    user.enabled = enabled;
    Answer::empty(204).effect(effect)
}

fn revoke(user: &mut User, now: Timestamp) -> Answer {
    user.sessions_valid_from = now;
    let body = json!({ "@odata.context": "$metadata#Edm.Boolean", "value": true });
    Answer::json(200, &body).effect(Effect::new("sessions.revoked", &user.id))
}

fn confirm(user: &mut User) -> Answer {
    let is_known = user.risk_state.as_deref() == Some("confirmedCompromised");
    user.risk_state = Some("confirmedCompromised".to_owned());
    Answer::empty(204).effect(Effect::new("user.confirmed_compromised", &user.id).repeated(is_known))
}

fn shown(user: &User) -> Value {
    json!({
        "id": user.id,
        "displayName": user.name,
        "userPrincipalName": user.user_principal_name,
        "accountEnabled": user.enabled,
        "signInSessionsValidFromDateTime": user.sessions_valid_from.to_string(),
    })
}
