//! `kill -9` at random moments, while the other side loses answers: the journal and the world agree afterwards, as if nothing had happened.

use std::{
    fs,
    ops::Range,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use quell::{
    run::{RunState, StepState},
    store::{RunFilter, Store, Timeline},
};
use quell_simulator::{Fault, FaultKind, Options};

use crate::{
    load,
    support::{
        broker::shared_url,
        lab::Lab,
        long::{is_long, seed},
        ports::free_port,
        postgres::shared_schema,
    },
};

/// How many messages are sent, and how often the process that works on them dies.
struct Ordeal {
    messages: usize,
    kills: usize,
    /// Processes that share the work.
    nodes: usize,
    /// Milliseconds from when it listens, or now and then from its start, to its death.
    pause: Range<u64>,
}

/// On each of the two buses: the short form is 200 kills together, the long form 5,000. Each hundred have a load of their own, because a kill
/// that hits no work shows nothing.
const ORDEAL: Ordeal = Ordeal { messages: 2_500, kills: 100, nodes: 1, pause: 0..600 };

/// Times that the long form repeats the short one.
const LONG: u64 = 25;

/// On two nodes with a PostgreSQL: 100 kills, and 5,000 in the long form. What a dead node left waits for the end of its lease.
const ON_TWO_NODES: Ordeal = Ordeal { messages: 2_500, kills: 100, nodes: 2, pause: 0..900 };

/// Times that the long form repeats that.
const LONG_ON_TWO_NODES: u64 = 50;

/// The share of what is applied that is not answered.
const LOST_ANSWERS: f64 = 0.3;

/// The load comes in pieces, so that there is work to the end.
const KILLS_A_PIECE: usize = 5;

/// More plans than there are alerts about coin miners at once: two runs rarely want the same, so that one that ends in doubt keeps few waiting.
const CUSTOMERS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing_and_doubles_nothing() {
    for round in 0..rounds(LONG) {
        let seed = Seed::of(round);
        let lab = Lab::on_broker(&shared_url(), seed.options()).await;
        survive(lab, &seed, ORDEAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_bus_kill_9_loses_nothing_and_doubles_nothing() {
    for round in 0..rounds(LONG) {
        let seed = Seed::of(round);
        let lab = Lab::new("url: embedded", seed.options()).await;
        survive(lab, &seed, ORDEAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_two_nodes_kill_9_of_either_loses_nothing_and_doubles_nothing() {
    for round in 0..rounds(LONG_ON_TWO_NODES) {
        let seed = Seed::of(round);
        let lab = Lab::on_broker(&shared_url(), seed.options()).await.with_journal_in(&shared_schema().await);
        survive(lab, &seed, ON_TWO_NODES).await;
    }
}

fn rounds(long: u64) -> u64 {
    if is_long() { long } else { 1 }
}

/// What the answers lost and the moments of the kills come from.
struct Seed(u64);

impl Seed {
    #[expect(clippy::print_stderr, reason = "with the seed a failure can be repeated")]
    fn of(round: u64) -> Self {
        let seed = seed();
        eprintln!("seed: QUELL_TEST_SEED={seed}, round {round}");
        Self(seed.wrapping_add(round))
    }

    fn options(&self) -> Options {
        Options { seed: self.0, ..load::options(CUSTOMERS) }
    }
}

#[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
async fn survive(lab: Lab, seed: &Seed, ordeal: Ordeal) {
    let mut dice = fastrand::Rng::with_seed(seed.0);
    let lab = load::prepared(lab);
    lose_answers(&lab);
    let load = load::load(&lab.simulator, ordeal.messages);
    let mut pieces = load.lines.chunks(load.lines.len().div_ceil(ordeal.kills.div_ceil(KILLS_A_PIECE)));
    let mut nodes = Vec::new();
    for number in 0..ordeal.nodes {
        let port = if number == 0 { lab.port } else { free_port() };
        nodes.push((lab.start_at(port), port));
    }
    lab.ready(Duration::from_secs(30)).await.expect("it is ready");
    let mut sending = send(&lab, pieces.next());
    let store = lab.store().await;
    let (mut killed, mut at_work, mut windows, first) = (0, 0, 0, Instant::now());
    while killed < ordeal.kills {
        let victim = dice.usize(..nodes.len());
        let (running, port) = nodes.swap_remove(victim);
        // On a slow machine a start takes long, and few kills would hit any work.
        if dice.u8(..4) > 0 {
            lab.listens_at(port).await;
        }
        tokio::time::sleep(Duration::from_millis(dice.u64(ordeal.pause.clone()))).await;
        if killed > 0 && killed % KILLS_A_PIECE == 0 {
            assert!(sending.wait().expect("wait for quell send").success());
            sending = send(&lab, pieces.next());
        }
        // Now and then it is asked to end first, and dies before it has.
        if dice.u8(..4) == 0 {
            running.signal("TERM");
            tokio::time::sleep(Duration::from_millis(dice.u64(..200))).await;
        }
        running.kill();
        killed += 1;
        let hit = windows_hit(&store).await;
        at_work += usize::from(hit > 0);
        windows += hit;
        nodes.push((lab.start_at(port), port));
    }
    assert!(sending.wait().expect("wait for quell send").success());
    let begun = Instant::now();
    let found = tokio::select! {
        found = lab.settled(&store, load.ids.len(), Duration::from_secs(280)) => found,
        () = people_settle(&lab, &store) => unreachable!("people look on"),
    };
    let unanswered = lab.simulator.ledger().iter().filter(|entry| entry.applied && !entry.answered).count();
    eprintln!(
        "{killed} kills in {:?}: {at_work} with calls under way, {windows} calls; {unanswered} answers lost; settled {:?} after the last",
        begun.duration_since(first),
        begun.elapsed()
    );
    load::holds(&lab, &store, &load, &found, killed).await;
    let in_doubt = found.1.iter().filter(|run| run.run.state == RunState::Indeterminate).count();
    assert!(
        in_doubt <= windows + unanswered,
        "{in_doubt} runs are in doubt, and only {windows} calls were cut short, {unanswered} not answered"
    );
    assert!(at_work * 6 >= killed, "kills must hit calls that are under way, or this test shows nothing: {at_work} of {killed}");
    drop(nodes);
}

/// The other side does what it is asked to and often does not say so.
fn lose_answers(lab: &Lab) {
    for service in ["graph", "partner-center", "slack"] {
        for method in ["POST", "PATCH"] {
            let lost =
                Fault { service: Some(service.to_owned()), method: Some(method.to_owned()), ..Fault::always(FaultKind::ApplyThenDrop) };
            lab.simulator.fault(Fault { probability: LOST_ANSWERS, ..lost });
        }
    }
}

/// How many steps have their intent on the disk and no outcome.
async fn windows_hit(store: &Store) -> usize {
    let steps = open(store).await.into_iter().flat_map(|run| run.steps);
    steps.filter(|step| step.state == StepState::Executing).count()
}

/// The runs that have not ended.
async fn open(store: &Store) -> Vec<Timeline> {
    let mut open = Vec::new();
    for (run, _) in store.open_runs().await.expect("list runs") {
        open.extend(store.timeline(&run).await.expect("read a run"));
    }
    open
}

/// While a run waits for a target that another left in doubt, it waits for a person: this one looks at the other side and says what is there.
#[expect(clippy::print_stderr, reason = "it says what was settled")]
async fn people_settle(lab: &Lab, store: &Store) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let waits: Vec<_> = open(store).await.into_iter().flat_map(|run| run.steps).filter_map(|step| step.error).collect();
        let in_doubt = RunFilter { state: Some(RunState::Indeterminate.as_str().to_owned()), ..RunFilter::default() };
        for run in store.runs(&in_doubt).await.expect("list runs") {
            if !waits.iter().any(|why| why.contains(&run.id.0)) {
                continue;
            }
            let run = store.timeline(&run.id).await.expect("read a run").expect("a run");
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
