//! The webhook's registration at Partner Center, by the commands that people type, and a test event on its whole way.

use std::{fs, process::Output};

use quell_simulator::Options;
use serde_json::{Value, json};

use crate::support::lab::Lab;

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
    let lab = Lab::new("url: embedded", Options { callback_retry: std::time::Duration::from_millis(1), ..Options::default() }).await;
    said(&register(&lab, &[]), 0, &[]);
    said(&lab.quell(&["webhook", "test", "--timeout", "30"]), 1, &["ServiceUnavailable"]);
    // Its signature is good, and not of whom the settings trust.
    fs::write(lab.path("root.pem"), lab.simulator.stranger_root_certificate_pem()).unwrap();
    let _quell = lab.run().await;
    said(&lab.quell(&["webhook", "test", "--timeout", "30"]), 1, &["Unauthorized", "the log of `quell run` says"]);
    let rows: Value = lab.json(&["alerts", "list"]);
    assert_eq!(rows, json!([]));
}
