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
    /// Why the broker did not take it; it may have done so all the same.
    pub async fn announce(&self, routing_key: &str, message: Message) -> Result<(), String> {
        let link = self.link.borrow().clone();
        let publish::Link::Up(up) = link else { return Err(link.to_string()) };
        up.publish((&self.exchange, routing_key), message).await.map_err(|failed| refused(failed, &self.broken))
    }
}
