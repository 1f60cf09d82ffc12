//! `alert.update_status`: say in Graph where work on an alert stands.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, FailureKind, alert};
use crate::run::Class;

/// Says at the source where work on an alert stands. An alert that somebody has resolved is left alone.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Parameters")]
pub(super) struct AlertUpdateStatus {
    wanted: Wanted,
    alert_id: Option<String>,
    connection: Option<String>,
}

/// Says at the source where work on an alert stands. An alert that somebody has resolved is left alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Where it stands.
    status: Status,
    /// How it was resolved; required with `resolved`.
    #[serde(default)]
    resolved_reason: Option<ResolvedReason>,
    /// The alert, by Graph's identifier; that of the run if left out.
    #[serde(default)]
    alert_id: Option<String>,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

/// Work on an alert goes forward only.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Investigating,
    Resolved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ResolvedReason {
    Legitimate,
    Ignore,
    Fraud,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Investigating,
    Resolved(ResolvedReason),
}

impl TryFrom<Parameters> for AlertUpdateStatus {
    type Error = &'static str;

    fn try_from(it: Parameters) -> Result<Self, Self::Error> {
        let wanted = match (it.status, it.resolved_reason) {
            (Status::Resolved, Some(reason)) => Wanted::Resolved(reason),
            (Status::Investigating, None) => Wanted::Investigating,
            (Status::Resolved, None) => return Err("`resolved` needs a `resolved_reason`: `legitimate`, `ignore` or `fraud`"),
            (Status::Investigating, Some(_)) => return Err("`resolved_reason` belongs to `status: resolved`"),
        };
        Ok(Self { wanted, alert_id: it.alert_id, connection: it.connection })
    }
}

impl JsonSchema for AlertUpdateStatus {
    fn schema_name() -> Cow<'static, str> {
        "AlertUpdateStatus".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Parameters::json_schema(generator)
    }
}

impl Action for AlertUpdateStatus {
    const NAME: &'static str = "alert.update_status";
    const SUMMARY: &'static str = "Say at the source where work on an alert stands";
    const EXAMPLE: &'static str = r#"{ "status": "resolved", "resolved_reason": "fraud" }"#;
    const CLASS: Class = Class::Idempotent;

    fn target(&self, ctx: &Context<'_>) -> Option<String> {
        alert::id(self.alert_id.as_deref(), ctx).ok().map(|id| format!("alert:{}", id.to_lowercase()))
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let id = alert::id(self.alert_id.as_deref(), ctx)?;
        let before = microsoft.get_alert(id).await?;
        // Cancelling in the portal resolves all alerts of a subscription, so somebody else may have been here first.
        if self.is_reached(&before) || alert::says(&before, "status", "resolved") {
            return Ok(Done::Found(output(id, &before, false)));
        }
        let reason = match self.wanted {
            Wanted::Investigating => None,
            Wanted::Resolved(reason) => Some(reason.word()),
        };
        microsoft.update_alert(id, self.status(), reason).await?;
        // The answer to a change is no proof: a documented one shows the old status.
        let after = microsoft.get_alert(id).await?;
        if self.is_reached(&after) || alert::says(&after, "status", "resolved") {
            return Ok(Done::Now(output(id, &after, true)));
        }
        Err(Failure::new(FailureKind::Unknown, format!("Graph took the change to `{}`, and the alert does not show it yet", self.status())))
    }
}

impl AlertUpdateStatus {
    fn status(&self) -> &'static str {
        match self.wanted {
            Wanted::Investigating => "investigating",
            Wanted::Resolved(_) => "resolved",
        }
    }

    fn is_reached(&self, alert: &Value) -> bool {
        alert::says(alert, "status", self.status())
    }
}

impl ResolvedReason {
    fn word(self) -> &'static str {
        match self {
            Self::Legitimate => "legitimate",
            Self::Ignore => "ignore",
            Self::Fraud => "fraud",
        }
    }
}

fn output(id: &str, alert: &Value, changed: bool) -> Value {
    let of = |name: &str| alert.get(name).cloned().unwrap_or_default();
    json!({
        "alert_id": id,
        "status": of("status"),
        "changed": changed,
        "resolved_reason": of("resolvedReason"),
        "resolved_by": of("resolvedBy"),
    })
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;

    use super::{
        super::contract::{Bench, fault, prepare},
        *,
    };

    async fn update(bench: &Bench, with: Value) -> Value {
        match bench.perform(&prepare("alert.update_status", with)).await.unwrap() {
            Done::Now(output) | Done::Found(output) => output,
            Done::Accepted(output) => panic!("{output}"),
        }
    }

    #[tokio::test]
    async fn an_alert_goes_forward_and_a_repeat_changes_nothing() {
        let bench = Bench::new(Options::default()).await;
        let output = update(&bench, json!({ "status": "investigating" })).await;
        assert_eq!((&output["status"], &output["changed"]), (&"investigating".into(), &true.into()));
        let resolve = json!({ "status": "resolved", "resolved_reason": "fraud" });
        let output = update(&bench, resolve.clone()).await;
        assert_eq!((&output["resolved_reason"], &output["changed"]), (&"fraud".into(), &true.into()));
        assert_eq!(update(&bench, resolve).await["changed"], false);
        assert_eq!(update(&bench, json!({ "status": "investigating" })).await["status"], "resolved");
        assert_eq!(bench.simulator.counts().alert_updates, 2);
    }

    #[tokio::test]
    async fn what_somebody_else_resolved_is_left_alone_and_says_by_whom() {
        let bench = Bench::new(Options::default()).await;
        assert!(bench.simulator.set_alert_status(&bench.alert.id, "resolved", Some("ignore")));
        let output = update(&bench, json!({ "status": "resolved", "resolved_reason": "fraud" })).await;
        assert_eq!((&output["changed"], &output["resolved_reason"]), (&false.into(), &"ignore".into()));
        assert!(output["resolved_by"].is_string(), "{output}");
        assert_eq!(bench.simulator.counts().alert_updates, 0);
    }

    #[test]
    fn a_resolution_needs_its_reason_and_nothing_else_has_one() {
        let faults = |with: Value| fault("alert.update_status", with);
        assert!(faults(json!({ "status": "resolved" })).contains("needs a `resolved_reason`"));
        assert!(faults(json!({ "status": "investigating", "resolved_reason": "fraud" })).contains("belongs to"));
        assert!(faults(json!({ "status": "active" })).contains("`investigating`"));
    }
}
