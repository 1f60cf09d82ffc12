//! `notify`: tell people.

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure, FailureKind};
use crate::{alert::Severity, channels::Notice, run::Class};

/// Tells people something, through one or more channels.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Notify {
    /// The channels, e.g. `slack:secops`, or addresses such as `email:someone@contoso.com` where the site allows them.
    #[schemars(length(min = 1))]
    channels: Vec<String>,
    /// The message.
    text: String,
    /// One line above the message; the alert's title if left out.
    #[serde(default)]
    title: Option<String>,
    /// How urgent it looks; as severe as the alert if left out.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("enum" = ["informational", "low", "medium", "high", "critical"]))]
    severity: Option<Severity>,
}

impl Action for Notify {
    const NAME: &'static str = "notify";
    const SUMMARY: &'static str = "Tell people, through one or more channels";
    const EXAMPLE: &'static str = r#"{ "channels": ["slack:secops"], "text": "Suspended ${steps.sub.output.name}" }"#;
    /// A repeat carries the same identifier, so that people recognise it.
    const CLASS: Class = Class::Idempotent;
    const TELLS: bool = true;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        if self.channels.is_empty() {
            return Err(Failure::rejected("`channels` is empty"));
        }
        let notice = self.notice(ctx);
        // One slow channel does not keep the others waiting.
        let sending = self.channels.iter().map(|channel| ctx.services.channels.send(channel, &notice));
        let outcomes = self.channels.iter().zip(join_all(sending).await);
        let failures: Vec<_> = outcomes.filter_map(|(channel, outcome)| Some((channel, outcome.err()?))).collect();
        if failures.is_empty() {
            return Ok(Done::Now(json!({ "sent": self.channels })));
        }
        Err(joined(&failures))
    }
}

impl Notify {
    fn notice(&self, ctx: &Context<'_>) -> Notice {
        let alert = ctx.alert;
        let title = alert.map(|alert| alert.title.as_str()).filter(|title| !title.is_empty()).unwrap_or(ctx.playbook);
        let title = self.title.as_deref().unwrap_or(title);
        let customer = alert.map_or("", |alert| alert.customer_name.as_deref().unwrap_or(&alert.customer_tenant_id));
        let facts = [
            ("Customer", customer),
            ("Subscription", alert.map_or("", |alert| &alert.subscription_id)),
            ("Alert", alert.map_or("", |alert| &alert.id)),
            ("Playbook", ctx.playbook),
            ("Run", &ctx.run.0),
        ];
        Notice {
            id: ctx.request_id.to_string(),
            title: title.to_owned(),
            text: self.text.clone(),
            severity: self.severity.or_else(|| alert.map(|alert| alert.severity)).unwrap_or(Severity::Informational),
            facts: facts
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// One failure that names every channel. Another try is worth it when any of them may then succeed.
fn joined(failures: &[(&String, Failure)]) -> Failure {
    let said: Vec<_> = failures.iter().map(|(channel, failure)| format!("`{channel}`: {failure}")).collect();
    let is_final = failures.iter().all(|(_, failure)| failure.kind == FailureKind::Rejected);
    let kind = if is_final { FailureKind::Rejected } else { FailureKind::NotDone };
    let retry_after = failures.iter().filter_map(|(_, failure)| failure.retry_after).max();
    Failure { retry_after, ..Failure::new(kind, format!("not told: {}", said.join("; "))) }
}

#[cfg(test)]
mod tests {
    use quell_simulator::{Fault, FaultKind, Options};
    use serde_json::Value;

    use super::{
        super::contract::{Bench, prepare},
        *,
    };

    fn tell(channels: &[&str]) -> super::super::Prepared {
        prepare("notify", json!({ "channels": channels, "text": "Suspended <it>" }))
    }

    #[tokio::test]
    async fn every_channel_is_told_and_a_repeat_carries_the_same_identifier() {
        let bench = Bench::new(Options::default()).await;
        for _ in 0..2 {
            let done = bench.perform(&tell(&["log:default", "slack:secops"])).await.unwrap();
            assert_eq!(done, Done::Now(json!({ "sent": ["log:default", "slack:secops"] })));
        }
        let bodies: Vec<Value> = bench.simulator.effects("message.slack").into_iter().filter_map(|it| it.body).collect();
        assert_eq!(bodies[0], bodies[1]);
        assert!(bodies[0].to_string().contains(&bench.ctx().request_id.to_string()));
    }

    #[tokio::test]
    async fn a_channel_that_fails_is_named_and_the_others_are_told() {
        let bench = Bench::new(Options::default()).await;
        let failure = bench.perform(&tell(&["slack:secop", "slack:secops"])).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert!(failure.message.contains("did you mean `slack:secops`?"), "{failure}");
        assert_eq!(bench.simulator.counts().slack, 1);

        let busy = FaultKind::Status { status: 429, body: None, retry_after: Some("9".to_owned()) };
        bench.simulator.fault(Fault::always(busy));
        let failure = bench.perform(&tell(&["nobody", "slack:secops"])).await.unwrap_err();
        assert_eq!((failure.kind, failure.retry_after.unwrap().as_secs()), (FailureKind::NotDone, 9));
    }
}
