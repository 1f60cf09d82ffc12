//! What people decide from the command line while Quell runs: they stop all actions, settle what nobody knows, and find out who did what.

use std::{
    fs,
    process::Output,
    time::{Duration, Instant},
};

use quell::run::{RunState, StepState};
use quell_simulator::{Fault, FaultKind};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::{
    spine::{CONTAIN, crypto_alert},
    support::lab::{Lab, timelines},
};

const PATIENCE: Duration = Duration::from_secs(30);

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// Asks again until there is an answer.
async fn until<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = answer().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Somebody who can write the file of the journal.
async fn sql(lab: &Lab, statement: &'static str) {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", lab.path("quell.db").display())).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

/// Opens a ticket whose answer gets lost, and tells people.
fn ticket(lab: &Lab) -> String {
    let url = format!("{}/services/tickets", lab.simulator.slack_url());
    format!(
        "playbook: ticket\nmode: enforce\ntrigger: {{alert: {{match: {{kind: crypto_mining}}}}}}\nsteps:\n\
         - {{id: ticket, action: http.request, with: {{method: POST, url: '{url}', body: {{text: help}}}}}}\n\
         - {{id: after, action: notify, with: {{channels: ['teams:soc'], text: 'ticket opened'}}}}\n\
         on_error:\n- {{id: page, action: notify, with: {{channels: ['slack:secops'], text: '${{error.step}}'}}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_kill_switch_is_thrown_people_are_told_and_nothing_else_is_changed() {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    lab.playbook(
        "tell",
        "playbook: tell\nmode: enforce\ntrigger: {alert: {match: {kind: crypto_mining}}}\n\
         steps: [{id: tell, action: notify, with: {channels: ['teams:soc'], text: '${alert.title}'}}]\n",
    );
    let quell = lab.run().await;
    let stopped = said(&lab.quell(&["stop-actions", "--reason", "too many suspensions"]), 0);
    assert!(stopped.contains("all actions are stopped"), "{stopped}");
    let (_, document) = crypto_alert(&lab.simulator, 0);
    lab.hook(&document).await.unwrap();
    let store = lab.store().await;
    let waits = async || {
        let runs = timelines(&store).await;
        let step = runs.iter().find(|run| run.run.playbook == "contain")?.steps.iter().find(|step| step.id == "cancel")?.clone();
        step.error
    };
    let why = until("a step that waits", waits).await;
    assert!(why.contains("stopped all actions: too many suspensions"), "{why}");
    until("people are told", async || (lab.simulator.counts().teams == 1).then_some(())).await;
    // Neither a crash nor the file alone opens what a person has closed.
    quell.kill();
    fs::remove_file(lab.path("data/actions-stopped")).unwrap();
    let _quell = lab.run().await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended, counts.alert_updates), (0, 0, 0));

    said(&lab.quell(&["resume-actions", "--reason", "it was a test"]), 0);
    let (_, runs) = lab.settled(&store, 1, PATIENCE).await;
    assert!(runs.iter().all(|run| run.run.state == RunState::Done), "{runs:#?}");
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended, counts.alert_updates), (1, 1, 1));
    let log = lab.json(&["audit", "list"]);
    let acts: Vec<_> = log.as_array().unwrap().iter().filter(|it| it["what"].as_str().unwrap().starts_with("actions.")).collect();
    assert_eq!(
        acts.iter().map(|it| it["detail"]["reason"].as_str().unwrap()).collect::<Vec<_>>(),
        ["too many suspensions", "it was a test"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_alone_stops_and_works_where_there_is_no_store() {
    let lab = Lab::embedded().await;
    let half = said(&lab.quell(&["stop-actions", "--reason", "before the first start"]), 1);
    assert!(half.contains("on nodes that see its file only") && half.contains("no journal"), "{half}");
    lab.playbook("contain", CONTAIN);
    let _quell = lab.run().await;
    let (_, document) = crypto_alert(&lab.simulator, 0);
    lab.hook(&document).await.unwrap();
    let store = lab.store().await;
    let waits = async || {
        let runs = timelines(&store).await;
        runs.first()?.steps.iter().find_map(|step| step.error.clone())
    };
    let why = until("a step that waits", waits).await;
    assert!(why.contains("before the first start"), "{why}");
    assert_eq!(lab.simulator.counts().cancelled, 0);
    said(&lab.quell(&["resume-actions", "--reason", "go on"]), 0);
    lab.settled(&store, 1, PATIENCE).await;
    assert_eq!(lab.simulator.counts().cancelled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_doubt_that_happened_lets_the_run_go_on_and_is_not_done_again() {
    let lab = Lab::embedded().await;
    lab.playbook("ticket", &ticket(&lab));
    let _quell = lab.run().await;
    lab.simulator.fault(Fault { path: Some("/tickets".to_owned()), ..Fault::once(FaultKind::ApplyThenDrop) });
    let (_, document) = crypto_alert(&lab.simulator, 0);
    lab.hook(&document).await.unwrap();
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, PATIENCE).await;
    let id = runs[0].run.id.to_string();
    assert_eq!(runs[0].run.state, RunState::Indeterminate);

    let wrong = said(&lab.quell(&["runs", "settle", &id, "after", "--happened", "--reason", "x"]), 1);
    assert!(wrong.contains("`after` is not in doubt") && wrong.contains("`ticket`"), "{wrong}");
    said(&lab.quell(&["runs", "settle", &id, "--happened", "--did-not", "--reason", "x"]), 2);
    let settled = said(&lab.quell(&["runs", "settle", &id, "--happened", "--reason", "ticket 7 is there"]), 0);
    assert!(settled.contains("goes on"), "{settled}");
    let done = async || timelines(&store).await.into_iter().find(|run| run.run.state == RunState::Done);
    let run = until("a run that is done", done).await;
    let states: Vec<_> = run.steps.iter().map(|step| (step.id.as_str(), step.state)).collect();
    assert_eq!(states, [("ticket", StepState::Succeeded), ("page", StepState::Succeeded), ("after", StepState::Succeeded)]);
    let counts = lab.simulator.counts();
    // The ticket and the page went to Slack.
    assert_eq!((counts.slack, counts.teams), (2, 1));
    let again = said(&lab.quell(&["runs", "settle", &id, "--did-not", "--reason", "x"]), 1);
    assert!(again.contains("none of its steps is in doubt"), "{again}");
    let log = lab.json(&["audit", "list"]);
    let last = log.as_array().unwrap().last().unwrap();
    assert_eq!((&last["what"], &last["detail"]["step"]), (&json!("run.settle"), &json!("ticket")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_doubt_that_did_not_happen_has_failed_and_a_run_can_be_given_up() {
    let lab = Lab::embedded().await;
    lab.playbook("ticket", &ticket(&lab));
    let _quell = lab.run().await;
    let store = lab.store().await;
    let mut ids = Vec::new();
    for customer in [0, 1] {
        lab.simulator.fault(Fault { path: Some("/tickets".to_owned()), ..Fault::once(FaultKind::ApplyThenDrop) });
        let (_, document) = crypto_alert(&lab.simulator, customer);
        lab.hook(&document).await.unwrap();
        let (_, runs) = lab.settled(&store, customer + 1, PATIENCE).await;
        ids.extend(runs.iter().map(|run| run.run.id.to_string()).filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    }
    said(&lab.quell(&["runs", "settle", &ids[0], "--did-not", "--reason", "no such ticket"]), 0);
    let failed = async || timelines(&store).await.into_iter().find(|run| run.run.state == RunState::Failed);
    let run = until("a run that failed", failed).await;
    assert!(run.run.reason.contains("no such ticket"), "{}", run.run.reason);
    said(&lab.quell(&["runs", "settle", &ids[1], "--give-up", "--reason", "nobody knows"]), 0);
    let shown = lab.json(&["runs", "list", "--state", "failed"]);
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert_eq!(lab.simulator.counts().teams, 0, "what follows the step was not done in either");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_is_listed_exported_and_verified_and_an_edit_is_found() {
    let lab = Lab::embedded().await;
    lab.playbook(
        "by-hand",
        "playbook: by-hand\nmode: enforce\ntrigger: {manual: {}}\nsteps: [{id: say, action: log, with: {message: hello}}]\n",
    );
    let quell = lab.run().await;
    said(&lab.command(&["runs", "start", "by-hand"]).env("QUELL_USER", "mina").output().unwrap(), 0);
    let export = said(&lab.quell(&["audit", "export"]), 0);
    let entries: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let acts: Vec<_> = entries.iter().map(|it| (it["who"].as_str().unwrap(), it["what"].as_str().unwrap())).collect();
    assert_eq!(acts, [("quell", "quell.start"), ("mina (command line)", "run.start")]);
    let last = entries[1]["hash"].as_str().unwrap();
    let whole = said(&lab.quell(&["audit", "verify", "--known", last]), 0);
    assert!(whole.contains("2 entries") && whole.contains(last), "{whole}");
    quell.kill();

    sql(&lab, "UPDATE audit SET who = 'jun (command line)' WHERE number = 2").await;
    let broken = said(&lab.quell(&["audit", "verify"]), 1);
    assert!(broken.contains("entry 2 of the audit log is not as it was written"), "{broken}");
    sql(&lab, "DELETE FROM audit WHERE number = 2").await;
    let cut = said(&lab.quell(&["audit", "verify", "--known", last]), 1);
    assert!(cut.contains("no entry has the hash"), "{cut}");
    assert_eq!(lab.json(&["audit", "verify"])["whole"], true, "what is cut off at the end shows only to who remembers it");
}
