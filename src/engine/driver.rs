//! Drives one run: asks the state machine what comes next, does it, and records what happened. The one place that acts.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tracing::error;

use super::{
    Engine, Guardrails,
    guardrails::{self, HeldBack},
    machine::{self, Moment, Next},
    plan::{Sight, plan},
};
use crate::{
    actions::{self, Context, Done, Entry, Failure, FailureKind, Observed, Perform, Services},
    alert::Alert,
    lifecycle::Stop,
    playbook::{Library, Playbook, Step},
    run::{AttemptOutcome, AttemptRecord, Class, Mode, RunId, RunRecord, RunState, StepRecord, StepState},
    store::{Change, Held, Intent, Progress, Store, StoreError},
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

/// A run in memory, as recorded.
struct Driven {
    run: RunRecord,
    steps: Vec<StepRecord>,
    playbook: Arc<Playbook>,
    alert: Alert,
    alert_value: Value,
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

/// How long to wait for a target that another step works on.
const TARGET_BUSY: SignedDuration = SignedDuration::from_secs(5);

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
        let driven = match self.load(id).await {
            Ok(Some(driven)) => self.proceed(driven).await,
            Ok(None) => return,
            Err(let_go) => Err(let_go),
        };
        match driven {
            Ok(()) | Err(LetGo::ForNow | LetGo::Taken) => {}
            Err(LetGo::Store(error)) => {
                self.signals.store_failed(&error.to_string());
                // The run is due still; without a pause it would be picked up again at once.
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
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
                Next::Settle(step, record) => self.settle(&mut it, step, record.clone()).await?,
                Next::Confirm(step, record) => self.look(&mut it, step, record.clone()).await?,
                Next::Wait(_) | Next::End(..) => {
                    let change = Change { run: it.advanced(), step: None, attempt: None };
                    self.record(&mut it, change).await?;
                }
            }
        }
        Err(LetGo::ForNow)
    }

    async fn attempt(&self, it: &mut Driven, step: &Step, mut record: StepRecord) -> Result<(), LetGo> {
        let now = Timestamp::now();
        let (entry, action) = match prepare(&record) {
            Ok(prepared) => prepared,
            Err(failure) => return self.fail(it, record, failure.message).await,
        };
        record.class = action.class();
        if it.run.mode == Mode::Shadow && record.class != Class::Read {
            record.state = StepState::Shadowed;
            record.ended_at = Some(now);
            return self.commit(it, record, None).await;
        }
        if matches!(record.class, Class::Read | Class::Idempotent) {
            record.attempts += 1;
            return self.perform(it, step, (record, now), &*action).await;
        }
        let guards = match self.guardrails.judge(entry, &record.plan, &it.alert, now) {
            Ok(guards) => guards,
            Err(held) => return self.hold(it, record, held).await,
        };
        if record.precondition.is_none() {
            match self.within(step, action.observe(&it.context(&record, &Value::Null, &self.services))).await {
                Ok(Observed::Ready(seen)) => record.precondition = Some(seen),
                Ok(Observed::AlreadyDone(output)) => {
                    machine::after_attempt(&mut record, &step.retry, Ok(Done::Now(output)), moment());
                    return self.commit(it, record, None).await;
                }
                Err(failure) => {
                    record.attempts += 1;
                    let attempt = ended(&record, now, Some(&failure));
                    machine::after_attempt(&mut record, &step.retry, Err(not_done(failure)), moment());
                    return self.commit(it, record, Some(attempt)).await;
                }
            }
        }
        // Only what was observed tells which plan an Azure subscription stands under.
        let seen = record.precondition.clone().unwrap_or_default();
        record.target = action.target(&it.context(&record, &seen, &self.services));
        record.attempts += 1;
        record.state = StepState::Executing;
        let intent_at = Timestamp::now();
        record.first_intent_at = record.first_intent_at.or(Some(intent_at));
        let attempt =
            AttemptRecord { number: record.attempts, intent_at, outcome: None, http_status: None, message: String::new(), ended_at: None };
        match self.store.intend(Intent { run: it.run.id.clone(), step: record.clone(), attempt, guards }).await? {
            None => self.perform(it, step, (record, intent_at), &*action).await,
            Some(Held::Ended) => Err(LetGo::Taken),
            Some(Held::Exceeded(guard)) => self.hold(it, record, guardrails::exceeded(&guard)).await,
            Some(Held::Locked { by }) => {
                record.attempts -= 1;
                record.first_intent_at = record.first_intent_at.filter(|first| *first != intent_at);
                record.state = StepState::Retrying;
                record.error = Some(format!("waits for run {by}, which works on the same target"));
                record.due_at = intent_at.checked_add(TARGET_BUSY).ok();
                self.commit(it, record, None).await
            }
        }
    }

    /// One call. Its intent is recorded already where the class asks for one.
    async fn perform(
        &self,
        it: &mut Driven,
        step: &Step,
        (mut record, intent_at): (StepRecord, Timestamp),
        action: &dyn Perform,
    ) -> Result<(), LetGo> {
        let precondition = record.precondition.clone().unwrap_or_default();
        let begun = Instant::now();
        let result = self.within(step, action.perform(&it.context(&record, &precondition, &self.services))).await;
        self.signals.attempt_ended(&record.action, begun.elapsed());
        let mut attempt = ended(&record, intent_at, result.as_ref().err());
        if matches!(result, Ok(Done::Accepted(_))) {
            attempt.outcome = Some(AttemptOutcome::Accepted);
        }
        if result.is_ok() && record.class != Class::Read {
            self.signals.acted(Timestamp::now().duration_since(it.alert.received_at).unsigned_abs());
        }
        machine::after_attempt(&mut record, &step.retry, result, moment());
        self.commit(it, record, Some(attempt)).await
    }

    /// An attempt's outcome is not known: from a crash, or from an answer that was lost.
    async fn settle(&self, it: &mut Driven, step: &Step, mut record: StepRecord) -> Result<(), LetGo> {
        if record.uncertain {
            return self.look(it, step, record).await;
        }
        let intent_at = record.first_intent_at.unwrap_or(record.started_at);
        machine::after_interruption(&mut record, &step.retry, moment());
        let failure = Failure::new(FailureKind::Unknown, "the program ended while the request was under way");
        let attempt = ended(&record, intent_at, Some(&failure));
        self.commit(it, record, Some(attempt)).await
    }

    async fn look(&self, it: &mut Driven, step: &Step, mut record: StepRecord) -> Result<(), LetGo> {
        let (_, action) = match prepare(&record) {
            Ok(prepared) => prepared,
            Err(failure) => return self.fail(it, record, failure.message).await,
        };
        let precondition = record.precondition.clone().unwrap_or_default();
        let seen = self.within(step, action.read_back(&it.context(&record, &precondition, &self.services))).await;
        machine::after_look(&mut record, &step.retry, seen, moment());
        self.commit(it, record, None).await
    }

    async fn hold(&self, it: &mut Driven, record: StepRecord, held: HeldBack) -> Result<(), LetGo> {
        self.signals.guardrail_held(&it.run.id, &record.id, held.rule, &held.detail);
        self.fail(it, record, format!("held back by a guardrail: {}", held.detail)).await
    }

    async fn fail(&self, it: &mut Driven, mut record: StepRecord, why: String) -> Result<(), LetGo> {
        record.state = StepState::Failed;
        record.error = Some(why);
        record.ended_at = Some(Timestamp::now());
        self.commit(it, record, None).await
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

    /// Gives a call up after the step's time limit; what it did is then not known.
    async fn within<T>(&self, step: &Step, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match tokio::time::timeout(step.timeout, call).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Failure::new(FailureKind::Unknown, format!("no answer within {:?}", step.timeout))),
        }
    }
}

