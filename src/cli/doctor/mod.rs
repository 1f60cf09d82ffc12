//! `quell doctor`: what is missing between the settings and the outside, found by looks that change nothing.

mod json;
mod text;

use std::time::Duration;

use clap::{Args, builder::PossibleValuesParser};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, output};
use crate::{
    config::{Config, ConfigError},
    doctor::{self, CATALOG, Case, Finding, Grade},
    lifecycle::Tasks,
    news::Language,
};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Doctor {
    /// Look at these parts only.
    #[arg(long, value_name = "PART", value_delimiter = ',', num_args = 1.., value_parser = PossibleValuesParser::new(CATALOG.iter().map(|it| it.part)))]
    only: Vec<String>,
    /// Also send a message as a test through every channel.
    #[arg(long)]
    send_test: bool,
}

const AFTER_HELP: &str = "\
Nothing is changed: it reads, and signs in. What each line means and what to do stands in docs/doctor.md.

Exit codes: 0 nothing is wrong, 1 somebody must do something, 3 something could not be reached.";

/// What a sign-in that was begun may still take: its refresh token is kept.
const PATIENCE: Duration = Duration::from_secs(5);

impl Doctor {
    pub(super) async fn execute(self, settings: Result<Config, ConfigError>, json: bool) -> Exit {
        let config = match settings {
            Ok(config) => config,
            Err(error) => return report(&doctor::unreadable(&error), Language::default(), json),
        };
        let tasks = Tasks::default();
        let case = match Case::prepare(&config, &tasks, self.send_test).await {
            Ok(case) => case,
            Err(error) => return Exit::problem(&format!("{error:#}")),
        };
        let progress = progress(if self.only.is_empty() { CATALOG.len() } else { self.only.len() });
        let findings = doctor::examine(&case, &self.only, |part| {
            progress.set_message(part);
            progress.inc(1);
        })
        .await;
        progress.finish_and_clear();
        drop(case);
        tasks.end(PATIENCE).await;
        report(&findings, config.telemetry.language, json)
    }
}

/// Shown on a terminal alone.
fn progress(parts: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(parts).unwrap_or_default());
    // A template that cannot be read is one that a test would have found.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn report(findings: &[Finding], language: Language, json: bool) -> Exit {
    if json {
        let printed = output::print_json(&json::document(findings, language));
        if printed != Exit::Done {
            return printed;
        }
    } else {
        output::print(&text::render(findings, language));
    }
    match doctor::worst(findings) {
        Grade::Good | Grade::Warning => Exit::Done,
        Grade::Unreachable => Exit::Unreachable,
        Grade::Fault => Exit::Problems,
    }
}
