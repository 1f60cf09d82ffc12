//! The clock that decisions go by: the machine's, or one that stands still until it is moved.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;

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

#[cfg(test)]
mod tests {
    use super::*;

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
