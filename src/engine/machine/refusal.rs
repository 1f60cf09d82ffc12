//! Tests: how far an answer can be believed. What is refused after an answer was lost has certainly not happened where the target's version
//! proves it, and is in doubt elsewhere; what is only accepted is looked for; a key is trusted for a while.

use serde_json::Value;

use super::{
    tests::{after, record, start},
    *,
};

fn moment(seconds: i64) -> Moment {
    Moment { now: after(seconds), jitter: 0.5 }
}

/// A step whose first answer was lost, and whose second attempt was refused at second 20.
fn refused_at_last() -> StepRecord {
    let retry = RetryPolicy::default();
    let first = StepRecord {
        attempts: 1,
        first_intent_at: Some(start()),
        precondition: Some(Value::Null),
        ..record("s", Class::Verified, StepState::Executing)
    };
    let mut step = first;
    after_attempt(&mut step, &retry, Err(Failure::new(FailureKind::Unknown, "no answer")), moment(15));
    after_look(&mut step, &retry, Ok(ReadBack::Untouched), moment(16));
    assert_eq!(step.state, StepState::Retrying, "it is sent once more with the version that was seen");
    step.attempts += 1;
    after_attempt(&mut step, &retry, Err(Failure::new(FailureKind::Rejected, "its subscriptions are active")), moment(20));
    assert_eq!((step.state, step.refused_at), (StepState::Verifying, Some(after(20))));
    step
}

fn looked(seen: ReadBack, seconds: i64) -> StepRecord {
    let mut step = refused_at_last();
    after_look(&mut step, &RetryPolicy::default(), Ok(seen), moment(seconds));
    step
}

#[test]
fn the_version_of_before_proves_that_nothing_happened_once_no_lost_request_can_be_at_work() {
    let soon = looked(ReadBack::Untouched, 21);
    assert_eq!((soon.state, soon.due_at), (StepState::Verifying, Some(after(320))), "the lost one may have its effect still");
    let failed = looked(ReadBack::Untouched, 320);
    assert_eq!(failed.state, StepState::Failed);
    assert!(failed.error.is_some_and(|why| why.contains("its subscriptions are active") && why.contains("nothing was done")));
}

#[test]
fn what_may_have_been_changed_and_changed_back_proves_nothing() {
    assert_eq!(looked(ReadBack::Unchanged, 320).state, StepState::Retrying);
    assert_eq!(looked(ReadBack::Changed("by mina".to_owned()), 320).state, StepState::Indeterminate);
    assert_eq!(looked(ReadBack::Reached(Value::Null), 320).state, StepState::Succeeded, "the lost one did it");
    let mut lost_again = refused_at_last();
    lost_again.attempts += 1;
    after_attempt(&mut lost_again, &RetryPolicy::default(), Err(Failure::new(FailureKind::Unknown, "no answer")), moment(400));
    assert_eq!(lost_again.refused_at, None, "the last one was not refused");
}

#[test]
fn what_was_only_accepted_is_done_when_a_look_says_so_where_one_is_possible() {
    use Class::{Idempotent, Keyed, Unsafe, Verified};
    use StepState::{Confirming, Executing, Succeeded};
    for (class, expected) in [(Keyed, Confirming), (Verified, Confirming), (Unsafe, Succeeded), (Idempotent, Succeeded)] {
        let mut step = StepRecord { attempts: 1, first_intent_at: Some(start()), ..record("s", class, Executing) };
        after_attempt(&mut step, &RetryPolicy::default(), Ok(Done::Accepted(Value::Null)), Moment { now: start(), jitter: 0.5 });
        assert_eq!(step.state, expected, "{class}");
    }
}

#[test]
fn a_key_is_trusted_for_ten_minutes_and_then_only_a_look_tells() {
    let keyed = |age| {
        let mut step = StepRecord { attempts: 1, first_intent_at: Some(start()), ..record("s", Class::Keyed, StepState::Executing) };
        after_attempt(&mut step, &RetryPolicy::default(), Err(interruption()), Moment { now: after(age), jitter: 0.5 });
        step
    };
    assert_eq!(keyed(599).state, StepState::Retrying);
    let mut old = keyed(600);
    assert_eq!(old.state, StepState::Verifying);
    after_look(&mut old, &RetryPolicy::default(), Ok(ReadBack::Unchanged), Moment { now: after(601), jitter: 0.5 });
    assert_eq!((old.state, old.due_at.is_some()), (StepState::Verifying, true), "it may show later");
    after_look(&mut old, &RetryPolicy::default(), Ok(ReadBack::Unchanged), Moment { now: after(1_800), jitter: 0.5 });
    assert_eq!(old.state, StepState::Indeterminate);
}
