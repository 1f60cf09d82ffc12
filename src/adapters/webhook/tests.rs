//! Every answer that a webhook gives, and what is on the bus afterwards.

use axum::body::Body;
use futures_util::stream;
use serde_json::{Value, json};

use super::super::testing::{Bench, hook, post};
use crate::alert::{Alert, Severity};

const ALERT: &str = r#"{"id": "a-1", "kind": "intrusion", "detected_at": "2026-03-02T04:11:09Z", "severity": "high"}"#;

fn open() -> Value {
    json!({"name": "siem", "type": "webhook", "path": "/hooks/siem", "auth": "none"})
}

fn mapped() -> Value {
    let mut settings = open();
    settings["map"] = json!({
        "id": "body.number", "kind": "body.rule", "severity": "body.level", "resources": "body.host",
        "details": {"agent": "get(headers, \"user-agent\", \"\")"},
    });
    settings
}

#[tokio::test]
async fn an_alert_is_answered_only_after_the_bus_has_it() {
    let bench = Bench::new().await;
    let hook = hook(open(), &bench.around);

    bench.bus.refuse(true);
    let (status, body, head) = post(&hook, &[], ALERT).await;
    assert_eq!((status, body["error"]["code"].as_str()), (503, Some("unavailable")));
    assert_eq!(head.headers()["retry-after"], "5");
    assert!(!body.to_string().contains("broker"), "what is wrong inside is for the log: {body}");

    bench.bus.refuse(false);
    let (status, body, _) = post(&hook, &[], ALERT).await;
    assert_eq!((status, body), (202, json!({"id": "a-1"})));
    let [alert] = &bench.bus.alerts()[..] else { panic!("one alert") };
    assert_eq!((alert.source.as_str(), alert.kind.as_str(), alert.severity), ("siem", "intrusion", Severity::High));
    assert_eq!(bench.metric("quell_webhook_requests_total{adapter=\"siem\",code=\"202\"}").as_deref(), Some("1"));
    assert_eq!(bench.metric("quell_webhook_requests_total{adapter=\"siem\",code=\"503\"}").as_deref(), Some("1"));
}

