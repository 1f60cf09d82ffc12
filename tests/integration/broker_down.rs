//! The broker goes away and comes back: nothing is lost, senders are told, and consuming goes on by itself.

use std::{
    collections::BTreeSet,
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use quell::store::AlertFilter;
use quell_simulator::Options;
use serde_json::{Value, json};

use crate::support::{
    broker::Broker,
    lab::Lab,
    tcp_proxy::{Network, TcpProxy},
};

fn alert(number: usize) -> Value {
    let now = jiff::Timestamp::now().to_string();
    json!({"id": format!("alert-{number}"), "source": "graph", "kind": "noise", "detected_at": now, "received_at": now})
}

/// Sends with a pause between; returns the ids that were answered with 202, and how many were answered with 503.
async fn send(lab: &Lab, numbers: std::ops::Range<usize>) -> (BTreeSet<String>, usize) {
    let (mut taken, mut refused) = (BTreeSet::new(), 0);
    for number in numbers {
        match lab.hook(&alert(number)).await.expect("an answer") {
            (202, _) => drop(taken.insert(format!("alert-{number}"))),
            (503, body) => {
                assert!(body.contains("unavailable") && body.contains("send it again later"), "{body}");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (taken, refused)
}

const NOTE: &str =
    "playbook: note\nmode: enforce\ntrigger: {alert: {match: {kind: noise}}}\nsteps: [{id: a, action: log, with: {message: x}}]\n";

#[tokio::test(flavor = "multi_thread")]
async fn broker_stopped_for_twenty_seconds_loses_nothing() {
    let mut broker = Broker::start().await;
    let lab = Lab::on_broker(&broker.url(), Options::default()).await;
    lab.playbook("note", NOTE);
    let quell = lab.run().await;
    broker.settle().await;
    let (mut taken, refused) = send(&lab, 0..100).await;
    assert_eq!(refused, 0);

    broker.stop().await;
    let stopped = Instant::now();
    let (during, refused) = send(&lab, 100..120).await;
    assert_eq!((during.len(), refused), (0, 20), "while the broker is down every sender is told to come back");
    let (code, body) = lab.get("/readyz").await.unwrap();
    assert_eq!(code, 503, "{body}");
    tokio::time::sleep(Duration::from_secs(20).saturating_sub(stopped.elapsed())).await;

    broker.start_again().await;
    let opened = Instant::now();
    lab.ready(Duration::from_secs(15))
        .await
        .unwrap_or_else(|reason| panic!("not consuming within 15 s of the port opening: {reason}\n{}", quell.log()));
    eprintln!("consuming again {:?} after the broker took connections", opened.elapsed());
    let (after, refused) = send(&lab, 120..220).await;
    assert_eq!(refused, 0);
    taken.extend(after);

    let store = lab.store().await;
    let (alerts, runs) = lab.settled(&store, taken.len(), Duration::from_secs(30)).await;
    let known: BTreeSet<_> = alerts.iter().map(|row| row.id.clone()).collect();
    assert!(taken.is_subset(&known), "lost: {:?}", taken.difference(&known).collect::<Vec<_>>());
    assert_eq!(runs.len(), alerts.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_gone_for_twenty_seconds_amid_a_large_sending_loses_nothing_that_was_confirmed() {
    const MANY: usize = 3_000;
    // More than `quell send` has under way at once, so some are confirmed when these have arrived.
    const SOME: usize = 300;
    let mut broker = Broker::start().await;
    let lab = Lab::on_broker(&broker.url(), Options::default()).await;
    lab.playbook("note", NOTE);
    let _quell = lab.run().await;
    broker.settle().await;
    let store = lab.store().await;
    let lines: Vec<_> = (0..MANY).map(|number| alert(number).to_string()).collect();
    fs::write(lab.path("load.jsonl"), lines.join("\n")).unwrap();

    // Slow enough that there is a middle.
    let proxy = TcpProxy::start(broker.port()).await;
    proxy.set(Network::Delay(Duration::from_millis(100))).await;
    let mut sending = lab.command(&["send", "load.jsonl", "--json"]);
    sending.env("QUELL_BUS__URL", proxy.url_through(&broker.url()));
    let sending = sending.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while store.alerts(&AlertFilter::default()).await.unwrap().len() < SOME {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing arrives");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // An orderly stop takes a second, in which the rest would be sent.
    broker.kill();
    let gone = Instant::now();
    let (during, refused) = send(&lab, MANY..MANY + 20).await;
    assert_eq!((during.len(), refused), (0, 20), "while the broker is away every sender is told to come back");
    tokio::time::sleep(Duration::from_secs(20).saturating_sub(gone.elapsed())).await;
    broker.start_again().await;

    let output = tokio::task::spawn_blocking(|| sending.wait_with_output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sent = usize::try_from(report["sent"].as_u64().unwrap()).unwrap();
    let failed: u64 = report["failed"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    eprintln!("{sent} confirmed, {failed} not: {told}");
    assert_eq!(sent + usize::try_from(failed).unwrap(), MANY, "every alert is told about");
    assert!(sent > 0 && failed > 0, "the broker went away in the middle");
    assert!(output.status.code() == Some(3) && told.contains(" not sent: "), "{told}");

    lab.ready(Duration::from_secs(30)).await.unwrap();
    let (alerts, _) = lab.settled(&store, sent, Duration::from_mins(1)).await;
    eprintln!("{} arrived", alerts.len());
    // Whoever sends everything again, as was told, ends with every alert once.
    assert!(lab.quell(&["send", "load.jsonl"]).status.success());
    let (alerts, runs) = lab.settled(&store, MANY, Duration::from_mins(1)).await;
    let known: BTreeSet<_> = alerts.iter().map(|row| row.id.clone()).collect();
    assert_eq!(known, (0..MANY).map(|number| format!("alert-{number}")).collect());
    assert_eq!((alerts.len(), runs.len()), (MANY, MANY));
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_that_runs_short_is_told_by_readiness_and_publishes_again_afterwards() {
    let broker = Broker::start().await;
    let lab = Lab::on_broker(&broker.url(), Options::default()).await;
    let _quell = lab.run().await;
    assert_eq!(send(&lab, 0..10).await.1, 0);

    broker.run_short();
    let begun = Instant::now();
    while send(&lab, 10..11).await.1 == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the broker never blocked");
    }
    // The first message after the broker ran short waits for a confirmation; the next are refused at once, and the connection is kept.
    let refusing = Instant::now();
    assert_eq!(send(&lab, 11..16).await.1, 5);
    assert!(refusing.elapsed() < Duration::from_secs(2), "{:?}", refusing.elapsed());
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (code, body) = lab.get("/readyz").await.unwrap();
    assert_eq!(code, 503, "{body}");

    broker.recover();
    lab.ready(Duration::from_secs(15)).await.unwrap();
    assert_eq!(send(&lab, 20..30).await.1, 0);
}
