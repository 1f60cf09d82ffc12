//! Messages to others on the broker, each over a connection of its own: what goes wrong with one of them never disturbs the alerts.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::FieldTable,
};

use super::{Lost, SUBSCRIBE_TIMEOUT, Settings, connect, lost};
use crate::{bus::PUBLISH_TIMEOUT, secret::Secret};

/// Posts messages to others through the configured broker.
#[derive(Debug, Clone, Default)]
pub struct Postbox {
    broker: Option<Secret>,
    /// Quell's own exchanges and queues, to which nothing is posted: an alert that made an alert would never end.
    own: Vec<String>,
}

/// A message to others.
#[derive(Debug, Clone)]
pub struct Letter {
    /// An exchange that exists; the default one, which knows every queue by its name, if empty.
    pub exchange: String,
    /// By which the exchange chooses queues.
    pub routing_key: String,
    /// By which receivers recognise a repeat.
    pub id: String,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a letter was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// It was certainly not taken, and would not be another time.
    #[error("{0}")]
    Refused(String),
    /// It was certainly not taken, and may be another time.
    #[error("{0}")]
    NotTaken(String),
    /// It may or may not have been taken.
    #[error("{0}")]
    Unknown(String),
}

/// AMQP 0-9-1: the broker writes the message to disk.
const PERSISTENT: u8 = 2;

/// As the protocol allows for names.
const LONGEST_NAME: usize = 255;

impl Postbox {
    /// Posts through the broker of the settings, if they name one.
    pub fn of(settings: &Settings) -> Self {
        let own = [&settings.exchange, &settings.queue, &settings.dead_exchange, &settings.dead_queue];
        Self { broker: (!settings.is_embedded()).then(|| settings.url.clone()), own: own.into_iter().cloned().collect() }
    }

    /// Posts a letter and waits until the broker has it in a queue.
    ///
    /// # Errors
    /// Says whether it may have been taken.
    pub async fn post(&self, letter: &Letter) -> Result<(), PostError> {
        let Some(broker) = &self.broker else {
            return Err(PostError::Refused("there is no broker: `bus.url` is `embedded`".to_owned()));
        };
        let place = if letter.exchange.is_empty() { &letter.routing_key } else { &letter.exchange };
        if self.own.contains(place) {
            return Err(PostError::Refused(format!("`{place}` is Quell's own; what is posted there would come back as an alert")));
        }
        if letter.exchange.len() > LONGEST_NAME || letter.routing_key.len() > LONGEST_NAME {
            return Err(PostError::Refused(format!("a name on the broker is at most {LONGEST_NAME} bytes long")));
        }
        let not_taken = |Lost(why)| PostError::NotTaken(why);
        let opened = tokio::time::timeout(SUBSCRIBE_TIMEOUT, open(broker)).await;
        let opened = opened.unwrap_or_else(|_elapsed| Err(Lost("the broker does not answer".to_owned())));
        let (connection, channel) = opened.map_err(not_taken)?;
        let posted = match within(PUBLISH_TIMEOUT, look_for(&connection, &letter.exchange)).await {
            Ok(()) => publish(&channel, letter).await,
            Err(refused) => Err(refused),
        };
        // Whatever became of the letter is known already.
        drop(tokio::time::timeout(PUBLISH_TIMEOUT, connection.close(200, "done".into())).await);
        posted
    }
}

async fn open(broker: &Secret) -> Result<(Connection, Channel), Lost> {
    let connection = connect(broker, "quell amqp.publish").await?;
    let channel = connection.create_channel().await.map_err(lost("open a channel"))?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(lost("ask for confirmations"))?;
    Ok((connection, channel))
}

/// What is published to an exchange that is not there closes the channel, and then nobody knows of the letter.
async fn look_for(connection: &Connection, exchange: &str) -> Result<(), PostError> {
    if exchange.is_empty() {
        return Ok(());
    }
    let channel = connection.create_channel().await.map_err(|error| PostError::NotTaken(format!("open a channel: {error}")))?;
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    // Of what kind it is does not matter to a look.
    let found = channel.exchange_declare(exchange.into(), ExchangeKind::Topic, passive, FieldTable::default()).await;
    found.map_err(|error| PostError::Refused(format!("the exchange `{exchange}` cannot be used: {error}")))
}

async fn within(limit: Duration, look: impl Future<Output = Result<(), PostError>>) -> Result<(), PostError> {
    let late = || PostError::NotTaken(format!("the broker did not answer within {limit:?}"));
    tokio::time::timeout(limit, look).await.unwrap_or_else(|_elapsed| Err(late()))
}

async fn publish(channel: &Channel, letter: &Letter) -> Result<(), PostError> {
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(letter.content_type.into())
        .with_message_id(letter.id.as_str().into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmed = async {
        let sent =
            channel.basic_publish(letter.exchange.as_str().into(), letter.routing_key.as_str().into(), options, &letter.body, properties);
        sent.await?.await
    };
    match tokio::time::timeout(PUBLISH_TIMEOUT, confirmed).await {
        Ok(Ok(Confirmation::Ack(None))) => Ok(()),
        // A returned message is confirmed as well: no queue took it.
        Ok(Ok(Confirmation::Ack(Some(_)))) => {
            Err(PostError::Refused(format!("no queue takes `{}`, so the broker returned the message", letter.routing_key)))
        }
        Ok(Ok(Confirmation::Nack(_))) => Err(PostError::NotTaken("the broker refused the message; a queue may be full".to_owned())),
        Ok(Ok(Confirmation::NotRequested)) => Err(PostError::Unknown("the channel does not confirm".to_owned())),
        Ok(Err(error)) => Err(PostError::Unknown(error.to_string())),
        Err(_elapsed) => Err(PostError::Unknown(format!("the broker did not confirm within {PUBLISH_TIMEOUT:?}"))),
    }
}
