//! People decide, over real processes: on the command line and through the API, over restarts and crashes, and about exactly what they saw.

use std::{
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use quell::{
    approval::{Approval, ApprovalState},
    run::RunState,
    store::{ApprovalFilter, Store, Timeline},
};
use serde_json::{Value, json};

use crate::{
    spine::crypto_alert,
    support::lab::{Lab, client, timelines},
};

/// Two leads must agree; after a while the managers are asked as well.
const ASKING: &str = r#"
playbook: contain
mode: enforce
trigger: {alert: {match: {kind: crypto_mining}}}
steps:
  - id: find
    action: entitlement.find
    with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}"}
  - id: ask
    approval:
      title: "Cancel ${steps.find.output.name}?"
      for_steps: [cancel]
      groups: [leads]
      quorum: 2
      channels: ["slack:secops"]
      timeout: 10m
      on_timeout: reject
      escalate: [{after: 5m, groups: [managers]}]
  - id: cancel
    action: entitlement.cancel
    with:
      customer_tenant_id: "${alert.customer_tenant_id}"
      plan_id: "${steps.find.output.plan_id}"
      entitlement_id: "${alert.subscription_id}"
"#;

const USERS: &str = "
users:
  ann: {groups: [leads], role: approver, token: ann-has-a-long-token}
  bob: {groups: [leads], role: approver, token: bob-has-a-long-token}
  cid: {groups: [leads], role: approver}
  max: {groups: [managers], role: operator}
  vic: {groups: [leads], role: viewer, token: vic-has-a-long-token}
  eve: {groups: [guests], role: admin, token: eve-has-a-long-token}
";

const PATIENCE: Duration = Duration::from_secs(30);

