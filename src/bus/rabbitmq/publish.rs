//! The publishing side: one connection with confirms, kept up by one supervisor.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionStatus, Event,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::{Lost, Message, SUBSCRIBE_TIMEOUT, Settings, connect, lost, topology};
use crate::{alert::CONTENT_TYPE, bus::PUBLISH_TIMEOUT, lifecycle::Tasks, retry::reconnect_delay};

/// The state of the connection.
#[derive(Debug, Clone)]
pub(super) enum Link {
    Up(Arc<Up>),
    Down(String),
}

/// A connection that takes messages.
#[derive(Debug)]
pub(super) struct Up {
    channel: Channel,
    connection: ConnectionStatus,
    depth: AtomicI64,
}

/// Why a message was not confirmed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) reason: String,
    pub(super) fault: Fault,
}

/// What stands in the way of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// This message has nowhere to go: others may have.
    Message,
    /// The broker takes nothing for now.
    Broker,
    Connection,
}

/// Often enough for a graph, seldom enough not to be a load.
const DEPTH_EVERY: Duration = Duration::from_secs(5);

const BLOCKED: &str = "the broker is short of memory or disk and takes no messages for now";

/// AMQP 0-9-1: the broker writes the message to disk.
const PERSISTENT: u8 = 2;

impl Up {
    /// Publishes one message and waits until the broker has it on disk and in a queue.
    ///
    /// Success is a confirmation that returned nothing: a message that no queue took is confirmed as well, with the message.
    pub(super) async fn publish(&self, (exchange, routing_key): (&str, &str), message: Message) -> Result<(), Failed> {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(CONTENT_TYPE.into())
            .with_message_id(message.key.chars().filter(char::is_ascii).take(255).collect::<String>().into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirmed = async {
            let sent = self.channel.basic_publish(exchange.into(), routing_key.into(), options, &message.body, properties);
            sent.await?.await
        };
        let failed = |fault: Fault, reason: &str| Err(Failed { reason: reason.to_owned(), fault });
        if self.is_blocked() {
            return failed(Fault::Broker, BLOCKED);
        }
        match tokio::time::timeout(PUBLISH_TIMEOUT, confirmed).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(_)))) => {
                failed(Fault::Message, "no queue is bound to the exchange, so the broker returned the message")
            }
            Ok(Ok(Confirmation::Nack(_))) => failed(Fault::Message, "the broker refused the message; its queue may be full"),
            Ok(Ok(Confirmation::NotRequested)) => failed(Fault::Connection, "the channel does not confirm"),
            Ok(Err(error)) => failed(Fault::Connection, &error.to_string()),
            // The first message after the broker ran short is what it answers with a block.
            Err(_elapsed) if self.is_blocked() => failed(Fault::Broker, BLOCKED),
            Err(_elapsed) => failed(Fault::Connection, &format!("the broker did not confirm within {PUBLISH_TIMEOUT:?}")),
        }
    }

    /// Whether the broker takes nothing for now, because it is short of memory or disk. The connection itself is good.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.blocked()
    }

    pub(super) fn depth(&self) -> Option<i64> {
        Some(self.depth.load(Ordering::Relaxed)).filter(|depth| *depth >= 0)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(_) => f.write_str("connected"),
            Self::Down(reason) => f.write_str(reason),
        }
    }
}

/// What a connection is for. Each has its own, so that whatever is wrong with the exchange of events keeps no alert waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Alerts,
    Events,
}

impl Purpose {
    fn connection(self) -> &'static str {
        match self {
            Self::Alerts => "quell publisher",
            Self::Events => "quell events",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Events => "events",
        }
    }
}

/// Starts the supervisor: the first channel tells the state, the second asks for a new connection.
pub(super) fn supervise(purpose: Purpose, settings: Settings, tasks: &Tasks) -> (watch::Receiver<Link>, mpsc::Sender<()>) {
    let (link, state) = watch::channel(Link::Down("not connected yet".to_owned()));
    let (broken, mut reports) = mpsc::channel(1);
    let stop = tasks.stop();
    tasks.spawn(purpose.connection(), async move {
        let mut failures = 0_u32;
        while !stop.is_requested() {
            let established = tokio::time::timeout(SUBSCRIBE_TIMEOUT, establish(purpose, &settings)).await;
            let reason = match established.unwrap_or_else(|_elapsed| Err(Lost("the broker does not answer".to_owned()))) {
                Ok((connection, up)) => {
                    failures = 0;
                    info!("{} can be published to the broker", purpose.what());
                    link.send_replace(Link::Up(Arc::clone(&up)));
                    let ended = stop.or(watch(&connection, &up, (purpose, &settings), &mut reports)).await;
                    ended.unwrap_or_else(|| "the program ends".to_owned())
                }
                Err(Lost(reason)) => reason,
            };
            failures = failures.saturating_add(1);
            if !stop.is_requested() {
                warn!(reason, "{} cannot be published to the broker: {reason}", purpose.what());
            }
            link.send_replace(Link::Down(reason));
            stop.sleep(reconnect_delay(failures, fastrand::f64())).await;
        }
    });
    (state, broken)
}

async fn establish(purpose: Purpose, settings: &Settings) -> Result<(Connection, Arc<Up>), Lost> {
    let connection = connect(&settings.url, purpose.connection()).await?;
    match purpose {
        Purpose::Alerts => topology::ensure(&connection, settings).await?,
        Purpose::Events => topology::ensure_events(&connection, settings).await?,
    }
    let channel = connection.create_channel().await.map_err(lost("open a channel"))?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(lost("ask for confirmations"))?;
    let up = Up { channel, connection: connection.status().clone(), depth: AtomicI64::new(-1) };
    Ok((connection, Arc::new(up)))
}

/// Returns when the connection is no longer good, with the reason.
async fn watch(connection: &Connection, up: &Up, (purpose, settings): (Purpose, &Settings), reports: &mut mpsc::Receiver<()>) -> String {
    let mut events = connection.events_listener();
    let mut depth = tokio::time::interval(DEPTH_EVERY);
    // A report may be about an earlier connection.
    while reports.try_recv().is_ok() {}
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Error(error)) => return error.to_string(),
                None => return "the connection ended".to_owned(),
                Some(Event::ConnectionBlocked(reason)) => warn!(reason, "the broker takes no messages for now: {reason}"),
                Some(_) => {}
            },
            Some(()) = reports.recv() => return "a message was not confirmed".to_owned(),
            // A blocked broker does not read what it is asked.
            _ = depth.tick(), if purpose == Purpose::Alerts && !up.is_blocked() => match queue_depth(connection, settings).await {
                Ok(messages) => up.depth.store(messages, Ordering::Relaxed),
                Err(Lost(reason)) => return reason,
            },
        }
    }
}

async fn queue_depth(connection: &Connection, settings: &Settings) -> Result<i64, Lost> {
    let asked = async {
        let channel = connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(settings.queue.as_str().into(), passive, FieldTable::default()).await?;
        channel.close(200, "done".into()).await?;
        Ok(i64::from(queue.message_count()))
    };
    match tokio::time::timeout(PUBLISH_TIMEOUT, asked).await {
        Ok(depth) => depth.map_err(lost("ask for the length of the queue")),
        Err(_elapsed) => Err(Lost(format!("the broker did not answer within {PUBLISH_TIMEOUT:?}"))),
    }
}
