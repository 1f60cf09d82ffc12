//! The loop of every adapter that is sent messages over a connection of its own: connecting, publishing, acknowledging, backoff.
//!
//! A message is acknowledged only after it is on the bus, so that a crash or a fault anywhere repeats but never skips. Several nodes may
//! each have a connection: the sender gives each message to one.

use std::{fmt, time::Duration};

use tracing::{Instrument, info_span};

use super::inlet::Inlet;
use crate::{
    bus::{BoxFuture, Lost, Message},
    failpoints,
    lifecycle::Stop,
    retry::{Backoff, RetryPolicy},
};

/// Is sent messages.
pub struct Feed {
    inlet: Inlet,
    sender: Box<dyn Sender>,
}

/// Where messages come from.
pub(super) trait Sender: Send + Sync + 'static {
    /// Connects, once.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Line>, Lost>>;
}

/// A connection to the sender. Dropping it returns what it has not acknowledged.
pub(super) trait Line: Send {
    /// Waits for messages.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Message>, Lost>>;

    /// Acknowledges all that `next` returned.
    fn acknowledge(&mut self) -> BoxFuture<'_, Result<(), Lost>>;
}

/// As soon as a broker that was started again can answer, and not so often that it is kept from it.
const AGAIN: RetryPolicy = RetryPolicy {
    max_attempts: u32::MAX,
    delay: Duration::from_secs(1),
    backoff: Backoff::Exponential,
    max_delay: Duration::from_secs(30),
};

impl Feed {
    pub(super) fn new(inlet: Inlet, sender: impl Sender) -> Self {
        inlet.signals.feed_lost(&inlet.adapter, None);
        Self { inlet, sender: Box::new(sender) }
    }

    /// Receives until the program should end.
    pub async fn run(self, stop: Stop) {
        let mut failures = 0;
        let span = info_span!("feed", adapter = self.inlet.adapter);
        while !stop.is_requested() {
            let Some(lost) = stop.or(self.flow(&mut failures).instrument(span.clone())).await else {
                return;
            };
            failures += 1;
            let again_in = wait(failures);
            self.inlet.signals.feed_lost(&self.inlet.adapter, Some((&lost.0, again_in)));
            stop.sleep(again_in).await;
        }
    }

    /// Passes messages on until the connection is lost.
    async fn flow(&self, failures: &mut u32) -> Lost {
        let mut line = match self.sender.connect().await {
            Ok(line) => line,
            Err(lost) => return lost,
        };
        self.inlet.signals.feed_connected(&self.inlet.adapter);
        loop {
            let messages = match line.next().await {
                Ok(messages) => messages,
                Err(lost) => return lost,
            };
            *failures = 0;
            self.publish(messages).await;
            failpoints::crash("feed_published");
            if let Err(lost) = line.acknowledge().await {
                return lost;
            }
        }
    }

    /// Keeps what it has in hand while the bus cannot take it. Giving it back would count as a delivery that failed, and after some of
    /// those a broker gives a message up.
    async fn publish(&self, messages: Vec<Message>) {
        let mut failures = 0;
        while let Err(error) = self.inlet.publish(messages.clone()).await {
            failures += 1;
            let again_in = wait(failures);
            self.inlet.signals.feed_waits(&self.inlet.adapter, &error.to_string(), again_in);
            tokio::time::sleep(again_in).await;
        }
    }
}

fn wait(failures: u32) -> Duration {
    AGAIN.wait_after(failures, fastrand::f64(), None).unwrap_or(AGAIN.max_delay)
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("adapter", &self.inlet.adapter).finish_non_exhaustive()
    }
}
