//! The tasks that the simulator runs, so that stopping it leaves none behind.

use std::{
    future::Future,
    mem,
    sync::{Mutex, PoisonError},
};

use tokio::{runtime::Handle, task::JoinSet};

/// Owns every running task.
#[derive(Debug)]
pub(crate) struct Tasks {
    running: Mutex<JoinSet<()>>,
    /// Kept so that synchronous callers of the library may also start a task.
    runtime: Handle,
}

impl Tasks {
    /// Must be called inside a Tokio runtime.
    pub(crate) fn new() -> Self {
        Self { running: Mutex::default(), runtime: Handle::current() }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        running.spawn_on(task, &self.runtime);
    }

    /// Stops every task and waits until each has let go of its sockets.
    pub(crate) async fn stop(&self) {
        let mut running = {
            let mut guard = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            mem::take(&mut *guard)
        };
        running.shutdown().await;
    }
}
