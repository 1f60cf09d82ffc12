//! Small values that outlive the process, by name.

use jiff::Timestamp;

use super::{Store, StoreError};

impl Store {
    /// The value kept under a name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> =
            sqlx::query_as("SELECT value FROM kept WHERE name = $1").bind(name).fetch_optional(&self.readers).await?;
        Ok(row.map(|(value,)| value))
    }

    /// Keeps a value under a name; it is durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written; the old value stands.
    pub async fn keep(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        let now = Timestamp::now().as_microsecond();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = "INSERT INTO kept (name, value, at) VALUES ($1, $2, $3)
                                 ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at";
                    sqlx::query(query).bind(name).bind(value).bind(now).execute(connection).await.map(|_| ())
                })
            })
            .await
    }

    /// Where the poll of an adapter goes on.
    ///
    /// # Errors
    /// The store cannot be read, or holds no text there.
    pub async fn cursor(&self, adapter: &str) -> Result<Option<String>, StoreError> {
        let name = cursor_name(adapter);
        let Some(value) = self.kept(&name).await? else { return Ok(None) };
        let text = String::from_utf8(value).map_err(|error| StoreError::Corrupt { what: name, why: error.to_string() })?;
        Ok(Some(text))
    }

    /// Remembers where the poll of an adapter goes on.
    ///
    /// # Errors
    /// The store cannot be written; the poll goes on from where it was.
    pub async fn set_cursor(&self, adapter: &str, cursor: &str) -> Result<(), StoreError> {
        self.keep(&cursor_name(adapter), cursor.as_bytes()).await
    }
}

fn cursor_name(adapter: &str) -> String {
    format!("cursor/{adapter}")
}
