//! Partner Center's events: whether they are registered, come to this adapter, and whether their address is one that is reached from outside.

use std::net::IpAddr;

use serde_json::Value;

use super::{
    Case, Check, Finding,
    case::Connected,
    diagnoses::rights,
    judge::{self, Judged},
};
use crate::{
    adapters::Callbacks,
    connections::{Audience, Probed, Question, Registration},
    net::Url,
};

pub(super) struct Webhook;

impl Check for Webhook {
    const PART: &'static str = "webhook";
    const SUMMARY: &'static str = "Whether Partner Center's events are registered and come here";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for connected in case.connections() {
            let ours = case.config.adapters.iter().filter(|adapter| adapter.connection() == Some(connected.name));
            for (adapter, callbacks) in ours.filter_map(|adapter| Some((adapter.name.as_str(), adapter.callbacks()?))) {
                let probed = connected.microsoft.probe(Question::Webhook).await;
                findings.extend(judged(&connected, (adapter, &callbacks), probed));
            }
        }
        findings
    }
}

fn judged(connected: &Connected<'_>, adapter: (&str, &Callbacks), probed: Probed) -> Vec<Finding> {
    // Which error says that nothing is registered is not documented; a missing right and a throttle are others.
    if matches!(&probed, Probed::Answered(answer) if matches!(answer.status, 400 | 404)) {
        return vec![Finding::new(&rights::WEBHOOK_ABSENT, connected.name)];
    }
    match judge::judged(connected, Audience::PartnerCenter, probed) {
        Judged::Good(answer) => vec![registered(connected.name, adapter, &answer.body)],
        Judged::Bad(findings) => findings,
    }
}

fn registered(connection: &str, (adapter, callbacks): (&str, &Callbacks), body: &Value) -> Finding {
    let registration = Registration::read(body);
    let url = Url::parse(&registration.url).ok();
    // The path may be what keeps strangers out, so it is not told.
    let host = url.as_ref().and_then(Url::host_str).unwrap_or("nowhere").to_owned();
    let finding = |diagnosis| Finding::new(diagnosis, connection).with("host", &host).with("adapter", adapter);
    if !registration.url.split(['?', '#']).next().is_some_and(|url| url.ends_with(&callbacks.path)) {
        return finding(&rights::WEBHOOK_ELSEWHERE);
    }
    let missing: Vec<_> = callbacks.events.iter().filter(|event| !registration.has(event)).map(|event| format!("`{event}`")).collect();
    if !missing.is_empty() {
        return finding(&rights::WEBHOOK_EVENTS).with("events", missing.join(", "));
    }
    let is_public = url.is_some_and(|url| url.scheme() == "https") && !is_inside(&host);
    finding(if is_public { &rights::WEBHOOK_GOOD } else { &rights::WEBHOOK_PRIVATE })
}

/// Whether nobody outside can reach that host, as far as its name tells.
fn is_inside(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private() || address.is_link_local() || address.is_unspecified(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local() || address.is_unspecified(),
        Err(_) => !bare.contains('.') || [".local", ".internal", ".lan", ".localhost"].iter().any(|ending| bare.ends_with(ending)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_registration_is_held_to_the_adapter_and_to_where_it_leads() {
        let callbacks = Callbacks { path: "/hooks/pc/k7".to_owned(), events: vec!["azure-fraud-event-detected".to_owned()] };
        for (url, events, code) in [
            ("https://soar.contoso.com/hooks/pc/k7", json!(["Azure-Fraud-Event-Detected"]), "webhook-good"),
            ("https://soar.contoso.com/hooks/pc/k7", json!(["test-created"]), "webhook-events"),
            ("https://soar.contoso.com/hooks/other", json!(["azure-fraud-event-detected"]), "webhook-elsewhere"),
            ("http://soar.contoso.com/hooks/pc/k7", json!(["azure-fraud-event-detected"]), "webhook-private"),
            ("https://10.0.0.7/hooks/pc/k7", json!(["azure-fraud-event-detected"]), "webhook-private"),
            ("https://quell/hooks/pc/k7", json!(["azure-fraud-event-detected"]), "webhook-private"),
        ] {
            let found = registered("contoso", ("pc", &callbacks), &json!({ "WebhookUrl": url, "WebhookEvents": events }));
            assert_eq!(found.diagnosis.code, code, "{url} {events}");
            assert!(!found.what(crate::news::Language::En).contains("k7"), "the path is a secret");
        }
    }
}
