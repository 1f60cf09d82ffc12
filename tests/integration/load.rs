//! Ten thousand alerts over a real broker: every one accounted for. What they change in the world is held to the plan in `world`.

use std::{collections::BTreeSet, fs, time::Duration};

use quell::{
    run::{AttemptOutcome, RunState, StepState},
    store::{AlertRow, Store, Timeline},
};
use quell_simulator::{AlertSeed, Notify, Options, Simulator};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    equation::Equation,
    support::{broker::shared_url, lab::Lab},
    world,
};

/// What is done about the load: coin miners are contained, everything else is taken into work, or is told somewhere that nobody can look at.
const PLAYBOOKS: [(&str, &str); 3] = [
    ("contain", super::spine::CONTAIN),
    (
        "take-up",
        r"
playbook: take-up
mode: enforce
trigger: {alert: {match: {kind: anomalous_resource_consumption}}}
steps:
  - {id: take, action: alert.update_status, with: {status: investigating}, retry: {delay: 200ms, max_delay: 2s, max_attempts: 20}}
",
    ),
    (
        "ticket",
        r#"
playbook: ticket
mode: enforce
trigger: {alert: {match: {kind: ticket}}}
steps:
  - {id: open, action: http.request, with: {method: POST, url: "SLACK/services/ticket-${alert.id}", body: {text: ticket}}}
"#,
    ),
];

/// What was sent, and what is to come of it.
#[derive(Default)]
pub(crate) struct Load {
    /// One message a line, in the order of sending: alerts, repeats of them, and what is none.
    pub(crate) lines: Vec<String>,
    /// The ids of the alerts.
    pub(crate) ids: BTreeSet<String>,
    pub(crate) malformed: usize,
    pub(crate) repeats: usize,
    /// The Azure subscriptions that mine coins.
    pub(crate) entitlements: BTreeSet<String>,
    /// The ids of alerts for which something is done that nobody can look at afterwards.
    pub(crate) tickets: BTreeSet<String>,
    /// The ids of alerts that are one of two about the same subscription.
    pub(crate) rivals: BTreeSet<String>,
}

/// A fifth of the messages are repeats and a hundredth are malformed; every Azure subscription has an alert about coin mining. Every fourth
/// has two of different ids, one right after the other, so that two runs want to change the same target at the same time.
pub(crate) fn load(simulator: &Simulator, messages: usize) -> Load {
    let (malformed, repeats) = (messages / 100, messages / 5);
    let mut subscriptions = simulator
        .world()
        .into_iter()
        .enumerate()
        .flat_map(|(customer, it)| (0..it.plan.entitlements.len()).map(move |entitlement| (customer, entitlement)).collect::<Vec<_>>());
    let mut load = Load { malformed, repeats, ..Load::default() };
    let (mut together, mut before): (Vec<Vec<String>>, _) = (Vec::new(), None);
    for number in 0..messages - malformed - repeats {
        let mining = match number {
            _ if number % 10 == 0 => subscriptions.next(),
            _ if number % 40 == 1 => before.as_ref().map(|(_, subscription)| *subscription),
            _ => None,
        };
        if mining.is_none() && number % 25 == 3 {
            let id = Uuid::now_v7().to_string();
            together.push(vec![line(&id, "ticket", number, &Value::Null)]);
            load.tickets.insert(id.clone());
            load.ids.insert(id);
            before = None;
            continue;
        }
        let kind = if mining.is_some() { "CryptoMining" } else { "ARM_AnomalousResourceConsumption" };
        let (customer, entitlement) = mining.unwrap_or((number % 10, 0));
        let seed = AlertSeed { alert_type: kind.to_owned(), customer, entitlement, notify: Notify::No, ..AlertSeed::default() };
        let id = simulator.add_alert(seed);
        let alert = simulator.alert(&id).expect("the alert that was just made");
        if mining.is_some() {
            load.entitlements.insert(text(&alert["subscriptionId"]));
        }
        let kind = if mining.is_some() { "crypto_mining" } else { "anomalous_resource_consumption" };
        let line = line(&id, kind, number, &alert);
        match (before.take(), together.last_mut()) {
            (Some((rival, _)), Some(last)) if mining.is_some() => {
                load.rivals.extend([rival, id.clone()]);
                last.push(line);
            }
            _ => together.push(vec![line]),
        }
        before = mining.map(|subscription| (id.clone(), subscription));
        load.ids.insert(id);
    }
    let step = (together.len() / repeats.max(1)).max(1);
    let again: Vec<_> = together.iter().step_by(step).take(repeats).map(|lines| vec![lines[0].clone()]).collect();
    assert_eq!(again.len(), repeats);
    together.extend(again);
    together.extend((0..malformed).map(|number| vec![format!("{{\"this is\": \"no alert\", \"number\": {number}}}")]));
    fastrand::Rng::with_seed(7).shuffle(&mut together);
    load.lines = together.concat();
    load
}

