//! Callbacks as the simulator signs and spoils them: what is taken, what is refused, and what was fetched on the way.

use std::fs;

use axum::http::HeaderMap;
use quell_simulator::{AlertSeed, Event, Fault, Notify, Options, Placement, Simulator, Tamper};
use serde_json::{Value, json};

use super::{
    super::testing::{Bench, hook, serve_hook},
    proof::Proof,
    subscription_in,
};
use crate::alert::{Confidence, Status};

struct Scene {
    simulator: Simulator,
    bench: Bench,
    address: String,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_, _| ()).await
    }

    /// With settings changed by the test.
    async fn with(change: impl FnOnce(&mut Value, &Simulator)) -> Self {
        let simulator = Simulator::start(Options { notify: false, ..Options::default() }).await.unwrap();
        let bench = Bench::with(&simulator).await;
        let root = bench.folder.path().join("root.pem");
        fs::write(&root, simulator.root_certificate_pem()).unwrap();
        let mut settings = json!({
            "name": "partner_center", "type": "partner_center_webhook", "path": "/hooks/pc", "connection": "contoso", "source": "graph",
            "certificate_urls": [format!("{}/cert/", simulator.url())], "certificate_roots": root,
        });
        change(&mut settings, &simulator);
        let address = serve_hook(hook(settings, &bench.around)).await;
        Self { simulator, bench, address }
    }

    async fn deliver(&self, event: Event) -> u16 {
        self.simulator.deliver_webhook(&self.address, event).await.unwrap()
    }

    fn signed_by(&self, name: &str) -> Event {
        Event { certificate_url: Some(format!("{}/cert/{name}", self.simulator.url())), ..Event::default() }
    }

    /// How many requests were made to the simulator, its own deliveries aside.
    fn requests(&self) -> usize {
        self.simulator.ledger().iter().filter(|entry| entry.service != "callback").count()
    }

    fn subscription(&self) -> String {
        self.simulator.world()[0].plan.entitlements[0].id.clone()
    }
}

#[tokio::test]
async fn a_good_signature_is_taken_wherever_it_stands_and_however_the_certificate_is_written() {
    let scene = Scene::new().await;
    for placement in [Placement::Authorization, Placement::MsSignature, Placement::MsSignatureBare] {
        assert_eq!(scene.deliver(Event { placement, ..Event::default() }).await, 200, "{placement:?}");
    }
    assert_eq!(scene.requests(), 1, "one certificate is fetched once");
    assert_eq!(scene.deliver(scene.signed_by("pem.cer")).await, 200);
    let lower = Event { headers: vec![("x-ms-signature-algorithm".to_owned(), "RSA-SHA256".to_owned())], ..Event::default() };
    assert_eq!(scene.deliver(lower).await, 200);
}

#[tokio::test]
async fn a_test_event_becomes_an_alert_that_is_marked_as_one() {
    let scene = Scene::new().await;
    let id = "6a1f0c2e-0000-4000-8000-00000000000a";
    let uri = format!("http://api.partnercenter.microsoft.com/webhooks/v1/registration/validationEvents/{id}");
    let event = Event { resource_uri: Some(uri), date: Some("2026-03-02T08:00:00.0000000+00:00".to_owned()), ..Event::default() };
    assert_eq!(scene.deliver(event.clone()).await, 200);
    assert_eq!(scene.deliver(event).await, 200);
    let alerts = scene.bench.bus.alerts();
    let alert = &alerts[0];
    assert_eq!((alert.id.as_str(), alert.kind.as_str(), alert.source.as_str(), alert.is_test), (id, "test", "graph", true));
    assert_eq!(alert.detected_at.to_string(), "2026-03-02T08:00:00Z");
    assert_eq!(alert.dedup_key(), alerts[1].dedup_key(), "a replay is recognised");
}

