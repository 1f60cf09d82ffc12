//! Drives one run: asks the state machine what comes next, does it, and records what happened. The one place that acts.

mod attempt;
mod consent;
mod driven;
mod masked;
mod unwritten;

use std::{collections::HashSet, panic::AssertUnwindSafe, path::Path, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use tracing::error;

use self::{
    driven::{Driven, Recorded, Spot},
    unwritten::Unwritten,
};
use super::{
    Engine, Guardrails, KillSwitch, SiteApprovals,
    machine::{self, Doing, Next, Task},
    plan,
};
use crate::{
    actions::{Services, Stage},
    alert::Alert,
    approval::{Approval, Decided},
    failpoints,
    lifecycle::Stop,
    playbook::{Body, Playbook, Shelf},
    run::{AttemptRecord, RunId, RunRecord, RunState, StepRecord, StepState},
    store::{Change, Progress, Standing, Store, StoreError},
    telemetry::signals::Signals,
};

/// Drives runs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Driver {
    store: Store,
    services: Arc<Services>,
    stage: Arc<dyn Stage>,
    guardrails: Arc<Guardrails>,
    kill_switch: Option<KillSwitch>,
    approvals: Arc<SiteApprovals>,
    signals: Signals,
    /// It has playbooks by the hash of their text: a run keeps the text it began with.
    shelf: Shelf,
    stop: Stop,
}

/// Steps of one run that are worked on at once: enough for every subscription of a customer, too few to drown anybody.
const AT_ONCE: usize = 16;

