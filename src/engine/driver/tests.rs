//! Tests: several steps of one run at once, held up where it matters.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::{
    actions::{BoxFuture, Context, Done, Entry, Failure, FailureKind, Observed, Perform, Prepared, ReadBack, Rendered, Stage},
    bus::{embedded::EmbeddedBus, rabbitmq::Postbox},
    channels::Channels,
    clock::Clock,
    connections::Connections,
    engine::{Acting, Rehearsal, decide},
    lifecycle::Tasks,
    net::{Net, NetConfig},
    playbook::{Library, Shelf},
    run::Class,
    secret::Secrets,
    store::RunFilter,
    telemetry::Metrics,
};

/// What the steps' actions do: each calls `at` with its name and what is asked of it, and ends when that does.
type Script = dyn Fn(&'static Scene, String) -> BoxFuture<'static, ()> + Send + Sync;

/// What happened, and what is waited for.
struct Scene {
    clock: Clock,
    made: Mutex<Vec<String>>,
    doors: Mutex<BTreeMap<&'static str, Arc<Notify>>>,
    script: Box<Script>,
    store: OnceLock<Store>,
    run: OnceLock<RunId>,
}

impl Scene {
    fn door(&self, name: &'static str) -> Arc<Notify> {
        Arc::clone(self.doors.lock().unwrap().entry(name).or_default())
    }

    fn made(&self) -> Vec<String> {
        self.made.lock().unwrap().clone()
    }
}

struct OnScene(&'static Scene);

struct Scripted(&'static Scene, String);

impl Stage for OnScene {
    fn prepare(&self, _entry: &'static Entry, step: &str, _with: Rendered) -> Result<Prepared, serde_json::Error> {
        Ok(Box::new(Scripted(self.0, step.to_owned())))
    }
}

impl Perform for Scripted {
    fn class(&self) -> Class {
        Class::Unsafe
    }

    fn target(&self, _ctx: &Context<'_>) -> Option<String> {
        // Those that are called alike work on the same thing.
        self.1.split('_').next().map(ToOwned::to_owned)
    }

    fn observe<'a>(&'a self, _ctx: &'a Context<'_>) -> BoxFuture<'a, Result<Observed, Failure>> {
        Box::pin(async {
            (self.0.script)(self.0, format!("look {}", self.1)).await;
            Ok(Observed::Ready(json!({})))
        })
    }

    fn perform<'a>(&'a self, _ctx: &'a Context<'_>) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(async {
            self.0.made.lock().unwrap().push(self.1.clone());
            (self.0.script)(self.0, format!("call {}", self.1)).await;
            if self.1.ends_with("lost") { Err(Failure::new(FailureKind::Unknown, "no answer")) } else { Ok(Done::Now(Value::Null)) }
        })
    }

    fn read_back<'a>(&'a self, _ctx: &'a Context<'_>) -> BoxFuture<'a, Result<ReadBack, Failure>> {
        Box::pin(async { Ok(ReadBack::Unchanged) })
    }
}

/// Plays a playbook's steps to the end, with actions as scripted; gives the run, its steps, and the calls that were made.
async fn played(steps: &str, script: Box<Script>) -> (RunRecord, Vec<StepRecord>, Vec<String>) {
    played_on("sqlite::memory:", steps, script).await
}

