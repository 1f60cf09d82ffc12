//! Playbooks: YAML files that say which alerts are answered, and with which steps.
//!
//! A [`Playbook`] is always valid: [`Playbook::parse`] reads the YAML into a tree that knows its places (`node`), takes the values out of it
//! and collects every problem (`reader`), and checks what expressions name (`visible`) and what actions take (`schema`, `secrets`). What is compiled
//! there once — conditions, templates, regular expressions — is only evaluated later. A [`Library`] is a folder of playbooks.
//!
//! Nothing here acts or waits. A [`Trigger`] gives a [`Verdict`] for an alert, a [`Step`] says what is [`Planned`]; the engine does the rest.

mod arguments;
mod clause;
mod codes;
mod fields;
mod library;
mod node;
mod parse;
mod reader;
mod schema;
mod secrets;
#[cfg(test)]
mod shipped;
mod step;
#[cfg(test)]
mod tests;
mod trigger;
mod visible;

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Map, Value};

pub use arguments::Arguments;
pub use clause::Clause;
pub use codes::CODES;
pub use library::Library;
pub use step::{Body, OnError, Planned, Step, StopOutcome};
pub use trigger::{Trigger, Verdict};

use crate::{
    expression::{ExpressionError, Scope, Template},
    run::Mode,
};

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
    /// Which alerts it answers.
    pub trigger: Trigger,
    /// Which alerts it answers only once.
    pub dedup: Option<Dedup>,
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
    /// The SHA-256 of the text, in hexadecimal.
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

impl Playbook {
    /// The step of that id, among the steps and those under `on_error`.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().chain(&self.on_error).find(|step| step.id == id)
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
