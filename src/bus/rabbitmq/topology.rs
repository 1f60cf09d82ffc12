//! The exchanges and queues on the broker: declared, or checked where an administrator declares them.

use lapin::{
    Channel, Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};

use super::{Lost, Settings, lost};

/// The routing key of alerts; the queue is bound to every key, so that other queues may select.
pub(super) const ROUTING_KEY: &str = "alert";

/// Nothing follows the queue of dead alerts: what the broker gives up on there is lost. RabbitMQ 4 does so after twenty deliveries
/// unless told otherwise, and 3.10 takes no word for "never".
const NEVER: i32 = i32::MAX;

/// Makes the topology, or checks it.
///
/// A difference closes the channel, so every declaration has a channel of its own.
pub(super) async fn ensure(connection: &Connection, settings: &Settings) -> Result<(), Lost> {
    let alerts = [
        ("x-queue-type", AMQPValue::LongString("quorum".into())),
        ("x-delivery-limit", AMQPValue::LongInt(settings.delivery_limit)),
        // A message is refused only where there is a limit to refuse it at.
        ("x-max-length-bytes", AMQPValue::LongLongInt(settings.max_length_bytes)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
        ("x-dead-letter-strategy", AMQPValue::LongString("at-least-once".into())),
        ("x-dead-letter-exchange", AMQPValue::LongString(settings.dead_exchange.as_str().into())),
    ];
    let dead = [("x-queue-type", AMQPValue::LongString("quorum".into())), ("x-delivery-limit", AMQPValue::LongInt(NEVER))];
    exchange(connection, &settings.dead_exchange, ExchangeKind::Fanout, settings.declare).await?;
    exchange(connection, &settings.exchange, ExchangeKind::Topic, settings.declare).await?;
    queue(connection, &settings.dead_queue, table(dead), settings.declare).await?;
    queue(connection, &settings.queue, table(alerts), settings.declare).await?;
    if settings.declare {
        let channel = open(connection).await?;
        bind(&channel, &settings.dead_queue, &settings.dead_exchange).await?;
        bind(&channel, &settings.queue, &settings.exchange).await?;
    }
    Ok(())
}

/// Makes the exchange of events, or checks it. Whoever wants to hear binds a queue to it.
pub(super) async fn ensure_events(connection: &Connection, settings: &Settings) -> Result<(), Lost> {
    match &settings.events {
        Some(events) => exchange(connection, &events.exchange, ExchangeKind::Topic, settings.declare).await,
        None => Ok(()),
    }
}

async fn exchange(connection: &Connection, name: &str, kind: ExchangeKind, declare: bool) -> Result<(), Lost> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let passive = ExchangeDeclareOptions { passive: true, ..durable };
    if !declare {
        let channel = open(connection).await?;
        let found = channel.exchange_declare(name.into(), kind.clone(), passive, FieldTable::default()).await;
        found.map_err(missing("exchange", name))?;
    }
    let channel = open(connection).await?;
    let same = channel.exchange_declare(name.into(), kind, durable, FieldTable::default()).await;
    judged("exchange", name, declare, same)
}

async fn queue(connection: &Connection, name: &str, arguments: FieldTable, declare: bool) -> Result<(), Lost> {
    if !declare {
        let channel = open(connection).await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.into(), passive, FieldTable::default()).await.map_err(missing("queue", name))?;
    }
    // Declaring what exists with the same arguments changes nothing, and the broker names the argument that differs.
    let channel = open(connection).await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let same = channel.queue_declare(name.into(), durable, arguments).await;
    judged("queue", name, declare, same.map(|_| ()))
}

async fn bind(channel: &Channel, queue: &str, exchange: &str) -> Result<(), Lost> {
    let bound = channel.queue_bind(queue.into(), exchange.into(), "#".into(), QueueBindOptions::default(), FieldTable::default()).await;
    bound.map_err(lost("bind a queue"))
}

pub(super) async fn open(connection: &Connection) -> Result<Channel, Lost> {
    connection.create_channel().await.map_err(lost("open a channel"))
}

fn missing<'a>(what: &'a str, name: &'a str) -> impl Fn(lapin::Error) -> Lost + 'a {
    move |error| Lost(format!("the {what} `{name}` is not there and `bus.declare` is false: {error}; declare it, or let Quell do so"))
}

/// Who may not declare cannot compare either; where an administrator declares, that is as it should be.
fn judged(what: &str, name: &str, declare: bool, answer: Result<(), lapin::Error>) -> Result<(), Lost> {
    match answer {
        Ok(()) => Ok(()),
        Err(error) if is_refused(&error) && !declare => Ok(()),
        Err(error) if is_refused(&error) => {
            let advice = "let Quell's user `configure` it, or declare it yourself and set `bus.declare` to false";
            Err(Lost(format!("the {what} `{name}` cannot be declared: {error}; {advice}")))
        }
        Err(error) => {
            let advice = "change it on the broker, or give Quell another name";
            Err(Lost(format!("the {what} `{name}` cannot be used as it is: {error}; {advice}")))
        }
    }
}

fn is_refused(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(protocol) = error.kind() else { return false };
    *protocol.kind() == AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}
