//! The journal was restored from a backup: nothing is done a second time, no person is overruled, and an alert can be answered once more.

use std::{
    fs,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use quell::{
    run::{RunState, StepState},
    store::{Store, Timeline},
};
use quell_simulator::{Fault, FaultKind, Options};
use serde_json::{Value, json};

use crate::{
    spine::{FIND_AND_CANCEL, crypto_alert, customer_with},
    support::{
        lab::{Lab, Quell, client, timelines},
        postgres::shared_schema,
    },
};

const PATIENCE: Duration = Duration::from_mins(1);

/// Longer than a step that is held off waits before it tries again.
const LONG_ENOUGH: Duration = Duration::from_secs(7);

/// Followed by `FIND_AND_CANCEL` and `TELL`: cancels without a look of its own before, and tells people.
const CONTAIN: &str = r#"
playbook: contain
mode: enforce
trigger: {alert: {match: {kind: crypto_mining}}}
dedup: {key: "${alert.subscription_id}", window: 24h}
steps:"#;

const TELL: &str = r#"  - {id: tell, action: notify, with: {channels: ["slack:secops"], text: "${alert.title}"}}
"#;

const USERS: &str = "
users:
  opa: {groups: [leads], role: operator, token: opa-has-a-long-token}
  ann: {groups: [leads], role: approver, token: ann-has-a-long-token}
";

const APPROVALS: &str = "approvals: {groups: [leads], channels: ['slack:secops']}";

async fn lab() -> Lab {
    let lab = Lab::new("url: embedded", Options { cancel_delay: Duration::from_millis(200), ..Options::default() }).await;
    lab.playbook("contain", &format!("{CONTAIN}{FIND_AND_CANCEL}{TELL}"));
    lab
}

/// Customers whose plans have nothing in common; each alert is about the first Azure subscription of one.
async fn alert(lab: &Lab, customer: usize) -> Value {
    let (_, document) = crypto_alert(&lab.simulator, customer);
    assert_eq!(lab.hook(&document).await.unwrap().0, 202);
    document
}

const JOURNAL: [&str; 3] = ["quell.db", "quell.db-wal", "quell.db-shm"];

/// Copies the files of the journal, and takes away those that are not there.
fn copy_journal(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in JOURNAL {
        drop(fs::remove_file(to.join(name)));
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

fn back_up(lab: &Lab) {
    copy_journal(lab.folder.path(), &lab.path("backup"));
}

fn restore(lab: &Lab) {
    copy_journal(&lab.path("backup"), lab.folder.path());
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn cancelled(lab: &Lab) -> usize {
    lab.simulator.counts().cancelled
}

/// The run that an alert is answered with, as soon as it is as somebody wants it.
async fn until(store: &Store, id: &str, what: impl Fn(&Timeline) -> bool) -> Timeline {
    let begun = Instant::now();
    loop {
        let alerts = store.alerts(&quell::store::AlertFilter { name: Some(id.to_owned()), most: 1, ..Default::default() }).await.unwrap();
        let number = alerts.first().map(|row| row.number);
        let runs = timelines(store).await;
        let found = runs.iter().find(|run| number.is_some() && run.run.alert == number && what(run));
        if let Some(found) = found {
            return found.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {runs:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn id(alert: &Value) -> &str {
    alert["id"].as_str().unwrap()
}

fn state(run: &Timeline, step: &str) -> Option<StepState> {
    run.steps.iter().find(|it| it.id == step).map(|it| it.state)
}

fn waits_for_an_answer(run: &Timeline) -> bool {
    run.steps.iter().any(|step| step.error.as_deref().is_some_and(|why| why.contains("--after-restore")))
}

/// An installation whose journal was restored, without the run that answered the alert that is returned.
async fn restored() -> (Lab, Value) {
    let lab = lab().await;
    let quell = lab.run().await;
    alert(&lab, 0).await;
    lab.settled(&lab.store().await, 1, PATIENCE).await;
    assert!(quell.terminate().success());
    back_up(&lab);
    let quell = lab.run().await;
    let lost = alert(&lab, 1).await;
    lab.settled(&lab.store().await, 2, PATIENCE).await;
    assert!(quell.terminate().success());
    assert_eq!(cancelled(&lab), 2);
    restore(&lab);
    (lab, lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_journal_does_nothing_until_somebody_answers_for_it_and_then_nothing_twice() {
    let (lab, lost) = restored().await;

    // The sender repeats what the journal has forgotten, and something new happens.
    let quell = lab.run().await;
    assert!(quell.log().contains("start one with `--after-restore`"), "{}", quell.log());
    assert_eq!(lab.hook(&lost).await.unwrap().0, 202);
    let new = alert(&lab, 2).await;
    let store = lab.store().await;
    let known = until(&store, id(&lost), |run| run.run.state.is_final()).await;
    assert_eq!(state(&known, "cancel"), Some(StepState::Succeeded), "it is found done by a look, which changes nothing");
    let waits = until(&store, id(&new), waits_for_an_answer).await;
    assert!(said(&lab.quell(&["runs", "show", &waits.run.id.0]), 0).contains("--after-restore"));
    tokio::time::sleep(LONG_ENOUGH).await;
    assert_eq!(cancelled(&lab), 2, "nothing is changed");
    let (_, metrics) = lab.get("/metrics").await.unwrap();
    assert!(metrics.contains("quell_actions_stopped 1"), "{metrics}");
    assert!(quell.terminate().success());
    drop(store);

    let quell = lab.run_with(&["--after-restore"]).await;
    let store = lab.store().await;
    let held = until(&store, id(&new), |run| run.run.state.is_final()).await;
    assert_eq!((held.run.state, cancelled(&lab)), (RunState::Failed, 2), "nobody is there to be asked");
    assert!(held.run.reason.contains("everything is on hold"), "{}", held.run.reason);
    let holds = lab.json(&["holds", "list"]);
    assert_eq!(holds[0]["target"], "*", "{holds}");
    let number = holds[0]["number"].to_string();
    said(&lab.quell(&["holds", "release", &number, "--reason", "looked at all of it"]), 0);

    // It is not answered by itself once more, but where a person wants it.
    let looked = said(&lab.quell(&["replay", id(&new), "--dry-run"]), 0);
    assert!(looked.contains("contain") && cancelled(&lab) == 2, "{looked}");
    said(&lab.quell(&["replay", id(&new), "--reason", "the hold is released", "--as", "mina"]), 0);
    let replayed = until(&store, id(&new), |run| run.run.replay.is_some() && run.run.state.is_final()).await;
    assert_eq!((replayed.run.state, cancelled(&lab)), (RunState::Done, 3), "{replayed:#?}");
    said(&lab.quell(&["replay", id(&new), "--reason", "to be sure", "--as", "mina"]), 0);
    let sure =
        until(&store, id(&new), |run| run.run.replay.as_ref().is_some_and(|it| it.reason == "to be sure") && run.run.state.is_final());
    assert_eq!(state(&sure.await, "cancel"), Some(StepState::Succeeded));
    assert_eq!(cancelled(&lab), 3, "the target is so already");
    assert!(quell.terminate().success());

    let _quell = lab.run().await;
    assert!(lab.get("/metrics").await.unwrap().1.contains("quell_actions_stopped 0"));
    assert!(said(&lab.quell(&["audit", "verify"]), 0).len() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_comparison_with_its_mark_a_restored_journal_acts() {
    let (lab, _) = restored().await;
    let _quell = lab.start_armed(&[], &[("QUELL_MISTAKE", "restore_unnoticed")]);
    lab.ready(PATIENCE).await.unwrap();
    let new = alert(&lab, 2).await;
    until(&lab.store().await, id(&new), |run| run.run.state.is_final()).await;
    assert_eq!(cancelled(&lab), 3, "so it is the mark that the other test is about");
}

/// Calls another service, of which nothing is known.
fn ticket(lab: &Lab) -> String {
    format!(
        "playbook: ticket\nmode: enforce\ntrigger: {{alert: {{match: {{kind: crypto_mining}}}}}}\nsteps:\n\
         - {{id: ticket, action: http.request, with: {{method: POST, url: '{}/services/ticket', body: {{text: help}}}}}}\n",
        lab.simulator.slack_url()
    )
}

/// Ends the program while a call to the other service is under way, and keeps a copy of the journal of that moment.
async fn backed_up_in_the_middle(lab: &Lab, quell: Quell) -> Value {
    lab.simulator.fault(Fault { path: Some("/services/ticket".to_owned()), ..Fault::once(FaultKind::DelayAnswer { milliseconds: 3_000 }) });
    let alert = alert(lab, 0).await;
    let store = lab.store().await;
    until(&store, id(&alert), |run| state(run, "ticket") == Some(StepState::Executing)).await;
    drop(store);
    quell.kill();
    back_up(lab);
    alert
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_at_the_backup_is_not_sent_again() {
    let lab = lab().await;
    fs::remove_file(lab.path("playbooks/contain.yaml")).unwrap();
    lab.playbook("ticket", &ticket(&lab));
    let quell = lab.run().await;
    let alert = backed_up_in_the_middle(&lab, quell).await;
    let _quell = lab.run_with(&["--after-restore"]).await;
    let run = until(&lab.store().await, id(&alert), |run| run.run.state.is_final()).await;
    assert_eq!((run.run.state, state(&run, "ticket")), (RunState::Indeterminate, Some(StepState::Indeterminate)));
    assert!(run.run.reason.contains("restored from a backup"), "{}", run.run.reason);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.simulator.counts().slack, 1, "one ticket");
}

/// Cancels the only Azure subscription of a plan, and suspends the plan.
const SUSPEND: &str = r#"
  - {id: suspend, action: subscription.suspend, with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}"}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_undid_what_was_under_way_at_the_backup_is_not_overruled() {
    let lab = lab().await;
    let before = format!("{CONTAIN}{FIND_AND_CANCEL}");
    lab.playbook("contain", &format!("{before}{}", SUSPEND.trim_start_matches('\n')));
    let customer = customer_with(&lab.simulator, 1);
    lab.simulator.fault(Fault { method: Some("PATCH".to_owned()), ..Fault::once(FaultKind::DelayAnswer { milliseconds: 3_000 }) });
    let quell = lab.run().await;
    let alert = alert(&lab, customer).await;
    let store = lab.store().await;
    until(&store, id(&alert), |run| state(run, "suspend") == Some(StepState::Executing) && lab.simulator.counts().suspended == 1).await;
    drop(store);
    quell.kill();
    back_up(&lab);
    let quell = lab.run().await;
    let done = until(&lab.store().await, id(&alert), |run| run.run.state.is_final()).await;
    assert_eq!(done.run.state, RunState::Done, "{done:#?}");
    assert!(lab.simulator.reactivate(&lab.simulator.world()[customer].plan.id));
    assert!(quell.terminate().success());
    restore(&lab);

    let _quell = lab.run_with(&["--after-restore"]).await;
    let run = until(&lab.store().await, id(&alert), |run| run.run.state.is_final()).await;
    assert_eq!((run.run.state, state(&run, "suspend")), (RunState::Indeterminate, Some(StepState::Indeterminate)), "{run:#?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.simulator.counts().suspended, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_replays_an_alert_over_the_api_and_does_not_approve_it() {
    let lab = lab().await;
    lab.add_settings(USERS);
    lab.add_settings(APPROVALS);
    lab.change_settings(r#"without_approval: ["subscription.*", "entitlement.*"]"#, "without_approval: []");
    let _quell = lab.run().await;
    let alert = alert(&lab, 0).await;
    let store = lab.store().await;
    let first = until(&store, id(&alert), |run| state(run, "cancel") == Some(StepState::Waiting)).await;
    let ask = async |token: &str, body: Value| {
        let url = lab.url(&format!("/api/v1/alerts/{}/replay", first.run.alert.unwrap()));
        let reply = client().post(url).bearer_auth(token).body(body.to_string()).send().await.unwrap();
        (reply.status().as_u16(), serde_json::from_str::<Value>(&reply.text().await.unwrap()).unwrap())
    };
    assert_eq!(ask("ann-has-a-long-token", json!({"reason": "again"})).await.0, 403, "an approver");
    assert_eq!(ask("nobody-has-this-token", json!({"reason": "again"})).await.0, 401);
    assert_eq!(ask("opa-has-a-long-token", json!({"reason": " "})).await.0, 422);
    assert_eq!(ask("opa-has-a-long-token", json!({"reason": "again", "playbook": "nowhere"})).await.0, 409);
    // The first one gives way, or its target would be locked.
    assert!(store.cancel(&first.run.id, "test").await.unwrap());
    until(&store, id(&alert), |run| run.run.state == RunState::Cancelled).await;

    let (code, begun) = ask("opa-has-a-long-token", json!({"reason": "again", "playbook": "contain"})).await;
    assert_eq!((code, &begun["failed"]), (200, &json!([])), "{begun}");
    let run = until(&store, id(&alert), |run| run.run.replay.is_some() && state(run, "cancel") == Some(StepState::Waiting)).await;
    assert_eq!(begun["runs"][0]["run"], run.run.id.0);
    assert!(said(&lab.quell(&["runs", "list"]), 0).contains("replayed by opa (api)"));
    assert!(said(&lab.quell(&["runs", "show", &run.run.id.0]), 0).contains("by opa (api): again"));
    assert!(said(&lab.quell(&["explain", id(&alert)]), 0).contains("by opa (api): again"));
    assert!(said(&lab.quell(&["alerts", "show", id(&alert)]), 0).contains("replayed by opa (api)"));
    assert_eq!(run.approvals[0].question.requesters, ["opa"]);
    let refused = said(&lab.quell(&["replay", id(&alert), "--reason", "again", "--as", "ann"]), 1);
    assert!(refused.contains("only an `operator` or `admin`"), "{refused}");
    assert_ne!(approve(&lab, &run, "opa").status.code(), Some(0), "who asked for it");
    said(&approve(&lab, &run, "ann"), 0);
    let done = until(&store, id(&alert), |run| run.run.replay.is_some() && run.run.state.is_final()).await;
    assert_eq!((done.run.state, cancelled(&lab)), (RunState::Done, 1), "{done:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_asked_for_is_found_after_a_crash() {
    let lab = lab().await;
    let quell = lab.run().await;
    let alert = alert(&lab, 0).await;
    let store = lab.store().await;
    until(&store, id(&alert), |run| run.run.state.is_final()).await;
    quell.kill();
    said(&lab.quell(&["replay", id(&alert), "--reason", "while nothing runs", "--playbook", "contain"]), 0);
    let _quell = lab.run().await;
    let run = until(&store, id(&alert), |run| run.run.replay.is_some() && run.run.state.is_final()).await;
    assert_eq!((run.run.state, cancelled(&lab)), (RunState::Done, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_what_it_had_committed_is_noticed_while_nodes_run() {
    let lab = lab().await.with_journal_in(&shared_schema().await);
    lab.add_settings(USERS);
    lab.add_settings(APPROVALS);
    let _quell = lab.run().await;
    alert(&lab, 0).await;
    let store = lab.store().await;
    lab.settled(&store, 1, PATIENCE).await;
    forget(&lab.journal).await;
    let new = alert(&lab, 1).await;
    until(&store, id(&new), waits_for_an_answer).await;
    assert_eq!(cancelled(&lab), 1);
    // On another node, somebody answers for it; the first one goes on.
    let port = crate::support::ports::free_port();
    let _other = lab.start_armed(&["--after-restore"], &[("QUELL_WEB__LISTEN", &format!("127.0.0.1:{port}"))]);
    let asks = until(&store, id(&new), |run| state(run, "cancel") == Some(StepState::Waiting)).await;
    assert!(asks.approvals[0].question.why.contains("everything is on hold"), "{:?}", asks.approvals);
    assert_eq!(cancelled(&lab), 1);
    said(&approve(&lab, &asks, "ann"), 0);
    let agreed = until(&store, id(&new), |run| run.run.state.is_final()).await;
    assert_eq!((agreed.run.state, cancelled(&lab)), (RunState::Done, 2), "{agreed:#?}");
}

/// Somebody agrees to what a run asks.
fn approve(lab: &Lab, run: &Timeline, who: &str) -> Output {
    let question = run.approvals.last().unwrap();
    lab.quell(&["approvals", "approve", &question.id.0, "--hash", &question.hash, "--as", who, "--reason", "yes"])
}

/// As a server does that lost its last commits with its disk.
async fn forget(journal: &str) {
    use sqlx::Connection;
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(journal).await.unwrap();
    sqlx::query("UPDATE mark SET intents = 0").execute(&mut connection).await.unwrap();
}
