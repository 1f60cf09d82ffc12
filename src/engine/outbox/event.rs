//! Events for other systems: `CloudEvents` 1.0, announced in the order in which they were written, until the broker has them.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{DUTY, LOOK_EVERY, Relay};
use crate::{
    bus::{Message, rabbitmq::Announcer},
    failpoints,
    lifecycle::Stop,
    retry::reconnect_delay,
    store::{StoreError, WaitingEvent},
    telemetry::signals::Announced,
};

/// Enough to hide the time of one confirmation behind others.
const BATCH: i64 = 64;

/// A broker that is down for longer, or an exchange without a queue, has nobody who waits for what happened before; and the journal must
/// not fill up with it.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// One that does not take an event is asked again no sooner than this.
const PAUSE: Duration = Duration::from_millis(500);

impl Relay {
    /// Announces what waits, until the program ends.
    pub(super) async fn announce(&self, announcer: &Announcer, stop: &Stop) {
        let mut failures = 0_u32;
        while !stop.is_requested() {
            match self.announce_some(announcer).await {
                Ok(Round::Idle) => {
                    stop.sleep(LOOK_EVERY).await;
                }
                Ok(Round::Announced) => failures = 0,
                Ok(Round::Refused(why)) => {
                    failures = failures.saturating_add(1);
                    // It is tried for days; once is enough to say so.
                    if failures == 1 {
                        self.signals.announced(Announced::Failed(&why));
                    }
                    stop.sleep(reconnect_delay(failures, fastrand::f64()).max(PAUSE)).await;
                }
                Err(error) => {
                    self.signals.store_failed(&error.to_string());
                    stop.sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    async fn announce_some(&self, announcer: &Announcer) -> Result<Round, StoreError> {
        if !self.store.has_duty(DUTY).await? {
            return Ok(Round::Idle);
        }
        let waiting = self.store.waiting_events(BATCH).await?;
        if waiting.is_empty() {
            return Ok(Round::Idle);
        }
        failpoints::crash("announcing");
        let announcing = waiting.iter().map(|event| announcer.announce(&event.kind, message(event)));
        let (mut taken, mut refused) = (Vec::new(), None);
        for (event, announced) in waiting.iter().zip(join_all(announcing).await) {
            match announced {
                Ok(()) => taken.push(event.number),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        failpoints::crash("announced");
        self.signals.announced(Announced::Sent(taken.len()));
        self.store.events_announced(taken).await?;
        let Some(why) = refused else { return Ok(Round::Announced) };
        let overdue = self.store.clock().now().checked_sub(KEPT).unwrap_or(jiff::Timestamp::MIN);
        let given_up = self.store.give_up_events(overdue, &why).await?;
        if given_up > 0 {
            self.signals.announced(Announced::GivenUp(given_up, &why));
        }
        Ok(Round::Refused(why))
    }
}

/// What one look came to.
enum Round {
    /// There was nothing to announce.
    Idle,
    Announced,
    /// The broker did not take all of it.
    Refused(String),
}

/// An event as the broker gets it.
fn message(event: &WaitingEvent) -> Message {
    Message { key: event.id.clone(), body: document(event).to_string().into_bytes() }
}

/// An event in the structured mode of `CloudEvents`.
fn document(event: &WaitingEvent) -> Value {
    json!({
        "specversion": "1.0",
        "id": event.id,
        "source": "quell",
        "type": format!("quell.{}.v1", event.kind),
        "subject": event.subject,
        "time": event.at,
        "datacontenttype": "application/json",
        // Sorts as a text, as the extension has it.
        "sequence": format!("{:020}", event.number),
        "data": event.data,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn an_event_is_a_cloud_event_under_the_name_of_its_row() {
        let data = json!({"run": "r-1"});
        let (id, kind, subject) = ("e-1".to_owned(), "run.ended".to_owned(), "run r-1".to_owned());
        let waiting = WaitingEvent { number: 7, id, kind, subject, at: Timestamp::UNIX_EPOCH, data };
        let expected = json!({
            "specversion": "1.0", "id": "e-1", "source": "quell", "type": "quell.run.ended.v1", "subject": "run r-1",
            "time": "1970-01-01T00:00:00Z", "datacontenttype": "application/json", "sequence": "00000000000000000007", "data": {"run": "r-1"},
        });
        assert_eq!(document(&waiting), expected);
        assert_eq!(message(&waiting).key, "e-1");
    }
}
