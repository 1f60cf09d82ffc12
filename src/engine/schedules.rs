//! The clock as a trigger: begins the runs of playbooks whose time has come. Which times those are is decided by [`ticks`], which is pure.
//!
//! Up to when the times of a schedule were seen to is in the store, and moves together with the runs that begin; so a time is seen to once,
//! however often the program is started or the clock is set.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::Notify;

use super::{Acting, Engine, decide};
use crate::{
    clock::JUMP,
    expression::ExpressionError,
    failpoints,
    lifecycle::Stop,
    playbook::{CatchUp, Playbook, Schedule, Trigger},
    run::Mode,
    store::{Begun, NewRun, StoreError, TICK, TickFailure},
};

/// What became of a time of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ticked {
    /// What became of its run.
    Run(Begun),
    /// An expression failed in a sentence, so that there is no run.
    Failed(String),
}

/// Begins the runs of schedules.
pub(super) struct Schedules {
    engine: Engine,
    /// What the store says, by playbook: a look must not read it every second.
    known: HashMap<String, Known>,
    looked_at: Timestamp,
}

/// What is known of one schedule.
enum Known {
    /// The playbook is disabled, and what was known is forgotten.
    Nothing,
    /// The times as written, and the next one.
    Next(String, Option<Timestamp>),
}

/// The finest schedule says minutes; a run a second late is on time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A time that was seen to later than this was missed: the program did not run, or could not write.
const LATE: SignedDuration = SignedDuration::from_mins(1);

/// Who was away for a year does not want a year's work at once.
const MOST_MISSED: usize = 100;

impl Schedules {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, known: HashMap::new(), looked_at: Timestamp::MIN }
    }

    pub(super) async fn run(mut self, begun: Arc<Notify>, stop: Stop) {
        loop {
            match self.look(self.engine.store.clock().now()).await {
                Ok(ticked) if ticked.is_empty() => {}
                Ok(_) => begun.notify_one(),
                Err(error) => self.engine.signals.store_failed(&error.to_string()),
            }
            if !stop.sleep(LOOK_EVERY).await {
                return;
            }
        }
    }

    /// Begins what is due; returns what became of each time that came.
    pub(super) async fn look(&mut self, now: Timestamp) -> Result<Vec<Ticked>, StoreError> {
        if !self.engine.store.has_duty("schedules").await? {
            // Whoever has it moves on what is known here.
            self.known.clear();
            return Ok(Vec::new());
        }
        if self.looked_at.duration_since(now) > JUMP {
            self.known.clear();
        }
        self.looked_at = now;
        let library = self.engine.shelf.current();
        let mut ticked = Vec::new();
        for playbook in &library.playbooks {
            let Trigger::Schedule(schedule) = &playbook.trigger else { continue };
            match playbook.mode {
                Mode::Disabled => self.forget(playbook).await?,
                Mode::Shadow | Mode::Enforce => ticked.extend(self.see_to(playbook, schedule, now).await?),
            }
        }
        self.known.retain(|name, _| library.get(name).is_some());
        Ok(ticked)
    }

    /// The next time of any schedule, as of the last look.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let next = |known: &Known| if let Known::Next(_, next) = known { *next } else { None };
        self.known.values().filter_map(next).min()
    }

    /// What a playbook misses while it is disabled, it was meant to miss.
    async fn forget(&mut self, playbook: &Playbook) -> Result<(), StoreError> {
        if !matches!(self.known.get(&playbook.name), Some(Known::Nothing)) {
            self.engine.store.forget_schedule(&playbook.name).await?;
            self.known.insert(playbook.name.clone(), Known::Nothing);
        }
        Ok(())
    }

    async fn see_to(&mut self, playbook: &Playbook, schedule: &Schedule, now: Timestamp) -> Result<Vec<Ticked>, StoreError> {
        let times = written(schedule);
        if let Some(Known::Next(known, next)) = self.known.get(&playbook.name)
            && *known == times
            && next.is_none_or(|next| next > now)
        {
            return Ok(Vec::new());
        }
        let store = self.engine.store.clone();
        // Times that were written otherwise, or not at all, until now were not missed.
        let last = store.schedule(&playbook.name).await?.and_then(|(known, last)| (known == times).then_some(last));
        // A clock that was far ahead has seen to times that are yet to come.
        let last = last.filter(|last| last.duration_since(now) <= JUMP);
        let due = last.map(|last| ticks(schedule, last, now)).unwrap_or_default();
        let next = schedule.next_after(last.map_or(now, |last| last.max(now)));
        let (runs, failed) = self.new_runs(playbook, &due, now);
        let mut ticked = Vec::new();
        if last.is_none() || last.and_then(|last| schedule.next_after(last)).is_some_and(|first| first <= now) {
            failpoints::crash("ticks_due");
            let became = store.advance_schedule(&playbook.name, (&times, now), runs.clone(), failed.clone()).await?;
            failpoints::crash("ticks_begun");
            self.report(&runs, &became);
            for TickFailure { occasion, detail, .. } in failed {
                self.engine.signals.playbook_failed(&playbook.name, &occasion, &detail);
                ticked.push(Ticked::Failed(detail));
            }
            ticked.extend(became.into_iter().map(Ticked::Run));
        }
        self.known.insert(playbook.name.clone(), Known::Next(times, next));
        Ok(ticked)
    }

    /// The runs of the times that are due, and why there is none for the others.
    fn new_runs(&self, playbook: &Playbook, due: &[Timestamp], now: Timestamp) -> (Vec<NewRun>, Vec<TickFailure>) {
        let (mut runs, mut failed) = (Vec::with_capacity(due.len()), Vec::new());
        for tick in due {
            match run_at(playbook, *tick, now) {
                Ok(run) if self.engine.acting == Acting::DryRun => runs.push(NewRun { mode: Mode::Shadow, ..run }),
                Ok(run) => runs.push(run),
                // It would fail again each second, so this time is over.
                Err(error) => {
                    failed.push(TickFailure { hash: playbook.hash.clone(), occasion: occasion(*tick), detail: error.to_string() });
                }
            }
        }
        (runs, failed)
    }

    fn report(&self, runs: &[NewRun], became: &[Begun]) {
        for (run, became) in runs.iter().zip(became) {
            match became {
                Begun::New => self.engine.signals.run_begun(&run.id, &run.playbook, &run.occasion),
                Begun::Known => {}
                Begun::Held(detail) => self.engine.signals.run_held(&run.playbook, &run.occasion, detail),
            }
        }
    }
}

