//! Opens the database that a URL names, SQLite or PostgreSQL, with what makes it safe to rely on.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use sqlx::{
    AnyPool,
    any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers},
};
use url::Url;

use super::{StoreConfig, StoreError, mounts, server, unusable};
use crate::failpoints;

/// The connections to a database.
pub(super) struct Database {
    /// One connection: writes are put together, not side by side.
    pub(super) writing: AnyPool,
    pub(super) reading: AnyPool,
    /// One more connection where several programs may share the database: for the lease, which must not wait behind anything.
    pub(super) heart: Option<AnyPool>,
    /// What people call it.
    pub(super) name: String,
}

/// A database that is gone with the process.
const IN_MEMORY: &str = ":memory:";

/// An intent must be on the disk before its request is sent, also when the power fails. Five seconds are long enough for a reader of a
/// large table, short enough that a stuck disk is noticed.
const SQLITE: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000";

impl Database {
    pub(super) async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        install_default_drivers();
        match file_of(config.url.expose())? {
            Some(file) => sqlite(&file, config.connections).await,
            None => server::open(config).await,
        }
    }
}

async fn sqlite(path: &Path, connections: u32) -> Result<Database, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| unusable(format!("create the folder `{}`: {error}", folder.display())))?;
    }
    let name = path.display().to_string();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if let Some(kind) = mounts::network(folder) {
        return Err(unusable(format!(
            "the store `{name}` is on a network file system (`{kind}`), where SQLite loses what it wrote; put it on a disk of this machine, \
             or keep the journal in PostgreSQL"
        )));
    }
    // A file does not hang up. To test a connection before each use would cost as much as a small query.
    let pool = |connections| {
        AnyPoolOptions::new().max_connections(connections).test_before_acquire(false).after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(SQLITE).execute(&mut *connection).await?;
                if failpoints::mistake("synchronous_normal") {
                    sqlx::raw_sql("PRAGMA synchronous = NORMAL").execute(connection).await?;
                }
                Ok(())
            })
        })
    };
    let writing =
        pool(1).connect_with(sqlite_url(path, "rwc")?).await.map_err(|error| unusable(format!("open the store `{name}`: {error}")))?;
    // A database in memory belongs to one connection.
    let in_memory = path == Path::new(IN_MEMORY);
    let reading = if in_memory { writing.clone() } else { pool(connections).connect_lazy_with(sqlite_url(path, "rw")?) };
    Ok(Database { writing, reading, heart: None, name })
}

pub(super) fn sqlite_url(path: &Path, mode: &str) -> Result<AnyConnectOptions, StoreError> {
    let refused = |why: String| unusable(format!("open the store `{}`: {why}", path.display()));
    let text = if path == Path::new(IN_MEMORY) {
        format!("sqlite:{IN_MEMORY}")
    } else {
        let path = std::path::absolute(path).map_err(|error| refused(error.to_string()))?;
        // So that a `?` or `%` in a name is one.
        let url = Url::from_file_path(&path).map_err(|()| refused("its path is not one".to_owned()))?;
        format!("sqlite:{}?mode={mode}", url.path())
    };
    AnyConnectOptions::from_str(&text).map_err(|error| refused(error.to_string()))
}

/// The file that a URL of a journal names; `None` if it is kept by a server.
///
/// # Errors
/// Says what is wrong with the URL.
pub fn file_of(url: &str) -> Result<Option<PathBuf>, StoreError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(None);
    }
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() => Ok(Some(PathBuf::from(path))),
        Some(_) => Err(unusable("`store.url` names no file; write `sqlite:data/quell.db`".to_owned())),
        None => Err(unusable(format!(
            "`store.url` is `{}`; the journal is kept in SQLite or PostgreSQL: write `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`",
            scheme_of(url)
        ))),
    }
}

/// A URL without what may be secret in it.
fn scheme_of(url: &str) -> String {
    url.split_once(':').map_or_else(|| url.to_owned(), |(scheme, _)| format!("{scheme}:…"))
}
