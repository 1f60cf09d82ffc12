//! The command line: one file or folder for each command.
//!
//! Results go to the standard output, everything else to the standard error stream. `--json` gives machines one document.

mod alerts;
mod approvals;
mod audit;
mod backtest;
mod check;
mod doctor;
mod explain;
mod holds;
mod identity;
mod login;
mod lsp;
mod new;
mod output;
mod quarantine;
mod replay;
mod run;
mod runs;
mod schema;
mod send;
mod stop_actions;
mod test;
mod webhook;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    config::Config,
    lifecycle::Tasks,
    store::{self, Store},
};

/// Event-driven response for the security teams of Microsoft cloud partners.
///
/// Alerts about customers' Azure subscriptions arrive from webhooks and polls, are matched against YAML playbooks, and run as
/// actions: notify people, suspend a subscription, cancel an Azure entitlement, update the alert.
#[derive(Debug, Parser)]
#[command(name = "quell", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// The settings; without it `quell.yaml` in the working directory, if it is there. Every setting is also a variable, e.g.
    /// `QUELL_BUS__URL` for `bus.url`.
    #[arg(long, short, global = true, value_name = "FILE", env = "QUELL_CONFIG")]
    config: Option<PathBuf>,
    /// Print one JSON document for machines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  quell check                       every problem in the settings and playbooks at once
  quell run                         embedded bus, SQLite in ./data, ./playbooks, web on 127.0.0.1:8080
  quell send alert.json             put an alert on the bus
  quell doctor                      what is missing, from the bus to a customer's tenant, and where to grant it
  quell explain alert.json          what each playbook would do about it; sends nothing
  quell alerts list                 what came, and what became of it
  quell approvals list              what people are asked; then show, approve or reject
  quell runs show 0198c3e2          one run, step by step (the first characters of its id are enough)

Exit codes: 0 done, 1 problems found, 2 wrong usage, 3 cannot reach something.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the adapters, the engine and the web listener until Ctrl-C or SIGTERM; what is under way is finished first, unless it is asked twice.
    Run(run::Run),
    /// Show every problem in the settings and playbooks, with its place and what to do.
    Check(check::Check),
    /// Try playbooks on their tests, the files `*.test.yaml` beside them.
    Test(test::Test),
    /// Put alerts on the bus: files, folders, or the standard input with one JSON document a line.
    Send(send::Send),
    /// Say what every playbook answers to an alert, and why; for those that match, the plan step by step. Sends nothing.
    Explain(explain::Explain),
    /// Replay the alerts of the journal and the times of schedules through the playbooks on disk: what they would have done, beside what was
    /// done. Sends nothing.
    Backtest(backtest::Backtest),
    /// Answer an alert of the journal once more, with the playbooks as they are now.
    Replay(replay::Replay),
    /// What came, and what became of it.
    #[command(subcommand)]
    Alerts(alerts::Alerts),
    /// What playbooks did, step by step; begin one by hand, cancel one, settle what nobody knows, or undo what one did.
    #[command(subcommand)]
    Runs(runs::Runs),
    /// What people are asked: look at the exact plan, and agree to it or not.
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    /// What a person wants to run and nothing stops without people's word; also what was started again after Quell had stopped it.
    #[command(subcommand)]
    Holds(holds::Holds),
    /// Messages that are not alerts, and alerts that were old when Quell came: look at them, put them on the bus, or drop them.
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    /// Where Partner Center sends its events: register it, look at it, and try with a test event whether they arrive.
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Find what is missing between the settings and the outside: bus, journal, tokens, permissions, roles, consent, channels. Changes nothing.
    Doctor(doctor::Doctor),
    /// Have a person consent that a connection works for them; shows a code that they enter in a browser.
    Login(login::Login),
    /// Throw the kill switch: no step begins any more that changes anything but what people are told. Works without the store.
    StopActions(stop_actions::Why),
    /// Let steps begin again that wait because the kill switch was thrown.
    ResumeActions(stop_actions::Why),
    /// Who did what, and whether somebody edited it afterwards.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Serve an editor over the standard input and output: problems, completion and explanations while playbooks and settings are written.
    Lsp(lsp::Lsp),
    /// Print the JSON Schema of what can be written, for editors.
    Schema {
        /// Of what.
        #[arg(value_enum)]
        of: schema::Schema,
    },
    /// What there is to write with, with examples.
    #[command(subcommand)]
    Catalog(schema::Catalog),
    /// Write a playbook and its test to begin with; nothing that is there is overwritten.
    New(new::New),
    /// Print a completion script, e.g. `quell completions bash > /etc/bash_completion.d/quell`.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It worked, and found problems.
    Problems,
    /// It was asked in a way that makes no sense.
    Usage,
    /// It could not reach the store, the bus or an address.
    Unreachable,
}

