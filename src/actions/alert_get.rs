//! `alert.get`: look again at an alert, because somebody may have worked on it since.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Context, Done, Failure, alert};
use crate::run::Class;

/// Looks at an alert at its source as it is now.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertGet {
    /// The alert, by Graph's identifier; that of the run if left out.
    #[serde(default)]
    alert_id: Option<String>,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for AlertGet {
    const NAME: &'static str = "alert.get";
    const SUMMARY: &'static str = "Look at an alert at its source as it is now";
    const EXAMPLE: &'static str = r#"{ "alert_id": "${alert.id}" }"#;
    const CLASS: Class = Class::Read;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let id = alert::id(self.alert_id.as_deref(), ctx)?;
        let found = ctx.microsoft(self.connection.as_deref())?.get_alert(id).await?;
        Ok(Done::Now(alert::told(&found)))
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;
    use serde_json::json;

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };

    #[tokio::test]
    async fn what_a_person_did_in_the_portal_is_seen() {
        let bench = Bench::new(Options::default()).await;
        assert!(bench.simulator.set_alert_status(&bench.alert.id, "resolved", Some("ignore")));
        let Done::Now(output) = bench.perform(&prepare("alert.get", json!({}))).await.unwrap() else { panic!() };
        assert_eq!((&output["status"], &output["resolved_reason"]), (&"resolved".into(), &"ignore".into()));
        assert!(output["resource_ids"][0].as_str().unwrap().ends_with("/vm-07"), "{output}");
    }

    #[tokio::test]
    async fn an_alert_that_is_not_there_is_said_to_be_missing() {
        let bench = Bench::new(Options::default()).await;
        let failure = bench.perform(&prepare("alert.get", json!({ "alert_id": "nothing" }))).await.unwrap_err();
        assert_eq!((failure.kind, failure.http_status), (FailureKind::Rejected, Some(404)));
    }
}
