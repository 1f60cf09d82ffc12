//! What a step is about to do, given what is known: its condition evaluated and its arguments rendered. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Approval, Body, InputKind, Playbook, Step, StopOutcome, Wait};
use crate::expression::{ExpressionError, Scope};

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
    /// Take the steps of that case; of none, `otherwise` or nothing at all.
    Case(Option<usize>),
    /// Take the steps once for every item.
    Each(Vec<Value>),
    /// Take all branches.
    Branches,
    /// Nothing more: this is the output.
    Computed(Value),
    /// Wait until then.
    Until(Timestamp),
    /// Take the steps of another playbook with these inputs and variables.
    Call {
        /// The inputs, defaults included.
        inputs: Value,
        /// The variables of the called playbook.
        vars: Value,
    },
    /// Ask people, and wait for them until then.
    Ask {
        /// What they are asked, as the run shows it.
        question: Value,
        /// Until when.
        until: Timestamp,
    },
}

/// More than this at once is a campaign, which people should see before a machine answers it.
pub const MOST_ITEMS: usize = 1_000;

impl Step {
    /// What the step is to do at a moment. The playbook is the one that the step stands in.
    ///
    /// # Errors
    /// When its condition or one of its expressions fails; the step then fails without having done anything.
    pub fn plan(&self, playbook: &Playbook, scope: &mut Scope, now: Timestamp) -> Result<Planned, ExpressionError> {
        if let Some(condition) = &self.condition
            && !condition.boolean(scope).map_err(|error| told("`if`", &error))?
        {
            return Ok(Planned::Skip);
        }
        match &self.body {
            Body::Action { with, .. } => with.render(scope).map(Planned::Act),
            Body::Stop { outcome, reason } => Ok(Planned::Stop { outcome: *outcome, reason: reason.render_text(scope)? }),
            Body::Switch { cases, otherwise } => {
                for (at, case) in cases.iter().enumerate() {
                    if case.condition.boolean(scope).map_err(|error| told(&format!("case {}", at + 1), &error))? {
                        return Ok(Planned::Case(Some(at)));
                    }
                }
                Ok(if otherwise.is_empty() { Planned::Skip } else { Planned::Case(None) })
            }
            Body::Foreach { items, .. } => match items.render(scope)? {
                Value::Array(items) if items.len() <= MOST_ITEMS => Ok(Planned::Each(items)),
                Value::Array(items) => Err(ExpressionError::new(format!("`foreach` has {} items, over {MOST_ITEMS}", items.len()))),
                other => Err(ExpressionError::new(format!("`foreach` needs a list, and this is {}", shown(&other)))),
            },
            Body::Parallel { .. } => Ok(Planned::Branches),
            Body::Script(code) => code.value(scope).map(Planned::Computed),
            Body::Wait(Wait::For(duration)) => Ok(Planned::Until(now.checked_add(*duration).unwrap_or(Timestamp::MAX))),
            Body::Wait(Wait::Until(moment)) => until(&moment.value(scope)?).map(Planned::Until),
            Body::Call { playbook: name, inputs } => {
                let called = playbook.called(name).ok_or_else(|| ExpressionError::new(format!("there is no playbook `{name}`")))?;
                let inputs = called.take_inputs(&inputs.render(scope)?).map_err(ExpressionError::new)?;
                let mut inside = Scope::new(now);
                inside.set("inputs", &inputs);
                let vars = called.render_vars(&mut inside).map_err(|error| told(&format!("playbook `{name}`"), &error))?;
                Ok(Planned::Call { inputs, vars })
            }
            Body::Approval(approval) => approval.plan(scope, now),
        }
    }
}

impl Approval {
    fn plan(&self, scope: &mut Scope, now: Timestamp) -> Result<Planned, ExpressionError> {
        let question = json!({
            "title": self.title.render_text(scope)?,
            "for_steps": self.for_steps,
            "groups": self.groups,
            "quorum": self.quorum,
            "channels": self.channels.render(scope)?,
        });
        Ok(Planned::Ask { question, until: now.checked_add(self.timeout).unwrap_or(Timestamp::MAX) })
    }
}

impl Playbook {
    /// The inputs that it runs with: those given, each of its kind, and the defaults of the others.
    ///
    /// # Errors
    /// Names the input that is unknown, missing or of another kind.
    pub fn take_inputs(&self, given: &Value) -> Result<Value, String> {
        let empty = Map::new();
        let given = match given {
            Value::Object(given) => given,
            Value::Null => &empty,
            other => return Err(format!("inputs are a map, and these are {}", shown(other))),
        };
        if let Some(name) = given.keys().find(|name| !self.inputs.iter().any(|input| input.name == **name)) {
            let known: Vec<_> = self.inputs.iter().map(|input| format!("`{}`", input.name)).collect();
            let known = if known.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", known.join(", ")) };
            return Err(format!("the playbook `{}` has no input `{name}`; {known}", self.name));
        }
        let mut taken = Map::new();
        for input in &self.inputs {
            let value = match (given.get(&input.name), &input.default) {
                (Some(value), _) => value,
                (None, Some(default)) => default,
                (None, None) => return Err(format!("the playbook `{}` needs the input `{}`", self.name, input.name)),
            };
            if !input.kind.fits(value) {
                return Err(format!("the input `{}` is {}, and this is {}", input.name, input.kind.words(), shown(value)));
            }
            taken.insert(input.name.clone(), value.clone());
        }
        Ok(Value::Object(taken))
    }
}

impl InputKind {
    /// Every kind with its word.
    pub const ALL: &[(&'static str, Self)] = &[
        ("text", Self::Text),
        ("number", Self::Number),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
        ("list", Self::List),
        ("map", Self::Map),
    ];

    /// Whether a value is of this kind.
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
        }
    }

    /// What it is, for a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}

/// A moment as a text, or as seconds since 1970.
fn until(value: &Value) -> Result<Timestamp, ExpressionError> {
    let found = match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(seconds) => seconds.as_i64().and_then(|it| Timestamp::from_second(it).ok()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    found.ok_or_else(|| ExpressionError::new(format!("`until` needs a time such as `2026-03-02T04:11:09Z`, and this is {}", shown(value))))
}

fn told(whose: &str, error: &ExpressionError) -> ExpressionError {
    ExpressionError { message: format!("{whose}: {error}"), ..*error }
}

fn shown(value: &Value) -> String {
    let text: String = value.to_string().chars().take(60).collect();
    format!("`{text}`")
}
