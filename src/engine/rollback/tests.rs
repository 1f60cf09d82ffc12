use std::path::Path;

use serde_json::Value;

use super::*;
use crate::{
    engine::machine::{
        Next, next,
        tests::{after, described, record, run, start},
    },
    expression::Sandbox,
    run::{Ending, Ruling},
};

const PLAYBOOK: &str = "
playbook: p
mode: enforce
trigger: {alert: {match: {kind: x}}}
steps:
  - {id: one, action: http.request, with: {url: \"https://x/\"}, rollback: {action: http.request, with: {url: \"https://y/\"}, expires: 10m, after: 5m}}
  - {id: two, action: http.request, with: {url: \"https://x/\"}, rollback: {action: http.request, with: {url: \"https://y/\"}}}
  - {id: three, action: http.request, with: {url: \"https://x/\"}}
  - {id: look, action: subscription.get, with: {customer_tenant_id: \"${alert.id}\", subscription_id: \"${alert.id}\"}}
  - {id: tell, action: notify, with: {channels: [\"log:default\"], text: x}}
";

fn playbook() -> Playbook {
    Playbook::parse(&Sandbox::new(), Path::new("p.yaml"), PLAYBOOK).unwrap().0
}

fn of(id: &str, state: StepState) -> StepRecord {
    let is_over = state.is_final();
    StepRecord {
        action: "http.request".to_owned(),
        first_intent_at: Some(start()),
        precondition: Some(Value::Null),
        ended_at: is_over.then(start),
        ..record(id, Class::Unsafe, state)
    }
}

fn asked(id: &str, round: u32) -> StepRecord {
    let decided = Decided { ruling: Ruling::Undo, round, who: "mina".to_owned(), reason: "theirs".to_owned(), at: start() };
    StepRecord { decided: Some(decided), ..of(id, StepState::Succeeded) }
}

fn ended(state: RunState) -> RunRecord {
    RunRecord { state, ..run() }
}

/// Each step with why it cannot be undone, the round in which it can, if it can.
fn told(run: &RunRecord, steps: &[StepRecord], at: i64) -> String {
    let offers = offers(&playbook(), run, steps, after(at));
    let one = |offer: &Offer| format!("{}: {}", offer.step, offer.refused.clone().unwrap_or_else(|| format!("round {}", offer.round)));
    offers.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_was_done_is_offered_the_last_first_and_the_rest_says_why_not() {
    use StepState::{Failed, Indeterminate, Planned, Skipped, Succeeded};
    let done = ended(RunState::Done);
    let so_already = StepRecord { first_intent_at: None, precondition: None, ..of("two", Succeeded) };
    let read = StepRecord { action: "subscription.get".to_owned(), ..record("look", Class::Read, Succeeded) };
    let told_people = StepRecord { action: "notify".to_owned(), ..of("tell", Succeeded) };
    let both = || vec![of("one", Succeeded), of("two", Succeeded)];
    for (steps, run, at, expected) in [
        (both(), &done, 600, "two: round 1, one: round 1"),
        (both(), &done, 601, "two: round 1, one: that was possible until 2026-03-02T04:10:00Z"),
        (
            both(),
            &done,
            30 * 86_400 + 1,
            "two: that was possible until 2026-04-01T04:00:00Z, one: that was possible until 2026-03-02T04:10:00Z",
        ),
        (
            vec![of("one", Skipped), of("two", Failed), of("three", Succeeded), read, told_people],
            &done,
            0,
            "three: the playbook does not say how",
        ),
        (vec![so_already], &done, 0, "two: it was so already, and the run changed nothing"),
        (vec![of("two", Indeterminate)], &done, 0, "two: nobody knows whether it happened"),
        (both(), &ended(RunState::Failed), 0, "two: round 1, one: round 1"),
        (vec![of("two", Succeeded)], &ended(RunState::Indeterminate), 0, "two: a step of the run is in doubt, and must be settled first"),
        (vec![of("two", Succeeded)], &run(), 0, "two: the run is ready; what it did can be undone when it has ended"),
        (vec![asked("two", 1)], &run(), 0, "two: it is being undone"),
        (vec![asked("two", 1), of("two.rollback", StepState::Retrying)], &run(), 0, "two: it is being undone"),
        (vec![asked("two", 1), of("two.rollback", Succeeded)], &done, 0, "two: it was undone at 2026-03-02T04:00:00Z"),
        (vec![asked("two", 1), of("two.rollback", Indeterminate)], &done, 0, "two: nobody knows whether it was undone"),
        // What certainly did not happen may be tried again, under another name.
        (vec![asked("two", 1), of("two.rollback", Failed)], &done, 0, "two: round 2"),
        (vec![of("two", Succeeded), of("two.rollback", Failed)], &done, 0, "two: round 2"),
        (
            vec![asked("two", 2), of("two.rollback", Failed), of("two.rollback.2", Succeeded)],
            &done,
            0,
            "two: it was undone at 2026-03-02T04:00:00Z",
        ),
        // Its rollback was cancelled before it began.
        (vec![asked("two", 1)], &done, 0, "two: round 2"),
        (vec![asked("two", 1), StepRecord { first_intent_at: None, ..of("two.rollback", Planned) }], &done, 0, "two: round 2"),
    ] {
        let shown: Vec<_> = steps.iter().map(|it| format!("{} {}", it.id, it.state)).collect();
        assert_eq!(told(run, &steps, at), expected, "{shown:?} at {at}");
    }
}

#[test]
fn what_is_named_must_be_there_to_be_undone() {
    let offers =
        offers(&playbook(), &ended(RunState::Done), &[of("one", StepState::Succeeded), of("three", StepState::Succeeded)], start());
    let chosen = |names: &[&str]| choose(&offers, &names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    assert_eq!(chosen(&[]), Ok(vec![("one".to_owned(), 1)]));
    assert_eq!(chosen(&["one"]), Ok(vec![("one".to_owned(), 1)]));
    assert!(chosen(&["three"]).unwrap_err().contains("the playbook does not say how"));
    assert!(chosen(&["tow"]).unwrap_err().contains("`tow`"));
    assert!(choose(&[], &[]).unwrap_err().contains("nothing"));
}

#[test]
fn what_is_undone_by_itself_says_when_until_somebody_decides() {
    let mut done = StepRecord { returns_at: Some(after(300)), ..of("one", StepState::Succeeded) };
    let offer = |record: &StepRecord| offers(&playbook(), &ended(RunState::Done), std::slice::from_ref(record), start()).remove(0);
    assert_eq!(offer(&done).returns_at, Some(after(300)));
    let decided = Decided { ruling: Ruling::Keep, round: 0, who: "mina".to_owned(), reason: "a miner".to_owned(), at: start() };
    done.decided = Some(decided);
    let kept = offer(&done);
    assert_eq!((kept.returns_at, kept.kept.map(|it| it.who), kept.refused), (None, Some("mina".to_owned()), None));
}

/// A run that ended so, and was taken up again.
fn taken_up(state: RunState, reason: &str) -> RunRecord {
    RunRecord { ended_as: Some(Ending { state, reason: reason.to_owned() }), ..run() }
}

fn what_comes(run: &RunRecord, steps: &[StepRecord], at: i64) -> String {
    described(&next(&playbook(), run, steps, after(at)))
}

#[test]
fn a_run_that_is_taken_up_undoes_what_was_asked_the_last_first_and_ends_as_before() {
    use StepState::{Failed, Indeterminate, Succeeded};
    // A step that had not ended when the run did: it is not gone on with.
    let left = of("three", StepState::Retrying);
    let steps = |more: Vec<StepRecord>| [vec![asked("one", 1), asked("two", 1), left.clone()], more].concat();
    let done = taken_up(RunState::Done, "");
    let failed = taken_up(RunState::Failed, "step `three`: no");
    let cancelled = RunRecord { cancel: true, ..taken_up(RunState::Done, "") };
    let both = || vec![of("two.rollback", Succeeded), of("one.rollback", Succeeded)];
    for (run, more, at, expected) in [
        (&done, vec![], 1, "plan two.rollback"),
        (&done, vec![of("two.rollback", StepState::Executing)], 1, "interrupted two.rollback"),
        (&done, vec![of("two.rollback", Succeeded)], 1, "plan one.rollback"),
        // Whatever became of the one, the other is undone.
        (&done, vec![of("two.rollback", Failed)], 1, "plan one.rollback"),
        (&done, vec![of("two.rollback", Indeterminate)], 1, "plan one.rollback"),
        (&done, both(), 1, "end done rolled back: two, one"),
        (&failed, both(), 1, "end failed step `three`: no; rolled back: two, one"),
        (
            &done,
            vec![of("two.rollback", Failed), of("one.rollback", Succeeded)],
            1,
            "end failed step `two.rollback`: no reason is recorded",
        ),
        (
            &done,
            vec![of("two.rollback", Indeterminate), of("one.rollback", Succeeded)],
            1,
            "end indeterminate step `two.rollback`: no reason is recorded",
        ),
        (
            &done,
            vec![of("two.rollback", Succeeded)],
            601,
            "end failed step `one` is not undone: that was possible until 2026-03-02T04:10:00Z",
        ),
        // What was begun in time is seen to its end.
        (&done, vec![of("two.rollback", Succeeded), of("one.rollback", StepState::Verifying)], 601, "look one.rollback"),
        (&cancelled, vec![of("two.rollback", StepState::Executing)], 1, "interrupted two.rollback"),
        (&cancelled, vec![of("two.rollback", Succeeded)], 1, "end failed step `one` is not undone: that was cancelled"),
        (&taken_up(RunState::Done, ""), both(), 7_200, "end done rolled back: two, one"),
    ] {
        assert_eq!(what_comes(run, &steps(more), at), expected);
    }
}

#[test]
fn another_round_is_another_step_and_the_first_one_counts_no_more() {
    use StepState::{Failed, Succeeded};
    let done = taken_up(RunState::Done, "");
    let first = vec![asked("two", 2), of("two.rollback", Failed)];
    assert_eq!(what_comes(&done, &first, 1), "plan two.rollback.2");
    assert_eq!(what_comes(&done, &[first, vec![of("two.rollback.2", Succeeded)]].concat(), 1), "end done rolled back: two");
}

#[test]
fn what_a_person_keeps_is_not_undone_by_a_step_that_fails_either() {
    let text = PLAYBOOK.replace("{id: three, action: http.request,", "{id: three, on_error: rollback, action: http.request,");
    let playbook = Playbook::parse(&Sandbox::new(), Path::new("p.yaml"), &text).unwrap().0;
    let decided = Decided { ruling: Ruling::Keep, round: 0, who: "mina".to_owned(), reason: "a miner".to_owned(), at: start() };
    let kept = StepRecord { decided: Some(decided), ..of("two", StepState::Succeeded) };
    let steps = [of("one", StepState::Succeeded), kept, of("three", StepState::Failed)];
    let Next::Work(tasks, _) = next(&playbook, &run(), &steps, after(1)) else { panic!("nothing is undone") };
    assert_eq!(tasks[0].path(), "one.rollback");
}

#[test]
fn only_what_a_step_did_itself_is_undone_by_itself() {
    let playbook = playbook();
    let one = playbook.step("one").unwrap();
    let set = |mut record: StepRecord| {
        machine::set_return(one, &mut record);
        record.returns_at
    };
    assert_eq!(set(of("one", StepState::Succeeded)), Some(after(300)));
    assert_eq!(set(of("one", StepState::Failed)), None);
    assert_eq!(set(StepRecord { precondition: None, ..of("one", StepState::Succeeded) }), None);
}
