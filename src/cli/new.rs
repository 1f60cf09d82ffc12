//! `quell new`: a playbook and its test to begin with.

use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};

use super::{Exit, output};
use crate::{
    config::Config,
    playbook::{NAMES, Playbook},
};

/// Write a playbook and its test to begin with; nothing that is there is overwritten.
#[derive(Debug, Args)]
pub(super) struct New {
    /// Its name: small letters, digits and `-`.
    name: String,
    /// What it begins as.
    #[arg(long, value_enum, default_value_t = Template::Notify)]
    template: Template,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// Tell people about an alert.
    Notify,
    /// Suspend a subscription after a lead agreed.
    Contain,
    /// Something that happens every morning.
    Schedule,
    /// What a person starts, or another playbook calls.
    Manual,
}

impl Template {
    /// The playbook and its test.
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Notify => (include_str!("new/notify.yaml"), include_str!("new/notify.test.yaml")),
            Self::Contain => (include_str!("new/contain.yaml"), include_str!("new/contain.test.yaml")),
            Self::Schedule => (include_str!("new/schedule.yaml"), include_str!("new/schedule.test.yaml")),
            Self::Manual => (include_str!("new/manual.yaml"), include_str!("new/manual.test.yaml")),
        }
    }
}

impl New {
    pub(super) fn execute(self, config: &Config) -> Exit {
        if !Playbook::is_name(&self.name) {
            return Exit::usage(&format!("`{}` cannot be a playbook's name: {NAMES}", self.name));
        }
        let (playbook, test) = self.template.texts();
        let files = [(format!("{}.yaml", self.name), playbook), (format!("{}.test.yaml", self.name), test)];
        let files = files.map(|(name, text)| (config.playbooks.join(name), text.replace("NAME", &self.name)));
        if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
            return Exit::problem(&format!("`{}` is there already; choose another name", path.display()));
        }
        for (path, text) in &files {
            if let Err(error) = write(path, text) {
                return Exit::unreachable(&format!("write `{}`: {error}", path.display()));
            }
            output::print(&format!("wrote {}", path.display()));
        }
        output::print("next: edit both, then `quell check` and `quell test`");
        Exit::Done
    }
}

fn write(path: &PathBuf, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
