//! The imitated services. Each is a function from the state and a request to an answer; none waits for anything.
//!
//! - `login` issues tokens; `graph`, `partner_center` and `azure` check them.
//! - `sinks` takes messages of Slack, Teams and `PagerDuty`; `certificates` serves what signatures are checked with.
//! - `admin` is not an imitation: it is how people and tests look inside, and is not in the ledger.

pub(crate) mod admin;
pub(crate) mod azure;
mod certificates;
pub(crate) mod graph;
pub(crate) mod login;
pub(crate) mod partner_center;
mod sinks;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{answer::Answer, call::Call, core::Core, fault::FaultKind, state::State};

/// Looking inside leaves no trace.
pub(crate) fn is_unrecorded(call: &Call) -> bool {
    matches!(call.service(), "" | "admin" | "favicon.ico")
}

pub(crate) async fn answer_unrecorded(core: &Arc<Core>, call: Call) -> Answer {
    match call.service() {
        "" => admin::page(core, &call),
        "admin" => admin::answer(core, call).await,
        _ => Answer::empty(404),
    }
}

pub(crate) fn answer(state: &mut State, call: &Call) -> Answer {
    match call.service() {
        "login" => login::answer(state, call),
        "graph" => graph::answer(state, call),
        "partner-center" => partner_center::answer(state, call),
        "azure" => azure::answer(state, call),
        "cert" => certificates::answer(&state.site, call),
        "slack" => sinks::slack(call),
        "teams" => sinks::teams(call),
        "pagerduty" => sinks::pagerduty(state, call),
        _ => Answer::json(404, &json!({ "error": "no such service" })),
    }
}

/// The answer of a fault that keeps the request from being carried out; `None` if it is to be carried out.
pub(crate) fn refusal(call: &Call, fault: &FaultKind) -> Option<Answer> {
    match fault {
        FaultKind::Status { status, body, retry_after } => {
            let answer = match body {
                None => plain_error(call, *status, retry_after.as_deref()),
                Some(Value::String(text)) => Answer::text(*status, text),
                Some(json) => Answer::json(*status, json),
            };
            Some(match retry_after {
                Some(text) => answer.header("Retry-After", text),
                None => answer,
            })
        }
        FaultKind::Huge { bytes } => Some(Answer::bytes(200, "application/json", vec![b' '; *bytes])),
        FaultKind::Html { status } => Some(Answer::html(
            *status,
            "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>",
        )),
        FaultKind::Redirect { location } => Some(Answer::empty(302).header("Location", location)),
        FaultKind::DropBeforeApply => Some(Answer::empty(503)),
        FaultKind::ApplyThenStatus { .. }
        | FaultKind::Delay { .. }
        | FaultKind::DelayAnswer { .. }
        | FaultKind::ApplyThenDrop
        | FaultKind::Truncate
        | FaultKind::ByteOrderMark
        | FaultKind::Throttle { .. } => None,
    }
}

/// An error as the called service words it.
fn plain_error(call: &Call, status: u16, retry_after: Option<&str>) -> Answer {
    match call.service() {
        "graph" => graph::error(call, status, graph::code_of(status), "Injected by a fault rule."),
        "partner-center" if status == 429 => partner_center::too_many(retry_after.unwrap_or("57")),
        "partner-center" => partner_center::error(status, &status.to_string(), "Injected by a fault rule."),
        "azure" => azure::error(status, graph::code_of(status), "Injected by a fault rule."),
        "login" => login::error(status, "temporarily_unavailable", 90033, "A transient error has occurred."),
        "pagerduty" => Answer::json(status, &json!({ "status": "error", "message": "Injected by a fault rule." })),
        "slack" if status == 429 => Answer::json(status, &json!({ "ok": false, "error": "ratelimited" })),
        _ => Answer::text(status, "Injected by a fault rule."),
    }
}