/// The run of a time of a schedule.
///
/// # Errors
/// Its variables or the key of a window cannot be computed.
pub fn run_at(playbook: &Playbook, tick: Timestamp, now: Timestamp) -> Result<NewRun, ExpressionError> {
    decide::start(playbook, occasion(tick), json!({ "scheduled_at": tick }), now)
}

fn occasion(tick: Timestamp) -> String {
    format!("{TICK}{tick}")
}

/// The times of a schedule as they are written.
fn written(schedule: &Schedule) -> String {
    format!("{} {}", schedule.cron.as_str(), schedule.timezone.iana_name().unwrap_or("UTC"))
}

/// The times after `last` and up to `now` for which runs begin, the oldest first: those on time, and of those missed what the schedule wants.
pub fn ticks(schedule: &Schedule, last: Timestamp, now: Timestamp) -> Vec<Timestamp> {
    let on_time_since = now.checked_sub(LATE).unwrap_or(Timestamp::MIN).max(last);
    let on_time = between(schedule, on_time_since, now);
    let missed = match schedule.catch_up {
        CatchUp::Skip => 0,
        CatchUp::Last => usize::from(on_time.is_empty()),
        CatchUp::All => MOST_MISSED,
    };
    let mut ticks = latest(schedule, last, on_time_since, missed);
    ticks.extend(on_time);
    ticks
}

/// The latest times after one moment and up to another, the oldest first. The search begins at the end, so that it is short however much
/// was missed.
fn latest(schedule: &Schedule, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
    let mut span = SignedDuration::from_hours(1);
    loop {
        let from = until.checked_sub(span).unwrap_or(Timestamp::MIN).max(after);
        let found = between(schedule, from, until);
        if found.len() >= most || from == after {
            return found.iter().skip(found.len().saturating_sub(most)).copied().collect();
        }
        span = span.saturating_mul(2);
    }
}

