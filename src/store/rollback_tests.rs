//! Tests: what becomes of what the steps of ended runs did, on both databases.

use jiff::Timestamp;

use super::{
    tests::{Fixture, intent, new_run, on_both, step},
    window_tests::{at, read},
    *,
};
use crate::{
    clock::Clock,
    run::{Ending, Ruling, RunId, RunRecord, RunState, StepRecord, StepState},
};

fn mina() -> Decider {
    Decider { person: "mina".to_owned(), who: "mina (command line)".to_owned(), reason: "it was theirs".to_owned() }
}

fn named(id: &str, position: u32, returns_at: Option<Timestamp>) -> StepRecord {
    let began = Some(at(i64::from(position)));
    StepRecord { id: id.to_owned(), position, returns_at, first_intent_at: began, ..step(StepState::Succeeded, "plan:1") }
}

/// A run that ended so after these steps.
async fn ended(store: &Store, steps: &[StepRecord], state: RunState) -> RunId {
    let run = new_run("hold");
    let id = run.id.clone();
    store.begin(run).await.unwrap();
    for step in steps {
        let change = Change { step: Some(step.clone()), ..Change::of(read(store, &id).await) };
        assert_eq!(store.record(change).await.unwrap(), Standing::Ours);
    }
    end(store, &id, state, "as it was").await;
    id
}

async fn end(store: &Store, run: &RunId, state: RunState, reason: &str) {
    let run = RunRecord { state, reason: reason.to_owned(), ended_at: Some(store.clock().now()), ..read(store, run).await };
    store.record(Change::of(run)).await.unwrap();
}

async fn steps(store: &Store, run: &RunId) -> Vec<StepRecord> {
    store.progress(run).await.unwrap().unwrap().steps
}

fn standing(it: &Fixture) -> (Store, Clock) {
    let clock = Clock::standing_at(at(0));
    (it.store.clone().dated_by(clock.clone()), clock)
}

async fn a_run_is_taken_up_once_however_many_ask(it: Fixture) {
    let (store, _clock) = standing(&it);
    let run = ended(&store, &[named("one", 1, None), named("two", 2, None)], RunState::Done).await;
    let other = it.another().await;
    let asked = || vec![("two".to_owned(), 1), ("one".to_owned(), 1)];
    let by = mina();
    let both = futures_util::join!(store.roll_back(&run, asked(), &by), other.roll_back(&run, asked(), &by));
    assert_ne!(both.0.unwrap(), both.1.unwrap());
    let found = read(&store, &run).await;
    assert_eq!((found.state, found.cancel, found.ended_at), (RunState::Ready, false, None));
    assert_eq!(found.ended_as, Some(Box::new(Ending { state: RunState::Done, reason: "as it was".to_owned() })));
    assert!(steps(&store, &run).await.iter().all(|step| step.undo_round() == Some(1)));
    assert_eq!(store.requesters(&run).await.unwrap(), ["mina"], "who asks does not approve it");
    assert_eq!(store.audited(0, 9).await.unwrap().iter().filter(|it| it.what == "run.rollback").count(), 1);

    // While it is under way, and for what was asked already, nobody begins it again; what failed is another round.
    assert!(!store.roll_back(&run, vec![("one".to_owned(), 2)], &by).await.unwrap());
    end(&store, &run, RunState::Failed, "one of them failed").await;
    assert!(!store.roll_back(&run, asked(), &by).await.unwrap());
    assert!(store.roll_back(&run, vec![("one".to_owned(), 2)], &by).await.unwrap());
    assert_eq!(read(&store, &run).await.ended_as.map(|it| it.state), Some(RunState::Done), "as it ended first");
}

