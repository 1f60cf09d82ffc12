//! The bus without a broker: a table in the store, with the same promises.

use std::time::Duration;

use super::{BoxFuture, Bus, Consumer, Delivery, Health, Lost, Message, PublishError, Queue, Receipt};
use crate::store::{Store, StoreError};

/// Carries messages through the store.
#[derive(Debug)]
pub struct EmbeddedBus(Store);

/// Another process (`quell send`) may have put a message into the table without telling this one.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

impl EmbeddedBus {
    /// A bus in that store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }
}

impl Bus for EmbeddedBus {
    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            let stored = self.0.enqueue(message.key, message.body).await;
            stored.map_err(|error| PublishError::Unavailable(error.to_string()))
        })
    }

    fn consume(&self) -> BoxFuture<'_, Result<Box<dyn Consumer>, Lost>> {
        let consumer = Rows { store: self.0.clone(), after: 0 };
        Box::pin(async move { Ok(Box::new(consumer) as Box<dyn Consumer>) })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            let depth = self.0.queue_depth().await.ok();
            Health { publishing: depth.is_some(), depth }
        })
    }
}

/// Reads the table from its start; what an earlier consumer did not acknowledge is still there.
struct Rows {
    store: Store,
    after: i64,
}

impl Consumer for Rows {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Delivery>, Lost>> {
        Box::pin(async move {
            loop {
                // One reads for all, so that each message is taken in once.
                if !self.store.has_duty("embedded bus").await.map_err(lost)? {
                    self.after = 0;
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                let queued = self.store.queued_after(self.after, most).await.map_err(lost)?;
                if let Some(last) = queued.last() {
                    self.after = last.number;
                    return Ok(queued.into_iter().map(delivery).collect());
                }
                // Time running out here is no error: it is when the table is read again.
                drop(tokio::time::timeout(LOOK_AGAIN, self.store.message_queued()).await);
            }
        })
    }

    fn ack(&mut self, receipts: Vec<Receipt>) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(async move {
            let numbers: Vec<i64> = receipts.iter().filter_map(|receipt| i64::try_from(receipt.tag).ok()).collect();
            self.store.dequeue(numbers).await.map_err(lost)
        })
    }
}

fn delivery(queued: crate::store::Queued) -> Delivery {
    let tag = u64::try_from(queued.number).unwrap_or_default();
    Delivery { body: queued.body, receipt: Receipt { queue: Queue::Alerts, tag }, dead: None }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn lost(error: StoreError) -> Lost {
    Lost(error.to_string())
}
