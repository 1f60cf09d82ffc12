//! The webhook's registration at Partner Center, by the commands that people type, and a test event on its whole way.

use std::{fs, process::Output, time::Duration};

use quell::run::RunState;
use quell_simulator::{AlertSeed, Entry, Event, Notify, Options, Tamper};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    spine::{CONTAIN, customer_with},
    support::{
        broker::shared_url,
        lab::{Lab, TOKEN},
    },
};

#[track_caller]
fn said(output: &Output, code: i32, expected: &[&str]) {
    let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{all}");
    for text in expected {
        assert!(all.contains(text), "no `{text}` in\n{all}");
    }
}

fn register(lab: &Lab, more: &[&str]) -> Output {
    lab.quell(&[&["webhook", "register", "--url", &lab.url("")], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_webhook_is_tried_all_the_way_into_the_journal() {
    let lab = Lab::embedded().await;
    said(&lab.quell(&["webhook", "show"]), 1, &["no webhook is registered"]);
    said(&lab.quell(&["webhook", "test"]), 1, &["has not registered adapter `partner_center`"]);
    let _quell = lab.run().await;
    for header in [&[][..], &["--own-header"]] {
        said(&register(&lab, header), 0, &["azure-fraud-event-detected", "test-created"]);
        let tried = lab.json(&["webhook", "test"]);
        assert_eq!(tried["answers"], json!(["OK"]));
        let alert = &lab.json(&["alerts", "show", tried["event"].as_str().unwrap()])["event"]["data"];
        assert_eq!((&alert["kind"], &alert["is_test"]), (&json!("test"), &json!(true)), "{alert}");
    }
    said(&lab.quell(&["webhook", "test"]), 3, &["Rate limit"]);
    said(&lab.quell(&["audit", "list"]), 0, &["webhook.register", "adapter partner_center"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_again_changes_nothing_and_another_registration_is_only_replaced_on_purpose() {
    let lab = Lab::embedded().await;
    let registered = |lab: &Lab| lab.simulator.effects("webhook.registered").len();
    said(&register(&lab, &[]), 0, &[]);
    said(&register(&lab, &[]), 0, &["/hooks/partner-center/k7p2"]);
    assert_eq!(registered(&lab), 1);
    let elsewhere = ["webhook", "register", "--url", "https://other.example"];
    said(&lab.quell(&elsewhere), 1, &["is registered, and a partner has one registration", "--replace"]);
    assert_eq!(registered(&lab), 1);
    said(&lab.quell(&[&elsewhere[..], &["--replace"]].concat()), 0, &["https://other.example/hooks/partner-center/k7p2"]);
    assert_eq!(registered(&lab), 2);
    lab.change_settings("certificate_urls:", "events: [invoice-ready, invoice-redy], certificate_urls:");
    said(&register(&lab, &["--replace"]), 1, &["offers no event `invoice-redy`; did you mean `invoice-ready`?"]);
    said(&lab.quell(&["webhook", "show"]), 1, &["missing", "invoice-ready"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_that_does_not_arrive_says_where_it_was_lost() {
    let lab = Lab::new("url: embedded", Options { callback_retry: Duration::from_millis(1), ..Options::default() }).await;
    said(&register(&lab, &[]), 0, &[]);
    said(&lab.quell(&["webhook", "test", "--timeout", "30"]), 1, &["ServiceUnavailable"]);
    // Its signature is good, and not of whom the settings trust.
    fs::write(lab.path("root.pem"), lab.simulator.stranger_root_certificate_pem()).unwrap();
    let _quell = lab.run().await;
    said(&lab.quell(&["webhook", "test", "--timeout", "30"]), 1, &["Unauthorized", "the log of `quell run` says"]);
    let rows: Value = lab.json(&["alerts", "list"]);
    assert_eq!(rows, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_registration_to_the_suspended_plan_each_effect_is_there_once_and_in_order() {
    let options = Options { cancel_status: 202, cancel_delay: Duration::from_millis(500), ..Options::default() };
    let lab = Lab::on_broker(&shared_url(), options).await;
    lab.playbook("contain", CONTAIN);
    let quell = lab.run().await;
    said(&register(&lab, &[]), 0, &["azure-fraud-event-detected", "test-created"]);
    assert_eq!(lab.json(&["webhook", "test"])["answers"], json!(["OK"]));

    // Partner Center calls by itself, where it was registered.
    let customer = customer_with(&lab.simulator, 1);
    let seed = AlertSeed { alert_type: "CryptoMining".to_owned(), customer, notify: Notify::Yes, ..AlertSeed::default() };
    let id = lab.simulator.add_alert(seed);
    let store = lab.store().await;
    let (alerts, runs) = lab.settled(&store, 2, Duration::from_mins(1)).await;
    assert!(alerts.iter().any(|alert| alert.id == id && alert.kind == "crypto_mining"), "{alerts:#?}");
    let [run] = &runs[..] else { panic!("{runs:#?}") };
    assert_eq!(run.run.state, RunState::Done, "{run:#?}\n{}", quell.log());

    let ledger = lab.simulator.ledger();
    let kind = |entry: &Entry| entry.effect.as_ref().map(|it| it.kind.clone()).unwrap_or_default();
    let is_change = |kind: &String| !matches!(kind.as_str(), "token.issued" | "callback.delivered");
    let effects: Vec<_> = ledger.iter().filter(|entry| entry.applied).map(kind).filter(is_change).collect();
    let expected = ["webhook.registered", "entitlement.cancelled", "subscription.suspended", "alert.updated", "message.slack"];
    assert_eq!(effects, expected);
    assert_eq!(ledger.iter().filter(|entry| kind(entry) == "callback.delivered").count(), 2, "the test and the fraud, each at once");
    let first = |wanted: &dyn Fn(&Entry) -> bool| ledger.iter().find(|entry| wanted(entry)).map(|entry| entry.seq).expect("such an entry");
    let cancelled = first(&|entry| kind(entry) == "entitlement.cancelled");
    assert_eq!(ledger.iter().find(|entry| entry.seq == cancelled).map(|entry| entry.status), Some(202));
    let read = first(&|entry| entry.service == "graph" && entry.method == "GET" && entry.path.contains("securityAlerts"));
    let confirmed = first(&|entry| entry.seq > cancelled && entry.method == "GET" && entry.path.contains("azureEntitlements"));
    let suspended = first(&|entry| kind(entry) == "subscription.suspended");
    assert!(read < cancelled && cancelled < confirmed && confirmed < suspended, "{read} {cancelled} {confirmed} {suspended}");

    let alert = lab.simulator.alert(&id).unwrap();
    assert_eq!((&alert["status"], &alert["resolvedReason"]), (&json!("resolved"), &json!("fraud")));
    assert_eq!(serde_json::to_value(lab.simulator.world()[customer].plan.status).unwrap(), "suspended");
    assert!(quell.terminate().success());
}

/// A request as bytes to the generic webhook, and the status of its answer.
async fn raw(lab: &Lab, head: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", lab.port)).await.unwrap();
    let head = format!("POST /hooks/siem HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer).await);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_sends_is_answered_exactly_and_makes_nobody_call_anybody() {
    let lab = Lab::embedded().await;
    let _quell = lab.run().await;
    let (json_type, bearer) = ("Content-Type: application/json", format!("Authorization: Bearer {TOKEN}"));
    let good = format!("{json_type}\r\n{bearer}");
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes();
    let twice = br#"{"kind": "k", "subscription_id": "a", "subscription_id": "b"}"#;
    for (what, head, body, expected) in [
        ("no credential", json_type.to_owned(), &b"{"[..], 401),
        ("another credential", format!("{json_type}\r\nAuthorization: Bearer x"), b"{}", 401),
        ("a byte too many", good.clone(), &vec![b' '; 64 * 1024 + 1], 413),
        ("compressed", format!("{good}\r\nContent-Encoding: gzip"), b"\x1f\x8b", 415),
        ("nested ten thousand times", good.clone(), &deep, 400),
        ("a key twice", good.clone(), twice, 400),
        ("a number beyond all", good.clone(), br#"{"kind": "k", "details": {"n": 1e999}}"#, 400),
        ("half a letter", good.clone(), br#"{"kind": "\ud800"}"#, 400),
        ("no text", good.clone(), b"{\"kind\": \"\xff\"}", 400),
        ("a form", format!("Content-Type: application/x-www-form-urlencoded\r\n{bearer}"), b"kind=k", 415),
        ("no type", bearer.clone(), b"{}", 415),
    ] {
        let status = raw(&lab, &format!("{head}\r\nContent-Length: {}", body.len()), body).await;
        assert_eq!(status, expected, "{what}");
    }
    let chunked = format!("{good}\r\nTransfer-Encoding: chunked");
    let chunk = [format!("{:x}\r\n", 64 * 1024).as_bytes(), &vec![b' '; 64 * 1024], b"\r\n1\r\n \r\n"].concat();
    assert_eq!(raw(&lab, &chunked, &chunk).await, 413, "more than was announced");
    let both = format!("{chunked}\r\nContent-Length: 4");
    assert_eq!(raw(&lab, &both, b"0\r\n\r\n").await, 400, "two ways to tell the length");

    let url = lab.url("/hooks/partner-center/k7p2");
    let at = |url: &str| Event { certificate_url: Some(url.to_owned()), ..Event::default() };
    for event in [
        Event { tamper: Tamper::Unsigned, ..Event::default() },
        Event { algorithm: "none".to_owned(), ..Event::default() },
        at("http://169.254.169.254/latest/meta-data/x.cer"),
        at("file:///etc/passwd"),
        at("https://3psostorageacct2.blob.core.windows.net/cert/a.cer"),
    ] {
        assert_eq!(lab.simulator.deliver_webhook(&url, event.clone()).await.unwrap(), 401, "{event:?}");
    }
    let called: Vec<_> = lab.simulator.ledger().into_iter().filter(|entry| entry.service != "callback").collect();
    assert!(called.is_empty(), "{called:#?}");
    assert_eq!(lab.json(&["alerts", "list"]), json!([]));
    assert_eq!(lab.json(&["quarantine", "list"]), json!([]));
}
