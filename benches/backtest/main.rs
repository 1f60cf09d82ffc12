//! How long `quell backtest` takes for 100,000 alerts, of which one in five matches a playbook of five steps, beside nine that answer
//! other alerts. The journal is filled through the store, with the runs and steps that the playbook had; the command is the released
//! program, started and ended.
//!
//! ```text
//! cargo bench --bench backtest -- [--alerts 100000]
//! ```

#![expect(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench is the outside: it may fail, and says what it saw"
)]

use std::{collections::HashMap, fs, path::Path, process::Command, time::Instant};

use quell::{
    alert::Alert,
    engine::{
        Guardrails, SiteApprovals,
        decide::decide,
        foresight::{self, Approvals, Foreseen, Nothing, Outlook, Subject, Tally},
    },
    lifecycle::Tasks,
    playbook::Library,
    run::RunRecord,
    store::{Arrival, Change, Received, Standing, Store},
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
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["alerts"], alerts, "every alert is replayed");
    let runs = report["playbooks"]["contain"]["runs"].as_u64().expect("a number");
    assert_eq!(report["playbooks"]["contain"]["matched"], alerts.div_ceil(KINDS.len()), "one in five matches");
    assert_eq!(report["playbooks"]["contain"]["was"]["destructive"], runs, "what was done is found");
    println!("replayed in {seconds:.1} s: {:.0} alerts/s, {runs} runs, {:.0} runs/s", alerts as f64 / seconds, runs as f64 / seconds);
}

async fn fill(folder: &Path, alerts: usize) {
    let tasks = Tasks::default();
    let url = format!("sqlite:{}", folder.join("quell.db").display());
    let store = Store::open(&url, &tasks, None).await.expect("open the store");
    let library = Library::load(&folder.join("playbooks"));
    let guardrails: Guardrails = serde_json::from_value(json!({"without_approval": ["*"]})).expect("guardrails");
    for start in (0..alerts).step_by(BATCH) {
        let batch = (start..alerts.min(start + BATCH)).map(|number| {
            let alert = alert(number);
            Arrival::Alert(Box::new(Received { event: alert.to_event(), alert }))
        });
        store.take_in(batch.collect()).await.expect("take alerts in");
        answer(&store, &library, &guardrails).await;
    }
    drop(store);
    tasks.end(std::time::Duration::from_secs(10)).await;
}

/// Decides about a batch, and records runs as the engine would have, had every call succeeded.
async fn answer(store: &Store, library: &Library, guardrails: &Guardrails) {
    let now = jiff::Timestamp::now();
    let most = i64::try_from(BATCH).expect("a small number");
    let (mut alerts, mut decisions) = (HashMap::new(), Vec::new());
    for undecided in store.undecided(most).await.expect("read the store") {
        let alert = Alert::from_event(&undecided.event).expect("an alert");
        decisions.push(decide(library, (undecided.number, false), &alert, now));
        alerts.insert(undecided.number, alert);
    }
    let mut runs = Vec::new();
    for (number, new) in store.decide(decisions).await.expect("write the store") {
        let (playbook, alert) = (library.get(&new.playbook).expect("the playbook"), &alerts[&number]);
        let (run, seen) = (foresight::run_of(&new, Some(number), now), json!(alert));
        let alerts = json!([seen]);
        let subject = Subject { playbook, run: &run, alert: Some(alert), seen: &seen, alerts: &alerts };
        let outlook = Outlook { guardrails, site: &SiteApprovals::default(), holds: &[], answers: &Nothing, approvals: Approvals::Approve };
        let done = foresight::foresee(subject, outlook, &mut Tally::default());
        runs.push(record(store, run, done));
    }
    futures_util::future::join_all(runs).await;
}

async fn record(store: &Store, begun: RunRecord, done: Foreseen) {
    let last = done.steps.len();
    for (at, step) in done.steps.into_iter().enumerate() {
        // Only the last change ends the run, after which the journal takes no more.
        let run = if at + 1 == last { done.run.clone() } else { begun.clone() };
        let standing = store.record(Change { step: Some(step), ..Change::of(run) }).await.expect("write the store");
        assert_eq!(standing, Standing::Ours, "nobody else works on it");
    }
}

fn alert(number: usize) -> Alert {
    let now = jiff::Timestamp::now();
    let alert = json!({
        "id": format!("a-{number}"), "source": "bench", "kind": KINDS[number % KINDS.len()], "severity": "high", "confidence": "high",
        "status": "active", "title": "Something happened in a subscription", "customer_tenant_id": format!("11111111-aaaa-4aaa-8aaa-{:012}", number % 997),
        "subscription_id": format!("22222222-bbbb-4bbb-8bbb-{number:012}"), "resources": ["vm-1", "vm-2"], "detected_at": now, "received_at": now,
        "details": {"estimated_cost": 250.5, "region": "koreacentral", "ip": "203.0.113.7"}, "raw": {"id": number, "value": [{"a": 1, "b": "c"}]},
    });
    serde_json::from_value(alert).unwrap_or_else(|error| panic!("an alert: {error}"))
}
