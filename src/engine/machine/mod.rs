//! The state machine of a run: what comes next, and what an answer from the outside means. Pure and total.
//!
//! The time and the randomness are arguments. An unknown outcome is never guessed at: the class of the action decides
//! whether to repeat, to look, or to stop and ask a person.

mod flow;
mod frame;
mod inside;
mod restored;
mod undo;
mod walk;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub use frame::{Doing, Frame, Next, Task};
pub use restored::after_restore;
pub use undo::{set_return, until};
pub use walk::{find, next, trouble};

use crate::{
    actions::{Done, Failure, FailureKind, ReadBack},
    duration::Span,
    failpoints,
    playbook::StopOutcome,
    retry::RetryPolicy,
    run::{Class, RunState, StepRecord, StepState},
};

/// Partner Center is documented to answer a repeat from its own memory only for a while; ten minutes is on the safe side.
const KEY_HOLDS: SignedDuration = SignedDuration::from_mins(10);

/// A cancelled entitlement shows as inactive after about ten minutes; three times that is no longer normal.
const CONFIRM_WITHIN: SignedDuration = SignedDuration::from_mins(30);

/// No front end of Microsoft's lets one request work for longer than four minutes: after this, one whose answer was lost has no effect any more.
const STILL_AT_WORK: SignedDuration = SignedDuration::from_mins(5);

/// Between looks at a target that is expected to change: soon at first, then about as often as it can matter.
const CONFIRM_FIRST: SignedDuration = SignedDuration::from_secs(2);
const CONFIRM_LONGEST: SignedDuration = SignedDuration::from_secs(30);

fn stopped(record: &StepRecord) -> (RunState, String) {
    let reason = record.output.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
    let state = match record.output.get("outcome").and_then(Value::as_str) {
        Some("no_action") => RunState::NoAction,
        Some("failed") => RunState::Failed,
        Some(_) | None => RunState::Done,
    };
    (state, reason)
}

/// What a `stop` step leaves behind; the walk reads it.
pub fn stop_output(outcome: StopOutcome, reason: &str) -> Value {
    let outcome = match outcome {
        StopOutcome::Done => "done",
        StopOutcome::NoAction => "no_action",
        StopOutcome::Failed => "failed",
    };
    serde_json::json!({"outcome": outcome, "reason": reason})
}

fn trouble_of(step: &StepRecord) -> String {
    let what = step.error.as_deref().unwrap_or("no reason is recorded");
    format!("step `{}`: {what}", step.id)
}

fn ending_of(step: &StepRecord) -> RunState {
    if step.state == StepState::Indeterminate { RunState::Indeterminate } else { RunState::Failed }
}

/// The state of a step whose inner step is in trouble.
fn doubt_of(inner: &StepRecord) -> StepState {
    if inner.state == StepState::Indeterminate { StepState::Indeterminate } else { StepState::Failed }
}

/// An answer, and the circumstances in which it came.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// When it came.
    pub now: Timestamp,
    /// A random number in `0.0..1.0` that spreads retries.
    pub jitter: f64,
}

/// The step after an attempt that was counted in `step.attempts`.
pub fn after_attempt(step: &mut StepRecord, retry: &RetryPolicy, result: Result<Done, Failure>, at: Moment) {
    step.due_at = None;
    step.refused_at = None;
    let failure = match result {
        Ok(Done::Now(output)) => return succeed(step, output, at.now),
        Ok(Done::Found(output)) => return already_done(step, output, at.now),
        Ok(Done::Accepted(output)) if failpoints::mistake("accepted_is_done") => return succeed(step, output, at.now),
        // Where nobody can look, the word of the other side is all that there is.
        Ok(Done::Accepted(output)) if !can_be_looked_at(step.class) => return succeed(step, output, at.now),
        Ok(Done::Accepted(output)) => {
            step.output = output;
            return confirm_later(step, at.now);
        }
        Err(failure) => failure,
    };
    step.error = Some(failure.message.clone());
    match failure.kind {
        // A repeat may be refused just because an earlier attempt had its effect.
        FailureKind::Rejected if step.uncertain && can_be_looked_at(step.class) => {
            step.state = StepState::Verifying;
            step.refused_at = Some(at.now);
        }
        FailureKind::NotDone => {
            // Others may come between now and the next attempt, so that one looks again.
            if !step.uncertain {
                step.precondition = None;
            }
            again(step, retry, failure.retry_after, at);
        }
        // Ours was not applied, but an earlier attempt may have been: only a look tells.
        FailureKind::Conflict if can_be_looked_at(step.class) => step.state = StepState::Verifying,
        FailureKind::Rejected | FailureKind::Conflict => end(step, StepState::Failed, at.now),
        FailureKind::Unknown => unknown(step, retry, at),
    }
}

