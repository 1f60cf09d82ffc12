//! Windows in the journal, held to what a run may expect of them and to what the memory says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::{tests::*, *};
use crate::{
    alert::Alert,
    clock::Clock,
    run::{Mode, RunId, RunRecord, RunState, StepState, Strategy as Places},
    window::{self, Admission, Memory, Windows},
};

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn grouped() -> Windows {
    let group = window::Group { key: "g".to_owned(), wait: Duration::from_secs(30), interval: Duration::from_mins(10) };
    Windows { group: Some(group), ..Windows::default() }
}

fn placed(strategy: Places) -> Windows {
    let concurrency = window::Concurrency { key: "c".to_owned(), max: 1, strategy };
    Windows { concurrency: Some(concurrency), ..Windows::default() }
}

/// An alert for which a run with those windows is to begin: that run's id, if it began.
pub(super) async fn answered(store: &Store, id: &str, windows: &Windows) -> Option<RunId> {
    store.take_in(vec![arrival(id, "0")]).await.unwrap();
    let alert = store.undecided(1).await.unwrap()[0].number;
    let run = NewRun { alert: Some(alert), occasion: format!("alert:{alert}"), windows: windows.clone(), ..new_run("contain") };
    let begun = store.decide(vec![Decision { alert, verdicts: vec![Verdict::Run(Box::new(run))] }]).await.unwrap();
    begun.first().map(|(_, run)| run.id.clone())
}

pub(super) async fn read(store: &Store, run: &RunId) -> RunRecord {
    store.timeline(run).await.unwrap().unwrap().run
}

async fn end(store: &Store, run: &RunId, state: RunState) -> Standing {
    let run = RunRecord { state, ended_at: Some(store.clock().now()), ..read(store, run).await };
    store.record(Change::of(run)).await.unwrap()
}

async fn alerts_join_a_run_until_it_begins_and_none_is_lost_between(it: Fixture) {
    let clock = Clock::standing_at(at(0));
    let store = it.store.clone().dated_by(clock.clone());
    let first = answered(&store, "a", &grouped()).await.unwrap();
    assert_eq!(answered(&store, "b", &grouped()).await, None);
    assert_eq!(store.decisions(2).await.unwrap(), [("contain".to_owned(), "joined".to_owned(), String::new(), Some(first.0.clone()))]);
    assert_eq!(store.alerts(&AlertFilter::default()).await.unwrap()[0].outcome, "matched");
    assert!(store.due_runs(at(29), None, 10).await.unwrap().is_empty());
    assert_eq!(store.due_runs(at(30), None, 10).await.unwrap(), std::slice::from_ref(&first));

    clock.advance_to(at(30));
    assert!(store.progress(&first).await.unwrap().unwrap().gathers);
    store.begin_group(&first).await.unwrap();
    let progress = store.progress(&first).await.unwrap().unwrap();
    assert_eq!((progress.events.len(), progress.gathers), (2, false));
    let ids: Vec<_> = progress.events.iter().map(|event| Alert::from_event(event).unwrap().id).collect();
    assert_eq!(ids, ["a", "b"]);

    let second = answered(&store, "c", &grouped()).await.unwrap();
    assert_eq!(read(&store, &second).await.due_at, at(630), "the interval counts from when the first began");
    assert_eq!(store.timeline(&first).await.unwrap().unwrap().alerts, [1, 2]);
    let of_second_alert = RunFilter { alert: Some(2), ..RunFilter::default() };
    assert_eq!(store.runs(&of_second_alert).await.unwrap()[0].id, first);
}

async fn no_alert_joins_a_run_that_is_cancelled(it: Fixture) {
    let first = answered(&it.store, "a", &grouped()).await.unwrap();
    assert!(it.store.cancel(&first, "mina").await.unwrap());
    assert!(!it.store.cancel(&first, "mina").await.unwrap(), "once");
    let second = answered(&it.store, "b", &grouped()).await.unwrap();
    assert_ne!(first, second);
    assert!(read(&it.store, &first).await.cancel);
    assert_eq!(it.store.due_runs(it.store.clock().now(), None, 10).await.unwrap(), [first]);
}

