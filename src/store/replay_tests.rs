//! An alert that is answered once more, on both databases.

use serde_json::json;

use super::{
    tests::{Fixture, arrival, new_run, on_both},
    *,
};
use crate::{
    run::{Mode, Replay, RunId, Strategy},
    window::{self, Windows},
};

on_both!(
    an_alert_is_answered_once_more_and_what_was_decided_about_it_stays,
    a_replay_is_held_by_a_window_of_how_many_and_of_a_group_it_is_no_part,
    nothing_is_replayed_about_which_nothing_was_decided,
);

fn mina() -> Decider {
    Decider { person: "mina".to_owned(), who: "mina (api)".to_owned(), reason: "the plan was wrong".to_owned() }
}

/// An alert about which one playbook decided.
async fn answered(it: &Fixture, windows: &Windows) -> (i64, RunId) {
    it.store.take_in(vec![arrival("a", "0")]).await.unwrap();
    let alert = it.store.undecided(1).await.unwrap()[0].number;
    let run = NewRun { alert: Some(alert), occasion: format!("alert:{alert}"), windows: windows.clone(), ..new_run("contain") };
    let id = run.id.clone();
    it.store.decide(vec![Decision { alert, verdicts: vec![Verdict::Run(Box::new(run))] }]).await.unwrap();
    (alert, id)
}

fn again(alert: i64, windows: Windows) -> NewRun {
    let run = new_run("contain");
    let Decider { who, reason, .. } = mina();
    NewRun { alert: Some(alert), occasion: format!("{REPLAY}{}", run.id), windows, replay: Some(Replay { who, reason }), ..run }
}

async fn an_alert_is_answered_once_more_and_what_was_decided_about_it_stays(it: Fixture) {
    let (alert, first) = answered(&it, &Windows::default()).await;
    let decided = it.store.decisions(alert).await.unwrap();
    // Another playbook had said "no" then.
    let other = NewRun { playbook: "other".to_owned(), ..again(alert, Windows::default()) };
    let replayed = it.store.replay(alert, vec![again(alert, Windows::default()), other], &mina()).await.unwrap().unwrap();
    let twice = it.store.replay(alert, vec![again(alert, Windows::default())], &mina()).await.unwrap().unwrap();
    assert_eq!(it.store.decisions(alert).await.unwrap(), decided);
    let runs = it.store.runs(&RunFilter { alert: Some(alert), ..RunFilter::default() }).await.unwrap();
    assert_eq!(runs.len(), 4);
    for run in replayed.iter().chain(&twice).filter_map(|it| it.run.as_ref()) {
        let run = runs.iter().find(|it| it.id == *run).unwrap();
        assert_eq!(run.replay.as_deref().map(|it| it.who.as_str()), Some("mina (api)"));
        assert_eq!(it.store.requesters(&run.id).await.unwrap(), ["mina"], "who asks for it does not agree to it");
    }
    let past = it.store.past_of(alert).await.unwrap().unwrap();
    assert_eq!((past.runs.len(), past.runs[0].0.id.clone(), past.replays.len()), (1, first, 3));
    let audited = it.store.audited(0, 100).await.unwrap();
    let entries: Vec<_> = audited.iter().filter(|entry| entry.what == "alert.replay").collect();
    assert_eq!((entries.len(), entries[0].who.as_str(), &entries[0].detail["reason"]), (2, "mina (api)", &json!("the plan was wrong")));
}

async fn a_replay_is_held_by_a_window_of_how_many_and_of_a_group_it_is_no_part(it: Fixture) {
    let concurrency = window::Concurrency { key: "k".to_owned(), max: 1, strategy: Strategy::Skip };
    let wait = Duration::from_mins(1);
    let group = window::Group { key: "g".to_owned(), wait, interval: wait };
    let windows = Windows { concurrency: Some(concurrency.clone()), group: Some(group), ..Windows::default() };
    let (alert, first) = answered(&it, &windows).await;
    let places = Windows { concurrency: Some(concurrency), ..Windows::default() };
    let replayed = it.store.replay(alert, vec![again(alert, places)], &mina()).await.unwrap().unwrap();
    assert!(replayed[0].run.is_none() && replayed[0].held.as_deref().is_some_and(|why| why.contains("concurrency")), "{replayed:?}");
    let alone = it.store.replay(alert, vec![again(alert, Windows::default())], &mina()).await.unwrap().unwrap();
    assert!(alone[0].run.is_some());
    let gathering = it.store.timeline(&first).await.unwrap().unwrap();
    assert_eq!((gathering.alerts, gathering.run.mode), (vec![alert], Mode::Enforce), "its own alert, once");
}

async fn nothing_is_replayed_about_which_nothing_was_decided(it: Fixture) {
    it.store.take_in(vec![arrival("a", "0")]).await.unwrap();
    let alert = it.store.undecided(1).await.unwrap()[0].number;
    for number in [alert, alert + 1] {
        assert_eq!(it.store.replay(number, vec![again(alert, Windows::default())], &mina()).await.unwrap(), None);
    }
    assert!(it.store.runs(&RunFilter::default()).await.unwrap().is_empty());
}
