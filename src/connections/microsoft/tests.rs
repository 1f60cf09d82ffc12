//! The connection against the simulator: tokens, and what each answer is taken for.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use quell_simulator::{AlertSeed, Fault, FaultKind, Options, Simulator};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::connections::bench::{self, Memory, calls, connect, first};

async fn simulator() -> Simulator {
    bench::simulator(Options::default()).await
}

fn app(simulator: &Simulator) -> Microsoft {
    connect(&bench::config(simulator), Arc::default())
}

fn with_consent(simulator: &Simulator, keeper: Arc<Memory>) -> Microsoft {
    let refresh_token = Some(Secret::new(simulator.refresh_token()));
    connect(&MicrosoftConfig { refresh_token, ..bench::config(simulator) }, keeper)
}

async fn look(microsoft: &Microsoft, simulator: &Simulator) -> Result<Subscription, Failure> {
    let (customer, plan, _) = first(simulator);
    microsoft.get_subscription(&customer, &plan).await
}

async fn cancel(microsoft: &Microsoft, simulator: &Simulator, request_id: Uuid) -> Result<(), Failure> {
    let (customer, plan, entitlement) = first(simulator);
    let at = EntitlementAt { customer: &customer, plan: &plan, entitlement: &entitlement };
    microsoft.cancel_entitlement(at, "compromise", request_id).await
}

fn status(status: u16, body: Option<Value>, retry_after: Option<&str>) -> FaultKind {
    FaultKind::Status { status, body, retry_after: retry_after.map(str::to_owned) }
}

fn at(service: &str, kind: FaultKind) -> Fault {
    Fault { service: Some(service.to_owned()), ..Fault::always(kind) }
}

#[tokio::test]
async fn many_callers_sign_in_once() {
    let simulator = bench::simulator(Options { latency: Duration::from_millis(30), ..Options::default() }).await;
    for microsoft in [app(&simulator), with_consent(&simulator, Arc::default())] {
        let before = simulator.counts().tokens;
        for outcome in join_all((0..20).map(|_| look(&microsoft, &simulator))).await {
            outcome.unwrap();
        }
        assert_eq!(simulator.counts().tokens - before, 1);
    }
}

#[tokio::test]
async fn many_callers_with_an_expired_token_renew_it_once() {
    let simulator = bench::simulator(Options { latency: Duration::from_millis(30), ..Options::default() }).await;
    let microsoft = app(&simulator);
    look(&microsoft, &simulator).await.unwrap();
    simulator.expire_tokens();
    for outcome in join_all((0..20).map(|_| look(&microsoft, &simulator))).await {
        outcome.unwrap();
    }
    assert_eq!(simulator.counts().tokens, 2);
}

#[tokio::test]
async fn a_token_that_is_never_accepted_is_renewed_once_and_then_needs_a_person() {
    let simulator = simulator().await;
    simulator.fault(at("partner-center", status(401, None, None)));
    let failure = cancel(&app(&simulator), &simulator, Uuid::now_v7()).await.unwrap_err();
    assert_eq!((failure.kind, failure.http_status), (FailureKind::Rejected, Some(401)));
    assert!(failure.message.contains("a person"), "{failure}");
    assert_eq!((calls(&simulator, "partner-center"), simulator.counts().tokens), (2, 2));
}

#[tokio::test]
async fn a_rotated_token_is_kept_before_its_access_token_is_used() {
    let simulator = simulator().await;
    let keeper = Memory::watching(&simulator);
    let microsoft = with_consent(&simulator, Arc::clone(&keeper));
    look(&microsoft, &simulator).await.unwrap();
    assert_eq!(keeper.calls_before_keeping(), [0]);
    simulator.expire_tokens();
    look(&microsoft, &simulator).await.unwrap();
    // The look itself, and the one that was answered 401.
    assert_eq!(keeper.calls_before_keeping(), [0, 2]);
}

#[tokio::test]
async fn a_token_that_cannot_be_kept_is_not_used() {
    let simulator = simulator().await;
    let failure = look(&with_consent(&simulator, Memory::broken()), &simulator).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotDone);
    assert!(failure.message.contains("disk full"), "{failure}");
    assert_eq!(calls(&simulator, "partner-center"), 0);
}

#[tokio::test]
async fn a_service_that_repeats_what_it_was_sent_makes_no_message_with_a_secret() {
    let simulator = simulator().await;
    let echo = |secret: &str| status(400, Some(json!({ "error": "x", "error_description": format!("you sent {secret}") })), None);
    simulator.fault(at("login", echo(&simulator.refresh_token())));
    let failure = look(&with_consent(&simulator, Arc::default()), &simulator).await.unwrap_err();
    assert!(failure.message.contains("you sent ***") && !failure.message.contains(&simulator.refresh_token()), "{failure}");
}

