//! `alert.annotate`: keep a note with an alert. It is kept in the journal, because no service of Microsoft's takes notes on alerts.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure, alert};
use crate::run::Class;

/// Keeps a note with an alert, as the output of this step in the journal. Nothing is sent: the source takes no notes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertAnnotate {
    /// What to note.
    note: String,
    /// The alert that it is about; that of the run if left out.
    #[serde(default)]
    alert_id: Option<String>,
}

/// As long as a message to people may be.
const LONGEST_NOTE: usize = 3_000;

impl Action for AlertAnnotate {
    const NAME: &'static str = "alert.annotate";
    const SUMMARY: &'static str = "Keep a note with an alert, in the journal";
    const EXAMPLE: &'static str = r#"{ "note": "two unknown virtual machines in ${alert.subscription_id}" }"#;
    /// The step's output is the note: whoever writes it again writes the same.
    const CLASS: Class = Class::Idempotent;
    const TELLS: bool = true;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let id = alert::id(self.alert_id.as_deref(), ctx)?;
        let note = self.note.trim();
        if note.is_empty() {
            return Err(Failure::rejected("`note` is empty"));
        }
        Ok(Done::Now(json!({ "alert_id": id, "note": note.chars().take(LONGEST_NOTE).collect::<String>() })))
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };

    #[tokio::test]
    async fn a_note_is_kept_and_nothing_is_sent() {
        let bench = Bench::new(Options::default()).await;
        let Done::Now(output) = bench.perform(&prepare("alert.annotate", json!({ "note": " mining " }))).await.unwrap() else { panic!() };
        assert_eq!(output, json!({ "alert_id": bench.alert.id, "note": "mining" }));
        assert_eq!(bench.simulator.counts().requests, 0);
        let failure = bench.perform(&prepare("alert.annotate", json!({ "note": " " }))).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
    }
}