/// A message about an alert, with what Graph says of it.
fn line(id: &str, kind: &str, number: usize, graph: &Value) -> String {
    let now = jiff::Timestamp::now().to_string();
    let said = |field: &str| graph[field].as_str().unwrap_or("22222222-bbbb-4bbb-8bbb-000000000002").to_owned();
    let document = json!({
        "id": id, "source": "graph", "kind": kind, "severity": "high", "title": format!("alert {number}"),
        "customer_tenant_id": said("customerTenantId"), "subscription_id": said("subscriptionId"), "detected_at": now, "received_at": now,
    });
    let alert: quell::alert::Alert = serde_json::from_value(document).expect("an alert");
    String::from_utf8(alert.to_event()).expect("text")
}

/// The equation: what went in is what is there, and the world changed as planned, each change once.
#[expect(clippy::print_stderr, reason = "the equation is what the test is for")]
pub(crate) async fn holds(lab: &Lab, store: &Store, load: &Load, found: &(Vec<AlertRow>, Vec<Timeline>), restarts: usize) {
    let (alerts, runs) = found;
    let known: BTreeSet<_> = alerts.iter().map(|row| row.id.clone()).collect();
    assert_eq!(known, load.ids, "lost or invented alerts");
    assert_eq!(alerts.len(), load.ids.len(), "an alert is there twice");
    assert!(alerts.iter().all(|row| row.outcome == "matched"), "every alert is decided about");
    assert_eq!(runs.len(), alerts.len(), "one run for each alert");
    for run in runs {
        let alert = alerts.iter().find(|row| Some(row.number) == run.run.alert).expect("the run's alert");
        let too_late = run.run.state == RunState::NoAction && load.rivals.contains(&alert.id);
        let left_to_a_person = run.run.state == RunState::Indeterminate && (load.tickets.contains(&alert.id) || is_refused_in_doubt(run));
        assert!(run.run.state == RunState::Done || too_late || left_to_a_person, "{run:#?}");
    }

    let bodies = store.quarantine(true, i64::MAX).await.expect("read the quarantine").into_iter().map(|row| row.body);
    let quarantined: Vec<_> = bodies.collect();
    let distinct: BTreeSet<_> = quarantined.iter().collect();
    assert_eq!(distinct.len(), load.malformed, "a malformed message is lost");
    // A message may come again after a crash between commit and acknowledgement; what is no alert has no key to know it by.
    assert!(quarantined.len() <= load.malformed + restarts * 200);
    let deliveries: i64 = alerts.iter().map(|row| row.deliveries).sum();
    assert!(deliveries >= i64::try_from(load.ids.len() + load.repeats).expect("a number"), "repeats are counted");
    let equation = Equation::of(&lab.simulator, &load.ids, found);
    eprintln!("{equation}");
    equation.holds().expect("the equation");
    assert!(restarts > 0 || equation.faults == 0, "without a crash nothing is in doubt");
    let told: BTreeSet<_> = lab.simulator.effects("message.slack").into_iter().filter(|it| it.applied).map(|it| it.path).collect();
    let is_told = |id: &str| told.iter().any(|path| path.ends_with(&format!("ticket-{id}")));
    let in_doubt: BTreeSet<_> =
        runs.iter().filter(|run| run.run.state == RunState::Indeterminate).filter_map(|run| run.run.alert).collect();
    let untold: Vec<_> = alerts.iter().filter(|row| load.tickets.contains(&row.id) && !is_told(&row.id)).collect();
    assert!(untold.iter().all(|row| in_doubt.contains(&row.number)), "who did not get through to the other side says so: {untold:#?}");
    assert!(untold.len() * 2 <= load.tickets.len(), "{} of {} tickets were not told", untold.len(), load.tickets.len());
    world::agrees(&lab.simulator, load, found);
}

/// A plan with an Azure subscription that no alert is about cannot be suspended; if that was answered and the answer was lost, a person decides.
fn is_refused_in_doubt(run: &Timeline) -> bool {
    let in_doubt = run.steps.iter().find(|step| step.state == StepState::Indeterminate);
    in_doubt.is_some_and(|step| {
        let outcomes = || run.attempts.iter().filter(|(id, _)| *id == step.id).filter_map(|(_, attempt)| attempt.outcome);
        step.action == "subscription.suspend"
            && outcomes().any(|outcome| outcome == AttemptOutcome::Unknown)
            && outcomes().any(|outcome| outcome == AttemptOutcome::Rejected)
    })
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// A world with those many customers.
pub(crate) fn options(customers: usize) -> Options {
    Options { customers, cancel_delay: Duration::from_millis(300), page_size: 100, ..Options::default() }
}

/// Lets an installation work on the load.
pub(crate) fn prepared(lab: Lab) -> Lab {
    for (name, text) in PLAYBOOKS {
        // Many attempts, soon after each other: what is lost of answers and to crashes is not worth a minute's wait.
        let text = text.replace(
            "action: entitlement.cancel",
            "action: entitlement.cancel\n    retry: {delay: 200ms, max_delay: 2s, max_attempts: 20}",
        );
        lab.playbook(name, &text.replace("SLACK", &lab.simulator.slack_url()));
    }
    lab.change_settings("debug,lapin=off", "warn,lapin=off");
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_alerts_are_all_accounted_for() {
    let lab = prepared(Lab::on_broker(&shared_url(), options(250)).await);
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
