use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sqlx::Connection;

use super::*;
use crate::{
    alert::Alert,
    run::{AttemptRecord, Class, Mode, RunId, RunState, StepRecord, StepState},
    window::{self, Windows},
};

pub(super) struct Fixture {
    pub(super) store: Store,
    pub(super) url: String,
    tasks: Tasks,
    /// Goes last.
    _place: Place,
}

/// Where the database is, which is gone with this.
enum Place {
    Folder(#[expect(dead_code, reason = "it is there to be dropped")] tempfile::TempDir),
    Server { server: String, name: String },
}

/// A test for each database, of what both must do.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::tests::fixture().await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::tests::on_a_server().await).await;
            })*
        }
    };
}
pub(super) use on_both;

pub(super) async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("quell.db").display());
    let tasks = Tasks::default();
    let store = Store::open(&url, &tasks, None).await.unwrap();
    Fixture { store, url, tasks, _place: Place::Folder(folder) }
}

/// A schema of its own on the server that `tests/run` started.
#[expect(clippy::disallowed_methods, reason = "the variable is the tests' own, and no setting")]
pub(super) async fn on_a_server() -> Fixture {
    let server = std::env::var("QUELL_TEST_DATABASE_URL")
        .expect("`QUELL_TEST_DATABASE_URL` is not set: start the tests with `tests/run`, or set it to the URL of a PostgreSQL");
    let name = format!("quell_test_{}", uuid::Uuid::now_v7().simple());
    // A schema is made and dropped in a few milliseconds, a database in a second.
    on_server(&server, format!("CREATE SCHEMA {name}")).await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.query_pairs_mut().append_pair("options", &format!("-c search_path={name}"));
    let tasks = Tasks::default();
    let store = Store::open(url.as_str(), &tasks, None).await.unwrap();
    Fixture { store, url: url.into(), tasks, _place: Place::Server { server, name } }
}

async fn on_server(server: &str, statement: String) -> Result<(), sqlx::Error> {
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(server).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

impl Fixture {
    /// The same database, opened by somebody else.
    pub(super) async fn another(&self) -> Store {
        Store::open(&self.url, &self.tasks, None).await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Server { server, name } = self {
            let (server, statement) = (server.clone(), format!("DROP SCHEMA {name} CASCADE"));
            let dropped = std::thread::spawn(move || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map(|runtime| runtime.block_on(on_server(&server, statement)))
            });
            // A server that is gone has none of it any more.
            drop(dropped.join());
        }
    }
}

pub(super) fn arrival(id: &str, revision: &str) -> Arrival {
    let alert: Alert = serde_json::from_value(json!({
        "id": id, "source": "graph", "kind": "crypto_mining", "revision": revision,
        "detected_at": "2026-03-02T04:11:09.5Z", "received_at": "2026-03-02T04:12:00Z",
    }))
    .unwrap();
    Arrival::Alert(Box::new(Received { event: alert.to_event(), alert }))
}

pub(super) fn new_run(playbook: &str) -> NewRun {
    let id = RunId::new();
    NewRun {
        alert: None,
        occasion: format!("manual:{id}"),
        id,
        playbook: playbook.to_owned(),
        playbook_hash: format!("hash of {playbook}"),
        playbook_text: Arc::from("playbook: x"),
        mode: Mode::Enforce,
        playbook_around: Arc::from("{}"),
        inputs: json!({}),
        vars: json!({}),
        windows: Windows::default(),
        replay: None,
    }
}

async fn begun(store: &Store, id: &str) -> RunId {
    store.take_in(vec![arrival(id, "0")]).await.unwrap();
    let alert = store.undecided(1).await.unwrap()[0].number;
    let run = NewRun { alert: Some(alert), ..new_run("contain") };
    let id = run.id.clone();
    store.decide(vec![Decision { alert, verdicts: vec![Verdict::Run(Box::new(run))] }]).await.unwrap();
    id
}

pub(super) fn step(state: StepState, target: &str) -> StepRecord {
    let now = Timestamp::now();
    StepRecord {
        id: "suspend".to_owned(),
        within: "p".to_owned(),
        position: 0,
        action: "subscription.suspend".to_owned(),
        class: Class::Verified,
        state,
        plan: json!({"subscription_id": "s"}),
        output: Value::Null,
        error: None,
        request_id: uuid::Uuid::now_v7(),
        precondition: Some(json!({"etag": "e"})),
        target: Some(target.to_owned()),
        attempts: 1,
        uncertain: false,
        first_intent_at: Some(now),
        due_at: None,
        started_at: now,
        ended_at: None,
        refused_at: None,
        returns_at: None,
        decided: None,
    }
}

