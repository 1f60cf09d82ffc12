//! The loop of every adapter that fetches: pace, pages, publishing, the cursor, backoff and what the source asks for.
//!
//! The cursor moves only after everything before it is on the bus, so a crash or a fault anywhere repeats but never skips.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::{Instrument, info_span};

use super::{Surroundings, inlet::Inlet};
use crate::{
    alert::Alert,
    bus::{BoxFuture, Message},
    connections::Microsoft,
    failpoints,
    lifecycle::Stop,
    retry::{Backoff, RetryPolicy},
    store::Store,
};

/// Fetches again and again.
pub struct Task {
    every: Duration,
    inlet: Inlet,
    store: Store,
    source: Box<dyn Source>,
}

/// What a polling member does: it fetches one page, once.
pub(super) trait Source: Send + Sync + 'static {
    /// Whose services are asked, if they are Microsoft's: what one poll is told of pace holds for all of that tenant.
    fn tenant(&self) -> Option<&Microsoft> {
        None
    }

    /// Fetches a page: the first, or the one that the page before named.
    ///
    /// `position` is what the member remembers of former rounds, in its own form. What it writes there is kept once all of the
    /// round's messages are on the bus, and forgotten when the round fails.
    fn fetch<'a>(&'a self, position: &'a mut Option<String>, at: At<'a>) -> BoxFuture<'a, Result<Fetched, Trouble>>;
}

/// Which page is wanted, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) page: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// One page.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) messages: Vec<Message>,
    /// How the source calls the next page.
    pub(super) next: Option<String>,
}

/// Why a page could not be had.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

/// Slower than reconnecting to a broker: the other side is not ours, and what it holds does not go away.
const AGAIN: RetryPolicy =
    RetryPolicy { max_attempts: u32::MAX, delay: Duration::from_secs(2), backoff: Backoff::Exponential, max_delay: Duration::from_mins(5) };

/// How soon a node takes a poll over from one that died.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A source with more pages at once is broken or needs a narrower question.
const MOST_PAGES: usize = 1_000;

impl Task {
    pub(super) fn new(every: Duration, inlet: Inlet, around: &Surroundings, source: impl Source) -> Self {
        Self { every, inlet, store: around.store.clone(), source: Box::new(source) }
    }

    /// Fetches until the program should end.
    pub async fn run(self, stop: Stop) {
        let mut failures = 0;
        let duty = format!("poll {}", self.inlet.adapter);
        while !stop.is_requested() {
            // Where the store does not answer, the round finds that out and tells it.
            if matches!(self.store.has_duty(&duty).await, Ok(false)) {
                stop.sleep(LOOK_AGAIN.min(self.every)).await;
                continue;
            }
            if let Some(wait) = self.source.tenant().and_then(|tenant| tenant.wants_quiet(Instant::now())) {
                stop.sleep(wait).await;
                continue;
            }
            let span = info_span!("poll", adapter = self.inlet.adapter);
            let Some(ended) = stop.or(self.round().instrument(span)).await else {
                return;
            };
            let wait = self.note(ended, &mut failures);
            stop.sleep(wait).await;
        }
    }

    /// Tells how the round went, and how long to wait before the next.
    fn note(&self, ended: Result<usize, Trouble>, failures: &mut u32) -> Duration {
        let adapter = &self.inlet.adapter;
        match ended {
            Ok(alerts) => {
                *failures = 0;
                let seconds = Timestamp::now().as_duration().as_secs_f64();
                self.inlet.signals.poll_succeeded(adapter, seconds, alerts);
                self.every
            }
            Err(trouble) => {
                if let (Some(tenant), Some(wait)) = (self.source.tenant(), trouble.retry_after) {
                    tenant.leave_alone(Instant::now(), wait);
                }
                *failures = failures.saturating_add(1);
                let again_in = AGAIN.wait_after(*failures, fastrand::f64(), trouble.retry_after).unwrap_or(AGAIN.max_delay);
                self.inlet.signals.poll_failed(adapter, &trouble.message, again_in);
                again_in
            }
        }
    }

