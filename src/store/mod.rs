//! The store: the journal of alerts, runs, steps and attempts, and what else must survive the process.
//!
//! Everything goes through one writer that commits in groups ([`writer`]); a write is durable when its method returns.
//! Reads have connections of their own. One file for each thing that is kept.

mod alerts;
mod approval_notices;
mod approvals;
mod audit;
mod begin;
mod errors;
mod history;
mod intents;
mod kept;
mod lock;
mod quarantine;
mod queue;
mod rows;
mod runs;
mod schedules;
mod schema;
mod settle;
mod stopped;
mod touch;
mod windows;
mod writer;

use std::{path::Path, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Notify;

pub use alerts::{AlertFilter, AlertRow, Arrival, Decision, Received, Undecided, Verdict};
pub use approval_notices::DueNotice;
pub use approvals::{ApprovalFilter, waits_for};
pub use audit::{Act, Audited, Chain};
pub use begin::{Begun, NewRun};
pub use errors::PlaybookError;
pub use history::{Past, While};
pub use intents::{Guard, Held, Intent};
pub use lock::Lock;
pub use quarantine::{QuarantineRow, QuarantineState, Rejected};
pub use queue::Queued;
pub use runs::{Change, Progress, RunFilter, Standing, Timeline};
pub use settle::Settled;

use crate::{
    clock::Clock,
    failpoints,
    lifecycle::{Stop, Tasks},
    telemetry::signals::Signals,
};

/// The journal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    readers: SqlitePool,
    writer: writer::Handle,
    /// Told when a message was put into the embedded queue.
    queued: Arc<Notify>,
    clock: Clock,
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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Long enough for a reader of a large table, short enough that a stuck disk is noticed.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads come from commands, pages and the driver; more would only queue at the two or four cores that SQLite can use.
const READERS: u32 = 4;

impl Store {
    /// Opens the database named by `url` (`sqlite:PATH`), creates what is missing and starts its writer.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] says what is wrong with the URL, the folder, or the version of the database.
    pub async fn open(url: &str, tasks: &Tasks, signals: Option<Signals>) -> Result<Self, StoreError> {
        let path = file_of(url)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| unusable(format!("create the folder `{}`: {error}", folder.display())))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An intent must be on the disk before its request is sent, also when the power fails.
            .synchronous(if failpoints::mistake("synchronous_normal") { SqliteSynchronous::Normal } else { SqliteSynchronous::Full })
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        // A file does not hang up. To test a connection before each use would cost as much as a small query.
        let pool = |connections| SqlitePoolOptions::new().max_connections(connections).test_before_acquire(false);
        let writing = pool(1)
            .connect_with(options.clone())
            .await
            .map_err(|error| unusable(format!("open the store `{}`: {error}", path.display())))?;
        schema::migrate(&writing, &path).await?;
        // A database in memory belongs to one connection.
        let in_memory = path == Path::new(":memory:");
        let readers = if in_memory { writing.clone() } else { pool(READERS).connect_with(options.create_if_missing(false)).await? };
        Ok(Self { readers, writer: writer::start(writing, tasks, signals), queued: Arc::default(), clock: Clock::default() })
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

/// The file that a `sqlite:` URL names.
///
/// # Errors
/// The URL is of another kind.
pub fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() => PathBuf::from_str(path).map_err(|error| unusable(error.to_string())),
        Some(_) => Err(unusable("`store.url` names no file; write `sqlite:data/quell.db`".to_owned())),
        None => {
            Err(unusable(format!("`store.url` is `{}`; this version keeps its journal in SQLite: write `sqlite:PATH`", scheme_of(url))))
        }
    }
}

/// A URL without what may be secret in it.
fn scheme_of(url: &str) -> String {
    url.split_once(':').map_or_else(|| url.to_owned(), |(scheme, _)| format!("{scheme}:…"))
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
mod tests;
#[cfg(test)]
mod window_tests;