async fn each_freed_place_lets_one_run_begin_however_the_other_ended(it: Fixture) {
    let mut runs = Vec::new();
    for id in ["a", "b", "c", "d", "e"] {
        runs.push(answered(&it.store, id, &placed(Places::Queue)).await.unwrap());
    }
    for (ended, state) in [RunState::Done, RunState::Failed, RunState::Indeterminate, RunState::Cancelled].into_iter().enumerate() {
        assert_eq!(it.store.due_runs(it.store.clock().now(), None, 10).await.unwrap(), [runs[ended].clone()]);
        assert_eq!(usize::try_from(it.store.runs_in_progress().await.unwrap()).unwrap(), 5 - ended, "with those that wait");
        assert_eq!(end(&it.store, &runs[ended], state).await, Standing::Ours);
    }
    assert_eq!(read(&it.store, &runs[4]).await.state, RunState::Ready);
}

async fn a_cancelled_run_that_waited_frees_no_place(it: Fixture) {
    let [first, second, third] = ["a", "b", "c"];
    let first = answered(&it.store, first, &placed(Places::Queue)).await.unwrap();
    let second = answered(&it.store, second, &placed(Places::Queue)).await.unwrap();
    let third = answered(&it.store, third, &placed(Places::Queue)).await.unwrap();
    assert!(it.store.cancel(&second, "mina").await.unwrap());
    end(&it.store, &second, RunState::Cancelled).await;
    assert_eq!(read(&it.store, &third).await.state, RunState::Queued);
    end(&it.store, &first, RunState::Done).await;
    assert_eq!(read(&it.store, &third).await.state, RunState::Ready);
}

async fn a_later_run_cancels_those_before_it_and_waits_for_their_end(it: Fixture) {
    let first = answered(&it.store, "a", &placed(Places::CancelRunning)).await.unwrap();
    let second = answered(&it.store, "b", &placed(Places::CancelRunning)).await.unwrap();
    assert!(read(&it.store, &first).await.cancel);
    assert_eq!(read(&it.store, &second).await.state, RunState::Queued);
    assert_eq!(it.store.intend(intent(&first, "plan:1", vec![])).await.unwrap(), Some(Held::Ended), "nothing new begins");
    end(&it.store, &first, RunState::Cancelled).await;
    assert_eq!(read(&it.store, &second).await.state, RunState::Ready);
    assert_eq!(answered(&it.store, "c", &placed(Places::Skip)).await, None);
    assert!(it.store.decisions(3).await.unwrap()[0].2.starts_with("concurrency: 1 runs"));
}

async fn a_run_that_is_taken_up_to_be_undone_takes_no_place_and_is_not_cancelled_by_a_later_one(it: Fixture) {
    let first = answered(&it.store, "a", &placed(Places::CancelRunning)).await.unwrap();
    let change = Change { step: Some(step(StepState::Succeeded, "plan:1")), ..Change::of(read(&it.store, &first).await) };
    it.store.record(change).await.unwrap();
    end(&it.store, &first, RunState::Done).await;
    let mina = Decider { person: "mina".to_owned(), who: "mina".to_owned(), reason: String::new() };
    assert!(it.store.roll_back(&first, vec![("suspend".to_owned(), 1)], &mina).await.unwrap());
    let second = answered(&it.store, "b", &placed(Places::CancelRunning)).await.unwrap();
    let undone = read(&it.store, &first).await;
    assert_eq!((undone.state, undone.cancel), (RunState::Ready, false));
    assert_eq!(read(&it.store, &second).await.state, RunState::Ready);
}