#[tokio::test]
async fn what_cannot_be_an_alert_is_refused_with_the_reason_and_the_bus_stays_empty() {
    let bench = Bench::new().await;
    let (own, mapped) = (hook(open(), &bench.around), hook(mapped(), &bench.around));
    let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
    for (hook, body, code, reason) in [
        (&own, "{", "bad_json", "line 1 column 1"),
        (&own, r#"{"id": "a", "id": "b"}"#, "bad_json", "`id` comes twice"),
        (&own, &deep, "bad_json", "nested too deeply"),
        (&own, "NaN", "bad_json", "line 1"),
        (&own, "3", "not_an_alert", "JSON object"),
        (&own, r#"{"id": "a", "kind": "k", "severty": "high"}"#, "not_an_alert", "severty"),
        (&own, r#"{"id": "a", "kind": "k", "source": "graph"}"#, "not_an_alert", "`source` is \"graph\""),
        (&own, r#"{"id": "a\u0000", "kind": "k"}"#, "not_an_alert", "control character"),
        (&own, r#"{"specversion": "1.0", "type": "com.example", "data": {}}"#, "not_an_alert", "quell.alert.v1"),
        (&own, r#"{"specversion": "0.3", "type": "quell.alert.v1", "data": {}}"#, "not_an_alert", "1.0"),
        (&mapped, r#"{"number": 1, "rule": "r", "level": "huge", "host": "h"}"#, "not_an_alert", "huge"),
        (&mapped, r#"{"number": 1.5, "rule": "r", "level": "low", "host": "h"}"#, "not_an_alert", "send it as text"),
        (&mapped, r#"{"number": 36893488147419103232, "rule": "r", "level": "low", "host": "h"}"#, "not_an_alert", "send it as text"),
        (&own, r#"[{"id": "a", "kind": "k"}, {"id": "b"}]"#, "not_an_alert", "item 1: missing field `kind`"),
    ] {
        let (status, answer, _) = post(hook, &[], body.to_owned()).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!((status, answer["error"]["code"].as_str()), (400, Some(code)), "{body}: {answer}");
        assert!(message.contains(reason), "{body}: {message} should mention {reason}");
        assert!(answer["error"]["help"].as_str().is_some_and(|help| !help.is_empty()));
    }
    assert!(bench.bus.messages().is_empty());
}

#[tokio::test]
async fn several_alerts_come_in_one_array() {
    let bench = Bench::new().await;
    let hook = hook(open(), &bench.around);
    let (status, body, _) = post(&hook, &[], r#"[{"id": "a", "kind": "k"}, {"id": "b", "kind": "k"}]"#).await;
    assert_eq!((status, body), (202, json!({"ids": ["a", "b"]})));
    assert_eq!(post(&hook, &[], "[]").await.1, json!({"ids": []}));
    assert_eq!(bench.bus.alerts().len(), 2);
}

#[tokio::test]
async fn a_foreign_document_is_mapped() {
    let bench = Bench::new().await;
    let hook = hook(mapped(), &bench.around);
    let body = r#"{"number": 7, "rule": "Brute_Force", "level": "HIGH", "host": "vm-1"}"#;
    let (status, answer, _) = post(&hook, &[("User-Agent", "siem/1")], body).await;
    assert_eq!((status, answer), (202, json!({"id": "7"})));
    let alert = &bench.bus.alerts()[0];
    assert_eq!((alert.kind.as_str(), alert.severity, &alert.resources[..]), ("brute_force", Severity::High, &["vm-1".to_owned()][..]));
    assert_eq!(alert.details["agent"], "siem/1");
    assert_eq!(alert.raw["rule"], "Brute_Force");
}

#[tokio::test]
async fn an_event_that_this_program_wrote_is_taken() {
    let bench = Bench::new().await;
    let hook = hook(open(), &bench.around);
    post(&hook, &[], ALERT).await;
    let event = bench.bus.messages()[0].body.clone();
    assert_eq!(post(&hook, &[("Content-Type", "application/cloudevents+json")], event).await.0, 202);
    assert_eq!(bench.bus.messages()[0].key, bench.bus.messages()[1].key);
}

#[tokio::test]
async fn an_alert_without_an_identifier_gets_one_from_its_bytes() {
    let bench = Bench::new().await;
    let hook = hook(open(), &bench.around);
    for body in [r#"{"kind": "k"}"#, r#"{"kind": "k"}"#, r#"{"kind": "l"}"#] {
        post(&hook, &[], body).await;
    }
    let keys: Vec<_> = bench.bus.alerts().iter().map(Alert::dedup_key).collect();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
}

#[tokio::test]
async fn a_stranger_is_told_nothing_and_the_body_is_not_looked_at() {
    let bench = Bench::new().await;
    let mut settings = open();
    settings["auth"] = json!({"bearer": "s3cret"});
    settings["rate"] = json!({"per_second": 1, "burst": 2});
    let hook = hook(settings, &bench.around);
    for headers in [&[][..], &[("Authorization", "Bearer wrong")], &[("Authorization", "Basic czNjcmV0")]] {
        let (status, body, head) = post(&hook, headers, "{").await;
        assert_eq!((status, body["error"]["message"].as_str()), (401, Some("the request is not authenticated")));
        assert!(head.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    }
    // The refusals have not used up what the sender may send.
    let sent = [("Authorization", "Bearer s3cret")];
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let (status, _, head) = post(&hook, &sent, ALERT).await;
        assert_eq!(status == 429, head.headers().contains_key("retry-after"));
        statuses.push(status);
    }
    assert_eq!(statuses, [202, 202, 429]);
}

#[tokio::test]
async fn only_plain_json_of_bounded_size_is_read() {
    let bench = Bench::new().await;
    let mut settings = open();
    settings["max_body"] = 1_000.into();
    let hook = hook(settings, &bench.around);
    let body = |bytes: usize| format!("{{\"kind\": \"k\", \"title\": \"{}\"}}", "x".repeat(bytes - 26));
    let statuses = [
        post(&hook, &[], body(1_000)).await.0,
        post(&hook, &[], body(1_001)).await.0,
        post(&hook, &[("Content-Length", "999999999999")], body(100)).await.0,
        post(&hook, &[("Content-Encoding", "gzip")], body(100)).await.0,
        post(&hook, &[("Content-Encoding", "identity")], body(100)).await.0,
        post(&hook, &[("Content-Type", "application/json; charset=utf-8")], body(100)).await.0,
        post(&hook, &[("Content-Type", "multipart/form-data")], body(100)).await.0,
        post(&hook, &[("Content-Type", "text/plain+json")], body(100)).await.0,
        post(&hook, &[("Content-Type", "")], body(100)).await.0,
    ];
    assert_eq!(statuses, [202, 413, 413, 415, 415, 202, 415, 415, 415]);

    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 100]));
    let (status, _, head) = post(&hook, &[], Body::from_stream(endless)).await;
    assert_eq!((status, head.headers()["connection"].to_str().unwrap()), (413, "close"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let bench = Bench::new().await;
    let hook = hook(open(), &bench.around);
    tokio::time::pause();
    let stalled = stream::pending::<Result<Vec<u8>, std::io::Error>>();
    assert_eq!(post(&hook, &[], Body::from_stream(stalled)).await.0, 408);
}

#[tokio::test]
async fn repeated_messages_of_standard_webhooks_share_an_identifier_and_different_ones_do_not() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use ring::hmac;

    let bench = Bench::new().await;
    let mut settings = open();
    settings["auth"] = json!({"standard_webhooks": {"secret": format!("whsec_{}", STANDARD.encode("key"))}});
    let hook = hook(settings, &bench.around);
    let body = r#"{"kind": "k"}"#;
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
    let at = jiff::Timestamp::now().as_second().to_string();
    for id in ["m1", "m1", "m2"] {
        let signature = format!("v1,{}", STANDARD.encode(hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes())));
        let headers = [("webhook-id", id), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
        assert_eq!(post(&hook, &headers, body).await.1, json!({"id": id}));
    }
}

#[tokio::test]
async fn only_post_is_taken() {
    let bench = Bench::new().await;
    let request = axum::extract::Request::get("/hooks/siem").body(Body::empty()).unwrap();
    let response = hook(open(), &bench.around).answer(request).await;
    assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str().unwrap()), (405, "POST"));
}
