//! What a step that was under way is worth after the journal was restored from a backup. Pure and total.

use jiff::Timestamp;

use super::{can_be_looked_at, end};
use crate::run::{Class, StepRecord, StepState};

/// A step as it stands when nobody knows what was done since it was recorded; nothing where it stays as it is.
///
/// What may have happened is looked at before anything else is done, also within the time for which the other side remembers a key: when that
/// began is not known any more. What cannot be looked at waits for a person. What an attempt is known not to have done, a later one may have:
/// such a step begins anew, and with that it looks first and asks people as any other. What is only looked at already, or does no harm when
/// it is repeated, stays.
pub fn after_restore(step: &StepRecord, now: Timestamp) -> Option<StepRecord> {
    match step.class {
        Class::Read | Class::Idempotent => return None,
        Class::Keyed | Class::Verified | Class::Unsafe => {}
    }
    let may_have_happened = match step.state {
        StepState::Executing | StepState::Verifying => true,
        StepState::Planned | StepState::Retrying | StepState::Waiting => step.uncertain,
        StepState::Running
        | StepState::Confirming
        | StepState::Succeeded
        | StepState::Skipped
        | StepState::Shadowed
        | StepState::Failed
        | StepState::Indeterminate => return None,
    };
    if !may_have_happened && step.first_intent_at.is_none() {
        return None;
    }
    let mut step = StepRecord { due_at: None, ..step.clone() };
    if !can_be_looked_at(step.class) {
        step.error = Some("the journal was restored from a backup, and does not know whether this was done since".to_owned());
        end(&mut step, StepState::Indeterminate, now);
    } else if may_have_happened {
        step.uncertain = true;
        step.state = StepState::Verifying;
    } else {
        step.state = StepState::Retrying;
        step.first_intent_at = None;
        step.precondition = None;
    }
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{record, start},
        *,
    };

    /// Every class and state, begun or not, in doubt or not.
    fn every_step() -> impl Iterator<Item = StepRecord> {
        Class::ALL.iter().flat_map(|class| {
            StepState::ALL.iter().flat_map(move |state| {
                [(false, false), (true, false), (true, true)].map(|(has_begun, uncertain)| StepRecord {
                    first_intent_at: has_begun.then(start),
                    uncertain,
                    precondition: has_begun.then(|| "seen".into()),
                    due_at: Some(start()),
                    ..record("s", *class, *state)
                })
            })
        })
    }

    #[test]
    fn nothing_that_may_have_been_done_is_sent_before_it_was_looked_at() {
        for before in every_step() {
            let step = after_restore(&before, start()).unwrap_or_else(|| before.clone());
            let repeats_harmlessly = matches!(step.class, Class::Read | Class::Idempotent);
            let is_sent = match step.state {
                // Interrupted, a keyed step may be repeated at once.
                StepState::Executing => true,
                StepState::Planned | StepState::Retrying | StepState::Waiting => step.first_intent_at.is_some(),
                StepState::Running
                | StepState::Verifying
                | StepState::Confirming
                | StepState::Succeeded
                | StepState::Skipped
                | StepState::Shadowed
                | StepState::Failed
                | StepState::Indeterminate => false,
            };
            assert!(repeats_harmlessly || !is_sent, "{before:?} became {step:?}");
        }
    }

    #[test]
    fn what_has_ended_is_only_looked_at_or_does_no_harm_stays_as_it_is() {
        for step in every_step().filter(|step| step.state.is_final() || step.state == StepState::Confirming || step.class == Class::Read) {
            assert_eq!(after_restore(&step, start()), None, "{step:?}");
        }
    }

    #[test]
    fn a_second_review_changes_nothing_more() {
        for step in every_step().filter_map(|step| after_restore(&step, start())) {
            let again = after_restore(&step, start());
            assert!(again.is_none_or(|again| again == step), "{step:?}");
        }
    }

    #[test]
    fn what_may_have_happened_is_looked_at_with_what_was_seen_before_or_waits_for_a_person() {
        let state = |class, state| {
            let step = StepRecord { first_intent_at: Some(start()), precondition: Some("seen".into()), ..record("s", class, state) };
            after_restore(&step, start()).map(|step| (step.state, step.uncertain, step.precondition.is_some()))
        };
        assert_eq!(state(Class::Verified, StepState::Executing), Some((StepState::Verifying, true, true)));
        assert_eq!(state(Class::Keyed, StepState::Executing), Some((StepState::Verifying, true, true)));
        assert_eq!(state(Class::Unsafe, StepState::Executing), Some((StepState::Indeterminate, false, true)));
        assert_eq!(state(Class::Verified, StepState::Retrying), Some((StepState::Retrying, false, false)), "it begins anew");
        assert_eq!(state(Class::Unsafe, StepState::Retrying), Some((StepState::Indeterminate, false, true)));
    }
}