async fn what_a_clock_that_was_far_ahead_left_holds_nothing_back(it: Fixture) {
    let minute = Duration::from_mins(1);
    let dedup = Windows { dedup: Some(window::Dedup { key: "d".to_owned(), window: minute }), ..Windows::default() };
    let throttle = Windows { throttle: Some(window::Throttle { key: "t".to_owned(), max: 1, per: minute }), ..Windows::default() };
    let dated = |seconds| it.store.clone().dated_by(Clock::standing_at(at(seconds)));
    for (windows, day) in [(dedup, 86_400), (throttle, 86_401)] {
        assert!(answered_in(&dated(day), Mode::Enforce, &windows).await.is_some());
        assert_eq!(answered_in(&dated(day - 250), Mode::Enforce, &windows).await, None, "set back by minutes it opens nothing");
        assert!(answered_in(&dated(0), Mode::Enforce, &windows).await.is_some(), "{windows:?}");
        assert_eq!(answered_in(&dated(30), Mode::Enforce, &windows).await, None, "what was right holds");
    }
}

async fn a_driver_that_does_not_know_of_a_cancel_lets_go(it: Fixture) {
    let id = answered(&it.store, "a", &Windows::default()).await.unwrap();
    let known = read(&it.store, &id).await;
    it.store.cancel(&id, "mina").await.unwrap();
    let later = RunRecord { state: RunState::Waiting, due_at: known.due_at + Duration::from_hours(1), ..known };
    let change = Change::of(later);
    assert_eq!(it.store.record(change.clone()).await.unwrap(), Standing::Touched);
    assert_eq!(it.store.due_runs(it.store.clock().now(), None, 10).await.unwrap(), [id]);
    assert_eq!(it.store.record(change).await.unwrap(), Standing::Ours);
}

async fn a_run_without_an_alert_begins_once(it: Fixture) {
    let tick = || NewRun { occasion: "tick:2026-03-02T04:00:00Z".to_owned(), inputs: json!({"scheduled_at": "x"}), ..new_run("daily") };
    let first = tick();
    let id = first.id.clone();
    assert_eq!(
        it.store.advance_schedule("daily", ("0 4 * * *", at(5)), vec![first, tick()], vec![]).await.unwrap(),
        [Begun::New, Begun::Known]
    );
    it.store.advance_schedule("daily", ("0 4 * * *", at(3)), vec![tick()], vec![]).await.unwrap();
    assert_eq!(it.store.schedule("daily").await.unwrap(), Some(("0 4 * * *".to_owned(), at(5))), "it is never moved back");
    let progress = it.store.progress(&id).await.unwrap().unwrap();
    assert_eq!((progress.run.alert, progress.events.len()), (None, 0));
    assert_eq!(progress.run.inputs, json!({"scheduled_at": "x"}));
    let held = NewRun { windows: placed(Places::Skip), ..new_run("daily") };
    assert_eq!(it.store.begin(held.clone()).await.unwrap(), Begun::New);
    let again = NewRun { id: RunId::new(), occasion: "manual:2".to_owned(), ..held };
    assert!(matches!(it.store.begin(again).await.unwrap(), Begun::Held(_)));
}

on_both! {
    alerts_join_a_run_until_it_begins_and_none_is_lost_between,
    no_alert_joins_a_run_that_is_cancelled,
    each_freed_place_lets_one_run_begin_however_the_other_ended,
    a_cancelled_run_that_waited_frees_no_place,
    a_later_run_cancels_those_before_it_and_waits_for_their_end,
    a_run_that_is_taken_up_to_be_undone_takes_no_place_and_is_not_cancelled_by_a_later_one,
    what_a_clock_that_was_far_ahead_left_holds_nothing_back,
    a_driver_that_does_not_know_of_a_cancel_lets_go,
    a_run_without_an_alert_begins_once,
    what_shadow_leaves_in_a_window_holds_no_run_back_that_acts,
    a_place_that_a_shadow_run_frees_is_no_place_for_a_run_that_acts,
    groups_of_each_mode_keep_their_own_distance,
}

/// As [`answered`], for a run of that mode.
async fn answered_in(store: &Store, mode: Mode, windows: &Windows) -> Option<RunId> {
    let run = NewRun { mode, windows: windows.clone(), ..new_run("contain") };
    let run = NewRun { occasion: run.id.0.clone(), ..run };
    let id = run.id.clone();
    matches!(store.begin(run).await.unwrap(), Begun::New).then_some(id)
}

