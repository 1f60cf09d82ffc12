//! What became of attempts, as far as the journal does not know it yet. Where it cannot be recorded, the program remembers it and records it
//! when it can: nobody has to find out by a look, or from a person, what the program knows.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::run::{AttemptRecord, StepRecord, StepState};

/// The outcomes of one run's attempts that are not recorded.
#[derive(Debug, Default)]
pub(super) struct Unwritten(Mutex<Vec<(StepRecord, AttemptRecord)>>);

impl Unwritten {
    /// Keeps a step as an attempt at it left it.
    pub(super) fn keep(&self, step: StepRecord, attempt: AttemptRecord) {
        self.lock().push((step, attempt));
    }

    /// What became of the attempt that is recorded as under way.
    pub(super) fn take(&self, recorded: &StepRecord) -> Option<(StepRecord, AttemptRecord)> {
        let mut kept = self.lock();
        let at = kept.iter().position(|(step, _)| waits_for(recorded, step))?;
        Some(kept.swap_remove(at))
    }

    /// Forgets what the journal does not wait for: it has recorded that after all, or never that the attempt began.
    pub(super) fn retain(&self, recorded: &[StepRecord]) {
        self.lock().retain(|(step, _)| recorded.iter().any(|recorded| waits_for(recorded, step)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(StepRecord, AttemptRecord)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn waits_for(recorded: &StepRecord, step: &StepRecord) -> bool {
    recorded.state == StepState::Executing && (&recorded.id, recorded.attempts) == (&step.id, step.attempts)
}
