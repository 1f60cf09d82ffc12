//! What was begun and when, so that limits hold over many foreseen runs as they hold in the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::store::Guard;

/// Counts first attempts.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    begun: BTreeMap<String, BTreeSet<(Timestamp, u64, Arc<str>)>>,
    count: u64,
}

impl Tally {
    /// Notes an attempt at a step, by the playbooks that it is [a part of](crate::run::StepRecord::within).
    pub fn add(&mut self, action: &str, within: &str, at: Timestamp) {
        self.count += 1;
        self.begun.entry(action.to_owned()).or_default().insert((at, self.count, within.into()));
    }

    /// Notes an attempt, unless one of the guards is used up: that guard.
    pub(super) fn reserve<'g>(&mut self, guards: &'g [Guard], action: &str, within: &str, now: Timestamp) -> Option<&'g Guard> {
        let exceeded = guards.iter().find(|guard| self.used(guard, now) >= usize::try_from(guard.most).unwrap_or(usize::MAX));
        if exceeded.is_none() {
            self.add(action, within, now);
        }
        exceeded
    }

    /// Counts as the store does: also what lies in the future, because a wait of another run leads there.
    fn used(&self, guard: &Guard, now: Timestamp) -> usize {
        let since = now.checked_sub(guard.per).unwrap_or(Timestamp::MIN);
        let begun = guard.actions.iter().filter_map(|action| self.begun.get(*action));
        let counts = |(at, _, within): &&(Timestamp, u64, Arc<str>)| *at > since && guard.counts(within);
        begun.map(|begun| begun.range((since, 0, Arc::from(""))..).filter(counts).count()).sum()
    }
}
