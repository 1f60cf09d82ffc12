//! The times of schedules: those that the playbooks on disk have, and those for which the journal has a run.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    engine::{Guardrails, schedules},
    playbook::{Library, Playbook, Trigger},
    run::{Mode, RunId, RunRecord, StepRecord},
    store::{Store, StoreError, While},
};

/// One time of one schedule.
pub(super) struct Tick {
    pub(super) at: Timestamp,
    pub(super) name: String,
    /// None where the playbook on disk does not have that time.
    pub(super) playbook: Option<Arc<Playbook>>,
    /// The run that began for it then.
    pub(super) was: Option<(RunRecord, Vec<StepRecord>)>,
}

/// Goes through the times of all schedules, in order. A program that runs all the time begins a run at each of them; when it did not run,
/// the journal does not say.
pub(super) struct Clockwork {
    scheduled: Vec<Arc<Playbook>>,
    /// The runs that began then, by time and playbook.
    recorded: BTreeMap<(Timestamp, String), RunId>,
    /// Up to when the times were gone through.
    seen_to: Timestamp,
}

/// The smallest step of a time in the journal.
const STEP: Duration = Duration::from_micros(1);

impl Clockwork {
    pub(super) async fn new(store: &Store, library: &Library, within: While) -> Result<Self, StoreError> {
        let is_asked = |playbook: &&Arc<Playbook>| matches!(playbook.trigger, Trigger::Schedule(_)) && playbook.mode != Mode::Disabled;
        let scheduled = library.playbooks.iter().filter(is_asked).cloned().collect();
        let recorded = store.ticked(within).await?.into_iter().map(|(at, playbook, run)| ((at, playbook), run)).collect();
        Ok(Self { scheduled, recorded, seen_to: before(within.since) })
    }

    /// The times that have come until a moment.
    pub(super) async fn pass(&mut self, store: &Store, until: Timestamp) -> Result<Vec<Tick>, StoreError> {
        let mut ticks: BTreeMap<(Timestamp, String), Option<Arc<Playbook>>> = BTreeMap::new();
        for playbook in &self.scheduled {
            let Trigger::Schedule(schedule) = &playbook.trigger else { continue };
            let times = schedules::between(schedule, self.seen_to, until);
            ticks.extend(times.into_iter().map(|at| ((at, playbook.name.clone()), Some(Arc::clone(playbook)))));
        }
        self.seen_to = self.seen_to.max(until);
        let mut was = BTreeMap::new();
        while let Some(first) = self.recorded.first_entry().filter(|first| first.key().0 <= until) {
            let (key, run) = first.remove_entry();
            ticks.entry(key.clone()).or_default();
            was.extend(store.progress(&run).await?.map(|progress| (key, (progress.run, progress.steps))));
        }
        let tick = |(key, playbook): ((Timestamp, String), _)| Tick { was: was.remove(&key), at: key.0, name: key.1, playbook };
        Ok(ticks.into_iter().map(tick).collect())
    }
}

/// The last moment before another.
pub(super) fn before(moment: Timestamp) -> Timestamp {
    moment.checked_sub(STEP).unwrap_or(Timestamp::MIN)
}

/// For how long what happened is of consequence: the longest window, and the longest while of a limit. What begins so long before a period
/// finds at its beginning what was there.
pub(super) fn memory(library: &Library, guardrails: &Guardrails) -> Duration {
    let site = guardrails.limits.iter().map(|limit| limit.per.0);
    library
        .playbooks
        .iter()
        .filter(|playbook| playbook.mode != Mode::Disabled)
        .map(|playbook| of(playbook))
        .chain(site)
        .max()
        .unwrap_or_default()
}

fn of(playbook: &Playbook) -> Duration {
    let windows = [
        playbook.dedup.as_ref().map(|dedup| dedup.window),
        // The first alert of a group may have waited for so long, and the next group keeps its distance from there.
        playbook.group.as_ref().map(|group| group.wait.max(group.interval).saturating_add(group.interval)),
        playbook.throttle.as_ref().map(|throttle| throttle.per),
        playbook.threshold.as_ref().map(|threshold| threshold.within),
        // A run that is still open holds a place.
        playbook.concurrency.as_ref().map(|_| playbook.timeout),
    ];
    let limits = playbook.guardrails.iter().map(|limit| limit.per).chain(playbook.called.values().map(|called| of(called)));
    windows.into_iter().flatten().chain(limits).max().unwrap_or_default()
}
