//! The clock that decisions go by: the machine's, or one that stands still until it is moved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Tells the time. Clones tell the same time.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// A clock that stands still at a moment: playbooks are tried on it.
    pub fn standing_at(moment: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(moment.as_microsecond()))))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(moment) => Timestamp::from_microsecond(moment.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX),
            None => Timestamp::now(),
        }
    }

    /// Moves a standing clock forward to a moment; no clock is moved back, and the machine's not at all.
    pub fn advance_to(&self, moment: Timestamp) {
        if let Some(standing) = &self.0 {
            standing.fetch_max(moment.as_microsecond(), Ordering::SeqCst);
        }
    }
}

/// `std::time::Instant` stands still while the machine is suspended, and other machines go on meanwhile.
#[cfg(target_os = "linux")]
const UPTIME: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const UPTIME: ClockId = ClockId::Monotonic;

/// How long the machine has been up, asleep or not. Nobody sets this clock.
pub fn uptime() -> Duration {
    Duration::try_from(clock_gettime(UPTIME)).unwrap_or_default()
}

/// No correction: clocks that are looked after are wrong by seconds at most.
pub const JUMP: SignedDuration = SignedDuration::from_mins(5);

/// Notices when somebody sets the machine's clock: it went otherwise than the time the machine has been up.
#[derive(Debug)]
pub struct Steady(AtomicI64);

impl Steady {
    /// As the two clocks stand to each other now.
    pub fn at(wall: Timestamp, uptime: Duration) -> Self {
        Self(AtomicI64::new(apart(wall, uptime)))
    }

    /// By how much the clock was set, if that is a [`JUMP`]; corrections are followed.
    pub fn jump(&self, wall: Timestamp, uptime: Duration) -> Option<SignedDuration> {
        let set = SignedDuration::from_micros(apart(wall, uptime).saturating_sub(self.0.load(Ordering::SeqCst)));
        if set.unsigned_abs() > JUMP.unsigned_abs() {
            return Some(set);
        }
        self.accept(wall, uptime);
        None
    }

    /// Takes the clock as it is now for right.
    pub fn accept(&self, wall: Timestamp, uptime: Duration) {
        self.0.store(apart(wall, uptime), Ordering::SeqCst);
    }
}

/// Microseconds from one to the other.
fn apart(wall: Timestamp, uptime: Duration) -> i64 {
    wall.as_microsecond().saturating_sub(i64::try_from(uptime.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_told_from_one_that_is_corrected() {
        let start: Timestamp = "2026-03-02T04:00:00Z".parse().unwrap();
        let (up, second) = (Duration::from_hours(9), Duration::from_secs(1));
        let clock = Steady::at(start, up);
        let wall = |seconds: i64| start + SignedDuration::from_secs(seconds);
        assert_eq!(clock.jump(wall(1), up + second), None);
        // Asleep for an hour, the machine is up an hour longer.
        assert_eq!(clock.jump(wall(3_601), up + second * 3_601), None);
        // A correction now and then adds up to no jump.
        for step in 1..100 {
            assert_eq!(clock.jump(wall(3_601 + step * 61), up + second * 3_601 + second * u32::try_from(step).unwrap()), None);
        }
        let (wall, up) = (wall(3_601 + 99 * 61), up + second * 3_700);
        let hour = SignedDuration::from_hours(1);
        assert_eq!(clock.jump(wall + hour, up), Some(hour));
        assert_eq!(clock.jump(wall - hour, up), Some(-hour), "it is held against what was right");
        clock.accept(wall + hour, up);
        assert_eq!((clock.jump(wall + hour, up), clock.jump(wall, up)), (None, Some(-hour)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_uptime_is_the_kernels_which_counts_the_sleep_of_the_machine() {
        let kernels = || std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse::<f64>().unwrap();
        let (before, ours, after) = (kernels(), uptime().as_secs_f64(), kernels());
        assert!(before - 0.02 <= ours && ours <= after + 0.02, "{before} {ours} {after}");
    }

    #[test]
    fn a_standing_clock_is_only_moved_forward_and_all_its_clones_with_it() {
        let start: Timestamp = "2026-03-02T04:00:00Z".parse().unwrap();
        let clock = Clock::standing_at(start);
        let other = clock.clone();
        clock.advance_to("2026-03-02T05:00:00Z".parse().unwrap());
        clock.advance_to(start);
        assert_eq!(other.now().to_string(), "2026-03-02T05:00:00Z");
    }
}