async fn what_somebody_cancelled_before_it_was_undone_stays_when_something_else_is_undone(it: Fixture) {
    let (store, clock) = standing(&it);
    let run = ended(&store, &[named("one", 1, None), named("two", 2, Some(at(60)))], RunState::Done).await;
    clock.advance_to(at(60));
    assert_eq!(store.begin_returns(at(60)).await.unwrap().begun.len(), 1);
    assert!(store.cancel(&run, "mina (command line)").await.unwrap());
    end(&store, &run, RunState::Done, "as it was").await;
    assert!(store.roll_back(&run, vec![("one".to_owned(), 1)], &mina()).await.unwrap());
    let rounds: Vec<_> = steps(&store, &run).await.iter().map(StepRecord::undo_round).collect();
    assert_eq!(rounds, [Some(1), None]);
    end(&store, &run, RunState::Done, "as it was").await;
    assert_eq!(store.next_return().await.unwrap(), None, "and it does not return by itself");
    assert!(store.roll_back(&run, vec![("two".to_owned(), 1)], &mina()).await.unwrap(), "unless a person asks");
}

async fn a_run_that_is_open_or_in_doubt_is_not_taken_up(it: Fixture) {
    let (store, clock) = standing(&it);
    let one = || vec![("one".to_owned(), 1)];
    let doubtful = ended(&store, &[named("one", 1, Some(at(60)))], RunState::Indeterminate).await;
    let open = new_run("hold");
    store.begin(open.clone()).await.unwrap();
    clock.advance_to(at(120));
    for run in [&doubtful, &open.id, &RunId("none".to_owned())] {
        assert!(!store.roll_back(run, one(), &mina()).await.unwrap(), "{run}");
    }
    assert!(store.begin_returns(at(120)).await.unwrap().begun.is_empty());
    assert_eq!(store.next_return().await.unwrap(), None);
}

async fn what_returns_by_itself_begins_once_at_its_time_and_the_last_first(it: Fixture) {
    let (store, clock) = standing(&it);
    // The first is due before the second, and waits for it; what is due later does not keep what came after it.
    let run =
        ended(&store, &[named("zero", 1, Some(at(300))), named("one", 2, Some(at(60))), named("two", 3, Some(at(62)))], RunState::Failed)
            .await;
    assert_eq!(store.next_return().await.unwrap(), Some(at(62)));
    assert!(store.begin_returns(at(61)).await.unwrap().begun.is_empty());
    clock.advance_to(at(62));
    let other = it.another().await;
    let begun = futures_util::join!(store.begin_returns(at(62)), other.begin_returns(at(62)));
    assert_eq!([begun.0.unwrap().begun, begun.1.unwrap().begun].concat(), [(run.clone(), "hold".to_owned())]);
    let rounds: Vec<_> = steps(&store, &run).await.iter().map(StepRecord::undo_round).collect();
    assert_eq!(rounds, [None, Some(1), Some(1)]);
    assert_eq!(store.next_return().await.unwrap(), None, "the run is under way");
    end(&store, &run, RunState::Failed, "again").await;
    assert_eq!(store.next_return().await.unwrap(), Some(at(300)));
    // A clock that was set back brings nothing.
    assert!(store.begin_returns(at(10)).await.unwrap().begun.is_empty());
    assert_eq!(store.begin_returns(at(300)).await.unwrap().begun.len(), 1);
    let acts = store.audited(0, 9).await.unwrap();
    assert_eq!(acts.iter().map(|it| (it.what.as_str(), it.who.as_str())).collect::<Vec<_>>(), [("run.return", "playbook hold"); 2]);
}

