//! An engine that is moved by hand, on a clock that stands still. What it decides and does is what the running engine decides and does:
//! it has the same decider, schedules, driver and journal, and lacks only the tasks that wait for the world.

use std::future::Future;

use jiff::Timestamp;

use super::{
    Engine,
    driver::Driver,
    schedules::{Schedules, Ticked},
};
use crate::{lifecycle::Stop, store::StoreError};

/// An engine that is moved by hand.
pub struct Rehearsal {
    engine: Engine,
    driver: Driver,
    schedules: Schedules,
    stop: Stop,
}

/// More than any playbook needs; a run that asks for more goes round in circles.
const MOST_ROUNDS: usize = 10_000;

/// As many as the running engine lets proceed at once.
const AT_ONCE: i64 = 64;

impl Rehearsal {
    /// An engine at rest.
    pub fn new(engine: Engine, stop: Stop) -> Self {
        let driver = Driver::new(&engine, stop.clone());
        let schedules = Schedules::new(engine.clone());
        Self { engine, driver, schedules, stop }
    }

    /// Lets the program die: what it knew besides the journal is forgotten.
    pub fn crash(&mut self) {
        self.driver = Driver::new(&self.engine, self.stop.clone());
        self.schedules = Schedules::new(self.engine.clone());
    }

    /// Looks at the schedules as of a moment: begins the runs whose time has come, and returns what became of each.
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn tick(&mut self, now: Timestamp) -> Result<Vec<Ticked>, StoreError> {
        self.schedules.look(now).await
    }

    /// The next time of a schedule, as of the last look; `None` where there is no schedule.
    pub fn next_tick(&self) -> Option<Timestamp> {
        self.schedules.next()
    }

    /// Does everything that there is to do at this moment, or until `death` comes; says whether it did all.
    ///
    /// # Errors
    /// The store cannot be used, or there is no end to what there is to do.
    pub async fn settle(&self, death: impl Future<Output = ()>) -> Result<bool, StoreError> {
        tokio::pin!(death);
        for _ in 0..MOST_ROUNDS {
            let now = self.engine.store.clock().now();
            let decided = self.engine.decide_some().await?;
            let returned = self.engine.store.begin_returns(now).await?.begun.len();
            let due = self.engine.store.due_runs(now, None, AT_ONCE).await?;
            if decided == 0 && returned == 0 && due.is_empty() {
                return Ok(true);
            }
            let driving = futures_util::future::join_all(due.iter().map(|run| self.driver.drive(run)));
            tokio::select! {
                biased;
                () = &mut death => return Ok(false),
                _driven = driving => {}
            }
        }
        Err(StoreError::Unusable(format!("after {MOST_ROUNDS} rounds there is still something to do at the same moment")))
    }

    /// When there is something to do next; `None` when everything has ended.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let (due, returns) = (self.engine.store.next_due().await?, self.engine.store.next_return().await?);
        Ok([due, returns].into_iter().flatten().min())
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}
