//! A playbook that fails on alerts is told to people once, whatever number of alerts come up against it.

use std::time::{Duration, Instant};

use quell_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::support::lab::Lab;

const PATIENCE: Duration = Duration::from_mins(1);

/// Fails on every alert of its kind, with a value that differs each time.
fn failing(description: &str) -> String {
    format!(
        "playbook: failing\ndescription: {description}\nmode: enforce\n\
         trigger: {{alert: {{match: {{kind: crypto_mining}}, when: alert.details.cost > 5}}}}\n\
         steps: [{{id: a, action: log, with: {{message: x}}}}]\n"
    )
}

fn alert(number: usize) -> Value {
    json!({
        "id": format!("a-{number}"), "kind": "crypto_mining", "severity": "high", "title": "Mining", "customer_tenant_id": "t-1",
        "detected_at": "2026-03-02T04:11:09Z", "details": {"cost": format!("{number} dollars")},
    })
}

/// What people were told, as soon as it is that many messages; and that it is no more a little later.
async fn told(lab: &Lab, messages: usize) -> Vec<String> {
    let begun = Instant::now();
    let said =
        || lab.simulator.effects("message.slack").into_iter().filter_map(|it| it.body).map(|body| body.to_string()).collect::<Vec<_>>();
    while said().len() < messages && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Longer than it takes until it is looked whether there is anything to tell.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(said().len(), messages, "{:?}", said());
    said()
}

async fn lab() -> Lab {
    let lab = Lab::embedded().await;
    lab.playbook("failing", &failing("first"));
    lab.change_settings("telemetry: {", "telemetry: {tell: [{of: [playbook_error], to: [\"slack:secops\"]}], ");
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_once_and_not_again_after_a_restart_and_once_more_of_another_text() {
    let lab = lab().await;
    let quell = lab.run().await;
    for number in 1..=50 {
        assert_eq!(lab.hook(&alert(number)).await.unwrap().0, 202);
    }
    let store = lab.store().await;
    let (rows, timelines) = lab.settled(&store, 50, PATIENCE).await;
    assert!(rows.iter().all(|row| row.outcome == "error") && timelines.is_empty());
    let messages = told(&lab, 1).await;
    assert!(messages[0].contains("The playbook failing fails on alerts"), "{messages:?}");
    assert!(messages[0].contains("cannot be compared with the number `5`"), "{messages:?}");
    let (_, metrics) = lab.get("/metrics").await.unwrap();
    assert!(metrics.contains("quell_playbook_errors_total{playbook=\"failing\"} 50"), "{metrics}");
    assert!(metrics.contains("quell_messages_total{kind=\"playbook_error\",outcome=\"sent\"} 1"), "{metrics}");
    let shown = lab.json(&["alerts", "show", "50"]);
    assert_eq!(shown["decisions"][0]["verdict"], "error");
    assert!(shown["decisions"][0]["detail"].as_str().unwrap().contains("`50 dollars`"), "{shown}");

    quell.kill();
    let quell = lab.run().await;
    lab.hook(&alert(51)).await.unwrap();
    lab.settled(&store, 51, PATIENCE).await;
    told(&lab, 1).await;

    quell.terminate();
    lab.playbook("failing", &failing("second"));
    let _quell = lab.run().await;
    for number in 52..=54 {
        lab.hook(&alert(number)).await.unwrap();
    }
    lab.settled(&store, 54, PATIENCE).await;
    told(&lab, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_down_holds_no_alert_up_and_is_told_later() {
    let lab = lab().await;
    let fault = Fault::always(FaultKind::Status { status: 503, body: None, retry_after: None });
    lab.simulator.fault(Fault { times: Some(1), ..fault });
    let _quell = lab.run().await;
    for number in 1..=3 {
        lab.hook(&alert(number)).await.unwrap();
    }
    let store = lab.store().await;
    lab.settled(&store, 3, Duration::from_secs(10)).await;
    told(&lab, 1).await;
    let (_, metrics) = lab.get("/metrics").await.unwrap();
    assert!(metrics.contains("quell_messages_total{kind=\"playbook_error\",outcome=\"failed\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_when_a_schedule_begins_a_run_is_told_once() {
    let lab = lab().await;
    lab.playbook(
        "minutely",
        "playbook: minutely\nmode: enforce\ntrigger: {schedule: {cron: '* * * * *', catch_up: all}}\n\
         vars: {x: '${ 1 / (inputs.scheduled_at.len() - inputs.scheduled_at.len()) }'}\nsteps: [{id: a, action: log, with: {message: x}}]\n",
    );
    // Three minutes were missed, and each fails.
    let store = lab.store().await;
    let last = store.clock().now() - Duration::from_mins(3);
    store.advance_schedule("minutely", ("* * * * * UTC", last), Vec::new(), Vec::new()).await.unwrap();
    let _quell = lab.run().await;
    let messages = told(&lab, 1).await;
    assert!(messages[0].contains("The playbook minutely fails when its schedule begins it"), "{messages:?}");
    assert!(messages[0].contains("`vars.x`: division by zero") && messages[0].contains("First time"), "{messages:?}");
    let (_, metrics) = lab.get("/metrics").await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with("quell_playbook_errors_total{playbook=\"minutely\"}")).unwrap();
    // A minute may have begun meanwhile.
    assert!(line.ends_with(" 3") || line.ends_with(" 4"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_not_there_is_refused_at_the_start() {
    let lab = lab().await;
    lab.change_settings("to: [\"slack:secops\"]}]", "to: [\"slack:secop\"]}]");
    let output = lab.quell(&["check"]);
    let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
    assert!(!output.status.success() && said.contains("`telemetry.tell`: there is no channel `slack:secop`"), "{said}");
    assert!(said.contains("did you mean `slack:secops`?"), "{said}");
}