    /// Fetches every page, and says how many messages they gave.
    pub(super) async fn round(&self) -> Result<usize, Trouble> {
        let adapter = &self.inlet.adapter;
        let before = self.store.cursor(adapter).await.map_err(|error| Trouble::new(format!("read the cursor: {error}")))?;
        let (mut position, mut page, mut count) = (before.clone(), None, 0);
        let mut pages = BTreeSet::new();
        let mut oldest: Option<Timestamp> = None;
        loop {
            let at = At { page: page.as_deref(), now: Timestamp::now() };
            let fetched = self.source.fetch(&mut position, at).await?;
            count += fetched.messages.len();
            let detected = fetched.messages.iter().filter_map(|message| Some(Alert::from_event(&message.body).ok()?.detected_at));
            oldest = detected.chain(oldest).min();
            failpoints::crash("page_fetched");
            self.inlet.publish(fetched.messages).await.map_err(|error| Trouble::new(error.to_string()))?;
            failpoints::crash("page_published");
            let Some(next) = fetched.next else {
                break;
            };
            if !pages.insert(next.clone()) {
                return Err(Trouble::new("the source names a page as the next that it named before"));
            }
            if pages.len() >= MOST_PAGES {
                return Err(Trouble::new(format!("the source has more than {MOST_PAGES} pages; ask it for less at once")));
            }
            page = Some(next);
        }
        if let Some(position) = position.filter(|position| Some(position) != before.as_ref()) {
            let kept = self.store.set_cursor(adapter, &position).await;
            kept.map_err(|error| Trouble::new(format!("keep the cursor: {error}")))?;
        }
        if let Some(oldest) = oldest {
            let lag = Duration::try_from(Timestamp::now().duration_since(oldest)).unwrap_or_default();
            self.inlet.signals.poll_lagged(adapter, lag);
        }
        Ok(count)
    }
}

impl Trouble {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("adapter", &self.inlet.adapter).field("every", &self.every).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{super::testing::Bench, *};

    /// Fails so often, then succeeds; counts how often it was asked.
    struct Failing {
        times: usize,
        asked: std::sync::Arc<AtomicUsize>,
        retry_after: Option<Duration>,
    }

    impl Source for Failing {
        fn fetch<'a>(&'a self, _position: &'a mut Option<String>, _at: At<'a>) -> BoxFuture<'a, Result<Fetched, Trouble>> {
            Box::pin(async {
                let asked = self.asked.fetch_add(1, Ordering::Relaxed);
                if asked < self.times {
                    Err(Trouble { message: "away".to_owned(), retry_after: self.retry_after })
                } else {
                    Ok(Fetched::default())
                }
            })
        }
    }

    async fn run_for(duration: Duration, times: usize, retry_after: Option<Duration>) -> (usize, Bench) {
        let bench = Bench::new().await;
        let asked = std::sync::Arc::default();
        let source = Failing { times, asked: std::sync::Arc::clone(&asked), retry_after };
        let task = Task::new(Duration::from_mins(1), Inlet::new("feed", "feed", &bench.around), &bench.around, source);
        // The store answers from another thread, which a paused clock does not wait for.
        let stop = Stop::default();
        let (ender, real) = (stop.clone(), Instant::now());
        tokio::join!(task.run(stop), async {
            tokio::time::sleep(duration).await;
            ender.request();
        });
        assert!(real.elapsed() < duration + Duration::from_secs(5));
        (asked.load(Ordering::Relaxed), bench)
    }

    #[tokio::test]
    async fn a_failure_is_tried_again_soon_and_a_success_waits_its_time() {
        let (asked, bench) = run_for(Duration::from_millis(2_600), 1, None).await;
        assert_eq!(asked, 2, "once at once and once after one to two seconds");
        assert!(bench.metric("quell_poll_last_success_timestamp_seconds{adapter=\"feed\"}").is_some());
    }

    #[tokio::test]
    async fn a_source_that_asks_for_time_gets_it() {
        let (asked, bench) = run_for(Duration::from_millis(2_600), 1, Some(Duration::from_mins(2))).await;
        assert_eq!(asked, 1);
        assert_eq!(bench.metric("quell_poll_last_success_timestamp_seconds{adapter=\"feed\"}"), None);
    }
}
