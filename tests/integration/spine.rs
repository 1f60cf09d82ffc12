//! An alert from its arrival to the change in the world, with every part real but Microsoft.

use std::time::Duration;

use quell::{
    run::{Mode, RunState, StepState},
    store::RunFilter,
};
use quell_simulator::{AlertSeed, Event, Fault, FaultKind, Notify, Simulator};
use serde_json::{Value, json};

use crate::support::lab::Lab;

/// Contains what mines coins, as an analyst would write it at first.
pub(crate) const CONTAIN: &str = r#"
playbook: contain
mode: enforce
trigger:
  alert:
    match: {kind: crypto_mining, status: active}
steps:
  - id: sub
    action: entitlement.find
    with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}"}
  - id: not_needed
    if: steps.sub.output.status != "active"
    stop: {outcome: no_action, reason: "already ${steps.sub.output.status}"}
  - id: cancel
    action: entitlement.cancel
    with:
      customer_tenant_id: "${alert.customer_tenant_id}"
      plan_id: "${steps.sub.output.plan_id}"
      entitlement_id: "${alert.subscription_id}"
  - id: suspend
    action: subscription.suspend
    with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}"}
    on_error: continue
  - id: resolve
    action: alert.update_status
    with: {status: resolved, resolved_reason: fraud}
  - id: tell
    action: notify
    with: {channels: ["slack:secops"], text: "${alert.title}: suspended"}
    on_error: continue
"#;

/// Steps that look for the Azure subscription of an alert and cancel it.
pub(crate) const FIND_AND_CANCEL: &str = r#"
  - id: sub
    action: entitlement.find
    with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}"}
  - id: cancel
    action: entitlement.cancel
    with:
      customer_tenant_id: "${alert.customer_tenant_id}"
      plan_id: "${steps.sub.output.plan_id}"
      entitlement_id: "${alert.subscription_id}"
"#;

/// A customer with one Azure subscription, an alert about it at the simulator, and the same alert as a webhook's document.
pub(crate) fn crypto_alert(simulator: &Simulator, customer: usize) -> (String, Value) {
    let seed = AlertSeed {
        alert_type: "CryptoMining".to_owned(),
        severity: "high".to_owned(),
        confidence: "high".to_owned(),
        customer,
        entitlement: 0,
        display_name: "Mining pool traffic".to_owned(),
        notify: Notify::No,
        ..AlertSeed::default()
    };
    let id = simulator.add_alert(seed);
    let alert = simulator.alert(&id).unwrap();
    let document = json!({
        "id": id, "source": "graph", "kind": "crypto_mining", "severity": "high", "confidence": "high", "title": "Mining pool traffic",
        "customer_tenant_id": alert["customerTenantId"], "subscription_id": alert["subscriptionId"],
        "detected_at": jiff::Timestamp::now().to_string(), "received_at": jiff::Timestamp::now().to_string(),
    });
    (id, document)
}

