//! The bus on a broker: RabbitMQ 3.10 and later.
//!
//! One supervisor owns the publishing connection and rebuilds it whole whenever anything about it fails; the consuming
//! connection belongs to the consumer and is rebuilt by the engine's intake in the same way. The client's own recovery
//! is off: it gives up in silence, and does not notice a lost channel or a deleted queue.
//! `postbox` is for messages to others, apart from the alerts.

mod announce;
mod consume;
mod examine;
mod foreign;
mod postbox;
mod publish;
mod topology;

use std::time::Duration;

pub use self::examine::{Found, Ill, examine};
pub use self::foreign::{Foreign, ForeignMessage, ForeignQueue};

use lapin::{Connection, ConnectionProperties, uri::AMQPUri};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use url::Url;

pub use announce::{Announcer, NotAnnounced};
pub use postbox::{Letter, PostError, Postbox};

use super::{BoxFuture, Bus, Consumer, Health, Lost, Message, PublishError};
use crate::{lifecycle::Tasks, secret::Secret};

/// Carries messages through a broker.
#[derive(Debug)]
pub struct RabbitMq {
    settings: Settings,
    link: watch::Receiver<publish::Link>,
    broken: mpsc::Sender<()>,
}

/// Where the broker is and how it is used, as written under `bus:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Bus")]
pub struct Settings {
    /// `amqp://` or `amqps://`, with user and password; or `embedded`.
    pub url: Secret,
    /// How many messages may be under way to this consumer: about one commit's worth.
    pub prefetch: u16,
    /// The topic exchange that alerts are published to.
    pub exchange: String,
    /// The quorum queue that alerts wait in.
    pub queue: String,
    /// Where alerts go that the broker gives up on.
    pub dead_exchange: String,
    /// The queue behind it; Quell drains it into the quarantine.
    pub dead_queue: String,
    /// How often the broker delivers one alert before it gives up. Only a crash in the milliseconds before an alert is
    /// committed uses one up, so twenty means that something is very wrong.
    pub delivery_limit: i32,
    /// How many bytes of alerts may wait before the broker refuses more, and senders are told to come back. A gibibyte is
    /// hundreds of thousands of alerts, and leaves a small disk room; only without a limit would the broker fill it.
    pub max_length_bytes: i64,
    /// Whether Quell makes what is missing; otherwise it only checks.
    pub declare: bool,
    /// Where other systems learn what Quell did; without it, nothing is announced.
    pub events: Option<Events>,
}

/// Where events are announced, as written under `bus.events:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// The topic exchange that events are published to.
    pub exchange: String,
}

impl Default for Events {
    fn default() -> Self {
        Self { exchange: "quell.events".to_owned() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: Secret::new(EMBEDDED),
            prefetch: 200,
            exchange: "quell.alerts".to_owned(),
            queue: "quell.alerts".to_owned(),
            dead_exchange: "quell.dead".to_owned(),
            dead_queue: "quell.dead".to_owned(),
            delivery_limit: 20,
            max_length_bytes: 1024 * 1024 * 1024,
            declare: true,
            events: None,
        }
    }
}

impl Settings {
    /// What is wrong with the settings, as far as that can be known without reaching anything.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.is_embedded() {
            faults.extend(parse(&self.url, "bus.url").err());
        }
        if self.prefetch == 0 {
            faults.push("`bus.prefetch` is 0, by which a broker understands no limit at all; use 1 to 65535, e.g. 200".to_owned());
        }
        if self.delivery_limit < 1 {
            let limit = self.delivery_limit;
            faults.push(format!("`bus.delivery_limit` is {limit}, and an alert must be delivered at least once; use 1 or more, e.g. 20"));
        }
        if self.max_length_bytes < 1 {
            let most = self.max_length_bytes;
            faults.push(format!("`bus.max_length_bytes` is {most}, and no alert would be taken; use 1 or more, e.g. 1073741824"));
        }
        if let Some(events) = &self.events {
            if self.is_embedded() {
                faults.push("`bus.events` needs a broker, and `bus.url` is `embedded`; name a broker, or take `events` out".to_owned());
            }
            if events.exchange.is_empty() || [&self.exchange, &self.dead_exchange].contains(&&events.exchange) {
                faults.push(format!("`bus.events.exchange` is `{}`; events need an exchange of their own", events.exchange));
            }
        }
        faults
    }

    /// Whether no broker is used.
    pub fn is_embedded(&self) -> bool {
        self.url.expose() == EMBEDDED
    }
}

/// In the place of a URL: no broker.
const EMBEDDED: &str = "embedded";

/// As the broker's maker advises between 5 and 20: a dead peer is noticed in two of these.
const HEARTBEAT_SECONDS: u16 = 10;

/// Longer than any broker takes to shake hands, short enough to try again soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connecting, checking the topology and subscribing together; a healthy broker needs less than a second.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(20);

