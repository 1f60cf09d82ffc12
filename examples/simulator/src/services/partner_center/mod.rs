//! Partner Center's REST interface: authority, idempotency and headers here, one file per kind of resource.
//!
//! - `customers`: customers, their budget, usage and relationships; the partner's own profile.
//! - `subscriptions`: Azure plans, which can be suspended; `entitlements`: Azure subscriptions, which can be cancelled.
//! - `audit`: the activity log; `fraud_events`: the older view of alerts; `webhooks`: registration and test events.

mod audit;
mod customers;
mod entitlements;
mod fraud_events;
mod subscriptions;
mod webhooks;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(crate) use entitlements::reactivate as reactivate_entitlement;
pub(crate) use subscriptions::set_status as set_plan_status;
pub(crate) use webhooks::{Attempt, Webhooks};

use crate::{
    answer::Answer,
    call::Call,
    options::TENANT_ID,
    services::{
        login::{Actor, Audience},
        sinks::fresh_id,
    },
    state::{SavedAnswer, State},
    trouble::Trouble,
};

pub(crate) fn answer(state: &mut State, call: &Call) -> Answer {
    let header = |name: &str| call.header(name).map_or_else(|| fresh_id().to_string(), str::to_owned);
    let request_id = header("ms-requestid");
    let answer = match authorize(state, call) {
        Err(refused) => refused,
        Ok(()) => answer_once(state, call),
    };
    let answer = answer
        .header("MS-RequestId", &request_id)
        .header("MS-CorrelationId", &header("ms-correlationid"))
        .header("MS-CV", "c2ltdWxhdG9y.0")
        .header("MS-ServerId", "simulator");
    if call.header("validatemfa").is_some() {
        return answer.header("isMfaCompliant", &state.site.options.mfa.to_string());
    }
    answer
}

/// An error in the documented shape.
pub(crate) fn error(status: u16, code: &str, description: &str) -> Answer {
    let body = json!({ "code": code, "description": description, "data": [], "source": "PartnerCenter" });
    Answer::json(status, &body)
}

/// A throttle's answer has a shape of its own.
pub(crate) fn too_many(seconds: &str) -> Answer {
    let message = format!("Rate limit is exceeded. Try again in {seconds} seconds.");
    Answer::json(429, &json!({ "statusCode": 429, "message": message }))
}

/// The usual envelope of several things.
pub(crate) fn collection(items: &[Value]) -> Value {
    json!({ "totalCount": items.len(), "items": items, "attributes": { "objectType": "Collection" } })
}

fn link(uri: &str) -> Value {
    json!({ "uri": uri, "method": "GET", "headers": [] })
}

fn authorize(state: &State, call: &Call) -> Result<(), Answer> {
    let unauthorized = |code: &str, text: &str| error(401, code, text).header("WWW-Authenticate", "Bearer error=\"invalid_token\"");
    let Some(text) = call.bearer() else {
        return Err(unauthorized("800001", "The partner token is missing."));
    };
    let Some(token) = state.tokens.find(text, call.now) else {
        return Err(unauthorized("400", "Access denied: the token is not valid or has expired."));
    };
    if token.audience != Audience::PartnerCenter {
        return Err(unauthorized("900420", "The audience of the token is not accepted."));
    }
    if token.tenant != TENANT_ID {
        return Err(error(403, "900308", "The tenant of the token has insufficient privileges."));
    }
    if token.actor == Actor::User && (!state.site.options.mfa || state.has(Trouble::MfaMissing)) {
        return Err(unauthorized("400", "Unauthorized - MFA required"));
    }
    if state.has(Trouble::AdminAgentMissing) && !is_for_everybody(&call.rest()) {
        return Err(error(403, "900308", "Insufficient privileges to complete the operation."));
    }
    if token.actor == Actor::App && needs_person(&call.rest()) {
        return Err(error(403, "900329", "The resource does not support app-only authentication."));
    }
    Ok(())
}

/// Whether every employee of the partner may read it.
fn is_for_everybody(path: &[&str]) -> bool {
    matches!(path, ["v1", "profiles", "organization"])
}

