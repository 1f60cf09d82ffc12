//! What the program says about itself: metrics, health and log lines; and that none of it tells a secret.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use quell_simulator::Options;
use regex::Regex;
use serde_json::{Value, json};

use crate::{
    spine::{CONTAIN, crypto_alert, customer_with},
    support::{
        lab::{Lab, TOKEN},
        ports::free_port,
    },
};

/// The metrics on which dashboards and alerting rules are built.
const NAMES: &[&str] = &[
    "quell_alerts_received_total{source=\"graph\"} ",
    "quell_alerts_duplicate_total ",
    "quell_alerts_quarantined_total{reason=\"malformed\"} ",
    "quell_matches_total{playbook=\"contain\"} ",
    "quell_runs_total{outcome=\"done\",playbook=\"contain\"} ",
    "quell_steps_total{action=\"subscription.suspend\",outcome=\"succeeded\"} ",
    "quell_action_duration_seconds_bucket{action=\"entitlement.cancel\",le=\"",
    "quell_alert_to_decision_seconds_count ",
    "quell_alert_to_action_seconds_count ",
    "quell_runs_in_progress ",
    "quell_indeterminate_runs ",
    "quell_bus_connected 1",
    "quell_bus_queue_depth ",
    "quell_webhook_requests_total{adapter=\"siem\",code=\"202\"} ",
    "quell_webhook_requests_total{adapter=\"siem\",code=\"401\"} ",
    "quell_store_commit_seconds_count ",
    "quell_playbook_errors_total{playbook=\"failing\"} ",
    "quell_playbooks_loaded 2",
    "quell_playbooks_refused 0",
    "quell_playbooks_since_timestamp_seconds ",
    "quell_playbook_reload_ok 1",
    "quell_build_info{version=\"",
    "quell_process_start_time_seconds ",
    "quell_poll_last_success_timestamp_seconds{adapter=\"graph\"} ",
];

/// The forms of the access and refresh tokens that the simulator issues.
static ISSUED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"simulated\.[0-9a-f]{32}|1\.[0-9]+\.[0-9a-f]{32}").expect("a pattern"));

const FAILING: &str = "playbook: failing\nmode: enforce\n\
                       trigger: {alert: {match: {kind: crypto_mining}, when: 'alert.details.cost > 5'}}\n\
                       steps: [{id: a, action: log, with: {message: x}}]\n";

/// Whether the bus, the store and the consumer work, as `/readyz` says.
fn flows(body: &str) -> Value {
    let readiness: Value = serde_json::from_str(body).unwrap();
    json!([readiness["bus"], readiness["store"], readiness["consuming"]])
}

