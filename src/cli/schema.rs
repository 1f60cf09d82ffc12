//! `quell schema` and `quell catalog`: what can be written, for editors and for people.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Exit, output};
use crate::{
    actions::{self, CATALOG, Entry},
    config, playbook,
    problem::did_you_mean,
    trial,
};

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Schema {
    /// A playbook.
    Playbook,
    /// The tests of a playbook.
    Test,
    /// The settings, `quell.yaml`.
    Config,
}

#[derive(Debug, Subcommand)]
pub(super) enum Catalog {
    /// The actions that steps can perform; with a name, the parameters and an example of one.
    Actions {
        /// The action, e.g. `subscription.suspend`.
        name: Option<String>,
    },
}

impl Schema {
    /// Prints the JSON Schema.
    pub(super) fn execute(self) -> Exit {
        match self {
            Self::Playbook => output::print_json(&playbook::json_schema()),
            Self::Test => output::print_json(&trial::json_schema()),
            Self::Config => output::print_json(&config::json_schema()),
        }
    }
}

impl Catalog {
    pub(super) fn execute(self, json: bool) -> Exit {
        match self {
            Self::Actions { name: Some(name) } => match actions::find(&name) {
                Some(entry) if json => output::print_json(&document(entry)),
                Some(entry) => one(entry),
                None => {
                    let meant = did_you_mean(&name, CATALOG.iter().map(|it| it.name));
                    let meant = meant.unwrap_or_else(|| "`quell catalog actions` lists them".to_owned());
                    Exit::usage(&format!("there is no action `{name}`; {meant}"))
                }
            },
            Self::Actions { name: None } if json => output::print_json(&CATALOG.iter().map(document).collect::<Vec<_>>()),
            Self::Actions { name: None } => all(),
        }
    }
}

fn all() -> Exit {
    let mut table = output::table(&["action", "class", "destructive", "does"]);
    for entry in CATALOG {
        table.add_row([entry.name, entry.class.as_str(), if entry.destructive { "yes" } else { "no" }, entry.summary]);
    }
    output::print(&table.to_string());
    Exit::Done
}

fn one(entry: &Entry) -> Exit {
    output::print(&format!("{}: {}\nclass {}", entry.name, entry.summary, entry.class));
    let mut table = output::table(&["parameter", "needed", "is"]);
    for (name, needed, what) in parameters(entry) {
        table.add_row([name, if needed { "yes".to_owned() } else { "no".to_owned() }, what]);
    }
    output::print(&table.to_string());
    // JSON is YAML, so this can be pasted as it stands.
    let example: Value = serde_json::from_str(entry.example).unwrap_or_default();
    output::print(&format!("- id: it\n  action: {}\n  with: {example}", entry.name));
    Exit::Done
}

fn parameters(entry: &Entry) -> Vec<(String, bool, String)> {
    let schema = entry.schema().to_value();
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let row = |(name, property): (&String, &Value)| {
        let what = property.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        (name.clone(), required.contains(&name.as_str()), what)
    };
    properties.map(row).collect()
}

fn document(entry: &Entry) -> Value {
    let example: Value = serde_json::from_str(entry.example).unwrap_or_default();
    json!({
        "name": entry.name, "summary": entry.summary, "class": entry.class, "destructive": entry.destructive,
        "parameters": entry.schema().to_value(), "example": example,
    })
}
