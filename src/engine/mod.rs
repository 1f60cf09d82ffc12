//! The engine: from an alert on the bus to actions in the world, through the store at every turn.
//!
//! Decisions are pure ([`decide`], [`plan`], [`machine`], [`guardrails`]); the outside is touched in one place, the driver.
//! Tasks pass work on through the store: the intake commits alerts, the decider begins runs for them, schedules begin runs at their
//! times, the scheduler drives them, and the relay of the outbox tells people what is due. Each of them finds after a restart what was left.

pub mod consent;
pub mod decide;
pub mod foresight;
pub mod guardrails;
pub mod kill_switch;
pub mod machine;
pub mod outbox;
pub mod plan;
pub mod replay;
pub mod rollback;
pub mod schedules;
pub mod settle;

mod driver;
mod intake;
mod rehearsal;
mod scheduler;

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

pub use consent::SiteApprovals;
pub use guardrails::Guardrails;
pub use kill_switch::{KillSwitch, Stopped};
pub use rehearsal::Rehearsal;

use crate::{
    actions::{Services, Stage},
    alert::Alert,
    bus::Bus,
    failpoints,
    lifecycle::{Stop, Tasks},
    playbook::{Library, Shelf},
    store::{Decision, Store, StoreError, Undecided, Verdict},
    telemetry::signals::Signals,
};

/// What the engine works with.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Engine {
    pub store: Store,
    pub bus: Arc<dyn Bus>,
    pub shelf: Shelf,
    pub services: Arc<Services>,
    /// Makes the actions.
    pub stage: Arc<dyn Stage>,
    pub guardrails: Arc<Guardrails>,
    /// None where nothing reaches the outside.
    pub kill_switch: Option<KillSwitch>,
    /// Whom the site asks where no playbook does.
    pub approvals: Arc<SiteApprovals>,
    pub acting: Acting,
    pub signals: Signals,
}

/// Whether an engine acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acting {
    /// As the playbooks say.
    AsWritten,
    /// Everything is planned and recorded, nothing is sent.
    DryRun,
}

/// Decided in one commit.
const BATCH: i64 = 200;

/// The decider looks this often although nobody told it to: after an error, and in case a notice was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Starts the engine's tasks. Runs that an earlier process left go on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start(self, tasks: &Tasks) -> Result<(), StoreError> {
        for (run, playbook) in self.store.open_runs().await? {
            self.signals.run_resumed(&run, &playbook);
        }
        let arrived = Arc::new(Notify::new());
        let begun = Arc::new(Notify::new());
        let intake = intake::Intake {
            bus: Arc::clone(&self.bus),
            store: self.store.clone(),
            signals: self.signals.clone(),
            arrived: Arc::clone(&arrived),
        };
        tasks.spawn_vital("intake", intake.run(tasks.stop()));
        let scheduler = scheduler::Scheduler::new(&self, Arc::clone(&begun), tasks.clone());
        tasks.spawn_vital("scheduler", scheduler.run(tasks.stop()));
        let clockwork = schedules::Schedules::new(self.clone());
        tasks.spawn_vital("schedules", clockwork.run(Arc::clone(&begun), tasks.stop()));
        let stop = tasks.stop();
        tasks.spawn_vital("decider", async move { self.decide_all(&arrived, &begun, &stop).await });
        Ok(())
    }

    async fn decide_all(&self, arrived: &Notify, begun: &Notify, stop: &Stop) {
        while !stop.is_requested() {
            let again = match self.decide_some().await {
                Ok(decided) => {
                    if decided > 0 {
                        begun.notify_one();
                    }
                    decided > 0
                }
                Err(error) => {
                    self.signals.store_failed(&error.to_string());
                    false
                }
            };
            if !again {
                // Running out of time is the signal to look again.
                let waited = stop.or(tokio::time::timeout(LOOK_AGAIN, arrived.notified())).await;
                if waited.is_none() {
                    return;
                }
            }
        }
    }

    /// Decides about the alerts that wait, up to a number; returns how many there were.
    async fn decide_some(&self) -> Result<usize, StoreError> {
        let waiting = self.store.undecided(BATCH).await?;
        // One set for the whole batch: a reload in between is for the next one.
        let library = self.shelf.current();
        let decide_one = |alert| self.decide_one(&library, alert);
        let decided: Vec<(Undecided, Option<Alert>, Decision)> = waiting.into_iter().map(decide_one).collect();
        let count = decided.len();
        if count == 0 {
            return Ok(0);
        }
        failpoints::crash("matched");
        let begun = self.store.decide(decided.iter().map(|(_, _, decision)| decision.clone()).collect()).await?;
        failpoints::crash("decided");
        for (_, alert, decision) in &decided {
            self.report(alert.as_ref(), decision);
        }
        for (alert, run) in begun {
            self.signals.run_started(&run.id, &run.playbook, &alert.to_string());
        }
        Ok(count)
    }

    fn decide_one(&self, library: &Library, undecided: Undecided) -> (Undecided, Option<Alert>, Decision) {
        match Alert::from_event(&undecided.event) {
            Ok(alert) => {
                let now = self.store.clock().now();
                let mut decision = decide::decide(library, (undecided.number, undecided.is_revision), &alert, now);
                if self.acting == Acting::DryRun {
                    decision.silence();
                }
                (undecided, Some(alert), decision)
            }
            Err(malformed) => {
                // It was read when it was taken in, so only a damaged store leads here.
                let verdicts = vec![Verdict::Error { playbook: String::new(), hash: String::new(), detail: malformed.to_string() }];
                let decision = Decision { alert: undecided.number, verdicts };
                (undecided, None, decision)
            }
        }
    }

    fn report(&self, alert: Option<&Alert>, decision: &Decision) {
        let id = decision.alert.to_string();
        let mut matched = 0;
        for verdict in &decision.verdicts {
            match verdict {
                Verdict::Run(run) => {
                    matched += 1;
                    self.signals.matched(&run.playbook);
                }
                Verdict::Error { playbook, detail, .. } => self.signals.playbook_failed(playbook, &id, detail),
            }
        }
        if let Some(alert) = alert {
            let since = self.store.clock().now().duration_since(alert.received_at).unsigned_abs();
            self.signals.alert_decided(&id, matched, since);
        }
    }
}
