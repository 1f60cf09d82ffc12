//! A broker that is killed, frozen or short of memory while alerts keep coming: whatever a sender was told is taken is there afterwards, once,
//! and nobody had to do anything.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use quell_simulator::Options;
use serde_json::json;

use crate::support::{
    broker::Broker,
    lab::{Lab, Quell},
    long::{is_long, seed},
};

const NOTE: &str =
    "playbook: note\nmode: enforce\ntrigger: {alert: {match: {kind: noise}}}\nsteps: [{id: a, action: log, with: {message: x}}]\n";

/// Sends until it is told to stop; what was refused is sent again, as senders do.
struct Sender {
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    sending: tokio::task::JoinHandle<(BTreeSet<String>, usize)>,
}

impl Sender {
    fn start(lab: &Arc<Lab>) -> Self {
        let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (lab, stopped, counted) = (Arc::clone(lab), Arc::clone(&stop), Arc::clone(&taken));
        let sending = tokio::spawn(async move {
            let (mut ids, mut refused, mut number) = (BTreeSet::new(), 0, 0);
            while !stopped.load(Ordering::Relaxed) {
                let now = jiff::Timestamp::now().to_string();
                let id = format!("alert-{number}");
                let alert = json!({"id": id, "source": "graph", "kind": "noise", "detected_at": now, "received_at": now});
                match lab.hook(&alert).await {
                    Ok((202, _)) => {
                        ids.insert(id);
                        number += 1;
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok((503, body)) => {
                        assert!(body.contains("send it again later"), "{body}");
                        refused += 1;
                    }
                    other => panic!("{other:?}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            (ids, refused)
        });
        Self { stop, taken, sending }
    }

    /// Waits until so many more were taken.
    async fn more(&self, more: usize, patience: Duration) {
        let (before, begun) = (self.taken.load(Ordering::Relaxed), Instant::now());
        while self.taken.load(Ordering::Relaxed) < before + more {
            assert!(begun.elapsed() < patience, "no alert is taken after {patience:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) -> (BTreeSet<String>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.sending.await.expect("the sender")
    }
}

/// An installation on a broker of its own, with alerts coming.
struct Scene {
    broker: Broker,
    lab: Arc<Lab>,
    quell: Quell,
    sender: Sender,
}

/// A broker starts in 4 to 7 seconds and a client looks for it every few; the rest is for a machine with other things to do.
const SOON: Duration = Duration::from_mins(1);

impl Scene {
    async fn begin() -> Self {
        let broker = Broker::start().await;
        let lab = Arc::new(Lab::on_broker(&broker.url(), Options::default()).await);
        lab.playbook("note", NOTE);
        let quell = lab.run().await;
        broker.settle().await;
        let sender = Sender::start(&lab);
        sender.more(20, SOON).await;
        Self { broker, lab, quell, sender }
    }

    /// What senders were told is what is there. It is the same process all the way: nobody started it again.
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    async fn end(mut self) {
        self.sender.more(50, SOON).await;
        let (taken, refused) = self.sender.end().await;
        let store = self.lab.store().await;
        let (alerts, runs) = self.lab.settled(&store, taken.len(), SOON).await;
        let known: BTreeSet<_> = alerts.iter().map(|row| row.id.clone()).collect();
        eprintln!("{} taken, {refused} refused, {} there", taken.len(), known.len());
        assert!(taken.is_subset(&known), "lost: {:?}", taken.difference(&known).collect::<Vec<_>>());
        assert_eq!((alerts.len(), runs.len()), (known.len(), known.len()), "each alert once, and a run for each");
        assert_eq!(self.quell.ended(), None, "it runs still");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_while_alerts_come_it_loses_none_that_was_answered() {
    let (times, seed) = (if is_long() { 200 } else { 20 }, seed());
    eprintln!("seed: QUELL_TEST_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::begin().await;
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(dice.u64(..1_000))).await;
        scene.broker.kill();
        scene.broker.start_again().await;
        scene.sender.more(20, SOON).await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_while_alerts_come_it_is_given_up_and_found_again() {
    let scene = Scene::begin().await;
    scene.broker.freeze();
    // Much longer than two heartbeats, after which nobody waits any more.
    tokio::time::sleep(Duration::from_mins(1)).await;
    let (code, body) = scene.lab.get("/readyz").await.expect("an answer");
    assert_eq!(code, 503, "{body}");
    scene.broker.thaw();
    scene.lab.ready(SOON).await.expect("it is ready again by itself");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn short_of_memory_while_alerts_come_it_refuses_and_takes_them_again_afterwards() {
    let scene = Scene::begin().await;
    scene.broker.run_short();
    let begun = Instant::now();
    while scene.lab.get("/readyz").await.expect("an answer").0 != 503 {
        assert!(begun.elapsed() < SOON, "nobody tells that the broker takes nothing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(if is_long() { 60 } else { 5 })).await;
    scene.broker.recover();
    scene.lab.ready(SOON).await.expect("it is ready again by itself");
    scene.end().await;
}