async fn played_on(url: &str, steps: &str, script: Box<Script>) -> (RunRecord, Vec<StepRecord>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("playbook: p\nmode: enforce\ntimeout: 1h\ntrigger: {{manual: {{}}}}\nsteps:\n{steps}");
    std::fs::write(folder.path().join("p.yaml"), text).unwrap();
    let library = Library::load(folder.path());
    assert!(library.problems.is_empty(), "{:?}", library.problems);
    let playbook = Arc::clone(library.get("p").unwrap());
    let clock = Clock::standing_at("2026-03-02T04:12:00Z".parse().unwrap());
    let scene: &'static Scene = Box::leak(Box::new(Scene {
        clock: clock.clone(),
        made: Mutex::default(),
        doors: Mutex::default(),
        script,
        store: OnceLock::new(),
        run: OnceLock::new(),
    }));
    let tasks = Tasks::default();
    let store = Store::open(url, &tasks, None).await.unwrap().dated_by(clock.clone());
    let net = Net::new(&NetConfig::default()).unwrap();
    let channels = Channels::build(&BTreeMap::new(), &net).unwrap();
    let engine = Engine {
        store: store.clone(),
        bus: Arc::new(EmbeddedBus::new(store.clone())),
        shelf: Shelf::new(Arc::new(library)),
        services: Arc::new(Services {
            net,
            connections: Connections::default(),
            channels,
            postbox: Postbox::default(),
            secrets: Secrets::default(),
        }),
        stage: Arc::new(OnScene(scene)),
        guardrails: Arc::default(),
        kill_switch: None,
        approvals: Arc::default(),
        acting: Acting::AsWritten,
        signals: Signals::new(Metrics::new().unwrap()),
    };
    let new = decide::start(&playbook, "test".to_owned(), Value::Null, clock.now()).unwrap();
    scene.run.set(new.id.clone()).unwrap();
    assert!(scene.store.set(store.clone()).is_ok());
    store.begin(new).await.unwrap();
    let rehearsal = Rehearsal::new(engine, tasks.stop());
    let settled = tokio::time::timeout(Duration::from_secs(10), rehearsal.settle(std::future::pending())).await;
    settled.expect("the run waits for itself").unwrap();
    let run = store.runs(&RunFilter::default()).await.unwrap().remove(0);
    let steps = store.progress(&run.id).await.unwrap().unwrap().steps;
    (run, steps, scene.made())
}

fn state(steps: &[StepRecord], id: &str) -> StepState {
    steps.iter().find(|step| step.id == id).unwrap().state
}

const POST: &str = "action: http.request, with: {method: POST, url: \"https://example.com/\"}";

#[tokio::test]
async fn steps_at_once_do_not_wait_for_each_other() {
    let branches: Vec<String> = (0..12).map(|at| format!("      b{at}: [{{id: s{at}, {POST}}}]\n")).collect();
    let (run, steps, made) =
        played(&format!("  - id: all\n    parallel:\n{}", branches.concat()), Box::new(|_, _| Box::pin(async {}))).await;
    assert_eq!((run.state, made.len()), (RunState::Done, 12));
    assert!(steps.iter().all(|step| step.state == StepState::Succeeded));
}

