//! A queue of somebody else's: it is read as it is, and nothing is declared, bound or published there.

use std::fmt;

use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Connection,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{Lost, connect, lost, parse};
use crate::secret::Secret;

/// Where such a queue is.
#[derive(Clone)]
pub struct ForeignQueue {
    url: Secret,
    queue: String,
    prefetch: u16,
}

/// A connection to it. When anything fails it is dropped whole, and the broker delivers again what was not acknowledged.
pub struct Foreign {
    channel: Channel,
    stream: lapin::Consumer,
    last: Option<u64>,
    _connection: Connection,
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ForeignMessage {
    pub body: Vec<u8>,
    pub content_type: String,
    /// The sender's own name for it; empty where there is none.
    pub message_id: String,
    pub routing_key: String,
    /// Those that are texts, numbers or yes and no, as texts.
    pub headers: Vec<(String, String)>,
}

impl ForeignQueue {
    /// A queue at a broker; nothing is reached yet.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(url: Secret, queue: &str, prefetch: u16) -> Result<Self, String> {
        parse(&url, "url")?;
        Ok(Self { url, queue: queue.to_owned(), prefetch })
    }

    /// Connects and subscribes.
    ///
    /// # Errors
    /// The broker cannot be reached, refuses, or has no such queue.
    pub async fn open(&self) -> Result<Foreign, Lost> {
        let connection = connect(&self.url, "quell adapter").await?;
        let channel = connection.create_channel().await.map_err(lost("open a channel"))?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let looked = channel.queue_declare(self.queue.as_str().into(), passive, FieldTable::default()).await;
        looked.map_err(|error| Lost(format!("the queue `{}` cannot be used: {error}", self.queue)))?;
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await.map_err(lost("set the prefetch"))?;
        let consume = channel.basic_consume(self.queue.as_str().into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let stream = consume.await.map_err(lost("subscribe to a queue"))?;
        Ok(Foreign { channel, stream, last: None, _connection: connection })
    }
}

impl Foreign {
    /// Waits for messages and returns those that are there, at least one and at most `most`.
    ///
    /// # Errors
    /// The connection or the queue is gone.
    pub async fn next(&mut self, most: usize) -> Result<Vec<ForeignMessage>, Lost> {
        let first = self.stream.next().await;
        let mut messages = vec![self.received(first)?];
        while messages.len() < most {
            let Some(next) = self.stream.next().now_or_never() else { break };
            messages.push(self.received(next)?);
        }
        Ok(messages)
    }

    /// Acknowledges everything that was received: it will not come again.
    ///
    /// # Errors
    /// The connection is gone; it will come again.
    pub async fn acknowledge(&mut self) -> Result<(), Lost> {
        let Some(last) = self.last.take() else { return Ok(()) };
        self.channel.basic_ack(last, BasicAckOptions { multiple: true }).await.map_err(lost("acknowledge messages"))
    }

    fn received(&mut self, next: Option<Result<Delivery, lapin::Error>>) -> Result<ForeignMessage, Lost> {
        let delivery = match next {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => return Err(Lost(format!("receive from the broker: {error}"))),
            None => return Err(Lost("the broker ended the subscription; its queue may have been deleted".to_owned())),
        };
        self.last = Some(delivery.delivery_tag);
        let properties = &delivery.properties;
        let headers = properties.headers().iter().flat_map(FieldTable::inner);
        Ok(ForeignMessage {
            content_type: properties.content_type().as_ref().map(ToString::to_string).unwrap_or_default(),
            message_id: properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default(),
            routing_key: delivery.routing_key.to_string(),
            headers: headers.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect(),
            body: delivery.data,
        })
    }
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        AMQPValue::Boolean(it) => Some(it.to_string()),
        AMQPValue::ShortShortInt(it) => Some(it.to_string()),
        AMQPValue::ShortShortUInt(it) => Some(it.to_string()),
        AMQPValue::ShortInt(it) => Some(it.to_string()),
        AMQPValue::ShortUInt(it) => Some(it.to_string()),
        AMQPValue::LongInt(it) => Some(it.to_string()),
        AMQPValue::LongUInt(it) => Some(it.to_string()),
        AMQPValue::LongLongInt(it) => Some(it.to_string()),
        AMQPValue::Float(it) => Some(it.to_string()),
        AMQPValue::Double(it) => Some(it.to_string()),
        // The rest has no form that an expression could use.
        _ => None,
    }
}

impl fmt::Debug for ForeignQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignQueue").field("queue", &self.queue).finish_non_exhaustive()
    }
}
