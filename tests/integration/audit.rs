//! Whoever does something is in the audit log: over the command line, over the API, or with their hands.

use std::{
    fs,
    io::Write,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::lab::{Lab, client};

const TOKEN: &str = "a-token-for-the-api-of-this-test";

const PATIENCE: Duration = Duration::from_secs(30);

/// The entries of that kind, once there are so many.
async fn entries(lab: &Lab, what: &str, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let all = lab.json(&["audit", "list"]);
        let found: Vec<Value> = all.as_array().unwrap().iter().filter(|entry| entry["what"] == what).cloned().collect();
        if found.len() >= count {
            assert_eq!(found.len(), count, "{found:?}");
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{count} of `{what}` in {all}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn send(lab: &Lab, arguments: &[&str], text: &str) {
    let mut command = lab.command(&[&["send", "--as", "ann"], arguments].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_reloaded_mended_and_stopped_by_hand_is_in_the_log_and_an_edit_of_it_is_found() {
    let lab = Lab::embedded().await;
    lab.change_settings("web: {", &format!("web: {{api_token: {TOKEN}, "));
    let file = lab.path("stopped-by-hand");
    lab.change_settings("guardrails: {", &format!("guardrails: {{stop_file: '{}', ", file.display()));
    lab.change_settings("telemetry: {", "telemetry: {tell: [{of: [actions_stopped, quarantined], to: [\"slack:secops\"]}], language: ko, ");
    let _quell = lab.run().await;

    send(&lab, &["--raw"], "no alert\n");
    let sent = entries(&lab, "alerts.send", 1).await.remove(0);
    assert_eq!(
        (&sent["who"], &sent["detail"]["raw"], &sent["detail"]["messages"]),
        (&json!("ann (command line)"), &json!(true), &json!(1))
    );

    let store = lab.store().await;
    let begun = Instant::now();
    while store.quarantine(true, 10).await.unwrap().is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let now = jiff::Timestamp::now();
    let alert = json!({"id": "m", "source": "s", "kind": "noise", "detected_at": now, "received_at": now});
    let event = json!({"specversion": "1.0", "id": "m", "source": "s", "type": "quell.alert.v1", "data": alert});
    fs::write(lab.path("mended.json"), event.to_string()).unwrap();
    let released = lab.quell(&["quarantine", "release", "1", "--mended", "mended.json", "--as", "rita"]);
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));
    let released = entries(&lab, "quarantine.release", 1).await.remove(0);
    assert_eq!((&released["who"], &released["detail"]["mended"]), (&json!("rita (command line)"), &json!(true)));
    let (rows, _) = lab.settled(&store, 1, PATIENCE).await;
    let sender = quell::alert::Alert::and_sender(&rows[0].event).unwrap().1;
    assert_eq!(sender.as_deref(), Some("rita"), "who mended it does not decide about it");

    let reload = || client().post(lab.url("/api/v1/reload"));
    assert_eq!(reload().send().await.unwrap().status(), 401);
    assert_eq!(reload().bearer_auth(TOKEN).send().await.unwrap().status(), 200);
    let reloaded = entries(&lab, "playbooks.reload", 1).await.remove(0);
    assert!(reloaded["who"].as_str().unwrap().starts_with("whoever has `web.api_token` (api, 127.0.0.1:"), "{reloaded}");
    assert_eq!(reloaded["detail"]["outcome"], "unchanged");

    fs::write(&file, "").unwrap();
    let stopped = entries(&lab, "actions.stop", 1).await.remove(0);
    assert_eq!(stopped["who"], format!("somebody (the file `{}`)", file.display()));
    fs::remove_file(&file).unwrap();
    entries(&lab, "actions.resume", 1).await;
    // The commands write the file as well, and are in the log once.
    assert!(lab.quell(&["stop-actions", "--reason", "a test", "--as", "ann"]).status.success());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(lab.quell(&["resume-actions", "--reason", "a test", "--as", "ann"]).status.success());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(entries(&lab, "actions.stop", 2).await[1]["who"], "ann (command line)");
    assert_eq!(entries(&lab, "actions.resume", 2).await[1]["who"], "ann (command line)");
    let told: Vec<String> =
        lab.simulator.effects("message.slack").into_iter().filter_map(|it| it.body).map(|body| body.to_string()).collect();
    let about = |text: &str| told.iter().filter(|message| message.contains(text)).count();
    assert_eq!((about("모든 조치가 중지되었습니다"), about("조치가 재개되었습니다")), (2, 2), "{told:?}");

    assert!(lab.quell(&["audit", "verify"]).status.success());
    let raw = sqlx::SqlitePool::connect(&lab.journal).await.unwrap();
    sqlx::query("UPDATE audit SET who = 'nobody' WHERE what = 'alerts.send'").execute(&raw).await.unwrap();
    assert!(!lab.quell(&["audit", "verify"]).status.success(), "an edit is found");
}
