//! A small world in which actions are tried: it answers as the test says, writes down every call, and remembers what had an effect, so that
//! a look at a target shows it. It reaches nothing. Parameters are checked as the real actions check them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::format::{Crash, Fault, Mock, OneOrMany};
use crate::{
    actions::{BoxFuture, Context, Done, Entry, Failure, FailureKind, Observed, Perform, Prepared, ReadBack, Rendered, Stage},
    clock::Clock,
    playbook::{Body, Playbook, Step},
    run::Class,
};

/// The world of one test.
pub(super) struct World {
    clock: Clock,
    playbook: Arc<Playbook>,
    mocks: BTreeMap<String, OneOrMany<Mock>>,
    crash: Option<Crash>,
    memory: Mutex<Memory>,
    died: Notify,
}

/// A stage that stands in that world.
pub(super) struct OnStage(pub(super) Arc<World>);

/// One call as it reached the other side.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) at: Timestamp,
    /// The step's path.
    pub(super) step: String,
    pub(super) action: &'static str,
    pub(super) with: Value,
    pub(super) changes: bool,
}

#[derive(Default)]
struct Memory {
    calls: Vec<Made>,
    /// How often each mock was used.
    used: BTreeMap<String, usize>,
    /// What the target of a step of a run shows.
    targets: HashMap<(String, String), Target>,
    has_died: bool,
    faults: Vec<String>,
}

enum Target {
    Reached(Value),
    Changed,
}

/// One action on the stage.
struct Played {
    world: Arc<World>,
    entry: &'static Entry,
    step: String,
    with: Value,
    real: Prepared,
}

impl World {
    pub(super) fn new(clock: Clock, playbook: Arc<Playbook>, mocks: BTreeMap<String, OneOrMany<Mock>>, crash: Option<Crash>) -> Self {
        Self { clock, playbook, mocks, crash, memory: Mutex::default(), died: Notify::new() }
    }

    /// Returns when the program dies, as the test says.
    pub(super) async fn death(&self) {
        self.died.notified().await;
    }

    /// Every call so far.
    pub(super) fn calls(&self) -> Vec<Made> {
        self.memory().calls.clone()
    }

