//! `kill -9` at random moments: the journal and the world agree afterwards, as if nothing had happened.

use std::{
    fs,
    ops::Range,
    time::{Duration, Instant},
};

use crate::{
    load,
    support::{
        broker::shared_url,
        lab::{Lab, Quell},
    },
};

/// How many messages are sent, and how often the process that works on them dies.
struct Ordeal {
    messages: usize,
    kills: usize,
    /// Milliseconds between two kills.
    pause: Range<u64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing_and_doubles_nothing() {
    // Fifty in the short form; the long form is for the night.
    let kills = if std::env::var_os("QUELL_LONG").is_some() { 500 } else { 50 };
    let lab = Lab::on_broker(&shared_url(), load::options(250)).await;
    survive(lab, Ordeal { messages: 10_000, kills, pause: 20..1_500 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_bus_kill_9_loses_nothing_and_doubles_nothing() {
    let lab = Lab::new("url: embedded", load::options(60)).await;
    survive(lab, Ordeal { messages: 2_000, kills: 20, pause: 20..700 }).await;
}

#[expect(clippy::print_stderr, reason = "with the seed a failure can be repeated")]
async fn survive(lab: Lab, ordeal: Ordeal) {
    let seed = std::env::var("QUELL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed: QUELL_TEST_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let lab = load::prepared(lab);
    let load = load::load(&lab.simulator, ordeal.messages);
    fs::write(lab.path("load.jsonl"), load.lines.join("\n")).expect("write the load");
    let mut running: Quell = lab.run().await;
    let sending = lab.command(&["send", "--raw", "load.jsonl"]).stdout(std::process::Stdio::null()).spawn();
    let mut sending = sending.expect("start quell send");
    let store = lab.store().await;
    let (mut killed, mut killed_at_work) = (0, 0);
    while killed < ordeal.kills {
        tokio::time::sleep(Duration::from_millis(dice.u64(ordeal.pause.clone()))).await;
        let at_work = sending.try_wait().expect("ask quell send").is_none() || !store.open_runs().await.expect("list runs").is_empty();
        running.kill();
        killed += 1;
        killed_at_work += usize::from(at_work);
        running = lab.start();
    }
    assert!(sending.wait().expect("wait for quell send").success());
    let begun = Instant::now();
    let found = lab.settled(&store, load.ids.len(), Duration::from_secs(280)).await;
    eprintln!("{killed} kills, {killed_at_work} of them at work; settled {:?} after the last", begun.elapsed());
    load::holds(&lab, &store, &load, &found, killed).await;
    assert!(killed_at_work * 2 >= killed, "most kills must hit work, or this test shows nothing: {killed_at_work} of {killed}");
    drop(running);
}
