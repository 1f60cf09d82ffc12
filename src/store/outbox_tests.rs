//! Tests: messages are written with what they tell of, told at a bearable pace, and kept until it is known what became of them.

use jiff::Timestamp;
use serde_json::json;

use super::{
    tests::{Fixture, arrival, on_both, step},
    window_tests::{answered, at, read},
    *,
};
use crate::{
    clock::Clock,
    news::{News, Tell, Topic},
    run::{Mode, RunRecord, RunState, StepState},
    window::Windows,
};

fn tell(of: &[Topic], to: &str) -> Tell {
    Tell { of: of.to_vec(), to: vec![to.to_owned()] }
}

/// A journal at minute 0 that tells `log:default` everything.
fn telling(it: &Fixture) -> (Store, Clock) {
    let clock = Clock::standing_at(at(0));
    (it.store.clone().dated_by(clock.clone()).with_outlet(Outlet::new(&[tell(Topic::ALL, "log:default")], false)), clock)
}

/// What is due, as kind and number of occurrences, and taken with that.
async fn due(store: &Store) -> Vec<(&'static str, i64)> {
    store.take_outgoing(100).await.unwrap().iter().map(|it| (it.news.kind(), it.times)).collect()
}

fn malformed(count: usize) -> Vec<Arrival> {
    let one = Rejected { reason: "malformed", detail: "not an alert: EOF\0".to_owned(), body: b"{".to_vec() };
    vec![Arrival::Rejected(one); count]
}

async fn ten_thousand_malformed_messages_are_one_message_and_what_comes_later_is_another(it: Fixture) {
    let (store, clock) = telling(&it);
    for _ in 0..50 {
        store.take_in(malformed(200)).await.unwrap();
    }
    store.take_in(vec![arrival("a", "0")]).await.unwrap();
    assert!(due(&store).await.is_empty(), "a burst is let come to its end");
    clock.advance_to(at(15));
    assert_eq!(due(&store).await, [("quarantined", 10_000)]);
    store.take_in(malformed(3)).await.unwrap();
    store.take_in(malformed(4)).await.unwrap();
    clock.advance_to(at(15 * 60));
    assert!(due(&store).await.iter().all(|(_, times)| *times == 10_000), "the first is not known to be delivered; the others wait");
    clock.advance_to(at(31 * 60));
    assert!(due(&store).await.contains(&("quarantined", 7)));
}

async fn the_end_of_a_run_that_needs_a_person_is_told_and_no_other(it: Fixture) {
    let (store, _) = telling(&it);
    let mut ends = Vec::new();
    for (id, state, mode) in [
        ("a", RunState::Done, Mode::Enforce),
        ("b", RunState::Failed, Mode::Shadow),
        ("c", RunState::Failed, Mode::Enforce),
        ("d", RunState::Indeterminate, Mode::Enforce),
        ("e", RunState::Rejected, Mode::Enforce),
    ] {
        let run = answered(&store, id, &Windows::default()).await.unwrap();
        let run = RunRecord { state, mode, reason: format!("because of {id}"), ended_at: Some(at(0)), ..read(&store, &run).await };
        assert_eq!(store.record(Change::of(run.clone())).await.unwrap(), Standing::Ours);
        assert_eq!(store.record(Change::of(run.clone())).await.unwrap(), Standing::Ended, "who lost a run tells nothing of it");
        ends.push(run);
    }
    let taken = store.take_outgoing(100).await.unwrap();
    let run = |at: usize| {
        let RunRecord { id, alert, playbook, reason, .. } = ends[at].clone();
        crate::news::RunNews { run: id, playbook, alert, reason }
    };
    let told: Vec<_> = taken.into_iter().map(|it| it.news).collect();
    assert_eq!(told, [News::RunFailed(run(2)), News::RunInDoubt(run(3))]);
}

async fn a_step_that_is_held_back_is_told_once_whether_or_not_its_run_ends_with_it(it: Fixture) {
    let held = StepState::Failed;
    for (ends, told) in [(RunState::Ready, "step_held"), (RunState::Failed, "run_failed")] {
        let (store, _) = telling(&it);
        let run = answered(&store, told, &Windows::default()).await.unwrap();
        let run = RunRecord { state: ends, ended_at: ends.is_final().then(|| at(0)), ..read(&store, &run).await };
        store.record(Change { step: Some(step(held, "")), held: true, ..Change::of(run) }).await.unwrap();
        assert_eq!(due(&store).await, [(told, 1)]);
    }
}

