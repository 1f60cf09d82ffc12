//! `quell doctor` with the simulator: all is well where all is well, and each thing that a person has to put right has the one line that says so.

use std::fs;

use quell_simulator::{AlertSeed, Notify, Options, Trouble};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

use crate::support::{broker::shared_url, lab::Lab};

/// The address that is registered; Microsoft could reach it.
const PUBLIC: &str = "https://soar.partner.example";

const PLAYBOOK: &str = "playbook: resolve\nmode: enforce\ntrigger: {alert: {match: {kind: crypto_mining}}}\n\
                        steps: [{id: resolve, action: alert.update_status, with: {status: resolved, resolved_reason: fraud}}]\n";

const ADAPTERS: &str = "  - {name: graph, type: graph_alerts, every: 60s, connection: contoso}\n\
                        \x20 - {name: fraud, type: fraud_events, every: 5m, connection: contoso}\n\
                        \x20 - {name: audit, type: audit_records, every: 15m, connection: contoso, source: graph}\n\
                        \x20 - {name: budgets, type: usage_thresholds, every: 1h, connection: contoso}\n";

/// What is wrong, and the diagnosis that says so.
enum Wrong {
    /// Something at Microsoft.
    There(Trouble),
    /// A piece of the settings, and what stands in its place.
    Here(&'static str, &'static str),
    /// Something else.
    Otherwise(fn(&Lab)),
}

use Wrong::{Here, Otherwise, There};

const CASES: &[(&str, i32, Wrong)] = &[
    ("secret-wrong", 1, Here("client_secret: simulator-secret", "client_secret: another-secret")),
    ("secret-expired", 1, There(Trouble::SecretExpired)),
    ("tenant-unknown", 1, Here("tenant_id: 7e57ab1e", "tenant_id: 7e57ab1f")),
    ("application-unknown", 1, Here("client_id: c11e0000", "client_id: c11e0001")),
    ("consent-missing", 1, There(Trouble::ConsentMissing)),
    ("consent-missing", 1, There(Trouble::PartnerCenterMissing)),
    ("consent-over", 1, Otherwise(|lab| lab.simulator.revoke_refresh_tokens())),
    ("consent-nobody", 1, Otherwise(|lab| without_refresh_token(lab, "login: true"))),
    (
        "person-needed",
        1,
        Otherwise(|lab| {
            without_refresh_token(lab, "graph_version: beta");
            lab.change_settings("customer_access: person", "customer_access: none");
        }),
    ),
    ("mfa-missing", 1, There(Trouble::MfaMissing)),
    ("mfa-wanted", 1, There(Trouble::MfaWanted)),
    ("policy-blocks", 1, There(Trouble::PolicyBlocks)),
    ("alerts-read-missing", 1, There(Trouble::AlertsUnreadable)),
    ("alerts-write-missing", 1, There(Trouble::AlertsUnchangeable)),
    ("alerts-version", 1, There(Trouble::BetaGone)),
    ("filter-refused", 0, There(Trouble::FilterRefused)),
    ("filter-ignored", 0, There(Trouble::FilterIgnored)),
    ("role-missing", 1, There(Trouble::AdminAgentMissing)),
    ("organization-other", 1, There(Trouble::OtherPartner)),
    ("customers-none", 0, There(Trouble::NoCustomers)),
    ("gdap-missing", 1, There(Trouble::GdapMissing)),
    ("azure-role-missing", 1, There(Trouble::AzureRoleMissing)),
    ("users-denied", 1, There(Trouble::UsersUnreadable)),
    ("clock-off", 1, There(Trouble::ClockAhead)),
    ("webhook-elsewhere", 1, Here("/hooks/partner-center/k7p2", "/hooks/partner-center/z9")),
    ("webhook-events", 1, Here("certificate_urls:", "events: [subscription-updated], certificate_urls:")),
    (
        "certificate-refused",
        1,
        Otherwise(|lab| {
            certificate(lab, (2026, 2046));
            lab.simulator.trouble(Trouble::CertificateUnknown);
        }),
    ),
    ("certificate-over", 1, Otherwise(|lab| certificate(lab, (2020, 2021)))),
    ("bus-unreachable", 3, Here("url: embedded", "url: 'amqp://guest:guest@127.0.0.1:1'")),
    ("address-forbidden", 1, Here("allow: [\"127.0.0.1\"]", "allow: [\"192.0.2.1\"]")),
    ("address-unreachable", 3, Otherwise(|lab| lab.change_settings(&lab.simulator.url(), "http://127.0.0.1:1"))),
    ("channel-refused", 1, Here("smtp: \"smtp://", "smtp: \"smtp://quell:hunter2@")),
    ("playbooks-none", 1, Otherwise(|lab| fs::remove_file(lab.path("playbooks/resolve.yaml")).unwrap())),
    ("playbooks-wrong", 1, Otherwise(|lab| lab.playbook("broken", "playbook: broken\nsteps: many\n"))),
    ("settings-wrong", 1, Here("client_secret: simulator-secret", "client_secret: '${file:/nowhere/secret}'")),
    ("settings-advice", 0, Here("tell: [{to: [\"slack:secops\"]}], ", "")),
    ("actions-stopped", 0, Otherwise(|lab| drop(lab.quell(&["stop-actions", "--reason", "too many"])))),
];

