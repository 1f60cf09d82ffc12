//! Holds, on both databases: what is seen of what we stopped, and what stands against an intent.

use jiff::{SignedDuration, Timestamp};

use super::{
    tests::{Fixture, intent, new_run, on_both, step},
    *,
};
use crate::run::{RunId, RunState, StepState};

on_both!(
    what_we_stopped_and_somebody_started_again_is_held_once_until_people_agree_or_release_it,
    what_we_started_again_ourselves_is_nobodys_will,
    what_cannot_have_started_it_again_does_not_hide_that_a_person_did,
    a_look_at_what_we_stopped_places_the_hold_before_anybody_is_asked,
    an_operators_hold_binds_whatever_mentions_the_identifier,
);

const PLAN: &str = "plan:AB-12";

fn heed(approved_at: Option<Timestamp>) -> Heed {
    let (starts_nothing, lasts) = (vec!["entra.revoke_sessions", "entra.confirm_compromised"], SignedDuration::from_hours(24));
    Heed { is_destructive: true, stops: vec!["subscription.suspend"], starts_nothing, lasts, approved_at }
}

async fn begun(it: &Fixture, playbook: &str) -> RunId {
    let run = new_run(playbook);
    let id = run.id.clone();
    it.store.begin(run).await.unwrap();
    id
}

/// A run that has done something to the plan.
async fn acted(it: &Fixture, playbook: &str, action: &str) {
    let run = begun(it, playbook).await;
    let mut intent = intent(&run, PLAN, vec![]);
    action.clone_into(&mut intent.step.action);
    assert_eq!(it.store.intend(intent.clone()).await.unwrap(), None);
    let ended_at = Some(Timestamp::now());
    let done = crate::run::StepRecord { state: StepState::Succeeded, precondition: Some("seen".into()), ended_at, ..intent.step };
    let record = it.store.progress(&run).await.unwrap().unwrap().run;
    let record = crate::run::RunRecord { state: RunState::Done, ended_at, ..record };
    it.store.record(Change { step: Some(done), ..Change::of(record) }).await.unwrap();
}

/// What a further run is told that wants to suspend the plan.
async fn suspending(it: &Fixture, playbook: &str, approved_at: Option<Timestamp>) -> Option<Held> {
    let run = begun(it, playbook).await;
    let mut intent = intent(&run, PLAN, vec![]);
    "subscription.suspend".clone_into(&mut intent.step.action);
    let held = it.store.intend(Intent { heed: Some(heed(approved_at)), ..intent }).await.unwrap();
    it.store.give_back(&run, PLAN).await;
    held
}

impl Store {
    /// Lets a run end, whatever it has begun.
    async fn give_back(&self, run: &RunId, target: &str) {
        let record = self.progress(run).await.unwrap().unwrap().run;
        let record = crate::run::RunRecord { state: RunState::Failed, ended_at: Some(Timestamp::now()), ..record };
        let failed = step(StepState::Failed, target);
        self.record(Change { step: Some(failed), ..Change::of(record) }).await.unwrap();
    }
}

async fn what_we_stopped_and_somebody_started_again_is_held_once_until_people_agree_or_release_it(it: Fixture) {
    assert_eq!(suspending(&it, "first", None).await, None, "nobody touched it");
    acted(&it, "contain", "subscription.suspend").await;
    let before = Timestamp::now();
    let Some(Held::OnHold(hold)) = suspending(&it, "again", None).await else { panic!("it is not held") };
    assert_eq!((hold.target.as_str(), hold.cause), ("AB-12", HoldCause::Reactivated));
    assert!(hold.reason.contains("somebody started it again") && hold.undone.is_some(), "{hold:?}");
    assert!(matches!(suspending(&it, "asked before", Some(before)).await, Some(Held::OnHold(_))), "who agreed before did not know");
    assert_eq!(suspending(&it, "asked since", Some(Timestamp::now())).await, None);
    assert_eq!(it.store.holds(None).await.unwrap().len(), 1, "it is placed once");
    assert!(it.store.release_hold(hold.number, ("mina", "it was a drill")).await.unwrap());
    assert!(!it.store.release_hold(hold.number, ("mina", "again")).await.unwrap());
    assert_eq!(suspending(&it, "released", None).await, None, "and does not come back");
    let acts: Vec<_> = it.store.audited(0, 10).await.unwrap().into_iter().map(|act| (act.who, act.what)).collect();
    let expected = [("quell", "hold.add"), ("mina", "hold.release")];
    assert_eq!(acts, expected.map(|(who, what)| (who.to_owned(), what.to_owned())));
}

async fn what_we_started_again_ourselves_is_nobodys_will(it: Fixture) {
    acted(&it, "contain", "subscription.suspend").await;
    acted(&it, "undo", "subscription.reactivate").await;
    assert_eq!(suspending(&it, "again", None).await, None);
    it.store.seen_at_work(vec![PLAN.to_owned()], heed(None), Timestamp::now()).await.unwrap();
    assert_eq!(it.store.holds(None).await.unwrap(), []);
}

async fn what_cannot_have_started_it_again_does_not_hide_that_a_person_did(it: Fixture) {
    acted(&it, "contain", "subscription.suspend").await;
    acted(&it, "sign_out", "entra.revoke_sessions").await;
    acted(&it, "mark", "entra.confirm_compromised").await;
    assert!(matches!(suspending(&it, "again", None).await, Some(Held::OnHold(_))), "it is at work, and we did not start it");
}

async fn a_look_at_what_we_stopped_places_the_hold_before_anybody_is_asked(it: Fixture) {
    let before = Timestamp::now();
    acted(&it, "contain", "subscription.suspend").await;
    it.store.seen_at_work(vec![PLAN.to_owned()], heed(None), before).await.unwrap();
    assert_eq!(it.store.holds(None).await.unwrap(), [], "it looked before it was stopped");
    let off = Heed { lasts: SignedDuration::ZERO, ..heed(None) };
    it.store.seen_at_work(vec![PLAN.to_owned()], off, Timestamp::now()).await.unwrap();
    assert_eq!(it.store.holds(None).await.unwrap(), [], "the site leaves it to people");
    it.store.seen_at_work(vec!["plan:other".to_owned(), PLAN.to_owned()], heed(None), Timestamp::now()).await.unwrap();
    assert_eq!(it.store.holds(Some(Timestamp::now())).await.unwrap().len(), 1);
    assert_eq!(suspending(&it, "asked since", Some(Timestamp::now())).await, None);
    assert!(matches!(suspending(&it, "by itself", None).await, Some(Held::OnHold(_))));
}

async fn an_operators_hold_binds_whatever_mentions_the_identifier(it: Fixture) {
    let number = it.store.hold("{ab12}", SignedDuration::from_hours(1), ("mina", "a drill runs there")).await.unwrap();
    let Some(Held::OnHold(hold)) = suspending(&it, "contain", None).await else { panic!("it is not held") };
    assert_eq!((hold.number, hold.reason.as_str(), hold.cause), (number, "a drill runs there", HoldCause::Marked));
    let run = begun(&it, "tell").await;
    assert_eq!(it.store.intend(intent(&run, PLAN, vec![])).await.unwrap(), None, "what stops nobody is not held");
    let ended = Timestamp::now().checked_add(SignedDuration::from_hours(2)).unwrap();
    assert_eq!(it.store.holds(Some(ended)).await.unwrap(), []);
}