pub(super) fn intent(run: &RunId, target: &str, guards: Vec<Guard>) -> Intent {
    let step = step(StepState::Executing, target);
    let attempt = AttemptRecord {
        number: 1,
        intent_at: step.first_intent_at.unwrap(),
        outcome: None,
        http_status: None,
        message: String::new(),
        ended_at: None,
    };
    Intent { run: run.clone(), step, attempt, guards, tells: false, hash: String::new(), askers: Vec::new(), heed: None, undoes: None }
}

async fn an_alert_is_new_once_and_a_changed_one_is_a_revision(it: Fixture) {
    let news = it.store.take_in(vec![arrival("a", "0"), arrival("a", "0"), arrival("a", "1"), arrival("b", "0")]).await.unwrap();
    assert_eq!(news, [true, false, true, true]);
    let undecided = it.store.undecided(10).await.unwrap();
    assert_eq!(undecided.iter().map(|it| it.is_revision).collect::<Vec<_>>(), [false, true, false]);
    let listed = it.store.alerts(&AlertFilter::default()).await.unwrap();
    assert_eq!(listed.iter().map(|row| (row.id.as_str(), row.deliveries)).collect::<Vec<_>>(), [("b", 1), ("a", 1), ("a", 2)]);
}

async fn what_was_written_is_there_after_opening_again(it: Fixture) {
    let run = begun(&it.store, "a").await;
    it.store.keep("token", b"sealed").await.unwrap();
    drop(it.store);
    it.tasks.end(Duration::from_secs(5)).await;
    let tasks = Tasks::default();
    let store = Store::open(&it.url, &tasks, None).await.unwrap();
    assert_eq!(store.timeline(&run).await.unwrap().unwrap().run.state, RunState::Ready);
    assert_eq!(store.kept("token").await.unwrap().unwrap(), b"sealed");
    assert_eq!(store.due_runs(Timestamp::now(), None, 10).await.unwrap(), [run]);
}

async fn a_window_holds_back_the_second_run_and_says_so(it: Fixture) {
    it.store.take_in(vec![arrival("a", "0"), arrival("b", "0")]).await.unwrap();
    let decisions = it.store.undecided(10).await.unwrap().into_iter().map(|alert| {
        let dedup = Some(window::Dedup { key: "s/crypto".to_owned(), window: Duration::from_hours(1) });
        let run = NewRun { alert: Some(alert.number), windows: Windows { dedup, ..Windows::default() }, ..new_run("contain") };
        Decision { alert: alert.number, verdicts: vec![Verdict::Run(Box::new(run))] }
    });
    let begun = it.store.decide(decisions.collect()).await.unwrap();
    assert_eq!(begun.len(), 1);
    let (_, verdict, detail, _) = it.store.decisions(2).await.unwrap().remove(0);
    assert_eq!(verdict, "held");
    assert!(detail.contains(&begun[0].1.id.0), "{detail}");
    assert!(it.store.undecided(10).await.unwrap().is_empty());
}

async fn a_target_is_locked_until_its_step_is_known_to_have_ended(it: Fixture) {
    let (first, second) = (begun(&it.store, "a").await, begun(&it.store, "b").await);
    assert_eq!(it.store.intend(intent(&first, "plan:1", vec![])).await.unwrap(), None);
    assert_eq!(it.store.intend(intent(&second, "plan:1", vec![])).await.unwrap(), Some(Held::Locked { by: first.0.clone() }));

    let run = it.store.timeline(&first).await.unwrap().unwrap().run;
    let unknown = Change { step: Some(step(StepState::Indeterminate, "plan:1")), ..Change::of(run.clone()) };
    assert_eq!(it.store.record(unknown).await.unwrap(), Standing::Ours);
    assert!(it.store.intend(intent(&second, "plan:1", vec![])).await.unwrap().is_some());

    let done = Change { step: Some(step(StepState::Succeeded, "plan:1")), ..Change::of(run) };
    assert_eq!(it.store.record(done).await.unwrap(), Standing::Ours);
    assert_eq!(it.store.intend(intent(&second, "plan:1", vec![])).await.unwrap(), None);
}

async fn a_guard_is_reserved_with_the_intent(it: Fixture) {
    let guard = Guard {
        rule: "subscription.*".to_owned(),
        actions: vec!["subscription.suspend"],
        most: 1,
        per: SignedDuration::from_hours(1),
        playbook: None,
        asks: false,
    };
    let (first, second) = (begun(&it.store, "a").await, begun(&it.store, "b").await);
    assert_eq!(it.store.intend(intent(&first, "plan:1", vec![guard.clone()])).await.unwrap(), None);
    assert_eq!(it.store.intend(intent(&second, "plan:2", vec![guard.clone()])).await.unwrap(), Some(Held::Exceeded(guard)));
    assert!(it.store.timeline(&second).await.unwrap().unwrap().steps.is_empty());
}