#[tokio::test]
async fn a_branch_that_is_not_needed_any_more_makes_no_call() {
    let steps = format!(
        "  - id: either\n    parallel:\n      slow: [{{id: slow, {POST}}}]\n      quick: [{{id: quick, {POST}}}]\n    join: any\n  - {{id: last, {POST}}}\n"
    );
    let script: Box<Script> = Box::new(|scene, what| {
        Box::pin(async move {
            match what.as_str() {
                // The slow one is still looking at its target while the others go on.
                "look slow" => scene.door("last").notified().await,
                "call last" => {
                    scene.door("last").notify_one();
                    // Long enough for the slow one to make its call, if it would.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                _ => {}
            }
        })
    });
    let (run, steps, made) = played(&steps, script).await;
    assert_eq!((run.state, made), (RunState::Done, vec!["quick".to_owned(), "last".to_owned()]));
    assert_eq!(state(&steps, "slow"), StepState::Planned);
}

#[tokio::test]
async fn a_run_whose_time_is_over_does_not_end_before_the_call_that_is_under_way() {
    let steps = format!("  - id: both\n    parallel:\n      slow: [{{id: slow, {POST}}}]\n      quick: [{{id: quick, {POST}}}]\n");
    let script: Box<Script> = Box::new(|scene, what| {
        Box::pin(async move {
            match what.as_str() {
                "look quick" => scene.door("slow is called").notified().await,
                "call slow" => {
                    scene.door("slow is called").notify_one();
                    scene.door("time is over").notified().await;
                    // Long enough for the other branch to be recorded.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                "call quick" => {
                    scene.clock.advance_to("2026-03-02T06:00:00Z".parse().unwrap());
                    scene.door("time is over").notify_one();
                }
                _ => {}
            }
        })
    });
    let (run, steps, _) = played(&steps, script).await;
    assert_eq!(state(&steps, "slow"), StepState::Succeeded, "{run:?}");
}

#[tokio::test]
async fn a_person_who_cancels_is_heard_whatever_is_under_way() {
    let steps = format!(
        "  - id: all\n    parallel:\n      a: [{{id: first, {POST}}}]\n      b: [{{id: second, {POST}}}]\n      c: [{{id: pause, wait: {{for: 30m}}}}]\n"
    );
    let script: Box<Script> = Box::new(|scene, what| {
        Box::pin(async move {
            match what.as_str() {
                "call first" => {
                    scene.door("second is called").notified().await;
                    let (store, run) = (scene.store.get().unwrap(), scene.run.get().unwrap());
                    assert!(store.cancel(run, "mina").await.unwrap());
                }
                "call second" => {
                    scene.door("second is called").notify_one();
                    // Long enough for the first to be recorded.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                _ => {}
            }
        })
    });
    let (run, steps, _) = played(&steps, script).await;
    assert_eq!(run.state, RunState::Cancelled);
    assert_eq!((state(&steps, "first"), state(&steps, "second")), (StepState::Succeeded, StepState::Succeeded));
}

#[tokio::test]
async fn a_step_does_not_wait_for_ever_for_what_its_own_run_has_left_in_doubt() {
    let steps = format!("  - {{id: plan_lost, {POST}}}\non_error:\n  - {{id: plan_again, {POST}}}\n  - {{id: page, {POST}}}\n");
    let (run, steps, made) = played(&steps, Box::new(|_, _| Box::pin(async {}))).await;
    assert_eq!((run.state, made), (RunState::Indeterminate, vec!["plan_lost".to_owned(), "page".to_owned()]));
    assert_eq!(state(&steps, "plan_again"), StepState::Failed);
}

#[tokio::test]
async fn a_branch_goes_on_while_another_is_in_the_middle_of_a_call() {
    let steps = format!(
        "  - id: both\n    parallel:\n      slow: [{{id: slow, {POST}}}]\n      quick: [{{id: one, {POST}}}, {{id: two, {POST}}}, {{id: three, {POST}}}]\n"
    );
    let script: Box<Script> = Box::new(|scene, what| {
        Box::pin(async move {
            match what.as_str() {
                "call slow" => scene.door("three").notified().await,
                "call three" => scene.door("three").notify_one(),
                _ => {}
            }
        })
    });
    let (run, ..) = played(&steps, script).await;
    assert_eq!(run.state, RunState::Done);
}

#[tokio::test]
async fn an_outcome_that_cannot_be_recorded_is_remembered_until_it_can_be() {
    static MENDING: Notify = Notify::const_new();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("quell.db").display());
    // As if the disk were full from the call on: an outcome cannot be recorded, and soon it can.
    let full: &'static str = "CREATE TRIGGER full BEFORE UPDATE ON attempt BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
    let database: &'static str = Box::leak(url.clone().into_boxed_str());
    let script: Box<Script> = Box::new(move |_, what| {
        Box::pin(async move {
            if what == "call only" {
                let database = sqlx::SqlitePool::connect(database).await.unwrap();
                sqlx::raw_sql(full).execute(&database).await.unwrap();
                MENDING.notify_one();
            }
        })
    });
    let mended = async {
        MENDING.notified().await;
        // Long enough for several tries.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let database = sqlx::SqlitePool::connect(database).await.unwrap();
        sqlx::raw_sql("DROP TRIGGER full").execute(&database).await.unwrap();
    };
    let steps = format!("  - {{id: only, {POST}}}\n");
    let ((run, steps, made), ()) = tokio::join!(played_on(&url, &steps, script), mended);
    assert_eq!((run.state, made), (RunState::Done, vec!["only".to_owned()]), "{}", run.reason);
    assert_eq!((state(&steps, "only"), steps[0].attempts, steps[0].uncertain), (StepState::Succeeded, 1, false));
}
