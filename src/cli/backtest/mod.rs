//! `quell backtest`: what the playbooks on disk would have done with the alerts in the journal and at the times of their schedules, beside
//! what was done.
//!
//! Alerts are read in pages, the times of schedules between them ([`clockwork`], [`pipeline`]), matched, played to their end in order
//! ([`replay`]) and compared with what is recorded ([`compare`]); a [`report::Report`] counts, and `text`, `markdown` and `json` print it. Nothing is sent and nothing is written.

mod clockwork;
mod compare;
mod json;
mod markdown;
mod pipeline;
mod replay;
mod report;
#[cfg(test)]
mod tests;
mod text;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use self::{pipeline::Job, report::Report};
use super::{Desk, Exit, explain::Assumed};
use crate::{duration::Span, playbook::Library, store::While};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Backtest {
    /// The folder of playbooks; without it, the one in the settings.
    #[arg(value_name = "PATH")]
    folder: Option<PathBuf>,
    /// From when on alerts are replayed: a time, a day, or how long ago, e.g. `60d`.
    #[arg(long, default_value = "60d", value_parser = moment)]
    since: Timestamp,
    /// Up to when; without it, now.
    #[arg(long, value_parser = moment)]
    until: Option<Timestamp>,
    /// How the report is printed; `markdown` is for a pull request.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// What people are taken to say when they are asked.
    #[arg(long, value_enum, default_value = "approve")]
    approvals: Assumed,
}

const AFTER_HELP: &str = "\
Reads are answered as they were answered then, changes are taken to succeed. A run that needs an answer that nobody was given is told as
one that cannot be foreseen, and nothing is concluded from it. Schedules are replayed as if the program had run all the time: when it did
not, the journal does not say. Windows and limits hold at the beginning what the time before has left in them.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

impl Backtest {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let folder = self.folder.unwrap_or_else(|| desk.config.playbooks.clone());
        if !folder.is_dir() {
            return Exit::usage(&format!("`{}` is not a folder of playbooks", folder.display()));
        }
        let within = While { since: self.since, until: self.until.unwrap_or_else(Timestamp::now) };
        if within.since >= within.until {
            return Exit::usage(&format!("`--since` {} is not before `--until` {}", within.since, within.until));
        }
        let library = Arc::new(Library::load(&folder));
        let refused = library.refused();
        let (guardrails, site) = (Arc::new(desk.config.guardrails.clone()), Arc::new(desk.config.approvals.clone()));
        let holds = match desk.store.holds(None).await {
            Ok(holds) => Arc::from(holds),
            Err(error) => return Exit::unreachable(&error.to_string()),
        };
        let job = Job { library, guardrails, site, holds, approvals: self.approvals.into(), within };
        let report = match pipeline::run(&desk.store, job).await {
            Ok(report) => Report { refused, ..report },
            Err(error) => return Exit::unreachable(&error.to_string()),
        };
        match self.format {
            Format::Json => json::print(&report),
            Format::Text if desk.json => json::print(&report),
            Format::Text => text::print(&report),
            Format::Markdown => markdown::print(&report),
        }
        if report.is_bad() { Exit::Problems } else { Exit::Done }
    }
}

/// A moment as people write it: a time, a day in the time of this machine, or how long ago.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(day) = text.parse::<Date>() {
        return day.to_zoned(TimeZone::system()).map(|it| it.timestamp()).map_err(|error| error.to_string());
    }
    let wrong = |_: String| format!("`{text}` is no time; write `60d`, `2026-03-02` or `2026-03-02T04:11:09Z`");
    let ago = Span::parse(text).map_err(wrong)?;
    Timestamp::now().checked_sub(ago.0).map_err(|error| error.to_string())
}