async fn what_shadow_leaves_in_a_window_holds_no_run_back_that_acts(it: Fixture) {
    let minute = Duration::from_mins(1);
    let dedup = window::Dedup { key: "k".to_owned(), window: minute };
    let throttle = window::Throttle { key: "k".to_owned(), max: 1, per: minute };
    let threshold = window::Threshold { key: "k".to_owned(), count: 2, within: minute };
    let (one, other) = (Mode::Shadow, Mode::Enforce);
    for (mode, then) in [(one, other), (other, one)] {
        let suffix = mode.as_str();
        let dedup = window::Dedup { key: format!("d{suffix}"), ..dedup.clone() };
        let throttle = window::Throttle { key: format!("t{suffix}"), ..throttle.clone() };
        let skip = window::Concurrency { key: format!("c{suffix}"), max: 1, strategy: Places::Skip };
        for windows in [
            Windows { dedup: Some(dedup), ..Windows::default() },
            Windows { throttle: Some(throttle), ..Windows::default() },
            Windows { concurrency: Some(skip), ..Windows::default() },
        ] {
            let begun = [mode, mode, then, then].map(|mode| answered_in(&it.store, mode, &windows));
            let begun: Vec<bool> = futures_util::future::join_all(begun).await.iter().map(Option::is_some).collect();
            assert_eq!(begun, [true, false, true, false], "{mode:?} {windows:?}");
        }
        let counted = window::Threshold { key: format!("h{suffix}"), ..threshold.clone() };
        let windows = Windows { threshold: Some(counted), ..Windows::default() };
        let begun = [mode, then, mode, then].map(|mode| answered_in(&it.store, mode, &windows));
        let begun: Vec<bool> = futures_util::future::join_all(begun).await.iter().map(Option::is_some).collect();
        assert_eq!(begun, [false, false, true, true], "{mode:?}: each counts its own");
    }
}

async fn a_place_that_a_shadow_run_frees_is_no_place_for_a_run_that_acts(it: Fixture) {
    let windows = placed(Places::Queue);
    let acting = answered_in(&it.store, Mode::Enforce, &windows).await.unwrap();
    let acting_next = answered_in(&it.store, Mode::Enforce, &windows).await.unwrap();
    let shadow = answered_in(&it.store, Mode::Shadow, &windows).await.unwrap();
    assert_eq!(read(&it.store, &shadow).await.state, RunState::Ready);
    end(&it.store, &shadow, RunState::Done).await;
    assert_eq!(read(&it.store, &acting_next).await.state, RunState::Queued);
    let cancelling = answered_in(&it.store, Mode::Shadow, &placed(Places::CancelRunning)).await.unwrap();
    assert!(!read(&it.store, &acting).await.cancel, "{cancelling}");
    end(&it.store, &acting, RunState::Done).await;
    assert_eq!(read(&it.store, &acting_next).await.state, RunState::Ready);
}

async fn groups_of_each_mode_keep_their_own_distance(it: Fixture) {
    let clock = Clock::standing_at(at(0));
    let store = it.store.clone().dated_by(clock.clone());
    let shadow = answered_in(&store, Mode::Shadow, &grouped()).await.unwrap();
    clock.advance_to(at(30));
    store.begin_group(&shadow).await.unwrap();
    let acting = answered_in(&store, Mode::Enforce, &grouped()).await.unwrap();
    assert_eq!(read(&store, &acting).await.due_at, at(60), "it waits for others, and not for the interval");
}