async fn only_those_are_told_whom_the_site_names_and_nobody_by_default(it: Fixture) {
    it.store.stop_actions("mina", "a test").await.unwrap();
    it.store.resume_actions("mina", "a test").await.unwrap();
    it.store.take_in(malformed(1)).await.unwrap();
    let rows: (i64,) = sqlx::query_as("SELECT count(*) FROM outbox").fetch_one(&it.store.readers).await.unwrap();
    assert_eq!(rows, (0,));
    let tell =
        [tell(&[Topic::ActionsStopped, Topic::RunFailed], "slack:a"), tell(&[Topic::Quarantined], "slack:b"), tell(Topic::ALL, "slack:a")];
    let store = it.store.clone().with_outlet(Outlet::new(&tell, false));
    store.stop_actions("mina", "too many").await.unwrap();
    store.stop_actions("jun", "once more").await.unwrap();
    store.resume_actions("mina", "found it").await.unwrap();
    let told: Vec<_> = store.take_outgoing(9).await.unwrap().into_iter().map(|it| (it.channel, it.news)).collect();
    let (who, of) = ("mina".to_owned(), |reason: &str| reason.to_owned());
    let stopped = News::ActionsStopped { who: who.clone(), reason: of("too many") };
    let resumed = News::ActionsResumed { who, reason: of("found it") };
    assert_eq!(told, [("slack:a".to_owned(), stopped), ("slack:a".to_owned(), resumed)]);
}

async fn a_switch_that_is_thrown_by_hand_is_noted_once_and_one_that_a_command_threw_by_that(it: Fixture) {
    let (store, _) = telling(&it);
    let by_hand = Some(("somebody", "wait"));
    for thrown in [None, by_hand, by_hand, None, None] {
        store.note_stop_file("f", thrown).await.unwrap();
    }
    assert_eq!(due(&store).await, [("actions_stopped", 1), ("actions_resumed", 1)]);
    store.stop_actions("mina", "a test").await.unwrap();
    store.note_stop_file("f", Some(("mina", "a test"))).await.unwrap();
    store.resume_actions("mina", "a test").await.unwrap();
    store.note_stop_file("f", None).await.unwrap();
    store.note_stop_file("f", by_hand).await.unwrap();
    store.resume_actions("mina", "a test").await.unwrap();
    store.note_stop_file("f", None).await.unwrap();
    let what: Vec<_> = store.audited(0, 20).await.unwrap().into_iter().map(|entry| format!("{}: {}", entry.who, entry.what)).collect();
    assert_eq!(
        what,
        [
            "somebody (the file `f`): actions.stop",
            "somebody (the file `f`): actions.resume",
            "mina: actions.stop",
            "mina: actions.resume",
            "somebody (the file `f`): actions.stop",
            "mina: actions.resume",
        ]
    );
    assert_eq!(due(&store).await.len(), 4);
}

async fn an_error_is_told_once_for_a_text_and_five_of_a_text_are(it: Fixture) {
    let (store, _) = telling(&it);
    let mut failures: Vec<(&str, String)> = (0..3).map(|value| ("first", format!("`{value}` is no number"))).collect();
    failures.push(("second", "`7` is no number".to_owned()));
    failures.extend(["a", "b", "c", "d", "e", "f", "g"].map(|word| ("third", format!("error {word}"))));
    for (number, (hash, detail)) in (1..).zip(failures) {
        store.take_in(vec![arrival(&number.to_string(), "0")]).await.unwrap();
        let verdict = Verdict::Error { playbook: "p".to_owned(), hash: hash.to_owned(), detail };
        store.decide(vec![Decision { alert: number, verdicts: vec![verdict] }]).await.unwrap();
    }
    let told: Vec<_> = store.take_outgoing(100).await.unwrap().into_iter().map(|it| it.news).collect();
    let first = News::PlaybookError {
        playbook: "p".to_owned(),
        occasion: "alert:1".to_owned(),
        detail: "`0` is no number".to_owned(),
        since: at(0),
    };
    assert_eq!((told.len(), &told[0]), (7, &first));
}

