//! Tells people that a playbook fails on alerts, or when its schedule begins it: once for each error of its text, whatever number of alerts
//! and times come up against it.
//!
//! The decision notes the error; this reads it from the store afterwards, so that a channel that is slow or down holds no alert up, and a
//! restart forgets nothing. A message may be sent twice if the program ends between the sending and the note; it has the same id then.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::{
    actions::{FailureKind, Services},
    alert::Severity,
    channels::Notice,
    lifecycle::Stop,
    retry::{Backoff, RetryPolicy},
    store::{ALERT, PlaybookError, Store, StoreError, TICK},
    telemetry::signals::{Notified, Signals},
};

/// Tells people of errors of playbooks until the program ends.
#[derive(Debug)]
pub struct Teller {
    store: Store,
    services: Arc<Services>,
    /// The channels that are told.
    channels: Vec<String>,
    signals: Signals,
}

/// Soon enough for a person, and one small look at the store.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A person reads no more at once.
const BATCH: i64 = 20;

/// Eight attempts within some twenty minutes: as long as a service is usually down. The metric and the log say it in any case.
const RETRY: RetryPolicy =
    RetryPolicy { max_attempts: 8, delay: Duration::from_secs(10), backoff: Backoff::Exponential, max_delay: Duration::from_mins(10) };

/// What is older was noted before anybody wanted to be told, or while the program was down for long; the next text tells anew.
const STALE: SignedDuration = SignedDuration::from_hours(24);

impl Teller {
    /// One that tells these channels.
    pub fn new(store: Store, services: Arc<Services>, channels: Vec<String>, signals: Signals) -> Self {
        Self { store, services, channels, signals }
    }

    /// Runs until the program ends.
    pub async fn run(self, stop: Stop) {
        loop {
            if let Some(Err(error)) = stop.or(self.tell()).await {
                self.signals.store_failed(&error.to_string());
            }
            if !stop.sleep(LOOK_EVERY).await {
                return;
            }
        }
    }

    async fn tell(&self) -> Result<(), StoreError> {
        if !self.store.has_duty("tell of playbooks' errors").await? {
            return Ok(());
        }
        let now = self.store.clock().now();
        let since = now.checked_sub(STALE).unwrap_or(Timestamp::MIN);
        for error in self.store.untold_errors(since, BATCH).await? {
            let (error, again) = self.attempt(error).await;
            self.store.error_told(error, again).await?;
        }
        Ok(())
    }

    /// Tells the channels that were not told yet; returns when those that could not be are to be told again.
    async fn attempt(&self, mut error: PlaybookError) -> (PlaybookError, Option<Timestamp>) {
        error.attempts = error.attempts.saturating_add(1);
        let notice = notice(&error);
        let left: Vec<&String> = self.channels.iter().filter(|channel| !error.told.contains(channel)).collect();
        let outcomes = join_all(left.iter().map(|channel| self.services.channels.send(channel, &notice))).await;
        let asked = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()?.retry_after).max();
        let wait = RETRY.wait_after(error.attempts, fastrand::f64(), asked);
        let mut is_to_repeat = false;
        let mut told = Vec::new();
        for (channel, outcome) in left.into_iter().zip(outcomes) {
            let notified = match &outcome {
                Ok(()) => Notified::Sent,
                Err(failure) if failure.kind != FailureKind::Rejected && wait.is_some() => Notified::Failed,
                Err(_) => Notified::GivenUp,
            };
            let why = outcome.err().map(|failure| failure.message).unwrap_or_default();
            self.signals.playbook_error_notified(&error.playbook, channel, notified, &why);
            match notified {
                Notified::Sent | Notified::GivenUp => told.push(channel.clone()),
                Notified::Failed => is_to_repeat = true,
            }
        }
        error.told.extend(told);
        let again = wait.filter(|_| is_to_repeat).and_then(|wait| self.store.clock().now().checked_add(wait).ok());
        (error, again)
    }
}

fn notice(error: &PlaybookError) -> Notice {
    let key = format!("playbook_error {} {} {}", error.playbook, error.playbook_hash, error.error);
    let once = "They are counted, and this is told once for this text of the playbook.";
    let alert = error.occasion.strip_prefix(ALERT);
    let (title, rest, first) = if let Some(number) = alert {
        let rest = format!("It does not answer alerts on which it fails. {once} `quell alerts show {number}` shows the first of them.");
        (format!("The playbook {} fails on alerts", error.playbook), rest, ("First alert", format!("#{number}")))
    } else {
        let rest = format!("Its schedule begins no run at the times at which it fails. {once}");
        let time = error.occasion.strip_prefix(TICK).unwrap_or(&error.occasion);
        (format!("The playbook {} fails when its schedule begins it", error.playbook), rest, ("First time", time.to_owned()))
    };
    Notice {
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()).to_string(),
        title,
        text: format!("{}\n\n{rest}", error.detail),
        severity: Severity::High,
        facts: vec![
            ("Playbook".to_owned(), error.playbook.clone()),
            (first.0.to_owned(), first.1),
            ("Since".to_owned(), error.first_at.to_string()),
        ],
    }
}
