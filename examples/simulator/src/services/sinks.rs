//! Slack, Teams and `PagerDuty`: they take messages, and the ledger keeps them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{answer::Answer, call::Call, ledger::Effect, state::State};

/// `POST /slack/api/chat.postMessage`, or any other path as an incoming webhook.
pub(crate) fn slack(call: &Call) -> Answer {
    let Some(message) = posted_object(call) else {
        return Answer::text(400, "invalid_payload");
    };
    let is_empty = !["text", "blocks", "attachments"].iter().any(|field| has_content(&message, field));
    if call.segments.last().map(String::as_str) == Some("chat.postMessage") {
        return post_message(call, &message, is_empty);
    }
    if is_empty {
        return Answer::text(400, "no_text");
    }
    let effect = Effect::new("message.slack", &call.rest().join("/"));
    Answer::text(200, "ok").effect(effect)
}

/// Any path: the body is a message card or an adaptive card envelope.
pub(crate) fn teams(call: &Call) -> Answer {
    let Some(message) = posted_object(call) else {
        return Answer::text(400, "Bad payload received by generic incoming webhook.");
    };
    let fields = ["text", "title", "summary", "sections", "attachments", "body"];
    if !fields.iter().any(|field| has_content(&message, field)) {
        return Answer::text(400, "Summary or Text is required.");
    }
    let effect = Effect::new("message.teams", &call.rest().join("/"));
    // Workflows answer 202 without a body; it is what replaced the old connectors.
    Answer::empty(202).effect(effect)
}

/// `POST /pagerduty/v2/enqueue`.
pub(crate) fn pagerduty(state: &State, call: &Call) -> Answer {
    if call.rest() != ["v2", "enqueue"] || call.method != "POST" {
        return Answer::json(404, &json!({ "status": "not found" }));
    }
    let event = posted_object(call).unwrap_or_default();
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let action = text("event_action");
    let mut errors = Vec::new();
    if text("routing_key").is_empty() {
        errors.push("'routing_key' is missing or blank");
    }
    if !["trigger", "acknowledge", "resolve"].contains(&action) {
        errors.push("'event_action' is invalid (must be one of trigger, acknowledge, resolve)");
    }
    let payload = event.get("payload").unwrap_or(&Value::Null);
    let is_complete = ["summary", "source", "severity"].iter().all(|field| has_content(payload, field));
    if action == "trigger" && !is_complete {
        errors.push("'payload' needs 'summary', 'source' and 'severity'");
    }
    if !errors.is_empty() {
        let body = json!({ "status": "invalid event", "message": "Event object is invalid", "errors": errors });
        return Answer::json(400, &body);
    }
    let given = Some(text("dedup_key")).filter(|key| !key.is_empty());
    let key = given.map_or_else(|| fresh_id().simple().to_string(), str::to_owned);
    // Each action on a key counts once: the key itself is the target of the first, `key#resolve` of a resolution.
    let target = if action == "trigger" { key.clone() } else { format!("{key}#{action}") };
    let repeat = state.ledger.has_effect("event.pagerduty", &target);
    let body = json!({ "status": "success", "message": "Event processed", "dedup_key": key });
    Answer::json(202, &body).effect(Effect::new("event.pagerduty", &target).repeated(repeat))
}

/// An id that is not part of the seeded world: two runs must not hand out the same one.
pub(crate) fn fresh_id() -> Uuid {
    uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid()
}

fn post_message(call: &Call, message: &Value, is_empty: bool) -> Answer {
    let failed = |error: &str| Answer::json(200, &json!({ "ok": false, "error": error }));
    if call.bearer().is_none() {
        return failed("not_authed");
    }
    let Some(channel) = message.get("channel").and_then(Value::as_str) else {
        return failed("channel_not_found");
    };
    if is_empty {
        return failed("no_text");
    }
    let time = format!("{}.{:06}", call.now.as_second(), call.now.subsec_microsecond());
    let body = json!({ "ok": true, "channel": channel, "ts": time, "message": message });
    Answer::json(200, &body).effect(Effect::new("message.slack", channel))
}

fn posted_object(call: &Call) -> Option<Value> {
    let posted = Some(call).filter(|it| it.method == "POST")?;
    posted.json().filter(Value::is_object)
}

fn has_content(message: &Value, field: &str) -> bool {
    match message.get(field) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        _ => false,
    }
}
