//! A look at a journal that changes nothing: whether it is there, and which version wrote it.

use std::str::FromStr;

use sqlx::{AnyPool, Connection, any::AnyConnectOptions, any::install_default_drivers};

use super::{StoreConfig, StoreError, database, file_of, mounts, schema, server, unusable};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examined {
    /// There is none yet; `quell run` makes it.
    Absent,
    /// It is as this program wants it.
    Current,
    /// It is of an earlier version; `quell run` brings it to this one.
    Older(i64),
    /// A later version wrote it, and this one does not use it.
    Newer(i64),
}

/// Looks at the journal that the settings name.
///
/// # Errors
/// It cannot be reached, or not be used as it is; the sentence says what to do.
pub async fn examine(config: &StoreConfig) -> Result<Examined, StoreError> {
    install_default_drivers();
    match file_of(config.url.expose())? {
        Some(file) if !file.exists() => Ok(Examined::Absent),
        Some(file) => {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(kind) = folder.and_then(mounts::network) {
                let file = file.display();
                return Err(unusable(format!(
                    "the store `{file}` is on a network file system (`{kind}`), where SQLite loses what it wrote"
                )));
            }
            let mut connection = sqlx::AnyConnection::connect_with(&database::sqlite_url(&file, "ro")?).await?;
            schema::version(&mut connection, &file.display().to_string()).await
        }
        None => {
            // A server that is asked for what it promises, and nothing else.
            let options = AnyConnectOptions::from_str(config.url.expose());
            let options = options.map_err(|error| unusable(format!("`store.url` is no URL: {error}")))?;
            let pool: AnyPool = server::pool(config, 1)
                .connect_with(options.clone())
                .await
                .map_err(|error| server::refused(&server::name(&options), &error))?;
            let mut connection = pool.acquire().await?;
            server::trust(&mut connection, &server::name(&options)).await?;
            schema::version(&mut connection, &server::name(&options)).await
        }
    }
}
