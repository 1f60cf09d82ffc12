//! How long `quell backtest` takes for 100,000 alerts, of which one in five matches a playbook of five steps, beside nine that answer
//! other alerts. The journal is filled through the store, the command is the released program, started and ended.
//!
//! ```text
//! cargo bench --bench backtest -- [--alerts 100000]
//! ```

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench is the outside: it may fail, and says what it saw"
)]

use std::{fs, path::Path, process::Command, time::Instant};

use quell::{
    alert::Alert,
    lifecycle::Tasks,
    store::{Arrival, Received, Store},
};
use serde_json::{Value, json};

const PLAYBOOK: &str = r#"
playbook: contain
mode: enforce
trigger: {alert: {match: {kind: crypto_mining, status: active}, when: 'alert.confidence != "low"'}}
dedup: {key: "${alert.subscription_id}", window: 1h}
vars: {customer: "${alert.customer_name ?? alert.customer_tenant_id}"}
steps:
  - {id: note, action: log, with: {message: "mining in ${alert.subscription_id} of ${vars.customer}"}}
  - {id: small, if: alert.details.estimated_cost < 10.0, stop: {outcome: no_action, reason: "costs ${alert.details.estimated_cost}"}}
  - {id: suspend, action: subscription.suspend, with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}"}}
  - {id: resolve, action: alert.update_status, with: {status: resolved, resolved_reason: fraud}, on_error: continue}
  - {id: tell, action: notify, with: {channels: [slack:secops], text: "suspended ${alert.subscription_id} of ${vars.customer}"}}
"#;

const KINDS: [&str; 5] = ["crypto_mining", "phishing", "service_health_advisory", "quota_increase", "suspicious_arm_operations"];

/// As many as one transaction takes without growing large.
const BATCH: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = arguments.iter().position(|it| it == "--alerts").and_then(|at| arguments.get(at + 1));
    let alerts: usize = asked.map_or(100_000, |text| text.parse().expect("a number of alerts"));
    let folder = tempfile::tempdir().expect("make a folder");
    fs::create_dir(folder.path().join("playbooks")).expect("make the folder of playbooks");
    fs::write(folder.path().join("playbooks/contain.yaml"), PLAYBOOK).expect("write a playbook");
    for number in 0..9 {
        let text = format!(
            "playbook: other-{number}\nmode: enforce\ntrigger: {{alert: {{match: {{kind: other_{number}}}}}}}\n\
             steps: [{{id: say, action: log, with: {{message: hello}}}}]\n"
        );
        fs::write(folder.path().join(format!("playbooks/other-{number}.yaml")), text).expect("write a playbook");
    }
    let settings = "store: {url: 'sqlite:quell.db'}\nguardrails: {without_approval: ['*'], max_alert_age: 3650d}\n";
    fs::write(folder.path().join("quell.yaml"), settings).expect("write the settings");
    let begun = Instant::now();
    tokio::runtime::Runtime::new().expect("start the runtime").block_on(fill(folder.path(), alerts));
    println!("{alerts} alerts stored in {:.1} s", begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_quell"))
        .args(["backtest", "--since", "1d", "--json"])
        .current_dir(folder.path())
        .output()
        .expect("run quell");
    let seconds = begun.elapsed().as_secs_f64();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["alerts"], alerts, "every alert is replayed");
    let runs = report["playbooks"]["contain"]["runs"].as_u64().expect("a number");
    assert_eq!(report["playbooks"]["contain"]["matched"], alerts.div_ceil(KINDS.len()), "one in five matches");
    println!("replayed in {seconds:.1} s: {:.0} alerts/s, {runs} runs, {:.0} runs/s", alerts as f64 / seconds, runs as f64 / seconds);
}

async fn fill(folder: &Path, alerts: usize) {
    let tasks = Tasks::default();
    let url = format!("sqlite:{}", folder.join("quell.db").display());
    let store = Store::open(&url, &tasks, None).await.expect("open the store");
    for start in (0..alerts).step_by(BATCH) {
        let batch = (start..alerts.min(start + BATCH)).map(|number| {
            let alert = alert(number);
            Arrival::Alert(Box::new(Received { event: alert.to_event(), alert }))
        });
        store.take_in(batch.collect()).await.expect("take alerts in");
    }
    drop(store);
    tasks.end(std::time::Duration::from_secs(10)).await;
}

fn alert(number: usize) -> Alert {
    let now = jiff::Timestamp::now();
    let alert = json!({
        "id": format!("a-{number}"), "source": "bench", "kind": KINDS[number % KINDS.len()], "severity": "high", "confidence": "high",
        "status": "active", "title": "Something happened in a subscription", "customer_tenant_id": format!("t-{}", number % 997),
        "subscription_id": format!("s-{number}"), "resources": ["vm-1", "vm-2"], "detected_at": now, "received_at": now,
        "details": {"estimated_cost": 250.5, "region": "koreacentral", "ip": "203.0.113.7"}, "raw": {"id": number, "value": [{"a": 1, "b": "c"}]},
    });
    serde_json::from_value(alert).unwrap_or_else(|error| panic!("an alert: {error}"))
}
