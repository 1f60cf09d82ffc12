//! A look at the broker that makes nothing: whether it can be reached, whether what Quell needs there is there and as it should be, and how
//! much waits.

use lapin::{
    Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{Settings, connect, topology};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Found {
    pub waiting: u32,
    pub dead: u32,
}

/// What is wrong, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ill {
    /// Nobody can be reached there, or lets us in.
    Unreachable(String),
    /// An exchange or queue is not there.
    Missing(String),
    /// One of them is there and is not as it should be.
    Differs(String),
}

/// Looks.
///
/// # Errors
/// The first thing that is wrong.
pub async fn examine(settings: &Settings) -> Result<Found, Ill> {
    let connection = connect(&settings.url, "quell doctor").await.map_err(|lost| Ill::Unreachable(lost.0))?;
    let found = look(&connection, settings).await;
    // It is closed with its end in any case.
    drop(connection.close(200, "done".into()).await);
    found
}

async fn look(connection: &Connection, settings: &Settings) -> Result<Found, Ill> {
    let events = settings.events.as_ref().map(|events| (&events.exchange, ExchangeKind::Topic));
    let exchanges = [(&settings.dead_exchange, ExchangeKind::Fanout), (&settings.exchange, ExchangeKind::Topic)];
    for (name, kind) in exchanges.into_iter().chain(events) {
        let channel = topology::open(connection).await.map_err(|lost| Ill::Unreachable(lost.0))?;
        let options = ExchangeDeclareOptions { passive: true, durable: true, ..ExchangeDeclareOptions::default() };
        let there = channel.exchange_declare(name.as_str().into(), kind, options, FieldTable::default()).await;
        there.map_err(|error| Ill::Missing(format!("the exchange `{name}`: {error}")))?;
    }
    let dead = depth(connection, &settings.dead_queue).await?;
    let waiting = depth(connection, &settings.queue).await?;
    // All of it is there, so that declaring it makes nothing and only compares.
    let compared = Settings { declare: false, ..settings.clone() };
    topology::ensure(connection, &compared).await.map_err(|lost| Ill::Differs(lost.0))?;
    Ok(Found { waiting, dead })
}

async fn depth(connection: &Connection, name: &str) -> Result<u32, Ill> {
    let channel = topology::open(connection).await.map_err(|lost| Ill::Unreachable(lost.0))?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let there = channel.queue_declare(name.into(), options, FieldTable::default()).await;
    Ok(there.map_err(|error| Ill::Missing(format!("the queue `{name}`: {error}")))?.message_count())
}