#[tokio::test]
async fn what_is_not_signed_by_whom_it_should_be_is_refused() {
    let scene = Scene::new().await;
    let signed_by = |name| scene.signed_by(name);
    let with = |name: &str, value: &str| Event { headers: vec![(name.to_owned(), value.to_owned())], ..Event::default() };
    let own = |name: &str, value: &str| Event { placement: Placement::MsSignature, ..with(name, value) };
    for (what, event, status) in [
        ("a changed byte", Event { tamper: Tamper::Body, ..Event::default() }, 401),
        ("a changed signature", Event { tamper: Tamper::Signature, ..Event::default() }, 401),
        ("a byte order mark that was not signed", Event { tamper: Tamper::ByteOrderMark, ..Event::default() }, 401),
        ("another algorithm", Event { algorithm: "rsa-sha1".to_owned(), ..Event::default() }, 401),
        ("no algorithm", Event { algorithm: "none".to_owned(), ..Event::default() }, 401),
        ("an expired certificate", signed_by("expired.cer"), 401),
        ("a certificate under another root", signed_by("other-root.cer"), 401),
        ("a certificate of another organization", signed_by("wrong-organization.cer"), 401),
        ("a certificate that another organization issued", signed_by("wrong-issuer.cer"), 401),
        ("what is no certificate", signed_by("garbage.cer"), 401),
        ("a certificate that is elsewhere", signed_by("redirect.cer"), 401),
        ("a certificate that is not there", signed_by("absent.cer"), 401),
        ("nothing that shows who sent it", Event { tamper: Tamper::Unsigned, ..Event::default() }, 401),
        ("a signature without its algorithm", with("x-ms-signature-algorithm", ""), 400),
        ("a signature without its certificate", with("x-ms-certificate-url", ""), 400),
        ("an algorithm with a shared key", Event { algorithm: "HS256".to_owned(), ..Event::default() }, 401),
        (
            "a body that was written anew",
            Event { raw_body: Some(r#"{"EventName": "test-created"}"#.to_owned()), tamper: Tamper::ByteOrderMark, ..Event::default() },
            401,
        ),
        ("no signature", with("Authorization", ""), 401),
        ("another scheme", with("Authorization", "Bearer c2lnbmF0dXJl"), 401),
        ("an empty signature", with("Authorization", "Signature "), 401),
        ("half of base64", with("Authorization", "Signature abc"), 401),
        ("two different signatures", own("Authorization", "Signature c2lnbmF0dXJl"), 401),
    ] {
        assert_eq!(scene.deliver(event).await, status, "{what}");
    }
    // A gateway may put its own credential there.
    assert_eq!(scene.deliver(own("Authorization", "Bearer of-the-gateway")).await, 200);
    assert_eq!(scene.bench.bus.messages().len(), 1);
}

#[tokio::test]
async fn a_replay_under_other_headers_is_the_same_alert() {
    let scene = Scene::new().await;
    let event = Event { date: Some("2026-03-02T08:00:00+00:00".to_owned()), ..Event::default() };
    for (placement, header) in [(Placement::Authorization, "1"), (Placement::MsSignature, "2"), (Placement::MsSignatureBare, "3")] {
        let headers = vec![("x-forwarded-for".to_owned(), header.to_owned()), ("traceparent".to_owned(), header.to_owned())];
        assert_eq!(scene.deliver(Event { placement, headers, ..event.clone() }).await, 200);
    }
    let keys: std::collections::BTreeSet<_> = scene.bench.bus.messages().into_iter().map(|message| message.key).collect();
    assert_eq!(keys.len(), 1);
}

#[tokio::test]
async fn what_an_event_points_at_is_never_fetched() {
    let scene = Scene::new().await;
    scene.simulator.add_alert(AlertSeed { notify: Notify::No, ..AlertSeed::default() });
    let subscription = scene.subscription();
    let trap = format!("{}/slack/trap", scene.simulator.url());
    let event = Event {
        resource_uri: Some(format!("{trap}?SubscriptionId={subscription}")),
        audit_uri: Some(format!("{trap}/audit")),
        ..Event::fraud(&subscription)
    };
    assert_eq!(scene.deliver(event).await, 200);
    assert!(scene.simulator.ledger().iter().all(|entry| !entry.path.contains("trap")));
    assert_eq!(scene.bench.bus.alerts().len(), 1, "the alerts of that subscription were read from Graph");
}

#[tokio::test]
async fn only_the_organization_refuses_a_chain_that_is_good_otherwise() {
    let scene = Scene::with(|settings, simulator| {
        let root = settings["certificate_roots"].as_str().unwrap();
        fs::write(root, simulator.stranger_root_certificate_pem()).unwrap();
    })
    .await;
    assert_eq!(scene.deliver(scene.signed_by("wrong-issuer.cer")).await, 401);
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_never_asked() {
    let scene = Scene::new().await;
    let base = scene.simulator.url();
    let host = base.strip_prefix("http://").unwrap();
    let name = "pcnotifications-dispatch.microsoft.com.cer";
    for address in [
        format!("https://{host}/cert/{name}"),
        format!("http://user@{host}/cert/{name}"),
        format!("http://{host}@evil.example/cert/{name}"),
        format!("http://{host}.evil.example/cert/{name}"),
        format!("{base}/cert/{name}?x=1"),
        format!("{base}/cert/{name}#x"),
        format!("{base}/cert/../cert/{name}"),
        format!("{base}/cert/%2e%2e/cert/{name}"),
        format!("{base}/cert//{name}"),
        format!("{base}/cert/root.pem"),
        format!("{base}/cert/.cer"),
        format!("{base}/graph/beta/security.cer"),
        format!("{base}\\cert\\{name}"),
        format!(" {base}/cert/{name} x"),
        "http://169.254.169.254/latest/meta-data/x.cer".to_owned(),
        "file:///etc/passwd".to_owned(),
        "https://3psostorageacct.blob.core.windows.net.evil.example/cert/a.cer".to_owned(),
        "https://3psostorageacct2.blob.core.windows.net/cert/a.cer".to_owned(),
        String::from("x"),
    ] {
        let event = Event { certificate_url: Some(address.clone()), ..Event::default() };
        assert_eq!(scene.deliver(event).await, 401, "{address}");
    }
    assert_eq!(scene.requests(), 0);
    assert!(scene.bench.bus.messages().is_empty());
}

#[tokio::test]
async fn a_missing_certificate_is_not_asked_for_again_at_once_and_guesses_are_few() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        assert_eq!(scene.deliver(scene.signed_by("absent.cer")).await, 401);
    }
    assert_eq!(scene.requests(), 1);
    assert_eq!(scene.deliver(Event::default()).await, 200);
    for guess in 0..20 {
        scene.deliver(scene.signed_by(&format!("{guess}.cer"))).await;
    }
    assert!(scene.requests() <= 15, "{}", scene.requests());
    assert_eq!(scene.deliver(Event::default()).await, 200, "who is known is not kept out by guesses");
}

#[tokio::test]
async fn a_fraud_event_makes_us_read_the_alerts_and_say_what_graph_says() {
    let scene = Scene::new().await;
    let subscription = scene.subscription();
    let id = scene.simulator.add_alert(AlertSeed { notify: Notify::No, ..AlertSeed::default() });
    scene.simulator.add_alert(AlertSeed { customer: 1, ..AlertSeed::default() });
    assert_eq!(scene.deliver(Event::fraud(&subscription.to_uppercase())).await, 200);
    let [alert] = &scene.bench.bus.alerts()[..] else { panic!("the alerts of that subscription alone") };
    assert_eq!((alert.id.as_str(), alert.source.as_str(), alert.kind.as_str()), (id.as_str(), "graph", "crypto_mining"));

    // The event says `Active`, and Graph is believed.
    assert!(scene.simulator.set_alert_status(&id, "resolved", Some("legitimate")));
    assert_eq!(scene.deliver(Event::fraud(&subscription)).await, 200);
    let again = &scene.bench.bus.alerts()[1];
    assert_eq!((again.status, again.details["resolved_reason"].as_str()), (Status::Resolved, Some("legitimate")));
    assert_ne!(again.revision, alert.revision);
}

#[tokio::test]
async fn an_old_alert_that_waits_for_a_person_is_not_brought_by_an_event_about_another_one() {
    let scene = Scene::new().await;
    let subscription = scene.subscription();
    let old = Some(jiff::Timestamp::now() - jiff::SignedDuration::from_hours(72));
    let old = scene.simulator.add_alert(AlertSeed { detected: old, notify: Notify::No, ..AlertSeed::default() });
    let listing = json!({"name": "listing", "source": "graph", "type": "graph_alerts", "every": "60s", "connection": "contoso"});
    assert_eq!(super::super::testing::task(listing, &scene.bench.around).round().await.unwrap(), 0);
    let fresh = scene.simulator.add_alert(AlertSeed { notify: Notify::No, ..AlertSeed::default() });
    assert_eq!(scene.deliver(Event::fraud(&subscription)).await, 200);
    let brought = |scene: &Scene| scene.bench.bus.alerts().into_iter().map(|alert| alert.id).collect::<Vec<_>>();
    assert_eq!(brought(&scene), std::slice::from_ref(&fresh));

    // Nor in its next state, which waits beside it.
    assert!(scene.simulator.set_alert_status(&old, "investigating", None));
    assert_eq!(scene.deliver(Event::fraud(&subscription)).await, 200);
    assert_eq!(brought(&scene), [fresh.clone(), fresh]);
    assert_eq!(scene.bench.around.store.quarantine(true, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_read_or_kept_now_is_asked_for_again() {
    let scene = Scene::new().await;
    let event = Event::fraud(&scene.subscription());
    assert_eq!(scene.deliver(event.clone()).await, 503, "the event is faster than the list");
    scene.simulator.add_alert(AlertSeed { notify: Notify::No, ..AlertSeed::default() });
    scene.bench.bus.refuse(true);
    assert_eq!(scene.deliver(event.clone()).await, 503);
    scene.bench.bus.refuse(false);
    let fault: Fault = serde_json::from_value(json!({"service": "graph", "kind": "status", "status": 503})).unwrap();
    scene.simulator.fault(fault);
    assert_eq!(scene.deliver(event.clone()).await, 503);
    scene.simulator.clear_faults();
    assert_eq!(scene.deliver(event).await, 200);
}

#[tokio::test]
async fn an_event_without_a_subscription_is_refused_and_an_unknown_one_is_ignored() {
    let scene = Scene::new().await;
    for uri in ["https://api.partnercenter.microsoft.com/v1/fraudEvents?SubscriptionId=all", "x", "https://evil.example/"] {
        let event = Event { resource_uri: Some(uri.to_owned()), ..Event::fraud("") };
        assert_eq!(scene.deliver(event).await, 400, "{uri}");
    }
    assert_eq!(scene.deliver(Event { name: "invoice-ready".to_owned(), ..Event::default() }).await, 200);
    assert_eq!(scene.deliver(Event { raw_body: Some("{".to_owned()), ..Event::default() }).await, 400);
    assert_eq!(scene.deliver(Event { raw_body: Some(r#"{"eventname": "TEST-created"}"#.to_owned()), ..Event::default() }).await, 200);
    assert_eq!(scene.deliver(Event { raw_body: Some(format!("\u{feff}{}", r#"{"EventName": "x-y"}"#)), ..Event::default() }).await, 200);
    assert_eq!(scene.deliver(Event { raw_body: Some(" ".repeat(65 * 1024)), ..Event::default() }).await, 413);
    assert_eq!(scene.requests(), 1, "nothing but the certificate was fetched");
    assert_eq!(scene.bench.bus.alerts().len(), 1);
}

#[tokio::test]
async fn events_that_the_site_asks_for_become_alerts_on_which_nothing_destructive_can_be_done() {
    let scene = Scene::with(|settings, _| settings["events"] = json!(["usagerecords-thresholdExceeded"])).await;
    let event =
        Event { name: "UsageRecords-ThresholdExceeded".to_owned(), date: Some("2026-03-02T08:00:00+00:00".to_owned()), ..Event::default() };
    assert_eq!(scene.deliver(event.clone()).await, 200);
    assert_eq!(scene.deliver(event).await, 200);
    let alerts = scene.bench.bus.alerts();
    let alert = &alerts[0];
    assert_eq!((alert.kind.as_str(), alert.is_test), ("usage_records_threshold_exceeded", false));
    assert_eq!((alert.confidence, alert.customer_tenant_id.as_str(), alert.subscription_id.as_str()), (Confidence::Low, "", ""));
    assert_eq!(alert.dedup_key(), alerts[1].dedup_key(), "a replay is recognised");
    assert_eq!(scene.deliver(Event { name: "invoice-ready".to_owned(), ..Event::default() }).await, 200);
    assert_eq!(scene.bench.bus.messages().len(), 2);
}

#[test]
fn a_header_that_is_there_twice_is_refused() {
    for name in ["x-ms-certificate-url", "x-ms-signature-algorithm", "authorization", "x-ms-signature"] {
        let mut headers = HeaderMap::new();
        headers.append(name, "a".parse().unwrap());
        headers.append(name, "a".parse().unwrap());
        assert_eq!(Proof::read(&headers).err().map(|it| it.code), Some("ambiguous_header"), "{name}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_fail_the_build() {
    let bench = Bench::new().await;
    for (setting, value, reason) in [
        ("certificate_urls", json!(["http://certs.example/cert/"]), "certificate_urls"),
        ("certificate_urls", json!(["https://certs.example/cert"]), "certificate_urls"),
        ("certificate_urls", json!([]), "certificate_urls"),
        ("certificate_roots", json!("/no/such/root.pem"), "/no/such/root.pem"),
    ] {
        let mut settings = json!({"name": "pc", "type": "partner_center_webhook", "path": "/hooks/pc", "connection": "contoso"});
        settings[setting] = value;
        let config = serde_json::from_value(settings).unwrap();
        let fault = format!("{:#}", super::super::build(&[config], &bench.around).unwrap_err().remove(0));
        assert!(fault.contains(reason), "{fault} should mention {reason}");
    }
}

#[test]
fn a_subscription_is_one_guid_in_the_query() {
    let guid = "22222222-bbbb-4bbb-8bbb-000000000002";
    for uri in [
        format!("https://x.example/?SubscriptionId={guid}&EventStatus=Active"),
        format!("http://localhost/a?subscriptionid={}", guid.to_uppercase()),
    ] {
        assert_eq!(subscription_in(&uri).as_deref(), Some(guid), "{uri}");
    }
    for uri in [
        format!("https://x.example/{guid}"),
        format!("https://x.example/?SubscriptionId={{{guid}}}"),
        format!("https://x.example/?SubscriptionId={guid}&subscriptionId={guid}"),
        format!("?SubscriptionId={guid}"),
    ] {
        assert_eq!(subscription_in(&uri), None, "{uri}");
    }
}
