//! The three stages of a backtest, each on a thread of its own: pages are read, matched, and replayed in order. Queues between them are
//! short, so that memory does not grow with the number of alerts.

use std::sync::Arc;

use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    super::send::progress,
    replay::{Matched, Replay},
    report::Report,
};
use crate::{
    alert::Alert,
    engine::{Guardrails, SiteApprovals, decide::decide, foresight::Approvals},
    playbook::Library,
    store::{Past, Store, StoreError, While},
};

/// What is to be replayed, and how.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) library: Arc<Library>,
    pub(super) guardrails: Arc<Guardrails>,
    pub(super) site: Arc<SiteApprovals>,
    pub(super) approvals: Approvals,
    pub(super) within: While,
}

/// Large enough that a page costs more than its queries, small enough that a few of them are no burden.
const PAGE: i64 = 500;

/// Pages that wait between two stages: one is worked on while the next is made.
const WAITING: usize = 2;

/// Replays the alerts of a while.
pub(super) async fn run(store: &Store, job: Job) -> Result<Report, StoreError> {
    let bar = progress(usize::try_from(store.count_past(job.within).await?).unwrap_or(usize::MAX));
    let (pages, mut read) = mpsc::channel::<Vec<Past>>(WAITING);
    let (answers, mut matched) = mpsc::channel::<Vec<Matched>>(WAITING);
    let library = Arc::clone(&job.library);
    let matching = spawn_blocking(move || {
        while let Some(page) = read.blocking_recv() {
            let page = page.into_iter().map(|past| answered(&library, past)).collect();
            if answers.blocking_send(page).is_err() {
                return;
            }
        }
    });
    let within = job.within;
    let counting = bar.clone();
    let replaying = spawn_blocking(move || {
        let mut replay = Replay::new(job);
        while let Some(page) = matched.blocking_recv() {
            let count = page.len();
            for matched in page {
                replay.take(matched);
            }
            counting.inc(u64::try_from(count).unwrap_or_default());
        }
        replay.end()
    });
    let sent = read_all(store, within, pages).await;
    let broken = |error: tokio::task::JoinError| StoreError::Unusable(format!("the program failed while it replayed: {error}"));
    matching.await.map_err(broken)?;
    let report = replaying.await.map_err(broken)?;
    bar.finish_and_clear();
    sent.map(|()| report)
}

async fn read_all(store: &Store, within: While, pages: mpsc::Sender<Vec<Past>>) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let page = store.past(after, within, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.number;
        if pages.send(page).await.is_err() {
            return Ok(());
        }
    }
}

/// What the playbooks say to an alert, as of when it came.
fn answered(library: &Library, past: Past) -> Matched {
    match Alert::from_event(&past.event) {
        Ok(alert) => {
            let verdicts = decide(library, (past.number, past.is_revision), &alert, past.stored_at).verdicts;
            Matched { past, alert: Ok(alert), verdicts }
        }
        Err(malformed) => Matched { past, alert: Err(malformed.to_string()), verdicts: Vec::new() },
    }
}