impl RabbitMq {
    /// A bus on that broker. It connects in the background; until then it takes nothing.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn start(settings: Settings, tasks: &Tasks) -> Result<Self, String> {
        let faults = settings.faults();
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        let (link, broken) = publish::supervise(publish::Purpose::Alerts, settings.clone(), tasks);
        Ok(Self { settings, link, broken })
    }

    /// Waits until messages can be published, for at most that long; says why not.
    ///
    /// # Errors
    /// What the last try to connect ended with.
    pub async fn connected(&self, patience: Duration) -> Result<(), String> {
        let mut link = self.link.clone();
        let ready = tokio::time::timeout(patience, link.wait_for(|link| matches!(link, publish::Link::Up(_)))).await;
        if matches!(ready, Ok(Ok(_))) { Ok(()) } else { Err(self.link.borrow().to_string()) }
    }
}

impl Bus for RabbitMq {
    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            let link = self.link.borrow().clone();
            let publish::Link::Up(up) = link else { return Err(PublishError::Unavailable(link.to_string())) };
            let published = up.publish((&self.settings.exchange, topology::ROUTING_KEY), message).await;
            published.map_err(|failed| PublishError::Unavailable(refused(failed, &self.broken)))
        })
    }

    fn consume(&self) -> BoxFuture<'_, Result<Box<dyn Consumer>, Lost>> {
        Box::pin(async move {
            // A queue without a leader lets a subscription hang for a minute.
            match tokio::time::timeout(SUBSCRIBE_TIMEOUT, consume::Deliveries::start(&self.settings)).await {
                Ok(deliveries) => Ok(Box::new(deliveries?) as Box<dyn Consumer>),
                Err(_elapsed) => {
                    Err(Lost(format!("the broker let nobody subscribe to `{}` within {SUBSCRIBE_TIMEOUT:?}", self.settings.queue)))
                }
            }
        })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            match &*self.link.borrow() {
                publish::Link::Up(up) => Health { publishing: !up.is_blocked(), depth: up.depth() },
                publish::Link::Down(_) => Health::default(),
            }
        })
    }
}

/// Why a message was not taken; a connection that is to blame is built anew.
fn refused(failed: publish::Failed, broken: &mpsc::Sender<()>) -> String {
    if failed.fault == publish::Fault::Connection {
        // When this is full, somebody asked already.
        let _asked = broken.try_send(());
    }
    failed.reason
}

fn parse(url: &Secret, setting: &str) -> Result<AMQPUri, String> {
    // The library's own reason may hold the whole URL, and so the password; a part of the URL alone says nothing of it.
    let whole =
        |why: &dyn std::fmt::Display| format!("`{setting}` is not an AMQP URL, which is `amqps://user:password@host:5671/%2f`: {why}");
    let parts = Url::parse(url.expose()).map_err(|error| whole(&error))?;
    if !matches!(parts.scheme(), "amqp" | "amqps") {
        let or_none = if setting == "bus.url" { " and is not `embedded`" } else { "" };
        return Err(format!("`{setting}` does not begin with `amqp://` or `amqps://`{or_none}"));
    }
    let mut uri: AMQPUri = url.expose().parse().ok().ok_or_else(|| whole(&"it cannot be taken apart"))?;
    uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
    Ok(uri)
}

/// Connects, or says why not; the password never appears.
async fn connect(url: &Secret, name: &str) -> Result<Connection, Lost> {
    let uri = parse(url, "url").map_err(Lost)?;
    let place = format!("{}:{}", uri.authority.host, uri.authority.port);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    match tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect_uri(uri, properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(Lost(format!("connect to the broker at {place}: {error}"))),
        Err(_elapsed) => Err(Lost(format!("connect to the broker at {place}: no answer within {CONNECT_TIMEOUT:?}"))),
    }
}

fn lost(doing: &'static str) -> impl Fn(lapin::Error) -> Lost {
    move |error| Lost(format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_showing_it() {
        for url in [
            "amqp:u:hunter2@h",
            "hunter2",
            "hunter2@h:5672",
            "http://u:hunter2@h",
            "amqp://u:hunter2@h:port",
            "amqp://u:hunter2@h?auth_mechanism=x",
        ] {
            let error = parse(&Secret::new(url), "bus.url").unwrap_err();
            assert!(error.contains("`bus.url`") && !error.contains("hunter2"), "{error}");
        }
        assert!(parse(&Secret::new("amqps://u:p@h/%2f"), "bus.url").is_ok());
    }

    #[test]
    fn limits_that_mean_something_else_than_they_say_are_refused() {
        for (settings, named) in [
            (Settings { prefetch: 0, ..Settings::default() }, "`bus.prefetch`"),
            (Settings { delivery_limit: 0, ..Settings::default() }, "`bus.delivery_limit`"),
            (Settings { delivery_limit: -1, ..Settings::default() }, "`bus.delivery_limit`"),
            (Settings { max_length_bytes: 0, ..Settings::default() }, "`bus.max_length_bytes`"),
        ] {
            let faults = settings.faults();
            assert!(faults.len() == 1 && faults[0].starts_with(named) && faults[0].contains("use 1 "), "{faults:?}");
        }
        assert_eq!(Settings::default().faults(), Vec::<String>::new());
    }
}