fn without_refresh_token(lab: &Lab, instead: &str) {
    lab.change_settings(&format!("refresh_token: {}", lab.simulator.refresh_token()), instead);
}

/// Lets the application prove who it is with a certificate that is good in those years. `ring` makes no RSA keys; the simulator has one.
fn certificate(lab: &Lab, (from, until): (i32, i32)) {
    let key = include_str!("../../examples/simulator/keys/signing.pk8.pem");
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    (parameters.not_before, parameters.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(until, 1, 1));
    let made = parameters.self_signed(&rcgen::KeyPair::from_pem(key).unwrap()).unwrap();
    fs::write(lab.path("app.pem"), made.pem()).unwrap();
    fs::write(lab.path("app.key"), key).unwrap();
    let files = format!("certificate: {{file: '{}', key: '{}'}}", lab.path("app.pem").display(), lab.path("app.key").display());
    lab.change_settings("client_secret: simulator-secret", &files);
}

/// An installation in which all is well. One alert is there, of which nobody was told.
async fn healthy(bus: &str) -> Lab {
    let lab = Lab::new(bus, Options::default()).await;
    let azure = format!("azure_url: {}\n    customer_access: person\n    login_url:", lab.simulator.azure_url());
    lab.change_settings("login_url:", &azure);
    lab.change_settings("adapters:\n", &format!("adapters:\n{ADAPTERS}"));
    lab.change_settings("telemetry: {", "telemetry: {tell: [{to: [\"slack:secops\"]}], ");
    lab.playbook("resolve", PLAYBOOK);
    lab.simulator.add_alert(AlertSeed { notify: Notify::No, ..AlertSeed::default() });
    let registered = lab.quell(&["webhook", "register", "--url", PUBLIC]);
    assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
    lab
}

/// What the doctor says, and how it ends.
fn doctor(lab: &Lab, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = lab.quell(&[&["doctor", "--json"], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), document)
}

/// The lines that want somebody, as code, subject and advice.
fn wanting(document: &Value) -> Vec<(String, String, String)> {
    let findings = document["findings"].as_array().unwrap().iter().filter(|it| it["grade"] != "ok");
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    findings.map(|it| (text(it, "code"), text(it, "subject"), text(it, "advice"))).collect()
}

