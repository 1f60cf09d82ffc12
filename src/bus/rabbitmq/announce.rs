//! The announcing side: events for other systems, on a connection of its own.

use tokio::sync::{mpsc, watch};

use super::{Settings, publish, refused};
use crate::{bus::Message, lifecycle::Tasks};

/// Announces events through the broker.
#[derive(Debug)]
pub struct Announcer {
    exchange: String,
    link: watch::Receiver<publish::Link>,
    broken: mpsc::Sender<()>,
}

/// Why the broker does not have an event; it may have it all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAnnounced {
    /// It has nowhere to put this one. Others may have a queue.
    Returned(String),
    /// It takes none now.
    Unreachable(String),
}

impl NotAnnounced {
    /// For people.
    pub fn why(&self) -> &str {
        match self {
            Self::Returned(why) | Self::Unreachable(why) => why,
        }
    }
}

impl Announcer {
    /// One for the exchange of the settings, if they name one. It connects in the background; until then it takes nothing.
    pub fn start(settings: &Settings, tasks: &Tasks) -> Option<Self> {
        let exchange = settings.events.as_ref()?.exchange.clone();
        let (link, broken) = publish::supervise(publish::Purpose::Events, settings.clone(), tasks);
        Some(Self { exchange, link, broken })
    }

    /// Announces an event under a routing key. When this succeeds, a queue has it on disk.
    ///
    /// # Errors
    /// Whether it was this one that the broker did not take, or any.
    pub async fn announce(&self, routing_key: &str, message: Message) -> Result<(), NotAnnounced> {
        let link = self.link.borrow().clone();
        let publish::Link::Up(up) = link else { return Err(NotAnnounced::Unreachable(link.to_string())) };
        up.publish((&self.exchange, routing_key), message).await.map_err(|failed| match failed.fault {
            publish::Fault::Message => NotAnnounced::Returned(failed.reason),
            publish::Fault::Broker | publish::Fault::Connection => NotAnnounced::Unreachable(refused(failed, &self.broken)),
        })
    }
}
