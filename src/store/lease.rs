//! How much time a node has: of its lease, for a call, and until others go on with what it left. All of the arithmetic by which no two nodes
//! call for the same step is here; [`super::nodes`] and the driver go by it.
//!
//! A call's time begins before its intent is judged, and that looks whether the lease holds. So the lease ends after the call's time began,
//! whatever happens to the node from then on: it may be cut off from its journal, stopped, suspended, and even have a new lease.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use crate::clock::uptime;

/// Of its lease a node uses no more than so much: within the rest, what it began before can still be recorded.
const USABLE: u32 = 2;
const OF: u32 = 3;

/// What a call may take on a journal that several programs share, with all that it sends: as long as our HTTP client waits for one answer.
const LONGEST_CALL: Duration = Duration::from_secs(15);

/// By then, what was sent in the last moment of a call has had its effect, so that whoever looks sees it. Clocks do not run alike either.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// How much of a lease its holder begins something in.
pub(super) fn usable(lease: Duration) -> Duration {
    lease * USABLE / OF
}

/// How long after its node's lease a call may be under way: until then nobody goes on with a run that has one.
pub(super) fn quiet(lease: Duration) -> Duration {
    lease.max(LONGEST_CALL + AFTERWARDS)
}

/// The time that a call has, from before its intent is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTime {
    /// In terms of [`uptime`]; none where nobody else could call.
    until: Option<Duration>,
}

impl CallTime {
    /// Nobody else can call, or to call twice does no harm.
    pub const UNBOUNDED: Self = Self { until: None };

    /// The time of a call of which another node may not know whether it is under way.
    pub(super) fn from(now: Duration) -> Self {
        Self { until: Some(now + LONGEST_CALL) }
    }

    /// Whether nothing may be sent any more.
    pub fn is_over(self) -> bool {
        self.until.is_some_and(|until| uptime() >= until)
    }

    /// Drives a call, and gives it up when its time is over: then not one step more of it is taken, so that it sends nothing more, also
    /// where the process or the machine stood still meanwhile.
    pub async fn hold<T>(self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        let held = poll_fn(|context| if self.is_over() { Poll::Ready(None) } else { call.as_mut().poll(context).map(Some) });
        match self.until {
            None => held.await,
            Some(until) => tokio::time::timeout(until.saturating_sub(uptime()), held).await.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn nobody_goes_on_with_a_run_while_a_call_of_it_can_be_under_way_or_take_its_effect() {
        for lease in [1, 3, 15, 60, 600].map(Duration::from_secs) {
            assert!(quiet(lease) >= LONGEST_CALL + AFTERWARDS, "{lease:?}");
            assert!(usable(lease) < lease);
        }
        let begun = uptime();
        assert_eq!(CallTime::from(begun).until, Some(begun + LONGEST_CALL));
    }

    #[tokio::test]
    async fn a_call_whose_time_is_over_takes_no_further_step_whatever_it_was_about_to_send() {
        let sent = AtomicBool::new(false);
        let late = CallTime { until: Some(uptime()) };
        assert!(late.is_over());
        assert_eq!(late.hold(async { sent.store(true, Ordering::SeqCst) }).await, None);
        assert!(!sent.load(Ordering::SeqCst));

        // As after a sleep: what it waited for is there at last, and so is the end of its time.
        let short = CallTime { until: Some(uptime() + Duration::from_millis(20)) };
        let (wake, woken) = tokio::sync::oneshot::channel();
        let call = async {
            woken.await.unwrap();
            sent.store(true, Ordering::SeqCst);
        };
        let stands_still = async {
            let begun = uptime();
            while uptime().saturating_sub(begun) < Duration::from_millis(40) {
                std::hint::spin_loop();
            }
            wake.send(()).unwrap();
        };
        let (held, ()) = tokio::join!(biased; short.hold(call), stands_still);
        assert_eq!(held, None);
        assert!(!sent.load(Ordering::SeqCst), "it went on after its time");
    }

    #[tokio::test]
    async fn a_call_is_given_up_at_the_end_of_its_time_however_much_it_still_wants_to_send() {
        let short = CallTime { until: Some(uptime() + Duration::from_millis(20)) };
        assert_eq!(short.hold(std::future::pending::<()>()).await, None);
        assert_eq!(short.hold(async { 1 }).await, None);
        assert_eq!(CallTime::UNBOUNDED.hold(async { 1 }).await, Some(1));
        assert_eq!(CallTime::from(uptime()).hold(async { 1 }).await, Some(1));
    }
}
