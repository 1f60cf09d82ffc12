//! A restored journal, on both databases: it is noticed, nothing is changed until somebody answers for it, and what follows then.

use jiff::{SignedDuration, Timestamp};

use super::{
    tests::{Fixture, intent, new_run, on_both},
    *,
};
use crate::run::{AttemptOutcome, Class, RunId, StepRecord, StepState};

on_both!(
    a_journal_that_has_come_less_far_than_its_mark_changes_nothing_until_somebody_answers_for_it,
    a_node_that_did_nothing_knows_what_the_others_did_and_one_that_knows_nothing_is_told,
    a_second_restore_of_the_same_backup_is_noticed_as_well,
    what_was_under_way_is_reviewed_and_its_run_is_read_again,
    after_a_restore_everything_destructive_needs_peoples_word_and_so_does_what_is_never_repeated_and_older,
);

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A program that acts on the journal, and keeps its marks there.
async fn program(it: &Fixture, folder: &Path) -> Store {
    it.another().await.marked_by(Mark::of("postgres://host/quell", folder).unwrap())
}

async fn begun(store: &Store) -> RunId {
    let run = new_run("contain");
    let id = run.id.clone();
    store.begin(run).await.unwrap();
    id
}

/// What the journal says to an intent on something that nobody has touched.
async fn intends(store: &Store, changed: impl FnOnce(Intent) -> Intent) -> Option<Held> {
    let run = begun(store).await;
    let intent = intent(&run, &format!("plan:{run}"), vec![]);
    store.intend(changed(intent)).await.unwrap()
}

/// As if the journal were a copy from before all of that.
async fn take_back(it: &Fixture, statement: &'static str) {
    sqlx::raw_sql(statement).execute(&it.store.readers).await.unwrap();
}

const TO_NOTHING: &str = "UPDATE mark SET intents = 0";

fn stays(_: &StepRecord, _: Timestamp) -> Option<StepRecord> {
    None
}

fn looked_at(step: &StepRecord, _: Timestamp) -> Option<StepRecord> {
    (!step.state.is_final()).then(|| StepRecord { state: StepState::Verifying, uncertain: true, ..step.clone() })
}

async fn noted(store: &Store, what: &str) -> usize {
    store.audited(0, 1_000).await.unwrap().iter().filter(|entry| entry.what == what).count()
}

async fn a_journal_that_has_come_less_far_than_its_mark_changes_nothing_until_somebody_answers_for_it(it: Fixture) {
    let folder = tempfile::tempdir().unwrap();
    let store = program(&it, folder.path()).await;
    assert!(!store.notice_restore().await.unwrap(), "the first start");
    assert_eq!(intends(&store, |it| it).await, None);
    assert!(!program(&it, folder.path()).await.notice_restore().await.unwrap(), "another start");
    take_back(&it, TO_NOTHING).await;
    assert_eq!(intends(&store, |it| it).await, Some(Held::Restored), "while it runs");
    assert_eq!(intends(&store, |it| Intent { tells: true, ..it }).await, None, "people are told");
    let again = program(&it, folder.path()).await;
    assert!(again.notice_restore().await.unwrap(), "after a start");
    assert_eq!(intends(&again, |it| it).await, Some(Held::Restored));
    assert_eq!(noted(&store, "journal.restored").await, 1);

    again.after_restore(stays, DAY).await.unwrap();
    for store in [&again, &store] {
        assert!(!store.notice_restore().await.unwrap());
        assert_eq!(intends(store, |it| it).await, None);
    }
    assert_eq!(noted(&store, "journal.after_restore").await, 1);
}

