//! The steps of a playbook: what each does, when, and what follows when it does not succeed.

use std::time::Duration;

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
    expression::{Expression, Template, chains},
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
    /// How what it did is undone.
    pub rollback: Option<Rollback>,
    /// How its outcome is found out, in place of what its action does.
    pub verify: Option<Verify>,
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
    /// Takes the steps of the first case that holds.
    Switch {
        /// The cases, in order.
        cases: Vec<Case>,
        /// Taken when none holds.
        otherwise: Vec<Step>,
    },
    /// Takes its steps once for every item of a list.
    Foreach {
        /// The list, read once when the step begins.
        items: Arguments,
        /// The name by which its steps read the item.
        name: String,
        /// How many items are worked on at once, from 1.
        max_parallel: u32,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Takes several branches at once.
    Parallel {
        /// The branches by their names.
        branches: Vec<(String, Vec<Step>)>,
        /// How many of them must succeed.
        join: Join,
    },
    /// Computes its output.
    Script(Expression),
    /// Lets time pass.
    Wait(Wait),
    /// Takes the steps of another playbook.
    Call {
        /// Its name; [`Playbook::called`](super::Playbook::called) is the playbook.
        playbook: String,
        /// Its inputs.
        inputs: Arguments,
    },
    /// Asks people whether other steps may be taken.
    Approval(Box<Approval>),
}

/// One case of a `switch`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Case {
    pub condition: Expression,
    pub steps: Vec<Step>,
}

/// How many branches of a `parallel` must succeed for it to succeed. It ends when that is decided and nothing of it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// All of them.
    All,
    /// This many.
    AtLeast(u32),
}

/// For how long a `wait` lets time pass.
#[derive(Debug, Clone)]
pub enum Wait {
    /// So long.
    For(Duration),
    /// Until the moment that the expression gives.
    Until(Expression),
}

/// A question to people.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Approval {
    pub title: Template,
    /// The steps that may be taken when they agree.
    pub for_steps: Vec<String>,
    pub groups: Vec<String>,
    /// How many must agree.
    pub quorum: u32,
    /// Where they are asked.
    pub channels: Arguments,
    pub timeout: Duration,
    /// What counts when nobody has answered in time. Has no default: somebody must have thought of it.
    pub on_timeout: OnTimeout,
    pub escalate: Vec<Escalation>,
}

/// What counts when nobody has answered an approval in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OnTimeout {
    Reject,
    Approve,
}

/// Whom to ask as well when nobody has answered for a while.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Escalation {
    pub after: Duration,
    pub groups: Vec<String>,
}

/// How what a step did is undone.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The step that undoes it: an action, under the id `ID.rollback`.
    pub step: Box<Step>,
    /// For how long it can be undone.
    pub expires: Option<Duration>,
}

/// How the outcome of a step is found out when nobody knows what an attempt did.
#[derive(Debug, Clone)]
pub struct Verify {
    /// An action that reads.
    pub entry: &'static Entry,
    /// Its parameters.
    pub with: Arguments,
    /// Whether what it read, as `output`, shows that the step happened.
    pub reached: Expression,
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
#[derive(Debug, Clone)]
pub enum OnError {
    /// The run fails, and the steps under the playbook's `on_error` are taken.
    Fail,
    /// The run goes on.
    Continue,
    /// The run goes on, and this is the step's output.
    Instead(Arguments),
    /// What earlier steps did is undone in reverse order, and then the run fails.
    Rollback,
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
    /// The step and all steps inside it, in the order of the text.
    pub fn and_inner(&self) -> Vec<&Self> {
        let inner = self.body.sequences().into_iter().flatten().flat_map(Self::and_inner);
        std::iter::once(self).chain(inner).collect()
    }

    /// Whether its condition reads the outcome of that step.
    pub fn asks(&self, id: &str) -> bool {
        let reads = |condition: &Expression| chains(condition.text()).iter().any(|chain| chain.path().starts_with(&["steps", id]));
        self.condition.as_ref().is_some_and(reads)
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
        let words = [("fail", false), ("continue", true)];
        let goes_on = fields.get("on_error").and_then(|it| reader.word(it, "`on_error` of a step", &words)).unwrap_or(false);
        let on_error = if goes_on { OnError::Continue } else { OnError::Fail };
        if fields.report_unsupported(reader, NOT_YET) {
            return None;
        }
        let body = Body::read(reader, &fields, visible);
        Some(Self { id: id?, condition, body: body?, retry, timeout, on_error, rollback: None, verify: None })
    }
}

impl Body {
    /// The sequences of steps inside it.
    pub fn sequences(&self) -> Vec<&[Step]> {
        match self {
            Self::Switch { cases, otherwise } => cases.iter().map(|case| &*case.steps).chain([&**otherwise]).collect(),
            Self::Foreach { steps, .. } => vec![steps],
            Self::Parallel { branches, .. } => branches.iter().map(|(_, steps)| &**steps).collect(),
            Self::Action { .. } | Self::Stop { .. } | Self::Script(_) | Self::Wait(_) | Self::Call { .. } | Self::Approval(_) => Vec::new(),
        }
    }

    /// The word under which a step is recorded that performs no action; an action is recorded under its name.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Action { entry, .. } => entry.name,
            Self::Stop { .. } => "stop",
            Self::Switch { .. } => "switch",
            Self::Foreach { .. } => "foreach",
            Self::Parallel { .. } => "parallel",
            Self::Script(_) => "script",
            Self::Wait(_) => "wait",
            Self::Call { .. } => "playbook",
            Self::Approval(_) => "approval",
        }
    }
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
