//! `quell explain` and `quell backtest`: what is foreseen is what is done, an edit shows exactly its difference, and nothing is sent.

use std::{collections::BTreeSet, fs, time::Duration};

use quell::{run::Class, store::Timeline};
use serde_json::{Value, json};

use crate::{
    spine::{crypto_alert, customer_with},
    support::lab::Lab,
};

const PATIENCE: Duration = Duration::from_mins(1);

const TELL: &str = r#"
playbook: answer
mode: enforce
trigger: {alert: {match: {kind: crypto_mining}}}
steps:
  - id: sub
    action: entitlement.find
    with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}"}
  - {id: tell, action: notify, with: {channels: [slack:secops], text: "mining in ${steps.sub.output.entitlement_id}"}}
"#;

const CANCEL: &str = r#"
  - id: cancel
    action: entitlement.cancel
    with:
      customer_tenant_id: "${alert.customer_tenant_id}"
      plan_id: "${steps.sub.output.plan_id}"
      entitlement_id: "${alert.subscription_id}"
"#;

fn send(lab: &Lab, alerts: &[Value]) {
    let lines: Vec<String> = alerts.iter().map(ToString::to_string).collect();
    fs::write(lab.path("alerts.jsonl"), lines.join("\n")).unwrap();
    let output = lab.quell(&["send", "alerts.jsonl"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The calls that a run attempted, as step and arguments.
fn recorded(run: &Timeline) -> BTreeSet<String> {
    let attempted = run.steps.iter().filter(|step| step.attempts > 0);
    attempted.map(|step| format!("{} {}", step.id, step.plan)).collect()
}

/// The calls that an explanation foresees for a playbook.
fn foreseen(explained: &Value, playbook: &str) -> BTreeSet<String> {
    let it = explained["playbooks"].as_array().unwrap().iter().find(|it| it["playbook"] == playbook).unwrap();
    assert_eq!((it["verdict"].as_str(), &it["plan"]["unclear"]), (Some("matches"), &Value::Null), "{it:#}");
    let steps = it["plan"]["steps"].as_array().unwrap().iter().filter(|step| step["call"]["fate"] == "made");
    steps.map(|step| format!("{} {}", step["step"].as_str().unwrap(), step["arguments"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_foreseen_with_the_answers_of_then_is_what_was_done() {
    let lab = Lab::embedded().await;
    lab.shipped_playbooks();
    let file = lab.path("playbooks/contain-crypto-mining.yaml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("\nmode: shadow\n", "\nmode: enforce\n")).unwrap();
    let alone = crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1)).1;
    let shared = crypto_alert(&lab.simulator, customer_with(&lab.simulator, 3)).1;
    let mut alerts = vec![alone.clone(), shared];
    for kind in ["anomalous_vm_deployment", "suspicious_arm_operations", "service_health_advisory", "quota_increase", "something_new"] {
        let mut alert = alone.clone();
        (alert["kind"], alert["id"]) = (json!(kind), json!(format!("of-{kind}")));
        alerts.push(alert);
    }
    let mut test = alone.clone();
    (test["is_test"], test["id"]) = (json!(true), json!("a-test"));
    alerts.push(test);
    let quell = lab.run().await;
    send(&lab, &alerts);
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, alerts.len(), PATIENCE).await;
    assert!(quell.terminate().success());
    let before = lab.simulator.counts().requests;
    let mut playbooks = BTreeSet::new();
    for run in &runs {
        // An action that fails at its target cannot be foreseen to do so.
        if run.steps.iter().any(|step| step.state.as_str() == "failed" && step.class != Class::Read) {
            continue;
        }
        let explained = lab.json(&["explain", &run.run.alert.unwrap().to_string()]);
        assert_eq!(foreseen(&explained, &run.run.playbook), recorded(run), "{}", run.run.playbook);
        playbooks.insert(run.run.playbook.clone());
    }
    assert!(playbooks.len() >= 5 && playbooks.contains("contain-crypto-mining"), "{playbooks:?}");
    assert_eq!(lab.simulator.counts().requests, before, "explaining sends nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_of_an_edited_playbook_shows_exactly_the_difference() {
    let lab = Lab::embedded().await;
    lab.playbook("answer", TELL);
    let alerts: Vec<Value> = (0..3).map(|customer| crypto_alert(&lab.simulator, customer).1).collect();
    let quell = lab.run().await;
    send(&lab, &alerts);
    let store = lab.store().await;
    lab.settled(&store, 3, PATIENCE).await;
    assert!(quell.terminate().success());
    let before = lab.simulator.counts().requests;

    let same = lab.json(&["backtest", "--since", "1d"]);
    let counts = |report: &Value| {
        report["differences"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(kind, list)| (kind.clone(), list["count"].as_u64().unwrap()))
            .filter(|(_, count)| *count > 0)
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(&same), [], "{same:#}");
    assert_eq!(
        (&same["alerts"], &same["playbooks"]["answer"]["runs"], &same["playbooks"]["answer"]["notifications"]),
        (&json!(3), &json!(3), &json!(3))
    );

    // Now it cancels, does not tell of one customer, and one subscription is protected.
    let subscription = |at: usize| alerts[at]["subscription_id"].as_str().unwrap().to_owned();
    let edited = TELL.replace("id: tell, action", &format!("id: tell, if: 'alert.subscription_id != \"{}\"', action", subscription(0)));
    lab.playbook("answer", &format!("{edited}{CANCEL}"));
    lab.change_settings("guardrails: {", &format!("guardrails: {{protected: ['{}'], ", subscription(2)));
    let report = lab.quell(&["backtest", "--since", "1d", "--json"]);
    assert_eq!(report.status.code(), Some(1), "a run that would fail now is a problem");
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let expected = [("lose_notification", 1), ("newly_destructive", 3), ("newly_failing", 1)].map(|(kind, count)| (kind.to_owned(), count));
    assert_eq!(counts(&report), expected, "{report:#}");
    let newly = &report["differences"]["newly_destructive"];
    assert_eq!(newly["protected"], 1);
    let what: BTreeSet<_> = newly["shown"].as_array().unwrap().iter().map(|item| item["what"].as_str().unwrap().to_owned()).collect();
    assert_eq!(what, (0..3).map(|at| format!("entitlement.cancel {}", subscription(at))).collect());
    assert_eq!(report["differences"]["lose_notification"]["shown"][0]["id"], alerts[0]["id"]);

    for (format, expected) in [
        ("text", "3 destructive calls would be new, 1 of them on what is protected"),
        ("markdown", "<summary><b>1 alerts or times of schedules lose their notification</b></summary>"),
    ] {
        let output = lab.quell(&["backtest", "--since", "1d", "--format", format]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(lab.simulator.counts().requests, before, "replaying sends nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_says_which_clause_was_false_and_which_window_holds() {
    let lab = Lab::embedded().await;
    lab.playbook("answer", &TELL.replace("steps:", "dedup: {key: '${alert.subscription_id}', window: 1h}\nsteps:"));
    lab.playbook(
        "other",
        "playbook: other\ntrigger: {alert: {match: {kind: phishing}}}\nsteps: [{id: say, action: log, with: {message: a}}]\n",
    );
    lab.playbook("by-hand", "playbook: by-hand\ntrigger: {manual: {}}\nsteps: [{id: say, action: log, with: {message: a}}]\n");
    let alert = crypto_alert(&lab.simulator, 0).1;
    fs::write(lab.path("alert.json"), alert.to_string()).unwrap();
    let verdicts = |explained: &Value| -> Vec<String> {
        let playbooks = explained["playbooks"].as_array().unwrap();
        playbooks.iter().map(|it| format!("{} {}", it["playbook"].as_str().unwrap(), it["verdict"].as_str().unwrap())).collect()
    };

    let explained = lab.json(&["explain", "alert.json"]);
    assert_eq!(verdicts(&explained), ["answer matches", "by-hand not_asked", "other differs"]);
    assert_eq!(explained["playbooks"][2]["differs"], json!({"clause": "kind: \"phishing\"", "value": "\"crypto_mining\""}));
    assert!(explained["playbooks"][0]["plan"]["unclear"].as_str().unwrap().contains("the output of `sub` is not known"), "{explained:#}");
    assert!(!lab.path("quell.db").exists(), "a look makes no journal");

    let quell = lab.run().await;
    send(&lab, std::slice::from_ref(&alert));
    let store = lab.store().await;
    lab.settled(&store, 1, PATIENCE).await;
    assert!(quell.terminate().success());
    let again = lab.json(&["explain", "alert.json", "--playbook", "answer"]);
    assert_eq!(verdicts(&again), ["answer held"]);
    assert_eq!(again["playbooks"][0]["held"]["window"], "dedup");
    assert!(again["playbooks"][0]["held"]["until"].is_string());
    let stored = lab.json(&["explain", "1", "--playbook", "answer"]);
    assert_eq!(verdicts(&stored), ["answer matches"], "its own run does not hold it back");
    assert_eq!(stored["playbooks"][0]["then"]["run"]["state"], "done");

    let output = lab.quell(&["explain", "alert.json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in ["has \"crypto_mining\"; wants kind: \"phishing\"", "reads; not asked now", "depends on the answer of `sub`"] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
    for (arguments, code) in [(["explain", "alert.json", "--playbook", "nobody"].as_slice(), 2), (&["explain", "4711"], 1)] {
        assert_eq!(lab.quell(arguments).status.code(), Some(code), "{arguments:?}");
    }
}
