//! Long-lived tasks and how they stop: every task is named, waited for, and told when to end.
//!
//! A task is never detached. Correctness does not depend on an orderly stop; it only makes one quicker.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, info_span};

/// Told to tasks when the program should end. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

/// The tasks of one program.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    stop: Stop,
    tracker: TaskTracker,
    failed: Arc<AtomicBool>,
}

impl Stop {
    /// Waits until the program should end.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Whether the program should end.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Asks all tasks to end.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Waits for a while, or less when the program should end; says whether the whole while has passed.
    pub async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            () = self.requested() => false,
            () = tokio::time::sleep(duration) => true,
        }
    }

    /// Runs a future until it is done, or gives it up when the program should end.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.requested() => None,
            value = work => Some(value),
        }
    }
}

impl Tasks {
    /// The signal that ends them.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Starts a task whose name appears in the log lines that it writes.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that starts tasks")]
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        tokio::task::spawn(self.tracker.track_future(task.instrument(info_span!("task", name))))
    }

    /// Starts a task that nothing works without: if it panics, all tasks are asked to end, and [`Tasks::have_failed`] says so.
    pub fn spawn_vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, failed) = (self.stop.clone(), Arc::clone(&self.failed));
        self.spawn(name, async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                failed.store(true, Ordering::SeqCst);
                stop.request();
            }
        });
    }

    /// Whether a vital task has panicked.
    pub fn have_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Asks all tasks to end and waits for them; says whether all had ended in time.
    pub async fn end(&self, patience: Duration) -> bool {
        self.stop.request();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_vital_task_that_panics_ends_the_others() {
        let tasks = Tasks::default();
        let stop = tasks.stop();
        tasks.spawn("other", async move { stop.requested().await });
        tasks.spawn_vital("vital", async { panic!("a bug") });
        tasks.stop().requested().await;
        assert!(tasks.have_failed());
        assert!(tasks.end(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn ending_waits_for_tasks_but_not_for_ever() {
        let tasks = Tasks::default();
        let stop = tasks.stop();
        tasks.spawn("obedient", async move { stop.requested().await });
        assert!(tasks.end(Duration::from_secs(1)).await);

        let tasks = Tasks::default();
        tasks.spawn("deaf", std::future::pending::<()>());
        assert!(!tasks.end(Duration::from_secs(1)).await);
    }
}
