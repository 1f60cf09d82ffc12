//! Looking inside and changing things over HTTP: the same as the library offers, for tests in other processes.
//!
//! `page` is the view for people.

mod page;

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use page::page;

use crate::{answer::Answer, call::Call, core::Core, fault::Fault, ledger::Entry, seed::AlertSeed, signing::Event, simulator::Simulator};

pub(crate) async fn answer(core: &Arc<Core>, call: Call) -> Answer {
    let answered = match (call.method.as_str(), call.rest().as_slice()) {
        ("GET", []) => Ok(index(&core.site.url)),
        ("GET", ["ledger"]) => ledger(core, &call),
        ("GET", ["counts"]) => Ok(json!(Simulator::of(core).counts())),
        ("GET", ["world"]) => Ok(json!(Simulator::of(core).world())),
        ("GET", ["alerts"]) => Ok(json!(core.state(call.now).alerts.all())),
        ("GET", ["faults"]) => Ok(json!(core.state(call.now).faults.rules())),
        ("POST" | "DELETE", _) => change(core, &call).await,
        _ => return Answer::json(404, &json!({ "error": "see GET /admin" })),
    };
    match answered {
        Ok(body) => Answer::json(200, &body),
        Err(text) => Answer::json(400, &json!({ "error": text })),
    }
}

async fn change(core: &Arc<Core>, call: &Call) -> Result<Value, String> {
    let simulator = Simulator::of(core);
    let done = json!({ "done": true });
    match (call.method.as_str(), call.rest().as_slice()) {
        ("POST", ["alerts"]) => {
            let seed: AlertSeed = read(call)?;
            Ok(json!({ "id": simulator.add_alert(seed) }))
        }
        ("POST", ["alerts", id, "status"]) => {
            let body: Value = read(call)?;
            let status = text(&body, "status").ok_or("`status` is missing")?;
            let changed = simulator.set_alert_status(id, status, text(&body, "reason"));
            Ok(json!({ "changed": changed }))
        }
        ("POST", ["faults"]) => {
            simulator.fault(read_fault(call)?);
            Ok(done)
        }
        ("DELETE", ["faults"]) => {
            simulator.clear_faults();
            Ok(done)
        }
        ("POST", ["reactivate"]) => {
            let body: Value = read(call)?;
            let id = text(&body, "id").ok_or("`id` is missing")?;
            Ok(json!({ "changed": simulator.reactivate(id) }))
        }
        ("POST", ["tokens", "expire"]) => {
            simulator.expire_tokens();
            Ok(done)
        }
        ("POST", ["tokens", "revoke"]) => {
            simulator.revoke_refresh_tokens();
            Ok(done)
        }
        ("POST", ["tokens", "renew"]) => {
            simulator.renew_consent();
            Ok(done)
        }
        ("POST", ["troubles"]) => {
            let body: Value = read(call)?;
            let trouble = body.get("trouble").cloned().ok_or("`trouble` is missing")?;
            simulator.trouble(serde_json::from_value(trouble).map_err(|error| error.to_string())?);
            Ok(done)
        }
        ("DELETE", ["troubles"]) => {
            simulator.clear_troubles();
            Ok(done)
        }
        ("POST", ["devices", "approve"]) => Ok(json!({ "decided": simulator.approve_devices() })),
        ("POST", ["devices", "decline"]) => Ok(json!({ "decided": simulator.decline_devices() })),
        ("POST", ["devices", "expire"]) => {
            simulator.expire_devices();
            Ok(done)
        }
        ("POST", ["deliver"]) => deliver(&simulator, call).await,
        _ => Err("see GET /admin".to_owned()),
    }
}