/// A clock that is set does not keep a run waiting for longer.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// What is recorded together with a run.
#[derive(Default)]
struct Noted {
    step: Option<StepRecord>,
    attempt: Option<AttemptRecord>,
    /// What people are asked from then on.
    ask: Option<Box<Approval>>,
    /// Whether a guardrail held the step back for good.
    held: bool,
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
        Self {
            store: engine.store.clone(),
            services: Arc::clone(&engine.services),
            stage: Arc::clone(&engine.stage),
            guardrails: Arc::clone(&engine.guardrails),
            kill_switch: engine.kill_switch.clone(),
            approvals: Arc::clone(&engine.approvals),
            signals: engine.signals.clone(),
            shelf: engine.shelf.clone(),
            stop,
        }
    }

    fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// Takes a run as far as it goes now. While it knows what became of an attempt and the journal does not, it does not let go of it.
    pub(super) async fn drive(&self, id: &RunId) {
        let unwritten = Arc::default();
        loop {
            let done = match AssertUnwindSafe(self.work(id, &unwritten)).catch_unwind().await {
                Ok(Ok(()) | Err(LetGo::ForNow | LetGo::Taken)) => Ok(()),
                // It would be met at every start again, so the run ends and says why.
                Ok(Err(LetGo::Store(error @ StoreError::Corrupt { .. }))) => self.abandon(id, &error.to_string()).await,
                Ok(Err(LetGo::Store(error))) => Err(error),
                Err(_panic) => self.abandon(id, "the program failed while it worked on the run; its log says where").await,
            };
            match done {
                Ok(()) if unwritten.is_empty() => return,
                Ok(()) => {}
                Err(error) => self.signals.store_failed(&error.to_string()),
            }
            // The run is due still; without a pause it would be picked up again at once.
            tokio::time::sleep(Duration::from_millis(500)).await;
            if unwritten.is_empty() || self.stop.is_requested() {
                return;
            }
        }
    }

    async fn work(&self, id: &RunId, unwritten: &Arc<Unwritten>) -> Result<(), LetGo> {
        if let Some(driven) = self.load(id, unwritten).await? {
            return self.proceed(driven).await;
        }
        unwritten.retain(&[]);
        Ok(())
    }

    /// Ends a run that cannot be gone on with; what may be under way stays locked and waits for a person.
    async fn abandon(&self, id: &RunId, why: &str) -> Result<(), StoreError> {
        let Some(Progress { mut run, steps, .. }) = self.store.progress(id).await? else { return Ok(()) };
        run.state = machine::abandoned(&steps);
        why.clone_into(&mut run.reason);
        run.ended_at = Some(self.now());
        match self.store.record(Change::of(run.clone())).await? {
            Standing::Ours | Standing::Touched => self.report(&run),
            Standing::Ended => {}
        }
        Ok(())
    }

    /// One that was taken up again had ended, and was counted, before.
    fn report(&self, run: &RunRecord) {
        match &run.ended_as {
            Some(_) => self.signals.rolled_back(&run.id, &run.playbook, run.state, &run.reason),
            None => self.signals.run_ended(&run.id, &run.playbook, run.state, &run.reason),
        }
    }

    async fn load(&self, id: &RunId, unwritten: &Arc<Unwritten>) -> Result<Option<Driven>, LetGo> {
        let Some(mut progress) = self.store.progress(id).await? else { return Ok(None) };
        if progress.gathers && !failpoints::mistake("group_stays_open") {
            // First no more alerts join it, then those that did are read, so that none falls between.
            self.store.begin_group(id).await?;
            failpoints::crash("group_closed");
            let Some(closed) = self.store.progress(id).await? else { return Ok(None) };
            progress = closed;
        }
        let Progress { run, steps, events, .. } = progress;
        if run.state.is_final() {
            return Ok(None);
        }
        let corrupt = |what: &str, why: String| StoreError::Corrupt { what: format!("{what} of run {id}"), why };
        let (mut alerts, mut senders) = (Vec::with_capacity(events.len()), Vec::new());
        for event in &events {
            let (alert, sender) = Alert::and_sender(event).map_err(|malformed| corrupt("an alert", malformed.to_string()))?;
            alerts.push(alert);
            senders.extend(sender);
        }
        let playbook = self.playbook(&run).await?;
        let values = serde_json::to_value(&alerts).map_err(|error| corrupt("an alert", error.to_string()))?;
        let alert_value = values.get(0).cloned().unwrap_or_default();
        unwritten.retain(&steps);
        let unwritten = Arc::clone(unwritten);
        let recorded = tokio::sync::Mutex::new(Recorded { run: run.clone(), steps, is_stale: false });
        let alert = alerts.into_iter().next();
        Ok(Some(Driven { begun: run, playbook, alert, senders, alert_value, alerts: values, recorded, unwritten }))
    }

    /// The playbook as it was when the run began.
    async fn playbook(&self, run: &RunRecord) -> Result<Arc<Playbook>, LetGo> {
        if let Some(playbook) = self.shelf.find(&run.playbook_hash) {
            return Ok(playbook);
        }
        let (text, around) = self.store.playbook_text(&run.playbook_hash).await?.unwrap_or_default();
        let playbook = self.shelf.current().compile(Path::new(&run.playbook), &text, &around).map_err(|problems| {
            let problem = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            error!(run.id = %run.id, playbook = run.playbook, "the playbook text of run {} cannot be used any more: {problem}", run.id);
            StoreError::Corrupt { what: format!("the playbook `{}`", run.playbook), why: problem }
        })?;
        let playbook = Arc::new(playbook);
        self.shelf.keep(Arc::clone(&playbook));
        Ok(playbook)
    }

    /// Does what comes next until there is nothing to do for now. What can be done at once is done at once.
    async fn proceed(&self, it: Driven) -> Result<(), LetGo> {
        let mut under_way = FuturesUnordered::new();
        let mut paths: HashSet<String> = HashSet::new();
        let (mut over, mut asks, mut wake) = (None, true, None);
        loop {
            // A run is found again at the next start, so nothing new is begun once the program should end.
            if self.stop.is_requested() {
                over = over.or(Some(LetGo::ForNow));
            }
            tokio::select! {
                biased;
                // Those that are under way go on while this waits for what they record.
                recorded = it.recorded.lock(), if asks && over.is_none() => {
                    asks = false;
                    let Next::Work(tasks, more) = machine::next(&it.playbook, &recorded.run, &recorded.steps, self.now()) else { continue };
                    wake = more;
                    for task in tasks {
                        let path = task.path();
                        if under_way.len() < AT_ONCE && paths.insert(path.clone()) {
                            let it = &it;
                            under_way.push(async move { (path, self.take(it, task).await) });
                        }
                    }
                }
                Some((path, result)) = under_way.next() => {
                    paths.remove(&path);
                    over = over.or_else(|| result.err());
                    asks = true;
                }
                () = self.until(wake), if over.is_none() && wake.is_some() && !under_way.is_empty() => {
                    asks = true;
                    wake = None;
                }
                else => break,
            }
        }
        if let Some(over) = over {
            return Err(over);
        }
        // The run was due and has nothing to do: it waits or has ended, which is not recorded yet.
        let mut recorded = it.recorded.lock().await;
        self.record(&it, &mut recorded, Noted::default()).await
    }

    async fn until(&self, moment: Option<Timestamp>) {
        let left = moment.map_or(SignedDuration::ZERO, |moment| moment.duration_since(self.now()));
        tokio::time::sleep(left.unsigned_abs().min(LOOK_AGAIN)).await;
    }

    async fn take(&self, it: &Driven, task: Task<'_>) -> Result<(), LetGo> {
        let spot = Spot { step: task.step, frame: &task.frame };
        match task.doing {
            Doing::Plan => {
                let record = plan::plan(spot.step, spot.frame, it.sight(&*it.recorded.lock().await), self.now());
                failpoints::crash("planned");
                if record.state == StepState::Waiting && matches!(spot.step.body, Body::Approval(_)) {
                    return self.open(it, spot, record).await;
                }
                // A plan that is forgotten is made again, so it is not worth a commit of its own.
                match record.state {
                    StepState::Planned => {
                        it.recorded.lock().await.put(record);
                        Ok(())
                    }
                    _other => self.commit(it, spot, record, None).await,
                }
            }
            Doing::Attempt(record) => self.attempt(it, spot, record).await,
            Doing::Interrupted(record) => self.interrupted(it, spot, record).await,
            Doing::Look(record) => self.look(it, spot, record).await,
            Doing::Close(record) => self.commit(it, spot, record, None).await,
            Doing::Return(record) => {
                let record = {
                    let recorded = it.recorded.lock().await;
                    plan::give_back(spot.step, spot.frame, record, it.sight(&recorded), self.now())
                };
                self.commit(it, spot, record, None).await
            }
        }
    }

    /// Records a changed step together with what it makes of the run.
    async fn commit(&self, it: &Driven, spot: Spot<'_>, record: StepRecord, attempt: Option<AttemptRecord>) -> Result<(), LetGo> {
        self.note(it, spot, record, Noted { attempt, ..Noted::default() }).await
    }

    async fn note(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord, noted: Noted) -> Result<(), LetGo> {
        let mut recorded = it.recorded.lock().await;
        plan::fall_back(spot.step, spot.frame, &mut record, it.sight(&recorded), self.now());
        machine::set_return(spot.step, &mut record);
        recorded.put(record.clone());
        self.record(it, &mut recorded, Noted { step: Some(record), ..noted }).await
    }

    async fn record(&self, it: &Driven, recorded: &mut Recorded, noted: Noted) -> Result<(), LetGo> {
        let run = recorded.advanced(&it.playbook, self.now());
        let Noted { step, attempt, ask, held } = noted;
        let standing = self.store.record(Change { run: run.clone(), step: step.clone(), attempt, ask, held }).await;
        recorded.is_stale |= !matches!(standing, Ok(Standing::Ours));
        let standing = standing?;
        failpoints::crash("recorded");
        if standing == Standing::Ended {
            return Err(LetGo::Taken);
        }
        if let Some(step) = step.filter(|step| step.state.is_final()) {
            let is_answered = step.action == "approval" && step.state == StepState::Succeeded;
            if let Some(state) = Decided::decision_in(&step.output).filter(|_| is_answered) {
                self.signals.approval_closed(state);
            }
            self.signals.step_ended(&run.id, &step.id, &step.action, step.state);
        }
        recorded.run = run;
        let run = &recorded.run;
        if run.state.is_final() {
            self.report(run);
        }
        // A run that somebody touched is due, and read again.
        if run.state == RunState::Ready && standing == Standing::Ours { Ok(()) } else { Err(LetGo::ForNow) }
    }
}

#[cfg(test)]
mod tests;
