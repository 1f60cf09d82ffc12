//! Drives one run: asks the state machine what comes next, does it, and records what happened. The one place that acts.

mod attempt;
mod driven;

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use jiff::Timestamp;
use tracing::error;

use self::driven::Driven;
use super::{
    Engine, Guardrails,
    machine::{self, Next},
    plan::plan,
};
use crate::{
    actions::Services,
    alert::Alert,
    lifecycle::Stop,
    playbook::{Library, Playbook},
    run::{AttemptRecord, RunId, RunRecord, RunState, StepRecord},
    store::{Change, Progress, Store, StoreError},
    telemetry::signals::Signals,
};

/// Drives runs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Driver {
    store: Store,
    services: Arc<Services>,
    guardrails: Arc<Guardrails>,
    signals: Signals,
    library: Arc<Library>,
    stop: Stop,
    /// Playbooks by the hash of their text: a run keeps the text it began with.
    playbooks: Arc<Mutex<HashMap<String, Arc<Playbook>>>>,
}

/// Why a run is let go.
enum LetGo {
    /// It has ended, or waits.
    ForNow,
    /// Somebody else ended it.
    Taken,
    /// The store cannot be used; the run is found again when it can.
    Store(StoreError),
}

impl From<StoreError> for LetGo {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Driver {
    pub(super) fn new(engine: &Engine, stop: Stop) -> Self {
        let playbooks = engine.library.playbooks.iter().map(|playbook| (playbook.hash.clone(), Arc::clone(playbook)));
        Self {
            store: engine.store.clone(),
            services: Arc::clone(&engine.services),
            guardrails: Arc::clone(&engine.guardrails),
            signals: engine.signals.clone(),
            library: Arc::clone(&engine.library),
            stop,
            playbooks: Arc::new(Mutex::new(playbooks.collect())),
        }
    }

    /// Takes a run as far as it goes now.
    pub(super) async fn drive(&self, id: &RunId) {
        let done = match AssertUnwindSafe(self.work(id)).catch_unwind().await {
            Ok(Ok(()) | Err(LetGo::ForNow | LetGo::Taken)) => return,
            // It would be met at every start again, so the run ends and says why.
            Ok(Err(LetGo::Store(error @ StoreError::Corrupt { .. }))) => self.abandon(id, &error.to_string()).await,
            Ok(Err(LetGo::Store(error))) => Err(error),
            Err(_panic) => self.abandon(id, "the program failed while it worked on the run; its log says where").await,
        };
        if let Err(error) = done {
            self.signals.store_failed(&error.to_string());
            // The run is due still; without a pause it would be picked up again at once.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn work(&self, id: &RunId) -> Result<(), LetGo> {
        match self.load(id).await? {
            Some(driven) => self.proceed(driven).await,
            None => Ok(()),
        }
    }

    /// Ends a run that cannot be gone on with; what may be under way stays locked and waits for a person.
    async fn abandon(&self, id: &RunId, why: &str) -> Result<(), StoreError> {
        let Some(Progress { mut run, steps, .. }) = self.store.progress(id).await? else { return Ok(()) };
        run.state = machine::abandoned(&steps);
        why.clone_into(&mut run.reason);
        run.ended_at = Some(Timestamp::now());
        if self.store.record(Change { run: run.clone(), step: None, attempt: None }).await? {
            self.signals.run_ended(&run.id, &run.playbook, run.state, &run.reason);
        }
        Ok(())
    }

    async fn load(&self, id: &RunId) -> Result<Option<Driven>, LetGo> {
        let Some(Progress { run, steps, event }) = self.store.progress(id).await? else { return Ok(None) };
        if run.state.is_final() {
            return Ok(None);
        }
        let corrupt = |what: &str, why: String| StoreError::Corrupt { what: format!("{what} of run {id}"), why };
        let alert = Alert::from_event(&event).map_err(|malformed| corrupt("the alert", malformed.to_string()))?;
        let playbook = self.playbook(&run).await?;
        let alert_value = serde_json::to_value(&alert).map_err(|error| corrupt("the alert", error.to_string()))?;
        Ok(Some(Driven { run, steps, playbook, alert, alert_value }))
    }

    /// The playbook as it was when the run began.
    async fn playbook(&self, run: &RunRecord) -> Result<Arc<Playbook>, LetGo> {
        let known = self.playbooks.lock().unwrap_or_else(PoisonError::into_inner).get(&run.playbook_hash).cloned();
        if let Some(playbook) = known {
            return Ok(playbook);
        }
        let text = self.store.playbook_text(&run.playbook_hash).await?.unwrap_or_default();
        let playbook = self.library.compile(Path::new(&run.playbook), &text).map_err(|problems| {
            let problem = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            error!(run.id = %run.id, playbook = run.playbook, "the playbook text of run {} cannot be used any more: {problem}", run.id);
            StoreError::Corrupt { what: format!("the playbook `{}`", run.playbook), why: problem }
        })?;
        let playbook = Arc::new(playbook);
        self.playbooks.lock().unwrap_or_else(PoisonError::into_inner).insert(run.playbook_hash.clone(), Arc::clone(&playbook));
        Ok(playbook)
    }

    async fn proceed(&self, mut it: Driven) -> Result<(), LetGo> {
        let playbook = Arc::clone(&it.playbook);
        // A run is found again at the next start, so nothing new is begun once the program should end.
        while !self.stop.is_requested() {
            let steps = it.steps.clone();
            match machine::next(&playbook, &it.run, &steps, Timestamp::now()) {
                Next::Plan(step) => {
                    let record = plan(step, it.sight(), Timestamp::now());
                    if record.state.is_final() {
                        self.commit(&mut it, record, None).await?;
                    } else {
                        // Nothing is lost if this is forgotten: the same plan is made again.
                        it.put(record);
                    }
                }
                Next::Attempt(step, record) => self.attempt(&mut it, step, record.clone()).await?,
                Next::Interrupted(step, record) => self.interrupted(&mut it, step, record.clone()).await?,
                Next::Look(step, record) => self.look(&mut it, step, record.clone()).await?,
                Next::Wait(_) | Next::End(..) => {
                    let change = Change { run: it.advanced(), step: None, attempt: None };
                    self.record(&mut it, change).await?;
                }
            }
        }
        Err(LetGo::ForNow)
    }

    /// Records a changed step together with what it makes of the run.
    async fn commit(&self, it: &mut Driven, record: StepRecord, attempt: Option<AttemptRecord>) -> Result<(), LetGo> {
        it.put(record.clone());
        let change = Change { run: it.advanced(), step: Some(record), attempt };
        self.record(it, change).await
    }

    async fn record(&self, it: &mut Driven, change: Change) -> Result<(), LetGo> {
        let run = change.run.clone();
        let step = change.step.clone();
        if !self.store.record(change).await? {
            return Err(LetGo::Taken);
        }
        if let Some(step) = step.filter(|step| step.state.is_final()) {
            self.signals.step_ended(&run.id, &step.id, &step.action, step.state);
        }
        it.run = run;
        if it.run.state.is_final() {
            self.signals.run_ended(&it.run.id, &it.run.playbook, it.run.state, &it.run.reason);
        }
        match it.run.state {
            RunState::Ready => Ok(()),
            RunState::Waiting | RunState::Done | RunState::NoAction | RunState::Failed | RunState::Indeterminate | RunState::Cancelled => {
                Err(LetGo::ForNow)
            }
        }
    }
}
