//! Failures happen on the wire, and the ledger knows what was applied all the same.

use std::time::{Duration, Instant};

use quell_simulator::{AlertSeed, Fault, FaultKind};
use serde_json::{Value, json};

use crate::support::{Lab, finish};

fn cancel_body() -> Value {
    json!({ "cancellationReason": "compromise" })
}

fn on_cancel(kind: FaultKind) -> Fault {
    Fault { service: Some("partner-center".to_owned()), path: Some("/cancel".to_owned()), ..Fault::once(kind) }
}

#[tokio::test]
async fn apply_then_drop_changes_the_world_without_an_answer() {
    let lab = Lab::start().await;
    let url = format!("{}/cancel", lab.entitlement_url(0));
    lab.simulator.fault(on_cancel(FaultKind::ApplyThenDrop));
    assert!(lab.try_send("POST", &url, &cancel_body()).await.is_err());
    let entry = lab.simulator.effects("entitlement.cancelled").remove(0);
    assert!(entry.applied && !entry.answered);
    assert_eq!(lab.simulator.counts().cancelled, 1);
}

#[tokio::test]
async fn drop_before_apply_changes_nothing() {
    let lab = Lab::start().await;
    let url = format!("{}/cancel", lab.entitlement_url(0));
    lab.simulator.fault(on_cancel(FaultKind::DropBeforeApply));
    assert!(lab.try_send("POST", &url, &cancel_body()).await.is_err());
    assert_eq!(lab.simulator.counts().cancelled, 0);
    let entry = lab.simulator.ledger().pop().unwrap();
    assert!(!entry.applied && !entry.answered);
    assert_eq!(lab.send("POST", &url, &cancel_body()).await.status, 200);
}

#[tokio::test]
async fn a_truncated_answer_is_an_error_after_the_headers() {
    let lab = Lab::start().await;
    lab.simulator.fault(Fault::once(FaultKind::Truncate));
    let response = lab.request("GET", &lab.plan_url()).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn refusals_come_in_the_shape_of_the_service() {
    let lab = Lab::start().await;
    let too_many = || FaultKind::Status { status: 429, body: None, retry_after: Some("2.128".to_owned()) };
    lab.simulator.fault(Fault::once(too_many()));
    let answer = lab.get(&lab.alerts_url()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "2.128"));
    assert_eq!(answer.json()["error"]["code"], "TooManyRequests");
    lab.simulator.fault(Fault::once(too_many()));
    let answer = lab.get(&lab.plan_url()).await;
    assert_eq!((answer.status, &answer.json()["statusCode"]), (429, &json!(429)));
}

#[tokio::test]
async fn odd_answers_are_given_as_asked() {
    let lab = Lab::start().await;
    lab.simulator.fault(Fault::once(FaultKind::Html { status: 502 }));
    let page = lab.get(&lab.plan_url()).await;
    assert_eq!((page.status, page.text.starts_with("<!DOCTYPE html>")), (502, true));
    lab.simulator.fault(Fault::once(FaultKind::Huge { bytes: 3_000_000 }));
    assert_eq!(lab.get(&lab.plan_url()).await.text.len(), 3_000_000);
    let location = "http://127.0.0.1:9/elsewhere".to_owned();
    lab.simulator.fault(Fault::once(FaultKind::Redirect { location }));
    assert_eq!(lab.get(&lab.plan_url()).await.header("location"), "http://127.0.0.1:9/elsewhere");
    lab.simulator.fault(Fault::once(FaultKind::ByteOrderMark));
    assert!(lab.get(&lab.plan_url()).await.text.starts_with('\u{feff}'));
}

#[tokio::test]
async fn a_throttle_counts_per_customer() {
    let lab = Lab::start().await;
    lab.simulator.fault(Fault::always(FaultKind::Throttle { per_minute: 2 }));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(lab.get(&lab.plan_url()).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    let other = lab.simulator.world().remove(1).tenant_id;
    let url = format!("{}/v1/customers/{other}", lab.simulator.partner_center_url());
    assert_eq!(lab.get(&url).await.status, 200);
}

#[tokio::test]
async fn a_request_lands_although_its_client_left() {
    let lab = Lab::start().await;
    let url = format!("{}/cancel", lab.entitlement_url(0));
    lab.simulator.fault(on_cancel(FaultKind::Delay { milliseconds: 400 }));
    let request = lab.request("POST", &url).body(cancel_body().to_string());
    let started = Instant::now();
    assert!(finish(request.timeout(Duration::from_millis(50))).await.is_err());
    assert!(started.elapsed() < Duration::from_millis(390));
    assert_eq!(lab.simulator.counts().cancelled, 0);
    let wait = lab.simulator.wait_for("entitlement.cancelled", 1, Duration::from_secs(2));
    assert_eq!(wait.await.unwrap().len(), 1);
    // The answer has nowhere to go, which is found out a moment after the effect.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let entry = lab.simulator.effects("entitlement.cancelled").remove(0);
    assert!(entry.applied && !entry.answered);
}

#[tokio::test]
async fn a_rule_is_used_up_and_can_be_cleared() {
    let lab = Lab::start().await;
    let id = lab.simulator.add_alert(AlertSeed::default());
    let url = format!("{}/{id}", lab.alerts_url());
    lab.simulator.fault(Fault { method: Some("PATCH".to_owned()), ..Fault::once(FaultKind::ApplyThenStatus { status: 504 }) });
    let body = json!({ "status": "investigating" });
    assert_eq!(lab.get(&url).await.status, 200);
    assert_eq!(lab.send("PATCH", &url, &body).await.status, 504);
    assert_eq!(lab.send("PATCH", &url, &body).await.status, 200);
    assert_eq!(lab.simulator.counts().alert_updates, 1);
    lab.simulator.fault(Fault::always(FaultKind::Html { status: 500 }));
    lab.simulator.clear_faults();
    assert_eq!(lab.get(&url).await.status, 200);
}
