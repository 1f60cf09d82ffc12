//! `quell runs start`: a person begins a run.

use serde_json::{Map, Value};

use super::{super::identity::Identity, Desk, Exit, output};
use crate::{
    engine::decide,
    playbook::{InputKind, Library, Playbook, Trigger},
    run::Mode,
    store::{Begun, StoreError},
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Start {
    /// The playbook's name.
    playbook: String,
    /// One value for it: a text as it is, anything else as JSON.
    #[arg(long = "input", value_name = "NAME=VALUE")]
    input: Vec<String>,
    /// Values for it, as a JSON object; those of `--input` come first.
    #[arg(long, value_name = "JSON")]
    inputs: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

impl Start {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Result<Exit, StoreError> {
        let library = Library::load(&desk.config.playbooks);
        let playbook = match startable(&library, &self.playbook) {
            Ok(playbook) => playbook,
            Err(message) => return Ok(Exit::problem(&message)),
        };
        let inputs = match self.given(playbook).and_then(|given| playbook.take_inputs(&given)) {
            Ok(inputs) => inputs,
            Err(message) => return Ok(Exit::usage(&message)),
        };
        let occasion = format!("manual:{}", uuid::Uuid::now_v7());
        let run = match decide::start(playbook, occasion, inputs, desk.store.clock().now()) {
            Ok(run) => run,
            Err(error) => return Ok(Exit::problem(&format!("the playbook `{}` cannot begin: {error}", playbook.name))),
        };
        let id = run.id.clone();
        Ok(match desk.store.begin_by(run, &self.identity.name(), &self.identity.who()).await? {
            Begun::New if desk.json => output::print_json(&serde_json::json!({ "run": id })),
            Begun::New | Begun::Known => {
                output::print(&id.to_string());
                Exit::Done
            }
            Begun::Held(detail) => Exit::problem(&format!("no run begins: {detail}")),
        })
    }

    fn given(&self, playbook: &Playbook) -> Result<Value, String> {
        let mut given = match &self.inputs {
            None => Map::new(),
            Some(text) => serde_json::from_str(text).map_err(|error| format!("`--inputs` is not a JSON object: {error}"))?,
        };
        for pair in &self.input {
            let (name, text) = pair.split_once('=').ok_or_else(|| format!("`--input {pair}` has no `=`; write NAME=VALUE"))?;
            let kind = playbook.inputs.iter().find(|input| input.name == name).map(|input| input.kind);
            given.insert(name.to_owned(), typed(name, kind, text)?);
        }
        Ok(Value::Object(given))
    }
}

/// The playbook of that name, if a person can begin it.
fn startable<'a>(library: &'a Library, name: &str) -> Result<&'a Playbook, String> {
    let Some(playbook) = library.get(name) else {
        return Err(format!("there is no usable playbook `{name}`; `quell check` shows what is wrong with those that are there"));
    };
    match (&playbook.trigger, playbook.mode) {
        (_, Mode::Disabled) => Err(format!("the playbook `{name}` is disabled")),
        (Trigger::Manual, Mode::Shadow | Mode::Enforce) => Ok(playbook),
        (Trigger::Alert(_) | Trigger::Schedule(_), Mode::Shadow | Mode::Enforce) => {
            Err(format!("the playbook `{name}` is not begun by hand; its trigger is not `manual`"))
        }
    }
}

/// A value as the playbook wants it. An unknown name is told of later, together with those that are known.
fn typed(name: &str, kind: Option<InputKind>, text: &str) -> Result<Value, String> {
    match kind {
        None | Some(InputKind::Text) => Ok(Value::String(text.to_owned())),
        Some(kind @ (InputKind::Number | InputKind::Integer | InputKind::Boolean | InputKind::List | InputKind::Map)) => {
            serde_json::from_str(text).map_err(|error| format!("the input `{name}` is {}, and `{text}` is not: {error}", kind.words()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_stays_a_text_and_other_values_are_read() {
        assert_eq!(typed("a", Some(InputKind::Text), "12"), Ok(json!("12")));
        assert_eq!(typed("a", Some(InputKind::Integer), "12"), Ok(json!(12)));
        assert_eq!(typed("a", Some(InputKind::List), "[1, \"b\"]"), Ok(json!([1, "b"])));
        let error = typed("a", Some(InputKind::Boolean), "yes").unwrap_err();
        assert!(error.starts_with("the input `a` is true or false, and `yes` is not"), "{error}");
    }
}
