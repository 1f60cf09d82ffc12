//! Graph: the alerts of all the partner's customers. `filter` reads `$filter`; `alerts` holds and changes the alerts. `directory` is another
//! part of Graph: the users in a customer's tenant.

pub(crate) mod alerts;
mod directory;
mod filter;
pub(crate) mod shelf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{
    answer::Answer,
    call::Call,
    options::TENANT_ID,
    services::{graph::filter::Filter, login::Audience, sinks::fresh_id},
    state::State,
    trouble::Trouble,
};

/// Options of the collection that are understood; any other `$` option is refused rather than ignored.
const KNOWN_OPTIONS: &[&str] = &["$top", "$count", "$filter", "$select", "$skiptoken"];

pub(crate) fn answer(state: &mut State, call: &Call) -> Answer {
    let answer = route(state, call);
    if answer.is_success() {
        let id = fresh_id().to_string();
        let client = call.header("client-request-id").unwrap_or(&id);
        return answer.header("request-id", &id).header("client-request-id", client);
    }
    // An error has them already: they are in its body as well.
    answer
}

fn route(state: &mut State, call: &Call) -> Answer {
    if directory::is_meant(&call.rest()) {
        return directory::answer(state, call);
    }
    if let Err(refused) = authorize(state, call) {
        return refused;
    }
    let rest = call.rest();
    let [version @ ("beta" | "v1.0"), "security", "partner", "securityAlerts", id @ ..] = rest.as_slice() else {
        return error(call, 400, "BadRequest", "Resource not found for the segment.");
    };
    if *version == "beta" && state.has(Trouble::BetaGone) {
        return error(call, 400, "BadRequest", "Resource not found for the segment.");
    }
    match (call.method.as_str(), id) {
        ("GET", []) => list(state, call, version).unwrap_or_else(|refused| refused),
        ("GET", [id]) => alerts::get(state, call, id),
        ("PATCH", [id]) => alerts::update(state, call, id),
        _ => error(call, 405, "Request_BadRequest", "Specified HTTP method is not allowed."),
    }
}

/// An error in Graph's envelope.
pub(crate) fn error(call: &Call, status: u16, code: &str, message: &str) -> Answer {
    let id = fresh_id().to_string();
    let client = call.header("client-request-id").unwrap_or(&id);
    let inner = json!({
        "date": call.now.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
        "request-id": id,
        "client-request-id": client,
    });
    let body = json!({ "error": { "code": code, "message": message, "innerError": inner } });
    Answer::json(status, &body).header("request-id", &id).header("client-request-id", client)
}

pub(crate) fn code_of(status: u16) -> &'static str {
    match status {
        401 => "InvalidAuthenticationToken",
        403 => "Authorization_RequestDenied",
        404 => "ResourceNotFound",
        429 => "TooManyRequests",
        503 => "serviceNotAvailable",
        504 => "timeout",
        500.. => "generalException",
        _ => "BadRequest",
    }
}

fn authorize(state: &State, call: &Call) -> Result<(), Answer> {
    let unauthorized = |message: &str| {
        error(call, 401, "InvalidAuthenticationToken", message).header("WWW-Authenticate", "Bearer realm=\"\", error=\"invalid_token\"")
    };
    let Some(text) = call.bearer() else {
        return Err(unauthorized("Access token is empty."));
    };
    let Some(token) = state.tokens.find(text, call.now) else {
        return Err(unauthorized("Lifetime validation failed, the token is expired."));
    };
    if token.audience != Audience::Graph {
        return Err(unauthorized("Access token validation failure. Invalid audience."));
    }
    if token.tenant != TENANT_ID {
        let text = "Insufficient privileges to complete the operation.";
        return Err(error(call, 403, "Authorization_RequestDenied", text));
    }
    let is_change = call.method != "GET";
    if state.has(Trouble::AlertsUnreadable) || is_change && state.has(Trouble::AlertsUnchangeable) {
        return Err(error(call, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."));
    }
    Ok(())
}

/// What a list request asks for; a skip token carries all of it, so that the next link needs nothing else.
struct Page {
    offset: usize,
    size: usize,
    filter: String,
    select: String,
    has_count: bool,
}

fn list(state: &State, call: &Call, version: &str) -> Result<Answer, Answer> {
    let bad = |message: &str| error(call, 400, "BadRequest", message);
    let page = Page::read(call, state.site.options.page_size.max(1)).map_err(|text| bad(&text))?;
    if !page.filter.is_empty() && state.has(Trouble::FilterRefused) {
        return Err(bad("The query option '$filter' is not allowed."));
    }
    let heeded = if state.has(Trouble::FilterIgnored) { "" } else { &page.filter };
    let filter = Filter::parse(heeded).map_err(|text| bad(&text))?;
    let found: Vec<_> = state.alerts.all().iter().filter(|alert| filter.accepts(alert)).collect();
    let is_odd = state.site.options.odd_pages;
    let is_before_first = is_odd && call.parameter("$skiptoken").is_none();
    let repeated = usize::from(is_odd && page.offset > 0);
    let size = if is_before_first { 0 } else { page.size };
    let shown = found.iter().skip(page.offset - repeated).take(size + repeated);
    let value: Vec<_> = shown.map(|alert| selected(alert, &page.select)).collect();
    let base = format!("{}/graph/{version}", state.site.url);
    let mut body = json!({
        "@odata.context": format!("{base}/$metadata#security/partner/securityAlerts"),
        "value": value,
    });
    if let Some(fields) = body.as_object_mut() {
        if page.has_count {
            fields.insert("@odata.count".to_owned(), found.len().into());
        }
        let next = page.offset + size;
        if next < found.len() {
            let token = Page { offset: next, ..page }.token();
            let link = format!("{base}/security/partner/securityAlerts?$skiptoken={token}");
            fields.insert("@odata.nextLink".to_owned(), link.into());
        }
    }
    Ok(Answer::json(200, &body))
}

/// The properties that `$select` names, and always the id.
pub(crate) fn selected(alert: &Map<String, Value>, select: &str) -> Value {
    if select.is_empty() {
        return Value::Object(alert.clone());
    }
    let wanted: Vec<_> = select.split(',').map(str::trim).collect();
    let kept = alert.iter().filter(|(name, _)| *name == "id" || wanted.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}

impl Page {
    fn read(call: &Call, default_size: usize) -> Result<Self, String> {
        for (name, _) in &call.query {
            if name.starts_with('$') && !KNOWN_OPTIONS.contains(&name.as_str()) {
                return Err(format!("The query option '{name}' is not supported."));
            }
        }
        if let Some(token) = call.parameter("$skiptoken") {
            return Self::from_token(token).ok_or_else(|| "Skip token is not valid.".to_owned());
        }
        let size = match call.parameter("$top").map(str::parse) {
            None => default_size,
            Some(Ok(top @ 1..)) => default_size.min(top),
            Some(_) => return Err("Invalid value for the query option '$top'.".to_owned()),
        };
        Ok(Self {
            offset: 0,
            size,
            filter: call.parameter("$filter").unwrap_or_default().to_owned(),
            select: call.parameter("$select").unwrap_or_default().to_owned(),
            has_count: call.parameter("$count") == Some("true"),
        })
    }

    fn token(&self) -> String {
        let fields = json!([self.offset, self.size, self.filter, self.select, self.has_count]);
        URL_SAFE_NO_PAD.encode(fields.to_string())
    }

    fn from_token(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (offset, size, filter, select, has_count) = serde_json::from_slice(&bytes).ok()?;
        Some(Self { offset, size, filter, select, has_count })
    }
}