async fn a_node_that_did_nothing_knows_what_the_others_did_and_one_that_knows_nothing_is_told(it: Fixture) {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (busy, idle) = (program(&it, folders[0].path()).await, program(&it, folders[1].path()).await);
    assert_eq!(intends(&busy, |it| it).await, None);
    assert!(!idle.notice_restore().await.unwrap(), "it looks now and then");
    take_back(&it, TO_NOTHING).await;
    assert!(program(&it, folders[1].path()).await.notice_restore().await.unwrap());
    let new = program(&it, folders[2].path()).await;
    assert_eq!(intends(&new, |it| it).await, Some(Held::Restored));
    new.after_restore(stays, DAY).await.unwrap();
    assert_eq!(intends(&busy, |it| it).await, None, "what somebody answered for on one node holds for all");
}

async fn a_second_restore_of_the_same_backup_is_noticed_as_well(it: Fixture) {
    let folder = tempfile::tempdir().unwrap();
    let store = program(&it, folder.path()).await;
    let (id,): (String,) = sqlx::query_as("SELECT id FROM mark").fetch_one(&it.store.readers).await.unwrap();
    assert_eq!(intends(&store, |it| it).await, None);
    take_back(&it, TO_NOTHING).await;
    store.after_restore(stays, DAY).await.unwrap();
    assert_eq!(intends(&store, |it| it).await, None);
    let statement = "UPDATE mark SET intents = 0, id = $1";
    sqlx::query(statement).bind(id).execute(&it.store.readers).await.unwrap();
    assert!(program(&it, folder.path()).await.notice_restore().await.unwrap());
}

async fn what_was_under_way_is_reviewed_and_its_run_is_read_again(it: Fixture) {
    let run = begun(&it.store).await;
    assert_eq!(it.store.intend(intent(&run, "plan:1", vec![])).await.unwrap(), None);
    let recovered = it.store.after_restore(looked_at, DAY).await.unwrap();
    assert_eq!(recovered.reviewed, 1);
    let timeline = it.store.timeline(&run).await.unwrap().unwrap();
    assert_eq!((timeline.steps[0].state, timeline.steps[0].uncertain), (StepState::Verifying, true));
    assert_eq!(timeline.attempts[0].1.outcome, Some(AttemptOutcome::Unknown));
    assert_eq!(it.store.record(Change::of(timeline.run)).await.unwrap(), Standing::Touched);
}

async fn after_a_restore_everything_destructive_needs_peoples_word_and_so_does_what_is_never_repeated_and_older(it: Fixture) {
    let store = &it.store;
    let heed = |is_destructive, approved_at| Some(Heed { is_destructive, stops: vec![], starts_nothing: vec![], lasts: DAY, approved_at });
    let old = begun(store).await;
    let before = Timestamp::now();
    let Recovered { hold, until, .. } = store.after_restore(stays, DAY).await.unwrap();
    assert!(until > before + SignedDuration::from_hours(23));
    let is_held = |answer: Option<Held>| matches!(answer, Some(Held::OnHold(it)) if it.number == hold && it.is_on_everything());
    assert!(is_held(intends(store, |it| Intent { heed: heed(true, None), ..it }).await));
    assert!(is_held(intends(store, |it| Intent { heed: heed(true, Some(before)), ..it }).await), "agreed to before");
    let later = Some(Timestamp::now() + SignedDuration::from_secs(1));
    assert_eq!(intends(store, |it| Intent { heed: heed(true, later), ..it }).await, None, "agreed to since");
    assert_eq!(intends(store, |it| it).await, None, "what is not destructive");

    let never_repeated = |intent: Intent| {
        let step = StepRecord { class: Class::Unsafe, ..intent.step };
        Intent { heed: heed(false, None), step, ..intent }
    };
    assert_eq!(intends(store, never_repeated).await, None, "what answers something new");
    assert!(is_held(store.intend(never_repeated(intent(&old, "other", vec![]))).await.unwrap()), "what may have been done before");
    assert!(store.release_hold(hold, ("mina", "looked at all of it")).await.unwrap());
    assert_eq!(intends(store, |it| Intent { heed: heed(true, None), ..it }).await, None);
}
