//! A PostgreSQL server: how its connections are set, and what it must promise before anything is entrusted to it.

use std::str::FromStr;

use sqlx::{
    AnyConnection, AnyPool,
    any::{AnyConnectOptions, AnyPoolOptions},
};

use super::{StoreConfig, StoreError, database::Database, unusable};

/// The oldest version that its makers still mend.
const OLDEST: i64 = 14;

/// A writer that stands still in the middle, because its program was stopped or its network is gone, must not keep the others waiting for
/// long: after this it has lost its turn, and nothing of what it began was written.
const LOST_TURN_MS: u32 = 10_000;

pub(super) async fn open(config: &StoreConfig) -> Result<Database, StoreError> {
    let options = AnyConnectOptions::from_str(config.url.expose()).map_err(|error| unusable(format!("`store.url` is no URL: {error}")))?;
    let name = name(&options);
    let pool = |most| pool(config, most);
    let writing: AnyPool = pool(1).connect_with(options.clone()).await.map_err(|error| refused(&name, &error))?;
    let mut connection = writing.acquire().await?;
    trust(&mut connection, &name).await?;
    drop(connection);
    let reading = pool(config.connections).connect_lazy_with(options.clone());
    Ok(Database { writing, reading, heart: Some(pool(1).connect_lazy_with(options)), name })
}

/// What people call the database.
pub(super) fn name(options: &AnyConnectOptions) -> String {
    let host = options.database_url.host_str().unwrap_or("localhost");
    format!("{} on {host}", options.database_url.path().trim_start_matches('/'))
}

/// So many connections, each set as it must be.
pub(super) fn pool(config: &StoreConfig, most: u32) -> AnyPoolOptions {
    let limit = config.timeout.0.as_millis();
    let options = AnyPoolOptions::new().max_connections(most).acquire_timeout(config.timeout.0);
    options.after_connect(move |connection, _| Box::pin(set(connection, limit)))
}

/// Times out what hangs. A write of two nodes that both wait for their turn takes as long as the writes before it.
async fn set(connection: &mut AnyConnection, limit: u128) -> Result<(), sqlx::Error> {
    let set = format!(
        "SET statement_timeout = {limit}; SET lock_timeout = {limit};
         SET idle_in_transaction_session_timeout = {LOST_TURN_MS}; SET default_transaction_isolation = 'read committed'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(connection).await.map(|_| ())
}

/// Refuses a server on which what was committed may be gone after a power failure.
pub(super) async fn trust(connection: &mut AnyConnection, name: &str) -> Result<(), StoreError> {
    let query = "SELECT current_setting('server_version_num'), current_setting('server_version'), current_setting('fsync'),
                        current_setting('synchronous_commit'), current_setting('server_encoding')";
    let (number, version, fsync, commit, encoding): (String, String, String, String, String) =
        sqlx::query_as(query).fetch_one(connection).await?;
    if number.parse::<i64>().unwrap_or_default() / 10_000 < OLDEST {
        return Err(unusable(format!("the store `{name}` is PostgreSQL {version}; Quell needs {OLDEST} or later")));
    }
    for (setting, value) in [("fsync", fsync), ("synchronous_commit", commit)] {
        if value == "off" {
            return Err(unusable(format!(
                "the store `{name}` has `{setting} = off`: after a power failure it may have forgotten that a call was about to be made, \
                 and the call would be made twice; set it to `on` (`ALTER DATABASE … SET` or postgresql.conf)"
            )));
        }
    }
    if encoding != "UTF8" {
        return Err(unusable(format!("the store `{name}` has the encoding {encoding}; make a database with `ENCODING 'UTF8'`")));
    }
    Ok(())
}

/// What a person is to do about a connection that did not come about.
pub(super) fn refused(name: &str, error: &sqlx::Error) -> StoreError {
    let advice = match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
        Some("3D000") => "make it with `CREATE DATABASE`",
        Some("28P01" | "28000") => "its user or password is wrong, or pg_hba.conf does not let that user in from here",
        Some("53300") => "it has no connection left: raise `max_connections`, or lower `store.connections`",
        Some("57P03") => "it is starting or stopping; try again",
        Some(_) => "",
        None => "it cannot be reached; see that it runs, and `store.url`",
    };
    let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
    unusable(format!("open the store `{name}`: {error}{advice}"))
}
