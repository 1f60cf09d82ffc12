//! `quell check`: every problem in the settings and playbooks at once.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Exit, output};
use crate::{
    app::parts::{Ground, Parts, Unusable},
    config::{Config, ConfigError},
    lifecycle::Tasks,
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
    pub(super) async fn execute(self, config: Result<Config, ConfigError>, json: bool) -> Exit {
        let mut faults = Vec::new();
        let config = config.map_err(|error| faults.push(error.to_string())).ok();
        // Broken settings do not say where the playbooks are.
        let folder = self.folder.or_else(|| config.as_ref().map(|config| config.playbooks.clone()));
        if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
            return Exit::usage(&format!("`{}` is not a folder of playbooks", folder.display()));
        }
        let mut library = folder.as_deref().map(Library::load).unwrap_or_default();
        if let Some(config) = &config {
            match build(config, &library).await {
                Ok(parts) => library.check_channels(|channel| parts.channels.check(channel)),
                Err(error) => faults.extend(error),
            }
        }
        if json || self.format == Format::Json {
            print_json(&library, &faults);
        } else {
            print_text(&library, &faults);
        }
        let is_bad = !faults.is_empty() || library.problems.iter().any(|problem| problem.severity == Severity::Error);
        if is_bad { Exit::Problems } else { Exit::Done }
    }
}

/// Builds what `quell run` builds, on ground that keeps nothing.
async fn build(config: &Config, library: &Library) -> Result<Parts, Vec<String>> {
    let tasks = Tasks::default();
    let ground = Ground::in_memory(library, &tasks).await.map_err(|error| vec![format!("{error:#}")])?;
    Parts::build(config, &ground).map_err(|Unusable(faults)| faults)
}

fn print_text(library: &Library, faults: &[String]) {
    for fault in faults {
        output::print(&format!("error: {fault}\n"));
    }
    for problem in &library.problems {
        let source = library.sources.get(&problem.place.path).map_or("", String::as_str);
        output::print(&format!("{}\n", problem.render(source, output::colour())));
    }
    let errors = library.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = library.problems.len() - errors;
    let errors = errors + faults.len();
    output::print(&format!("{} playbooks can be used; {errors} errors, {warnings} warnings", library.playbooks.len()));
}

fn print_json(library: &Library, faults: &[String]) {
    let of_settings = faults.iter().map(|fault| json!({"severity": "error", "message": fault}));
    let problems: Vec<_> = of_settings.chain(library.problems.iter().map(as_json)).collect();
    let names: Vec<_> = library.playbooks.iter().map(|playbook| &playbook.name).collect();
    output::print_json(&json!({"playbooks": names, "problems": problems}));
}

fn as_json(problem: &Problem) -> serde_json::Value {
    json!({
        "code": problem.code, "severity": problem.severity, "message": problem.message, "help": problem.help,
        "path": problem.place.path, "line": problem.place.line, "column": problem.place.column,
    })
}
