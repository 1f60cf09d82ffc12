//! From the bus into the store: commit first, then acknowledge. No playbook is looked at here.
//!
//! While the store cannot be written nothing is consumed, so that the broker keeps what it has.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::{
    alert::Alert,
    bus::{Bus, Consumer, Delivery, Lost, Receipt},
    failpoints,
    lifecycle::Stop,
    retry::reconnect_delay,
    store::{Arrival, Received, Rejected, Store, StoreError},
    telemetry::signals::Signals,
};

/// Takes alerts in until the program ends.
pub(super) struct Intake {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) store: Store,
    pub(super) signals: Signals,
    /// Told when there are alerts to decide about.
    pub(super) arrived: Arc<Notify>,
}

enum Broken {
    Bus(Lost),
    Store(StoreError),
}

/// As many as one commit takes well.
const BATCH: usize = 200;

/// Each time that the store refuses a batch uses up one of the broker's twenty deliveries of its messages.
const STORE_PAUSE: Duration = Duration::from_secs(3);

/// An alert is a few kilobytes; what is larger than this is not one, and would only fill the store.
const LARGEST_MESSAGE: usize = 1024 * 1024;

impl Intake {
    pub(super) async fn run(self, stop: Stop) {
        let mut failures = 0_u32;
        while !stop.is_requested() {
            self.store.usable(&stop).await;
            let Some(consumer) = stop.or(self.bus.consume()).await else { break };
            let ended = match consumer {
                Ok(consumer) => {
                    self.signals.bus_connected();
                    stop.or(self.pump(consumer, &mut failures)).await
                }
                Err(lost) => Some(Broken::Bus(lost)),
            };
            let is_the_store = matches!(ended, Some(Broken::Store(_)));
            match ended {
                Some(Broken::Bus(Lost(reason))) => self.signals.bus_lost(&reason),
                Some(Broken::Store(error)) => {
                    self.signals.bus_lost(&format!("nothing is consumed while the store cannot be written: {error}"));
                }
                None => self.signals.bus_left(),
            }
            failures = failures.saturating_add(1);
            let wait = reconnect_delay(failures, fastrand::f64());
            stop.sleep(if is_the_store { wait.max(STORE_PAUSE) } else { wait }).await;
        }
    }

    /// Returns when something is broken; dropping the consumer returns what is not acknowledged.
    async fn pump(&self, mut consumer: Box<dyn Consumer>, failures: &mut u32) -> Broken {
        loop {
            let deliveries = match consumer.next(BATCH).await {
                Ok(deliveries) => deliveries,
                Err(lost) => return Broken::Bus(lost),
            };
            let receipts: Vec<Receipt> = deliveries.iter().map(|delivery| delivery.receipt).collect();
            if failpoints::mistake("ack_before_commit") {
                drop(consumer.ack(receipts.clone()).await);
            }
            failpoints::crash("delivered");
            let arrivals: Vec<Arrival> = deliveries.into_iter().map(read).collect();
            match self.store.take_in(arrivals.clone()).await {
                Ok(news) => arrivals.iter().zip(news).for_each(|(arrival, new)| self.report(arrival, new)),
                Err(error) => return Broken::Store(error),
            }
            failpoints::crash("taken_in");
            self.arrived.notify_one();
            if let Err(lost) = consumer.ack(receipts).await {
                return Broken::Bus(lost);
            }
            failpoints::crash("acknowledged");
            *failures = 0;
        }
    }

    fn report(&self, arrival: &Arrival, new: bool) {
        match arrival {
            Arrival::Alert(received) if new => self.signals.alert_received(&received.alert.source, &received.alert.id),
            Arrival::Alert(received) => self.signals.alert_duplicate(&received.alert.source, &received.alert.id),
            Arrival::Rejected(rejected) => self.signals.alert_quarantined(rejected.reason, &rejected.detail),
        }
    }
}

/// What a message is.
fn read(delivery: Delivery) -> Arrival {
    let Delivery { mut body, dead, .. } = delivery;
    let rejected = |reason, detail, body| Arrival::Rejected(Rejected { reason, detail, body });
    if let Some(reason) = dead {
        return rejected("dead_letter", reason, body);
    }
    if body.len() > LARGEST_MESSAGE {
        let detail = format!("the message has {} bytes, over {LARGEST_MESSAGE}; its first part is kept", body.len());
        body.truncate(LARGEST_MESSAGE);
        return rejected("too_large", detail, body);
    }
    match Alert::from_event(&body) {
        Ok(alert) => Arrival::Alert(Box::new(Received { alert, event: body })),
        Err(malformed) => rejected("malformed", malformed.to_string(), body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Queue, Receipt};

    fn delivery(body: &[u8], dead: Option<&str>) -> Delivery {
        Delivery { body: body.to_vec(), receipt: Receipt { queue: Queue::Alerts, tag: 1 }, dead: dead.map(str::to_owned) }
    }

    #[test]
    fn what_is_not_an_alert_goes_to_quarantine_with_its_bytes() {
        let large = vec![b'x'; LARGEST_MESSAGE + 1];
        let deep = [b'['; 4000];
        for (body, dead, expected) in [
            (&b"{\"no\": \"alert\"}"[..], None, "malformed"),
            (&b"\xff\0"[..], None, "malformed"),
            (&b""[..], None, "malformed"),
            (&deep[..], None, "malformed"),
            (&large[..], None, "too_large"),
            (&b"{}"[..], Some("delivery_limit"), "dead_letter"),
        ] {
            let Arrival::Rejected(rejected) = read(delivery(body, dead)) else { panic!("{expected}") };
            assert_eq!(rejected.reason, expected);
            assert!(body.starts_with(&rejected.body));
        }
    }
}
