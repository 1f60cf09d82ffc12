//! A `*.test.yaml` as it is written. Whatever is unknown or of the wrong type is refused with its place: a misspelt expectation expects
//! nothing, and such a test would pass for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_yaml::{Error, Spanned};

use crate::{
    approval::Choice,
    duration::Span,
    engine::Guardrails,
    playbook::TEST_FILE,
    problem::{Place, Problem, did_you_mean},
    run::{Mode, StepState},
};

/// The tests of one playbook.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tests {
    /// Without it, the name of the file is that of the playbook.
    #[serde(default)]
    pub(super) playbook: Option<String>,
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(rename = "tests")]
    #[schemars(with = "Vec<Test>")]
    pub(super) all: Vec<Spanned<Test>>,
}

/// What the tests of a file have in common.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Defaults {
    pub(super) alert: Map<String, Value>,
    pub(super) mocks: BTreeMap<String, OneOrMany<Mock>>,
    pub(super) lookups: Lookups,
    /// What secrets stand for, by name; one that is left out stands for something made up.
    pub(super) secrets: BTreeMap<String, String>,
    #[schemars(with = "Map<String, Value>")]
    pub(super) guardrails: Option<Guardrails>,
    pub(super) mode: Option<Mode>,
}

/// Rows of lookup tables: by table, key and column.
pub(super) type Lookups = BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    /// What is shown of the test: a sentence about behaviour.
    pub(super) name: String,
    /// The fields in which its alert differs from the defaults.
    #[serde(default)]
    pub(super) alert: Option<Map<String, Value>>,
    /// Several alerts in place of one.
    #[serde(default)]
    pub(super) alerts: Vec<Coming>,
    /// Begins a run of a `manual` playbook with these.
    #[serde(default)]
    pub(super) inputs: Option<Map<String, Value>>,
    /// When the test begins; alone, it begins a run of a schedule.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) at: Option<Timestamp>,
    /// The same again.
    #[serde(default)]
    pub(super) repeat: Option<Repeat>,
    /// Values by field: the test once for each combination.
    #[serde(default)]
    pub(super) vary: BTreeMap<String, Vec<Value>>,
    #[serde(default)]
    pub(super) lookups: Lookups,
    /// What secrets stand for, by name, over the defaults.
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) mocks: BTreeMap<String, OneOrMany<Mock>>,
    /// What people answer, by step.
    #[serde(default)]
    pub(super) approvals: BTreeMap<String, Answer>,
    /// What an operator has undone, by step: how long after it was done, and when its run has ended.
    #[serde(default)]
    pub(super) rollback: BTreeMap<String, Span>,
    /// What an operator lets stay that would be undone by itself, by step: how long after it was done.
    #[serde(default)]
    pub(super) keep: BTreeMap<String, Span>,
    /// When the program dies.
    #[serde(default)]
    pub(super) crash: Option<Crash>,
    /// For how long time runs on; until nothing is left to do, if left out.
    #[serde(default)]
    pub(super) advance: Option<Span>,
    #[serde(default)]
    pub(super) mode: Option<Mode>,
    #[serde(default)]
    #[schemars(with = "Map<String, Value>")]
    pub(super) guardrails: Option<Guardrails>,
    /// What must come of it.
    pub(super) expect: Expect,
}

/// One of several alerts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Coming {
    /// How long after the start of the test.
    #[serde(default)]
    pub(super) after: Span,
    #[serde(default)]
    pub(super) alert: Map<String, Value>,
    /// Whether it is a later state of the alert before it.
    #[serde(default)]
    pub(super) revision: bool,
}

/// The same again, as other alerts.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeat {
    pub(super) times: u32,
    #[serde(default)]
    pub(super) every: Span,
}

