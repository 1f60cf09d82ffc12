//! Playbooks are edited while Quell runs: a good edit is in force soon and as a whole, a broken one changes nothing and is seen.

use std::{
    fs,
    time::{Duration, Instant},
};

use quell::{
    run::RunState,
    store::{RunFilter, Store, Timeline},
};
use quell_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::support::lab::{Lab, client};

/// Many times what a reload takes; less than an editor's patience on a busy machine.
const SOON: Duration = Duration::from_secs(10);

const API_TOKEN: &str = "an-api-token-that-only-the-test-knows";

/// Tells the log its version.
fn version(version: &str) -> String {
    format!(
        "playbook: tell\nmode: enforce\ntrigger: {{alert: {{match: {{kind: noise}}}}}}\n\
         steps: [{{id: tell, action: log, with: {{message: '{version}'}}}}]\n"
    )
}

const BROKEN: &str = "playbook: tell\nstesp: []\n";

fn alert(id: &str, kind: &str) -> Value {
    let now = jiff::Timestamp::now().to_string();
    json!({"id": id, "source": "graph", "kind": kind, "detected_at": now, "received_at": now})
}

async fn send(lab: &Lab, id: &str, kind: &str) {
    let (code, body) = lab.hook(&alert(id, kind)).await.unwrap();
    assert_eq!(code, 202, "{body}");
}

