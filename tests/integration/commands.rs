//! The command line from the outside: what people and scripts type, what they read, and the exit codes they rely on.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    process::{Output, Stdio},
    time::Duration,
};

use clap::CommandFactory;
use quell::{
    cli::Cli,
    store::{AlertFilter, Store},
};
use quell_simulator::Options;
use serde_json::{Value, json};

use crate::support::{lab::Lab, ports::free_port};

const LOG: &str = "playbook: note\nmode: enforce\ntrigger: {alert: {match: {kind: crypto_mining}}}\n\
                   steps: [{id: say, action: log, with: {message: 'seen ${alert.id}'}}]\n";

#[track_caller]
fn assert_ends(output: &Output, code: i32, expected: &[&str]) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    for text in expected {
        assert!(out.contains(text) || err.contains(text), "no `{text}` in\n{out}\n{err}");
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn fed(lab: &Lab, arguments: &[&str], input: &str) -> Output {
    let mut command = lab.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run quell");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("write to it");
    child.wait_with_output().expect("wait for quell")
}

async fn send_and_settle(lab: &Lab, lines: &str, alerts: usize) -> Store {
    assert_ends(&fed(lab, &["send", "--source", "siem"], lines), 0, &[]);
    let store = lab.store().await;
    lab.settled(&store, alerts, Duration::from_secs(30)).await;
    store
}

// ---- send ----

#[tokio::test]
async fn alerts_are_sent_from_files_folders_and_the_standard_input() {
    let lab = Lab::embedded().await;
    fs::create_dir(lab.path("alerts")).unwrap();
    fs::write(lab.path("one.json"), "{\n  \"kind\": \"crypto_mining\"\n}\n").unwrap();
    fs::write(lab.path("alerts/two.json"), r#"{"kind": "phishing"}"#).unwrap();
    fs::write(lab.path("alerts/more.jsonl"), "{\"kind\": \"a\"}\n\n{\"kind\": \"b\"}\n").unwrap();
    fs::write(lab.path("alerts/ignored.txt"), "no alert").unwrap();

    assert_ends(&lab.quell(&["send", "one.json", "alerts"]), 0, &["4 sent"]);
    assert_ends(&fed(&lab, &["send"], "{\"kind\": \"c\"}\n{\"kind\": \"d\"}"), 0, &["2 sent"]);
    assert_ends(&fed(&lab, &["send", "one.json", "-"], "{\"kind\": \"e\"}\n"), 0, &["2 sent"]);
    assert_eq!(lab.store().await.queue_depth().await.unwrap(), 8);
}

#[tokio::test]
async fn a_line_that_is_no_alert_is_named_and_the_others_are_sent() {
    let lab = Lab::embedded().await;
    let lines = "{\"kind\": \"a\"}\n{\"kind\": \"b\", \"severty\": \"high\"}\n[1]\n{\"kind\": \n{\"kind\": \"\", \"severity\": \"low\"}\n";
    fs::write(lab.path("alerts.jsonl"), lines).unwrap();
    let refused = lab.quell(&["send", "alerts.jsonl"]);
    let places =
        ["1 sent", "alerts.jsonl:2: unknown field `severty`", "alerts.jsonl:3: an alert is a JSON object", "alerts.jsonl:4: not JSON"];
    assert_ends(&refused, 1, &places);
    assert_ends(&refused, 1, &["alerts.jsonl:5: `kind` is empty"]);

    let output = lab.quell(&["send", "alerts.jsonl", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["sent"], report["refused"].as_array().unwrap().len()), (&json!(1), 4));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_wrong_usage_and_nothing_is_sent() {
    let lab = Lab::embedded().await;
    fs::write(lab.path("one.json"), r#"{"kind": "a"}"#).unwrap();
    assert_ends(&lab.quell(&["send", "one.json", "absent.json"]), 2, &["read `absent.json`", "No such file"]);
    assert_eq!(lab.store().await.queue_depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named_without_its_password() {
    let port = free_port();
    let lab = Lab::new(&format!("url: 'amqp://quell:hunter2-secret@127.0.0.1:{port}/%2f'"), Options::default()).await;
    let output = fed(&lab, &["send"], "{\"kind\": \"a\"}\n");
    assert_ends(&output, 3, &["error: ", &format!("connect to the broker at 127.0.0.1:{port}"), "refused"]);
    let said = format!("{output:?}");
    assert!(!said.contains("hunter2"), "{said}");
}

// ---- alerts and runs ----

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_listed_and_shown_by_number_by_id_and_by_part_of_an_id() {
    let lab = Lab::embedded().await;
    lab.playbook("note", LOG);
    let _quell = lab.run().await;
    let line = |id: &str, kind: &str| format!("{{\"id\": \"{id}\", \"kind\": \"{kind}\", \"title\": \"Mining on {id}\"}}\n");
    // So many that the newest are not all that a part matches.
    let lines: String = (1..=40).map(|at| line(&format!("incident-{at}"), if at == 40 { "phishing" } else { "crypto_mining" })).collect();
    send_and_settle(&lab, &lines, 40).await;

    let table = out(&lab.quell(&["alerts", "list", "--limit", "3"]));
    assert!(table.contains("Mining on incident-40") && !table.contains("incident-37") && table.contains("no_match"), "{table}");
    let rows = lab.json(&["alerts", "list", "--kind", "crypto_mining", "--find", "incident-1", "--limit", "5"]);
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["id"], &rows[0]["outcome"]), (5, &json!("incident-19"), &json!("matched")));
    assert_eq!(lab.json(&["alerts", "list", "--source", "nobody"]), json!([]));

    let first = lab.json(&["alerts", "show", "incident-1"]);
    assert_eq!(first["alert"]["number"], 1, "the whole id means that alert, whatever else contains it");
    assert_eq!(lab.json(&["alerts", "show", "1"])["alert"]["id"], "incident-1");
    assert_eq!((&first["event"]["data"]["kind"], &first["decisions"][0]["verdict"]), (&json!("crypto_mining"), &json!("run")));
    let page = out(&lab.quell(&["alerts", "show", "dent-40"]));
    assert!(page.contains("#40 incident-40") && page.contains("\"kind\": \"phishing\""), "{page}");
    assert_ends(&lab.quell(&["alerts", "show", "incident-3"]), 0, &["#3 incident-3"]);
    assert_ends(&lab.quell(&["alerts", "show", "cident-4"]), 1, &["`cident-4` fits several alerts", "40, 4"]);
    assert_ends(&lab.quell(&["alerts", "show", "7-nothing"]), 1, &["there is no alert `7-nothing`", "quell alerts list"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_and_shown_by_the_start_of_their_id() {
    let lab = Lab::embedded().await;
    lab.playbook("note", LOG);
    let _quell = lab.run().await;
    send_and_settle(&lab, "{\"id\": \"one\", \"kind\": \"crypto_mining\"}\n{\"id\": \"two\", \"kind\": \"crypto_mining\"}\n", 2).await;

    let runs = lab.json(&["runs", "list", "--state", "done", "--playbook", "note"]);
    assert_eq!(runs.as_array().unwrap().len(), 2);
    assert_eq!(lab.json(&["runs", "list", "--alert", "1"]).as_array().unwrap().len(), 1);
    assert_eq!(lab.json(&["runs", "list", "--state", "failed"]), json!([]));
    let id = runs[0]["id"].as_str().unwrap();
    assert_ends(&lab.quell(&["runs", "list"]), 0, &[id, "note", "done"]);
    assert_ends(&lab.quell(&["runs", "list", "--state", "finished"]), 2, &["states are ready, waiting, queued, done"]);
    assert_ends(&lab.quell(&["runs", "show", id]), 0, &["note (enforce)", "say", "succeeded"]);
    let shown = lab.json(&["runs", "show", &id[..id.len() - 2]]);
    assert_eq!((&shown["run"]["id"], &shown["steps"][0]["action"]), (&json!(id), &json!("log")));
    assert_ends(&lab.quell(&["runs", "show", "0"]), 1, &["several runs begin with `0`; give more of the id"]);
    assert_ends(&lab.quell(&["runs", "show", "nothing"]), 1, &["there is no run `nothing`", "quell runs list"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_in_shadow_are_listed_apart_with_what_they_would_have_done() {
    let lab = Lab::embedded().await;
    lab.playbook("note", LOG);
    lab.playbook("watch", &LOG.replace("playbook: note", "playbook: watch").replace("mode: enforce", "mode: shadow"));
    let _quell = lab.run().await;
    send_and_settle(&lab, "{\"id\": \"one\", \"kind\": \"crypto_mining\"}\n", 1).await;

    let names = |arguments: &[&str]| -> Vec<String> {
        let runs = lab.json(arguments);
        runs.as_array().unwrap().iter().map(|run| run["playbook"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["runs", "list"]).len(), 2);
    assert_eq!(names(&["runs", "list", "--shadow"]), ["watch"]);
    let id = lab.json(&["runs", "list", "--shadow"])[0]["id"].as_str().unwrap().to_owned();
    assert_ends(&lab.quell(&["runs", "show", &id]), 0, &["watch (shadow)", "shadowed", "seen one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_from_outside_cannot_take_over_the_terminal() {
    let lab = Lab::embedded().await;
    lab.playbook("note", LOG);
    let _quell = lab.run().await;
    let title = "\\u001b]0;owned\\u0007 \\u001b[2J \\u009b31m \\u202egnp.exe";
    let store = send_and_settle(&lab, &format!("{{\"id\": \"one\", \"kind\": \"crypto_mining\", \"title\": \"{title}\"}}\n"), 1).await;
    assert!(store.alerts(&AlertFilter::default()).await.unwrap()[0].title.contains("\u{1b}[2J"), "it is kept as it came");
    fed(&lab, &["send", "--raw"], "{\"\u{1b}[31m\u{9b}\": \u{202e}1}\n");
    lab.settled(&store, 1, Duration::from_secs(10)).await;
    while store.quarantine(true, 1).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let field = "{\"kind\": \"a\", \"\\u001b[31m\\u202e\": 1}";
    for (output, expected) in [
        (lab.quell(&["alerts", "list"]), "owned"),
        (lab.quell(&["alerts", "show", "1"]), "owned"),
        (lab.quell(&["quarantine", "list"]), "malformed"),
        (lab.quell(&["quarantine", "show", "1"]), "malformed"),
        (fed(&lab, &["send"], field), "unknown field"),
        (lab.quell(&["runs", "show", "\u{1b}[31m\u{202e}"]), "there is no run"),
    ] {
        let said = format!("{}{}", out(&output), String::from_utf8(output.stderr).unwrap());
        let dangerous = said.chars().find(|it| it.is_control() && *it != '\n' || *it == '\u{202e}');
        assert_eq!(dangerous, None, "{said:?}");
        assert!(said.contains(expected), "{said}");
    }
}

// ---- quarantine ----

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_message_is_mended_released_and_becomes_an_alert() {
    let lab = Lab::embedded().await;
    lab.playbook("note", LOG);
    let _quell = lab.run().await;
    let store = send_and_settle(&lab, "{\"id\": \"model\", \"kind\": \"phishing\"}\n", 1).await;
    let mut event: Value = serde_json::from_slice(&store.alerts(&AlertFilter::default()).await.unwrap()[0].event).unwrap();
    event["data"]["id"] = "mended".into();
    event["data"]["kind"] = "crypto_mining".into();
    let good = event.to_string();
    let broken = good.replace("\"severity\"", "\"severty\"");
    assert_ends(&fed(&lab, &["send", "--raw"], &format!("{broken}\nnothing like it\n")), 0, &["2 sent"]);
    while store.quarantine(true, 5).await.unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let list = lab.json(&["quarantine", "list"]);
    assert_eq!((list.as_array().unwrap().len(), &list[1]["reason"]), (2, &json!("malformed")));
    assert_ends(&lab.quell(&["quarantine", "list"]), 0, &["unknown field `severty`", "nothing like it"]);
    assert_ends(&lab.quell(&["quarantine", "show", "1"]), 0, &["malformed", "held", "\"severty\""]);
    assert_eq!(lab.json(&["quarantine", "show", "2"])["body"], "nothing like it");
    assert_ends(&lab.quell(&["quarantine", "show", "9"]), 1, &["there is no message #9", "quarantine list --all"]);

    assert_ends(&lab.quell(&["quarantine", "release", "1", "--mended", "absent.json"]), 2, &["read `absent.json`"]);
    fs::write(lab.path("mended.json"), &good).unwrap();
    assert_ends(&lab.quell(&["quarantine", "release", "1", "--mended", "mended.json"]), 0, &["message #1 is released"]);
    let (alerts, runs) = lab.settled(&store, 2, Duration::from_secs(30)).await;
    assert_eq!((alerts[0].id.as_str(), alerts[0].outcome.as_str(), runs.len()), ("mended", "matched", 1));
    assert_ends(&lab.quell(&["quarantine", "drop", "2"]), 0, &["message #2 is dropped"]);
    assert_ends(&lab.quell(&["quarantine", "drop", "2"]), 1, &["message #2 was dropped already"]);
    assert_ends(&lab.quell(&["quarantine", "release", "1"]), 1, &["message #1 was released already"]);
    assert_eq!(lab.json(&["quarantine", "list"]), json!([]));
    assert_eq!(lab.json(&["quarantine", "list", "--all"]).as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_released_as_it_came_is_malformed_once_more_and_not_lost() {
    let lab = Lab::embedded().await;
    let _quell = lab.run().await;
    let store = lab.store().await;
    assert_ends(&fed(&lab, &["send", "--raw"], "nothing like it\n"), 0, &[]);
    while store.quarantine(true, 5).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_ends(&lab.quell(&["quarantine", "release", "1"]), 0, &["message #1 is released"]);
    while store.quarantine(true, 5).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_ends(&lab.quell(&["quarantine", "show", "2"]), 0, &["nothing like it", "held"]);
}

// ---- check ----

#[tokio::test]
async fn a_check_shows_every_problem_with_its_place() {
    let lab = Lab::embedded().await;
    lab.playbook("note", LOG);
    assert_ends(&lab.quell(&["check"]), 0, &["nobody is told when a run waits", "1 playbook can be used; 0 errors, 1 warning"]);
    lab.change_settings("telemetry: {", "telemetry: {tell: [{to: ['slack:secops']}], ");
    assert_ends(&lab.quell(&["check"]), 0, &["1 playbook can be used; 0 errors, 0 warnings"]);

    lab.playbook("broken", "playbook: broken\nstesp: []\n");
    let text = lab.quell(&["check"]);
    assert_ends(&text, 1, &["broken.yaml:2:1", "stesp: []", "^^^^^", "help: ", "`steps`", "1 playbook can be used"]);
    let output = lab.quell(&["check", "--format", "json"]);
    assert_ends(&output, 1, &[]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = report["problems"].as_array().unwrap().iter().find(|it| it["line"] == 2).expect("the misspelt key");
    assert_eq!((&report["playbooks"], &problem["severity"], &problem["column"]), (&json!(["note"]), &json!("error"), &json!(1)));
    assert!(problem["path"].as_str().unwrap().ends_with("broken.yaml") && !problem["code"].as_str().unwrap().is_empty());
    assert_ends(&lab.quell(&["check", "nowhere"]), 2, &["`nowhere` is not a folder of playbooks"]);
}

#[tokio::test]
async fn a_check_of_broken_settings_says_where_and_is_json_on_request() {
    let lab = Lab::embedded().await;
    lab.playbook("note", LOG);
    lab.change_settings("bus: {url: embedded}", "bus: {urll: embedded}");
    assert_ends(&lab.quell(&["check"]), 1, &["quell.yaml:1:7: `bus.urll`: unknown field `urll`; did you mean `url`?"]);
    assert_ends(&lab.quell(&["check", "playbooks"]), 1, &["urll", "1 playbook can be used; 1 error"]);
    for arguments in [&["check", "--format", "json"][..], &["check", "--json"], &["check", "playbooks", "--json"]] {
        let output = lab.quell(arguments);
        assert_ends(&output, 1, &[]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let problem = &report["problems"][0];
        assert!(problem["message"].as_str().unwrap().contains("urll"), "{report}");
        assert_eq!((&problem["line"], &problem["column"]), (&json!(1), &json!(7)), "{report}");
    }
}

/// Settings of which each has its own fault.
const FAULTY: &str = r#"
bus: {url: 'redis://x', prefetch: 0}
store: {url: 'mysql://db'}
telemetry: {log: '=[nonsense'}
net: {allow: ['10.0.0.0/99']}
connections:
  broken: {type: microsoft, tenant_id: '../x', client_id: c, client_secret: s}
adapters:
  - {name: a, type: webhook, path: /elsewhere, auth: none}
  - {name: b, type: webhook, path: /hooks/b, auth: none, map: {id: 'body.'}}
  - {name: b, type: webhook, path: /hooks/c, auth: none}
channels:
  "pigeon:x": {}
  "slack:x": {url: nonsense}
"#;

#[tokio::test]
async fn a_check_finds_everything_that_a_run_would_refuse() {
    let lab = Lab::embedded().await;
    lab.playbook("note", LOG);
    fs::write(lab.path("quell.yaml"), FAULTY).unwrap();
    let faults = [
        "`bus.url`",
        "`bus.prefetch`",
        "`store.url`",
        "`telemetry.log`",
        "10.0.0.0/99",
        "connection `broken`: `tenant_id`",
        "adapter `a`: `path` must begin with `/hooks/`",
        "adapter `b`: `map.id`",
        "adapter `b`: `name` is taken",
        "channel `pigeon:x`",
        "channel `slack:x`",
    ];
    assert_ends(&lab.quell(&["check"]), 1, &faults);
    assert_ends(&lab.quell(&["check"]), 1, &[&format!("{} errors", faults.len())]);
    let report: Value = serde_json::from_slice(&lab.quell(&["check", "--json"]).stdout).expect("JSON");
    let errors = report["problems"].as_array().unwrap().iter().filter(|it| it["severity"] == "error");
    assert_eq!(errors.count(), faults.len(), "{report}");
    assert_ends(&lab.quell(&["run"]), 2, &["`telemetry.log`"]);
    assert_ends(&lab.quell(&["alerts", "list"]), 2, &["`store.url`"]);

    let good = |line: &&str| !["bus", "store", "telemetry"].iter().any(|section| line.starts_with(section));
    fs::write(lab.path("quell.yaml"), FAULTY.lines().filter(good).collect::<Vec<_>>().join("\n")).unwrap();
    assert_ends(&lab.quell(&["run"]), 2, &faults[4..]);
}

#[tokio::test]
async fn a_check_warns_of_channels_that_are_not_there() {
    let lab = Lab::embedded().await;
    lab.playbook(
        "tell",
        &LOG.replace("playbook: note", "playbook: tell").replace(
            "action: log, with: {message: 'seen ${alert.id}'}",
            "action: notify, with: {channels: ['log:default', 'slack:nobody', 'slack:${alert.kind}'], text: '${alert.id}'}",
        ),
    );
    let expected = ["P0026", "tell.yaml:4:", "there is no channel `slack:nobody`", "1 playbook can be used; 0 errors, 2 warnings"];
    assert_ends(&lab.quell(&["check"]), 0, &expected);
}

// ---- the rest ----

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_start_says_why_and_what_to_do() {
    let lab = Lab::embedded().await;
    let taken = TcpListener::bind(("127.0.0.1", lab.port)).unwrap();
    let output = lab.quell(&["run"]);
    assert_ends(&output, 3, &[&format!("listen on 127.0.0.1:{}", lab.port), "in use", "set `web.listen` to another"]);
    drop(taken);

    lab.change_settings("bus: {url: embedded}", "bus: {url: 'redis://x'}");
    assert_ends(&lab.quell(&["run"]), 2, &["`bus.url`", "amqp://"]);
    lab.change_settings("bus: {url: 'redis://x'}", "bus: {urll: embedded}");
    assert_ends(&lab.quell(&["run"]), 2, &["quell.yaml:1:7: `bus.urll`: unknown field `urll`"]);
    lab.change_settings("bus: {urll: embedded}", "bus: {url: embedded}");
    lab.change_settings("telemetry: {log: \"debug", "telemetry: {log: \"=[nonsense");
    assert_ends(&lab.quell(&["run"]), 2, &["`telemetry.log`"]);
}

#[tokio::test]
async fn the_exit_code_tells_scripts_what_happened() {
    let lab = Lab::embedded().await;
    fs::write(lab.path("no-alerts.jsonl"), "").unwrap();
    for (arguments, code) in [
        (&["--version"][..], 0),
        (&["alerts", "list"], 1),
        (&["send", "no-alerts.jsonl"], 0),
        (&["alerts", "list"], 0),
        (&["alerts", "show", "1"], 1),
        (&["runs", "show", "1"], 1),
        (&["quarantine", "drop", "1"], 1),
        (&["quarantine", "drop", "one"], 2),
        (&["nonsense"], 2),
        (&["alerts", "list", "--nonsense"], 2),
        (&["completions", "cobol"], 2),
        (&[], 2),
    ] {
        assert_eq!(lab.quell(arguments).status.code(), Some(code), "{arguments:?}");
    }
    lab.change_settings("sqlite:", "mysql:");
    assert_ends(&lab.quell(&["alerts", "list"]), 2, &["`store.url` is `mysql:…`"]);
    let absent = lab.command(&["alerts", "list"]).args(["--config", "absent.yaml"]).output().unwrap();
    assert_ends(&absent, 2, &["absent.yaml"]);
}

#[tokio::test]
async fn shells_can_complete_the_command_line() {
    let lab = Lab::embedded().await;
    for (shell, expected) in [("bash", "complete -F"), ("zsh", "#compdef quell"), ("fish", "complete -c quell")] {
        let output = lab.quell(&["completions", shell]);
        assert_ends(&output, 0, &[expected, "quarantine"]);
    }
}

#[tokio::test]
async fn every_command_and_argument_has_help() {
    let lab = Lab::embedded().await;
    let mut root = Cli::command();
    root.build();
    let mut waiting = vec![(Vec::new(), root)];
    while let Some((path, command)) = waiting.pop() {
        assert!(command.get_about().is_some(), "{path:?} is not explained");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "`{}` of {path:?} is not explained", argument.get_id());
        }
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            waiting.push(([path.clone(), vec![inner.get_name().to_owned()]].concat(), inner.clone()));
        }
        let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        assert_ends(&lab.quell(&arguments), 0, &["Usage: quell"]);
    }
    assert_ends(&lab.quell(&["--help"]), 0, &["Examples:", "Exit codes:"]);
    assert_ends(&lab.quell(&["send", "--help"]), 0, &["| quell send"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_journal_that_is_not_there_says_so_and_makes_none() {
    let lab = Lab::embedded().await;
    for arguments in [&["alerts", "list"][..], &["runs", "list"], &["quarantine", "list"]] {
        let looked = lab.quell(arguments);
        assert_eq!(looked.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&looked.stderr).contains("`quell run` makes it"), "{arguments:?}");
    }
    assert!(!lab.path("quell.db").exists());
}