/// What one call of an action comes to.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Mock {
    pub(super) output: Option<Value>,
    pub(super) error: Option<Fault>,
    pub(super) message: Option<String>,
    /// Whether the call had its effect; it has one unless it fails.
    pub(super) applied: Option<bool>,
    /// How long the answer takes. An answer after the step's time limit comes too late.
    pub(super) delay: Span,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    Unknown,
    Rejected,
    NotDone,
    Conflict,
}

/// What people answer an approval.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) decision: Decision,
    pub(super) after: Span,
    pub(super) by: String,
    pub(super) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Decision {
    Approved,
    Rejected,
}

/// When the program dies.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Crash {
    /// At the first call of that step, before it reaches the other side.
    BeforeCall(String),
    /// At the first call of that step, after it had its effect.
    AfterCall(String),
}

/// What must come of it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) outcome: Option<OneOrMany<Outcome>>,
    pub(super) reason: Option<String>,
    pub(super) runs: Option<usize>,
    pub(super) calls: Option<Vec<Call>>,
    pub(super) never_calls: Vec<String>,
    pub(super) steps: BTreeMap<String, Ended>,
    pub(super) outputs: BTreeMap<String, Value>,
    pub(super) notifications: Option<Vec<Notification>>,
    pub(super) guardrails: Option<BTreeSet<String>>,
    pub(super) explanation: Option<String>,
}

/// How an alert or its run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    NoMatch,
    Held,
    Error,
    Ready,
    Waiting,
    Queued,
    Done,
    NoAction,
    Failed,
    Rejected,
    Expired,
    Indeterminate,
    Cancelled,
}

/// Where a step stands at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Ended {
    Never(NotTaken),
    So(StepState),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum NotTaken {
    NotTaken,
}

/// One call, or several of a kind.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Call {
    pub(super) step: Option<String>,
    pub(super) action: Option<String>,
    /// Parameters that the call must have among others.
    pub(super) with: Option<Value>,
    pub(super) times: Option<usize>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Notification {
    pub(super) channel: String,
    /// Part of the message or its title.
    #[serde(default)]
    pub(super) text: String,
}

/// One, or a list of them.
#[derive(Debug, Clone)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl Tests {
    /// Reads a file.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Box<Problem>> {
        let options = serde_yaml::options! { strict_booleans: true, leading_zero_numbers_as_strings: true, with_snippet: false };
        let tests: Self = serde_yaml::from_str_with_options(text, options).map_err(|error| Box::new(problem(path, text, &error)))?;
        let idle = tests.all.iter().find(|it| it.value.expect.is_empty());
        match idle {
            Some(idle) => Err(Box::new(at(path, text, &idle.referenced, format!("the test `{}` expects nothing", idle.value.name)))),
            None => Ok(tests),
        }
    }

    /// The playbook that is tested.
    pub(super) fn subject(&self, path: &Path) -> String {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.playbook.clone().unwrap_or_else(|| file.split(".test.").next().unwrap_or(file).to_owned())
    }
}

impl Expect {
    fn is_empty(&self) -> bool {
        let is_silent = self.outcome.is_none() && self.reason.is_none() && self.runs.is_none() && self.calls.is_none();
        let asks_nothing = self.never_calls.is_empty() && self.steps.is_empty() && self.outputs.is_empty();
        is_silent && asks_nothing && self.notifications.is_none() && self.guardrails.is_none() && self.explanation.is_none()
    }
}

impl Fault {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Rejected => "rejected",
            Self::NotDone => "not done",
            Self::Conflict => "conflict",
        }
    }
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoMatch => "no_match",
            Self::Held => "held",
            Self::Error => "error",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Done => "done",
            Self::NoAction => "no_action",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Indeterminate => "indeterminate",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Answer {
    /// What they say.
    pub(super) fn choice(&self) -> Choice {
        match self.decision {
            Decision::Approved => Choice::Approve,
            Decision::Rejected => Choice::Reject,
        }
    }
}