async fn what_somebody_keeps_or_undid_before_does_not_return(it: Fixture) {
    let (store, _clock) = standing(&it);
    let tried = named("two.rollback", 3, None);
    let run = ended(&store, &[named("one", 1, Some(at(60))), named("two", 2, Some(at(60))), tried], RunState::Done).await;
    assert_eq!(store.keep_done(&run, vec!["two".to_owned()], &mina()).await.unwrap(), Vec::<String>::new());
    assert_eq!(store.keep_done(&run, Vec::new(), &mina()).await.unwrap(), ["one"]);
    assert_eq!(store.keep_done(&run, Vec::new(), &mina()).await.unwrap(), Vec::<String>::new());
    assert!(store.begin_returns(at(600)).await.unwrap().begun.is_empty());
    let kept = steps(&store, &run).await.remove(0);
    assert_eq!(kept.kept().map(|it| (it.ruling, it.who.as_str())), Some((Ruling::Keep, "mina (command line)")));
    // Whoever drives a run writes what it knows of a step, and never what was decided.
    store.roll_back(&run, vec![("one".to_owned(), 1)], &mina()).await.unwrap();
    let change = Change { step: Some(StepRecord { decided: None, ..kept }), ..Change::of(read(&store, &run).await) };
    assert_eq!(store.record(change).await.unwrap(), Standing::Touched);
    assert_eq!(steps(&store, &run).await[0].undo_round(), Some(1));
}

async fn what_somebody_keeps_while_it_is_about_to_be_undone_is_not_undone_and_its_target_is_free(it: Fixture) {
    let (store, _clock) = standing(&it);
    let run = new_run("hold");
    store.begin(run.clone()).await.unwrap();
    let done = named("one", 1, Some(at(60)));
    store.record(Change { step: Some(done), ..Change::of(read(&store, &run.id).await) }).await.unwrap();
    let intent = intent(&run.id, "plan:1", vec![]);
    let step = StepRecord { id: "one.rollback".to_owned(), ..intent.step.clone() };
    let undoing = Intent { step, undoes: Some("one".to_owned()), ..intent };

    // Its driver has looked at the target already when a person keeps what was done.
    let locked = store.lock(run.id.clone(), "one.rollback".to_owned(), "plan:1".to_owned(), at(1));
    assert_eq!(locked.await.unwrap(), None);
    assert_eq!(store.keep_done(&run.id, Vec::new(), &mina()).await.unwrap(), ["one"]);
    assert_eq!(store.intend(undoing.clone()).await.unwrap(), Some(Held::Ended));
    assert!(steps(&store, &run.id).await.iter().all(|step| step.id == "one"), "nothing of it is recorded");
    let other = new_run("other");
    store.begin(other.clone()).await.unwrap();
    assert_eq!(store.lock(other.id.clone(), "stop".to_owned(), "plan:1".to_owned(), at(1)).await.unwrap(), None);

    // A person who wants it undone after all is heard, and what may have begun is seen to its end.
    end(&store, &other.id, RunState::Done, "").await;
    end(&store, &run.id, RunState::Failed, "as it was").await;
    assert!(store.roll_back(&run.id, vec![("one".to_owned(), 1)], &mina()).await.unwrap());
    assert_eq!(store.intend(undoing).await.unwrap(), None);
}

async fn a_run_that_cannot_be_read_keeps_no_other_from_being_undone_and_is_tried_again(it: Fixture) {
    let (store, clock) = standing(&it);
    let due = [named("one", 1, Some(at(60)))];
    let (broken, other) = (ended(&store, &due, RunState::Done).await, ended(&store, &due, RunState::Done).await);
    assert!(broken.0 < other.0, "it is looked at first");
    sqlx::query("UPDATE run SET vars = 'no document' WHERE id = $1").bind(&broken.0).execute(&store.readers).await.unwrap();
    clock.advance_to(at(60));
    let returns = store.begin_returns(at(60)).await.unwrap();
    assert_eq!(returns.begun, [(other, "hold".to_owned())]);
    assert!(matches!(returns.unreadable.as_slice(), [(run, why)] if *run == broken && why.contains("cannot be read")), "{returns:?}");
    let returns = store.begin_returns(at(61)).await.unwrap();
    assert!(returns.begun.is_empty() && returns.unreadable.is_empty(), "it is put off: {returns:?}");
    sqlx::query("UPDATE run SET vars = '{}' WHERE id = $1").bind(&broken.0).execute(&store.readers).await.unwrap();
    assert_eq!(store.begin_returns(at(60 + 3_600)).await.unwrap().begun, [(broken, "hold".to_owned())]);
}

