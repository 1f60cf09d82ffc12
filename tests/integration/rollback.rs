//! What a run did is undone after it has ended: a person asks for it, or its time has come. Once, the last first, and nobody is overruled.

use std::time::{Duration, Instant};

use quell::{
    run::{RunState, StepState},
    store::{Store, Timeline},
};
use quell_simulator::Options;
use serde_json::{Value, json};

use crate::{
    spine::{crypto_alert, customer_with},
    support::{
        broker::shared_url,
        lab::{Lab, client, timelines},
        postgres::shared_schema,
    },
};

const PATIENCE: Duration = Duration::from_mins(1);

const USERS: &str = "
users:
  opa: {role: operator, token: opa-has-a-long-token}
  ann: {groups: [leads], role: approver, token: ann-has-a-long-token}
";

/// Cancels and suspends; `more` stands with how each is undone.
fn hold(more: &str) -> String {
    let ids = "customer_tenant_id: \"${alert.customer_tenant_id}\"";
    let entitlement = format!("{ids}, plan_id: \"${{steps.sub.output.plan_id}}\", entitlement_id: \"${{alert.subscription_id}}\"");
    let plan = format!("{ids}, subscription_id: \"${{alert.subscription_id}}\"");
    format!(
        "playbook: hold\nmode: enforce\ntrigger: {{alert: {{match: {{kind: crypto_mining}}}}}}\nsteps:\n\
         - {{id: sub, action: entitlement.find, with: {{{plan}}}}}\n\
         - {{id: cancel, action: entitlement.cancel, with: {{{entitlement}}}, rollback: {{action: entitlement.reactivate{more}}}}}\n\
         - {{id: suspend, action: subscription.suspend, with: {{{plan}}}, rollback: {{action: subscription.reactivate{more}}}}}\n\
         - {{id: tell, action: notify, with: {{channels: ['slack:secops'], text: held}}}}\n"
    )
}

fn options() -> Options {
    Options { cancel_delay: Duration::from_millis(200), ..Options::default() }
}

async fn lab(more: &str) -> Lab {
    let lab = Lab::new("url: embedded", options()).await;
    lab.playbook("hold", &hold(more));
    lab
}

/// Has a customer's subscription held, and waits for the end of the run.
async fn held(lab: &Lab, store: &Store) -> Timeline {
    let (_, document) = crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1));
    let before = timelines(store).await.len();
    lab.hook(&document).await.expect("send an alert");
    let (_, mut runs) = lab.settled(store, before + 1, PATIENCE).await;
    runs.remove(0)
}

/// What was done outside to plans and Azure subscriptions, in order.
fn reactivated(lab: &Lab) -> Vec<&'static str> {
    let mut found: Vec<_> = ["subscription.reactivated", "entitlement.reactivated"]
        .into_iter()
        .flat_map(|kind| lab.simulator.effects(kind).into_iter().filter(|it| it.applied).map(move |it| (it.at, kind)))
        .collect();
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, kind)| kind).collect()
}

const BOTH: [&str; 2] = ["subscription.reactivated", "entitlement.reactivated"];

/// Lets a run take away again what a person gave back.
fn without_human_hold(lab: &Lab) {
    lab.change_settings("guardrails: {", "guardrails: {human_hold: 0s, ");
}

