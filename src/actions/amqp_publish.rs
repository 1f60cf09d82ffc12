//! `amqp.publish`: hand a message to others on the configured broker.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, FailureKind};
use crate::{
    bus::rabbitmq::{Letter, PostError},
    run::Class,
};

/// Hands a message to others on the broker of `bus.url`. It is done when a queue has the message. A repeat carries the same message id, by which
/// receivers recognise it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AmqpPublish {
    /// An exchange that exists. Left out, the queue whose name is the `routing_key`.
    #[serde(default)]
    exchange: String,
    /// By which the exchange chooses queues.
    routing_key: String,
    /// The message: a text is sent as it is, anything else as JSON.
    body: Value,
}

/// The broker's own limit is far above; what is longer is no message but a file.
const LONGEST_BODY: usize = 1024 * 1024;

impl Action for AmqpPublish {
    const NAME: &'static str = "amqp.publish";
    const SUMMARY: &'static str = "Hand a message to others on the configured broker";
    const EXAMPLE: &'static str =
        r#"{ "exchange": "soc", "routing_key": "contained", "body": { "subscription": "${alert.subscription_id}" } }"#;
    /// A repeat carries the same message id.
    const CLASS: Class = Class::Idempotent;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let (body, content_type) = match &self.body {
            Value::String(text) => (text.clone().into_bytes(), "text/plain; charset=utf-8"),
            body => (body.to_string().into_bytes(), "application/json"),
        };
        if body.len() > LONGEST_BODY {
            return Err(Failure::rejected(format!("the message is {} bytes long, and at most {LONGEST_BODY} are sent", body.len())));
        }
        let id = ctx.request_id.to_string();
        let letter = Letter { exchange: self.exchange.clone(), routing_key: self.routing_key.clone(), id, content_type, body };
        ctx.services.postbox.post(&letter).await.map_err(failure)?;
        Ok(Done::Now(json!({ "message_id": letter.id })))
    }
}

fn failure(error: PostError) -> Failure {
    match error {
        PostError::Refused(why) => Failure::rejected(why),
        PostError::NotTaken(why) => Failure::new(FailureKind::NotDone, why),
        PostError::Unknown(why) => Failure::new(FailureKind::Unknown, why),
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;

    use super::{
        super::contract::{Bench, prepare},
        *,
    };
    use crate::{
        bus::rabbitmq::{Postbox, Settings},
        secret::Secret,
    };

    async fn publish(bus: Settings, with: Value) -> Failure {
        let mut bench = Bench::new(Options::default()).await;
        bench.services.postbox = Postbox::of(&bus);
        bench.perform(&prepare("amqp.publish", with)).await.unwrap_err()
    }

    #[tokio::test]
    async fn without_a_broker_and_to_our_own_queue_nothing_is_sent() {
        let with = json!({ "routing_key": "quell.alerts", "body": "x" });
        let failure = publish(Settings::default(), with.clone()).await;
        assert!(failure.kind == FailureKind::Rejected && failure.message.contains("`embedded`"), "{failure}");
        let broker = || Settings { url: Secret::new("amqp://u:hunter2@127.0.0.1:1/"), ..Settings::default() };
        let failure = publish(broker(), with).await;
        assert!(failure.kind == FailureKind::Rejected && failure.message.contains("Quell's own"), "{failure}");
    }

    #[tokio::test]
    async fn a_broker_that_is_down_has_taken_nothing() {
        let broker = Settings { url: Secret::new("amqp://u:hunter2@127.0.0.1:1/"), ..Settings::default() };
        let failure = publish(broker, json!({ "routing_key": "soc", "body": "x" })).await;
        assert_eq!(failure.kind, FailureKind::NotDone);
        assert!(!failure.message.contains("hunter2"), "{failure}");
    }
}
