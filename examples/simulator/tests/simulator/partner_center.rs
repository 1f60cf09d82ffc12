//! Suspension, cancellation, idempotency, the activity log and registration.

use std::time::Duration;

use quell_simulator::{AlertSeed, EntitlementStatus, Options, PlanStatus};
use serde_json::json;

use crate::support::{Lab, PARTNER_CENTER, finish, quick};

#[tokio::test]
async fn a_plan_is_suspended_only_after_its_subscriptions_are_cancelled() {
    let lab = Lab::start().await;
    let suspension = lab.suspension().await;
    let refused = lab.suspend(&suspension, "r1").await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("900115")));
    lab.cancel_all().await;
    let accepted = lab.suspend(&suspension, "r2").await;
    assert_eq!((accepted.status, &accepted.json()["status"]), (200, &json!("suspended")));
    assert_ne!(accepted.json()["attributes"]["etag"], suspension.0["attributes"]["etag"]);
    let counts = lab.simulator.counts();
    assert_eq!((counts.suspended, counts.cancelled), (1, lab.customer().plan.entitlements.len()));
    assert_eq!(lab.customer().plan.status, PlanStatus::Suspended);
}

#[tokio::test]
async fn a_stale_or_missing_etag_is_refused() {
    let lab = Lab::start().await;
    lab.cancel_all().await;
    let suspension = lab.suspension().await;
    assert_eq!(lab.suspend(&suspension, "r1").await.status, 200);
    lab.simulator.reactivate(&lab.customer().plan.id);
    let stale = lab.suspend(&suspension, "r2").await;
    assert_eq!((stale.status, &stale.json()["code"]), (400, &json!("2055")));
    assert_eq!(lab.send("PATCH", &lab.plan_url(), &suspension.0).await.status, 400);
    let counts = lab.simulator.counts();
    assert_eq!((counts.suspended, counts.reactivated), (1, 1));
}

#[tokio::test]
async fn an_incomplete_body_is_refused() {
    let lab = Lab::start().await;
    lab.cancel_all().await;
    let (_, etag) = lab.suspension().await;
    let refused = lab.suspend(&(json!({ "status": "suspended" }), etag), "r1").await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("800002")));
}

#[tokio::test]
async fn the_same_request_id_gets_the_same_answer_and_no_new_effect() {
    let lab = Lab::start().await;
    lab.cancel_all().await;
    let suspension = lab.suspension().await;
    let first = lab.suspend(&suspension, "same").await;
    lab.simulator.reactivate(&lab.customer().plan.id);
    let second = lab.suspend(&suspension, "same").await;
    assert_eq!((first.status, first.text), (200, second.text));
    assert_eq!(second.headers.get("ms-requestid").unwrap(), "same");
    assert_eq!(lab.customer().plan.status, PlanStatus::Active);
    assert_eq!(lab.simulator.counts().suspended, 1);
    assert!(lab.simulator.effects("subscription.suspended")[1].effect.as_ref().unwrap().repeat);
}

#[tokio::test]
async fn a_forgotten_request_id_is_a_new_request() {
    let options = Options { request_id_memory: Some(Duration::ZERO), enforce_etag: false, ..quick() };
    let lab = Lab::with(options).await;
    lab.cancel_all().await;
    let suspension = lab.suspension().await;
    lab.suspend(&suspension, "same").await;
    lab.simulator.reactivate(&lab.customer().plan.id);
    lab.suspend(&suspension, "same").await;
    assert_eq!(lab.simulator.counts().suspended, 2);
}

#[tokio::test]
async fn a_cancellation_shows_later() {
    let lab = Lab::start().await;
    let url = lab.entitlement_url(0);
    let cancel = format!("{url}/cancel");
    let wrong = lab.send("POST", &cancel, &json!({ "cancellationReason": "other" })).await;
    assert_eq!((wrong.status, &wrong.json()["code"]), (400, &json!("900307")));
    let body = json!({ "CancellationReason": "compromise" });
    let answer = lab.send("POST", &cancel, &body).await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("active")));
    assert_eq!(lab.get(&url).await.json()["status"], "active");
    lab.until(|customer| customer.plan.entitlements[0].status == EntitlementStatus::Inactive).await;
    assert_eq!(lab.get(&url).await.json()["status"], "inactive");
    assert_eq!(lab.send("POST", &cancel, &body).await.status, 400);
    let again = lab.send("POST", &format!("{url}/reactivate"), &json!({})).await;
    assert_eq!(again.status, 202);
    assert_eq!(lab.customer().plan.entitlements[0].status, EntitlementStatus::Active);
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.reactivated), (1, 1));
}

