//! The steps of a playbook: what each does, when, and what follows when it does not succeed.

use std::time::Duration;

use serde_json::Value;

use super::{
    arguments::Arguments,
    codes,
    node::{Kind, Node},
    reader::{Fields, Reader, did_you_mean, listed},
    schema, secrets,
    visible::Visible,
};
use crate::{
    actions::{self, Entry},
    expression::{Expression, ExpressionError, Scope, Template},
    retry::{Backoff, RetryPolicy},
};

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name, by which later steps read its outcome.
    pub id: String,
    /// It is skipped where this is false.
    pub condition: Option<Expression>,
    /// What it does.
    pub body: Body,
    /// How often it is tried.
    pub retry: RetryPolicy,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// What follows when it fails for good.
    pub on_error: OnError,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Body {
    /// Performs an action.
    Action {
        /// The action.
        entry: &'static Entry,
        /// Its parameters.
        with: Arguments,
    },
    /// Ends the run.
    Stop {
        /// As what it ends.
        outcome: StopOutcome,
        /// Why, for people.
        reason: Template,
    },
}

/// As what a `stop` ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// Everything that was to be done was done.
    Done,
    /// Nothing needed to be done.
    NoAction,
    /// It could not be done.
    Failed,
}

/// What follows when a step fails for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The run fails, and the steps under the playbook's `on_error` are taken.
    Fail,
    /// The run goes on.
    Continue,
}

/// What a step is to do now.
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// Nothing: its condition is false.
    Skip,
    /// Perform its action with these parameters.
    Act(Value),
    /// End the run.
    Stop {
        /// As what it ends.
        outcome: StopOutcome,
        /// Why, for people.
        reason: String,
    },
}

/// As long as a slow answer of Microsoft takes, and short enough to try again within the minute.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An attempt that takes longer blocks its run more than it helps.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(10);

/// What waits longer than this should wait for a person.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// More attempts than this are an outage, not a hiccup.
const MOST_ATTEMPTS: u32 = 20;

const KEYS: &[&str] = &[
    "id",
    "if",
    "action",
    "with",
    "stop",
    "timeout",
    "retry",
    "on_error",
    "approval",
    "switch",
    "foreach",
    "as",
    "max_parallel",
    "parallel",
    "join",
    "script",
    "wait",
    "playbook",
    "inputs",
    "rollback",
];

const NOT_YET: &[&str] =
    &["approval", "switch", "foreach", "as", "max_parallel", "parallel", "join", "script", "wait", "playbook", "inputs", "rollback"];

impl Step {
    /// What the step is to do, given what is known.
    ///
    /// # Errors
    /// When its condition or one of its expressions fails; the step then fails without having done anything.
    pub fn plan(&self, scope: &mut Scope) -> Result<Planned, ExpressionError> {
        if let Some(condition) = &self.condition {
            let told = |error: ExpressionError| ExpressionError { message: format!("`if`: {error}"), ..error };
            if !condition.boolean(scope).map_err(told)? {
                return Ok(Planned::Skip);
            }
        }
        match &self.body {
            Body::Action { with, .. } => with.render(scope).map(Planned::Act),
            Body::Stop { outcome, reason } => Ok(Planned::Stop { outcome: *outcome, reason: reason.render_text(scope)? }),
        }
    }

    /// The step's id, if it has a good one, so that others can be checked before this is read.
    pub(super) fn id_of(node: &Node) -> Option<String> {
        let Kind::Map(entries) = &node.kind else { return None };
        let (_, id) = entries.iter().find(|(key, _)| key.name == "id")?;
        if let Kind::Text(id) = &id.kind { Some(id.clone()) } else { None }
    }

    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, visible: &Visible<'_>) -> Option<Self> {
        let fields = reader.fields(node, "a step", KEYS)?;
        let id = fields.require(reader, "id", "the step").and_then(|it| read_id(reader, it));
        let condition = fields.get("if").and_then(|it| reader.condition(it, "`if`", visible));
        let timeout = fields.get("timeout").and_then(|it| reader.duration(it, "`timeout`", LONGEST_TIMEOUT)).unwrap_or(TIMEOUT);
        let retry = fields.get("retry").and_then(|it| read_retry(reader, it)).unwrap_or_default();
        let words = [("fail", OnError::Fail), ("continue", OnError::Continue)];
        let on_error = fields.get("on_error").and_then(|it| reader.word(it, "`on_error` of a step", &words)).unwrap_or(OnError::Fail);
        if fields.report_unsupported(reader, NOT_YET) {
            return None;
        }
        let body = Body::read(reader, &fields, visible);
        Some(Self { id: id?, condition, body: body?, retry, timeout, on_error })
    }
}

