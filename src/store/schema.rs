//! Brings a database to the schema of this version, or refuses it.

use std::cmp::Ordering;

use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection};
use uuid::Uuid;

use super::{Examined, StoreError, dialect::Dialect, rows, unusable};
use crate::failpoints;

/// One step for each version; number 1 is the first. PostgreSQL begins at step 2, and reads all that follow as SQLite does.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("upgrade_2.sql"),
    include_str!("upgrade_3.sql"),
    include_str!("upgrade_4.sql"),
    include_str!("upgrade_rollback.sql"),
    include_str!("upgrade_windows.sql"),
    include_str!("upgrade_outbox.sql"),
    include_str!("upgrade_hold.sql"),
    include_str!("upgrade_events.sql"),
    include_str!("upgrade_restore.sql"),
    include_str!("upgrade_targets.sql"),
    include_str!("upgrade_refused.sql"),
];

/// The tables of [`FIRST_ON_POSTGRES`].
const POSTGRES: &str = include_str!("postgres.sql");
const FIRST_ON_POSTGRES: i64 = 2;

/// "Quel" in ASCII: tells our databases from other programs' (SQLite, "PRAGMA `application_id`").
const APPLICATION_ID: i64 = 0x5175_656c;

/// Makes or upgrades the tables. `name` is what people call the database.
pub(super) async fn migrate(pool: &AnyPool, name: &str) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    match Dialect::of(&connection) {
        Dialect::Sqlite => {
            // A table that others refer to can only be built anew without foreign keys, and within a transaction they cannot be turned off.
            sqlx::raw_sql("PRAGMA foreign_keys = OFF").execute(&mut *connection).await?;
            let migrated = sqlite(&mut connection, name).await;
            sqlx::raw_sql("PRAGMA foreign_keys = ON").execute(&mut *connection).await?;
            migrated
        }
        Dialect::Postgres => postgres(&mut connection, name).await,
    }
}

/// How a database stands to this version, without a change to it.
pub(super) async fn version(connection: &mut AnyConnection, name: &str) -> Result<Examined, StoreError> {
    let stands = |version: i64| match version.cmp(&newest()) {
        Ordering::Equal => Examined::Current,
        Ordering::Greater => Examined::Newer(version),
        Ordering::Less if version == 0 => Examined::Absent,
        Ordering::Less => Examined::Older(version),
    };
    if matches!(Dialect::of(connection), Dialect::Postgres) {
        let query = "SELECT CAST(to_regclass(quote_ident(current_schema()) || '.journal') IS NOT NULL AS INTEGER)";
        let (is_ours,): (i64,) = sqlx::query_as(query).fetch_one(&mut *connection).await?;
        if is_ours == 0 {
            return Ok(Examined::Absent);
        }
        let (version,): (i64,) = sqlx::query_as("SELECT version FROM journal").fetch_one(connection).await?;
        return Ok(stands(version));
    }
    let (version,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let (application,): (i64,) = sqlx::query_as("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let (tables,): (i64,) = sqlx::query_as("SELECT count(*) FROM sqlite_master").fetch_one(connection).await?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(unusable(format!("`{name}` is a database of another program; name another file in `store.url`")));
    }
    Ok(stands(version))
}

async fn sqlite(connection: &mut AnyConnection, name: &str) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let (version,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    let (application,): (i64,) = sqlx::query_as("PRAGMA application_id").fetch_one(&mut *transaction).await?;
    let (tables,): (i64,) = sqlx::query_as("SELECT count(*) FROM sqlite_master").fetch_one(&mut *transaction).await?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(unusable(format!("`{name}` is a database of another program; name another file in `store.url`")));
    }
    if version == refuse_newer(version, name)? {
        return Ok(());
    }
    upgrade(&mut transaction, version).await?;
    let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *transaction).await?.len();
    if broken > 0 {
        return Err(unusable(format!(
            "the store `{name}` cannot be upgraded: {broken} of its rows refer to others that are not there; it stays as it is; restore a backup"
        )));
    }
    let stamp = format!("PRAGMA user_version = {}; PRAGMA application_id = {APPLICATION_ID}", newest());
    sqlx::raw_sql(AssertSqlSafe(stamp)).execute(&mut *transaction).await?;
    failpoints::crash("migrating");
    transaction.commit().await?;
    Ok(())
}

async fn postgres(connection: &mut AnyConnection, name: &str) -> Result<(), StoreError> {
    // Two nodes may start at once, and there is no table yet that they could take turns by.
    let begin = "BEGIN; SELECT pg_advisory_xact_lock(hashtext('quell ' || current_schema()))";
    let mut transaction = connection.begin_with(begin).await?;
    let query = "SELECT CAST(to_regclass(quote_ident(current_schema()) || '.journal') IS NOT NULL AS INTEGER),
                        (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema())";
    let (is_ours, tables): (i64, i64) = sqlx::query_as(query).fetch_one(&mut *transaction).await?;
    let version = if is_ours == 1 {
        let (version,): (i64,) = sqlx::query_as("SELECT version FROM journal").fetch_one(&mut *transaction).await?;
        version
    } else if tables > 0 {
        return Err(unusable(format!("`{name}` holds tables of another program; name a database of its own in `store.url`")));
    } else {
        sqlx::raw_sql(POSTGRES).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO journal (version) VALUES ($1)").bind(FIRST_ON_POSTGRES).execute(&mut *transaction).await?;
        FIRST_ON_POSTGRES
    };
    if version < refuse_newer(version, name)? {
        upgrade(&mut transaction, version).await?;
        sqlx::query("UPDATE journal SET version = $1").bind(newest()).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The version that this program knows.
fn refuse_newer(version: i64, name: &str) -> Result<i64, StoreError> {
    let known = newest();
    if version > known {
        return Err(unusable(format!(
            "the store `{name}` was written by a newer Quell (schema {version}, this one knows {known}); run that version, or restore a backup made before the upgrade"
        )));
    }
    Ok(known)
}

async fn upgrade(connection: &mut AnyConnection, version: i64) -> Result<(), StoreError> {
    let dialect = Dialect::of(connection);
    for step in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or_default()) {
        sqlx::raw_sql(dialect.tables(step)).execute(&mut *connection).await?;
    }
    let query = "INSERT INTO mark (one, id, intents) VALUES (1, $1, 0) ON CONFLICT (one) DO NOTHING";
    sqlx::query(query).bind(Uuid::now_v7().to_string()).execute(&mut *connection).await?;
    key_targets(connection).await
}

/// What a version before `upgrade_targets.sql` left without a key, because it is long.
async fn key_targets(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let query = "SELECT run, id, target FROM step WHERE target IS NOT NULL AND target_key IS NULL";
    let long: Vec<(String, String, String)> = sqlx::query_as(query).fetch_all(&mut *connection).await?;
    for (run, step, target) in long {
        let query = "UPDATE step SET target_key = $3 WHERE run = $1 AND id = $2";
        sqlx::query(query).bind(run).bind(step).bind(rows::key(&target)).execute(&mut *connection).await?;
    }
    Ok(())
}

fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}