/// A database as version 1 left it, with a row in every table.
const OLD: &str = "
    INSERT INTO alert VALUES (1, 'k', 'a', 'graph', '0', 0, 'mining', 'high', 'active', 't', 'c', 's', 1, 2, 3, 4, 1, 'decided', x'7b7d');
    INSERT INTO playbook_text VALUES ('h', 'contain', 'playbook: contain', 5);
    INSERT INTO decision VALUES (1, 'contain', 'run', '', 'r');
    INSERT INTO dedup_window VALUES ('contain', 'key', 9000000000000000, 'r');
    INSERT INTO run VALUES ('r', 1, 'contain', 'h', 'enforce', '{\"x\": 1}', 'ready', '', 6, 7, NULL);
    INSERT INTO step VALUES ('r', 's', 0, 'log', 'read', 'executing', '{}', 'null', NULL, '0198c3e2-0000-7000-8000-000000000000', NULL, 't', 1, 0, 8, NULL, 8, NULL);
    INSERT INTO attempt VALUES ('r', 's', 1, 8, NULL, NULL, '', NULL);
    INSERT INTO target_lock VALUES ('t', 'r', 's', 8);
    INSERT INTO quarantine VALUES (1, 9, 'malformed', 'd', x'00', 'held', NULL);
    INSERT INTO queue VALUES (1, 'k', x'7b7d', 10);
    INSERT INTO kept VALUES ('n', x'01', 11);
    PRAGMA user_version = 1; PRAGMA application_id = 1366648172;";

#[tokio::test]
async fn a_database_of_version_1_comes_through_whole() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("quell.db").display());
    let old = sqlx::SqlitePool::connect(&format!("{url}?mode=rwc")).await.unwrap();
    sqlx::raw_sql(include_str!("schema.sql")).execute(&old).await.unwrap();
    sqlx::raw_sql(OLD).execute(&old).await.unwrap();
    old.close().await;

    let tasks = Tasks::default();
    let store = Store::open(&url, &tasks, None).await.unwrap();
    let timeline = store.timeline(&RunId("r".to_owned())).await.unwrap().unwrap();
    assert_eq!((timeline.alerts, timeline.steps.len(), timeline.attempts.len()), (vec![1], 1, 1));
    assert_eq!((timeline.run.vars, timeline.run.inputs, timeline.run.cancel), (json!({"x": 1}), json!({}), false));
    assert_eq!(store.decisions(1).await.unwrap().len(), 1);
    assert_eq!(store.playbook_text("h").await.unwrap().unwrap(), ("playbook: contain".to_owned(), "{}".to_owned()));
    assert_eq!(store.quarantine(true, 10).await.unwrap().len(), 1);
    assert_eq!((store.queue_depth().await.unwrap(), store.kept("n").await.unwrap().unwrap()), (1, vec![1]));
    let dedup = window::Dedup { key: "key".to_owned(), window: Duration::from_mins(1) };
    let windows = Windows { dedup: Some(dedup), ..Windows::default() };
    assert_eq!(answered(&store, "b", &windows).await, None, "the window of version 1 holds still");
    let orphan = store.writer.write(|connection| {
        Box::pin(async move { sqlx::query("UPDATE step SET run = 'no such run'").execute(connection).await.map(|_| ()) })
    });
    assert!(orphan.await.unwrap_err().to_string().contains("FOREIGN KEY"), "foreign keys hold again");
    let raw = sqlx::SqlitePool::connect(&url).await.unwrap();
    assert!(sqlx::query("PRAGMA foreign_key_check").fetch_all(&raw).await.unwrap().is_empty());
}

/// Something that happens to windows.
#[derive(Debug, Clone)]
enum Event {
    Alert(Box<Windows>),
    Begins(usize),
    Ends(usize),
}

fn some_windows() -> impl Strategy<Value = Windows> {
    let key = || prop_oneof![Just("x".to_owned()), Just("y".to_owned())];
    let span = || (1_u64..20).prop_map(Duration::from_secs);
    let places = prop_oneof![Just(Places::Queue), Just(Places::Skip), Just(Places::CancelRunning)];
    (
        prop::option::of((key(), 1_u32..4, span()).prop_map(|(key, count, within)| window::Threshold { key, count, within })),
        prop::option::of((key(), span()).prop_map(|(key, window)| window::Dedup { key, window })),
        prop::option::of((key(), span(), span()).prop_map(|(key, wait, interval)| window::Group { key, wait, interval })),
        prop::option::of((key(), 1_u32..4, span()).prop_map(|(key, max, per)| window::Throttle { key, max, per })),
        prop::option::of((key(), 1_u32..3, places).prop_map(|(key, max, strategy)| window::Concurrency { key, max, strategy })),
    )
        .prop_map(|(threshold, dedup, group, throttle, concurrency)| Windows { threshold, dedup, group, throttle, concurrency })
}

