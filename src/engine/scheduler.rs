//! Picks the runs that have something to do and lets a bounded number of them proceed at once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore};

use super::{Acting, Engine, driver::Driver};
use crate::{
    lifecycle::{Stop, Tasks},
    run::{Mode, RunId},
    store::Store,
    telemetry::signals::Signals,
};

/// Gives due runs to the driver.
pub(super) struct Scheduler {
    store: Store,
    driver: Driver,
    /// Told when runs began.
    begun: Arc<Notify>,
    tasks: Tasks,
    /// Runs of other modes are left for a program that acts.
    only: Option<Mode>,
    signals: Signals,
    under_way: Arc<Mutex<HashSet<RunId>>>,
    places: Arc<Semaphore>,
}

/// Most of a run's time is spent waiting for another system's answer.
const RUNS_AT_ONCE: usize = 64;

/// More than can be under way, so that each look finds new ones.
const LOOK_AT: i64 = 512;

/// How exactly a retry or a look at a target keeps its time.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

impl Scheduler {
    pub(super) fn new(engine: &Engine, begun: Arc<Notify>, tasks: Tasks) -> Self {
        let driver = Driver::new(engine, tasks.stop());
        let only = match engine.acting {
            Acting::AsWritten => None,
            Acting::DryRun => Some(Mode::Shadow),
        };
        Self {
            store: engine.store.clone(),
            driver,
            begun,
            tasks,
            only,
            signals: engine.signals.clone(),
            under_way: Arc::default(),
            places: Arc::new(Semaphore::new(RUNS_AT_ONCE)),
        }
    }

    pub(super) async fn run(self, stop: Stop) {
        while !stop.is_requested() {
            self.begin_returns().await;
            let started = stop.or(self.start_due_runs()).await.unwrap_or_default();
            if started == 0 {
                // Running out of time is the signal to look again.
                let _told = stop.or(tokio::time::timeout(LOOK_AGAIN, self.begun.notified())).await;
            }
        }
    }

    /// Takes up again what is to be undone by itself; every node may, and one of them does.
    async fn begin_returns(&self) {
        // A dry run undoes nothing.
        if self.only.is_some() || !self.store.is_alive() {
            return;
        }
        match self.store.begin_returns(self.store.clock().now()).await {
            Ok(returns) => {
                returns.begun.iter().for_each(|(run, playbook)| self.signals.return_begun(run, playbook));
                for (run, why) in returns.unreadable {
                    self.signals.store_failed(&format!("what run {run} did is to be undone by itself, and cannot be read: {why}"));
                }
            }
            Err(error) => self.signals.store_failed(&error.to_string()),
        }
    }

    /// Starts what is due and not under way; waits for places. Returns how many were started.
    async fn start_due_runs(&self) -> usize {
        // A run that waits here for a place is one that another node could drive.
        let most = if self.store.is_shared() { i64::try_from(self.places.available_permits()).unwrap_or(LOOK_AT) } else { LOOK_AT };
        let Ok(due) = self.store.claim_due(self.store.clock().now(), self.only, most).await else { return 0 };
        let mut started = 0;
        for run in due {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return started };
            if !self.lock().insert(run.clone()) {
                continue;
            }
            started += 1;
            let (driver, under_way) = (self.driver.clone(), Arc::clone(&self.under_way));
            self.tasks.spawn("run", async move {
                let _leave = Leave { run: run.clone(), under_way };
                driver.drive(&run).await;
                drop(place);
            });
        }
        started
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<RunId>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a run off the list of those under way, also when its task panics.
struct Leave {
    run: RunId,
    under_way: Arc<Mutex<HashSet<RunId>>>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.run);
    }
}
