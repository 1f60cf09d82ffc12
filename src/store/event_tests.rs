//! Tests: other systems learn what happened, in the order in which it did, and a site that announces nothing writes nothing for them.

use serde_json::json;

use super::{
    tests::{Fixture, new_run, on_both, step},
    window_tests::{answered, at, read},
    *,
};
use crate::{
    clock::Clock,
    run::{Class, RunRecord, RunState, StepState},
    window::Windows,
};

/// What every kind of event needs, once.
async fn everything(store: &Store) {
    let run = answered(store, "a", &Windows::default()).await.unwrap();
    let run = read(store, &run).await;
    store.record(Change { step: Some(step(StepState::Executing, "plan:1")), ..Change::of(run.clone()) }).await.unwrap();
    store.record(Change { step: Some(step(StepState::Succeeded, "plan:1")), ..Change::of(run.clone()) }).await.unwrap();
    let looked = crate::run::StepRecord { id: "look".to_owned(), class: Class::Read, ..step(StepState::Succeeded, "") };
    let ended = RunRecord { state: RunState::Done, ended_at: Some(at(0)), ..run };
    store.record(Change { step: Some(looked), ..Change::of(ended) }).await.unwrap();
    let daily = new_run("daily");
    store.begin(daily.clone()).await.unwrap();
    let doubt = RunRecord { state: RunState::Indeterminate, ended_at: Some(at(0)), ..read(store, &daily.id).await };
    store.record(Change::of(doubt)).await.unwrap();
    assert!(store.give_up(&daily.id, ("mina", "nobody knows")).await.unwrap());
    store.stop_actions("mina", "too many").await.unwrap();
    store.resume_actions("mina", "found it").await.unwrap();
}

fn announcing(it: &Fixture) -> Store {
    it.store.clone().dated_by(Clock::standing_at(at(0))).with_outlet(Outlet::new(&[], true))
}

async fn what_happened_is_announced_in_order_and_gone_when_the_broker_has_it(it: Fixture) {
    let store = announcing(&it);
    everything(&store).await;
    let events = store.waiting_events(100).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "run.begun",
            "alert.decided",
            "step.ended",
            "run.ended",
            "run.begun",
            "run.ended",
            "run.ended",
            "actions.stopped",
            "actions.resumed"
        ],
        "a step under way and one that only reads are nobody's business"
    );
    assert!(events.is_sorted_by_key(|event| event.number));
    let decided = &events[1].data;
    assert_eq!((&decided["id"], &decided["playbooks"][0]["verdict"]), (&json!("a"), &json!("run")));
    assert_eq!(events[0].data["run"], decided["playbooks"][0]["run"]);
    assert_eq!((&events[2].data["state"], &events[2].data["target"]), (&json!("succeeded"), &json!("plan:1")));
    assert_eq!((events[3].data["state"].clone(), events[3].subject.clone()), (json!("done"), events[2].subject.clone()));
    assert_eq!([5, 6].map(|at: usize| events[at].data["state"].clone()), [json!("indeterminate"), json!("failed")]);
    assert_eq!(events[7].data, json!({"who": "mina", "reason": "too many"}));

    store.events_announced(events[..7].iter().map(|event| event.number).collect()).await.unwrap();
    assert_eq!(store.waiting_events(100).await.unwrap(), events[7..]);
    let left = events[7..].iter().map(|event| event.number).collect();
    assert_eq!(store.give_up_events(left, "no queue").await.unwrap(), 2);
    assert_eq!(store.events_waiting().await.unwrap(), 0);
    assert!(store.take_outgoing(9).await.unwrap().is_empty(), "people are told none of it");
}

async fn what_the_broker_returned_stands_before_nothing_else_and_comes_again_in_its_time(it: Fixture) {
    let clock = Clock::standing_at(at(0));
    let store = announcing(&it).dated_by(clock.clone());
    everything(&store).await;
    let numbers = async |store: &Store| store.waiting_events(2).await.unwrap().iter().map(|event| event.number).collect::<Vec<_>>();
    let first = numbers(&store).await;
    store.events_returned(vec![(first[0], at(60)), (first[1], at(30))], "no queue").await.unwrap();
    let next = numbers(&store).await;
    assert!(next.iter().all(|number| !first.contains(number)), "{next:?}");
    clock.advance_to(at(60));
    assert_eq!(numbers(&store).await, next, "and after all that the broker has not seen");
    let fresh: Vec<_> = store.waiting_events(100).await.unwrap().iter().filter(|event| event.returned == 0).map(|it| it.number).collect();
    store.events_announced(fresh).await.unwrap();
    let again: Vec<_> = store.waiting_events(9).await.unwrap().iter().map(|event| (event.number, event.returned)).collect();
    assert_eq!(again, [(first[1], 1), (first[0], 1)]);
    assert_eq!(store.events_waiting().await.unwrap(), 2);
}

async fn what_left_long_ago_is_forgotten_and_what_waits_is_not(it: Fixture) {
    let clock = Clock::standing_at(at(0));
    let store = it
        .store
        .clone()
        .dated_by(clock.clone())
        .with_outlet(Outlet::new(&[crate::news::Tell { of: crate::news::Topic::ALL.to_vec(), to: vec!["log:default".to_owned()] }], true));
    store.stop_actions("mina", "a test").await.unwrap();
    let told = store.take_outgoing(9).await.unwrap().remove(0);
    store.outgoing_sent(vec![(told.id, Fate::Delivered)]).await.unwrap();
    let event = store.waiting_events(1).await.unwrap().remove(0);
    assert_eq!(store.give_up_events(vec![event.number], "no queue").await.unwrap(), 1);
    let count = async || sqlx::query_as::<_, (i64,)>("SELECT count(*) FROM outbox").fetch_one(&it.store.readers).await.unwrap().0;
    assert_eq!(count().await, 2);
    clock.advance_to(at(31 * 24 * 3_600));
    store.resume_actions("mina", "a test").await.unwrap();
    let told = store.take_outgoing(9).await.unwrap().remove(0);
    store.outgoing_sent(vec![(told.id, Fate::Again { at: at(32 * 24 * 3_600), why: "busy".to_owned() })]).await.unwrap();
    assert_eq!(count().await, 2, "a message and an event, which wait");
}

async fn a_site_that_announces_nothing_writes_nothing_for_it(it: Fixture) {
    everything(&it.store).await;
    let rows: (i64,) = sqlx::query_as("SELECT count(*) FROM outbox").fetch_one(&it.store.readers).await.unwrap();
    assert_eq!(rows, (0,));
}

on_both! {
    what_happened_is_announced_in_order_and_gone_when_the_broker_has_it,
    what_the_broker_returned_stands_before_nothing_else_and_comes_again_in_its_time,
    what_left_long_ago_is_forgotten_and_what_waits_is_not,
    a_site_that_announces_nothing_writes_nothing_for_it,
}
