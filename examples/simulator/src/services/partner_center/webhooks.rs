//! Registration of the one webhook of the partner, and test events that are really delivered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{error, too_many};
use crate::{
    answer::{Answer, Callback},
    call::Call,
    callback::ATTEMPTS,
    fault::throttle,
    ledger::Effect,
    options::TENANT_ID,
    services::sinks::fresh_id,
    signing::{Event, Placement},
    state::State,
};

/// Documented limit of test events.
const TESTS_PER_MINUTE: usize = 2;
const TEST_EVENT: &str = "test-created";
const EVENTS: &[&str] = &[
    "azure-fraud-event-detected",
    TEST_EVENT,
    "subscription-updated",
    "usagerecords-thresholdExceeded",
    "invoice-ready",
    "referral-created",
    "referral-updated",
    "related-referral-created",
    "related-referral-updated",
    "granular-admin-relationship-approved",
    "granular-admin-relationship-activated",
    "granular-admin-relationship-terminated",
    "granular-admin-relationship-expired",
    "reseller-relationship-accepted-by-customer",
    "indirect-reseller-relationship-accepted-by-customer",
    "dap-admin-relationship-approved",
    "dap-admin-relationship-terminated",
    "dap-admin-relationship-terminated-by-microsoft",
];

/// What the partner registered and which tests were asked for.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    registration: Option<Registration>,
    /// Deliveries of test events by correlation id.
    validations: BTreeMap<String, Vec<Attempt>>,
    recent_tests: Vec<Timestamp>,
}

/// One delivery of a test event; status 0 is no answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) status: u16,
    pub(crate) at: Timestamp,
}

#[derive(Debug, Clone)]
struct Registration {
    subscriber: String,
    url: String,
    events: Vec<String>,
    placement: Placement,
    changed: Timestamp,
}

impl Webhooks {
    /// Where an event goes and in which form; `None` when nobody wants it.
    pub(crate) fn target(&self, event: &Event) -> Option<(String, Event)> {
        let registration = self.registration.as_ref()?;
        if !registration.events.contains(&event.name) {
            return None;
        }
        let event = Event { placement: registration.placement, ..event.clone() };
        Some((registration.url.clone(), event))
    }

    pub(crate) fn note_attempt(&mut self, id: &str, attempt: Attempt) {
        self.validations.entry(id.to_owned()).or_default().push(attempt);
    }
}

pub(super) fn answer(state: &mut State, call: &Call, rest: &[&str]) -> Answer {
    match (call.method.as_str(), rest) {
        ("GET", ["events"]) => Answer::json(200, &json!(EVENTS)),
        ("GET", []) => match &state.webhooks.registration {
            Some(registration) => Answer::json(200, &registration.json()),
            None => error(404, "404", "No webhook is registered."),
        },
        ("POST", []) if state.webhooks.registration.is_some() => error(409, "409", "A webhook is registered already."),
        ("PUT", []) if state.webhooks.registration.is_none() => error(404, "404", "No webhook is registered."),
        ("POST" | "PUT", []) => register(state, call),
        ("POST", ["validationEvents"]) => send_test(state, call),
        ("GET", ["validationEvents", id]) => test_result(state, id),
        _ => error(405, "405", "The method is not allowed."),
    }
}

fn register(state: &mut State, call: &Call) -> Answer {
    let body = call.object().unwrap_or_default();
    let url = body.get("webhookUrl").and_then(Value::as_str).unwrap_or_default();
    if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return error(400, "800002", "WebhookUrl is not valid.");
    }
    let events = events(&body);
    if events.is_empty() || events.iter().any(|event| !EVENTS.contains(&event.as_str())) {
        return error(400, "800002", "WebhookEvents is empty or names an unknown event.");
    }
    let wants_header = body.get("signatureTokenToMsSignatureHeader") == Some(&Value::Bool(true));
    let known = state.webhooks.registration.take().map(|it| it.subscriber);
    let registration = Registration {
        subscriber: known.unwrap_or_else(|| fresh_id().to_string()),
        url: url.to_owned(),
        events,
        placement: if wants_header { Placement::MsSignature } else { Placement::Authorization },
        changed: call.now,
    };
    let body = registration.json();
    state.webhooks.registration = Some(registration);
    Answer::json(200, &body).effect(Effect::new("webhook.registered", url))
}

fn send_test(state: &mut State, call: &Call) -> Answer {
    let is_wanted = state.webhooks.target(&Event::default()).is_some();
    if !is_wanted {
        return error(400, "800002", "No webhook is registered for test-created.");
    }
    if let Some(wait) = throttle(&mut state.webhooks.recent_tests, TESTS_PER_MINUTE, call.now) {
        let seconds = wait.to_string();
        return too_many(&seconds).header("Retry-After", &seconds);
    }
    let id = fresh_id().to_string();
    state.webhooks.validations.insert(id.clone(), Vec::new());
    let path = "api.partnercenter.microsoft.com/webhooks/v1/registration/validationEvents";
    let event = Event {
        // Not `https`: that is how Microsoft's own sample reads.
        resource_uri: Some(format!("http://{path}/{id}")),
        resource_name: Some("test".to_owned()),
        ..Event::default()
    };
    let mut answer = Answer::json(200, &json!({ "correlationId": id }));
    answer.callback = Some(Box::new(Callback { event, validation: Some(id) }));
    answer
}

fn test_result(state: &State, id: &str) -> Answer {
    let (Some(attempts), Some(registration)) = (state.webhooks.validations.get(id), &state.webhooks.registration) else {
        return error(404, "404", "The validation event was not found.");
    };
    let is_done = attempts.len() >= ATTEMPTS || attempts.iter().any(|it| (200..300).contains(&it.status));
    let results: Vec<_> = attempts.iter().map(Attempt::json).collect();
    let body = json!({
        "correlationId": id,
        "partnerId": TENANT_ID,
        "status": if is_done { "completed" } else { "pending" },
        "callbackUrl": registration.url,
        "results": results,
    });
    Answer::json(200, &body)
}

fn events(body: &Map<String, Value>) -> Vec<String> {
    let listed = body.get("webhookEvents").and_then(Value::as_array);
    let texts = listed.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

impl Registration {
    fn json(&self) -> Value {
        json!({
            "SubscriberId": self.subscriber,
            "WebhookUrl": self.url,
            "WebhookEvents": self.events,
            "SignatureTokenToMsSignatureHeader": self.placement != Placement::Authorization,
            "lastModifiedTimestamp": self.changed.to_string(),
        })
    }
}

impl Attempt {
    fn json(&self) -> Value {
        json!({
            "responseCode": dotnet_name(self.status),
            "responseMessage": "",
            "systemError": self.status == 0,
            "dateTimeUtc": format!("{:.7}", self.at).trim_end_matches('Z'),
        })
    }
}

/// Microsoft reports the status by its name in .NET.
fn dotnet_name(status: u16) -> String {
    let name = match status {
        200 => "OK",
        202 => "Accepted",
        204 => "NoContent",
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        500 => "InternalServerError",
        0 | 503 => "ServiceUnavailable",
        other => return other.to_string(),
    };
    name.to_owned()
}
