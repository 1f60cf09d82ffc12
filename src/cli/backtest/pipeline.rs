//! The three stages of a backtest, each on a thread of its own: pages are read, matched, and replayed in order. Queues between them are
//! short, so that memory does not grow with the number of alerts.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    super::send::progress,
    clockwork::{self, Clockwork, Tick},
    replay::{Matched, Occasion, Replay, Was},
    report::Report,
};
use crate::{
    alert::Alert,
    engine::{Guardrails, SiteApprovals, decide::decide, foresight::Approvals, schedules},
    playbook::Library,
    store::{Hold, Past, Store, StoreError, Verdict, While},
};

/// What is to be replayed, and how.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) library: Arc<Library>,
    pub(super) guardrails: Arc<Guardrails>,
    pub(super) site: Arc<SiteApprovals>,
    pub(super) holds: Arc<[Hold]>,
    pub(super) approvals: Approvals,
    pub(super) within: While,
}

/// Large enough that a page costs more than its queries, small enough that a few of them are no burden.
const PAGE: i64 = 500;

/// Pages that wait between two stages: one is worked on while the next is made.
const WAITING: usize = 2;

/// One thing that runs may answer, with what is recorded about it.
enum Read {
    Alert(Past),
    Time(Box<Tick>),
}

/// Replays the alerts of a while, and the times of schedules. What came in the time before it that may still be of consequence is replayed
/// first, and not counted.
pub(super) async fn run(store: &Store, job: Job) -> Result<Report, StoreError> {
    let memory = clockwork::memory(&job.library, &job.guardrails);
    let within = While { since: job.within.since.checked_sub(memory).unwrap_or(Timestamp::MIN), ..job.within };
    let bar = progress(usize::try_from(store.count_past(within).await?).unwrap_or(usize::MAX));
    let clockwork = Clockwork::new(store, &job.library, within).await?;
    let (pages, mut read) = mpsc::channel::<Vec<Read>>(WAITING);
    let (answers, mut matched) = mpsc::channel::<Vec<Matched>>(WAITING);
    let library = Arc::clone(&job.library);
    let matching = spawn_blocking(move || {
        while let Some(page) = read.blocking_recv() {
            let page = page.into_iter().map(|read| answered(&library, read)).collect();
            if answers.blocking_send(page).is_err() {
                return;
            }
        }
    });
    let counting = bar.clone();
    let replaying = spawn_blocking(move || {
        let mut replay = Replay::new(job);
        while let Some(page) = matched.blocking_recv() {
            let count = page.iter().filter(|it| matches!(it.occasion, Occasion::Alert(_))).count();
            for matched in page {
                replay.take(matched);
            }
            counting.inc(u64::try_from(count).unwrap_or_default());
        }
        replay.end()
    });
    let sent = read_all(store, within, clockwork, pages).await;
    let broken = |error: tokio::task::JoinError| StoreError::Unusable(format!("the program failed while it replayed: {error}"));
    matching.await.map_err(broken)?;
    let report = replaying.await.map_err(broken)?;
    bar.finish_and_clear();
    sent.map(|()| report)
}

/// Alerts in the order in which they came, and before each the times of schedules that had come by then.
async fn read_all(store: &Store, within: While, mut clockwork: Clockwork, pages: mpsc::Sender<Vec<Read>>) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let page = store.past(after, within, PAGE).await?;
        let last = page.last().map(|last| (last.number, last.stored_at));
        let ticks = clockwork.pass(store, last.map_or_else(|| clockwork::before(within.until), |(_, at)| at)).await?;
        let mut ticks = ticks.into_iter().peekable();
        let mut read = Vec::with_capacity(page.len());
        for past in page {
            while let Some(tick) = ticks.next_if(|tick| tick.at <= past.stored_at) {
                read.push(Read::Time(Box::new(tick)));
            }
            read.push(Read::Alert(past));
        }
        read.extend(ticks.map(|tick| Read::Time(Box::new(tick))));
        if pages.send(read).await.is_err() {
            return Ok(());
        }
        let Some((number, _)) = last else { return Ok(()) };
        after = number;
    }
}

/// What the playbooks say, as of when it came.
fn answered(library: &Library, read: Read) -> Matched {
    match read {
        Read::Alert(past) => {
            let (alert, verdicts) = match Alert::from_event(&past.event) {
                Ok(alert) => {
                    let verdicts = decide(library, (past.number, past.is_revision), &alert, past.stored_at).verdicts;
                    (Ok(Some(alert)), verdicts)
                }
                Err(malformed) => (Err(malformed.to_string()), Vec::new()),
            };
            let was = Was { decisions: past.decisions, runs: past.runs };
            Matched { occasion: Occasion::Alert(past.number), at: past.stored_at, was, alert, verdicts }
        }
        Read::Time(tick) => {
            let verdict = tick.playbook.map(|playbook| match schedules::run_at(&playbook, tick.at, tick.at) {
                Ok(run) => Verdict::Run(Box::new(run)),
                Err(why) => Verdict::Error { playbook: playbook.name.clone(), hash: playbook.hash.clone(), detail: why.to_string() },
            });
            let decisions = tick.was.iter().map(|_| (tick.name.clone(), "run".to_owned(), String::new())).collect();
            let was = Was { decisions, runs: tick.was.into_iter().collect() };
            Matched { occasion: Occasion::Time(tick.at), at: tick.at, was, alert: Ok(None), verdicts: verdict.into_iter().collect() }
        }
    }
}
