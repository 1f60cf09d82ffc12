//! A report for scripts: one document with all problems, their places and what would mend them.

use serde_json::{Value, json};

use super::{Report, output};
use crate::{config::Fault, problem::Problem};

pub(super) fn print(report: &Report) {
    let of_settings = report.faults.iter().map(outside);
    let of_advice = report.advice.iter().map(|advice| json!({"severity": "warning", "message": advice}));
    let of_files = report.library.problems.iter().map(|problem| describe(problem, report.source(&problem.place.path)));
    let problems: Vec<Value> = of_settings.chain(of_advice).chain(of_files).collect();
    let names: Vec<_> = report.library.playbooks.iter().map(|playbook| &playbook.name).collect();
    let mended: Vec<Value> = report
        .mended
        .iter()
        .map(|it| json!({"path": it.place.path, "line": it.place.line, "column": it.place.column, "was": it.was, "now": it.now}))
        .collect();
    output::print_json(&json!({"playbooks": names, "problems": problems, "mended": mended}));
}

/// What has no code and no excerpt; its place is null where nobody knows it.
fn outside(fault: &Fault) -> Value {
    let path = fault.place.as_ref().map(|place| &place.path);
    let place = fault.place.as_ref().filter(|place| place.line > 0);
    json!({
        "severity": "error", "message": fault.message,
        "path": path, "line": place.map(|it| it.line), "column": place.map(|it| it.column),
    })
}

/// Lines and columns count from 1, columns in characters, and the end is behind the last one.
fn describe(problem: &Problem, source: &str) -> Value {
    let (line, column) = problem.place.end(source);
    json!({
        "code": problem.code, "severity": problem.severity, "message": problem.message, "help": problem.help,
        "path": problem.place.path, "line": problem.place.line, "column": problem.place.column,
        "end": if problem.place.line == 0 { Value::Null } else { json!({"line": line, "column": column}) },
        "fix": problem.fix.as_ref().map(|fix| &fix.text),
    })
}
