//! `quell check`: every problem in the settings and playbooks at once.
//!
//! What is found becomes a [`Report`], which `text`, `json` and `sarif` print; `fix` mends what is safe first, and `explain` prints the page
//! about a code.

mod explain;
mod fix;
mod json;
mod sarif;
mod text;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use self::fix::Mended;
use super::{Exit, output};
use crate::{
    app::check::check,
    config::{Config, ConfigError, Fault},
    playbook::Library,
    problem::Severity,
};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The folder of playbooks; without it, the one in the settings.
    folder: Option<PathBuf>,
    /// How problems are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// First mend misspelt keys and words where only one can be meant. Names of actions, steps and channels, and whether a playbook acts,
    /// stay a person's to mend.
    #[arg(long)]
    fix: bool,
    /// Print the page about a code, and check nothing.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["folder", "format", "fix"])]
    explain: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

/// What was found.
struct Report {
    library: Library,
    /// What is wrong outside of the files of the library: the settings, or a file that could not be mended.
    faults: Vec<Fault>,
    /// What the settings can be used without, and somebody should look at.
    advice: Vec<String>,
    mended: Vec<Mended>,
}

impl Check {
    pub(super) async fn execute(self, config: Result<Config, ConfigError>, json: bool) -> Exit {
        if let Some(code) = &self.explain {
            return explain::execute(code);
        }
        let mut faults = Vec::new();
        let config = config.map_err(|ConfigError(found)| faults.extend(found)).ok();
        // Broken settings do not say where the playbooks are.
        let folder = self.folder.or_else(|| config.as_ref().map(|config| config.playbooks.clone()));
        if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
            return Exit::usage(&format!("`{}` is not a folder of playbooks", folder.display()));
        }
        let mut mended = Vec::new();
        if let Some(folder) = folder.as_ref().filter(|_| self.fix) {
            faults.extend(fix::mend(folder, &mut mended).err().map(|message| Fault { place: None, message }));
        }
        let checked = check(folder.as_deref(), BTreeMap::new(), config.as_ref()).await;
        faults.extend(checked.faults);
        let report = Report { library: checked.library, faults, advice: checked.advice, mended };
        match self.format {
            Format::Sarif => sarif::print(&report),
            Format::Json => json::print(&report),
            Format::Text if json => json::print(&report),
            Format::Text => text::print(&report),
        }
        if report.errors() == 0 { Exit::Done } else { Exit::Problems }
    }
}

impl Report {
    fn errors(&self) -> usize {
        self.library.problems.iter().filter(|problem| problem.severity == Severity::Error).count() + self.faults.len()
    }

    fn warnings(&self) -> usize {
        self.library.problems.iter().filter(|problem| problem.severity == Severity::Warning).count() + self.advice.len()
    }

    /// The text of a file, for excerpts.
    fn source(&self, path: &Path) -> &str {
        self.library.sources.get(path).map_or("", String::as_str)
    }
}
