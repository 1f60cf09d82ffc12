//! `quell lsp`: the language server that editors start.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Exit, variables};
use crate::{
    lifecycle::Tasks,
    lsp::{self, Site},
    telemetry::logs::{self, LogFormat},
};

#[derive(Debug, Args)]
pub(super) struct Lsp {
    /// The folder of playbooks; without it, the one in the settings.
    folder: Option<PathBuf>,
}

impl Lsp {
    pub(super) async fn execute(self, settings: Option<PathBuf>) -> Exit {
        // Editors show what comes here as if something were wrong.
        if let Err(error) = logs::start(LogFormat::Text, "warn") {
            return Exit::usage(&format!("{error:#}"));
        }
        let site = Site { settings, variables: variables().collect(), playbooks: self.folder, root: PathBuf::from(".") };
        let tasks = Tasks::default();
        let served = lsp::serve(site, &tasks).await;
        tasks.end(Duration::from_secs(1)).await;
        match served {
            Ok(true) => Exit::Done,
            // The protocol wants to be told of an editor that did not say goodbye.
            Ok(false) => Exit::Problems,
            Err(error) => Exit::unreachable(&format!("answer the editor: {error}")),
        }
    }
}
