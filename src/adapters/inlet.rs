//! Where alerts leave an adapter: they get their source and their time, and go on the bus.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;
use tracing::warn;

use super::Surroundings;
use crate::{
    alert::{Alert, Malformed, id_from_bytes},
    bus::{Bus, Message, PublishError},
    failpoints,
    telemetry::signals::Signals,
};

/// Puts an adapter's alerts on the bus.
#[derive(Clone)]
pub(super) struct Inlet {
    /// The adapter's name.
    pub(super) adapter: String,
    /// The source that its alerts name.
    pub(super) source: String,
    pub(super) signals: Signals,
    bus: Arc<dyn Bus>,
}

/// A bus confirms many messages at the price of one, but one adapter should not fill it.
const AT_ONCE: usize = 64;

impl Inlet {
    /// An inlet for one adapter.
    pub(super) fn new(adapter: &str, source: &str, around: &Surroundings) -> Self {
        let (adapter, source) = (adapter.to_owned(), source.to_owned());
        Self { adapter, source, signals: around.signals.clone(), bus: Arc::clone(&around.bus) }
    }

    /// An alert as it goes on the bus. Whatever it says of itself, it is of this source and was received now.
    ///
    /// # Errors
    /// One of its texts is unusable.
    pub(super) fn pack(&self, alert: Alert, now: Timestamp) -> Result<Message, Malformed> {
        let alert = Alert { source: self.source.clone(), received_at: now, ..alert }.checked()?;
        Ok(Message { key: alert.dedup_key(), body: alert.to_event() })
    }

    /// An item that cannot be made an alert, as it goes on the bus: there it is set aside for a person. It is neither lost nor in the way.
    pub(super) fn pack_unreadable(&self, item: &Value, reason: &str) -> Message {
        self.pack_bytes(item.to_string().into_bytes(), reason)
    }

    /// Bytes that cannot be made an alert, as they came; on the bus they are set aside for a person.
    pub(super) fn pack_bytes(&self, body: Vec<u8>, reason: &str) -> Message {
        warn!(adapter = self.adapter, reason, "message of {} is no alert and goes to the quarantine: {reason}", self.adapter);
        // What is an alert in our form, and not by this adapter's map, is nobody's word for being one of another source.
        let body = if Alert::from_event(&body).is_ok() { [b"refused: ".as_slice(), &body].concat() } else { body };
        Message { key: id_from_bytes(&self.source, &body), body }
    }

    /// Puts messages on the bus. All of them are durable when this succeeds; some may be when it fails, and a repeat is recognised.
    pub(super) async fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        let confirmations = stream::iter(messages).map(|message| self.bus.publish(message));
        let confirmed = confirmations.buffered(AT_ONCE).try_collect().await;
        if failpoints::mistake("answer_unconfirmed") { Ok(()) } else { confirmed }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Bench, *};

    #[tokio::test]
    async fn what_is_set_aside_is_never_an_alert_of_another_source() {
        let bench = Bench::new().await;
        let inlet = Inlet::new("feed", "feed", &bench.around);
        let fields = serde_json::json!({
            "id": "1", "source": "graph", "kind": "crypto_mining", "detected_at": "2026-01-01T00:00:00Z", "received_at": "2026-01-01T00:00:00Z",
        });
        let forged: Alert = serde_json::from_value(fields).unwrap();
        let event: Value = serde_json::from_slice(&forged.to_event()).unwrap();
        assert!(Alert::from_event(&inlet.pack_unreadable(&event, "its map fails").body).is_err());
        assert!(Alert::from_event(&inlet.pack_bytes(forged.to_event(), "its map fails").body).is_err());
        let other = serde_json::json!({"b": 1});
        assert_eq!(inlet.pack_unreadable(&other, "no alert").body, other.to_string().into_bytes(), "all else is kept as it came");
    }
}