/// The step when its target was found as it is wanted. If an earlier attempt may have done that, it has; if all of them are known to have
/// done nothing, somebody else did, and nothing that was seen before led there.
pub fn already_done(step: &mut StepRecord, output: Value, now: Timestamp) {
    if !step.uncertain {
        step.precondition = None;
    }
    succeed(step, output, now);
}

/// What is known of an attempt of which nobody who lives knows more.
pub fn interruption() -> Failure {
    let kind = if failpoints::mistake("interrupted_is_not_done") { FailureKind::NotDone } else { FailureKind::Unknown };
    Failure::new(kind, "what became of the request is not recorded: the program that made it ended, or was cut off from its journal")
}

/// The step when it cannot or may not be gone on with. What may have happened already stays a matter for a person.
pub fn refuse(step: &mut StepRecord, why: &str, now: Timestamp) {
    step.error = Some(why.to_owned());
    let may_have_happened = step.may_have_happened();
    end(step, if may_have_happened { StepState::Indeterminate } else { StepState::Failed }, now);
}

/// The step is not taken now, and nothing failed. What is seen of its target now is not true any more when its turn comes; what an attempt
/// may have changed is kept in mind.
pub fn hold_off(step: &mut StepRecord, why: &str, until: Timestamp) {
    if !step.uncertain {
        step.precondition = None;
    }
    step.state = StepState::Retrying;
    step.error = Some(why.to_owned());
    step.due_at = Some(until);
}

/// The step waits until then for people, of whom it was asked under that name. What is seen of its target now is not true any more when
/// they have answered.
pub fn wait_for_people(step: &mut StepRecord, asked: Value, until: Timestamp) {
    step.state = StepState::Waiting;
    step.output = asked;
    step.precondition = None;
    step.target = None;
    step.error = None;
    step.due_at = Some(until);
}

/// The step when people did not agree to it; the answer tells how.
pub fn disagree(step: &mut StepRecord, answer: &Value, why: &str, now: Timestamp) {
    step.output = serde_json::json!({ "approval": answer });
    step.error = Some(why.to_owned());
    end(step, StepState::Failed, now);
}

/// How a run ends that cannot be gone on with.
pub fn abandoned(steps: &[StepRecord]) -> RunState {
    if steps.iter().any(StepRecord::may_have_happened) { RunState::Indeterminate } else { RunState::Failed }
}

/// Whether a repeat might be taken for something new, because the other side has forgotten the key.
fn key_is_stale(step: &StepRecord, now: Timestamp) -> bool {
    let is_old = step.first_intent_at.is_some_and(|first| now.duration_since(first) >= KEY_HOLDS);
    step.class == Class::Keyed && step.uncertain && is_old
}

fn can_be_looked_at(class: Class) -> bool {
    match class {
        Class::Keyed | Class::Verified => true,
        Class::Read | Class::Idempotent | Class::Unsafe => false,
    }
}

fn unknown(step: &mut StepRecord, retry: &RetryPolicy, at: Moment) {
    step.uncertain = true;
    match step.class {
        Class::Read | Class::Idempotent => again(step, retry, None, at),
        Class::Keyed if !key_is_stale(step, at.now) && step.attempts < retry.max_attempts => again(step, retry, None, at),
        Class::Keyed | Class::Verified => step.state = StepState::Verifying,
        Class::Unsafe if failpoints::mistake("repeat_unsafe") => again(step, retry, None, at),
        Class::Unsafe => end(step, StepState::Indeterminate, at.now),
    }
}

