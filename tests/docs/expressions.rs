//! `docs/rhai.md` is true: its tables are the program's own, and every example in it gives what it says.
//!
//! In its `rhai` blocks, a comment `// gives VALUE` or `// fails: PART` says what the lines before it do. A block that begins with `fn` or a
//! comment is a file of `lib`, for the blocks below it.

use quell::{
    alert::Alert,
    expression::{FUNCTIONS, Function, RHAI_FUNCTIONS, Sandbox, Scope, Table, Tables, limits},
};
use serde_json::{Value, json};

use crate::{
    markdown::{blocks, table},
    text,
};

const NAMES: &[&str] = &["alert", "vars", "steps", "run"];

#[test]
fn the_functions_are_those_of_the_catalog() {
    let page = text("docs/rhai.md");
    for (heading, functions) in [("function", FUNCTIONS), ("rhai's own", RHAI_FUNCTIONS)] {
        let rows = functions.iter().map(|it| [it.signature, it.meaning, it.example, it.value].map(|cell| cell.replace('`', "")).to_vec());
        let found = table(&page, &[heading, "gives", "example", "result"]);
        assert!(found == rows.collect::<Vec<_>>(), "the table of `docs/rhai.md` must be\n{}", shown(heading, functions));
    }
}

#[test]
fn every_example_gives_its_result() {
    let sandbox = sandbox();
    for Function { example, value, .. } in FUNCTIONS.iter().chain(RHAI_FUNCTIONS) {
        let result = sandbox.script(example, NAMES).and_then(|it| it.value(&mut scope()));
        assert_eq!(result, Ok(serde_json::from_str(value).unwrap()), "{example}");
    }
}

#[test]
fn the_limits_are_those_of_the_program() {
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let mib = |bytes: usize| format!("{} MiB", bytes / 1024 / 1024);
    let rows = [
        ("an expression", kib(limits::LONGEST_EXPRESSION)),
        ("a script, a file of `lib`", kib(limits::LONGEST_SCRIPT)),
        ("operations", limits::MOST_OPERATIONS.to_string()),
        ("time", format!("{} ms", limits::LONGEST_TIME.as_millis())),
        ("a text", mib(limits::LONGEST_TEXT)),
        ("items in a list or map, with those of the lists and maps in it", limits::MOST_ITEMS.to_string()),
        ("lists and maps in each other", limits::DEEPEST_VALUE.to_string()),
        ("variables", limits::MOST_VARIABLES.to_string()),
        ("all variables together", mib(limits::MOST_MEMORY)),
        ("functions that call each other", limits::MOST_CALLS.to_string()),
        ("functions in one file of `lib`", limits::MOST_FUNCTIONS.to_string()),
    ];
    let rows: Vec<_> = rows.iter().map(|(what, most)| vec![what.replace('`', ""), most.clone()]).collect();
    assert_eq!(table(&text("docs/rhai.md"), &["limit", "at most"]), rows);
}

#[test]
fn every_block_does_what_it_says() {
    let mut sandbox = sandbox();
    let mut checked = 0;
    for block in blocks(&text("docs/rhai.md")).into_iter().filter(|it| it.language == "rhai") {
        if block.text.starts_with("fn ") || block.text.starts_with("//") {
            sandbox = sandbox.with_functions(&block.text).unwrap();
            continue;
        }
        let mut script = String::new();
        for line in block.text.lines() {
            let (code, comment) = line.split_once("// ").unwrap_or((line, ""));
            script.push_str(code.trim_end());
            script.push('\n');
            let promise = comment.strip_prefix("gives ").map(Ok).or_else(|| comment.strip_prefix("fails: ").map(Err));
            if let Some(promise) = promise {
                check(&sandbox, &std::mem::take(&mut script), promise);
                checked += 1;
            }
        }
        assert_eq!(script.trim(), "", "nothing is said about these lines");
    }
    assert!(checked > 20, "the page is not written as this test reads it");
}

fn check(sandbox: &Sandbox, script: &str, promise: Result<&str, &str>) {
    let result = sandbox.script(script, NAMES).and_then(|it| it.value(&mut scope()));
    match promise {
        Ok(value) => assert_eq!(result, Ok(serde_json::from_str::<Value>(value).unwrap()), "{script}"),
        Err(part) => {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(part), "{script}\n{error}");
        }
    }
}

fn sandbox() -> Sandbox {
    let mut customers = Table::default();
    customers.insert("t-1", [("tier", "gold")]);
    let mut tables = Tables::default();
    tables.insert("customers", customers);
    Sandbox::with_tables(tables)
}

fn scope() -> Scope {
    let mut scope = Scope::new("2026-03-02T04:11:09Z".parse().unwrap());
    let alert = json!({
        "id": "a-1", "source": "graph", "kind": "crypto_mining", "severity": "high", "confidence": "high", "title": "Coins are mined", "customer_tenant_id": "t-1",
        "subscription_id": "s-1", "detected_at": "2026-03-02T04:11:09Z", "received_at": "2026-03-02T04:12:00Z", "resources": ["vm-1", "vm-2", "vm-1"],
        "details": {"estimated_cost": 250.5, "order": 18_446_744_073_709_551_615_u64, "module": "compute"},
    });
    // Only what an alert has, so that the page names no field that there is not.
    let alert: Alert = serde_json::from_value(alert).unwrap();
    scope.set("alert", &serde_json::to_value(alert).unwrap());
    scope.set("vars", &json!({"most_cost": 200.0}));
    scope.set("steps", &json!({"look": {"output": {"vms": [{"id": "vm-1", "cores": 4}, {"id": "vm-2", "cores": 8}]}, "status": "succeeded", "error": null}}));
    scope.set("run", &json!({"id": "r-1", "playbook": "contain-mining"}));
    scope
}

/// The table as it must stand on the page.
fn shown(heading: &str, functions: &[Function]) -> String {
    let rows = functions.iter().map(|it| format!("| `{}` | {} | `{}` | `{}` |\n", it.signature, it.meaning, it.example, it.value));
    format!("| {heading} | gives | example | result |\n| --- | --- | --- | --- |\n{}", rows.collect::<String>())
}