fn some_events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let event = prop_oneof![
        4 => some_windows().prop_map(|windows| Event::Alert(Box::new(windows))),
        1 => any::<usize>().prop_map(Event::Begins),
        2 => any::<usize>().prop_map(Event::Ends),
    ];
    // The clock mostly goes on, and is set back a little at times.
    prop::collection::vec((-3_i64..8, event), 1..40)
}

/// What the store and the memory say to the same events, side by side.
async fn both_say(events: Vec<(i64, Event)>) -> Vec<(String, String)> {
    let tasks = Tasks::default();
    let store = Store::open("sqlite::memory:", &tasks, None).await.unwrap();
    let (mut memory, mut open, mut now, mut said) = (Memory::default(), BTreeMap::new(), 0, Vec::new());
    for (number, (passed, event)) in (1_i64..).zip(events) {
        now += passed;
        let store = store.clone().dated_by(Clock::standing_at(at(now)));
        match event {
            Event::Alert(windows) => {
                let name = format!("run-{number:03}");
                let run = NewRun { id: RunId(name.clone()), windows: (*windows).clone(), ..new_run("contain") };
                let admission = window::admit(&windows, &memory.seen("contain", &windows, at(now)), at(now));
                memory.note(("contain", &run.id), &windows, &admission, at(now));
                if matches!(admission, Admission::Begin { .. } | Admission::Queue { .. }) {
                    open.insert(name, run.id.clone());
                }
                let answer = store.writer.write(move |connection| {
                    Box::pin(async move {
                        sqlx::query(ALERT).bind(number).bind(Vec::new()).execute(&mut *connection).await?;
                        begin::keep_playbooks(connection, [&run], at(now)).await?;
                        begin::admit(connection, &NewRun { alert: Some(number), ..run }, at(now)).await
                    })
                });
                said.push((format!("{:?}", answer.await.unwrap()), format!("{admission:?}")));
            }
            Event::Begins(which) => {
                let Some(run) = open.values().nth(which % open.len().max(1)).cloned() else { continue };
                store.begin_group(&run).await.unwrap();
                memory.began(&run, at(now));
            }
            Event::Ends(which) => {
                let Some(run) = open.values().nth(which % open.len().max(1)).cloned() else { continue };
                let change = Change::of(done(run.clone(), at(now)));
                if store.record(change).await.unwrap() != Standing::Ended {
                    memory.ended(&run);
                    open.remove(&run.0);
                }
            }
        }
    }
    said
}

/// What is recorded of a run that is done: a database in memory has no readers to ask.
fn done(id: RunId, now: Timestamp) -> RunRecord {
    RunRecord {
        id,
        alert: None,
        inputs: json!({}),
        playbook: String::new(),
        playbook_hash: String::new(),
        mode: Mode::Enforce,
        vars: json!({}),
        state: RunState::Done,
        reason: String::new(),
        created_at: now,
        due_at: now,
        ended_at: Some(now),
        resumed_at: None,
        ended_as: None,
        cancel: false,
        replay: None,
    }
}

/// An alert that nobody looks at.
const ALERT: &str =
    "INSERT INTO alert VALUES ($1, CAST($1 AS TEXT), '', '', '', FALSE, '', '', '', '', '', '', 0, 0, 0, 0, 0, 'decided', $2)";

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_store_and_the_memory_answer_alike(events in some_events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (store, memory) in runtime.block_on(both_say(events)) {
            prop_assert_eq!(store, memory);
        }
    }
}