/// The times after one moment and up to another, the oldest first.
pub fn between(schedule: &Schedule, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let mut found = Vec::new();
    let mut moment = after;
    while let Some(next) = schedule.next_after(moment).filter(|next| *next > moment && *next <= until) {
        found.push(next);
        moment = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn schedule(cron: &str, timezone: &str, catch_up: CatchUp) -> Schedule {
        Schedule { cron: cron.parse().unwrap(), timezone: TimeZone::get(timezone).unwrap(), catch_up }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn due(schedule: &Schedule, last: &str, now: &str) -> Vec<String> {
        ticks(schedule, at(last), at(now)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_was_missed_is_made_up_for_as_the_schedule_says() {
        let hourly = |catch_up| schedule("0 * * * *", "UTC", catch_up);
        for (catch_up, now, expected) in [
            (CatchUp::Skip, "2026-03-02T07:00:00Z", &["07"][..]),
            (CatchUp::Skip, "2026-03-02T07:00:59Z", &["07"]),
            (CatchUp::Skip, "2026-03-02T07:30:00Z", &[]),
            (CatchUp::Last, "2026-03-02T07:00:30Z", &["07"]),
            (CatchUp::Last, "2026-03-02T07:30:00Z", &["07"]),
            (CatchUp::Last, "2026-03-02T04:59:59Z", &[]),
            (CatchUp::All, "2026-03-02T07:00:30Z", &["05", "06", "07"]),
            (CatchUp::All, "2026-03-02T07:30:00Z", &["05", "06", "07"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|hour| format!("2026-03-02T{hour}:00:00Z")).collect();
            assert_eq!(due(&hourly(catch_up), "2026-03-02T04:00:00Z", now), expected, "{catch_up:?} {now}");
        }
    }

    #[test]
    fn a_year_of_downtime_ends_in_the_last_hundred_times() {
        for (cron, first) in [("* * * * *", "2026-12-31T22:20:00Z"), ("0 0 * * *", "2026-09-23T00:00:00Z")] {
            let found = due(&schedule(cron, "UTC", CatchUp::All), "2026-01-01T00:00:00Z", "2027-01-01T00:00:30Z");
            let on_time = found.last().unwrap();
            assert_eq!(on_time, "2027-01-01T00:00:00Z");
            assert_eq!((found.len(), found[0].as_str()), (101, first), "{cron}");
            assert!(found.is_sorted());
        }
        let monthly = due(&schedule("0 7 1 * *", "UTC", CatchUp::All), "2026-01-01T07:00:00Z", "2027-01-01T00:00:00Z");
        assert_eq!(monthly.len(), 11);
    }

    #[test]
    fn a_clock_that_was_set_back_brings_nothing() {
        let schedule = schedule("* * * * *", "UTC", CatchUp::All);
        assert!(due(&schedule, "2026-03-02T07:00:00Z", "2026-03-02T06:00:00Z").is_empty());
    }

    #[test]
    fn each_day_has_one_time_also_where_clocks_change() {
        let nightly = schedule("30 2 * * *", "Europe/Berlin", CatchUp::All);
        // In the night to 29 March there is no 02:30; in the night to 25 October there are two.
        let spring = due(&nightly, "2026-03-27T12:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(spring, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        let autumn = due(&nightly, "2026-10-23T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(autumn, ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        let hourly = schedule("0 * * * *", "Europe/Berlin", CatchUp::All);
        assert_eq!(due(&hourly, "2026-10-24T22:00:00Z", "2026-10-25T04:00:00Z").len(), 6);
        assert_eq!(due(&hourly, "2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z").len(), 6);
    }

    #[test]
    fn wherever_a_search_begins_it_finds_the_same_times() {
        for night in ["2026-03-28T22:00:00Z", "2026-10-24T22:00:00Z"] {
            for cron in ["30 2 * * *", "0 * * * *", "*/15 2 * * *"] {
                let schedule = schedule(cron, "Europe/Berlin", CatchUp::All);
                let all = between(&schedule, at(night), at(night) + SignedDuration::from_hours(8));
                for minute in 0..480 {
                    let from = at(night) + SignedDuration::from_mins(minute);
                    let next = schedule.next_after(from).unwrap();
                    let expected = all.iter().find(|tick| **tick > from);
                    assert!(expected.is_none_or(|expected| *expected == next), "{cron} after {from}: {next}, not {expected:?}");
                }
            }
        }
    }
}
