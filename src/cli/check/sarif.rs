//! A report as SARIF 2.1.0, which code hosts show beside the lines of a change.

use std::path::Path;

use serde_json::{Value, json};

use super::{Report, output};
use crate::{
    playbook::{CODES, Code},
    problem::{Fix, Place, Problem, Severity},
};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn print(report: &Report) {
    output::print_json(&document(report));
}

fn document(report: &Report) -> Value {
    let results: Vec<Value> = report.library.problems.iter().map(|it| result(it, report.source(&it.place.path))).collect();
    // What is wrong with the settings is no result about a file: the tool could not be set up as it should.
    let faults = report.faults.iter().map(|it| json!({"level": "error", "message": {"text": it.to_string()}}));
    let advice = report.advice.iter().map(|it| json!({"level": "warning", "message": {"text": it}}));
    let notifications: Vec<Value> = faults.chain(advice).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "quell",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": CODES.iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{"executionSuccessful": report.faults.is_empty(), "toolConfigurationNotifications": notifications}],
            "results": results,
        }],
    })
}

fn rule(code: &Code) -> Value {
    let (is_warning, meaning) = match code.meaning.strip_prefix("warning: ") {
        Some(meaning) => (true, meaning),
        None => (false, code.meaning),
    };
    let rule = json!({
        "id": code.id,
        "shortDescription": {"text": meaning},
        "fullDescription": {"text": first_paragraph(code.page)},
        "defaultConfiguration": {"level": if is_warning { "warning" } else { "error" }},
        "help": {"text": code.page, "markdown": code.page},
    });
    // A relative address is not valid here; where the source has no public home, `help` has to do.
    with(rule, "helpUri", code.address().map(Value::from))
}

/// An object with one property more, if it has a value: SARIF knows no null.
fn with(mut object: Value, name: &str, value: Option<Value>) -> Value {
    if let (Some(properties), Some(value)) = (object.as_object_mut(), value) {
        properties.insert(name.to_owned(), value);
    }
    object
}

fn first_paragraph(page: &str) -> String {
    let lines = page.lines().skip_while(|line| line.is_empty() || line.starts_with('#'));
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn result(problem: &Problem, source: &str) -> Value {
    let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    let result = json!({
        "ruleId": problem.code,
        "level": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "message": {"text": format!("{}{help}", problem.message)},
        "locations": [{"physicalLocation": location(&problem.place, source)}],
    });
    let result = with(result, "ruleIndex", CODES.iter().position(|code| code.id == problem.code).map(Value::from));
    with(result, "fixes", problem.fix.as_ref().map(|fix| json!([change(fix, &problem.place.path, source)])))
}

fn location(place: &Place, source: &str) -> Value {
    let location = json!({"artifactLocation": {"uri": uri(&place.path)}});
    with(location, "region", (place.line > 0).then(|| region(place, source)))
}

fn region(place: &Place, source: &str) -> Value {
    let (line, column) = place.end(source);
    json!({"startLine": place.line, "startColumn": place.column, "endLine": line, "endColumn": column})
}

fn change(fix: &Fix, path: &Path, source: &str) -> Value {
    let place = Place::in_text(path, source, fix.span.clone());
    json!({
        "description": {"text": format!("write `{}`", fix.text)},
        "artifactChanges": [{
            "artifactLocation": {"uri": uri(path)},
            "replacements": [{"deletedRegion": region(&place, source), "insertedContent": {"text": fix.text}}],
        }],
    })
}

/// The path as a URI reference: relative as the path is, with what a URI cannot hold escaped.
fn uri(path: &Path) -> String {
    const PLAIN: &[u8] = b"-._~/";
    let escape = |byte: &u8| {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }
    };
    let text: String = path.as_os_str().as_encoded_bytes().iter().map(escape).collect();
    if path.is_absolute() { format!("file://{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(uri(Path::new("playbooks/a b%ü.yaml")), "playbooks/a%20b%25%C3%BC.yaml");
        assert_eq!(uri(Path::new("/etc/quell/a.yaml")), "file:///etc/quell/a.yaml");
    }

    #[test]
    fn every_rule_is_described() {
        for code in CODES {
            let rule = rule(code);
            for text in ["/shortDescription/text", "/fullDescription/text", "/help/markdown"] {
                assert!(rule.pointer(text).and_then(Value::as_str).is_some_and(|it| !it.is_empty()), "{rule}");
            }
        }
    }
}