#[tokio::test]
async fn a_rotated_token_that_could_not_be_kept_is_kept_before_it_is_used_again() {
    let simulator = simulator().await;
    let keeper = Memory::broken();
    let microsoft = with_consent(&simulator, Arc::clone(&keeper));
    for _ in 0..2 {
        assert!(look(&microsoft, &simulator).await.unwrap_err().message.contains("disk full"));
        assert_eq!(calls(&simulator, "login"), 1, "another sign-in would only make another token that cannot be kept");
    }
    keeper.mend();
    look(&microsoft, &simulator).await.unwrap();
    assert_eq!(calls(&simulator, "login"), 2);
}

#[tokio::test]
async fn a_rotated_token_is_kept_when_its_caller_has_given_up() {
    let simulator = bench::simulator(Options { latency: Duration::from_millis(300), ..Options::default() }).await;
    let keeper = Memory::watching(&simulator);
    let microsoft = with_consent(&simulator, Arc::clone(&keeper));
    let given_up = tokio::time::timeout(Duration::from_millis(100), look(&microsoft, &simulator)).await;
    assert!(given_up.is_err());
    look(&microsoft, &simulator).await.unwrap();
    assert_eq!((keeper.calls_before_keeping(), simulator.counts().tokens), (vec![0], 1));
}

#[tokio::test]
async fn a_consent_that_is_gone_needs_a_person_and_comes_back_without_a_restart() {
    let simulator = simulator().await;
    let microsoft = with_consent(&simulator, Arc::default());
    simulator.revoke_refresh_tokens();
    let failure = look(&microsoft, &simulator).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert!(failure.message.contains("sign in again with multi-factor"), "{failure}");
    assert_eq!(calls(&simulator, "login"), 1);
    simulator.renew_consent();
    look(&microsoft, &simulator).await.unwrap();
}

#[tokio::test]
async fn a_consent_without_a_second_factor_is_not_renewed() {
    let simulator = bench::simulator(Options { mfa: false, ..Options::default() }).await;
    let failure = look(&with_consent(&simulator, Arc::default()), &simulator).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert!(failure.message.contains("consent again with multi-factor"), "{failure}");
    assert_eq!(simulator.counts().tokens, 1);
}

#[tokio::test]
async fn a_wrong_secret_is_said_and_not_shown() {
    let simulator = simulator().await;
    let config = MicrosoftConfig { client_secret: Some(Secret::new("canary-secret")), ..bench::config(&simulator) };
    let microsoft = connect(&config, Arc::default());
    let failure = look(&microsoft, &simulator).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert!(failure.message.contains("client secret is wrong"), "{failure}");
    assert!(!format!("{failure:?} {config:?} {microsoft:?}").contains("canary"));
}

#[tokio::test]
async fn without_a_token_a_write_is_certainly_not_done() {
    for kind in [status(500, None, None), status(429, None, Some("7")), FaultKind::DropBeforeApply, FaultKind::Truncate] {
        let simulator = simulator().await;
        simulator.fault(at("login", kind));
        let failure = cancel(&app(&simulator), &simulator, Uuid::now_v7()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotDone, "{failure}");
        assert_eq!(calls(&simulator, "partner-center"), 0);
    }
}

#[tokio::test]
async fn many_callers_of_a_sign_in_that_is_down_ask_once() {
    let simulator = bench::simulator(Options { latency: Duration::from_millis(50), ..Options::default() }).await;
    simulator.fault(at("login", status(500, None, None)));
    let microsoft = app(&simulator);
    for outcome in join_all((0..20).map(|_| look(&microsoft, &simulator))).await {
        assert_eq!(outcome.unwrap_err().kind, FailureKind::NotDone);
    }
    assert_eq!(calls(&simulator, "login"), 1);
    assert!(look(&microsoft, &simulator).await.is_err());
    assert_eq!(calls(&simulator, "login"), 2);
}

