//! `log`: the program's own log.

use schemars::JsonSchema;
use serde::Deserialize;
use tracing::{error, info, warn};

use super::{Channel, Delivery, Notice};
use crate::{alert::Severity, connections::Failure};

/// Writes messages to the program's own log.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {}

impl Channel for Log {
    const TYPE: &'static str = "log";
    const SUMMARY: &'static str = "Write messages to the program's own log";
    const EXAMPLE: &'static str = "{}";

    async fn probe(&self) -> Option<Result<(), Failure>> {
        Some(Ok(()))
    }

    async fn send(&self, to: &Delivery<'_>, notice: &Notice) -> Result<(), Failure> {
        let (channel, id, title, text) = (to.channel, &notice.id, &notice.title, notice.plain_text());
        match notice.severity {
            Severity::Informational | Severity::Low => info!(channel, id, text, "{title}"),
            Severity::Medium | Severity::High => warn!(channel, id, text, "{title}"),
            Severity::Critical => error!(channel, id, text, "{title}"),
        }
        Ok(())
    }
}
