//! The one writer: takes writes from everywhere, puts those that wait into one transaction, and answers each after the commit.
//!
//! A commit that waits for the disk costs as much for a hundred writes as for one, so waiting together is what makes
//! full durability fast. A write that fails is undone alone; its neighbours in the transaction are not.

use std::time::Instant;

use futures_util::future::BoxFuture;
use sqlx::{AnyConnection, AnyPool, Connection};
use tokio::sync::{mpsc, oneshot};

use super::{StoreError, dialect::Dialect};
use crate::{failpoints, lifecycle::Tasks, telemetry::signals::Signals};

/// Puts writes into the queue of the writer.
#[derive(Debug, Clone)]
pub(super) struct Handle(mpsc::Sender<Box<dyn Job>>);

/// Between two writes of a transaction: what the first did stands, and the second can be undone alone. One statement for both,
/// because each is a visit to the thread of the database.
const NEXT_WRITE: &str = "RELEASE one_write; SAVEPOINT one_write";

/// Enough to keep the disk busy; more would only make each answer later.
const LARGEST_GROUP: usize = 256;

trait Job: Send {
    fn run<'c>(&'c mut self, connection: &'c mut AnyConnection) -> BoxFuture<'c, Result<(), sqlx::Error>>;
    fn fail(&mut self, error: StoreError);
    fn answer(self: Box<Self>);
}

struct Write<T, F> {
    work: Option<F>,
    result: Result<T, StoreError>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send,
{
    fn run<'c>(&'c mut self, connection: &'c mut AnyConnection) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.result = Ok(work(connection).await?);
            }
            Ok(())
        })
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Err(error);
    }

    fn answer(self: Box<Self>) {
        // Nobody may be waiting any more; the write stands all the same.
        drop(self.answer.send(self.result));
    }
}

impl Handle {
    /// Does the work in a transaction and returns its value once that is committed.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let ended = || StoreError::Unavailable("the store's writer has ended".to_owned());
        let job = Write { work: Some(work), result: Err(ended()), answer };
        self.0.send(Box::new(job)).await.map_err(|_closed| ended())?;
        answered.await.map_err(|_closed| ended())?
    }
}

/// Starts the writer; it ends when the last handle is gone.
pub(super) fn start(pool: AnyPool, tasks: &Tasks, signals: Option<Signals>) -> Handle {
    let (sender, mut jobs) = mpsc::channel::<Box<dyn Job>>(LARGEST_GROUP * 4);
    tasks.spawn_vital("store writer", async move {
        let mut group = Vec::with_capacity(LARGEST_GROUP);
        while jobs.recv_many(&mut group, LARGEST_GROUP).await > 0 {
            let begun = Instant::now();
            match commit(&pool, &mut group).await {
                Ok(()) => {
                    failpoints::crash("committed");
                    if let Some(signals) = &signals {
                        signals.store_committed(begun.elapsed());
                    }
                }
                Err(error) => {
                    let error = StoreError::from(error);
                    if let Some(signals) = &signals {
                        signals.store_failed(&error.to_string());
                    }
                    for job in &mut group {
                        job.fail(error.clone());
                    }
                }
            }
            group.drain(..).for_each(Job::answer);
        }
    });
    Handle(sender)
}

async fn commit(pool: &AnyPool, group: &mut [Box<dyn Job>]) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let committed = in_transaction(&mut connection, group).await;
    if committed.is_err() {
        // A full disk makes SQLite end the transaction by itself, which the driver does not notice: only a new connection is good.
        connection.close_on_drop();
    }
    committed
}

async fn in_transaction(connection: &mut AnyConnection, group: &mut [Box<dyn Job>]) -> Result<(), sqlx::Error> {
    let dialect = Dialect::of(connection);
    let mut transaction = connection.begin_with(dialect.begin()).await?;
    if let [alone] = group {
        alone.run(&mut transaction).await?;
        failpoints::crash("committing");
        return transaction.commit().await;
    }
    sqlx::raw_sql("SAVEPOINT one_write").execute(&mut *transaction).await?;
    for job in group {
        if let Err(error) = job.run(&mut transaction).await {
            job.fail(error.into());
            sqlx::raw_sql("ROLLBACK TO one_write").execute(&mut *transaction).await?;
        }
        sqlx::raw_sql(NEXT_WRITE).execute(&mut *transaction).await?;
    }
    failpoints::crash("committing");
    // This also releases the savepoint that no write follows.
    transaction.commit().await
}