    /// What the test left open and what it says that is not so.
    pub(super) fn faults(&self) -> Vec<String> {
        let memory = self.memory();
        let mut faults = memory.faults.clone();
        if let Some(crash) = self.crash.as_ref().filter(|_| !memory.has_died) {
            let (Crash::BeforeCall(step) | Crash::AfterCall(step)) = crash;
            faults.push(format!("`crash`: the step `{step}` made no call, so the program did not die"));
        }
        faults
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the test says about the next call: under the step's path, its id or its action.
    fn next_mock(&self, played: &Played, step: Option<&Step>) -> Option<Mock> {
        let does_it_itself = |step: &&Step| matches!(&step.body, Body::Action { entry, .. } if entry.name == played.entry.name);
        let own = step.filter(does_it_itself).map(|step| [played.step.as_str(), id_of(&played.step), step.id.as_str()]);
        // Where the author of the playbook has a step looked for.
        let verify = played.step.ends_with(".verify").then(|| [played.step.as_str(), id_of(&played.step)]);
        let mut names = own.into_iter().flatten().chain(verify.into_iter().flatten()).chain([played.entry.name]);
        let (name, mocks) = names.find_map(|name| self.mocks.get_key_value(name))?;
        let mut memory = self.memory();
        let used = memory.used.entry(name.clone()).or_default();
        let mock = mocks.0.get(*used).or_else(|| mocks.0.last()).cloned();
        *used += 1;
        mock
    }

    /// Dies if this is the moment; the call that brought it about never returns.
    async fn die_if(&self, is_the_moment: bool) {
        if !is_the_moment {
            return;
        }
        let dies = !std::mem::replace(&mut self.memory().has_died, true);
        if dies {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }

    async fn call(&self, played: &Played, run: &str) -> Result<Done, Failure> {
        let is_step = |name: &String| *name == played.step || name == id_of(&played.step);
        self.die_if(matches!(&self.crash, Some(Crash::BeforeCall(step)) if is_step(step))).await;
        let step = step_at(&self.playbook, &played.step).map(|(_, step)| step);
        let changes = played.real.class() != Class::Read;
        let mock = match self.next_mock(played, step) {
            Some(mock) => mock,
            None if changes => Mock::default(),
            None => return Err(self.unsaid(played)),
        };
        let at = self.clock.now();
        let made = Made { at, step: played.step.clone(), action: played.entry.name, with: played.with.clone(), changes };
        let answer = answer(&mock, step);
        self.memory().calls.push(made);
        let key = (run.to_owned(), played.step.clone());
        if mock.applied.unwrap_or_else(|| mock.error.is_none()) {
            self.memory().targets.insert(key, Target::Reached(output(&mock)));
        } else if mock.error == Some(Fault::Conflict) {
            self.memory().targets.insert(key, Target::Changed);
        }
        let limit = step.map_or(mock.delay.0, |step| step.timeout);
        self.clock.advance_to(at.checked_add(mock.delay.0.min(limit)).unwrap_or(at));
        self.die_if(matches!(&self.crash, Some(Crash::AfterCall(step)) if is_step(step))).await;
        answer
    }

    /// A test that does not say what is read tests nothing.
    fn unsaid(&self, played: &Played) -> Failure {
        let message = format!(
            "the step `{}` reads with `{}`, and the test does not say what: add `mocks: {{{}: {{output: {{…}}}}}}`",
            played.step,
            played.entry.name,
            id_of(&played.step)
        );
        self.memory().faults.push(message.clone());
        Failure::rejected(message)
    }

    fn seen(&self, run: &str, step: &str) -> ReadBack {
        match self.memory().targets.get(&(run.to_owned(), step.to_owned())) {
            Some(Target::Reached(output)) => ReadBack::Reached(output.clone()),
            Some(Target::Changed) => ReadBack::Changed("somebody changed it".to_owned()),
            None => ReadBack::Unchanged,
        }
    }
}

impl Stage for OnStage {
    fn prepare(&self, entry: &'static Entry, step: &str, with: Rendered) -> Result<Prepared, serde_json::Error> {
        let real = entry.prepare(with.revealed.0)?;
        Ok(Box::new(Played { world: Arc::clone(&self.0), entry, step: step.to_owned(), with: with.shown, real }))
    }
}

impl Perform for Played {
    fn class(&self) -> Class {
        self.real.class()
    }

    fn target(&self, ctx: &Context<'_>) -> Option<String> {
        self.real.target(ctx)
    }

    fn observe<'a>(&'a self, _ctx: &'a Context<'_>) -> BoxFuture<'a, Result<Observed, Failure>> {
        Box::pin(std::future::ready(Ok(Observed::Ready(Value::Null))))
    }

    fn perform<'a>(&'a self, ctx: &'a Context<'_>) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(self.world.call(self, &ctx.run.0))
    }

    fn read_back<'a>(&'a self, ctx: &'a Context<'_>) -> BoxFuture<'a, Result<ReadBack, Failure>> {
        Box::pin(std::future::ready(Ok(self.world.seen(&ctx.run.0, &self.step))))
    }
}

/// The step that a path names, with the playbook that it stands in.
pub(super) fn step_at<'p>(playbook: &'p Playbook, path: &str) -> Option<(&'p Playbook, &'p Step)> {
    let (mut playbook, mut found) = (playbook, None);
    for segment in path.split('/') {
        let id = segment.split('[').next().unwrap_or(segment);
        let step = match id.strip_suffix(".rollback") {
            Some(undone) => &*playbook.step(undone)?.rollback.as_ref()?.step,
            None => playbook.step(id)?,
        };
        found = Some((playbook, step));
        if let Body::Call { playbook: name, .. } = &step.body {
            playbook = playbook.called(name).map_or(playbook, |called| &**called);
        }
    }
    found
}

/// The id of the step that a path names.
pub(super) fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn answer(mock: &Mock, step: Option<&Step>) -> Result<Done, Failure> {
    if let Some(step) = step.filter(|step| mock.delay.0 >= step.timeout) {
        return Err(Failure::new(FailureKind::Unknown, format!("no answer within {:?}", step.timeout)));
    }
    let Some(fault) = mock.error else { return Ok(Done::Now(output(mock))) };
    let kind = match fault {
        Fault::Unknown => FailureKind::Unknown,
        Fault::Rejected => FailureKind::Rejected,
        Fault::NotDone => FailureKind::NotDone,
        Fault::Conflict => FailureKind::Conflict,
    };
    Err(Failure::new(kind, mock.message.clone().unwrap_or_else(|| format!("the test says: {}", fault.as_str()))))
}

fn output(mock: &Mock) -> Value {
    mock.output.clone().unwrap_or_else(|| json!({}))
}