impl Cli {
    /// Runs the command.
    pub async fn execute(self) -> Exit {
        let Self { config, json, command } = self;
        let settings = || Config::load(config.as_deref(), variables());
        match command {
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "quell", &mut std::io::stdout());
                Exit::Done
            }
            Command::Schema { of } => of.execute(),
            Command::Lsp(lsp) => lsp.execute(config).await,
            Command::Catalog(catalog) => catalog.execute(json),
            Command::Check(check) => check.execute(settings(), json).await,
            Command::Doctor(doctor) => doctor.execute(settings(), json).await,
            Command::Test(test) => test.execute(settings(), json).await,
            other => match settings() {
                Ok(config) => other.execute(&config, json).await,
                Err(error) => Exit::usage(&error.to_string()),
            },
        }
    }
}

impl Command {
    async fn execute(self, config: &Config, json: bool) -> Exit {
        let other = match self {
            Self::Run(run) => return run.execute(config).await,
            Self::New(new) => return new.execute(config),
            Self::Explain(explain) => return explain.execute(config, json).await,
            Self::Replay(replay) => match replay.rehearse(config, json).await {
                Ok(exit) => return exit,
                Err(replay) => Self::Replay(replay),
            },
            Self::StopActions(why) => return why.stop(config, json).await,
            Self::ResumeActions(why) => return why.resume(config, json).await,
            other => other,
        };
        let journal = match store::file_of(config.store.url.expose()) {
            Ok(journal) => journal,
            Err(error) => return Exit::usage(&error.to_string()),
        };
        // A look makes nothing; only what puts an alert on the embedded bus, or is given a new refresh token, may make its table.
        let may_make = matches!(other, Self::Send(_) | Self::Webhook(_) | Self::Login(_));
        if let Some(journal) = journal.filter(|journal| !may_make && !journal.exists()) {
            return Exit::problem(&format!("there is no journal at `{}` yet; `quell run` makes it", journal.display()));
        }
        let tasks = Tasks::default();
        let store = match Store::open(&config.store, &tasks, None).await {
            Ok(store) => store.with_outlet(config.outlet()),
            Err(error) => return Exit::unreachable(&error.to_string()),
        };
        let desk = Desk { config, store, tasks: tasks.clone(), json };
        let exit = match other {
            Self::Send(send) => send.execute(&desk).await,
            Self::Backtest(backtest) => backtest.execute(&desk).await,
            Self::Replay(replay) => replay.execute(&desk).await,
            Self::Alerts(alerts) => alerts.execute(&desk).await,
            Self::Runs(runs) => runs.execute(&desk).await,
            Self::Approvals(approvals) => approvals.execute(&desk).await,
            Self::Holds(holds) => holds.execute(&desk).await,
            Self::Quarantine(quarantine) => quarantine.execute(&desk).await,
            Self::Webhook(webhook) => webhook.execute(&desk).await,
            Self::Login(login) => login.execute(&desk).await,
            Self::Audit(audit) => audit.execute(&desk).await,
            Self::Run(_)
            | Self::New(_)
            | Self::Explain(_)
            | Self::StopActions(_)
            | Self::ResumeActions(_)
            | Self::Check(_)
            | Self::Doctor(_)
            | Self::Test(_)
            | Self::Lsp(_)
            | Self::Schema { .. }
            | Self::Catalog(_)
            | Self::Completions { .. } => Exit::Done,
        };
        drop(desk);
        tasks.end(std::time::Duration::from_secs(5)).await;
        exit
    }
}

/// What a command works with.
struct Desk<'a> {
    config: &'a Config,
    store: Store,
    tasks: Tasks,
    json: bool,
}

impl Exit {
    /// Says what is wrong with the usage.
    #[expect(clippy::print_stderr, reason = "this is where commands report")]
    pub fn usage(message: &str) -> Self {
        eprintln!("error: {}", output::printable(message));
        Self::Usage
    }

    /// Says what cannot be reached.
    #[expect(clippy::print_stderr, reason = "this is where commands report")]
    pub fn unreachable(message: &str) -> Self {
        eprintln!("error: {}", output::printable(message));
        Self::Unreachable
    }

    /// Says what was found wrong.
    #[expect(clippy::print_stderr, reason = "this is where commands report")]
    pub fn problem(message: &str) -> Self {
        eprintln!("error: {}", output::printable(message));
        Self::Problems
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Problems => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
        })
    }
}

/// The environment's variables that can be read as text.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
