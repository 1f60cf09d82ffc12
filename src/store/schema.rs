//! Brings a database to the schema of this version, or refuses it.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection, SqlitePool};

use super::{StoreError, unusable};
use crate::failpoints;

/// One step for each version; number 1 is the first.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql"), include_str!("upgrade_2.sql"), include_str!("upgrade_3.sql")];

/// "Quel" in ASCII: tells our databases from other programs' (SQLite, "PRAGMA `application_id`").
const APPLICATION_ID: i64 = 0x5175_656c;

pub(super) async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    // A table that others refer to can only be built anew without foreign keys, and within a transaction they cannot be turned off.
    sqlx::raw_sql("PRAGMA foreign_keys = OFF").execute(&mut *connection).await?;
    let migrated = in_transaction(&mut connection, path).await;
    sqlx::raw_sql("PRAGMA foreign_keys = ON").execute(&mut *connection).await?;
    migrated
}

async fn in_transaction(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let (version,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    let (application,): (i64,) = sqlx::query_as("PRAGMA application_id").fetch_one(&mut *transaction).await?;
    let (tables,): (i64,) = sqlx::query_as("SELECT count(*) FROM sqlite_master").fetch_one(&mut *transaction).await?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(unusable(format!("`{}` is a database of another program; name another file in `store.url`", path.display())));
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(unusable(format!(
            "the store `{}` was written by a newer Quell (schema {version}, this one knows {known}); run that version, or restore a backup made before the upgrade",
            path.display()
        )));
    }
    if version == known {
        return Ok(());
    }
    let done = usize::try_from(version).unwrap_or_default();
    for step in MIGRATIONS.iter().skip(done) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *transaction).await?.len();
    if broken > 0 {
        return Err(unusable(format!(
            "the store `{}` cannot be upgraded: {broken} of its rows refer to others that are not there; it stays as it is; restore a backup",
            path.display()
        )));
    }
    let stamp = format!("PRAGMA user_version = {known}; PRAGMA application_id = {APPLICATION_ID}");
    sqlx::raw_sql(AssertSqlSafe(stamp)).execute(&mut *transaction).await?;
    failpoints::crash("migrating");
    transaction.commit().await?;
    Ok(())
}
