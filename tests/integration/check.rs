//! `quell check` from the outside: the forms in which it reports, the pages that it prints, and what it mends.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::lab::Lab;

/// Problems with an end on another line, with a fix, with letters of several bytes, and one that is only a warning.
const FILES: &[(&str, &str)] = &[
    ("slips.yaml", "playbook: slips # ü\ntrigger: {alert: {match: {sevrity: high, kind: x}}}\nownr: ü\nsteps: []\n"),
    (
        "ä warning.yaml",
        "playbook: tell\ntrigger: {alert: {match: {kind: x}}}\nsteps: [{id: s, action: notify, with: {channels: ['slack:x'], text: x}}]\n",
    ),
    ("tables/t.csv", "id,name\n1,a\n1,b\n"),
];

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join("playbooks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quell")).arg("check").args(arguments).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

// ---- json ----

#[test]
fn json_gives_each_problem_with_its_code_and_its_beginning_and_end() {
    let folder = folder(FILES);
    let report = document(&check(folder.path(), &["--format", "json"]));
    let found = report["problems"].as_array().unwrap().iter().find(|it| it["code"] == "P0002").unwrap();
    let expected = json!({
        "code": "P0002", "severity": "error", "message": "unknown key `ownr`", "help": "did you mean `owner`?", "fix": "owner",
        "path": "playbooks/slips.yaml", "line": 3, "column": 1, "end": {"line": 3, "column": 5},
    });
    assert_eq!(found, &expected);
    for problem in report["problems"].as_array().unwrap() {
        for key in ["code", "severity", "message", "help", "path", "line", "column", "end"] {
            assert!(problem.get(key).is_some(), "no `{key}` in {problem}");
        }
    }
}

// ---- sarif ----

/// What SARIF 2.1.0 asks of an object that must be there, by the names of its schema.
fn required<'v>(value: &'v Value, keys: &[&str]) -> &'v Value {
    for key in keys {
        assert!(value.get(*key).is_some_and(|it| !it.is_null()), "no `{key}` in {value}");
    }
    value
}

fn assert_region(region: &Value) {
    let number = |key: &str| region[key].as_u64().unwrap_or_else(|| panic!("no `{key}` in {region}"));
    assert!(number("startLine") >= 1 && number("startColumn") >= 1, "{region}");
    assert!((number("startLine"), number("startColumn")) <= (number("endLine"), number("endColumn")), "{region}");
}

#[test]
fn sarif_has_what_its_schema_requires() {
    let folder = folder(FILES);
    let output = check(folder.path(), &["--format", "sarif"]);
    assert_eq!(output.status.code(), Some(1));
    let log = document(&output);
    required(&log, &["$schema", "version", "runs"]);
    assert_eq!(log["version"], "2.1.0");
    let run = required(&log["runs"][0], &["tool", "results"]);
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let rules = required(&run["tool"]["driver"], &["name", "rules"])["rules"].as_array().unwrap();
    let ids: BTreeSet<&str> = rules.iter().map(|rule| required(rule, &["id", "help"])["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rules.len(), "a rule is there once");
    for rule in rules {
        for text in ["shortDescription", "fullDescription", "help"] {
            required(&rule[text], &["text"]);
        }
        assert!(["error", "warning"].contains(&rule["defaultConfiguration"]["level"].as_str().unwrap()), "{rule}");
    }
    let results = run["results"].as_array().unwrap();
    for result in results {
        required(&required(result, &["ruleId", "ruleIndex", "level", "message", "locations"])["message"], &["text"]);
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        let uri = required(&place["artifactLocation"], &["uri"])["uri"].as_str().unwrap();
        assert!(uri.starts_with("playbooks/") && uri.is_ascii() && !uri.contains(' '), "{uri}");
        assert_region(&place["region"]);
    }
    let codes: Vec<_> = results.iter().map(|it| (it["ruleId"].as_str().unwrap(), it["level"].as_str().unwrap())).collect();
    assert_eq!(codes, [("P0023", "error"), ("P0012", "error"), ("P0002", "error"), ("P0003", "error"), ("P0026", "warning")]);
    let fix = &results[2]["fixes"][0]["artifactChanges"][0];
    let replacement = required(&required(fix, &["artifactLocation", "replacements"])["replacements"][0], &["deletedRegion"]);
    assert_region(&replacement["deletedRegion"]);
    assert_eq!(replacement["insertedContent"]["text"], "owner");
}

#[test]
fn sarif_says_what_is_wrong_with_the_settings() {
    let folder = folder(&[]);
    fs::write(folder.path().join("quell.yaml"), "bus: {urll: embedded}\n").unwrap();
    let output = check(folder.path(), &["--format", "sarif"]);
    assert_eq!(output.status.code(), Some(1));
    let invocation = &document(&output)["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert!(invocation["toolConfigurationNotifications"][0]["message"]["text"].as_str().unwrap().contains("urll"), "{invocation}");
}

// ---- explain ----

#[test]
fn a_code_is_explained_by_its_page() {
    let folder = folder(&[]);
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/problems/P0007.md")).unwrap();
    for code in ["P0007", "p0007"] {
        let output = check(folder.path(), &["--explain", code]);
        assert_eq!((output.status.code(), out(&output)), (Some(0), page.clone()));
    }
    for (code, said) in [("P007", "there is no code `P007`; did you mean `P0007`?"), ("nonsense", "they are `P0001` to `")] {
        let output = check(folder.path(), &["--explain", code]);
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said), "{error}");
    }
}

// ---- fix ----

const SLIPS: &str = "# Written by hand.\nplaybook: hello\nownr: secops   # mode\ntrigger:\n  alert:\n    match:\n      kind: x\n      severity: {at_lest: medium}\n\
                     steps:\n  - id: say # ü\n    action: log\n    with: {message: 'x'}\n    on_error: contiune\n";

#[test]
fn what_is_certain_is_mended_and_said_and_nothing_else_changes() {
    let folder = folder(&[("hello.yaml", SLIPS)]);
    let before = check(folder.path(), &[]);
    assert!(
        before.status.code() == Some(1) && out(&before).ends_with("0 playbooks can be used; 3 errors, 0 warnings\n"),
        "{}",
        out(&before)
    );
    let output = check(folder.path(), &["--fix"]);
    let said = "mended: playbooks/hello.yaml:3:1: `ownr` is now `owner`\n\
                mended: playbooks/hello.yaml:8:18: `at_lest` is now `at_least`\n\
                mended: playbooks/hello.yaml:13:15: `contiune` is now `continue`\n\
                1 playbook can be used; 0 errors, 0 warnings\n";
    assert_eq!((output.status.code(), out(&output)), (Some(0), said.to_owned()));
    let mended = SLIPS.replace("ownr", "owner").replace("at_lest", "at_least").replace("contiune", "continue");
    assert_eq!(fs::read_to_string(folder.path().join("playbooks/hello.yaml")).unwrap(), mended);
    let again = document(&check(folder.path(), &["--fix", "--format", "json"]));
    assert_eq!((&again["mended"], &again["problems"]), (&json!([]), &json!([])));
}

#[test]
fn a_link_stays_a_link_and_what_it_leads_to_is_mended() {
    let folder = folder(&[("_hello.yaml", SLIPS)]);
    let link = folder.path().join("playbooks/hello.yaml");
    std::os::unix::fs::symlink("_hello.yaml", &link).unwrap();
    assert_eq!(check(folder.path(), &["--fix"]).status.code(), Some(0));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(folder.path().join("playbooks/_hello.yaml")).unwrap().contains("owner: secops   # mode"));
}

