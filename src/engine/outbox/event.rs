//! Events for other systems: `CloudEvents` 1.0, announced in the order in which they were written, until the broker has them.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{DUTY, LOOK_EVERY, Relay};
use crate::{
    bus::{
        Message,
        rabbitmq::{Announcer, NotAnnounced},
    },
    failpoints,
    lifecycle::Stop,
    retry::{Backoff, RetryPolicy, reconnect_delay},
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

/// Whoever binds a queue has what waits for it within an hour; a thousand events that nobody wants are no load.
const RETURNED: RetryPolicy = RetryPolicy {
    max_attempts: u32::MAX,
    delay: Duration::from_secs(15),
    backoff: Backoff::Exponential,
    max_delay: Duration::from_hours(1),
};

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
                Ok(Round::Refused(refused)) => {
                    failures = failures.saturating_add(1);
                    // It is tried for days; once is enough to say so.
                    if failures == 1 {
                        self.signals.announced(Announced::Failed(refused.why()));
                    }
                    match refused {
                        // The others are next.
                        NotAnnounced::Returned(_) => {}
                        NotAnnounced::Unreachable(_) => {
                            stop.sleep(reconnect_delay(failures, fastrand::f64()).max(PAUSE)).await;
                        }
                    }
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
        let (mut taken, mut returned, mut tried, mut refused) = (Vec::new(), Vec::new(), Vec::new(), None);
        let now = self.store.clock().now();
        for (event, announced) in waiting.iter().zip(join_all(announcing).await) {
            let Err(why) = announced else {
                taken.push(event.number);
                continue;
            };
            if now.duration_since(event.at) > KEPT {
                tried.push(event.number);
            } else if let NotAnnounced::Returned(_) = why {
                returned.push((event.number, again(event, now)));
            }
            refused = Some(worse(refused, why));
        }
        failpoints::crash("announced");
        self.signals.announced(Announced::Sent(taken.len()));
        self.store.events_announced(taken).await?;
        let Some(refused) = refused else { return Ok(Round::Announced) };
        self.store.events_returned(returned, refused.why()).await?;
        let given_up = self.store.give_up_events(tried, refused.why()).await?;
        if given_up > 0 {
            self.signals.announced(Announced::GivenUp(given_up, refused.why()));
        }
        Ok(Round::Refused(refused))
    }
}

/// When an event that was returned is announced again.
fn again(event: &WaitingEvent, now: Timestamp) -> Timestamp {
    let wait = RETURNED.wait_after(event.returned.saturating_add(1), fastrand::f64(), None).unwrap_or(RETURNED.max_delay);
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Of two reasons the one that holds for more events.
fn worse(one: Option<NotAnnounced>, other: NotAnnounced) -> NotAnnounced {
    match one {
        Some(one @ NotAnnounced::Unreachable(_)) => one,
        Some(NotAnnounced::Returned(_)) | None => other,
    }
}

/// What one look came to.
enum Round {
    /// There was nothing to announce.
    Idle,
    Announced,
    /// The broker did not take all of it.
    Refused(NotAnnounced),
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
    use super::*;

    #[test]
    fn an_event_is_a_cloud_event_under_the_name_of_its_row() {
        let data = json!({"run": "r-1"});
        let (id, kind, subject) = ("e-1".to_owned(), "run.ended".to_owned(), "run r-1".to_owned());
        let waiting = WaitingEvent { number: 7, id, kind, subject, at: Timestamp::UNIX_EPOCH, returned: 0, data };
        let expected = json!({
            "specversion": "1.0", "id": "e-1", "source": "quell", "type": "quell.run.ended.v1", "subject": "run r-1",
            "time": "1970-01-01T00:00:00Z", "datacontenttype": "application/json", "sequence": "00000000000000000007", "data": {"run": "r-1"},
        });
        assert_eq!(document(&waiting), expected);
        assert_eq!(message(&waiting).key, "e-1");
    }

    #[test]
    fn what_nobody_wants_is_announced_ever_more_seldom_and_one_that_is_returned_holds_up_nobody() {
        let waiting = |returned| WaitingEvent {
            number: 7,
            id: String::new(),
            kind: String::new(),
            subject: String::new(),
            at: Timestamp::UNIX_EPOCH,
            returned,
            data: Value::Null,
        };
        let wait = |returned| again(&waiting(returned), Timestamp::UNIX_EPOCH).duration_since(Timestamp::UNIX_EPOCH).as_secs();
        assert!((7..=15).contains(&wait(0)) && (60..=120).contains(&wait(3)) && (1_800..=3_600).contains(&wait(u32::MAX)));
        let (returned, down) = (NotAnnounced::Returned("no queue".to_owned()), NotAnnounced::Unreachable("down".to_owned()));
        assert_eq!(worse(Some(worse(None, returned.clone())), down.clone()), down);
        assert_eq!(worse(Some(down.clone()), returned), down);
    }
}