/// The step after a look at its target.
pub fn after_look(step: &mut StepRecord, retry: &RetryPolicy, seen: Result<ReadBack, Failure>, at: Moment) {
    let confirming = step.state == StepState::Confirming;
    let waited_long = step.first_intent_at.is_none_or(|first| at.now.duration_since(first) >= CONFIRM_WITHIN);
    step.due_at = None;
    match seen {
        Ok(ReadBack::Reached(output)) if confirming => succeed(step, output, at.now),
        Ok(ReadBack::Reached(output)) => already_done(step, output, at.now),
        Ok(ReadBack::Untouched) if !confirming && let Some(refused_at) = step.refused_at => refused(step, refused_at, at.now),
        Ok(ReadBack::Unchanged | ReadBack::Untouched) if confirming && !waited_long => confirm_later(step, at.now),
        Ok(ReadBack::Unchanged | ReadBack::Untouched) if confirming => {
            doubt(step, "the target has not shown it in time, and may still", at.now);
        }
        // Where nothing can have happened, the key was never used.
        Ok(ReadBack::Unchanged | ReadBack::Untouched) if step.class == Class::Verified || !step.uncertain => again(step, retry, None, at),
        // What was taken over under a key may show much later, and the other side may be in the middle of it.
        Ok(ReadBack::Unchanged | ReadBack::Untouched | ReadBack::CannotTell(_)) if !waited_long => look_later(step, at.now),
        Ok(ReadBack::Unchanged | ReadBack::Untouched) => doubt(step, "the target does not show that it happened", at.now),
        Ok(ReadBack::Changed(how)) if confirming || step.uncertain => {
            doubt(step, &format!("somebody changed the target meanwhile: {how}"), at.now);
        }
        Ok(ReadBack::Changed(how)) => {
            step.error = Some(format!("nothing was done, because somebody changed the target meanwhile: {how}"));
            end(step, StepState::Failed, at.now);
        }
        // Another attempt may still be on its way.
        Ok(ReadBack::Failed(why)) if step.uncertain => doubt(step, &why, at.now),
        Ok(ReadBack::Failed(why)) => {
            step.error = Some(format!("it was accepted and then came to nothing: {why}"));
            end(step, StepState::Failed, at.now);
        }
        Ok(ReadBack::CannotTell(why)) => doubt(step, &why, at.now),
        Err(failure) if waited_long => doubt(step, &format!("looking at the target failed for too long: {failure}"), at.now),
        Err(failure) => {
            step.error = Some(format!("look at the target: {failure}"));
            look_later(step, at.now);
        }
    }
}

/// The last attempt was refused, and nothing has changed the target. An attempt before it may be on its way still; when it cannot be any more,
/// none of them did anything.
fn refused(step: &mut StepRecord, refused_at: Timestamp, now: Timestamp) {
    let settled = later(refused_at, failpoints::sooner(STILL_AT_WORK));
    if now < settled {
        step.due_at = Some(settled);
        return;
    }
    let why = step.error.take().unwrap_or_default();
    step.error = Some(format!("{why}; nothing was done, because the target has the version of before the first attempt"));
    end(step, StepState::Failed, now);
}

fn again(step: &mut StepRecord, retry: &RetryPolicy, retry_after: Option<std::time::Duration>, at: Moment) {
    if let Some(wait) = retry.wait_after(step.attempts, at.jitter, retry_after) {
        step.state = StepState::Retrying;
        step.due_at = Some(later(at.now, Span(wait).signed()));
        return;
    }
    let known = !step.uncertain || matches!(step.class, Class::Read | Class::Idempotent);
    end(step, if known { StepState::Failed } else { StepState::Indeterminate }, at.now);
}

fn succeed(step: &mut StepRecord, output: Value, now: Timestamp) {
    step.output = output;
    step.error = None;
    end(step, StepState::Succeeded, now);
}

fn confirm_later(step: &mut StepRecord, now: Timestamp) {
    step.state = StepState::Confirming;
    step.error = None;
    look_later(step, now);
}

fn look_later(step: &mut StepRecord, now: Timestamp) {
    step.due_at = Some(later(now, pause(step, now)));
}

/// A tenth of the time that has passed, so that looks grow rarer by themselves.
fn pause(step: &StepRecord, now: Timestamp) -> SignedDuration {
    let passed = step.first_intent_at.map_or(SignedDuration::ZERO, |first| now.duration_since(first));
    (passed / 10).clamp(CONFIRM_FIRST, CONFIRM_LONGEST)
}

fn doubt(step: &mut StepRecord, why: &str, now: Timestamp) {
    step.error = Some(match step.error.take() {
        Some(before) if before != why => format!("{why} (before that: {before})"),
        Some(_) | None => why.to_owned(),
    });
    end(step, StepState::Indeterminate, now);
}

fn end(step: &mut StepRecord, state: StepState, now: Timestamp) {
    step.state = state;
    step.due_at = None;
    step.ended_at = Some(now);
}

pub(super) fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod refusal;
#[cfg(test)]
pub(in crate::engine) mod tests;
#[cfg(test)]
mod tree;