// ---- with the settings ----

#[test]
fn a_table_that_an_adapter_reads_is_used() {
    let unused = |map: &str| {
        let playbook = "playbook: p\ntrigger: {alert: {match: {kind: x}}}\nsteps: [{id: s, action: log, with: {message: x}}]\n";
        let table = "id,name\n1,ann\n";
        let lib = "fn name_in(table, id) { lookup(table, id)?.name ?? \"\" }\n";
        let files = [("p.yaml", playbook), ("lib/x.rhai", lib), ("tables/people.csv", table), ("tables/other.csv", table)];
        let folder = folder(&files);
        let settings = format!("adapters:\n  - {{name: siem, type: webhook, path: /hooks/siem, auth: none, map: {map}}}\n");
        fs::write(folder.path().join("quell.yaml"), settings).unwrap();
        let report = document(&check(folder.path(), &["--format", "json"]));
        let found = report["problems"].as_array().unwrap().iter().filter(|it| it["code"] == "P0034");
        found.map(|it| it["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let other = "playbooks/tables/other.csv";
    assert_eq!(unused("{kind: body.k}"), [other, "playbooks/tables/people.csv"]);
    assert_eq!(unused("{kind: body.k, customer_name: 'lookup(\"people\", body.id)?.name'}"), [other]);
    assert_eq!(unused("{kind: body.k, details: {name: 'name_in(\"people\", body.id)'}}"), [other]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_its_connection_can_never_take_is_warned_of_until_the_settings_allow_it() {
    let lab = Lab::embedded().await;
    let disks = "{id: disks, action: azure.unattached_disks, with: {customer_tenant_id: \"${alert.customer_tenant_id}\", subscription_id: \"${alert.subscription_id}\"CONNECTION}}";
    let write = |connection: &str| {
        let step = disks.replace("CONNECTION", connection);
        lab.playbook("disks", &format!("playbook: disks\ntrigger: {{alert: {{match: {{kind: crypto_mining}}}}}}\nsteps:\n  - {step}\n"));
    };
    let codes = || {
        let problems = lab.json(&["check"])["problems"].as_array().unwrap().clone();
        problems.iter().filter_map(|it| it["code"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    for connection in ["", ", connection: contoso"] {
        write(connection);
        assert_eq!(codes(), ["P0039"], "{connection}");
    }
    lab.change_settings("    login_url:", "    customer_access: person\n    login_url:");
    assert_eq!(codes(), Vec::<String>::new());
}