async fn a_guard_also_counts_where_a_look_at_the_target_failed_first(it: Fixture) {
    let guard = Guard {
        rule: "none".to_owned(),
        actions: vec!["subscription.suspend"],
        most: 0,
        per: SignedDuration::from_hours(1),
        playbook: None,
        asks: false,
    };
    let run = begun(&it.store, "a").await;
    let mut second = intent(&run, "plan:1", vec![guard.clone()]);
    second.attempt.number = 2;
    second.step.attempts = 2;
    assert_eq!(it.store.intend(second).await.unwrap(), Some(Held::Exceeded(guard)));
}

async fn a_target_is_kept_from_others_before_it_is_looked_at_and_free_when_the_run_ends(it: Fixture) {
    let (first, second) = (begun(&it.store, "a").await, begun(&it.store, "b").await);
    let lock = |run: &RunId| it.store.lock(run.clone(), "suspend".to_owned(), "plan:1".to_owned(), Timestamp::now());
    assert_eq!(lock(&first).await.unwrap(), None);
    assert_eq!(lock(&first).await.unwrap(), None, "as after a restart");
    assert!(lock(&second).await.unwrap().is_some());
    let mut run = it.store.timeline(&first).await.unwrap().unwrap().run;
    run.state = RunState::Failed;
    assert_eq!(it.store.record(Change::of(run)).await.unwrap(), Standing::Ours);
    assert_eq!(lock(&first).await.unwrap(), Some(Held::Ended), "a run that has ended takes no lock that nobody would give back");
    assert_eq!(lock(&second).await.unwrap(), None);
}

async fn a_playbooks_own_guard_counts_what_is_done_for_it_in_every_run(it: Fixture) {
    let guard = |playbook: &str| Guard {
        rule: "subscription.*".to_owned(),
        actions: vec!["subscription.suspend"],
        most: 1,
        per: SignedDuration::from_hours(1),
        playbook: Some(playbook.to_owned()),
        asks: false,
    };
    let (first, second) = (begun(&it.store, "a").await, begun(&it.store, "b").await);
    let within = |run: &RunId, target: &str, within: &str, guards: Vec<Guard>| {
        let mut intent = intent(run, target, guards);
        within.clone_into(&mut intent.step.within);
        intent
    };
    assert_eq!(it.store.intend(within(&first, "plan:1", "a/contain", vec![guard("a"), guard("contain")])).await.unwrap(), None);
    let held = it.store.intend(within(&second, "plan:2", "b/contain", vec![guard("b"), guard("contain")])).await.unwrap();
    assert_eq!(held, Some(Held::Exceeded(guard("contain"))), "called by another playbook");
    assert_eq!(it.store.intend(within(&second, "plan:2", "b", vec![guard("b"), guard("con")])).await.unwrap(), None);
}

async fn a_run_that_ended_takes_no_more_changes(it: Fixture) {
    let id = begun(&it.store, "a").await;
    let mut run = it.store.timeline(&id).await.unwrap().unwrap().run;
    run.state = RunState::Cancelled;
    assert_eq!(it.store.record(Change::of(run.clone())).await.unwrap(), Standing::Ours);
    run.state = RunState::Done;
    assert_eq!(it.store.record(Change::of(run)).await.unwrap(), Standing::Ended);
    assert_eq!(it.store.intend(intent(&id, "plan:1", vec![])).await.unwrap(), Some(Held::Ended));
}

async fn a_step_reads_back_as_it_was_written(it: Fixture) {
    let id = begun(&it.store, "a").await;
    let intent = intent(&id, "plan:1", vec![]);
    it.store.intend(intent.clone()).await.unwrap();
    let timeline = it.store.timeline(&id).await.unwrap().unwrap();
    let micros = |time: Timestamp| time.as_microsecond();
    let (read, wrote) = (&timeline.steps[0], &intent.step);
    assert_eq!(
        (read.request_id, &read.plan, &read.precondition, &read.target),
        (wrote.request_id, &wrote.plan, &wrote.precondition, &wrote.target)
    );
    assert_eq!(read.first_intent_at.map(micros), wrote.first_intent_at.map(micros));
    assert_eq!((timeline.attempts[0].1.number, timeline.attempts[0].1.outcome), (1, None));
}

async fn quarantine_is_decided_once(it: Fixture) {
    let rejected = Rejected { reason: "malformed", detail: "not JSON".to_owned(), body: b"\0\xff".to_vec() };
    it.store.take_in(vec![Arrival::Rejected(rejected)]).await.unwrap();
    let held = it.store.quarantine(true, 10).await.unwrap();
    assert_eq!(held[0].body, b"\0\xff");
    assert!(it.store.decide_quarantined(held[0].number, QuarantineState::Dropped, "mina", json!(null)).await.unwrap());
    assert!(!it.store.decide_quarantined(held[0].number, QuarantineState::Released, "mina", json!(null)).await.unwrap());
    assert!(it.store.quarantine(true, 10).await.unwrap().is_empty());
}

