//! Signed callbacks: a receiver can verify a good one, and every spoiled one fails where it should.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use quell_simulator::{AlertSeed, Event, Placement, Simulator, Tamper};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls::pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring::RSA_PKCS1_2048_8192_SHA256 as CERT_RSA};

use crate::support::Lab;

struct Received {
    head: String,
    body: Vec<u8>,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Takes one request and answers it with a status.
async fn receive(listener: &TcpListener, status: &str) -> Received {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let received = Received { head: head.to_owned(), body: bytes[head.len() + 4..].to_vec() };
        let length: usize = received.header("content-length").unwrap().parse().unwrap();
        if received.body.len() == length {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return received;
        }
    }
}

async fn delivered(simulator: &Simulator, event: Event) -> Received {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (received, status) = tokio::join!(receive(&listener, "200 OK"), simulator.deliver_webhook(&url, event));
    assert_eq!(status.unwrap(), 200);
    received
}

/// What a receiver does: fetch the certificate, verify its chain, verify the signature.
async fn verify(lab: &Lab, received: &Received) -> Result<(), &'static str> {
    let signature = received.header("authorization").or_else(|| received.header("x-ms-signature")).ok_or("no signature")?;
    let signature = signature.strip_prefix("Signature ").unwrap_or(signature);
    let signature = STANDARD.decode(signature).map_err(|_error| "not base64")?;
    let url = received.header("x-ms-certificate-url").ok_or("no certificate")?;
    let der = fetch(url).await;
    let der = CertificateDer::from(der);
    let root = CertificateDer::from_pem_slice(lab.simulator.root_certificate_pem().as_bytes()).unwrap();
    let anchors = [anchor_from_trusted_cert(&root).unwrap()];
    let leaf = EndEntityCert::try_from(&der).map_err(|_error| "not a certificate")?;
    let algorithms = [webpki::ring::ECDSA_P256_SHA256, CERT_RSA];
    leaf.verify_for_usage(&algorithms, &anchors, &[], UnixTime::now(), KeyUsage::server_auth(), None, None).map_err(|_error| "chain")?;
    let spki = leaf.subject_public_key_info();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa_key(&spki)).verify(&received.body, &signature).map_err(|_error| "signature")
}

/// The key inside a `SubjectPublicKeyInfo` of an RSA-2048 key: the last 270 bytes.
fn rsa_key(spki: &[u8]) -> &[u8] {
    &spki[spki.len() - 270..]
}

async fn fetch(url: &str) -> Vec<u8> {
    let client = reqwest::Client::builder().build().unwrap();
    client.get(url).send().await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn a_good_event_verifies_in_each_header() {
    let lab = Lab::start().await;
    for placement in [Placement::Authorization, Placement::MsSignature, Placement::MsSignatureBare] {
        let event = Event { placement, ..Event::fraud("22222222-bbbb-4bbb-8bbb-000000000002") };
        let received = delivered(&lab.simulator, event).await;
        assert_eq!(verify(&lab, &received).await, Ok(()), "{placement:?}");
        let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
        assert_eq!(body["EventName"], "azure-fraud-event-detected");
        assert!(body.get("ResourceName").is_none());
        assert!(body["ResourceChangeUtcDate"].as_str().unwrap().ends_with("+00:00"));
    }
}

#[tokio::test]
async fn a_spoiled_event_does_not_verify() {
    let lab = Lab::start().await;
    let certificate = |name: &str| Event { certificate_url: Some(format!("{}/cert/{name}.cer", lab.simulator.url())), ..Event::default() };
    let tampered = |tamper: Tamper| Event { tamper, ..Event::default() };
    let table = [
        (tampered(Tamper::Body), Err("signature")),
        (tampered(Tamper::Signature), Err("signature")),
        (tampered(Tamper::ByteOrderMark), Err("signature")),
        (tampered(Tamper::Unsigned), Err("no signature")),
        (certificate("expired"), Err("chain")),
        (certificate("other-root"), Err("chain")),
        (certificate("wrong-issuer"), Err("chain")),
        (certificate("garbage"), Err("not a certificate")),
        // The chain is good: only a look at the organization would refuse it.
        (certificate("wrong-organization"), Ok(())),
        (certificate("redirect"), Ok(())),
    ];
    for (event, expected) in table {
        let name = format!("{event:?}");
        let received = delivered(&lab.simulator, event).await;
        assert_eq!(verify(&lab, &received).await, expected, "{name}");
    }
}

#[tokio::test]
async fn headers_can_be_replaced_and_removed() {
    let lab = Lab::start().await;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let event = Event {
        algorithm: "rsa-sha1".to_owned(),
        headers: vec![header("X-MS-Certificate-Url", ""), header("Authorization", "Basic eA==")],
        ..Event::default()
    };
    let received = delivered(&lab.simulator, event).await;
    assert_eq!(received.header("x-ms-signature-algorithm"), Some("rsa-sha1"));
    assert_eq!(received.header("x-ms-certificate-url"), None);
    assert_eq!(received.header("authorization"), Some("Basic eA=="));
}

#[tokio::test]
async fn a_registered_webhook_hears_of_alerts_and_tests_and_is_tried_again() {
    let lab = Lab::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let registration = format!("{}/webhooks/v1/registration", lab.simulator.partner_center_url());
    assert_eq!(lab.get(&registration).await.status, 404);
    let body = json!({ "WebhookUrl": url, "WebhookEvents": ["azure-fraud-event-detected", "test-created"] });
    assert_eq!(lab.send("POST", &registration, &body).await.status, 200);
    assert_eq!(lab.get(&registration).await.json()["WebhookUrl"], url.as_str());

    lab.simulator.add_alert(AlertSeed::default());
    receive(&listener, "503 Service Unavailable").await;
    let second = receive(&listener, "200 OK").await;
    assert_eq!(verify(&lab, &second).await, Ok(()));
    let subscription = lab.customer().plan.entitlements.remove(0).id;
    assert!(String::from_utf8(second.body).unwrap().contains(&subscription));

    let tests = format!("{registration}/validationEvents");
    let answer = lab.send("POST", &tests, &json!(null)).await.json();
    let id = answer["correlationId"].as_str().unwrap();
    receive(&listener, "200 OK").await;
    let result = loop {
        let result = lab.get(&format!("{tests}/{id}")).await.json();
        if result["status"] == "completed" {
            break result;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(result["results"][0]["responseCode"], "OK");
    lab.send("POST", &tests, &json!(null)).await;
    let limited = lab.send("POST", &tests, &json!(null)).await;
    assert_eq!((limited.status, limited.header("retry-after").is_empty()), (429, false));
}

#[tokio::test]
async fn the_root_is_the_same_in_every_run() {
    let key = |text: String| CertificateDer::from_pem_slice(text.as_bytes()).unwrap().into_owned();
    let (one, two) = (Lab::start().await, Lab::start().await);
    let first = key(one.simulator.root_certificate_pem());
    let second = key(two.simulator.root_certificate_pem());
    let anchor = |it: &CertificateDer<'static>| {
        let anchor = anchor_from_trusted_cert(it).unwrap().to_owned();
        (anchor.subject.to_vec(), anchor.subject_public_key_info.to_vec())
    };
    assert_eq!(anchor(&first), anchor(&second));
}
