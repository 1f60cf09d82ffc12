//! The clock that decisions go by: the machine's, or one that stands still until it is moved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
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

#[cfg(test)]
mod tests {
    use super::*;

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
