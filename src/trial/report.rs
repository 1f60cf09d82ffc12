//! What came of a suite, as machines read it.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{Coverage, Tally};

/// What came of a suite.
#[derive(Debug, Default)]
pub struct Report {
    /// Every test, file by file.
    pub tried: Vec<Tried>,
    /// For every playbook that has tests, in the order of the names.
    pub coverage: Vec<Coverage>,
}

/// What came of one test.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The file that it stands in.
    pub path: PathBuf,
    /// Its line in that file.
    pub line: u64,
    /// The playbook that was tried.
    pub playbook: String,
    /// The name of the test, with what varied.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// Everything that was not as expected; nothing when it passed.
    pub differences: Vec<String>,
}

impl Tried {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Report {
    /// How many tests failed.
    pub fn failed(&self) -> usize {
        self.tried.iter().filter(|tried| !tried.passed()).count()
    }

    /// One document for machines.
    pub fn to_json(&self) -> Value {
        let tests: Vec<Value> = self
            .tried
            .iter()
            .map(|it| {
                json!({
                    "playbook": it.playbook, "name": it.name, "path": it.path, "line": it.line, "passed": it.passed(),
                    "milliseconds": milliseconds(it.took), "differences": it.differences,
                })
            })
            .collect();
        let tally = |it: &Tally| json!({"touched": it.touched, "all": it.all, "missing": it.missing});
        let coverage: Vec<Value> = self
            .coverage
            .iter()
            .map(|it| json!({"playbook": it.playbook, "percent": it.percent(), "steps": tally(&it.steps), "branches": tally(&it.branches)}))
            .collect();
        json!({"passed": self.tried.len() - self.failed(), "failed": self.failed(), "tests": tests, "coverage": coverage})
    }

    /// The tests in the XML that build servers read, one suite for each playbook.
    pub fn to_junit(&self) -> String {
        let mut lines = vec!["<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned()];
        let took: Duration = self.tried.iter().map(|it| it.took).sum();
        let head = format!("tests=\"{}\" failures=\"{}\" time=\"{:.3}\"", self.tried.len(), self.failed(), took.as_secs_f64());
        lines.push(format!("<testsuites name=\"quell\" {head}>"));
        for file in self.tried.chunk_by(|left, right| left.path == right.path) {
            let failed = file.iter().filter(|it| !it.passed()).count();
            let name = file.first().map(|it| escaped(&it.playbook)).unwrap_or_default();
            lines.push(format!("  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\">", file.len()));
            for it in file {
                let (name, path) = (escaped(&it.name), escaped(&it.path.display().to_string()));
                let case = format!("classname=\"{}\" name=\"{name}\" file=\"{path}\" line=\"{}\"", escaped(&it.playbook), it.line);
                lines.push(format!("    <testcase {case} time=\"{:.3}\">", it.took.as_secs_f64()));
                if let Some(first) = it.differences.first() {
                    let message = escaped(first.lines().next().unwrap_or_default());
                    lines.push(format!("      <failure message=\"{message}\">{}</failure>", escaped(&it.differences.join("\n"))));
                }
                lines.push("    </testcase>".to_owned());
            }
            lines.push("  </testsuite>".to_owned());
        }
        lines.push("</testsuites>\n".to_owned());
        lines.join("\n")
    }
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// Text for XML, which has no place for most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            it if it.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            it => escaped.push(it),
        }
    }
    escaped
}
