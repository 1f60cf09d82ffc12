//! `log`: one line in the program's own log.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tracing::{error, info, warn};

use super::{Action, Context, Done, Failure};
use crate::run::Class;

/// Writes one line to the program's own log.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    /// What to write.
    message: String,
    /// How loud.
    #[serde(default)]
    level: Level,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    #[default]
    Info,
    Warn,
    Error,
}

/// As long as a message to people may be.
const LONGEST_LINE: usize = 3_000;

impl Action for Log {
    const NAME: &'static str = "log";
    const SUMMARY: &'static str = "Write one line to the program's own log";
    const EXAMPLE: &'static str = r#"{ "message": "looked at ${alert.id}", "level": "warn" }"#;
    const CLASS: Class = Class::Idempotent;
    const TELLS: bool = true;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        // Data of an alert must not begin a line of its own.
        let message: String = self.message.chars().map(|it| if it.is_control() { ' ' } else { it }).take(LONGEST_LINE).collect();
        let (run, playbook, step) = (ctx.run, ctx.playbook, ctx.step);
        match self.level {
            Level::Info => info!(%run, playbook, step, "{message}"),
            Level::Warn => warn!(%run, playbook, step, "{message}"),
            Level::Error => error!(%run, playbook, step, "{message}"),
        }
        Ok(Done::Now(json!({ "message": message })))
    }
}