impl Driven {
    fn sight(&self) -> Sight<'_> {
        Sight { playbook: &self.playbook, alert: &self.alert_value, run: &self.run, steps: &self.steps }
    }

    fn context<'a>(&'a self, record: &'a StepRecord, precondition: &'a Value, services: &'a Services) -> Context<'a> {
        Context {
            run: &self.run.id,
            playbook: &self.run.playbook,
            step: &record.id,
            alert: &self.alert,
            request_id: record.request_id,
            precondition,
            services,
        }
    }

    /// The run as the steps make it: ready, waiting until a time, or ended.
    fn advanced(&self) -> RunRecord {
        let now = Timestamp::now();
        let mut run = self.run.clone();
        match machine::next(&self.playbook, &run, &self.steps, now) {
            Next::End(state, reason) => {
                run.state = state;
                run.reason = reason;
                run.ended_at = Some(now);
            }
            Next::Wait(due) => {
                run.state = RunState::Waiting;
                run.due_at = due;
            }
            Next::Plan(_) | Next::Attempt(..) | Next::Settle(..) | Next::Confirm(..) => {
                run.state = RunState::Ready;
                run.due_at = now;
            }
        }
        run
    }

    fn put(&mut self, record: StepRecord) {
        match self.steps.iter_mut().find(|step| step.id == record.id) {
            Some(step) => *step = record,
            None => self.steps.push(record),
        }
    }
}

fn prepare(record: &StepRecord) -> Result<(&'static Entry, Box<dyn Perform>), Failure> {
    let entry = actions::find(&record.action).ok_or_else(|| Failure::rejected(format!("there is no action `{}`", record.action)))?;
    let action =
        entry.prepare(record.plan.clone()).map_err(|error| Failure::rejected(format!("`with` of `{}`: {error}", record.action)))?;
    Ok((entry, action))
}

/// A look at the target changes nothing, so a failed one left nothing behind.
fn not_done(failure: Failure) -> Failure {
    let kind = match failure.kind {
        FailureKind::Rejected => FailureKind::Rejected,
        FailureKind::NotDone | FailureKind::Conflict | FailureKind::Unknown => FailureKind::NotDone,
    };
    Failure { kind, ..failure }
}

fn ended(record: &StepRecord, intent_at: Timestamp, failure: Option<&Failure>) -> AttemptRecord {
    let outcome = match failure.map(|failure| failure.kind) {
        None => AttemptOutcome::Ok,
        Some(FailureKind::NotDone | FailureKind::Conflict) => AttemptOutcome::NotDone,
        Some(FailureKind::Rejected) => AttemptOutcome::Rejected,
        Some(FailureKind::Unknown) => AttemptOutcome::Unknown,
    };
    AttemptRecord {
        number: record.attempts,
        intent_at,
        outcome: Some(outcome),
        http_status: failure.and_then(|failure| failure.http_status),
        message: failure.map(|failure| failure.message.clone()).unwrap_or_default(),
        ended_at: Some(Timestamp::now()),
    }
}

fn moment() -> Moment {
    Moment { now: Timestamp::now(), jitter: fastrand::f64() }
}
