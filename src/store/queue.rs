//! The table behind the embedded bus.

use jiff::Timestamp;

use super::{Store, StoreError};

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its place in the order.
    pub number: i64,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Store {
    /// Puts a message at the end of the queue; it is durable when this returns.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn enqueue(&self, key: String, body: Vec<u8>) -> Result<(), StoreError> {
        let now = Timestamp::now().as_microsecond();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = "INSERT INTO queue (key, body, published_at) VALUES ($1, $2, $3)";
                    sqlx::query(query).bind(key).bind(body).bind(now).execute(connection).await.map(|_| ())
                })
            })
            .await?;
        self.queued.notify_waiters();
        Ok(())
    }

    /// The messages after number `after`, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn queued_after(&self, after: i64, most: usize) -> Result<Vec<Queued>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let query = "SELECT number, body FROM queue WHERE number > $1 ORDER BY number LIMIT $2";
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(query).bind(after).bind(most).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|(number, body)| Queued { number, body }).collect())
    }

    /// Takes answered messages out of the queue.
    ///
    /// # Errors
    /// The store cannot be written; the messages come again.
    pub async fn dequeue(&self, numbers: Vec<i64>) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for number in numbers {
                        sqlx::query("DELETE FROM queue WHERE number = $1").bind(number).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn queue_depth(&self) -> Result<i64, StoreError> {
        let (depth,): (i64,) = sqlx::query_as("SELECT count(*) FROM queue").fetch_one(&self.readers).await?;
        Ok(depth)
    }

    /// Waits until this process puts a message into the queue. Other processes do so too, so wait with a time limit.
    pub async fn message_queued(&self) {
        self.queued.notified().await;
    }
}