/// What is wrong with a file, as people read it.
fn problem(path: &Path, text: &str, error: &Error) -> Problem {
    let (message, help) = match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => {
            let help = did_you_mean(field, expected.iter().copied());
            (format!("unknown key `{field}`"), help.unwrap_or_else(|| format!("there are `{}`", expected.join("`, `"))))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let help = did_you_mean(variant, expected.iter().copied());
            (format!("`{variant}` is not known here"), help.unwrap_or_else(|| format!("there are `{}`", expected.join("`, `"))))
        }
        other => (other.to_string().lines().next().unwrap_or_default().to_owned(), String::new()),
    };
    let place = error.location().map_or_else(|| Place::file(path), |location| place(path, text, &location));
    let problem = Problem::error(TEST_FILE, message, place);
    if help.is_empty() { problem } else { problem.help(help) }
}

/// A problem at a place of the file.
pub(super) fn at(path: &Path, text: &str, location: &serde_yaml::Location, message: String) -> Problem {
    Problem::error(TEST_FILE, message, place(path, text, location))
}

fn place(path: &Path, text: &str, location: &serde_yaml::Location) -> Place {
    let before = |count: u64| usize::try_from(count.saturating_sub(1)).unwrap_or_default();
    let line: usize = text.split_inclusive('\n').take(before(location.line())).map(str::len).sum();
    let column: usize = text.get(line..).unwrap_or_default().chars().take(before(location.column())).map(char::len_utf8).sum();
    Place::in_text(path, text, line + column..line + column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Tests::parse(Path::new("p.test.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_misspelt_is_refused_with_its_place_and_what_was_meant() {
        for (text, place, why) in [
            ("tests:\n  - name: a\n    expect: {outcom: done}\n", "p.test.yaml:3:", "did you mean `outcome`?"),
            ("tests:\n  - name: a\n    allert: {}\n    expect: {outcome: done}\n", "p.test.yaml:3:", "did you mean `alert`?"),
            ("tests:\n  - name: a\n    mocks:\n      s:\n        outptu: {}\n    expect: {outcome: done}\n", "p.test.yaml:5", "`output`"),
            ("tests:\n  - name: a\n    mocks: {s: [{error: unknwon}]}\n    expect: {outcome: done}\n", "p.test.yaml:3", "`unknown`"),
            ("tests:\n  - name: a\n    approvals: {ask: approvd}\n    expect: {outcome: done}\n", "p.test.yaml:3", "`approved`"),
            ("tests:\n  - name: a\n    crash: {after: s}\n    expect: {outcome: done}\n", "p.test.yaml:3", "after_call"),
            ("tests:\n  - name: a\n    expect: {outcome: fine}\n", "p.test.yaml:3", "`done`"),
            ("tests:\n  - name: a\n    expect: {steps: {s: succeded}}\n", "p.test.yaml:3", ""),
            ("tests:\n  - name: a\n    expect: {}\n", "p.test.yaml:2", "expects nothing"),
            ("test: []\n", "p.test.yaml:1", "`tests`"),
        ] {
            let shown = refused(text);
            assert!(shown.contains(place) && shown.contains(why), "{text}\n{shown}");
        }
    }

    #[test]
    fn one_may_stand_for_a_list_of_one() {
        let text = "tests:\n  - name: a\n    mocks: {s: {error: unknown, applied: true}, t: [{delay: 40s}, {output: {x: 1}}]}\n    \
                    approvals: {ask: approved, other: {decision: rejected, after: 10m, by: ann}}\n    expect: {outcome: [done, failed]}\n";
        let read = Tests::parse(Path::new("contain.test.yaml"), text).unwrap();
        let it = &read.all[0].value;
        assert_eq!((it.mocks["s"].0.len(), it.mocks["t"].0.len(), it.expect.outcome.as_ref().unwrap().0.len()), (1, 2, 2));
        assert_eq!((it.approvals["other"].choice(), it.approvals["other"].by.as_str()), (Choice::Reject, "ann"));
        assert_eq!(read.subject(Path::new("x/contain.test.yaml")), "contain");
    }
}
