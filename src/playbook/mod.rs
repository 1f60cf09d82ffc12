//! Playbooks: YAML files that say which alerts are answered, and with which steps.
//!
//! A [`Playbook`] is always valid: [`Playbook::parse`] reads the YAML into a tree that knows its places (`node`), takes the values out of it
//! and collects every problem (`reader`), and checks what expressions name (`visible`) and what actions take (`schema`, `secrets`). What is compiled
//! there once — conditions, templates, regular expressions — is only evaluated later. A [`Library`] is a folder of playbooks,
//! and the [`Shelf`] has the library in use.
//!
//! `linking` joins playbooks with those that they call, `index` finds those that may answer an alert, `site` holds them to the settings.
//!
//! Nothing here acts or waits. A [`Trigger`] gives a [`Verdict`] for an alert, a [`Step`] says what is [`Planned`]; the engine does the rest.

mod arguments;
mod clause;
mod codes;
mod fields;
mod index;
mod json_schema;
#[cfg(test)]
mod language;
mod library;
#[cfg(test)]
mod linked;
mod linking;
mod never;
pub(crate) mod node;
mod outline;
mod parse;
mod planned;
mod reader;
mod reading;
mod schema;
mod secrets;
mod shelf;
#[cfg(test)]
mod shipped;
mod site;
mod step;
#[cfg(test)]
mod tests;
mod trigger;
mod visible;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use arguments::Arguments;
pub use clause::Clause;
pub use codes::{CODES, Code};
pub use index::Index;
pub use json_schema::{RHAI, json_schema};
pub use library::{Library, is_test};
pub use parse::NAMES;
pub use planned::{MOST_ITEMS, Planned};
pub use shelf::{Changes, Reading, Shelf};
pub use step::{Approval, Body, Case, Escalation, Join, OnError, Rollback, Step, StopOutcome, Verify, Wait};
pub use trigger::{AlertTrigger, CatchUp, Schedule, Trigger, Verdict};
pub use visible::{OF_STEP, READABLE, Readable};

use crate::{
    actions::Pattern,
    expression::{ExpressionError, Scope, Template},
    run::{Mode, Strategy},
};

/// The code under which a file of tests is reported that cannot be used.
pub const TEST_FILE: &str = codes::TESTS;

/// A playbook that can be run.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// Its name, unique in its library.
    pub name: String,
    /// What it does and why, for people.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// Whether it acts. A playbook acts only where its author wrote `enforce`.
    pub mode: Mode,
    /// What makes it run.
    pub trigger: Trigger,
    /// Which alerts it answers only once.
    pub dedup: Option<Dedup>,
    /// Which alerts it answers together.
    pub group: Option<Group>,
    /// How often it runs at most.
    pub throttle: Option<Throttle>,
    /// How often something must happen before it runs.
    pub threshold: Option<Threshold>,
    /// How many of its runs may be open at once.
    pub concurrency: Option<Concurrency>,
    /// Limits on its actions, beside the site's.
    pub guardrails: Vec<OwnLimit>,
    /// What a person, a schedule or another playbook gives it.
    pub inputs: Vec<Input>,
    /// What it gives back to the playbook that called it.
    pub output: Option<Arguments>,
    /// The playbooks that its steps call, by name.
    pub called: BTreeMap<String, Arc<Self>>,
    /// After how long a run ends as failed.
    pub timeout: Duration,
    /// Values that are computed when a run starts.
    pub vars: Vec<(String, Arguments)>,
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// What it does when a step has failed.
    pub on_error: Vec<Step>,
    /// As it was written: a run keeps it.
    pub text: Arc<str>,
    /// What the text leans on, as JSON: `{"lib": [texts of functions], "playbooks": {name: text of a called playbook}}`. A run keeps it too.
    pub around: Arc<str>,
    /// The SHA-256 of the text and of what it leans on, in hexadecimal.
    pub hash: String,
    /// The file it came from.
    pub path: PathBuf,
}

/// Which alerts count as the same.
#[derive(Debug, Clone)]
pub struct Dedup {
    /// Alerts with the same key are the same.
    pub key: Template,
    /// For how long.
    pub window: Duration,
}

/// Alerts that are answered by one run.
#[derive(Debug, Clone)]
pub struct Group {
    /// The alert's fields that must be the same.
    pub by: Vec<String>,
    /// How long the first alert waits for others.
    pub wait: Duration,
    /// How much time lies between two runs of the same group at least.
    pub interval: Duration,
}

/// At most so many runs within a while.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Throttle {
    /// Alerts with the same key are counted together.
    pub key: Template,
    pub max: u32,
    pub per: Duration,
}

/// A run only when something has happened so often within a while.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Threshold {
    /// Alerts with the same key are counted together.
    pub key: Template,
    pub count: u32,
    pub within: Duration,
}

/// At most so many open runs.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Concurrency {
    /// Runs with the same key are counted together.
    pub key: Template,
    pub max: u32,
    pub strategy: Strategy,
}

/// A playbook's own limit on actions.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct OwnLimit {
    pub action: Pattern,
    pub max: u32,
    pub per: Duration,
    pub on_exceed: OnExceed,
}

/// What follows when a limit is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExceed {
    /// The step is not taken.
    #[default]
    Stop,
    /// People are asked whether it may be taken.
    RequireApproval,
}

/// One value that a playbook is given.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Input {
    pub name: String,
    pub kind: InputKind,
    /// Without one, it must be given.
    pub default: Option<Value>,
    pub description: String,
}

/// What an input holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum InputKind {
    Text,
    Number,
    Integer,
    Boolean,
    List,
    Map,
}

impl Playbook {
    /// The step of that id, among the steps, those inside of steps, and those under `on_error`.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.every_step().into_iter().find(|step| step.id == id)
    }

    /// All steps, also those inside of steps and those under `on_error`, in the order of the text.
    pub fn every_step(&self) -> Vec<&Step> {
        self.steps.iter().chain(&self.on_error).flat_map(Step::and_inner).collect()
    }

    /// The playbook that a step calls.
    pub fn called(&self, name: &str) -> Option<&Arc<Self>> {
        self.called.get(name)
    }

    /// The values of `vars`, each of which may read the earlier ones. The scope must hold `alert`, and holds `vars` afterwards.
    ///
    /// # Errors
    /// Of the first variable that fails; the message starts with its name.
    pub fn render_vars(&self, scope: &mut Scope) -> Result<Value, ExpressionError> {
        let mut vars = Value::Object(Map::new());
        scope.set("vars", &vars);
        for (name, arguments) in &self.vars {
            let told = |error: ExpressionError| ExpressionError { message: format!("`vars.{name}`: {error}"), ..error };
            let value = arguments.render(scope).map_err(told)?;
            if let Value::Object(fields) = &mut vars {
                fields.insert(name.clone(), value);
            }
            scope.set("vars", &vars);
        }
        Ok(vars)
    }
}