#[tokio::test]
async fn an_answer_tells_whether_a_write_was_done() {
    use FailureKind::{Conflict, NotDone, Rejected, Unknown};
    let coded = |code: &str| Some(json!({ "code": code, "description": "said", "source": "PartnerCenter" }));
    let throttled = Some(json!({ "statusCode": 429, "message": "Rate limit is exceeded." }));
    let location = "http://169.254.169.254/".to_owned();
    for (kind, expected) in [
        (status(429, throttled, Some("57")), NotDone),
        (status(503, None, Some("3")), NotDone),
        (status(503, None, None), Unknown),
        (status(408, None, None), Unknown),
        (status(500, coded("900192"), None), Unknown),
        (status(502, None, None), Unknown),
        (status(504, None, None), Unknown),
        (status(400, coded("2055"), None), Conflict),
        (status(412, None, None), Conflict),
        (status(400, coded("800002"), None), Rejected),
        (status(403, coded("900308"), None), Rejected),
        (status(404, coded("800111"), None), Rejected),
        (status(409, coded("800082"), None), NotDone),
        (status(409, coded("900278"), None), NotDone),
        (status(409, None, None), Rejected),
        (FaultKind::Redirect { location }, Rejected),
        (FaultKind::ApplyThenStatus { status: 500 }, Unknown),
        (FaultKind::ApplyThenDrop, Unknown),
        (FaultKind::DropBeforeApply, Unknown),
        (FaultKind::Truncate, Unknown),
        (FaultKind::Html { status: 200 }, Unknown),
        (FaultKind::Huge { bytes: 3_000_000 }, Unknown),
    ] {
        let simulator = simulator().await;
        let said = format!("{kind:?}");
        simulator.fault(at("partner-center", kind));
        let failure = cancel(&app(&simulator), &simulator, Uuid::now_v7()).await.unwrap_err();
        assert_eq!(failure.kind, expected, "{said}: {failure}");
        assert_eq!(calls(&simulator, "partner-center"), 1, "{said}");
    }
}

#[tokio::test]
async fn a_throttle_says_how_long_to_wait() {
    let simulator = simulator().await;
    simulator.fault(at("partner-center", status(429, None, Some("57"))));
    let failure = look(&app(&simulator), &simulator).await.unwrap_err();
    assert_eq!(failure.retry_after, Some(Duration::from_secs(57)));
}

#[tokio::test]
async fn a_byte_order_mark_does_not_make_an_answer_unreadable() {
    let simulator = simulator().await;
    simulator.fault(at("partner-center", FaultKind::ByteOrderMark));
    cancel(&app(&simulator), &simulator, Uuid::now_v7()).await.unwrap();
}

#[tokio::test]
async fn a_repeat_carries_the_same_request_id_and_is_recognised() {
    let simulator = simulator().await;
    let microsoft = app(&simulator);
    simulator.fault(Fault { times: Some(1), ..at("partner-center", FaultKind::ApplyThenDrop) });
    let request_id = Uuid::now_v7();
    assert_eq!(cancel(&microsoft, &simulator, request_id).await.unwrap_err().kind, FailureKind::Unknown);
    cancel(&microsoft, &simulator, request_id).await.unwrap();
    let sent = simulator.effects("entitlement.cancelled");
    assert_eq!((sent.len(), simulator.counts().cancelled), (2, 1));
    assert!(sent.iter().all(|it| it.request_id == Some(request_id.to_string())));
    assert_ne!(sent[0].correlation_id, sent[1].correlation_id);
}

