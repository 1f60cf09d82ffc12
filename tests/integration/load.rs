//! Ten thousand alerts over a real broker: every one accounted for, every expected change in the world made once, none besides.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use quell::{
    run::RunState,
    store::{AlertRow, Store, Timeline},
};
use quell_simulator::{AlertSeed, Notify, Options, Simulator};
use serde_json::{Value, json};

use crate::support::{broker::shared_url, lab::Lab};

/// What is done about the load: coin miners are contained, everything is taken into work.
const PLAYBOOKS: [(&str, &str); 2] = [
    ("contain", super::spine::CONTAIN),
    (
        "take-up",
        r"
playbook: take-up
mode: enforce
trigger: {alert: {match: {kind: anomalous_resource_consumption}}}
steps:
  - {id: take, action: alert.update_status, with: {status: investigating}}
",
    ),
];

/// What was sent, and what is to come of it.
pub(crate) struct Load {
    /// One message a line, in the order of sending: alerts, repeats of them, and what is none.
    pub(crate) lines: Vec<String>,
    /// The ids of the alerts.
    pub(crate) ids: BTreeSet<String>,
    pub(crate) malformed: usize,
    pub(crate) repeats: usize,
    entitlements: BTreeSet<String>,
}

/// A fifth of the messages are repeats and a hundredth are malformed; every Azure subscription has one alert about coin mining.
pub(crate) fn load(simulator: &Simulator, messages: usize) -> Load {
    let (malformed, repeats) = (messages / 100, messages / 5);
    let mut subscriptions = simulator
        .world()
        .into_iter()
        .enumerate()
        .flat_map(|(customer, it)| (0..it.plan.entitlements.len()).map(move |entitlement| (customer, entitlement)).collect::<Vec<_>>());
    let mut load = Load { lines: Vec::new(), ids: BTreeSet::new(), malformed, repeats, entitlements: BTreeSet::new() };
    for number in 0..messages - malformed - repeats {
        let mining = if number % 10 == 0 { subscriptions.next() } else { None };
        let kind = if mining.is_some() { "CryptoMining" } else { "ARM_AnomalousResourceConsumption" };
        let (customer, entitlement) = mining.unwrap_or((number % 10, 0));
        let seed = AlertSeed { alert_type: kind.to_owned(), customer, entitlement, notify: Notify::No, ..AlertSeed::default() };
        let id = simulator.add_alert(seed);
        let alert = simulator.alert(&id).expect("the alert that was just made");
        if mining.is_some() {
            load.entitlements.insert(text(&alert["subscriptionId"]));
        }
        let kind = if mining.is_some() { "crypto_mining" } else { "anomalous_resource_consumption" };
        let document = json!({
            "id": id, "source": "graph", "kind": kind, "severity": "high", "title": format!("alert {number}"),
            "customer_tenant_id": alert["customerTenantId"], "subscription_id": alert["subscriptionId"],
            "detected_at": jiff::Timestamp::now().to_string(), "received_at": jiff::Timestamp::now().to_string(),
        });
        let alert: quell::alert::Alert = serde_json::from_value(document).expect("an alert");
        load.lines.push(String::from_utf8(alert.to_event()).expect("text"));
        load.ids.insert(id);
    }
    let step = (load.lines.len() / repeats.max(1)).max(1);
    let again: Vec<_> = load.lines.iter().step_by(step).take(repeats).cloned().collect();
    assert_eq!(again.len(), repeats);
    load.lines.extend(again);
    load.lines.extend((0..malformed).map(|number| format!("{{\"this is\": \"no alert\", \"number\": {number}}}")));
    fastrand::Rng::with_seed(7).shuffle(&mut load.lines);
    load
}

