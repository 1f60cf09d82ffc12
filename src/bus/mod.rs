//! The bus: carries alerts from adapters to the engine, in order and at least once.
//!
//! Two members with the same promises: [`RabbitMQ`](rabbitmq) and a table in the store ([`embedded`]).
//! What is published is durable when `publish` returns; what is not acknowledged is delivered again.

pub mod embedded;
pub mod rabbitmq;

use std::{pin::Pin, time::Duration};

/// A future behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Carries messages.
pub trait Bus: Send + Sync + 'static {
    /// Hands over one message. It is durable when this succeeds, and may still have been taken when it fails.
    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), PublishError>>;

    /// Begins to receive. Dropping the consumer returns what it has not acknowledged.
    fn consume(&self) -> BoxFuture<'_, Result<Box<dyn Consumer>, Lost>>;

    /// Whether it can be reached now, and how many messages wait if that is known.
    fn health(&self) -> BoxFuture<'_, Health>;
}

/// Receives messages in order.
pub trait Consumer: Send {
    /// Waits for messages and returns those that are there, at least one and at most `most`.
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Delivery>, Lost>>;

    /// Acknowledges deliveries that `next` returned: they will not come again.
    fn ack(&mut self, receipts: Vec<Receipt>) -> BoxFuture<'_, Result<(), Lost>>;
}

/// What is put on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The alert's dedup key; a broker shows it, nothing relies on it.
    pub key: String,
    /// An alert as `CloudEvents` JSON.
    pub body: Vec<u8>,
}

/// What came from the bus.
#[derive(Debug)]
pub struct Delivery {
    /// The bytes as they came.
    pub body: Vec<u8>,
    /// Answers this delivery.
    pub receipt: Receipt,
    /// Set when the broker gave up on the message, with its reason; such a message belongs in the quarantine.
    pub dead: Option<String>,
}

/// Stands for one delivery when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) queue: Queue,
    pub(crate) tag: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    Alerts,
    Dead,
}

/// How the bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Whether a message would be taken now.
    pub publishing: bool,
    /// How many messages wait, where that is known.
    pub depth: Option<i64>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The bus cannot take it now; the sender should come back.
    #[error("the bus cannot take the alert now: {0}")]
    Unavailable(String),
}

/// The bus or its consumer is gone and must be built anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lost(pub String);

/// A publisher does not wait longer for the confirmation: a webhook's sender is waiting too.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
