//! After a crash work goes on soon, however much was under way: from the start of the process to the first step that an earlier one left.

use std::time::{Duration, Instant};

use quell::{
    alert::Alert,
    engine::decide::decide,
    playbook::Library,
    store::{Arrival, Received, Store},
};
use quell_simulator::Options;
use serde_json::json;

use crate::support::lab::Lab;

/// Runs that had begun when the process died.
const UNFINISHED: usize = 10_000;

/// What `README.md` promises.
const LIMIT: Duration = Duration::from_secs(2);

/// Other tests have the processors as well, so the best of a few starts counts: a start that is slow by itself is slow every time.
const STARTS: usize = 3;

/// Half of the runs have a call to make, the others wait for a time that is far away.
const PLAYBOOKS: [(&str, &str); 2] = [
    (
        "busy",
        r#"
playbook: busy
mode: enforce
trigger: {alert: {match: {kind: busy}}}
steps:
  - {id: first, action: log, with: {message: "${alert.id}"}}
  - {id: call, action: http.request, with: {method: POST, url: "SLACK/services/${alert.id}", body: {text: called}}}
  - {id: much_later, wait: {for: 1d}}
"#,
    ),
    (
        "patient",
        r#"
playbook: patient
mode: enforce
trigger: {alert: {match: {kind: patient}}}
steps:
  - {id: later, wait: {for: 1d}}
  - {id: call, action: log, with: {message: "${alert.id}"}}
"#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "the figure is what the test is for")]
async fn ten_thousand_unfinished_runs_go_on_within_two_seconds_of_a_start_after_kill_9() {
    let lab = Lab::new("url: embedded", Options::default()).await;
    for (name, text) in PLAYBOOKS {
        lab.playbook(name, &text.replace("SLACK", &lab.simulator.slack_url()));
    }
    let store = lab.store().await;
    begin_runs(&lab, &store).await;
    // The first process leaves calls under way and a long write-ahead log, as a crash does.
    let quell = lab.start();
    more_calls(&lab, 200).await;
    quell.kill();
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let open = store.open_runs().await.expect("list runs").len();
        assert_eq!(open, UNFINISHED, "every run is unfinished");
        let begun = Instant::now();
        let quell = lab.start();
        more_calls(&lab, 1).await;
        took.push(begun.elapsed());
        // The next one finds calls under way again.
        more_calls(&lab, 100).await;
        quell.kill();
    }
    eprintln!("from the start to the first step of {UNFINISHED} unfinished runs: {took:?}");
    let best = took.iter().min().expect("a start");
    assert!(*best <= LIMIT, "{took:?}");
}

/// Waits for so many calls more than there are.
async fn more_calls(lab: &Lab, more: usize) {
    let counted = || lab.simulator.counts().slack;
    let (before, begun) = (counted(), Instant::now());
    while counted() < before + more {
        assert!(begun.elapsed() < Duration::from_mins(1), "{} of {more} calls came", counted() - before);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Writes down what a process does that took alerts in and began a run for each.
async fn begin_runs(lab: &Lab, store: &Store) {
    const BATCH: usize = 1_000;
    let library = Library::load(&lab.path("playbooks"));
    for start in (0..UNFINISHED).step_by(BATCH) {
        let batch = (start..start + BATCH).map(|number| {
            let alert = alert(number);
            Arrival::Alert(Box::new(Received { event: alert.to_event(), alert }))
        });
        store.take_in(batch.collect()).await.expect("take alerts in");
        let waiting = store.undecided(i64::MAX).await.expect("read the store");
        let now = jiff::Timestamp::now();
        let decisions = waiting.iter().map(|undecided| {
            let alert = Alert::from_event(&undecided.event).expect("an alert");
            decide(&library, (undecided.number, false), &alert, now)
        });
        assert_eq!(store.decide(decisions.collect()).await.expect("write the store").len(), BATCH, "a run for each");
    }
}

fn alert(number: usize) -> Alert {
    let now = jiff::Timestamp::now().to_string();
    let kind = if number.is_multiple_of(2) { "busy" } else { "patient" };
    let document = json!({
        "id": format!("alert-{number}"), "source": "graph", "kind": kind, "severity": "high", "title": "about something",
        "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": format!("22222222-bbbb-4bbb-8bbb-{number:012}"),
        "detected_at": now, "received_at": now,
    });
    serde_json::from_value(document).expect("an alert")
}