/// Sends an alert and tells which version answered it.
async fn answered_by(lab: &Lab, store: &Store, id: &str) -> String {
    send(lab, id, "noise").await;
    let begun = Instant::now();
    loop {
        let rows = store.alerts(&quell::store::AlertFilter::default()).await.unwrap();
        let number = rows.iter().find(|row| row.id == id).map(|row| row.number);
        if let Some(number) = number {
            let filter = RunFilter { alert: Some(number), ..RunFilter::default() };
            if let Some(run) = store.runs(&filter).await.unwrap().iter().find(|run| run.state.is_final()) {
                return said(&store.timeline(&run.id).await.unwrap().unwrap());
            }
        }
        assert!(begun.elapsed() < SOON, "alert {id} is not answered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn said(run: &Timeline) -> String {
    let step = run.steps.iter().find(|step| step.id == "tell").unwrap_or_else(|| panic!("{run:#?}"));
    step.plan["message"].as_str().unwrap().to_owned()
}

async fn readiness(lab: &Lab) -> Value {
    let (code, body) = lab.get("/readyz").await.unwrap();
    assert_eq!(code, 200, "broken playbooks do not stop the others: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Waits until `/readyz` says of the playbooks what is wanted.
async fn until(lab: &Lab, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let playbooks = readiness(lab).await["playbooks"].clone();
        if wanted(&playbooks) {
            return playbooks;
        }
        assert!(begun.elapsed() < SOON, "{what}: {playbooks}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until other playbooks are in use than those since then.
async fn until_replaced(lab: &Lab, since: &Value) -> Value {
    until(lab, "replaced", |it| it["since"] != *since).await["since"].clone()
}

fn log(lab: &Lab) -> String {
    fs::read_to_string(lab.path("quell.log")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_in_force_soon_and_a_broken_one_changes_nothing_and_is_seen() {
    let lab = Lab::embedded().await;
    lab.playbook("tell", &version("v1"));
    let _quell = lab.run().await;
    let store = lab.store().await;
    assert_eq!(answered_by(&lab, &store, "1").await, "v1");
    let first = readiness(&lab).await["playbooks"]["since"].clone();

    lab.playbook("tell", &version("v2"));
    lab.playbook("second", &version("-").replace("playbook: tell", "playbook: second").replace("noise", "other"));
    until(&lab, "two playbooks", |it| it["loaded"] == 2 && it["since"] != first).await;
    assert_eq!(answered_by(&lab, &store, "2").await, "v2");
    assert!(log(&lab).contains("playbooks replaced: +1 ~1 -0"), "{}", log(&lab));

    // All or nothing: the other file's good edit waits for the broken one to be mended.
    lab.playbook("second", BROKEN);
    lab.playbook("tell", &version("v3"));
    let playbooks = until(&lab, "a problem", |it| it["problems"] != json!([])).await;
    let problems = playbooks["problems"].to_string();
    assert!(problems.contains("second.yaml:2:1") && problems.contains("stesp") && playbooks["loaded"] == 2, "{playbooks}");
    assert_eq!(answered_by(&lab, &store, "3").await, "v2");
    let metrics = lab.get("/metrics").await.unwrap().1;
    for line in [
        "quell_playbook_reload_ok 0",
        "quell_playbooks_refused 1",
        "quell_playbook_reloads_total{outcome=\"refused\"} ",
        "quell_playbooks_loaded 2",
    ] {
        assert!(metrics.contains(line), "no `{line}` in\n{metrics}");
    }
    assert!(log(&lab).contains("second.yaml:2:1") && log(&lab).contains("the 2 in use stay in use"), "{}", log(&lab));
    let checked = lab.quell(&["check"]);
    assert!(checked.status.code() == Some(1) && String::from_utf8_lossy(&checked.stdout).contains("stesp"), "{checked:?}");

    fs::remove_file(lab.path("playbooks/second.yaml")).unwrap();
    until(&lab, "one playbook", |it| it["loaded"] == 1 && it["problems"] == json!([])).await;
    assert_eq!(answered_by(&lab, &store, "4").await, "v3");
    let metrics = lab.get("/metrics").await.unwrap().1;
    assert!(metrics.contains("quell_playbook_reload_ok 1") && metrics.contains("quell_playbooks_refused 0"), "{metrics}");

    // Back to what is in use: nothing to replace, and nothing to complain of.
    lab.playbook("tell", BROKEN);
    until(&lab, "a problem", |it| it["problems"] != json!([])).await;
    lab.playbook("tell", &version("v3"));
    until(&lab, "no problem", |it| it["problems"] == json!([])).await;
    assert!(lab.get("/metrics").await.unwrap().1.contains("quell_playbook_reload_ok 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_keeps_its_text_and_its_functions_and_windows_keep_their_state() {
    let lab = Lab::embedded().await;
    let text = |function: &str, said: &str| {
        format!(
            "playbook: wait\nmode: enforce\ntrigger: {{alert: {{match: {{kind: crypto_mining}}}}}}\n\
             dedup: {{key: '${{alert.kind}}', window: 1h}}\nsteps:\n\
             - {{id: busy, action: notify, with: {{channels: ['slack:secops'], text: hello}}, retry: {{max_attempts: 20, delay: 1s}}}}\n\
             - {{id: tell, action: log, with: {{message: '${{{function}()}} {said}'}}}}\n"
        )
    };
    fs::create_dir(lab.path("playbooks/lib")).unwrap();
    fs::write(lab.path("playbooks/lib/f.rhai"), "fn before() { \"before\" }").unwrap();
    lab.playbook("wait", &text("before", "v1"));
    let busy = FaultKind::Status { status: 503, body: None, retry_after: Some("1".to_owned()) };
    lab.simulator.fault(Fault { service: Some("slack".to_owned()), ..Fault::always(busy) });
    let _quell = lab.run().await;
    let store = lab.store().await;
    send(&lab, "1", "crypto_mining").await;
    let begun = Instant::now();
    while !store.runs(&RunFilter::default()).await.unwrap().iter().any(|run| run.state == RunState::Waiting) {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let mut since = readiness(&lab).await["playbooks"]["since"].clone();
    // A few edits, each with another function: what the run needs is in no set any more.
    for (function, said) in [("after", "v2"), ("later", "v3")] {
        fs::write(lab.path("playbooks/lib/f.rhai"), format!("fn {function}() {{ \"{function}\" }}")).unwrap();
        lab.playbook("wait", &text(function, said));
        since = until_replaced(&lab, &since).await;
    }
    send(&lab, "2", "crypto_mining").await;
    lab.simulator.clear_faults();
    let (_, runs) = lab.settled(&store, 2, Duration::from_secs(30)).await;
    assert_eq!(runs.len(), 1, "the window of `wait` holds over the edit");
    assert_eq!((runs[0].run.state, said(&runs[0]).as_str()), (RunState::Done, "before v1"), "{}", runs[0].run.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_edits_a_second_do_no_harm_and_the_last_is_in_force() {
    let lab = Lab::embedded().await;
    lab.playbook("tell", &version("0"));
    let quell = lab.run().await;
    let store = lab.store().await;
    let path = lab.path("playbooks/tell.yaml");
    let editing = std::thread::spawn(move || {
        for number in 1..=500 {
            // Half of them as editors do, half of them in place; now and then a broken one.
            let text = if number % 50 == 7 { BROKEN.to_owned() } else { version(&number.to_string()) };
            if number % 2 == 0 {
                fs::write(&path, text).unwrap();
            } else {
                fs::write(path.with_extension("new"), text).unwrap();
                fs::rename(path.with_extension("new"), &path).unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let mut sent = 0;
    while !editing.is_finished() {
        send(&lab, &format!("during-{sent}"), "noise").await;
        sent += 1;
        assert_eq!(lab.get("/healthz").await.unwrap().0, 200);
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    editing.join().unwrap();
    let begun = Instant::now();
    while answered_by(&lab, &store, &format!("after-{sent}")).await != "500" {
        sent += 1;
        assert!(begun.elapsed() < SOON, "the last edit is not in force\n{}", quell.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (rows, runs) = lab.settled(&store, sent + 1, Duration::from_secs(30)).await;
    assert_eq!((rows.len(), runs.len()), (sent + 1, sent + 1));
    assert!(rows.iter().all(|row| row.outcome == "matched"), "every alert is handled");
    let odd: Vec<_> = runs.iter().filter(|run| run.run.state != RunState::Done || said(run).parse::<u32>().is_err()).collect();
    assert!(odd.is_empty(), "each run says what somebody wrote as a whole: {odd:#?}");
    let replaced = log(&lab).matches("playbooks replaced").count();
    assert!((1..=20).contains(&replaced), "{replaced} reloads in some 5 seconds");
    assert!(quell.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_taken_away_keeps_its_playbooks_in_use_until_it_is_there_again() {
    let lab = Lab::embedded().await;
    lab.playbook("tell", &version("v1"));
    let _quell = lab.run().await;
    let store = lab.store().await;
    fs::rename(lab.path("playbooks"), lab.path("away")).unwrap();
    let playbooks = until(&lab, "a problem", |it| it["problems"] != json!([])).await;
    assert_eq!(playbooks["loaded"], 1);
    assert_eq!(answered_by(&lab, &store, "1").await, "v1");

    // As a ConfigMap is: links to files behind a link that is replaced.
    for (folder, text) in [("..1", version("v2")), ("..2", version("v3"))] {
        fs::create_dir_all(lab.path("playbooks").join(folder)).unwrap();
        fs::write(lab.path("playbooks").join(folder).join("tell.yaml"), text).unwrap();
    }
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, lab.path("playbooks").join(name)).unwrap();
    link("..1", "..data");
    link("..data/tell.yaml", "tell.yaml");
    let since = until(&lab, "no problem", |it| it["problems"] == json!([])).await["since"].clone();
    assert_eq!(answered_by(&lab, &store, "2").await, "v2");
    link("..2", "..data_tmp");
    fs::rename(lab.path("playbooks/..data_tmp"), lab.path("playbooks/..data")).unwrap();
    until_replaced(&lab, &since).await;
    assert_eq!(answered_by(&lab, &store, "3").await, "v3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_the_folder_read_and_ends_nothing() {
    let lab = Lab::embedded().await;
    lab.playbook("tell", &version("v1"));
    let quell = lab.run().await;
    let read = || log(&lab).matches("the folder of playbooks holds what is in use").count();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = read();
    quell.signal("HUP");
    let begun = Instant::now();
    while read() == before {
        assert!(begun.elapsed() < SOON, "{}", quell.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    readiness(&lab).await;
    assert!(quell.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_token_of_the_api_can_ask_for_a_reload_and_is_told_what_came_of_it() {
    let lab = Lab::embedded().await;
    lab.playbook("tell", &version("v1"));
    let post = async |token: &str| {
        let reply = client().post(lab.url("/api/v1/reload")).bearer_auth(token).send().await.unwrap();
        (reply.status().as_u16(), serde_json::from_str::<Value>(&reply.text().await.unwrap()).unwrap())
    };
    let quell = lab.run().await;
    assert_eq!(post(API_TOKEN).await.0, 404, "without a token in the settings there is no API");
    assert!(quell.terminate().success());

    lab.change_settings("web: {", &format!("web: {{api_token: '{API_TOKEN}', "));
    let _quell = lab.run().await;
    assert_eq!(post("a-guess-at-the-token").await.0, 401);
    assert_eq!(post(API_TOKEN).await, (200, json!({"outcome": "unchanged", "playbooks": 1})));
    lab.playbook("tell", &version("v2"));
    let (code, answer) = post(API_TOKEN).await;
    // On a busy machine the edit may have been noticed before.
    assert!(code == 200 && (answer["outcome"] == "replaced" || answer["outcome"] == "unchanged"), "{answer}");
    let store = lab.store().await;
    assert_eq!(answered_by(&lab, &store, "1").await, "v2");
    lab.playbook("tell", BROKEN);
    for _ in 0..2 {
        let (code, answer) = post(API_TOKEN).await;
        assert!(code == 422 && answer["outcome"] == "refused" && answer["playbooks"] == 1, "{answer}");
        assert!(answer["problems"].to_string().contains("tell.yaml:2:1"), "{answer}");
    }
    assert_eq!(answered_by(&lab, &store, "2").await, "v2");
    assert!(!log(&lab).contains(API_TOKEN));
}
