//! Where log lines go and in which form: text on a terminal, JSON for machines.

use std::io::IsTerminal;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, fmt};

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// Whether a filter can be read.
///
/// # Errors
/// Says why not.
pub fn check(filter: &str) -> anyhow::Result<()> {
    EnvFilter::try_new(filter)?;
    Ok(())
}

/// Sends log lines to the standard error stream. `filter` is in the form of the `RUST_LOG` variable, e.g. `info,quell=debug`.
///
/// # Errors
/// The filter cannot be read, or logs are being written already.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)?;
    let terminal = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match (format, terminal) {
        (LogFormat::Text, _) | (LogFormat::Auto, true) => lines.with_ansi(terminal).try_init(),
        (LogFormat::Json, _) | (LogFormat::Auto, false) => lines.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("start the log: {error}"))
}