#[tokio::test]
async fn a_plan_that_somebody_changed_is_not_suspended() {
    let simulator = simulator().await;
    let microsoft = app(&simulator);
    let (customer, plan, _) = first(&simulator);
    let seen = microsoft.get_subscription(&customer, &plan).await.unwrap();
    let stale = Subscription { etag: "old".to_owned(), ..seen };
    let failure = microsoft.suspend_plan(&customer, &stale, Uuid::now_v7()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert_eq!(simulator.counts().suspended, 0);
    let sent = simulator.ledger().into_iter().rfind(|it| it.method == "PATCH").unwrap();
    assert_eq!(sent.if_match.unwrap(), "\"old\"");
}

#[tokio::test]
async fn alerts_are_listed_over_pages_and_by_filter() {
    let simulator = bench::simulator(Options { page_size: 2, ..Options::default() }).await;
    for customer in 0..5 {
        simulator.add_alert(AlertSeed { customer, ..AlertSeed::default() });
    }
    let microsoft = app(&simulator);
    let query =
        AlertQuery { since: Some("2020-01-01T00:00:00Z".parse().unwrap()), status: Some("active".to_owned()), ..AlertQuery::default() };
    let mut page = microsoft.list_alerts(&query).await.unwrap();
    let mut alerts = std::mem::take(&mut page.alerts);
    while let Some(next) = page.next.take() {
        page = microsoft.next_page(&next).await.unwrap();
        alerts.append(&mut page.alerts);
    }
    assert_eq!(alerts.len(), 5);
    let subscription_id = alerts[3]["subscriptionId"].as_str().map(str::to_owned);
    let one = microsoft.list_alerts(&AlertQuery { subscription_id, ..AlertQuery::default() }).await.unwrap();
    assert_eq!(one.alerts, [alerts[3].clone()]);
}

#[tokio::test]
async fn a_refused_filter_is_left_out() {
    let simulator = simulator().await;
    simulator.add_alert(AlertSeed::default());
    simulator.fault(Fault { path: Some("filter".to_owned()), ..at("graph", status(400, None, None)) });
    let query = AlertQuery { status: Some("active".to_owned()), ..AlertQuery::default() };
    assert_eq!(app(&simulator).list_alerts(&query).await.unwrap().alerts.len(), 1);
}

#[tokio::test]
async fn a_token_does_not_follow_a_link_that_leads_elsewhere() {
    let simulator = simulator().await;
    let graph = simulator.graph_url();
    for link in [
        "https://evil.example/beta/security/partner/securityAlerts",
        &format!("{graph}/beta/users"),
        &format!("{graph}/beta/security/partner/securityAlerts/../../users"),
        &graph.replace("127.0.0.1", "127.0.0.1@evil.example"),
        "not a url",
    ] {
        assert_eq!(app(&simulator).next_page(link).await.unwrap_err().kind, FailureKind::Rejected, "{link}");
    }
    assert!(simulator.ledger().is_empty());
}

#[tokio::test]
async fn an_alert_id_cannot_leave_its_place_in_the_path() {
    let simulator = simulator().await;
    let microsoft = app(&simulator);
    for id in ["", ".", "..", "a\nb"] {
        assert_eq!(microsoft.get_alert(id).await.unwrap_err().kind, FailureKind::Rejected, "{id}");
    }
    assert!(simulator.ledger().is_empty());
    let failure = microsoft.get_alert("../users?x=1#y").await.unwrap_err();
    assert_eq!(failure.http_status, Some(404));
    let sent = simulator.ledger().pop().unwrap().path;
    assert!(sent.ends_with("/securityAlerts/..%2Fusers%3Fx=1%23y"), "{sent}");
}

#[tokio::test]
async fn each_tenant_has_a_token_of_its_own_and_many_callers_ask_for_it_once() {
    let simulator = bench::simulator(Options { latency: Duration::from_millis(20), ..Options::default() }).await;
    for customer_access in [CustomerAccess::Application, CustomerAccess::Person] {
        let refresh_token = Some(Secret::new(simulator.refresh_token()));
        let config = MicrosoftConfig { refresh_token, customer_access, ..bench::config(&simulator) };
        let microsoft = connect(&config, Arc::default());
        let before = simulator.counts().tokens;
        let look = async |customer: usize| {
            let customer = &simulator.world()[customer];
            let (tenant, subscription) = (&customer.tenant_id, &customer.plan.entitlements[0].id);
            let subscription = super::super::EntitlementId::parse(subscription).unwrap();
            microsoft.list_unattached_disks(&super::super::CustomerId::parse(tenant).unwrap(), &subscription).await
        };
        for outcome in join_all((0..20).map(|number| look(number % 2))).await {
            assert_eq!(outcome.unwrap().len(), 1);
        }
        assert_eq!(simulator.counts().tokens - before, 2, "{customer_access:?}");
    }
}

#[tokio::test]
async fn access_for_a_person_needs_a_persons_consent() {
    let simulator = simulator().await;
    let config = MicrosoftConfig { customer_access: CustomerAccess::Person, ..bench::config(&simulator) };
    let keeper: Arc<dyn Keeper> = Arc::new(Memory::default());
    let refused = Microsoft::build("contoso", &config, &bench::net(), &keeper, &Tasks::default()).unwrap_err();
    assert!(refused.contains("needs a `refresh_token`"), "{refused}");
}

#[tokio::test]
async fn a_tenant_that_does_not_know_the_application_is_named() {
    let simulator = simulator().await;
    let body = json!({ "error": "unauthorized_client", "error_description": "AADSTS700016: not found" });
    simulator.fault(at("login", status(400, Some(body), None)));
    let config = MicrosoftConfig { customer_access: CustomerAccess::Application, ..bench::config(&simulator) };
    let (customer, _, entitlement) = first(&simulator);
    let failure = connect(&config, Arc::default()).list_unattached_disks(&customer, &entitlement).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert!(failure.message.contains(customer.as_str()) && failure.message.contains("consent to it there"), "{failure}");
}