/// Whether the documentation lists the resource as App+User only.
fn needs_person(path: &[&str]) -> bool {
    let last = path.last().copied().unwrap_or_default();
    let personal = ["organization", "relationships", "usagesummary", "usagerecords"];
    personal.contains(&last) || path.get(1) == Some(&"fraudEvents")
}

/// A write whose request id was seen before gets the answer of the first time, and has no effect.
fn answer_once(state: &mut State, call: &Call) -> Answer {
    let request_id = call.header("ms-requestid").filter(|_| call.method != "GET");
    let Some(request_id) = request_id else {
        return route(state, call);
    };
    let key = (request_id.to_owned(), call.method.clone(), call.target.clone());
    if let Some(saved) = state.saved.get(&key).filter(|saved| is_remembered(state, saved, call.now)) {
        let mut answer = saved.answer.clone();
        answer.effect = answer.effect.map(|effect| effect.repeated(true));
        return answer;
    }
    let answer = route(state, call);
    // A refusal changed nothing, so asking again is not a repetition.
    if answer.is_success() {
        let mut remembered = answer.clone();
        remembered.callback = None;
        let saved = SavedAnswer { at: call.now, answer: remembered };
        state.saved.insert(key, saved);
    }
    answer
}

fn is_remembered(state: &State, saved: &SavedAnswer, now: Timestamp) -> bool {
    let Some(memory) = state.site.options.request_id_memory else {
        return true;
    };
    let memory = SignedDuration::try_from(memory).unwrap_or(SignedDuration::MAX);
    now.duration_since(saved.at) < memory
}

fn route(state: &mut State, call: &Call) -> Answer {
    let rest = call.rest();
    let method = call.method.as_str();
    match (method, rest.as_slice()) {
        ("GET", ["v1", "profiles", "organization"]) => customers::organization(state),
        ("GET", ["v1", "auditrecords"]) => audit::list(state, call),
        ("GET", ["v1", "fraudEvents"]) => fraud_events::list(state, call),
        ("POST", ["v1", "fraudEvents", "subscription", id, "status"]) => fraud_events::update(state, call, id),
        (_, ["webhooks", "v1", "registration", rest @ ..]) => webhooks::answer(state, call, rest),
        ("GET", ["v1", "customers"]) => customers::list(state, call),
        ("GET", ["v1", "customers", "usagerecords"]) => customers::usage_records(state),
        (_, ["v1", "customers", customer, rest @ ..]) => {
            if let Err(refused) = check_customer(state, customer) {
                return refused;
            }
            of_customer(state, call, customer, rest)
        }
        _ => error(404, "404", "The resource was not found."),
    }
}

fn of_customer(state: &mut State, call: &Call, customer: &str, rest: &[&str]) -> Answer {
    match (call.method.as_str(), rest) {
        ("GET", []) => customers::get(state, customer),
        ("GET", ["relationships"]) => customers::relationships(),
        ("GET", ["usagebudget"]) => customers::budget(state, customer),
        ("PATCH", ["usagebudget"]) => customers::set_budget(state, call, customer),
        ("GET", ["usagesummary"]) => customers::usage_summary(state, customer),
        ("GET", ["subscriptions"]) => subscriptions::list(state, customer),
        ("GET", ["subscriptions", "usagerecords"]) => subscriptions::usage_records(state, customer),
        ("GET", ["subscriptions", plan]) => subscriptions::get(state, customer, plan),
        ("PATCH", ["subscriptions", plan]) => subscriptions::update(state, call, customer, plan),
        (_, ["subscriptions", plan, "azureEntitlements", rest @ ..]) => entitlements::answer(state, call, [customer, plan], rest),
        ("GET" | "PATCH", _) => error(404, "404", "The resource was not found."),
        _ => error(405, "405", "The method is not allowed."),
    }
}

fn check_customer(state: &mut State, customer: &str) -> Result<(), Answer> {
    if uuid::Uuid::parse_str(customer).is_err() {
        return Err(error(400, "900118", "The customer id is not valid."));
    }
    match state.customer_mut(customer) {
        Some(_) => Ok(()),
        None => Err(error(404, "60003", "The customer tenant was not found.")),
    }
}

fn no_subscription() -> Answer {
    error(404, "20003", "The subscription was not found.")
}
