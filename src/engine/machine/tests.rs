use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    actions::FailureKind,
    expression::Sandbox,
    playbook::Playbook,
    run::{Mode, RunId, RunRecord},
};

const PLAYBOOK: &str = "
playbook: p
mode: enforce
timeout: 1h
trigger: {alert: {match: {kind: x}}}
steps:
  - {id: first, action: log, with: {message: a}, retry: {max_attempts: 3, delay: 1s}}
  - {id: second, action: log, with: {message: b}, on_error: continue}
  - {id: third, action: log, with: {message: c}}
on_error:
  - {id: page, action: log, with: {message: d}}
  - {id: page_again, action: log, with: {message: e}}
";

fn playbook() -> Playbook {
    Playbook::parse(&Sandbox::new(), Path::new("p.yaml"), PLAYBOOK).expect("a good playbook").0
}

pub(in crate::engine) fn start() -> Timestamp {
    "2026-03-02T04:00:00Z".parse().unwrap()
}

pub(in crate::engine) fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

pub(in crate::engine) fn run() -> RunRecord {
    RunRecord {
        id: RunId("r".to_owned()),
        alert: Some(1),
        inputs: Value::Null,
        playbook: "p".to_owned(),
        playbook_hash: "h".to_owned(),
        mode: Mode::Enforce,
        vars: json!({}),
        state: RunState::Ready,
        reason: String::new(),
        created_at: start(),
        due_at: start(),
        ended_at: None,
        resumed_at: None,
        ended_as: None,
        cancel: false,
        replay: None,
    }
}

pub(in crate::engine) fn record(id: &str, class: Class, state: StepState) -> StepRecord {
    StepRecord {
        id: id.to_owned(),
        within: "p".to_owned(),
        position: 0,
        action: "log".to_owned(),
        class,
        state,
        plan: Value::Null,
        output: Value::Null,
        error: None,
        request_id: Uuid::nil(),
        precondition: None,
        target: None,
        attempts: 0,
        uncertain: false,
        first_intent_at: None,
        due_at: None,
        started_at: start(),
        ended_at: None,
        refused_at: None,
        returns_at: None,
        decided: None,
    }
}

pub(in crate::engine) fn described(next: &Next<'_>) -> String {
    let doing = |task: &Task<'_>| {
        let word = match &task.doing {
            Doing::Plan => "plan",
            Doing::Attempt(_) => "attempt",
            Doing::Interrupted(_) => "interrupted",
            Doing::Look(_) => "look",
            Doing::Close(record) => &format!("close as {}", record.state),
            Doing::Return(_) => "return",
        };
        format!("{word} {}", task.path())
    };
    match next {
        Next::Work(tasks, _) => tasks.iter().map(doing).collect::<Vec<_>>().join(", "),
        Next::Wait(until) => format!("wait {}", until.duration_since(start()).as_secs()),
        Next::End(state, reason) => format!("end {state} {reason}").trim_end().to_owned(),
    }
}