/// The equation: what went in is what is there, and the world changed as planned, each change once.
pub(crate) async fn holds(lab: &Lab, store: &Store, load: &Load, (alerts, runs): &(Vec<AlertRow>, Vec<Timeline>), restarts: usize) {
    let known: BTreeSet<_> = alerts.iter().map(|row| row.id.clone()).collect();
    assert_eq!(known, load.ids, "lost or invented alerts");
    assert_eq!(alerts.len(), load.ids.len(), "an alert is there twice");
    assert!(alerts.iter().all(|row| row.outcome == "matched"), "every alert is decided about");
    assert_eq!(runs.len(), alerts.len(), "one run for each alert");
    let ended = runs.iter().fold(BTreeMap::new(), |mut ended, run| {
        *ended.entry(run.run.state.as_str()).or_insert(0) += 1;
        ended
    });
    assert_eq!(
        ended,
        BTreeMap::from([(RunState::Done.as_str(), runs.len())]),
        "{:#?}",
        runs.iter().find(|run| run.run.state != RunState::Done)
    );

    let bodies = store.quarantine(true, i64::MAX).await.expect("read the quarantine").into_iter().map(|row| row.body);
    let quarantined: Vec<_> = bodies.collect();
    let distinct: BTreeSet<_> = quarantined.iter().collect();
    assert_eq!(distinct.len(), load.malformed, "a malformed message is lost");
    // A message may come again after a crash between commit and acknowledgement; what is no alert has no key to know it by.
    assert!(quarantined.len() <= load.malformed + restarts * 200);
    let deliveries: i64 = alerts.iter().map(|row| row.deliveries).sum();
    assert!(deliveries >= i64::try_from(load.ids.len() + load.repeats).expect("a number"), "repeats are counted");
    in_the_world(lab, load, runs);
}

fn in_the_world(lab: &Lab, load: &Load, runs: &[Timeline]) {
    let simulator = &lab.simulator;
    let targets = |kind: &str| {
        let made = simulator.effects(kind).into_iter().filter(|entry| entry.applied);
        let mut targets: Vec<_> = made.filter_map(|entry| entry.effect.map(|effect| effect.target)).collect();
        targets.sort();
        targets
    };
    let sorted = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
    assert_eq!(targets("alert.updated"), sorted(&load.ids), "each alert is updated once");
    let cancelled: Vec<_> = targets("entitlement.cancelled");
    assert_eq!(cancelled, sorted(&load.entitlements), "each entitlement is cancelled once, and no other");
    let plans: BTreeSet<_> = simulator
        .world()
        .into_iter()
        .filter(|it| it.plan.entitlements.iter().all(|entitlement| load.entitlements.contains(&entitlement.id)))
        .map(|it| it.plan.id)
        .collect();
    assert_eq!(targets("subscription.suspended"), sorted(&plans), "each plan with nothing left active is suspended once");

    // Whatever changed something was planned: the step is in the journal with an intent before it.
    let planned: BTreeSet<_> = runs.iter().flat_map(|run| &run.steps).map(|step| step.request_id.to_string()).collect();
    let changing = simulator.ledger().into_iter().filter(|entry| entry.service == "partner-center" && entry.method != "GET");
    for entry in changing {
        let id = entry.request_id.clone().unwrap_or_default();
        assert!(planned.contains(&id), "a call that no step planned: {entry:?}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub(crate) async fn lab(url: &str, customers: usize) -> Lab {
    let options = Options { customers, cancel_delay: Duration::from_millis(300), page_size: 100, ..Options::default() };
    let lab = Lab::on_broker(url, options).await;
    for (name, text) in PLAYBOOKS {
        lab.playbook(name, text);
    }
    lab.change_settings("debug,lapin=off", "warn,lapin=off");
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_alerts_are_all_accounted_for() {
    let lab = lab(&shared_url(), 250).await;
    let load = load(&lab.simulator, 10_000);
    fs::write(lab.path("load.jsonl"), load.lines.join("\n")).expect("write the load");
    let _quell = lab.run().await;
    let begun = std::time::Instant::now();
    let sent = lab.quell(&["send", "--raw", "load.jsonl"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert_eq!(String::from_utf8_lossy(&sent.stdout).trim(), "10000 sent");
    eprintln!("sent after {:?}", begun.elapsed());
    let store = lab.store().await;
    let found = lab.settled(&store, load.ids.len(), Duration::from_mins(4)).await;
    eprintln!("settled after {:?}", begun.elapsed());
    holds(&lab, &store, &load, &found, 0).await;
    let deliveries: i64 = found.0.iter().map(|row| row.deliveries).sum();
    assert_eq!(deliveries, 9_900, "without a crash nothing comes twice but what was sent twice");
}
