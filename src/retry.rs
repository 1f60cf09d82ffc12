//! How often and when something is tried again. Pure: the caller brings the randomness and the time.

use std::time::Duration;

/// How a step is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many attempts there are in all, the first included.
    pub max_attempts: u32,
    /// The wait before the second attempt.
    pub delay: Duration,
    /// How the wait grows.
    pub backoff: Backoff,
    /// No wait is longer.
    pub max_delay: Duration,
}

/// How the wait between attempts grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// The same each time.
    Constant,
    /// One delay more each time.
    Linear,
    /// Twice as long each time.
    Exponential,
}

/// No answer of another system makes us wait longer than this before the next attempt.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

impl Default for RetryPolicy {
    /// Five attempts over about half a minute: enough to ride out a restart on the other side.
    fn default() -> Self {
        Self { max_attempts: 5, delay: Duration::from_secs(2), backoff: Backoff::Exponential, max_delay: Duration::from_mins(1) }
    }
}

impl RetryPolicy {
    /// How long to wait after failed attempt number `attempt` (from 1), or `None` when there is no further one.
    ///
    /// `jitter` is a random number in `0.0..1.0`: half of the wait is fixed and half random, so that many
    /// runs that failed together do not return together. What the other side asked for (`retry_after`) is a lower bound.
    pub fn wait_after(&self, attempt: u32, jitter: f64, retry_after: Option<Duration>) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let full = backoff(self.delay, self.max_delay, self.backoff, attempt);
        let wait = full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        Some(wait.max(asked))
    }
}

/// The wait after failure number `failures` (from 1) of something that is tried for ever, such as a connection.
pub fn reconnect_delay(failures: u32, jitter: f64) -> Duration {
    // Short enough that a restarted broker is used again within seconds, long enough not to hammer it.
    let full = backoff(Duration::from_millis(250), Duration::from_secs(5), Backoff::Exponential, failures);
    full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

fn backoff(delay: Duration, longest: Duration, growth: Backoff, attempt: u32) -> Duration {
    let factor = match growth {
        Backoff::Constant => 1,
        Backoff::Linear => attempt,
        Backoff::Exponential => 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX),
    };
    delay.saturating_mul(factor.max(1)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_then_end() {
        let policy = RetryPolicy {
            max_attempts: 6,
            delay: Duration::from_secs(2),
            backoff: Backoff::Exponential,
            max_delay: Duration::from_secs(10),
        };
        let waits: Vec<_> = (1..=6).map(|attempt| policy.wait_after(attempt, 1.0, None).map(|it| it.as_secs())).collect();
        assert_eq!(waits, [Some(2), Some(4), Some(8), Some(10), Some(10), None]);
    }

    #[test]
    fn half_of_a_wait_is_random() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait_after(1, 0.0, None), Some(Duration::from_secs(1)));
        assert_eq!(policy.wait_after(1, 1.0, None), Some(Duration::from_secs(2)));
    }

    #[test]
    fn the_other_side_may_ask_for_longer_but_not_for_ever() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait_after(1, 0.0, Some(Duration::from_secs(57))), Some(Duration::from_secs(57)));
        assert_eq!(policy.wait_after(1, 0.0, Some(Duration::from_secs(1_000_000_000))), Some(LONGEST_RETRY_AFTER));
    }

    #[test]
    fn no_attempt_number_overflows() {
        let policy = RetryPolicy { max_attempts: u32::MAX, ..RetryPolicy::default() };
        assert!(policy.wait_after(u32::MAX - 1, 1.0, None).unwrap() <= policy.max_delay);
        assert!(reconnect_delay(u32::MAX, 1.0) <= Duration::from_secs(5));
    }
}
