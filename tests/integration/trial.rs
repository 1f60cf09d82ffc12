//! `quell test` from the outside: the shipped playbooks are what their tests say, and a test that fails ends the command so.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks");

/// In a folder without settings, so that those of whoever runs the tests are not asked.
fn quell(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quell")).current_dir(folder).arg("test").args(arguments).output().expect("run quell")
}

fn out(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A folder with a playbook that says something, and a test of it.
fn folder(expect: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let playbook =
        "playbook: say\nmode: enforce\ntrigger: {alert: {match: {kind: a}}}\nsteps: [{id: say, action: log, with: {message: hello}}]\n";
    fs::write(folder.path().join("say.yaml"), playbook).unwrap();
    fs::write(folder.path().join("say.test.yaml"), format!("tests:\n  - name: it speaks\n    alert: {{kind: a}}\n    expect: {expect}\n"))
        .unwrap();
    folder
}

#[test]
fn the_shipped_playbooks_pass_their_tests_which_touch_all_of_them() {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = quell(elsewhere.path(), &[SHIPPED, "--min-coverage", "100", "--seed", "3"]);
    let shown = out(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("ok contain-crypto-mining: a miner is stopped") && shown.contains(" 0 failed; 0 problems"), "{shown}");
    assert!(!shown.contains("it has no tests"), "{shown}");
}

#[test]
fn a_test_of_a_shipped_playbook_notices_every_change_of_it() {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = quell(elsewhere.path(), &[SHIPPED, "--mutate"]);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
}

#[test]
fn a_test_that_fails_says_why_and_ends_the_command_with_1() {
    let folder = folder("{outcome: failed, calls: []}");
    let output = quell(folder.path(), &[".", "--junit", "junit.xml"]);
    let shown = out(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    for text in
        ["FAILED say: it speaks (./say.test.yaml:2", "outcome: expected failed, and it was done", "+ say log {\"message\":\"hello\"}"]
    {
        assert!(shown.contains(text), "no `{text}` in {shown}");
    }
    assert!(fs::read_to_string(folder.path().join("junit.xml")).unwrap().contains("failures=\"1\""));
    let output = quell(folder.path(), &[".", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &document["results"]["failed"]), (Some(1), &Value::from(1)));
}

#[test]
fn what_changes_is_tried_again_until_it_is_told_to_end() {
    let folder = folder("{outcome: failed}");
    let mut watching = Command::new(env!("CARGO_BIN_EXE_quell"))
        .args(["test", ".", "--watch"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line == "0 tests passed, 1 failed; 0 problems"));
    let tests = "tests: [{name: it speaks, alert: {kind: a}, expect: {outcome: done}}]\n";
    fs::write(folder.path().join("say.test.yaml"), tests).unwrap();
    assert!(lines.by_ref().any(|line| line == "1 tests passed, 0 failed; 0 problems"));
    let id = watching.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(watching.wait().unwrap().code(), Some(0), "it ends as the last trial did");
}

#[test]
fn what_is_asked_wrongly_is_told() {
    let folder = folder("{outcom: done}");
    let output = quell(folder.path(), &["."]);
    let shown = out(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("say.test.yaml:4:") && shown.contains("did you mean `outcome`?"), "{shown}");
    let output = quell(folder.path(), &["nowhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", out(&output));
    let thin = self::folder("{outcome: done}");
    assert_eq!(quell(thin.path(), &[".", "--filter", "no such test"]).status.code(), Some(1));
    let output = quell(thin.path(), &[".", "--mutate"]);
    assert!(output.status.code() == Some(1) && out(&output).contains("survived: say:3 `kind` of `match` dropped"), "{}", out(&output));
}

#[test]
fn each_template_is_right_and_its_tests_notice_every_change_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_quell")).current_dir(folder.path()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}", out(&output));
    };
    for template in ["notify", "contain", "schedule", "manual"] {
        run(&["new", &format!("from-{template}"), "--template", template]);
    }
    run(&["check"]);
    run(&["test", "--min-coverage", "100"]);
    run(&["test", "--mutate"]);
}