async fn a_message_is_kept_until_it_is_delivered_or_given_up(it: Fixture) {
    let (store, clock) = telling(&it);
    store.stop_actions("mina", "a test").await.unwrap();
    let first = store.take_outgoing(9).await.unwrap().remove(0);
    assert!(due(&store).await.is_empty(), "whoever takes one has it for a while");
    clock.advance_to(at(120));
    let second = store.take_outgoing(9).await.unwrap().remove(0);
    assert_eq!((&second.id, second.attempts), (&first.id, 1), "a repeat has the same name");
    let again = Fate::Again { at: at(300), why: "busy".to_owned() };
    store.outgoing_sent(vec![(second.id.clone(), again)]).await.unwrap();
    clock.advance_to(at(299));
    assert_eq!((due(&store).await.len(), store.outgoing_waiting().await.unwrap()), (0, 0));
    clock.advance_to(at(300));
    assert_eq!((store.outgoing_waiting().await.unwrap(), due(&store).await.len()), (1, 1));
    store.outgoing_sent(vec![(first.id.clone(), Fate::GivenUp { why: "gone".to_owned() })]).await.unwrap();
    clock.advance_to(Timestamp::MAX);
    assert!(due(&store).await.is_empty());
    let why: (String,) = sqlx::query_as("SELECT error FROM outbox").fetch_one(&store.readers).await.unwrap();
    assert_eq!(why.0, "gone", "why it was given up stays");
}

async fn a_message_that_cannot_be_read_stands_in_nobodys_way(it: Fixture) {
    let (store, _) = telling(&it);
    store.stop_actions("mina", "a test").await.unwrap();
    sqlx::query("UPDATE outbox SET payload = '{}'").execute(&store.readers).await.unwrap();
    store.resume_actions("mina", "a test").await.unwrap();
    assert_eq!(due(&store).await, [("actions_resumed", 1)]);
    assert_eq!(store.outgoing_waiting().await.unwrap(), 0);
}

on_both! {
    ten_thousand_malformed_messages_are_one_message_and_what_comes_later_is_another,
    the_end_of_a_run_that_needs_a_person_is_told_and_no_other,
    a_step_that_is_held_back_is_told_once_whether_or_not_its_run_ends_with_it,
    only_those_are_told_whom_the_site_names_and_nobody_by_default,
    a_switch_that_is_thrown_by_hand_is_noted_once_and_one_that_a_command_threw_by_that,
    an_error_is_told_once_for_a_text_and_five_of_a_text_are,
    a_message_is_kept_until_it_is_delivered_or_given_up,
    a_message_that_cannot_be_read_stands_in_nobodys_way,
}

#[tokio::test]
async fn messages_of_an_older_version_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("quell.db").display());
    let old = sqlx::SqlitePool::connect(&format!("{url}?mode=rwc")).await.unwrap();
    for version in [include_str!("schema.sql"), include_str!("upgrade_2.sql"), include_str!("upgrade_3.sql"), include_str!("upgrade_4.sql")]
    {
        sqlx::raw_sql(version).execute(&old).await.unwrap();
    }
    let rows = "
        PRAGMA foreign_keys = OFF;
        INSERT INTO approval VALUES ('q', 'r', 'ask', 1, 'h', '{}', 'open', '', 1, 2, NULL);
        INSERT INTO approval_notice VALUES ('n', 'q', 'opened', 'slack:a', 7, 3, 'busy', NULL), ('m', 'q', 'escalated', 'slack:a', 6, 1, '', 9);
        INSERT INTO playbook_error VALUES ('p', 'h', 'told', 'd', 1, 1, NULL, 1, '[]'), ('p', 'h', 'untold', 'd', 1, 1, 1, 0, '[]');
        DELETE FROM approval WHERE FALSE;
        PRAGMA user_version = 4; PRAGMA application_id = 1366648172;";
    let whole =
        "INSERT INTO alert VALUES (1, 'k', 'a', 's', '0', 0, 'm', 'high', 'active', 't', 'c', 's', 1, 2, 3, 4, 1, 'decided', x'7b7d');
        INSERT INTO playbook_text VALUES ('h', 'p', 'x', 5, '{}');
        INSERT INTO run (id, occasion, playbook, playbook_hash, mode, inputs, vars, state, reason, created_at, due_at)
            VALUES ('r', 'manual:1', 'p', 'h', 'enforce', '{}', '{}', 'waiting', '', 6, 7);";
    sqlx::raw_sql(whole).execute(&old).await.unwrap();
    sqlx::raw_sql(rows).execute(&old).await.unwrap();
    old.close().await;

    let store = Store::open(&url, &Tasks::default(), None).await.unwrap();
    let taken = store.take_outgoing(9).await.unwrap();
    let [message] = taken.as_slice() else { panic!("{taken:?}") };
    assert_eq!((message.id.as_str(), message.channel.as_str(), message.attempts, message.times), ("n", "slack:a", 3, 1));
    assert_eq!(json!(message.news), json!({"news": "approval", "approval": "q", "turn": "opened"}));
    let known: Vec<(String,)> = sqlx::query_as("SELECT error FROM playbook_error").fetch_all(&store.readers).await.unwrap();
    assert_eq!(known, [("told".to_owned(),)], "what nobody was told of is told when it comes up again");
}