impl Body {
    fn read(reader: &mut Reader<'_>, fields: &Fields<'_>, visible: &Visible<'_>) -> Option<Self> {
        match (fields.get("action"), fields.get("stop")) {
            (Some(action), None) => Self::read_action(reader, fields, action, visible),
            (None, Some(stop)) => {
                for name in ["with", "retry", "timeout", "on_error"] {
                    if let Some(key) = fields.key(name) {
                        reader.report(codes::STEP_KIND, &key.span, format!("a `stop` has no `{name}`"));
                    }
                }
                Self::read_stop(reader, stop, visible)
            }
            (Some(_), Some(_)) | (None, None) => {
                reader.report(codes::STEP_KIND, fields.place(), "a step has exactly one of `action` and `stop`");
                None
            }
        }
    }

    fn read_action(reader: &mut Reader<'_>, fields: &Fields<'_>, action: &Node, visible: &Visible<'_>) -> Option<Self> {
        let with = fields.get("with");
        let arguments = match with {
            Some(node) => reader.entries(node, "`with`").and_then(|_| Arguments::read(reader, node, visible)),
            None => Some(Arguments::none()),
        };
        let name = reader.text(action, "`action`")?;
        let Some(entry) = actions::find(name) else {
            let names: Vec<&str> = actions::CATALOG.iter().map(|it| it.name).collect();
            let help = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| format!("actions are {}", listed(&names)));
            reader.report_with_help(codes::UNKNOWN_ACTION, &action.span, format!("unknown action `{name}`"), Some(help));
            return None;
        };
        let before = reader.count();
        schema::check(reader, name, entry.schema().as_value(), with, &action.span);
        secrets::check(reader, name, with);
        let arguments = arguments?;
        if let (Some(constant), true) = (arguments.constant(), reader.count() == before)
            && let Err(error) = entry.prepare(constant.clone())
        {
            let place = with.map_or_else(|| action.span.clone(), Node::place);
            reader.report(codes::WRONG_PARAMETER, &place, format!("`{name}` does not take these parameters: {error}"));
        }
        Some(Self::Action { entry, with: arguments })
    }

    fn read_stop(reader: &mut Reader<'_>, node: &Node, visible: &Visible<'_>) -> Option<Self> {
        let fields = reader.fields(node, "`stop`", &["outcome", "reason"])?;
        let words = [("done", StopOutcome::Done), ("no_action", StopOutcome::NoAction), ("failed", StopOutcome::Failed)];
        let outcome = fields.require(reader, "outcome", "`stop`").and_then(|it| reader.word(it, "`outcome`", &words));
        let reason = fields.require(reader, "reason", "`stop`").and_then(|it| reader.template(it, "`reason`", visible));
        Some(Self::Stop { outcome: outcome?, reason: reason? })
    }
}

/// `[a-z][a-z0-9_]*`: an id stands in expressions, as in `steps.ID.output`.
fn read_id(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let id = reader.text(node, "`id`")?;
    if is_identifier(id) {
        return Some(id.to_owned());
    }
    let help = "a step's id has small letters, digits and `_`, starts with a letter, and has at most 64 of them".to_owned();
    reader.report_with_help(codes::NAME, &node.span, format!("`{id}` cannot be an id"), Some(help));
    None
}

/// Whether a text can stand as a name in expressions.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn read_retry(reader: &mut Reader<'_>, node: &Node) -> Option<RetryPolicy> {
    let fields = reader.fields(node, "`retry`", &["max_attempts", "delay", "backoff", "max_delay"])?;
    let default = RetryPolicy::default();
    let words = [("constant", Backoff::Constant), ("linear", Backoff::Linear), ("exponential", Backoff::Exponential)];
    let attempts = fields.get("max_attempts").and_then(|it| reader.whole_number(it, "`max_attempts`", 1..MOST_ATTEMPTS + 1));
    let delay = fields.get("delay").and_then(|it| reader.duration(it, "`delay`", LONGEST_DELAY));
    let backoff = fields.get("backoff").and_then(|it| reader.word(it, "`backoff`", &words));
    let max_delay = fields.get("max_delay").and_then(|it| reader.duration(it, "`max_delay`", LONGEST_DELAY));
    let delay = delay.unwrap_or(default.delay);
    Some(RetryPolicy {
        max_attempts: attempts.unwrap_or(default.max_attempts),
        delay,
        backoff: backoff.unwrap_or(default.backoff),
        // A longer first wait without a `max_delay` is meant as written.
        max_delay: max_delay.unwrap_or_else(|| default.max_delay.max(delay)),
    })
}
