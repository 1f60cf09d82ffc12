//! How many requests an adapter takes: a bucket of tokens that fills steadily.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::Deserialize;

/// How many requests are taken.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::adapters) struct Rate {
    /// How many in each second, for ever.
    per_second: u32,
    /// How many at once, after a quiet time.
    burst: u32,
}

impl Default for Rate {
    /// Far above what a partner's customers cause, far below what keeps the bus busy.
    fn default() -> Self {
        Self { per_second: 50, burst: 500 }
    }
}

/// Counts what was taken.
#[derive(Debug)]
pub(in crate::adapters) struct Bucket {
    rate: Rate,
    level: Mutex<Level>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    tokens: f64,
    at: Option<Instant>,
}

impl Rate {
    /// A rate of so many in each second.
    pub(in crate::adapters) const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

impl Bucket {
    /// A full bucket.
    pub(in crate::adapters) fn new(rate: Rate) -> Self {
        let rate = Rate { per_second: rate.per_second.max(1), burst: rate.burst.max(1) };
        Self { rate, level: Mutex::new(Level { tokens: rate.burst.into(), at: None }) }
    }

    /// Takes a token, or says how long it takes until there is one.
    pub(in crate::adapters) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let since = level.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let per_second = f64::from(self.rate.per_second);
        let tokens = (level.tokens + since.as_secs_f64() * per_second).min(self.rate.burst.into());
        let enough = tokens >= 1.0;
        *level = Level { tokens: if enough { tokens - 1.0 } else { tokens }, at: Some(now) };
        if enough { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - tokens) / per_second)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_only_the_steady_rate() {
        let bucket = Bucket::new(Rate::new(2, 3));
        let start = Instant::now();
        let taken = |after: u64| bucket.take(start + Duration::from_millis(after)).is_ok();
        assert_eq!([taken(0), taken(0), taken(0), taken(0)], [true, true, true, false]);
        assert_eq!([taken(500), taken(500)], [true, false]);
        assert_eq!([taken(9_000), taken(9_000), taken(9_000), taken(9_000)], [true, true, true, false]);
        assert!(bucket.take(start + Duration::from_secs(9)).unwrap_err() <= Duration::from_millis(500));
    }
}
