//! Up to when the times of each schedule were seen to.

use jiff::Timestamp;

use super::{Begun, NewRun, Store, StoreError, begin, rows};

impl Store {
    /// Up to when the times of a playbook's schedule were seen to; `None` before the first time.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn schedule(&self, playbook: &str) -> Result<Option<Timestamp>, StoreError> {
        let query = "SELECT last FROM schedule WHERE playbook = $1";
        let found: Option<(i64,)> = sqlx::query_as(query).bind(playbook).fetch_optional(&self.readers).await?;
        found.map(|(last,)| rows::time(last)).transpose()
    }

    /// Begins the runs of a schedule's times and remembers that all times up to `last` were seen to, both or neither; durable when this
    /// returns. Says what became of each run. What was seen to stays so when the clock is set back.
    ///
    /// # Errors
    /// The store cannot be written; nothing began and nothing was remembered.
    pub async fn advance_schedule(&self, playbook: &str, last: Timestamp, runs: Vec<NewRun>) -> Result<Vec<Begun>, StoreError> {
        let (playbook, now) = (playbook.to_owned(), self.clock.now());
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let mut begun = Vec::with_capacity(runs.len());
                    for run in &runs {
                        begun.push(begin::begin(connection, run, now).await?);
                    }
                    let query = "INSERT INTO schedule (playbook, last) VALUES ($1, $2)
                                 ON CONFLICT (playbook) DO UPDATE SET last = max(last, excluded.last)";
                    sqlx::query(query).bind(playbook).bind(last.as_microsecond()).execute(connection).await?;
                    Ok(begun)
                })
            })
            .await
    }
}