/// Waits until a run satisfies somebody.
async fn until(store: &Store, run: &Timeline, what: impl Fn(&Timeline) -> bool) -> Timeline {
    let begun = Instant::now();
    loop {
        let now = store.timeline(&run.run.id).await.expect("read a run").expect("a run");
        if what(&now) {
            return now;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {now:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_rolled_back(run: &Timeline) -> bool {
    run.run.state.is_final() && run.run.ended_as.is_some()
}

fn step<'a>(run: &'a Timeline, id: &str) -> &'a quell::run::StepRecord {
    run.steps.iter().find(|step| step.id == id).unwrap_or_else(|| panic!("no step `{id}`: {run:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_undoes_a_run_once_and_the_last_step_first() {
    let lab = lab("").await;
    let _quell = lab.run().await;
    let store = lab.store().await;
    let run = held(&lab, &store).await;
    let id = run.run.id.0.as_str();
    let shown = lab.json(&["runs", "show", id]);
    let offered: Vec<_> = shown["rollbacks"].as_array().unwrap().iter().map(|it| (it["step"].as_str().unwrap(), &it["refused"])).collect();
    assert_eq!(offered, [("suspend", &Value::Null), ("cancel", &Value::Null)], "{shown}");
    assert!(shown["rollbacks"][0]["until"].is_string() && shown["rollbacks"][0]["returns_at"].is_null());
    let page = String::from_utf8(lab.quell(&["runs", "show", id]).stdout).unwrap();
    assert!(page.contains("subscription.reactivate") && page.contains("yes"), "{page}");

    let planned = lab.json(&["runs", "rollback", id, "--dry-run"]);
    assert_eq!((&planned["outcome"], &planned["steps"]), (&json!("dry_run"), &json!(["suspend", "cancel"])));
    assert!(!lab.quell(&["runs", "rollback", id, "--step", "tell", "--reason", "x"]).status.success());
    assert!(!lab.quell(&["runs", "rollback", id]).status.success(), "a reason is needed");
    assert!(reactivated(&lab).is_empty());

    // Two people at once: one of them has it done.
    let asking = ["runs", "rollback", id, "--reason", "it was theirs", "--as", "mina"];
    let mut both = [lab.command(&asking).spawn().unwrap(), lab.command(&asking).spawn().unwrap()];
    let done: Vec<bool> = both.iter_mut().map(|asking| asking.wait().unwrap().success()).collect();
    assert_eq!(done.iter().filter(|it| **it).count(), 1, "{done:?}");
    let after = until(&store, &run, is_rolled_back).await;
    assert_eq!((after.run.state, after.run.reason.as_str()), (RunState::Done, "rolled back: suspend, cancel"));
    assert_eq!(reactivated(&lab), BOTH);
    let customer = customer_with(&lab.simulator, 1);
    assert_eq!(serde_json::to_value(lab.simulator.world()[customer].plan.status).unwrap(), "active");
    assert!(after.attempts.iter().any(|(step, _)| step == "suspend.rollback"), "it is in the timeline");

    let again = lab.quell(&["runs", "rollback", id, "--reason", "once more"]);
    let said = String::from_utf8_lossy(&again.stdout).into_owned() + &*String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("it was undone at"), "{said}");
    let log = lab.json(&["audit", "list"]);
    let acts: Vec<_> = log.as_array().unwrap().iter().filter(|it| it["what"] == "run.rollback").collect();
    assert_eq!((acts.len(), acts[0]["detail"]["reason"].as_str()), (1, Some("it was theirs")));
    assert!(acts[0]["who"].as_str().unwrap().starts_with("mina"));
    let metrics = lab.get("/metrics").await.unwrap().1;
    assert!(metrics.contains("quell_rollbacks_total{outcome=\"done\",playbook=\"hold\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_undone_and_the_rest_later() {
    let lab = lab("").await;
    let _quell = lab.run().await;
    let store = lab.store().await;
    let run = held(&lab, &store).await;
    let id = run.run.id.0.as_str();
    lab.json(&["runs", "rollback", id, "--step", "suspend", "--reason", "the plan first"]);
    let after = until(&store, &run, is_rolled_back).await;
    assert_eq!(after.run.reason, "rolled back: suspend");
    lab.json(&["runs", "rollback", id, "--reason", "and the rest"]);
    let after = until(&store, &run, |run| run.run.reason == "rolled back: suspend, cancel").await;
    assert_eq!((after.run.state, reactivated(&lab).as_slice()), (RunState::Done, &BOTH[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_or_other_runs_did_since_is_not_overruled() {
    let lab = lab("").await;
    without_human_hold(&lab);
    let _quell = lab.run().await;
    let store = lab.store().await;
    let first = held(&lab, &store).await;
    let plan = lab.simulator.world()[customer_with(&lab.simulator, 1)].plan.clone();
    // A person gave it back, and another run took it away again.
    assert!(lab.simulator.reactivate(&plan.id) && lab.simulator.reactivate(&plan.entitlements[0].id));
    let second = held(&lab, &store).await;
    assert_ne!(first.run.id, second.run.id);
    let by_person = reactivated(&lab).len();
    lab.json(&["runs", "rollback", &first.run.id.0, "--reason", "an old one"]);
    let after = until(&store, &first, is_rolled_back).await;
    assert_eq!(after.run.state, RunState::Failed, "{after:#?}");
    let why = step(&after, "suspend.rollback").error.clone().unwrap_or_default();
    assert!(why.contains(&second.run.id.0) && why.contains("does not overrule"), "{why}");
    assert_eq!(reactivated(&lab).len(), by_person);
    // Of the second run a person undoes the plan by hand; what is so already is left as it is.
    assert!(lab.simulator.reactivate(&plan.id));
    lab.json(&["runs", "rollback", &second.run.id.0, "--reason", "this one"]);
    let after = until(&store, &second, is_rolled_back).await;
    assert_eq!((after.run.state, step(&after, "suspend.rollback").first_intent_at), (RunState::Done, None));
    assert!(step(&after, "cancel.rollback").has_acted());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_keeps_is_undone_by_itself_also_after_a_restart() {
    let lab = lab(", after: 4s").await;
    without_human_hold(&lab);
    let quell = lab.run().await;
    let store = lab.store().await;
    let kept = held(&lab, &store).await;
    let shown = lab.json(&["runs", "show", &kept.run.id.0]);
    assert!(shown["rollbacks"][1]["returns_at"].is_string(), "{shown}");
    let answer = lab.json(&["runs", "keep", &kept.run.id.0, "--reason", "it is a miner", "--as", "mina"]);
    assert_eq!(answer["steps"], json!(["cancel", "suspend"]));
    let shown = lab.json(&["runs", "show", &kept.run.id.0]);
    assert_eq!((&shown["rollbacks"][0]["returns_at"], &shown["rollbacks"][0]["kept"]["reason"]), (&Value::Null, &json!("it is a miner")));
    let page = String::from_utf8(lab.quell(&["runs", "show", &kept.run.id.0]).stdout).unwrap();
    assert!(page.contains("kept by mina"), "{page}");
    assert!(!lab.quell(&["runs", "keep", &kept.run.id.0, "--reason", "twice"]).status.success());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(reactivated(&lab).is_empty());

    let plan = lab.simulator.world()[customer_with(&lab.simulator, 1)].plan.clone();
    assert!(lab.simulator.reactivate(&plan.id) && lab.simulator.reactivate(&plan.entitlements[0].id));
    let by_person = reactivated(&lab).len();
    let returned = held(&lab, &store).await;
    quell.kill();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(reactivated(&lab).len(), by_person, "nothing runs");
    let _quell = lab.run().await;
    let after = until(&store, &returned, is_rolled_back).await;
    assert_eq!((after.run.state, after.run.reason.as_str()), (RunState::Done, "rolled back: suspend, cancel"));
    assert_eq!(reactivated(&lab).len(), by_person + 2);
    let log = lab.json(&["audit", "list"]);
    let acts: Vec<_> = log.as_array().unwrap().iter().map(|it| (it["what"].as_str().unwrap(), it["who"].as_str().unwrap())).collect();
    assert!(acts.contains(&("run.return", "playbook hold")) && acts.iter().any(|(what, _)| *what == "run.keep"), "{acts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_switch_holds_what_would_be_undone_by_itself_until_actions_are_resumed() {
    let lab = lab(", after: 2s").await;
    let _quell = lab.run().await;
    let store = lab.store().await;
    let run = held(&lab, &store).await;
    assert!(lab.quell(&["stop-actions", "--reason", "nothing today"]).status.success());
    let waits = |run: &Timeline| {
        let undoing = run.steps.iter().find(|step| step.id == "suspend.rollback");
        undoing
            .is_some_and(|step| step.state == StepState::Retrying && step.error.as_ref().is_some_and(|why| why.contains("nothing today")))
    };
    until(&store, &run, waits).await;
    assert!(reactivated(&lab).is_empty());
    assert!(lab.quell(&["resume-actions", "--reason", "go on"]).status.success());
    until(&store, &run, |run| run.run.state == RunState::Done).await;
    assert_eq!(reactivated(&lab), BOTH);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_undoes_and_keeps_by_the_api_and_nobody_else_does() {
    let lab = lab(", after: 1h").await;
    lab.add_settings(USERS);
    let _quell = lab.run().await;
    let store = lab.store().await;
    let run = held(&lab, &store).await;
    let path = format!("/api/v1/runs/{}", run.run.id);
    let ask = async |token: &str, path: &str, body: &str| {
        let reply = client().post(lab.url(path)).bearer_auth(token).body(body.to_owned()).send().await.unwrap();
        let status = reply.status().as_u16();
        (status, serde_json::from_str::<Value>(&reply.text().await.unwrap()).unwrap())
    };
    let reason = r#"{"reason": "it was theirs"}"#;
    let (opa, ann) = ("opa-has-a-long-token", "ann-has-a-long-token");
    let (rollback, keep) = (format!("{path}/rollback"), format!("{path}/keep"));
    for (token, path, body, status, code) in [
        ("nobody-has-this-token", &rollback, reason, 401, "unauthorized"),
        (ann, &rollback, reason, 403, "role"),
        (ann, &keep, reason, 403, "role"),
        (opa, &rollback, "{}", 400, "body"),
        (opa, &rollback, r#"{"reason": " "}"#, 422, "reason"),
        (opa, &rollback, r#"{"reason": "x", "steps": ["sub"]}"#, 409, "nothing_to_undo"),
        (opa, &keep, r#"{"reason": "x", "steps": ["sub"]}"#, 409, "nothing_to_keep"),
        (opa, &"/api/v1/runs/none/rollback".to_owned(), reason, 404, "not_found"),
    ] {
        let (got, answer) = ask(token, path, body).await;
        assert_eq!(
            (got, answer["error"]["code"].as_str().or_else(|| answer["code"].as_str())),
            (status, Some(code)),
            "{path} {body}: {answer}"
        );
    }
    let reply = client().get(lab.url(&rollback)).bearer_auth(ann).send().await.unwrap();
    let offered: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    assert!(offered["rollbacks"][0]["returns_at"].is_string() && offered["state"] == "done", "{offered}");
    assert!(reactivated(&lab).is_empty());

    let (status, answer) = ask(opa, &keep, r#"{"reason": "a miner", "steps": ["cancel"]}"#).await;
    assert_eq!((status, &answer["steps"]), (200, &json!(["cancel"])), "{answer}");
    let (status, answer) = ask(opa, &rollback, reason).await;
    assert_eq!((status, &answer["steps"]), (200, &json!(["suspend", "cancel"])), "who kept something may change their mind: {answer}");
    let after = until(&store, &run, is_rolled_back).await;
    assert_eq!((after.run.state, reactivated(&lab).as_slice()), (RunState::Done, &BOTH[..]));
    let (status, answer) = ask(opa, &rollback, reason).await;
    assert_eq!(status, 409, "{answer}");
    let log = lab.json(&["audit", "list"]);
    assert!(log.as_array().unwrap().iter().any(|it| it["what"] == "run.rollback" && it["who"] == "opa (api)"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_undoes_and_the_other_goes_on_where_it_died() {
    let lab = Lab::on_broker(&shared_url(), options()).await.with_journal_in(&shared_schema().await);
    lab.playbook("hold", &hold(", after: 3s"));
    // The first dies in the middle of undoing: after the third step that it intends, which is the first that undoes.
    let mut first = lab.start_armed(&[], &[("QUELL_CRASH_AT", "intent_written:4")]);
    lab.ready(PATIENCE).await.expect("the first node");
    let store = lab.store().await;
    let run = held(&lab, &store).await;
    let (_second, _) = lab.run_another().await;
    let after = until(&store, &run, is_rolled_back).await;
    assert_eq!((after.run.state, after.run.reason.as_str()), (RunState::Done, "rolled back: suspend, cancel"), "{after:#?}");
    assert_eq!(reactivated(&lab), BOTH);
    // Whichever of them took it up, it was taken up once.
    let log = lab.json(&["audit", "list"]);
    assert_eq!(log.as_array().unwrap().iter().filter(|it| it["what"] == "run.return").count(), 1);
    let _died_or_not = first.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_dies_in_the_middle_of_asking_asks_again() {
    for (point, is_known) in [("committing:1", false), ("committed:1", true)] {
        let lab = lab("").await;
        let quell = lab.run().await;
        let store = lab.store().await;
        let run = held(&lab, &store).await;
        quell.terminate();
        let asking = ["runs", "rollback", &run.run.id.0, "--reason", "it was theirs"];
        let died = lab.command(&asking).env("QUELL_CRASH_AT", point).output().unwrap();
        assert!(!died.status.success(), "{point}");
        let again = lab.quell(&asking);
        assert_eq!(again.status.success(), !is_known, "{point}: {}", String::from_utf8_lossy(&again.stderr));
        let _quell = lab.run().await;
        until(&store, &run, is_rolled_back).await;
        assert_eq!(reactivated(&lab), BOTH, "{point}");
    }
}