async fn what_was_undone_on_the_way_is_not_looked_at_again(it: Fixture) {
    let (store, _clock) = standing(&it);
    let undone = named("one.rollback", 3, None);
    ended(&store, &[named("one", 1, Some(at(60))), named("two", 2, Some(at(60))), undone], RunState::Failed).await;
    let query = "SELECT id FROM step WHERE returns_at IS NOT NULL AND decided IS NULL";
    let indexed: Vec<(String,)> = sqlx::query_as(query).fetch_all(&store.readers).await.unwrap();
    assert_eq!(indexed, [("two".to_owned(),)]);
}

async fn a_later_run_that_changed_the_same_is_found(it: Fixture) {
    let (store, _clock) = standing(&it);
    let first = named("one", 1, None);
    let run = ended(&store, std::slice::from_ref(&first), RunState::Done).await;
    let found_so = StepRecord { precondition: None, ..named("one", 5, None) };
    let elsewhere = StepRecord { target: Some("plan:2".to_owned()), ..named("one", 6, None) };
    for step in [found_so, elsewhere, StepRecord { state: StepState::Failed, ..named("one", 7, None) }] {
        ended(&store, &[step], RunState::Done).await;
    }
    assert_eq!(store.overtaken_by(&run, &first).await.unwrap(), None);
    let later = ended(&store, &[named("one", 8, None)], RunState::Done).await;
    assert_eq!(store.overtaken_by(&run, &first).await.unwrap(), Some(later.clone()));
    assert_eq!(store.overtaken_by(&later, &named("one", 8, None)).await.unwrap(), None);
    let doubtful = ended(&store, &[StepRecord { state: StepState::Indeterminate, ..named("one", 9, None) }], RunState::Indeterminate).await;
    assert_eq!(store.overtaken_by(&run, &first).await.unwrap(), Some(doubtful));
}

on_both! {
    a_run_is_taken_up_once_however_many_ask,
    a_run_that_is_open_or_in_doubt_is_not_taken_up,
    what_somebody_cancelled_before_it_was_undone_stays_when_something_else_is_undone,
    what_returns_by_itself_begins_once_at_its_time_and_the_last_first,
    what_somebody_keeps_or_undid_before_does_not_return,
    what_somebody_keeps_while_it_is_about_to_be_undone_is_not_undone_and_its_target_is_free,
    a_run_that_cannot_be_read_keeps_no_other_from_being_undone_and_is_tried_again,
    what_was_undone_on_the_way_is_not_looked_at_again,
    a_later_run_that_changed_the_same_is_found,
    a_target_of_any_length_is_found_again,
}

async fn a_target_of_any_length_is_found_again(it: Fixture) {
    let (store, _clock) = standing(&it);
    // Too much for an index of PostgreSQL, also when it packs it.
    let target: String = (0..8_000_u32).map(|number| char::from_u32(0x4e00 + number * 7 % 20_000).unwrap()).collect();
    let long = |began: u32| StepRecord { target: Some(target.clone()), ..named("one", began, None) };
    let run = ended(&store, &[long(1)], RunState::Done).await;
    assert_eq!(store.overtaken_by(&run, &long(1)).await.unwrap(), None);
    let later = ended(&store, &[long(8)], RunState::Done).await;
    assert_eq!(store.overtaken_by(&run, &long(1)).await.unwrap(), Some(later.clone()));
    let (stops, lasts) = (vec!["subscription.suspend"], jiff::SignedDuration::from_hours(1));
    let heed = Heed { is_destructive: true, stops, starts_nothing: Vec::new(), lasts, approved_at: None };
    sqlx::query("UPDATE step SET action = 'subscription.suspend', ended_at = 1").execute(&store.readers).await.unwrap();
    store.seen_at_work(vec![target], heed, at(9)).await.unwrap();
    assert_eq!(store.holds(None).await.unwrap().len(), 1, "what stopped it is found");
}
