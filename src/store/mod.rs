//! To come.

/// The journal.
#[derive(Debug, Clone)]
pub struct Store;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

impl Store {
    /// Where a poll goes on.
    #[expect(clippy::unused_async, reason = "to come")]
    pub async fn cursor(&self, _adapter: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// Remembers where a poll goes on.
    #[expect(clippy::unused_async, reason = "to come")]
    pub async fn set_cursor(&self, _adapter: &str, _cursor: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// A value kept under a name, e.g. a rotated refresh token in sealed form.
    #[expect(clippy::unused_async, reason = "to come")]
    pub async fn kept(&self, _name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    /// Keeps a value under a name, durably when this returns.
    #[expect(clippy::unused_async, reason = "to come")]
    pub async fn keep(&self, _name: &str, _value: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
}
