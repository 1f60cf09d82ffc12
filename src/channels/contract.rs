//! What every channel keeps to, and the channels against the simulator.

use std::collections::BTreeSet;

use quell_simulator::{Fault, FaultKind, Options};

use super::*;
use crate::{
    alert::Severity,
    connections::{FailureKind, bench},
};

fn notice() -> Notice {
    Notice {
        id: "0195f0c0-0000-7000-8000-000000000001".to_owned(),
        title: "Suspended\r\nBcc: evil@evil.example".to_owned(),
        text: "It was mining.".to_owned(),
        severity: Severity::High,
        facts: vec![("Customer".to_owned(), "Contoso".to_owned())],
    }
}

fn build(settings: Value) -> Result<Channels, ChannelError> {
    let settings: BTreeMap<String, Value> = serde_json::from_value(settings).unwrap();
    Channels::build(&settings, &bench::net()).map_err(|mut errors| errors.remove(0))
}

fn example(entry: &Entry) -> Value {
    serde_json::from_str(entry.example).unwrap()
}

#[test]
fn every_example_is_accepted() {
    for entry in CATALOG {
        build(json!({ format!("{}:x", entry.kind): example(entry) })).unwrap();
    }
}

#[test]
fn no_two_types_share_a_name() {
    let kinds: BTreeSet<_> = CATALOG.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds.len(), CATALOG.len());
}

#[test]
fn every_setting_says_what_it_is() {
    for entry in CATALOG {
        let schema = entry.schema(&mut SchemaGenerator::default()).to_value();
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        for (name, property) in properties {
            assert!(property["description"].is_string(), "{}: {name}", entry.kind);
        }
    }
}

#[test]
fn a_wrong_setting_is_refused_under_its_channels_name_and_without_its_value() {
    for entry in CATALOG {
        let mut settings = example(entry);
        settings["ulr"] = "canary".into();
        let error = build(json!({ format!("{}:x", entry.kind): settings })).unwrap_err().to_string();
        assert!(error.contains(&format!("`{}:x`", entry.kind)) && error.contains("`ulr`") && !error.contains("canary"), "{error}");
    }
    let from = "quell@contoso.com";
    for (name, settings) in [
        ("slack", json!({ "url": "https://x" })),
        ("slack:", json!({ "url": "https://x" })),
        ("slak:x", json!({ "url": "https://x" })),
        ("slack:x", json!({ "url": "canary" })),
        ("teams:x", json!({ "url": "canary" })),
        ("email:x", json!({ "smtp": "canary", "from": from, "to": ["a@contoso.com"] })),
        ("email:x", json!({ "smtp": "http://u:canary@mail.contoso.com", "from": from, "to": ["a@contoso.com"] })),
        ("email:x", json!({ "smtp": "smtps://mail.contoso.com", "from": "nobody", "to": ["a@contoso.com"] })),
        ("email:x", json!({ "smtp": "smtps://mail.contoso.com", "from": from, "to": [] })),
        ("email:*", json!({ "smtp": "smtps://mail.contoso.com", "from": from, "to": ["a@contoso.com"] })),
    ] {
        let error = build(json!({ name: settings })).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")) && !error.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn a_channel_that_is_not_configured_is_refused_with_the_nearest() {
    let channels = build(json!({})).unwrap();
    channels.send("log:default", &notice()).await.unwrap();
    let failure = channels.send("log:defualt", &notice()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert!(failure.message.contains("did you mean `log:default`?"), "{failure}");
}

#[tokio::test]
async fn every_service_gets_its_message() {
    let simulator = bench::simulator(Options::default()).await;
    let mail = json!({ "smtp": format!("smtp://{}", simulator.smtp_address()), "from": "Quell <quell@contoso.com>", "to": ["a@contoso.com", "b@contoso.com"] });
    let any = json!({ "smtp": format!("smtp://{}", simulator.smtp_address()), "from": "quell@contoso.com", "allow": ["@contoso.com"] });
    let channels = build(json!({
        "slack:secops": { "url": format!("{}/secops", simulator.slack_url()) },
        "teams:soc": { "url": format!("{}/soc", simulator.teams_url()) },
        "email:oncall": mail,
        "email:*": any,
    }))
    .unwrap();
    for channel in ["slack:secops", "teams:soc", "email:oncall", "email:oncall", "email:Someone@Contoso.com"] {
        channels.send(channel, &notice()).await.unwrap();
    }
    let counts = simulator.counts();
    // The repeated mail and the one to the other address carry the same `Message-ID`.
    assert_eq!((counts.slack, counts.teams, counts.emails), (1, 1, 1));
    let mails = simulator.effects("message.email");
    assert_eq!(mails.len(), 3);
    assert_eq!(mails[0].effect.as_ref().unwrap().target.trim_matches(['<', '>']), format!("{}@contoso.com", notice().id));

    let failure = channels.send("email:someone@evil.example", &notice()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert!(failure.message.contains("`allow`"), "{failure}");
}

#[tokio::test]
async fn no_failure_shows_a_password_or_the_path_of_a_webhook() {
    let channels = build(json!({
        "slack:a": { "url": "http://127.0.0.1:1/services/canary" },
        "slack:b": { "url": "https://10.0.0.1/canary" },
        "teams:a": { "url": "http://127.0.0.1:1/canary?sig=canary" },
        "email:a": { "smtp": "smtp://canary:canary@127.0.0.1:1", "from": "quell@contoso.com", "to": ["a@contoso.com"] },
    }))
    .unwrap();
    for channel in ["slack:a", "slack:b", "teams:a", "email:a"] {
        let failure = channels.send(channel, &notice()).await.unwrap_err();
        assert!(!format!("{failure} {failure:?} {channels:?}").contains("canary"), "{failure}");
    }
}

#[tokio::test]
async fn a_service_that_fails_says_whether_another_try_may_help() {
    let simulator = bench::simulator(Options::default()).await;
    let smtp = format!("smtp://{}", simulator.smtp_address());
    let channels = build(json!({
        "slack:a": { "url": simulator.slack_url() },
        "teams:a": { "url": simulator.teams_url() },
        "email:a": { "smtp": smtp, "from": "quell@contoso.com", "to": ["a@contoso.com"] },
        "email:nowhere": { "smtp": "smtp://127.0.0.1:1", "from": "quell@contoso.com", "to": ["a@contoso.com"] },
    }))
    .unwrap();
    for (channel, status, kind) in [
        ("slack:a", 429, FailureKind::NotDone),
        ("slack:a", 404, FailureKind::Rejected),
        ("slack:a", 500, FailureKind::Unknown),
        ("teams:a", 429, FailureKind::NotDone),
        ("teams:a", 400, FailureKind::Rejected),
        ("email:a", 451, FailureKind::NotDone),
        ("email:a", 550, FailureKind::Rejected),
    ] {
        simulator.clear_faults();
        // Mail servers refuse a recipient or a message, and web services anything.
        let method = Some(if channel == "email:a" { "RCPT" } else { "POST" }.to_owned());
        simulator.fault(Fault { method, ..Fault::always(FaultKind::Status { status, body: None, retry_after: None }) });
        let failure = channels.send(channel, &notice()).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{channel} {status}: {failure}");
    }
    let failure = channels.send("email:nowhere", &notice()).await.unwrap_err();
    assert_ne!(failure.kind, FailureKind::Rejected, "{failure}");
}