/// An installation that has seen a bit of everything.
async fn busy() -> (Lab, crate::support::lab::Quell) {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    lab.playbook("failing", FAILING);
    lab.change_settings("adapters:\n", "adapters:\n  - {name: graph, type: graph_alerts, every: 1s, connection: contoso}\n");
    let quell = lab.run().await;
    let (_, document) = crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1));
    assert_eq!(lab.hook(&document).await.unwrap().0, 202);
    let store = lab.store().await;
    lab.settled(&store, 1, Duration::from_secs(30)).await;
    assert_eq!(lab.hook(&document).await.unwrap().0, 202);
    let stranger =
        crate::support::lab::client().post(lab.url("/hooks/siem")).bearer_auth("a-guess").header("content-type", "application/json");
    assert_eq!(stranger.body("{}").send().await.unwrap().status(), 401);
    fs::write(lab.path("broken.json"), "{}").unwrap();
    assert!(lab.quell(&["send", "--raw", "broken.json"]).status.success());
    while store.quarantine(true, 1).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (lab, quell)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_those_that_dashboards_use_and_promtool_likes_them() {
    let (lab, _quell) = busy().await;
    // The poll and the look at the bus happen once a second.
    let mut text = String::new();
    for _ in 0..100 {
        text = lab.get("/metrics").await.unwrap().1;
        if NAMES.iter().all(|name| text.contains(name)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for name in NAMES {
        assert!(text.contains(name), "no `{name}` in\n{text}");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run `promtool` (Debian has it in the package `prometheus`)");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let verdict = promtool.wait_with_output().unwrap();
    assert!(verdict.status.success() && verdict.stdout.is_empty() && verdict.stderr.is_empty(), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_and_no_log_line_tells_a_secret() {
    let (lab, quell) = busy().await;
    let mut said = Vec::new();
    for arguments in [
        &["alerts", "list", "--json"][..],
        &["alerts", "show", "1"],
        &["alerts", "show", "1", "--json"],
        &["runs", "list", "--json"],
        &["check"],
        &["quarantine", "show", "1", "--json"],
    ] {
        let output = lab.quell(arguments);
        assert!(!output.stdout.is_empty(), "{arguments:?}");
        said.push((arguments.join(" "), format!("{output:?}")));
    }
    let runs = lab.json(&["runs", "list"]);
    said.push(("runs show".to_owned(), lab.json(&["runs", "show", runs[0]["id"].as_str().unwrap()]).to_string()));
    for path in ["/", "/metrics", "/readyz", "/hooks/siem", "/nothing"] {
        said.push((path.to_owned(), lab.get(path).await.unwrap().1));
    }
    assert!(quell.terminate().success());
    said.push(("the log".to_owned(), fs::read_to_string(lab.path("quell.log")).unwrap()));

    for name in ["quell.db", "quell.db-wal"] {
        let bytes = fs::read(lab.path(name)).unwrap_or_default();
        said.push((name.to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
    }

    let it = &lab.simulator;
    assert!(ISSUED.is_match(&it.refresh_token()), "tokens of the simulator have that form");
    for (place, text) in &said {
        for secret in [it.client_secret().as_str(), it.refresh_token().as_str(), TOKEN, "a-guess"] {
            assert!(!text.contains(secret), "{place} tells `{secret}`");
        }
        assert_eq!(ISSUED.find(text).map(|token| token.as_str()), None, "{place} tells a token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_line_is_one_json_object_unless_text_is_asked_for() {
    let (lab, quell) = busy().await;
    assert!(quell.terminate().success());
    let log = fs::read_to_string(lab.path("quell.log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string()), "{log}");
    let ended = lines.iter().find(|line| line["message"].as_str().unwrap().contains("step suspend (subscription.suspend)"));
    let ended = ended.unwrap_or_else(|| panic!("{log}"));
    assert!(ended["run.id"].is_string() && ended["step"] == "suspend" && ended["action"] == "subscription.suspend", "{ended}");

    fs::remove_file(lab.path("quell.log")).unwrap();
    lab.change_settings("telemetry: {", "telemetry: {format: text, ");
    let quell = lab.run().await;
    assert!(quell.terminate().success());
    let log = fs::read_to_string(lab.path("quell.log")).unwrap();
    assert!(log.lines().all(|line| !line.starts_with('{')) && log.contains(" INFO ") && !log.contains('\u{1b}'), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_broker_is_gone_is_alive_and_not_ready_and_says_which_part() {
    let port = free_port();
    let lab = Lab::new(&format!("url: 'amqp://guest:guest@127.0.0.1:{port}/%2f'"), Options::default()).await;
    let quell = lab.start();
    let mut answer = lab.get("/readyz").await;
    // At first nothing is known of any part.
    while !answer.as_ref().is_ok_and(|(_, body)| body.contains("\"store\":true")) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = lab.get("/readyz").await;
    }
    let (code, body) = answer.unwrap();
    assert_eq!((code, flows(&body)), (503, json!([false, true, false])));
    assert_eq!(lab.get("/healthz").await.unwrap().0, 200);
    assert!(lab.get("/metrics").await.unwrap().1.contains("quell_bus_connected 0"));
    let (_, document) = crypto_alert(&lab.simulator, 0);
    assert_eq!(lab.hook(&document).await.unwrap().0, 503, "the sender must come again");
    assert!(quell.log().contains(&format!("connect to the broker at 127.0.0.1:{port}")), "{}", quell.log());
    assert!(quell.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_which_alerts_flow_is_ready() {
    let lab = Lab::embedded().await;
    let _quell = lab.run().await;
    let (code, body) = lab.get("/readyz").await.unwrap();
    assert_eq!((code, flows(&body)), (200, json!([true, true, true])));
    assert_eq!(lab.get("/healthz").await.unwrap(), (200, "ok\n".to_owned()));
}