fn index(url: &str) -> Value {
    json!({
        "services": {
            "login": format!("{url}/login"),
            "graph": format!("{url}/graph"),
            "azure": format!("{url}/azure"),
            "partner_center": format!("{url}/partner-center"),
            "slack": format!("{url}/slack"),
            "teams": format!("{url}/teams"),
            "pagerduty": format!("{url}/pagerduty"),
            "certificates": format!("{url}/cert"),
        },
        "admin": {
            "GET /": "page for people",
            "GET /admin/ledger": "entries; ?since=SEQ gives later ones, ?effect=KIND and ?service=NAME those of a kind, ?applied=true only new effects",
            "GET /admin/counts": "applied effects by kind",
            "GET /admin/world": "customers, Azure plans and Azure subscriptions as they are now",
            "GET /admin/alerts": "alerts as Graph shows them",
            "POST /admin/alerts": "add an alert; every field has a default: alert_type, severity, confidence, customer, entitlement, tenant_id, subscription_id, status, display_name, description, is_test, affected_resources, additional_details, detected, notify (as_configured, yes, no)",
            "POST /admin/alerts/{id}/status": "change an alert as a person would: {\"status\", \"reason\"}",
            "GET /admin/faults": "rules in force",
            "POST /admin/faults": "add a rule: {\"service\", \"method\", \"path\", \"times\", \"probability\", \"kind\", …}; kinds: status, apply_then_status, delay, delay_answer, apply_then_drop, drop_before_apply, truncate, byte_order_mark, huge, html, redirect, throttle",
            "DELETE /admin/faults": "remove all rules",
            "POST /admin/reactivate": "a person makes a plan or Azure subscription active again: {\"id\"}",
            "POST /admin/tokens/expire": "make every access token invalid",
            "POST /admin/tokens/revoke": "make every refresh token invalid",
            "POST /admin/tokens/renew": "make refresh tokens valid again",
            "POST /admin/troubles": "something is wrong from now on that a person has to put right: {\"trouble\"}; one of secret_expired, certificate_unknown, consent_missing, mfa_missing, mfa_wanted, policy_blocks, alerts_unreadable, alerts_unchangeable, partner_center_missing, admin_agent_missing, other_partner, no_customers, gdap_missing, azure_role_missing, users_unreadable, filter_refused, filter_ignored, beta_gone, clock_ahead",
            "DELETE /admin/troubles": "everything is put right",
            "POST /admin/devices/{approve|decline|expire}": "what becomes of every device code that waits",
            "POST /admin/deliver": "sign and post an event: {\"url\", \"event\": {\"name\", \"resource_uri\", …, \"placement\", \"algorithm\", \"certificate_url\", \"tamper\", \"headers\"}}",
        },
    })
}

fn ledger(core: &Arc<Core>, call: &Call) -> Result<Value, String> {
    let since: u64 = match call.parameter("since") {
        None => 0,
        Some(text) => text.parse().map_err(|error| format!("since: {error}"))?,
    };
    let is_wanted = |entry: &&Entry| {
        let kind = entry.effect.as_ref().map_or("", |effect| effect.kind.as_str());
        entry.seq > since
            && call.parameter("effect").is_none_or(|wanted| kind == wanted)
            && call.parameter("service").is_none_or(|wanted| entry.service == wanted)
            && (call.parameter("applied") != Some("true") || entry.applied)
    };
    let state = core.state(Timestamp::now());
    let found: Vec<_> = state.ledger.entries().iter().filter(is_wanted).collect();
    Ok(json!(found))
}

async fn deliver(simulator: &Simulator, call: &Call) -> Result<Value, String> {
    let body: Value = read(call)?;
    let url = text(&body, "url").ok_or("`url` is missing")?;
    let event = body.get("event").cloned().unwrap_or_else(|| json!({}));
    let event: Event = serde_json::from_value(event).map_err(|error| error.to_string())?;
    let status = simulator.deliver_webhook(url, event).await;
    Ok(json!({ "status": status.map_err(|error| format!("{error:#}"))? }))
}

fn read<T: DeserializeOwned>(call: &Call) -> Result<T, String> {
    let body = if call.body.is_empty() { b"{}".as_slice() } else { &call.body };
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// A misspelt field would make a rule that matches more than it should.
fn read_fault(call: &Call) -> Result<Fault, String> {
    let fault: Fault = read(call)?;
    let (known, given): (Value, Value) = (json!(fault), read(call)?);
    let names = given.as_object().into_iter().flatten();
    let unknown: Vec<_> = names.filter(|(name, _)| known.get(name.as_str()).is_none()).map(|(name, _)| name.as_str()).collect();
    if unknown.is_empty() {
        return Ok(fault);
    }
    Err(format!("unknown field: {}", unknown.join(", ")))
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}