async fn one_bad_write_does_not_undo_its_neighbours(it: Fixture) {
    let keep = |name: &'static str| {
        let store = it.store.clone();
        async move { store.keep(name, b"v").await }
    };
    let bad = it.store.writer.write(|connection| {
        Box::pin(async move { sqlx::query("INSERT INTO no_such_table VALUES (1)").execute(connection).await.map(|_| ()) })
    });
    let (a, bad, b) = tokio::join!(keep("a"), bad, keep("b"));
    assert!(a.is_ok() && b.is_ok());
    assert!(bad.unwrap_err().to_string().contains("no_such_table"));
    assert!(it.store.kept("a").await.unwrap().is_some() && it.store.kept("b").await.unwrap().is_some());
}

async fn texts_from_outside_are_kept_whatever_is_in_them(it: Fixture) {
    let Arrival::Alert(mut received) = arrival(&"é".repeat(500), "0") else { unreachable!() };
    received.alert.title = "a\0b".to_owned();
    received.alert.revision = "r".repeat(1_000);
    let rejected = Rejected { reason: "malformed", detail: "c\0d".to_owned(), body: vec![0] };
    it.store.take_in(vec![Arrival::Alert(received.clone()), Arrival::Rejected(rejected)]).await.unwrap();
    assert_eq!(it.store.take_in(vec![Arrival::Alert(received)]).await.unwrap(), [false], "it is recognised by its hash");
    assert_eq!(it.store.alerts(&AlertFilter::default()).await.unwrap()[0].title, "a\u{fffd}b");
    let dedup = Some(window::Dedup { key: "é\0".repeat(5_000), window: Duration::from_hours(1) });
    let run = NewRun { windows: Windows { dedup, ..Windows::default() }, ..new_run("contain") };
    assert_eq!(it.store.begin(run.clone()).await.unwrap(), Begun::New);
    let again = NewRun { id: RunId::new(), occasion: "manual:2".to_owned(), ..run };
    assert!(matches!(it.store.begin(again).await.unwrap(), Begun::Held(_)));
}

#[tokio::test]
async fn after_the_disk_was_full_writes_succeed_again() {
    let it = fixture().await;
    let full = it.store.writer.write(|connection| {
        Box::pin(async move {
            // SQLite answers as it does when the disk is full; the limit belongs to this connection.
            sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&mut *connection).await?;
            let query = "INSERT INTO kept (name, value, at) VALUES ('large', zeroblob(4000000), 0)";
            sqlx::query(query).execute(connection).await.map(|_| ())
        })
    });
    assert!(full.await.unwrap_err().to_string().contains("full"));
    it.store.keep("after", b"v").await.unwrap();
    assert_eq!(it.store.kept("large").await.unwrap(), None);
}

#[tokio::test]
async fn a_database_of_another_program_or_a_newer_version_is_refused() {
    let it = fixture().await;
    let raw = sqlx::SqlitePool::connect(&it.url).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&raw).await.unwrap();
    let error = Store::open(&it.url, &it.tasks, None).await.unwrap_err().to_string();
    assert!(error.contains("newer Quell"), "{error}");
    sqlx::raw_sql("PRAGMA application_id = 7").execute(&raw).await.unwrap();
    let error = Store::open(&it.url, &it.tasks, None).await.unwrap_err().to_string();
    assert!(error.contains("another program"), "{error}");
    let error = Store::open("mysql://u:p@h/db", &it.tasks, None).await.unwrap_err().to_string();
    assert!(error.contains("SQLite or PostgreSQL") && !error.contains("u:p"), "{error}");
}

#[tokio::test]
async fn the_lock_names_its_holder() {
    let it = fixture().await;
    let lock = Lock::take(&it.url).unwrap();
    let error = Lock::take(&it.url).unwrap_err().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    drop(lock);
    assert!(Lock::take(&it.url).is_ok());
}

on_both! {
    an_alert_is_new_once_and_a_changed_one_is_a_revision,
    what_was_written_is_there_after_opening_again,
    a_window_holds_back_the_second_run_and_says_so,
    a_target_is_locked_until_its_step_is_known_to_have_ended,
    a_guard_is_reserved_with_the_intent,
    a_guard_also_counts_where_a_look_at_the_target_failed_first,
    a_target_is_kept_from_others_before_it_is_looked_at_and_free_when_the_run_ends,
    a_playbooks_own_guard_counts_what_is_done_for_it_in_every_run,
    a_run_that_ended_takes_no_more_changes,
    a_step_reads_back_as_it_was_written,
    quarantine_is_decided_once,
    one_bad_write_does_not_undo_its_neighbours,
    texts_from_outside_are_kept_whatever_is_in_them,
}
