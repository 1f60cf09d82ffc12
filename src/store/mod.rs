//! The store: the journal of alerts, runs, steps and attempts, and what else must survive the process.
//!
//! Everything goes through one writer that commits in groups ([`writer`]); a write is durable when its method returns.
//! Reads have connections of their own. One file for each thing that is kept.

mod alerts;
mod approvals;
mod audit;
mod begin;
mod database;
mod dialect;
mod errors;
mod events;
mod examine;
mod history;
mod holds;
mod intents;
mod kept;
mod lease;
mod lock;
mod mark;
mod mounts;
mod nodes;
mod outbox;
mod quarantine;
mod queue;
mod replay;
mod restore;
mod rollback;
mod rows;
mod runs;
mod schedules;
mod schema;
mod server;
mod settle;
mod stop_file;
mod stopped;
mod touch;
mod windows;
mod writer;

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::AnyPool;
use tokio::sync::Notify;

use self::database::Database;

pub use alerts::{AlertFilter, AlertRow, Arrival, Decision, Received, Undecided, Verdict};
pub use approvals::{ApprovalFilter, waits_for};
pub use audit::{Act, Audited, Chain};
pub use begin::{Begun, NewRun};
pub use database::file_of;
pub use events::WaitingEvent;
pub use examine::{Examined, examine};
pub use history::{ALERT, Past, REPLAY, TICK, While};
pub use holds::{EVERYTHING, Heed, Hold, HoldCause};
pub use intents::{Guard, Held, Intent};
pub use lease::CallTime;
pub use lock::Lock;
pub use mark::Mark;
pub use outbox::{Fate, Outgoing};
pub use quarantine::{QuarantineRow, QuarantineState, Rejected};
pub use queue::Queued;
pub use replay::Replayed;
pub use restore::{Recovered, Review};
pub use rollback::{Decider, Returns};
pub use runs::{Change, Progress, RunFilter, Standing, Timeline};
pub use schedules::TickFailure;
pub use settle::Settled;

use crate::{
    clock::Clock,
    duration::Span,
    lifecycle::{Stop, Tasks},
    news::Outlet,
    secret::Secret,
    telemetry::signals::Signals,
};

/// The journal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    readers: AnyPool,
    /// A connection for the lease, until this program is a node.
    heart: Option<AnyPool>,
    /// This program, where it shares the journal with others.
    node: Option<Arc<nodes::Node>>,
    writer: writer::Handle,
    /// Told when a message was put into the embedded queue.
    queued: Arc<Notify>,
    clock: Clock,
    /// Where news go.
    outlet: Outlet,
    /// By which a restore is noticed; nothing where nobody acts.
    mark: Option<Mark>,
}

/// Where the journal is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub url: Secret,
    /// How many connections read at once. One more writes.
    pub connections: u32,
    /// How long a server may take for an answer.
    pub timeout: Span,
    /// How long a program that shares the journal is waited for before others go on with its work.
    pub lease: Span,
}

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database refused or cannot be reached; the same may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The database cannot be used as it is; a person must do something.
    #[error("{0}")]
    Unusable(String),
    /// What the database holds cannot be read back.
    #[error("the store holds {what} that cannot be read: {why}")]
    Corrupt {
        /// Which row.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: Secret::new("sqlite:data/quell.db"),
            // Reads come from commands, pages and the driver; more would only queue at the two or four cores that SQLite can use.
            connections: 4,
            // Longer than it takes until a writer that stands still has lost its turn.
            timeout: Span(Duration::from_secs(15)),
            // A stopped virtual machine or a slow failover of the database is over sooner; a coin miner costs little in it.
            lease: Span(Duration::from_secs(15)),
        }
    }
}

impl From<&str> for StoreConfig {
    fn from(url: &str) -> Self {
        Self { url: Secret::new(url), ..Self::default() }
    }
}

impl From<&String> for StoreConfig {
    fn from(url: &String) -> Self {
        Self::from(url.as_str())
    }
}

impl From<&Self> for StoreConfig {
    fn from(config: &Self) -> Self {
        config.clone()
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Store {
    /// Opens the database that a URL (`sqlite:PATH` or `postgres://…`) or the settings name, creates what is missing and starts its writer.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] says what is wrong with the URL, the folder, or the version of the database.
    pub async fn open(at: impl Into<StoreConfig>, tasks: &Tasks, signals: Option<Signals>) -> Result<Self, StoreError> {
        let Database { writing, reading, heart, name } = Database::open(&at.into()).await?;
        schema::migrate(&writing, &name).await?;
        let writer = writer::start(writing, tasks, signals);
        let (queued, clock, outlet) = (Arc::default(), Clock::default(), Outlet::default());
        Ok(Self { readers: reading, heart, node: None, writer, queued, clock, outlet, mark: None })
    }

    /// The same journal, dated by another clock.
    #[must_use]
    pub fn dated_by(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The clock that dates what is written.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Waits until the database can be written, or the program should end.
    pub async fn usable(&self, stop: &Stop) {
        while !stop.is_requested() && self.probe().await.is_err() {
            // Short enough that work goes on soon after the disk has space again.
            stop.sleep(Duration::from_millis(500)).await;
        }
    }

    /// Whether the database can be written now.
    ///
    /// # Errors
    /// Says why not.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.keep("probe", b"").await
    }
}

fn unusable(message: String) -> StoreError {
    StoreError::Unusable(message)
}

/// The file beside the database that its one user locks.
fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

#[cfg(test)]
mod approval_tests;
#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod hold_tests;
#[cfg(test)]
mod node_tests;
#[cfg(test)]
mod outbox_tests;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod restore_tests;
#[cfg(test)]
mod rollback_tests;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod window_tests;
