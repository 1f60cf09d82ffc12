//! `quell check`: every problem in the settings and playbooks at once.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Exit, output};
use crate::{
    config::{Config, ConfigError},
    playbook::Library,
    problem::{Problem, Severity},
};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The folder of playbooks; without it, the one in the settings.
    folder: Option<PathBuf>,
    /// How problems are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Check {
    pub(super) fn execute(self, config: Result<Config, ConfigError>, json: bool) -> Exit {
        let (folder, config_error) = match (self.folder, config) {
            (Some(folder), config) => (Some(folder), config.err()),
            (None, Ok(config)) => (Some(config.playbooks), None),
            // Broken settings do not say where the playbooks are.
            (None, Err(error)) => (None, Some(error)),
        };
        if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
            return Exit::usage(&format!("`{}` is not a folder of playbooks", folder.display()));
        }
        let library = folder.as_deref().map(Library::load).unwrap_or_default();
        if json || self.format == Format::Json {
            print_json(&library, config_error.as_ref());
        } else {
            print_text(&library, config_error.as_ref());
        }
        let is_bad = config_error.is_some() || library.problems.iter().any(|problem| problem.severity == Severity::Error);
        if is_bad { Exit::Problems } else { Exit::Done }
    }
}

fn print_text(library: &Library, config_error: Option<&ConfigError>) {
    if let Some(error) = config_error {
        output::print(&format!("error: {error}\n"));
    }
    for problem in &library.problems {
        let source = library.sources.get(&problem.place.path).map_or("", String::as_str);
        output::print(&format!("{}\n", problem.render(source, output::colour())));
    }
    let errors =
        library.problems.iter().filter(|problem| problem.severity == Severity::Error).count() + usize::from(config_error.is_some());
    let warnings = library.problems.len() + usize::from(config_error.is_some()) - errors;
    output::print(&format!("{} playbooks can be used; {errors} errors, {warnings} warnings", library.playbooks.len()));
}

fn print_json(library: &Library, config_error: Option<&ConfigError>) {
    let of_settings = config_error.map(|error| json!({"severity": "error", "message": error.to_string()}));
    let problems: Vec<_> = of_settings.into_iter().chain(library.problems.iter().map(as_json)).collect();
    let names: Vec<_> = library.playbooks.iter().map(|playbook| &playbook.name).collect();
    output::print_json(&json!({"playbooks": names, "problems": problems}));
}

fn as_json(problem: &Problem) -> serde_json::Value {
    json!({
        "code": problem.code, "severity": problem.severity, "message": problem.message, "help": problem.help,
        "path": problem.place.path, "line": problem.place.line, "column": problem.place.column,
    })
}