#[tokio::test]
async fn what_does_not_exist_is_said_with_its_own_code() {
    let lab = Lab::start().await;
    let base = format!("{}/v1/customers", lab.simulator.partner_center_url());
    let customer = lab.customer().tenant_id;
    let nobody = "00000000-0000-4000-8000-000000000000";
    let table = [
        (format!("{base}/{nobody}"), 404, "60003"),
        (format!("{base}/not-a-guid"), 400, "900118"),
        (format!("{base}/{customer}/subscriptions/{nobody}"), 404, "20003"),
        (format!("{}/azureEntitlements/{nobody}", lab.plan_url()), 404, "800111"),
        (format!("{base}/{customer}/relationships"), 403, "900329"),
    ];
    for (url, status, code) in table {
        let answer = lab.get(&url).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{url}");
    }
}

#[tokio::test]
async fn customers_are_paged_by_continuation_token() {
    let lab = Lab::start().await;
    let base = lab.simulator.partner_center_url();
    let first = lab.get(&format!("{base}/v1/customers?size=15")).await.json();
    let next = &first["links"]["next"];
    let token = next["headers"][0]["value"].as_str().unwrap();
    let url = format!("{base}/v1{}", next["uri"].as_str().unwrap());
    let request = lab.request("GET", &url).header("MS-ContinuationToken", token);
    let second = finish(request).await.unwrap().json();
    assert_eq!(first["items"].as_array().unwrap().len(), 15);
    assert_eq!(second["items"].as_array().unwrap().len(), 5);
    assert!(second["links"]["next"].is_null());
}

#[tokio::test]
async fn the_activity_log_names_fraud_and_budget() {
    let lab = Lab::start().await;
    lab.simulator.add_alert(AlertSeed::default());
    let base = format!("{}/v1", lab.simulator.partner_center_url());
    let customer = lab.customer().tenant_id;
    let budget = format!("{base}/customers/{customer}/usagebudget");
    let answer = lab.send("PATCH", &budget, &json!({ "Amount": 250 })).await;
    assert_eq!((answer.status, &answer.json()["amount"]), (200, &json!(250.0)));
    let log = lab.get(&format!("{base}/auditrecords")).await.json();
    let operations: Vec<_> = log["items"].as_array().unwrap().iter().map(|it| &it["operationType"]).collect();
    assert_eq!(operations, ["azure_fraud_event_detected", "update_customer_spending_budget"]);
    let filter = "%7B%22Field%22:%22ResourceType%22,%22Value%22:%22azure_fraud_event%22,%22Operator%22:%22equals%22%7D";
    let log = lab.get(&format!("{base}/auditrecords?filter={filter}")).await.json();
    assert_eq!(log["totalCount"], 1);
    assert_eq!(lab.get(&format!("{base}/auditrecords?startDate=2020-01-01")).await.status, 400);
}

#[tokio::test]
async fn the_world_belongs_to_the_seed() {
    let (one, same) = (Lab::start().await, Lab::start().await);
    let other = Lab::with(Options { seed: 2, ..quick() }).await;
    let ids = |lab: &Lab| -> Vec<String> { lab.simulator.world().into_iter().map(|it| it.tenant_id).collect() };
    assert_eq!(ids(&one), ids(&same));
    assert_ne!(ids(&one), ids(&other));
}

#[tokio::test]
async fn the_older_view_of_alerts_needs_a_person() {
    let lab = Lab::start().await;
    let id = lab.simulator.add_alert(AlertSeed::default());
    let events = format!("{}/v1/fraudEvents", lab.simulator.partner_center_url());
    assert_eq!(lab.get(&events).await.json()["code"], "900329");
    let token = lab.user_token(PARTNER_CENTER).await;
    let found = lab.send_as(&token, "GET", &events, &json!(null)).await.json();
    assert_eq!((&found[0]["eventStatus"], found[0].get("eventType")), (&json!("Active"), None));
    let event_id = found[0]["eventId"].as_str().unwrap();
    let subscription = found[0]["subscriptionId"].as_str().unwrap();
    let url = format!("{events}/subscription/{subscription}/status");
    let body = json!({ "EventIds": [event_id], "EventStatus": "Resolved", "ResolvedReason": "Fraud" });
    let updated = lab.send_as(&token, "POST", &url, &body).await;
    assert_eq!((updated.status, &updated.json()[0]["resolvedReason"]), (200, &json!("Fraud")));
    assert_eq!(lab.simulator.alert(&id).unwrap()["status"], "resolved");
}

#[tokio::test]
async fn without_proof_of_multi_factor_sign_in_a_person_is_refused() {
    let lab = Lab::with(Options { mfa: false, ..quick() }).await;
    let url = format!("{}/v1/customers", lab.simulator.partner_center_url());
    assert_eq!(lab.get(&url).await.status, 200);
    let token = lab.user_token(PARTNER_CENTER).await;
    let refused = lab.send_as(&token, "GET", &url, &json!(null)).await;
    assert_eq!(refused.status, 401);
    assert!(refused.text.contains("MFA required"));
}