/// A customer whose plan has this many Azure subscriptions.
pub(crate) fn customer_with(simulator: &Simulator, entitlements: usize) -> usize {
    simulator.world().iter().position(|customer| customer.plan.entitlements.len() == entitlements).expect("such a customer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_leads_to_a_suspended_plan_and_a_resolved_alert() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    let quell = lab.run().await;
    let customer = customer_with(&lab.simulator, 1);
    let (id, document) = crypto_alert(&lab.simulator, customer);

    let (code, body) = lab.hook(&document).await.unwrap();
    assert_eq!(code, 202, "{body}");
    assert!(body.contains(&id), "{body}");
    let store = lab.store().await;
    let (alerts, runs) = lab.settled(&store, 1, Duration::from_secs(30)).await;

    assert_eq!(alerts[0].outcome, "matched");
    assert_eq!(runs[0].run.state, RunState::Done, "{:#?}", runs[0]);
    let world = &lab.simulator.world()[customer];
    assert_eq!(serde_json::to_value(world.plan.status).unwrap(), "suspended");
    assert_eq!(lab.simulator.alert(&id).unwrap()["status"], "resolved");
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended, counts.alert_updates, counts.slack, counts.repeats), (1, 1, 1, 1, 0));

    // Once more: it is known.
    assert_eq!(lab.hook(&document).await.unwrap().0, 202);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (alerts, runs) = lab.settled(&store, 1, Duration::from_secs(30)).await;
    assert_eq!((alerts.len(), alerts[0].deliveries, runs.len()), (1, 2, 1));
    assert_eq!(lab.simulator.counts().cancelled, 1);
    assert!(quell.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_callback_of_partner_center_is_a_hint_and_graph_is_asked() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    let _quell = lab.run().await;
    let (id, document) = crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1));
    let url = lab.url("/hooks/partner-center/k7p2");
    let event = Event::fraud(document["subscription_id"].as_str().unwrap());
    assert_eq!(lab.simulator.deliver_webhook(&url, event).await.unwrap(), 200);
    let store = lab.store().await;
    let (alerts, _) = lab.settled(&store, 1, Duration::from_secs(30)).await;
    assert_eq!((alerts[0].id.as_str(), alerts[0].kind.as_str(), alerts[0].source.as_str()), (id.as_str(), "crypto_mining", "graph"));
    assert_eq!(lab.simulator.alert(&id).unwrap()["status"], "resolved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_polling_graph_finds_is_the_alert_that_the_callback_hinted_at() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", &CONTAIN.replace("  - id: resolve", "  - id: resolve\n    if: \"false\"").replace("\"false\"", "false"));
    lab.change_settings("adapters:\n", "adapters:\n  - {name: graph, type: graph_alerts, every: 1s, connection: contoso}\n");
    let _quell = lab.run().await;
    for customer in 0..15 {
        crypto_alert(&lab.simulator, customer);
    }
    let (_, document) = crypto_alert(&lab.simulator, 16);
    let event = Event::fraud(document["subscription_id"].as_str().unwrap());
    lab.simulator.deliver_webhook(&lab.url("/hooks/partner-center/k7p2"), event).await.unwrap();
    let store = lab.store().await;
    let (alerts, runs) = lab.settled(&store, 16, Duration::from_mins(1)).await;
    assert_eq!((alerts.len(), runs.len()), (16, 16), "more than one page, each alert once, whichever way it came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_looked_into_and_nothing_is_done_twice() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    let _quell = lab.run().await;
    for (method, path) in [("POST", "/cancel"), ("PATCH", "/subscriptions/")] {
        let fault = Fault { method: Some(method.to_owned()), path: Some(path.to_owned()), ..Fault::once(FaultKind::ApplyThenDrop) };
        lab.simulator.fault(fault);
    }
    let (_, document) = crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1));
    lab.hook(&document).await.unwrap();
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, Duration::from_mins(1)).await;
    assert_eq!(runs[0].run.state, RunState::Done, "{:#?}", runs[0]);
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended), (1, 1));
    let unknown = runs[0].attempts.iter().filter(|(_, attempt)| attempt.outcome.is_some_and(|it| it.as_str() == "unknown")).count();
    assert_eq!(unknown, 2, "{:#?}", runs[0].attempts);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsafe_call_with_a_lost_answer_stops_the_run_for_a_person() {
    let lab = Lab::embedded().await;
    let url = format!("{}/services/tickets", lab.simulator.slack_url());
    lab.playbook(
        "ticket",
        &format!(
            "playbook: ticket\nmode: enforce\ntrigger: {{alert: {{match: {{kind: crypto_mining}}}}}}\nsteps:\n\
             - {{id: ticket, action: http.request, with: {{method: POST, url: '{url}', body: {{text: help}}}}}}\n\
             - {{id: after, action: log, with: {{message: never}}}}\n\
             on_error:\n- {{id: page, action: notify, with: {{channels: ['teams:soc'], text: '${{error.step}}: ${{error.message}}'}}}}\n"
        ),
    );
    let _quell = lab.run().await;
    lab.simulator.fault(Fault { path: Some("/tickets".to_owned()), ..Fault::once(FaultKind::ApplyThenDrop) });
    let (_, document) = crypto_alert(&lab.simulator, 0);
    lab.hook(&document).await.unwrap();
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, Duration::from_secs(30)).await;
    assert_eq!(runs[0].run.state, RunState::Indeterminate);
    let states: Vec<_> = runs[0].steps.iter().map(|step| (step.id.as_str(), step.state)).collect();
    assert_eq!(states, [("ticket", StepState::Indeterminate), ("page", StepState::Succeeded)]);
    let counts = lab.simulator.counts();
    assert_eq!((counts.slack, counts.teams), (1, 1), "sent once, and a person was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_allows_nothing_destructive_gets_nothing_destructive() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    lab.change_settings(r#"guardrails: {without_approval: ["subscription.*", "entitlement.*"]}"#, "guardrails: {}");
    let _quell = lab.run().await;
    let (_, document) = crypto_alert(&lab.simulator, 0);
    lab.hook(&document).await.unwrap();
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, Duration::from_secs(30)).await;
    assert_eq!(runs[0].run.state, RunState::Failed);
    assert!(runs[0].run.reason.contains("without_approval"), "{}", runs[0].run.reason);
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_subscription_and_a_used_up_limit_hold_a_step_back() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    let (_, protected) = crypto_alert(&lab.simulator, 0);
    let guardrails = format!(
        r#"guardrails: {{without_approval: ["subscription.*", "entitlement.*"], protected: ["{}"], limits: [{{action: "entitlement.*", max: 1, per: 1h}}]}}"#,
        protected["subscription_id"].as_str().unwrap().to_uppercase()
    );
    lab.change_settings(r#"guardrails: {without_approval: ["subscription.*", "entitlement.*"]}"#, &guardrails);
    let _quell = lab.run().await;
    let store = lab.store().await;
    for (count, document) in [(1, protected), (2, crypto_alert(&lab.simulator, 1).1), (3, crypto_alert(&lab.simulator, 2).1)] {
        lab.hook(&document).await.unwrap();
        lab.settled(&store, count, Duration::from_secs(30)).await;
    }
    let (_, mut runs) = lab.settled(&store, 3, Duration::from_secs(30)).await;
    runs.sort_by_key(|run| run.run.alert);
    let reasons: Vec<_> = runs.iter().map(|run| run.run.reason.as_str()).collect();
    assert!(reasons[0].contains("guardrails.protected"), "{reasons:?}");
    assert_eq!(runs[1].run.state, RunState::Done, "{reasons:?}");
    assert!(reasons[2].contains("guardrails.limits"), "{reasons:?}");
    assert_eq!(lab.simulator.counts().cancelled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_decides_and_records_and_never_acts() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", &CONTAIN.replace("mode: enforce\n", ""));
    let _quell = lab.run().await;
    let (_, document) = crypto_alert(&lab.simulator, 0);
    lab.hook(&document).await.unwrap();
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, Duration::from_secs(30)).await;
    assert_eq!(runs[0].run.state, RunState::Done);
    let states: Vec<_> = runs[0].steps.iter().map(|step| (step.id.as_str(), step.state)).collect();
    assert_eq!(states[0], ("sub", StepState::Succeeded));
    assert!(states[2..].iter().all(|(_, state)| *state == StepState::Shadowed), "{states:?}");
    assert_eq!(runs[0].steps[2].plan["entitlement_id"], document["subscription_id"]);
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended, counts.alert_updates, counts.slack), (0, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_playbook_is_refused_and_the_others_run() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    lab.playbook("broken", "playbook: broken\nstesp: []\n");
    lab.playbook("failing", "playbook: failing\nmode: enforce\ntrigger: {alert: {match: {kind: crypto_mining}, when: 'alert.details.cost > 5'}}\nsteps: [{id: a, action: log, with: {message: x}}]\n");
    let quell = lab.run().await;
    let (_, document) = crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1));
    lab.hook(&document).await.unwrap();
    let store = lab.store().await;
    let (alerts, runs) = lab.settled(&store, 1, Duration::from_secs(30)).await;
    assert_eq!((runs.len(), runs[0].run.state), (1, RunState::Done));
    let decisions = store.decisions(alerts[0].number).await.unwrap();
    let failing = decisions.iter().find(|(playbook, ..)| playbook == "failing").expect("an error is not `no match`");
    assert!(failing.1 == "error" && failing.2.contains("cost"), "{failing:?}");
    let log = std::fs::read_to_string(lab.path("quell.log")).unwrap();
    assert!(log.contains("broken.yaml:2:1") && log.contains("stesp"), "{}", quell.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_store_refuses_to_start() {
    let lab = Lab::embedded().await;
    let _quell = lab.run().await;
    let second = lab.quell(&["run"]);
    assert_eq!(second.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&second.stderr).contains("is in use by process"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_acts_neither_for_new_alerts_nor_for_what_an_acting_program_left_open() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    let busy = FaultKind::Status { status: 503, body: None, retry_after: Some("2".to_owned()) };
    lab.simulator.fault(Fault { method: Some("POST".to_owned()), path: Some("/cancel".to_owned()), ..Fault::always(busy) });
    let acting = lab.run().await;
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    let store = lab.store().await;
    for _ in 0..100 {
        let runs = store.runs(&RunFilter::default()).await.unwrap();
        if runs.iter().any(|run| run.state == RunState::Waiting) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(acting.terminate().success());
    lab.simulator.clear_faults();

    let dry = lab.run_with(&["--dry-run"]).await;
    lab.hook(&crypto_alert(&lab.simulator, 1).1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended, counts.alert_updates, counts.slack), (0, 0, 0, 0), "{}", dry.log());
    let runs = store.runs(&RunFilter::default()).await.unwrap();
    let states: Vec<_> = runs.iter().map(|run| (run.mode, run.state)).collect();
    assert_eq!(states, [(Mode::Shadow, RunState::Done), (Mode::Enforce, RunState::Waiting)]);
    assert!(dry.terminate().success());

    // A program that acts goes on with it.
    let _acting = lab.run().await;
    lab.settled(&store, 2, Duration::from_secs(30)).await;
    assert_eq!(lab.simulator.counts().cancelled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_playbooks_on_one_subscription_make_each_change_once() {
    let lab = Lab::embedded().await;
    for name in ["contain", "contain-too", "contain-as-well"] {
        lab.playbook(name, &CONTAIN.replace("playbook: contain", &format!("playbook: {name}")));
    }
    let _quell = lab.run().await;
    lab.hook(&crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1)).1).await.unwrap();
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, Duration::from_mins(1)).await;
    assert_eq!(runs.len(), 3);
    let sent = |method: &str, path: &str| {
        let is_it =
            |entry: &&quell_simulator::Entry| entry.method == method && entry.path.contains(path) && entry.service == "partner-center";
        lab.simulator.ledger().iter().filter(is_it).count()
    };
    assert_eq!((sent("POST", "/cancel"), sent("PATCH", "/subscriptions/")), (1, 1), "{runs:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_journal_cannot_be_written_nobody_is_told_anything_and_afterwards_once() {
    let lab = Lab::embedded().await;
    lab.playbook(
        "tell",
        "playbook: tell\nmode: enforce\ntrigger: {alert: {match: {kind: crypto_mining}}}\nsteps:\n\
         - {id: tell, action: notify, with: {channels: ['slack:secops'], text: hello}}\n",
    );
    let _quell = lab.run().await;
    // The first message is sent, and while its answer is awaited somebody else takes the journal for longer than Quell waits.
    lab.simulator.fault(Fault { service: Some("slack".to_owned()), ..Fault::once(FaultKind::DelayAnswer { milliseconds: 1_000 }) });
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    lab.simulator.wait_for("message.slack", 1, Duration::from_secs(10)).await.unwrap();
    let journal = sqlx::SqlitePool::connect(&format!("sqlite:{}", lab.path("quell.db").display())).await.unwrap();
    let mut held = journal.acquire().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *held).await.unwrap();
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!(lab.simulator.counts().slack, 1, "nothing is repeated while it cannot be written down");
    let (code, body) = lab.get("/readyz").await.unwrap();
    assert_eq!(code, 503, "{body}");
    sqlx::query("ROLLBACK").execute(&mut *held).await.unwrap();
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, Duration::from_secs(30)).await;
    assert_eq!(runs[0].run.state, RunState::Done);
    assert!(lab.simulator.counts().slack <= 2, "at least once, and a repeat only for the attempt whose end nobody wrote down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_text_cannot_be_used_any_more_ends_and_says_so() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    let busy = FaultKind::Status { status: 503, body: None, retry_after: Some("2".to_owned()) };
    lab.simulator.fault(Fault { path: Some("/subscriptions".to_owned()), ..Fault::always(busy) });
    let quell = lab.run().await;
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    let store = lab.store().await;
    for _ in 0..100 {
        if store.runs(&RunFilter::default()).await.unwrap().iter().any(|run| run.state == RunState::Waiting) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(quell.terminate().success());
    // As after an upgrade that understands less, with a playbook that was edited meanwhile.
    lab.playbook("contain", &format!("{CONTAIN}\n# edited\n"));
    let journal = sqlx::SqlitePool::connect(&format!("sqlite:{}", lab.path("quell.db").display())).await.unwrap();
    sqlx::query("UPDATE playbook_text SET text = 'playbook: contain'").execute(&journal).await.unwrap();

    let _quell = lab.run().await;
    let (_, runs) = lab.settled(&store, 1, Duration::from_secs(30)).await;
    assert_eq!(runs[0].run.state, RunState::Failed);
    assert!(runs[0].run.reason.contains("the playbook `contain`"), "{}", runs[0].run.reason);
}
