//! The relay of the outbox: one node for all sends what is due, again and later where it is not taken, and gives up where that has no end.
//! What was written with what it tells of is therefore told, whatever dies in between; a repeat carries the same identifier. Messages go
//! to people's channels, events ([`event`]) to the broker; neither waits for the other.

mod event;
mod message;
mod texts;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use crate::{
    actions::{FailureKind, Services},
    approval::{Approval, ApprovalState},
    bus::rabbitmq::Announcer,
    lifecycle::Stop,
    news::{Language, News, Turn},
    retry::{Backoff, RetryPolicy},
    store::{Fate, Outgoing, Store, StoreError},
    telemetry::signals::{Signals, Told},
};

/// Sends what is due, until the program ends.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Relay {
    pub store: Store,
    pub services: Arc<Services>,
    /// Where events are announced; none where they are not.
    pub announcer: Option<Announcer>,
    /// Of the messages.
    pub language: Language,
    pub signals: Signals,
}

/// What one node does for all.
const DUTY: &str = "outbox";

/// Sent at once; one slow channel does not keep the others waiting.
const BATCH: i64 = 32;

/// How soon people hear of a question. A look at what is due costs no commit.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A first try that fails is followed soon, because people are waited for; later ones every few minutes, and the last after more than an
/// hour: a channel that is down for longer has people who are told otherwise.
const AGAIN: RetryPolicy =
    RetryPolicy { max_attempts: 20, delay: Duration::from_secs(2), backoff: Backoff::Exponential, max_delay: Duration::from_mins(5) };

impl Relay {
    /// Runs until the program ends.
    pub async fn run(self, stop: Stop) {
        match &self.announcer {
            Some(announcer) => drop(tokio::join!(self.tell(&stop), self.announce(announcer, &stop))),
            None => self.tell(&stop).await,
        }
    }

    async fn tell(&self, stop: &Stop) {
        while !stop.is_requested() {
            let sent = match self.send_some().await {
                Ok(sent) => sent,
                Err(error) => {
                    self.signals.store_failed(&error.to_string());
                    0
                }
            };
            if sent == 0 {
                stop.sleep(LOOK_EVERY).await;
            }
        }
    }

    async fn send_some(&self) -> Result<usize, StoreError> {
        if !self.store.has_duty(DUTY).await? {
            return Ok(0);
        }
        let due = self.store.take_outgoing(BATCH).await?;
        let fates = join_all(due.iter().map(async |message| {
            let fate = self.send(message).await.unwrap_or_else(|error| self.unsent(message, &error));
            (message.id.clone(), fate)
        }));
        self.store.outgoing_sent(fates.await).await?;
        Ok(due.len())
    }

    /// What it is about could not be read, and it was not sent; the others of its batch were.
    fn unsent(&self, outgoing: &Outgoing, error: &StoreError) -> Fate {
        let why = error.to_string();
        self.signals.store_failed(&why);
        match AGAIN.wait_after(outgoing.attempts + 1, fastrand::f64(), None) {
            Some(wait) => self.again(wait, why),
            None => Fate::GivenUp { why },
        }
    }

    fn again(&self, wait: Duration, why: String) -> Fate {
        Fate::Again { at: self.store.clock().now().checked_add(wait).unwrap_or(jiff::Timestamp::MAX), why }
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<Fate, StoreError> {
        let approval = match self.question(&outgoing.news).await? {
            Ok(approval) => approval,
            Err(why) => return Ok(Fate::GivenUp { why: why.to_owned() }),
        };
        let notice = message::notice(outgoing, approval.as_ref(), texts::of(self.language));
        let names = (outgoing.news.kind(), outgoing.id.as_str());
        let Err(failure) = self.services.channels.send(&outgoing.channel, &notice).await else {
            self.signals.told(names, &outgoing.channel, Told::Sent);
            return Ok(Fate::Delivered);
        };
        let why = failure.to_string();
        let wait = AGAIN.wait_after(outgoing.attempts + 1, fastrand::f64(), failure.retry_after);
        if let Some(wait) = wait.filter(|_| failure.kind != FailureKind::Rejected) {
            self.signals.told(names, &outgoing.channel, Told::Failed(&why));
            return Ok(self.again(wait, why));
        }
        self.signals.told(names, &outgoing.channel, Told::GivenUp(&why));
        Ok(Fate::GivenUp { why })
    }

    /// The question that a message is about, as it stands now; or why nobody needs the message any more.
    async fn question(&self, news: &News) -> Result<Result<Option<Approval>, &'static str>, StoreError> {
        let News::Approval { approval, turn } = news else { return Ok(Ok(None)) };
        Ok(match self.store.approval(approval).await? {
            Some(approval) if *turn == Turn::Decided || approval.state == ApprovalState::Open => Ok(Some(approval)),
            Some(_) => Err("it was decided before it could be told"),
            None => Err("there is no such question"),
        })
    }
}

#[cfg(test)]
mod tests;
