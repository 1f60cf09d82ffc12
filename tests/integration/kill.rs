//! `kill -9` at random moments, while the other side loses answers: the journal and the world agree afterwards, as if nothing had happened.

use std::{
    fs,
    ops::Range,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use quell::{
    run::{RunState, StepState},
    store::{Store, Timeline},
};
use quell_simulator::{Fault, FaultKind};

use crate::{
    load,
    support::{
        broker::shared_url,
        lab::{Lab, Quell, timelines},
    },
};

/// How many messages are sent, and how often the process that works on them dies.
struct Ordeal {
    messages: usize,
    kills: usize,
    /// Milliseconds between two kills.
    pause: Range<u64>,
    /// The share of what is applied that is not answered.
    lost_answers: f64,
}

/// The load comes in pieces, so that there is work to the end.
const KILLS_A_PIECE: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing_and_doubles_nothing() {
    // The long form is 5,000 kills, each fifty of them with a load of their own: a kill that hits no work shows nothing.
    let rounds = if std::env::var_os("QUELL_LONG").is_some() { 100 } else { 1 };
    for round in 0..rounds {
        let lab = Lab::on_broker(&shared_url(), load::options(250)).await;
        survive(lab, round, Ordeal { messages: 10_000, kills: 50, pause: 20..1_500, lost_answers: 0.0 }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_bus_kill_9_loses_nothing_and_doubles_nothing() {
    let lab = Lab::new("url: embedded", load::options(60)).await;
    survive(lab, 0, Ordeal { messages: 2_000, kills: 20, pause: 20..700, lost_answers: 0.3 }).await;
}

#[expect(clippy::print_stderr, reason = "with the seed a failure can be repeated")]
async fn survive(lab: Lab, round: u64, ordeal: Ordeal) {
    let seed = std::env::var("QUELL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed: QUELL_TEST_SEED={seed}, round {round}");
    let mut dice = fastrand::Rng::with_seed(seed.wrapping_add(round));
    let lab = load::prepared(lab);
    for service in ["graph", "partner-center", "slack"] {
        for method in ["POST", "PATCH"] {
            let lost =
                Fault { service: Some(service.to_owned()), method: Some(method.to_owned()), ..Fault::always(FaultKind::ApplyThenDrop) };
            lab.simulator.fault(Fault { probability: ordeal.lost_answers, ..lost });
        }
    }
    let load = load::load(&lab.simulator, ordeal.messages);
    let mut pieces = load.lines.chunks(load.lines.len().div_ceil(ordeal.kills.div_ceil(KILLS_A_PIECE)));
    let mut running: Quell = lab.run().await;
    let mut sending = send(&lab, pieces.next());
    let store = lab.store().await;
    let (mut killed, mut killed_at_work, first) = (0, 0, Instant::now());
    while killed < ordeal.kills {
        tokio::time::sleep(Duration::from_millis(dice.u64(ordeal.pause.clone()))).await;
        if killed > 0 && killed % KILLS_A_PIECE == 0 {
            assert!(sending.wait().expect("wait for quell send").success());
            sending = send(&lab, pieces.next());
        }
        let at_work = sending.try_wait().expect("ask quell send").is_none() || !store.open_runs().await.expect("list runs").is_empty();
        // Now and then it is asked to end first, and dies before it has.
        if dice.u8(..4) == 0 {
            running.signal("TERM");
            tokio::time::sleep(Duration::from_millis(dice.u64(..200))).await;
        }
        running.kill();
        killed += 1;
        killed_at_work += usize::from(at_work);
        running = lab.start();
    }
    assert!(sending.wait().expect("wait for quell send").success());
    let begun = Instant::now();
    let found = tokio::select! {
        found = lab.settled(&store, load.ids.len(), Duration::from_secs(280)) => found,
        () = people_settle(&lab, &store) => unreachable!("people look on"),
    };
    eprintln!(
        "{killed} kills in {:?}, {killed_at_work} of them at work; settled {:?} after the last",
        begun.duration_since(first),
        begun.elapsed()
    );
    load::holds(&lab, &store, &load, &found, killed).await;
    assert!(killed_at_work * 2 >= killed, "most kills must hit work, or this test shows nothing: {killed_at_work} of {killed}");
    drop(running);
}

/// While a run waits for a target that another left in doubt, it waits for a person: this one looks at the other side and says what is there.
#[expect(clippy::print_stderr, reason = "it says what was settled")]
async fn people_settle(lab: &Lab, store: &Store) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let runs = timelines(store).await;
        let waits: Vec<_> = runs.iter().filter(|run| !run.run.state.is_final()).flat_map(|run| &run.steps).collect();
        let is_waited_for = |run: &&Timeline| waits.iter().any(|step| step.error.as_ref().is_some_and(|why| why.contains(&run.run.id.0)));
        for run in runs.iter().filter(|run| run.run.state == RunState::Indeterminate).filter(is_waited_for) {
            for step in run.steps.iter().filter(|step| step.state == StepState::Indeterminate) {
                let requested = step.request_id.to_string();
                let happened = lab
                    .simulator
                    .ledger()
                    .iter()
                    .any(|entry| entry.applied && entry.effect.is_some() && entry.request_id.as_deref() == Some(requested.as_str()));
                let finding = if happened { "--happened" } else { "--did-not" };
                let settled = lab.quell(&["runs", "settle", &run.run.id.0, &step.id, finding, "--reason", "the ledger says so"]);
                eprintln!("{finding}: {}", String::from_utf8_lossy(&settled.stdout).trim());
                assert!(settled.status.success(), "{settled:?}");
            }
        }
    }
}

/// Lets `quell send` put a piece of the load on the bus.
fn send(lab: &Lab, lines: Option<&[String]>) -> Child {
    fs::write(lab.path("load.jsonl"), lines.unwrap_or_default().join("\n")).expect("write the load");
    lab.command(&["send", "--raw", "load.jsonl"]).stdout(Stdio::null()).spawn().expect("start quell send")
}
