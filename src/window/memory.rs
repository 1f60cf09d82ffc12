//! What is known of windows, in memory: for trying playbooks on alerts without a journal. It answers as the store does.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Admission, Entry, Kind, Seen, Windows, entries, since};
use crate::run::RunId;

/// What is in the windows of every playbook.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    kept: HashMap<(String, Kind, String), Vec<Kept>>,
    /// The runs that alerts of a group join, by playbook and key, with the time at which they begin.
    gathering: HashMap<(String, String), (RunId, Timestamp)>,
    /// The open runs of each playbook and concurrency key, the oldest first.
    places: HashMap<(String, String), Vec<Place>>,
}

#[derive(Debug, Clone)]
struct Kept {
    at: Timestamp,
    until: Timestamp,
    run: RunId,
}

#[derive(Debug, Clone)]
struct Place {
    run: RunId,
    max: usize,
    is_queued: bool,
}

impl Memory {
    /// What is known under the keys that a run of the playbook asks for.
    pub fn seen(&self, playbook: &str, windows: &Windows, now: Timestamp) -> Seen {
        let mut seen = Seen::default();
        let kept = |kind: Kind, key: &str| self.kept.get(&(playbook.to_owned(), kind, key.to_owned())).map_or(&[][..], Vec::as_slice);
        if let Some(threshold) = &windows.threshold {
            let since = since(now, threshold.within);
            let hits = kept(Kind::Threshold, &threshold.key).iter().filter(|hit| hit.at > since).count();
            seen.hits = u32::try_from(hits).unwrap_or(u32::MAX);
        }
        if let Some(dedup) = &windows.dedup {
            seen.holder = kept(Kind::Dedup, &dedup.key).first().map(|it| (it.run.clone(), it.until));
        }
        if let Some(group) = &windows.group {
            seen.gathering = self.gathering.get(&(playbook.to_owned(), group.key.clone())).map(|(run, _)| run.clone());
            seen.last_start = kept(Kind::Group, &group.key).first().map(|it| it.at);
        }
        if let Some(throttle) = &windows.throttle {
            let since = since(now, throttle.per);
            seen.starts = kept(Kind::Throttle, &throttle.key).iter().map(|it| it.at).filter(|at| *at > since).collect();
        }
        if let Some(concurrency) = &windows.concurrency {
            let places = self.places.get(&(playbook.to_owned(), concurrency.key.clone())).map_or(&[][..], Vec::as_slice);
            let (queued, open): (Vec<&Place>, Vec<&Place>) = places.iter().partition(|place| place.is_queued);
            seen.open = open.iter().map(|place| place.run.clone()).collect();
            seen.queued = queued.iter().map(|place| place.run.clone()).collect();
        }
        seen
    }

    /// Remembers what became of a run that asked for windows.
    pub fn note(&mut self, (playbook, run): (&str, &RunId), windows: &Windows, admission: &Admission, now: Timestamp) {
        let (due, is_queued) = match admission {
            Admission::Begin { due } => (Some(*due), false),
            Admission::Queue { due, .. } => (Some(*due), true),
            Admission::Join { .. } | Admission::Held { .. } => (None, false),
        };
        let answers = if let Admission::Join { run } = admission { run } else { run };
        for entry in entries(windows, admission, now) {
            self.keep(playbook, answers, entry);
        }
        if let Admission::Queue { cancel, .. } = admission {
            self.cancel(cancel, now);
        }
        let Some(due) = due else { return };
        if let Some(group) = &windows.group {
            self.gathering.insert((playbook.to_owned(), group.key.clone()), (run.clone(), due));
        }
        if let Some(concurrency) = &windows.concurrency {
            let place = Place { run: run.clone(), max: usize::try_from(concurrency.max).unwrap_or(usize::MAX), is_queued };
            self.places.entry((playbook.to_owned(), concurrency.key.clone())).or_default().push(place);
        }
    }

    /// Lets a run that gathered alerts begin: no more join it.
    pub fn began(&mut self, run: &RunId, now: Timestamp) {
        let found = self.gathering.iter().find(|(_, (gathering, _))| gathering == run).map(|(key, _)| key.clone());
        let Some((playbook, key)) = found else { return };
        self.gathering.remove(&(playbook.clone(), key.clone()));
        for kept in self.kept.get_mut(&(playbook, Kind::Group, key)).into_iter().flatten() {
            kept.until = now.checked_add(kept.until.duration_since(kept.at)).unwrap_or(Timestamp::MAX);
            kept.at = now;
        }
    }

    /// Lets the runs begin whose time to gather is over, each at its time.
    pub fn pass(&mut self, now: Timestamp) {
        let over: Vec<_> = self.gathering.values().filter(|(_, due)| *due <= now).cloned().collect();
        for (run, due) in over {
            self.began(&run, due);
        }
    }

    /// Frees the place of a run that ended, for the one that has waited for longest.
    pub fn ended(&mut self, run: &RunId) {
        self.gathering.retain(|_, (gathering, _)| gathering != run);
        for places in self.places.values_mut() {
            places.retain(|place| place.run != *run);
            while let Some(first) = places.iter().position(|place| place.is_queued) {
                let open = places.iter().filter(|place| !place.is_queued).count();
                match places.get_mut(first) {
                    Some(place) if open < place.max => place.is_queued = false,
                    Some(_) | None => break,
                }
            }
        }
        self.places.retain(|_, places| !places.is_empty());
    }

    fn cancel(&mut self, runs: &[RunId], now: Timestamp) {
        for run in runs {
            self.began(run, now);
        }
        for place in self.places.values_mut().flatten().filter(|place| runs.contains(&place.run)) {
            // It has nothing to wait for any more: it only ends.
            place.is_queued = false;
        }
    }

    fn keep(&mut self, playbook: &str, run: &RunId, Entry { kind, key, at, until, keep }: Entry) {
        let kept = self.kept.entry((playbook.to_owned(), kind, key)).or_default();
        if kind.is_replaced() {
            kept.clear();
        }
        kept.push(Kept { at, until, run: run.clone() });
        kept.sort_by_key(|it| std::cmp::Reverse(it.at));
        kept.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
    }
}
