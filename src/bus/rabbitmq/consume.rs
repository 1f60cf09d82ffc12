//! The consuming side: one connection with a channel for alerts and one for those that the broker gave up on.

use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Connection,
    message::Delivery as Raw,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable},
};

use super::{BoxFuture, Consumer, Lost, Settings, connect, lost, topology};
use crate::bus::{Delivery, Queue, Receipt};

/// Receives from the broker until anything fails; then it is dropped whole, and the broker delivers again.
pub(super) struct Deliveries {
    alerts: Subscription,
    dead: Subscription,
    /// Closed, with its channels, when this is dropped.
    _connection: Connection,
}

struct Subscription {
    channel: Channel,
    stream: lapin::Consumer,
    queue: Queue,
    /// Every tag up to this one is acknowledged.
    acked_to: u64,
}

impl Deliveries {
    pub(super) async fn start(settings: &Settings) -> Result<Self, Lost> {
        let connection = connect(&settings.url, "quell consumer").await?;
        topology::ensure(&connection, settings).await?;
        let alerts = subscribe(&connection, &settings.queue, Queue::Alerts, settings.prefetch).await?;
        let dead = subscribe(&connection, &settings.dead_queue, Queue::Dead, settings.prefetch).await?;
        Ok(Self { alerts, dead, _connection: connection })
    }
}

impl Consumer for Deliveries {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Delivery>, Lost>> {
        Box::pin(async move {
            let first = tokio::select! {
                delivery = self.alerts.next() => delivery?,
                delivery = self.dead.next() => delivery?,
            };
            let mut deliveries = vec![first];
            for subscription in [&mut self.alerts, &mut self.dead] {
                while deliveries.len() < most {
                    let Some(delivery) = subscription.next().now_or_never() else { break };
                    deliveries.push(delivery?);
                }
            }
            Ok(deliveries)
        })
    }

    fn ack(&mut self, receipts: Vec<Receipt>) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(async move {
            self.alerts.ack(&receipts).await?;
            self.dead.ack(&receipts).await
        })
    }
}

impl Subscription {
    async fn next(&mut self) -> Result<Delivery, Lost> {
        match self.stream.next().await {
            Some(Ok(raw)) => Ok(delivery(raw, self.queue)),
            Some(Err(error)) => Err(Lost(format!("receive from the broker: {error}"))),
            None => Err(Lost("the broker ended the subscription; its queue may have been deleted".to_owned())),
        }
    }

    /// Tags without a gap take one frame; the rest one each.
    async fn ack(&mut self, receipts: &[Receipt]) -> Result<(), Lost> {
        let mut tags: Vec<u64> = receipts.iter().filter(|receipt| receipt.queue == self.queue).map(|receipt| receipt.tag).collect();
        tags.sort_unstable();
        let without_gap = tags.iter().zip(self.acked_to + 1..).take_while(|(tag, expected)| *tag == expected).count();
        let single = tags.split_off(without_gap);
        if let Some(last) = tags.last() {
            let acked = self.channel.basic_ack(*last, BasicAckOptions { multiple: true }).await;
            acked.map_err(lost("acknowledge alerts"))?;
            self.acked_to = *last;
        }
        for tag in single {
            self.channel.basic_ack(tag, BasicAckOptions { multiple: false }).await.map_err(lost("acknowledge an alert"))?;
        }
        Ok(())
    }
}

async fn subscribe(connection: &Connection, name: &str, queue: Queue, prefetch: u16) -> Result<Subscription, Lost> {
    let channel = connection.create_channel().await.map_err(lost("open a channel"))?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(lost("set the prefetch"))?;
    let consumer = channel.basic_consume(name.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await;
    let stream = consumer.map_err(lost("subscribe to a queue"))?;
    Ok(Subscription { channel, stream, queue, acked_to: 0 })
}

fn delivery(raw: Raw, queue: Queue) -> Delivery {
    let dead = match queue {
        Queue::Alerts => None,
        Queue::Dead => Some(death(&raw)),
    };
    Delivery { body: raw.data, receipt: Receipt { queue, tag: raw.delivery_tag }, dead }
}

/// Why the broker gave up on a message, from the header that it adds.
fn death(raw: &Raw) -> String {
    let headers = raw.properties.headers().as_ref().map(FieldTable::inner);
    match headers.and_then(|headers| headers.get("x-first-death-reason")) {
        Some(AMQPValue::LongString(reason)) => format!("the broker gave up on it: {reason}"),
        Some(_) | None => "the broker gave up on it".to_owned(),
    }
}