/// Steps with their states and when they are due, the second it is asked, and what comes next.
type Case<'a> = (&'a [(&'a str, Standing)], i64, &'a str);
type Standing = (StepState, Option<i64>);

#[test]
fn what_comes_next_follows_from_what_is_recorded() {
    use StepState::{Confirming, Executing, Failed, Indeterminate, Planned, Retrying, Shadowed, Skipped, Succeeded, Verifying};
    const fn due(state: StepState, seconds: i64) -> Standing {
        (state, Some(seconds))
    }
    const fn now(state: StepState) -> Standing {
        (state, None)
    }
    let cases: &[Case<'_>] = &[
        (&[], 0, "plan first"),
        (&[("first", now(Planned))], 0, "attempt first"),
        (&[("first", due(Retrying, 10))], 5, "wait 10"),
        (&[("first", due(Retrying, 10))], 10, "attempt first"),
        (&[("first", now(Executing))], 0, "interrupted first"),
        (&[("first", due(Confirming, 10))], 5, "wait 10"),
        (&[("first", due(Confirming, 10))], 11, "look first"),
        (&[("first", due(Verifying, 10))], 5, "wait 10"),
        (&[("first", now(Verifying))], 5, "look first"),
        (&[("first", now(Succeeded))], 0, "plan second"),
        (&[("first", now(Skipped)), ("second", now(Failed))], 0, "plan third"),
        (&[("first", now(Shadowed)), ("second", now(Skipped)), ("third", now(Succeeded))], 0, "end done"),
        (&[("first", now(Failed))], 0, "plan page"),
        (&[("first", now(Failed)), ("page", now(Failed))], 0, "plan page_again"),
        (
            &[("first", now(Failed)), ("page", now(Failed)), ("page_again", now(Succeeded))],
            0,
            "end failed step `first`: no reason is recorded",
        ),
        // Not even `on_error: continue` goes on over what nobody knows.
        (&[("first", now(Succeeded)), ("second", now(Indeterminate))], 0, "plan page"),
        (
            &[("first", now(Indeterminate)), ("page", now(Succeeded)), ("page_again", now(Succeeded))],
            0,
            "end indeterminate step `first`: no reason is recorded",
        ),
        // Time ran out: what was not begun is not begun, and what may be under way is seen to its end.
        (&[("first", now(Succeeded))], 3_600, "plan page"),
        (&[("first", due(Retrying, 4_000))], 3_600, "plan page"),
        (&[("first", now(Executing))], 3_600, "interrupted first"),
        (&[("first", due(Confirming, 4_000))], 3_600, "wait 4000"),
    ];
    let playbook = playbook();
    for (steps, at, expected) in cases {
        let records: Vec<_> =
            steps.iter().map(|(id, (state, due))| StepRecord { due_at: due.map(after), ..record(id, Class::Verified, *state) }).collect();
        assert_eq!(described(&next(&playbook, &run(), &records, after(*at))), *expected, "{steps:?} at {at}");
    }
}

#[test]
fn a_doubtful_step_under_on_error_is_not_passed_over() {
    let failed = StepRecord { error: Some("no".to_owned()), ..record("first", Class::Read, StepState::Failed) };
    let doubtful = StepRecord { error: Some("lost".to_owned()), ..record("page", Class::Unsafe, StepState::Indeterminate) };
    let told = record("page_again", Class::Idempotent, StepState::Succeeded);
    assert_eq!(described(&next(&playbook(), &run(), &[failed, doubtful, told], start())), "end indeterminate step `page`: lost");
}

#[test]
fn what_may_have_happened_is_not_called_failed_because_it_may_not_be_repeated() {
    for (uncertain, state, expected) in [
        (false, StepState::Planned, StepState::Failed),
        (false, StepState::Retrying, StepState::Failed),
        (true, StepState::Retrying, StepState::Indeterminate),
        (false, StepState::Executing, StepState::Indeterminate),
        (false, StepState::Confirming, StepState::Indeterminate),
    ] {
        let mut step = StepRecord { uncertain, ..record("s", Class::Verified, state) };
        refuse(&mut step, "held back", start());
        assert_eq!(step.state, expected, "{state} {uncertain}");
    }
}

#[test]
fn what_was_seen_is_forgotten_unless_an_attempt_may_have_changed_it() {
    for (uncertain, expected) in [(false, None), (true, Some(json!("seen")))] {
        let mut step =
            StepRecord { attempts: 1, uncertain, precondition: Some(json!("seen")), ..record("s", Class::Verified, StepState::Executing) };
        let busy = Failure::new(FailureKind::NotDone, "429");
        after_attempt(&mut step, &RetryPolicy::default(), Err(busy), Moment { now: start(), jitter: 0.5 });
        assert_eq!(step.precondition, expected);
    }
}

#[test]
fn a_target_that_is_as_wanted_was_brought_there_by_the_step_unless_all_its_attempts_did_nothing() {
    let at = Moment { now: after(60), jitter: 0.5 };
    let tried = |uncertain, state| StepRecord {
        attempts: 1,
        uncertain,
        first_intent_at: Some(start()),
        precondition: Some(json!("seen")),
        ..record("s", Class::Verified, state)
    };
    for (uncertain, state, acted) in
        [(true, StepState::Verifying, true), (false, StepState::Confirming, true), (false, StepState::Verifying, false)]
    {
        let mut step = tried(uncertain, state);
        after_look(&mut step, &RetryPolicy::default(), Ok(ReadBack::Reached(json!({}))), at);
        assert_eq!((step.state, step.has_acted()), (StepState::Succeeded, acted), "{uncertain} {state}");
        assert_eq!(step.first_intent_at, Some(start()), "limits count it in any case");
    }
    let mut step = tried(false, StepState::Executing);
    after_attempt(&mut step, &RetryPolicy::default(), Err(Failure::new(FailureKind::NotDone, "429")), at);
    already_done(&mut step, json!({}), after(90));
    assert_eq!((step.state, step.has_acted(), step.error), (StepState::Succeeded, false, None));
}

#[test]
fn what_cannot_be_told_yet_is_looked_at_again_until_it_has_taken_too_long() {
    let mut step = StepRecord { attempts: 1, first_intent_at: Some(start()), ..record("s", Class::Verified, StepState::Confirming) };
    let pending = || Ok(ReadBack::CannotTell("pending".to_owned()));
    after_look(&mut step, &RetryPolicy::default(), pending(), Moment { now: after(60), jitter: 0.5 });
    assert_eq!((step.state, step.due_at.is_some()), (StepState::Confirming, true));
    after_look(&mut step, &RetryPolicy::default(), pending(), Moment { now: after(1_800), jitter: 0.5 });
    assert_eq!(step.state, StepState::Indeterminate);
}

#[test]
fn what_was_accepted_and_came_to_nothing_has_failed_unless_another_attempt_may_be_on_its_way() {
    for (uncertain, state) in [(false, StepState::Failed), (true, StepState::Indeterminate)] {
        let before = record("s", Class::Verified, StepState::Confirming);
        let mut step = StepRecord { attempts: 1, uncertain, first_intent_at: Some(start()), ..before };
        let seen = Ok(ReadBack::Failed("no host answered".to_owned()));
        after_look(&mut step, &RetryPolicy::default(), seen, Moment { now: after(60), jitter: 0.5 });
        assert_eq!(step.state, state);
        assert!(step.error.unwrap().contains("no host answered"));
    }
}

#[test]
fn a_run_that_cannot_be_gone_on_with_is_failed_only_if_nothing_can_have_happened() {
    use StepState::{Confirming, Executing, Failed, Indeterminate, Planned, Retrying, Shadowed, Skipped, Succeeded, Verifying};
    let ending = |state, uncertain| abandoned(&[StepRecord { uncertain, ..record("s", Class::Verified, state) }]);
    for state in [Planned, Retrying, Succeeded, Skipped, Shadowed, Failed] {
        assert_eq!(ending(state, false), RunState::Failed, "{state}");
    }
    for state in [Executing, Verifying, Confirming, Indeterminate] {
        assert_eq!(ending(state, false), RunState::Indeterminate, "{state}");
    }
    assert_eq!(ending(Retrying, true), RunState::Indeterminate);
    // What became certain afterwards is certain.
    assert_eq!(ending(Succeeded, true), RunState::Failed);
    assert_eq!(abandoned(&[]), RunState::Failed);
}

#[test]
fn a_stop_ends_the_run_as_it_says() {
    for (outcome, state) in [(StopOutcome::Done, "done"), (StopOutcome::NoAction, "no_action"), (StopOutcome::Failed, "failed")] {
        let text = "playbook: p\ntrigger: {alert: {}}\nsteps: [{id: first, stop: {outcome: done, reason: r}}]\n";
        let playbook = Playbook::parse(&Sandbox::new(), Path::new("p.yaml"), text).unwrap().0;
        let stop = StepRecord { output: stop_output(outcome, "because"), ..record("first", Class::Read, StepState::Succeeded) };
        assert_eq!(described(&next(&playbook, &run(), &[stop], start())), format!("end {state} because"));
    }
}

#[test]
fn what_an_answer_means_depends_on_the_class() {
    use Class::{Idempotent, Keyed, Read, Unsafe, Verified};
    use FailureKind::{Conflict, NotDone, Rejected, Unknown};
    use StepState::{Executing, Failed, Indeterminate, Retrying, Verifying};
    for (class, kind, expected) in [
        (Read, Unknown, Retrying),
        (Idempotent, Unknown, Retrying),
        (Keyed, Unknown, Retrying),
        (Verified, Unknown, Verifying),
        (Unsafe, Unknown, Indeterminate),
        (Read, NotDone, Retrying),
        (Unsafe, NotDone, Retrying),
        (Verified, NotDone, Retrying),
        (Verified, Conflict, Verifying),
        (Keyed, Rejected, Failed),
        (Unsafe, Rejected, Failed),
        (Keyed, Conflict, Verifying),
        (Unsafe, Conflict, Failed),
        (Idempotent, Conflict, Failed),
    ] {
        let mut step = StepRecord { attempts: 1, first_intent_at: Some(start()), ..record("s", class, Executing) };
        after_attempt(&mut step, &RetryPolicy::default(), Err(Failure::new(kind, "x")), Moment { now: start(), jitter: 0.5 });
        assert_eq!(step.state, expected, "{class} {kind:?}");
        assert_eq!(step.uncertain, kind == Unknown, "{class} {kind:?}");
    }
}

#[test]
fn a_keyed_call_is_not_repeated_once_its_key_may_be_forgotten_whatever_kept_it_waiting() {
    let waiting = |class, uncertain| StepRecord {
        attempts: 2,
        uncertain,
        first_intent_at: Some(start()),
        ..record("first", class, StepState::Retrying)
    };
    for (class, uncertain, age, expected) in [
        (Class::Keyed, true, 599, "attempt first"),
        (Class::Keyed, true, 600, "look first"),
        (Class::Keyed, false, 600, "attempt first"),
        (Class::Verified, true, 600, "attempt first"),
    ] {
        let found = described(&next(&playbook(), &run(), &[waiting(class, uncertain)], after(age)));
        assert_eq!(found, expected, "{class} {uncertain} {age}");
    }
}

#[test]
fn of_a_cancelled_run_nothing_is_sent_again_that_can_be_looked_at() {
    let cancelled = RunRecord { cancel: true, ..run() };
    let waiting =
        |class| StepRecord { attempts: 1, uncertain: true, first_intent_at: Some(start()), ..record("first", class, StepState::Retrying) };
    for (class, expected) in [(Class::Keyed, "look first"), (Class::Verified, "look first"), (Class::Idempotent, "attempt first")] {
        assert_eq!(described(&next(&playbook(), &cancelled, &[waiting(class)], after(5))), expected, "{class}");
    }
    // It is looked at until it would have shown, and never sent.
    let mut step = StepRecord { state: StepState::Confirming, ..waiting(Class::Verified) };
    for (seconds, expected) in [(60, StepState::Confirming), (1_800, StepState::Indeterminate)] {
        after_look(&mut step, &RetryPolicy::default(), Ok(ReadBack::Unchanged), Moment { now: after(seconds), jitter: 0.5 });
        assert_eq!(step.state, expected);
    }
}

#[test]
fn the_time_limit_of_a_run_counts_from_when_a_person_let_it_go_on() {
    let done = record("first", Class::Unsafe, StepState::Succeeded);
    let limit = |resumed_at, seconds| {
        let run = RunRecord { resumed_at, ..run() };
        described(&next(&playbook(), &run, std::slice::from_ref(&done), after(seconds)))
    };
    assert!(limit(None, 3_600).starts_with("plan page"), "{}", limit(None, 3_600));
    assert_eq!(limit(Some(after(36_000)), 36_001), "plan second");
    assert!(limit(Some(after(36_000)), 39_600).starts_with("plan page"));
}

#[test]
fn a_keyed_call_that_met_a_conflict_and_never_happened_is_tried_again() {
    let mut step = StepRecord { attempts: 1, first_intent_at: Some(start()), ..record("s", Class::Keyed, StepState::Verifying) };
    after_look(&mut step, &RetryPolicy::default(), Ok(ReadBack::Unchanged), Moment { now: after(5), jitter: 0.5 });
    assert_eq!(step.state, StepState::Retrying);
}

#[test]
fn a_look_that_fails_is_repeated_until_it_has_taken_too_long() {
    let mut step =
        StepRecord { attempts: 1, uncertain: true, first_intent_at: Some(start()), ..record("s", Class::Verified, StepState::Verifying) };
    let failed = || Err(Failure::new(FailureKind::NotDone, "busy"));
    after_look(&mut step, &RetryPolicy::default(), failed(), Moment { now: after(10), jitter: 0.5 });
    assert_eq!((step.state, step.due_at.is_some()), (StepState::Verifying, true));
    after_look(&mut step, &RetryPolicy::default(), failed(), Moment { now: after(1_800), jitter: 0.5 });
    assert_eq!(step.state, StepState::Indeterminate);
}

/// The other side, as unkind as it can be. It honours the precondition of a verified call and remembers keys.
#[derive(Default)]
struct World {
    effects: u32,
    /// Requests that were sent and have not arrived.
    in_flight: u32,
    changed_by_somebody: bool,
}

impl World {
    fn apply(&mut self, class: Class) -> bool {
        let is_repeat = self.effects > 0;
        match class {
            Class::Verified if is_repeat || self.changed_by_somebody => return false,
            Class::Keyed if is_repeat => return true,
            Class::Verified | Class::Keyed | Class::Unsafe | Class::Read | Class::Idempotent => self.effects += 1,
        }
        true
    }

    /// One call with an intent; the die decides what becomes of it and of the answer.
    fn call(&mut self, class: Class, die: u8) -> Option<Result<Done, Failure>> {
        let fail = |kind| Some(Err(Failure::new(kind, "x")));
        match die % 10 {
            // The process dies before it sends, or after the other side did it.
            1 => None,
            2 => {
                self.apply(class);
                None
            }
            // The answer is lost, the request is lost, or it is late.
            3 => {
                self.apply(class);
                fail(FailureKind::Unknown)
            }
            4 => fail(FailureKind::Unknown),
            5 => {
                self.in_flight += 1;
                fail(FailureKind::Unknown)
            }
            6 => fail(FailureKind::NotDone),
            7 => fail(FailureKind::Rejected),
            8 if class == Class::Verified => {
                self.changed_by_somebody |= self.effects == 0;
                if self.apply(class) { Some(Ok(Done::Now(Value::Null))) } else { fail(FailureKind::Conflict) }
            }
            9 if class == Class::Keyed && self.apply(class) => Some(Ok(Done::Accepted(Value::Null))),
            _ if self.apply(class) => Some(Ok(Done::Now(Value::Null))),
            _ => fail(FailureKind::Conflict),
        }
    }

    fn look(&mut self, class: Class, die: u8) -> Result<ReadBack, Failure> {
        match die % 4 {
            0 if self.effects == 0 && self.in_flight > 0 => {
                self.in_flight -= 1;
                self.apply(class);
            }
            1 => return Err(Failure::new(FailureKind::NotDone, "busy")),
            _ => {}
        }
        Ok(match (self.effects, self.changed_by_somebody) {
            (0, false) => ReadBack::Unchanged,
            (0, true) => ReadBack::Changed("somebody".to_owned()),
            _ => ReadBack::Reached(Value::Null),
        })
    }
}

/// Plays a single step to its end, through a round trip by JSON at each turn as through the store.
fn play(class: Class, dice: &[u8]) -> (StepRecord, World) {
    let mut thrown = dice.iter().copied();
    let mut throw = move || thrown.next().unwrap_or(0);
    let mut world = World::default();
    let retry = RetryPolicy::default();
    let mut now = start();
    let mut step = record("s", class, StepState::Planned);
    for _ in 0..1_000 {
        step = serde_json::from_value(serde_json::to_value(&step).unwrap()).unwrap();
        now += SignedDuration::from_secs(1);
        let at = Moment { now, jitter: f64::from(throw()) / 255.0 };
        if let Some(due) = step.due_at.take() {
            now = now.max(due);
        }
        match step.state {
            StepState::Planned | StepState::Retrying => {
                step.attempts += 1;
                step.state = StepState::Executing;
                step.first_intent_at = step.first_intent_at.or(Some(now));
                match world.call(class, throw()) {
                    Some(answer) => after_attempt(&mut step, &retry, answer, at),
                    None => after_attempt(&mut step, &retry, Err(interruption()), at),
                }
            }
            StepState::Verifying | StepState::Confirming => {
                let seen = world.look(class, throw());
                after_look(&mut step, &retry, seen, at);
            }
            _ => return (step, world),
        }
    }
    panic!("the step never ends: {step:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_happens_a_step_ends_is_done_at_most_once_and_says_what_it_knows(
        dice in proptest::collection::vec(any::<u8>(), 0..60),
        class in prop_oneof![Just(Class::Keyed), Just(Class::Verified), Just(Class::Unsafe)],
    ) {
        let (step, mut world) = play(class, &dice);
        // What was late arrives after all.
        for _ in 0..world.in_flight {
            world.apply(class);
        }
        prop_assert!(world.effects <= 1, "done {} times", world.effects);
        match step.state {
            StepState::Succeeded => prop_assert_eq!(world.effects, 1, "nothing happened"),
            StepState::Failed => prop_assert_eq!(world.effects, 0, "it happened all the same"),
            state => prop_assert_eq!(state, StepState::Indeterminate),
        }
    }
}