fn codes(document: &Value) -> Vec<String> {
    wanting(document).into_iter().map(|(code, ..)| code).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_well_every_part_says_so_and_nothing_is_changed() {
    let lab = healthy("url: embedded").await;
    let before = lab.simulator.ledger().len();
    let (exit, document) = doctor(&lab, &[]);
    assert_eq!((wanting(&document), exit), (Vec::new(), Some(0)), "{document:#}");
    let parts: std::collections::BTreeSet<_> = document["findings"].as_array().unwrap().iter().map(|it| it["part"].to_string()).collect();
    assert_eq!(parts.len(), quell::doctor::CATALOG.len() - 1, "all but the certificate, which it has not: {parts:?}");
    for entry in lab.simulator.ledger().into_iter().skip(before) {
        assert!(entry.method == "GET" || entry.service == "login" || entry.service == "smtp", "{entry:?}");
        let is_mail = entry.effect.as_ref().is_some_and(|effect| effect.kind == "message.email");
        assert!(!is_mail, "{entry:?}");
    }
    let text = String::from_utf8(lab.quell(&["doctor"]).stdout).unwrap();
    assert!(text.contains("findings are well") && text.contains("PartnerSecurity.ReadWrite.All"), "{text}");
    for secret in [lab.simulator.refresh_token(), lab.simulator.client_secret(), "k7p2".to_owned(), "eyJ".to_owned()] {
        assert!(!text.contains(&secret) && !document.to_string().contains(&secret), "{secret} is shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_wrong_has_the_one_line_that_says_so() {
    let mut faults = Vec::new();
    for (expected, exit, wrong) in CASES {
        let lab = healthy("url: embedded").await;
        match wrong {
            There(trouble) => lab.simulator.trouble(*trouble),
            Here(from, to) => lab.change_settings(from, to),
            Otherwise(arrange) => arrange(&lab),
        }
        let (ended, document) = doctor(&lab, &[]);
        let wanting = wanting(&document);
        let is_told = wanting.len() == 1 && wanting[0].0 == *expected && !wanting[0].2.is_empty();
        if !is_told || ended != Some(*exit) {
            faults.push(format!("{expected}: exit {ended:?}, {wanting:#?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_nobody_registered_is_told_of() {
    let lab = Lab::embedded().await;
    let (exit, document) = doctor(&lab, &["--only", "webhook"]);
    assert_eq!((codes(&document), exit), (vec!["webhook-absent".to_owned()], Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_a_later_version_is_told_of_and_left_as_it_is() {
    let lab = healthy("url: embedded").await;
    let url = format!("sqlite:{}", lab.path("quell.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("PRAGMA user_version = 999").execute(&mut connection).await.unwrap();
    let (exit, document) = doctor(&lab, &[]);
    assert_eq!((codes(&document), exit), (vec!["store-newer".to_owned()], Some(1)), "{document:#}");
    sqlx::query("PRAGMA user_version = 1").execute(&mut connection).await.unwrap();
    let (exit, document) = doctor(&lab, &["--only", "store"]);
    assert_eq!((codes(&document), exit), (vec!["store-older".to_owned()], Some(0)));
    let (version,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&mut connection).await.unwrap();
    assert_eq!(version, 1, "it was upgraded by a look");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_told_of_and_nothing_is_declared() {
    let lab = Lab::on_broker(&shared_url(), Options::default()).await;
    let code = |document: &Value| document["findings"][0]["code"].as_str().unwrap().to_owned();
    let (exit, document) = doctor(&lab, &["--only", "bus"]);
    assert_eq!((code(&document).as_str(), exit), ("bus-undeclared", Some(0)));
    lab.change_settings("bus: {", "bus: {declare: false, ");
    let (exit, document) = doctor(&lab, &["--only", "bus"]);
    assert_eq!((code(&document).as_str(), exit), ("bus-missing", Some(1)), "the first look made nothing");
    lab.change_settings("declare: false, ", "");
    assert!(lab.run().await.terminate().success());
    let (exit, document) = doctor(&lab, &["--only", "bus"]);
    assert_eq!((code(&document).as_str(), exit), ("bus-good", Some(0)), "{document:#}");
    lab.change_settings("bus: {", "bus: {delivery_limit: 7, ");
    let (exit, document) = doctor(&lab, &["--only", "bus"]);
    assert_eq!((code(&document).as_str(), exit), ("bus-differs", Some(1)));
    assert!(document["findings"][0]["answered"].as_str().unwrap().contains("x-delivery-limit"), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_sent_only_where_they_are_asked_for_and_korean_is_spoken() {
    let lab = healthy("url: embedded").await;
    lab.change_settings("telemetry: {", "telemetry: {language: ko, ");
    let (exit, document) = doctor(&lab, &["--only", "channels"]);
    assert_eq!((exit, lab.simulator.counts().slack), (Some(0), 0));
    assert!(document.to_string().contains("메시지를 보내야만"), "{document:#}");
    let (exit, _) = doctor(&lab, &["--only", "channels", "--send-test"]);
    assert_eq!((exit, lab.simulator.counts().slack, lab.simulator.counts().teams), (Some(0), 1, 1));
    lab.simulator.trouble(Trouble::SecretExpired);
    let output = lab.quell(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("만료되었습니다") && text.contains("secret-expired"), "{text}");
}
