//! Azure's management interface, as far as an intruder is found and stopped with it: `compute` and `access`; the activity log is here.

mod access;
mod compute;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    call::Call,
    cloud::{AzureSubscription, Event},
    services::{login::Audience, sinks::fresh_id},
    state::State,
    trouble::Trouble,
};

/// Entries on a page; small, so that clients must follow the links.
const PAGE: usize = 2;

pub(crate) fn answer(state: &mut State, call: &Call) -> Answer {
    let id = fresh_id().to_string();
    route(state, call).unwrap_or_else(|refused| refused).header("x-ms-request-id", &id)
}

/// An error in the envelope of all of Azure.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "code": code, "message": message, "details": [] } }))
}

/// Where a request leads to.
struct Place<'a> {
    site: &'a str,
    subscription: &'a str,
    here: &'a mut AzureSubscription,
}

/// Both `Result` sides are answers; the error side is a refusal.
fn route(state: &mut State, call: &Call) -> Result<Answer, Answer> {
    let rest = call.rest();
    let rest: Vec<_> = rest.iter().map(|it| it.to_ascii_lowercase()).collect();
    let rest: Vec<_> = rest.iter().map(String::as_str).collect();
    if rest.as_slice() == ["subscriptions"] {
        return subscriptions(state, call);
    }
    let ["subscriptions", subscription, below @ ..] = rest.as_slice() else {
        return Err(error(404, "InvalidResourceType", "The resource type could not be found."));
    };
    authorize(state, call, subscription)?;
    if call.parameter("api-version").is_none_or(str::is_empty) {
        return Err(error(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required."));
    }
    let (delay, end, site) = (state.site.options.deallocate_delay, state.site.options.deallocate_end, state.site.url.clone());
    let Some(here) = state.azure_subscription_mut(subscription, call.now) else {
        return Err(error(404, "SubscriptionNotFound", "The subscription could not be found."));
    };
    let mut place = Place { site: &site, subscription, here };
    Ok(match (call.method.as_str(), below) {
        ("GET", ["providers", "microsoft.compute", "virtualmachines"]) => compute::machines(&place, call),
        ("GET", ["providers", "microsoft.compute", "disks"]) => compute::disks(&place, call),
        ("GET", ["providers", "microsoft.compute", "locations", "westeurope", "operations", id]) => {
            compute::operation(&place, id, call.now, end)
        }
        (_, ["resourcegroups", _, "providers", "microsoft.compute", "virtualmachines", name, what]) => {
            compute::machine(&mut place, call, (name, what), delay)
        }
        ("GET", ["providers", "microsoft.authorization", "roleassignments"]) => access::list(&place, call),
        (_, [.., "providers", "microsoft.authorization", "roleassignments", name]) => access::one(&mut place, call, name),
        ("GET", ["providers", "microsoft.insights", "eventtypes", "management", "values"]) => events(&place, call),
        _ => error(404, "InvalidResourceType", "The resource type could not be found."),
    })
}

/// The subscriptions of the token's tenant in which its owner has a role.
fn subscriptions(state: &State, call: &Call) -> Result<Answer, Answer> {
    authorize(state, call, "")?;
    let tenant = call.bearer().and_then(|text| state.tokens.find(text, call.now)).map(|token| token.tenant.clone()).unwrap_or_default();
    let owners = state.customers.iter().filter(|it| it.tenant_id.eq_ignore_ascii_case(&tenant) && !state.has(Trouble::AzureRoleMissing));
    let all = owners.flat_map(|it| &it.plan.entitlements);
    let all: Vec<_> = all.map(|it| json!({ "subscriptionId": it.id, "displayName": it.name, "state": "Enabled" })).collect();
    Ok(Answer::json(200, &json!({ "value": all })))
}

fn authorize(state: &State, call: &Call, subscription: &str) -> Result<(), Answer> {
    let unauthorized = |code: &str, message: &str| error(401, code, message).header("WWW-Authenticate", "Bearer error=\"invalid_token\"");
    let Some(text) = call.bearer() else {
        return Err(unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."));
    };
    let Some(token) = state.tokens.find(text, call.now) else {
        return Err(unauthorized("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time."));
    };
    if token.audience != Audience::Management {
        return Err(unauthorized("InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience."));
    }
    let owner = state.customers.iter().find(|it| it.plan.entitlements.iter().any(|it| it.id.eq_ignore_ascii_case(subscription)));
    if owner.is_some_and(|it| !it.tenant_id.eq_ignore_ascii_case(&token.tenant)) {
        return Err(unauthorized("InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer."));
    }
    if owner.is_some() && state.has(Trouble::AzureRoleMissing) {
        return Err(error(403, "AuthorizationFailed", "The client does not have authorization to perform the action over the scope."));
    }
    Ok(())
}

/// A list in pages; `$skipToken` is the number of entries that were given before.
fn list(place: &Place<'_>, call: &Call, all: &[Value]) -> Answer {
    let skipped: usize = call.parameter("$skipToken").and_then(|it| it.parse().ok()).unwrap_or_default();
    let page: Vec<_> = all.iter().skip(skipped).take(PAGE).collect();
    let mut body = json!({ "value": page });
    if let (true, Some(fields)) = (skipped + PAGE < all.len(), body.as_object_mut()) {
        let path = call.target.split('?').next().unwrap_or_default();
        let version = call.parameter("api-version").unwrap_or_default();
        let filter = call.parameter("$filter").unwrap_or_default().replace(' ', "%20").replace('\'', "%27").replace('+', "%2B");
        let link = format!("{}{path}?api-version={version}&$filter={filter}&$skipToken={}", place.site, skipped + PAGE);
        fields.insert("nextLink".to_owned(), link.into());
    }
    Answer::json(200, &body)
}

/// The filter must begin with both times.
fn events(place: &Place<'_>, call: &Call) -> Answer {
    let filter = call.parameter("$filter").unwrap_or_default();
    let time = |word: &str| -> Option<Timestamp> {
        let (_, after) = filter.split_once(&format!("eventTimestamp {word} '"))?;
        after.split_once('\'')?.0.parse().ok()
    };
    let (Some(from), Some(until)) = (time("ge"), time("le")) else {
        return error(400, "BadRequest", "The $filter must contain eventTimestamp ge and eventTimestamp le.");
    };
    let wanted = place.here.events.iter().filter(|it| it.at >= from && it.at <= until);
    let all: Vec<_> = wanted.map(event).collect();
    list(place, call, &all)
}

fn event(it: &Event) -> Value {
    json!({
        "eventTimestamp": it.at.to_string(),
        "caller": it.caller,
        "httpRequest": { "clientIpAddress": "203.0.113.66", "method": "PUT" },
        "operationName": { "value": it.operation, "localizedValue": it.operation },
        "status": { "value": "Succeeded", "localizedValue": "Succeeded" },
        "resourceId": it.resource_id,
        "correlationId": "0d6b8a0e-7a52-4a0e-8b33-21c7b0c2a001",
    })
}