async fn lab_with(playbook: &str) -> Lab {
    let lab = Lab::embedded().await;
    lab.playbook("contain", playbook);
    // Who is asked is the playbook's matter here, and the site allows nothing by itself.
    lab.change_settings(r#"guardrails: {without_approval: ["subscription.*", "entitlement.*"]}"#, "guardrails: {}");
    lab.add_settings(USERS);
    lab
}

/// Waits for the open question, of the run of the last alert.
async fn asked(store: &Store) -> Approval {
    asked_in_round(store, 1).await
}

async fn asked_in_round(store: &Store, round: u32) -> Approval {
    let begun = Instant::now();
    loop {
        let open = store.approvals(&ApprovalFilter { open: true, ..ApprovalFilter::default() }).await.unwrap();
        if let Some(found) = open.into_iter().find(|approval| approval.round == round) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody is asked: {:#?}", timelines(store).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn vote(lab: &Lab, person: &str, word: &str, approval: &Approval, more: &[&str]) -> Output {
    let arguments = [&["approvals", word, &approval.id.0, "--as", person], more].concat();
    lab.quell(&arguments)
}

#[track_caller]
fn says(output: &Output, code: i32, text: &str) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "no `{text}` in\n{said}");
}

async fn post(lab: &Lab, token: &str, approval: &Approval, word: &str, body: Value) -> (u16, Value) {
    let url = lab.url(&format!("/api/v1/approvals/{}/{word}", approval.id));
    let reply = client().post(url).bearer_auth(token).body(body.to_string()).send().await.unwrap();
    (reply.status().as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

async fn get(lab: &Lab, token: &str, path: &str) -> (u16, Value) {
    let reply = client().get(lab.url(path)).bearer_auth(token).send().await.unwrap();
    (reply.status().as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

async fn ended(lab: &Lab, store: &Store, runs: usize) -> Timeline {
    let (_, mut found) = lab.settled(store, runs, PATIENCE).await;
    found.sort_by_key(|it| it.run.created_at);
    found.pop().expect("a run")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_agree_by_command_and_api_and_the_step_happens_once() {
    let lab = lab_with(ASKING).await;
    let quell = lab.run().await;
    let (_, document) = crypto_alert(&lab.simulator, 0);
    lab.hook(&document).await.unwrap();
    let store = lab.store().await;
    let approval = asked(&store).await;
    assert_eq!(approval.question.plan[0].with["entitlement_id"], document["subscription_id"], "people see what is to be done");
    // Who decides before the message went out is not told of the question any more.
    lab.simulator.wait_for("message.slack", 1, PATIENCE).await.unwrap();

    says(&lab.quell(&["approvals", "show", &approval.id.0[..8]]), 0, &approval.hash);
    says(&lab.quell(&["approvals", "list"]), 0, "0 of 2");
    says(&vote(&lab, "ann", "approve", &approval, &["--reason", "seen it"]), 0, "one more must agree");
    says(&vote(&lab, "ann", "approve", &approval, &[]), 1, "counts once");
    says(&vote(&lab, "eve", "approve", &approval, &[]), 1, "in none of the groups");
    says(&vote(&lab, "vic", "approve", &approval, &[]), 1, "has the role viewer");
    says(&vote(&lab, "nobody", "approve", &approval, &[]), 1, "is not among `users`");
    says(&vote(&lab, "cid", "approve", &approval, &["--hash", "0000"]), 1, "look at it again");
    says(&vote(&lab, "cid", "reject", &approval, &[]), 1, "needs a reason");
    assert_eq!(lab.simulator.counts().cancelled, 0, "one of two decides nothing");

    the_api_refuses_what_does_not_count(&lab, &approval, &document).await;
    let hash = json!({"hash": approval.hash});
    let (code, answer) = post(&lab, "bob-has-a-long-token", &approval, "approve", hash).await;
    assert_eq!((code, answer["outcome"].as_str()), (200, Some("approved")), "{answer}");

    let run = ended(&lab, &store, 1).await;
    assert_eq!((run.run.state, lab.simulator.counts().cancelled), (RunState::Done, 1), "{run:#?}");
    assert_eq!(post(&lab, "bob-has-a-long-token", &approval, "reject", json!({"hash": approval.hash, "reason": "late"})).await.0, 410);
    says(&lab.quell(&["runs", "show", &run.run.id.0]), 0, "ask ann: approve seen it");
    let waiting = String::from_utf8(lab.quell(&["approvals", "list"]).stdout).unwrap();
    assert!(!waiting.contains(&approval.id.0[..8]), "{waiting}");
    says(&lab.quell(&["approvals", "list", "--all"]), 0, "approved");
    // They were asked, and told how it ended.
    let messages = lab.simulator.wait_for("message.slack", 2, PATIENCE).await.unwrap();
    let text = |at: usize| messages[at].body.as_ref().unwrap().to_string();
    assert!(
        messages
            .iter()
            .enumerate()
            .any(|(at, _)| text(at).contains("Approval needed: Cancel") && text(at).contains("quell approvals show"))
    );
    assert!(messages.iter().enumerate().any(|(at, _)| text(at).contains("Approved: Cancel") && text(at).contains("Approved by ann, bob")));
    let metrics = lab.get("/metrics").await.unwrap().1;
    assert!(metrics.contains("quell_approvals_opened_total{playbook=\"contain\"} 1"), "{metrics}");
    assert!(metrics.contains("quell_approvals_closed_total{outcome=\"approved\"} 1"), "{metrics}");
    drop(quell);
}

async fn the_api_refuses_what_does_not_count(lab: &Lab, approval: &Approval, document: &Value) {
    let hash = json!({"hash": approval.hash});
    let (code, listed) = get(lab, "vic-has-a-long-token", "/api/v1/approvals").await;
    assert_eq!((code, &listed["approvals"][0]["id"]), (200, &json!(approval.id)));
    assert_eq!(listed["approvals"][0]["may_vote"], json!(["ann", "bob", "cid"]));
    let path = format!("/api/v1/approvals/{}", approval.id);
    assert_eq!(get(lab, "bob-has-a-long-token", &path).await.1["plan"][0]["with"]["entitlement_id"], document["subscription_id"]);
    assert_eq!(get(lab, "a-token-of-nobody-here", &path).await.0, 401);
    assert_eq!(get(lab, "bob-has-a-long-token", "/api/v1/approvals/none").await.0, 404);
    for (token, word, body, code, why) in [
        ("a-token-of-nobody-here", "approve", hash.clone(), 401, "unauthorized"),
        ("vic-has-a-long-token", "approve", hash.clone(), 403, "role"),
        ("eve-has-a-long-token", "approve", hash.clone(), 403, "not_asked"),
        ("bob-has-a-long-token", "approve", json!({"hash": "other"}), 409, "changed"),
        ("bob-has-a-long-token", "approve", json!({}), 400, "body"),
        ("bob-has-a-long-token", "approve", json!({"hash": approval.hash, "state": "approved"}), 400, "body"),
        ("bob-has-a-long-token", "reject", hash.clone(), 422, "reason"),
        ("ann-has-a-long-token", "approve", hash.clone(), 409, "already_voted"),
    ] {
        let (status, answer) = post(lab, token, approval, word, body).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (code, Some(why)), "{answer}");
    }
    let url = lab.url(&format!("{path}/approve"));
    let reply = client().get(url).bearer_auth("bob-has-a-long-token").send().await.unwrap();
    assert_eq!(reply.status().as_u16(), 405, "a GET changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_rejection_with_a_reason_ends_the_run_and_nothing_happens() {
    let lab = lab_with(ASKING).await;
    let _quell = lab.run().await;
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    let store = lab.store().await;
    let approval = asked(&store).await;
    vote(&lab, "ann", "approve", &approval, &[]);
    says(&vote(&lab, "cid", "reject", &approval, &["--reason", "it is their build server"]), 0, "is rejected");
    let run = ended(&lab, &store, 1).await;
    assert_eq!((run.run.state, lab.simulator.counts().cancelled), (RunState::Rejected, 0));
    assert!(run.run.reason.contains("it is their build server"), "{}", run.run.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_answers_the_others_are_asked_and_in_the_end_nothing_happens() {
    let lab = lab_with(&ASKING.replace("timeout: 10m", "timeout: 12s").replace("after: 5m", "after: 5s")).await;
    let _quell = lab.run().await;
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    let store = lab.store().await;
    let approval = asked(&store).await;
    says(&vote(&lab, "max", "approve", &approval, &[]), 1, "in none of the groups that are asked: leads");
    // The question, and that others are asked as well.
    lab.simulator.wait_for("message.slack", 2, PATIENCE).await.unwrap();
    says(&vote(&lab, "max", "approve", &approval, &[]), 0, "one more must agree");
    let run = ended(&lab, &store, 1).await;
    assert_eq!((run.run.state, lab.simulator.counts().cancelled), (RunState::Expired, 0), "{run:#?}");
    assert_eq!(run.approvals[0].state, ApprovalState::Expired);
    says(&vote(&lab, "ann", "approve", &approval, &[]), 1, "it is expired already");
    // Asked, asked again with the others, and told the end.
    let messages = lab.simulator.wait_for("message.slack", 3, PATIENCE).await.unwrap();
    let all: String = messages.iter().filter_map(|it| it.body.as_ref()).map(ToString::to_string).collect();
    assert!(all.contains("Approval still needed") && all.contains("leads, managers") && all.contains("Expired: Cancel"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_the_alert_or_began_the_run_does_not_decide_about_it() {
    let by_hand = ASKING
        .replace("trigger: {alert: {match: {kind: crypto_mining}}}", "trigger: {manual: {inputs: {customer: text, subscription: text}}}");
    let by_hand = by_hand.replace("playbook: contain", "playbook: by-hand");
    let by_hand = by_hand.replace("alert.customer_tenant_id", "inputs.customer").replace("alert.subscription_id", "inputs.subscription");
    let lab = lab_with(ASKING).await;
    lab.playbook("by-hand", &by_hand);
    let _quell = lab.run().await;
    let store = lab.store().await;
    let (_, document) = crypto_alert(&lab.simulator, 0);
    std::fs::write(lab.path("alert.json"), document.to_string()).unwrap();
    says(&lab.quell(&["send", "alert.json", "--as", "ann"]), 0, "1 sent");
    let approval = asked(&store).await;
    says(&vote(&lab, "ann", "approve", &approval, &[]), 1, "wrote its alert");
    says(&vote(&lab, "bob", "reject", &approval, &["--reason", "no"]), 0, "is rejected");
    lab.settled(&store, 1, PATIENCE).await;

    let input = |name: &str, key: &str| format!("{name}={}", document[key].as_str().unwrap());
    let (customer, subscription) = (input("customer", "customer_tenant_id"), input("subscription", "subscription_id"));
    let mut start = lab.command(&["runs", "start", "by-hand", "--input", &customer, "--input", &subscription]);
    assert!(start.env("QUELL_USER", "bob").output().unwrap().status.success());
    let approval = asked(&store).await;
    assert_eq!(approval.question.requesters, ["bob"]);
    says(&vote(&lab, "bob", "approve", &approval, &[]), 1, "`bob` began the run");
    says(&vote(&lab, "ann", "approve", &approval, &[]), 0, "one more must agree");
    says(&vote(&lab, "cid", "approve", &approval, &[]), 0, "is approved");
    lab.settled(&store, 1, PATIENCE).await;
    assert_eq!(lab.simulator.counts().cancelled, 1);
}

/// What is cancelled depends on a step before; at `ASK` people may be asked.
const FOUND: &str = r#"
playbook: contain
mode: enforce
trigger: {alert: {match: {kind: crypto_mining}}}
steps:
ASK  - id: find
    action: entitlement.find
    with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}"}
  - id: cancel
    action: entitlement.cancel
    with:
      customer_tenant_id: "${alert.customer_tenant_id}"
      plan_id: "${steps.find.output.plan_id}"
      entitlement_id: "${alert.subscription_id}"
"#;

const ASK: &str = r#"  - id: ask
    approval: {title: "Cancel it?", for_steps: [cancel], groups: [leads], channels: ["slack:secops"], on_timeout: reject}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_not_what_people_saw_is_asked_about_again() {
    let lab = lab_with(&FOUND.replace("ASK", ASK)).await;
    let _quell = lab.run().await;
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    let store = lab.store().await;
    let first = asked(&store).await;
    assert!(first.question.plan[0].unknown.is_some(), "{first:#?}");
    says(&vote(&lab, "ann", "approve", &first, &[]), 0, "is approved");
    let second = asked_in_round(&store, 2).await;
    assert_eq!(lab.simulator.counts().cancelled, 0, "nobody has agreed to this");
    assert!(second.question.why.contains("not what was agreed to") && second.hash != first.hash, "{second:#?}");
    assert_eq!(store.approval(&first.id).await.unwrap().unwrap().state, ApprovalState::Void);
    says(&vote(&lab, "bob", "approve", &second, &["--hash", &first.hash]), 1, "look at it again");
    says(&vote(&lab, "bob", "approve", &second, &[]), 0, "is approved");
    let run = ended(&lab, &store, 1).await;
    assert_eq!((run.run.state, lab.simulator.counts().cancelled), (RunState::Done, 1), "{run:#?}");

    // And if they do not agree to the new plan, the run ends as if they had not agreed to the first.
    lab.hook(&crypto_alert(&lab.simulator, 1).1).await.unwrap();
    vote(&lab, "ann", "approve", &asked(&store).await, &[]);
    says(&vote(&lab, "bob", "reject", &asked_in_round(&store, 2).await, &["--reason", "not that one"]), 0, "is rejected");
    let run = ended(&lab, &store, 2).await;
    assert_eq!((run.run.state, lab.simulator.counts().cancelled), (RunState::Rejected, 1), "{run:#?}");
    assert!(run.run.reason.contains("rejected by bob: not that one"), "{}", run.run.reason);
}

const SITE: &str = "approvals: {groups: [leads], channels: ['slack:secops'], timeout: 1h}";

#[tokio::test(flavor = "multi_thread")]
async fn where_a_guardrail_wants_a_persons_word_the_site_asks() {
    let lab = lab_with(&FOUND.replace("ASK", "")).await;
    lab.add_settings(SITE);
    let _quell = lab.run().await;
    let store = lab.store().await;
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    let approval = asked(&store).await;
    assert_eq!((approval.question.rule.as_deref(), approval.asker.as_str()), (Some("approval"), "cancel"));
    says(&vote(&lab, "ann", "approve", &approval, &[]), 0, "is approved");
    let run = ended(&lab, &store, 1).await;
    assert_eq!((run.run.state, lab.simulator.counts().cancelled), (RunState::Done, 1), "{run:#?}");

    lab.hook(&crypto_alert(&lab.simulator, 1).1).await.unwrap();
    says(&vote(&lab, "ann", "reject", &asked(&store).await, &["--reason", "no"]), 0, "is rejected");
    let run = ended(&lab, &store, 2).await;
    assert_eq!((run.run.state, lab.simulator.counts().cancelled), (RunState::Rejected, 1), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_a_limit_and_for_an_old_alert_the_site_asks_as_well() {
    let lab = lab_with(&FOUND.replace("ASK", "")).await;
    let limits = "guardrails: {without_approval: ['entitlement.*'], limits: [{action: 'entitlement.*', max: 1, per: 1h, on_exceed: require_approval}]}";
    lab.change_settings("guardrails: {}", limits);
    lab.add_settings(SITE);
    let _quell = lab.run().await;
    let store = lab.store().await;
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    lab.settled(&store, 1, PATIENCE).await;
    assert_eq!(lab.simulator.counts().cancelled, 1, "the first is within the limit");
    lab.hook(&crypto_alert(&lab.simulator, 1).1).await.unwrap();
    let approval = asked(&store).await;
    assert!(approval.question.rule.as_deref() == Some("limit") && approval.question.why.contains("allows 1"), "{approval:#?}");
    says(&vote(&lab, "ann", "approve", &approval, &[]), 0, "is approved");
    lab.settled(&store, 2, PATIENCE).await;
    assert_eq!(lab.simulator.counts().cancelled, 2);
    let (_, mut old) = crypto_alert(&lab.simulator, 2);
    old["detected_at"] = json!((jiff::Timestamp::now() - jiff::SignedDuration::from_hours(30)).to_string());
    lab.hook(&old).await.unwrap();
    let approval = asked(&store).await;
    assert_eq!(approval.question.rule.as_deref(), Some("freshness"));
    says(&vote(&lab, "ann", "approve", &approval, &[]), 0, "is approved");
    let run = ended(&lab, &store, 3).await;
    assert_eq!((run.run.state, lab.simulator.counts().cancelled), (RunState::Done, 3), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_outlives_crashes_while_it_waits_and_right_after_a_vote() {
    let lab = lab_with(ASKING).await;
    let store = lab.store().await;
    for round in 0..5 {
        let quell = lab.run().await;
        lab.hook(&crypto_alert(&lab.simulator, round).1).await.unwrap();
        let approval = asked(&store).await;
        quell.kill();
        // Nobody runs, and people answer all the same.
        says(&vote(&lab, "ann", "approve", &approval, &[]), 0, "one more must agree");
        let quell = lab.run().await;
        says(&vote(&lab, "bob", "approve", &approval, &[]), 0, "is approved");
        quell.kill();
        let quell = lab.run().await;
        let (_, runs) = lab.settled(&store, round + 1, PATIENCE).await;
        assert!(runs.iter().all(|run| run.run.state == RunState::Done), "{runs:#?}");
        assert_eq!((lab.simulator.counts().cancelled, lab.simulator.counts().repeats), (round + 1, 0));
        quell.kill();
    }
    let opened: Vec<_> = lab.simulator.effects("message.slack");
    let asked = opened.iter().filter(|it| it.body.as_ref().is_some_and(|body| body.to_string().contains("Approval needed"))).count();
    assert!(asked >= 4, "people heard of the questions although the program died: {asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_votes_at_once_from_several_processes_each_person_counts_once_and_one_decides() {
    let lab = lab_with(ASKING).await;
    let _quell = lab.run().await;
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    let store = lab.store().await;
    let approval = asked(&store).await;
    let voting = |person: &str, word: &str| -> Child {
        let arguments = ["approvals", word, &approval.id.0, "--as", person, "--reason", "race"];
        let mut command: Command = lab.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let race: Vec<Child> = ["ann", "ann", "ann", "bob", "bob", "cid"].into_iter().map(|person| voting(person, "approve")).collect();
    let outputs: Vec<Output> = race.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let said: Vec<String> = outputs.iter().map(|it| String::from_utf8_lossy(&[&*it.stdout, &*it.stderr].concat()).into_owned()).collect();
    let count = |text: &str| said.iter().filter(|it| it.contains(text)).count();
    assert_eq!((count("one more must agree"), count("is approved;"), count("does not count")), (1, 1, 4), "{said:#?}");
    let run = ended(&lab, &store, 1).await;
    assert_eq!((run.run.state, run.approvals[0].votes.len(), lab.simulator.counts().cancelled), (RunState::Done, 2, 1));
}
