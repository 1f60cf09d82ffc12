//! How many alerts Quell works off in a second, and what that costs, beside the least that any program could do.
//!
//! Every contestant is a process of its own, on a private RabbitMQ and a quorum queue that was filled before, and causes
//! one HTTP request for each alert, 64 at once, against a server on this machine that does nothing but count:
//!
//! - `floor` consumes, sends a POST and acknowledges. It keeps nothing.
//! - `quell, read` is the released program with a playbook that matches every alert and sends a GET.
//! - `quell, unsafe` sends a POST instead, so that its intent is on the disk before the first byte is sent.
//!
//! Quell commits every alert, decision, step and attempt to SQLite with full durability (in a folder under `TMPDIR`),
//! evaluates a match and an expression, and writes its log as by default. The contestants take turns, because a machine
//! changes while it is measured. Broker and server share the processors with whoever is measured.
//!
//! - alerts/s: from the moment of consuming to the last request; every alert is seen exactly once, or the bench fails.
//! - CPU: user and system time of the contestant alone, until a second after the last request.
//!
//! ```text
//! cargo bench --bench throughput -- [--alerts 5000] [--rounds 3] [--json]
//! ```

#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a bench is the outside: it may fail, and says what it saw"
)]

mod contestant;
mod floor;
mod sink;

/// The broker of the integration tests.
#[path = "../../tests/support"]
mod support {
    #![allow(
        dead_code,
        clippy::allow_attributes,
        let_underscore_drop,
        clippy::let_underscore_must_use,
        reason = "the tests need more of it"
    )]

    pub mod broker;
    pub mod ports;
}

use serde_json::json;

use contestant::{Contestant, Took};
use support::broker::Broker;

struct Options {
    alerts: usize,
    rounds: usize,
    json: bool,
}

fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("no other provider");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("start the runtime");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["floor", broker, queue, sink] => runtime.block_on(floor::run(broker, queue, sink)),
        arguments => runtime.block_on(compare(&options(arguments))),
    }
}

fn options(arguments: &[&str]) -> Options {
    let number = |name: &str, default| {
        let at = arguments.iter().position(|argument| *argument == name);
        at.map_or(default, |at| {
            arguments.get(at + 1).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("`{name}` needs a number"))
        })
    };
    Options { alerts: number("--alerts", 5000), rounds: number("--rounds", 3), json: arguments.contains(&"--json") }
}

async fn compare(options: &Options) {
    let broker = Broker::start().await;
    let mut rounds: Vec<(Contestant, Took)> = Vec::new();
    for round in 1..=options.rounds {
        for contestant in Contestant::ALL {
            let took = contestant.compete(&broker.url(), options.alerts).await;
            eprintln!("round {round}: {contestant}: {:.0} alerts/s", took.alerts_per_second);
            rounds.push((contestant, took));
        }
    }
    if options.json {
        let rounds: Vec<_> = rounds.iter().map(|(contestant, took)| json!({"contestant": contestant, "took": took})).collect();
        println!("{:#}", json!({"alerts": options.alerts, "rounds": rounds}));
    } else {
        report(options, &rounds);
    }
}

fn report(options: &Options, rounds: &[(Contestant, Took)]) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{} alerts in each of {} rounds on {cores} processors; median (lowest to highest)\n", options.alerts, options.rounds);
    println!("{:<14} {:>22} {:>9} {:>24} {:>10}", "", "alerts/s", "of floor", "CPU s per 1,000 alerts", "peak MB");
    let of = |contestant, value: fn(&Took) -> f64| {
        Spread::of(rounds.iter().filter(|(it, _)| *it == contestant).map(|(_, took)| value(took)).collect())
    };
    let floor = of(Contestant::Floor, |took| took.alerts_per_second).median;
    for contestant in Contestant::ALL {
        let rate = of(contestant, |took| took.alerts_per_second);
        let cpu = of(contestant, |took| took.cpu_seconds_per_1000);
        let memory = of(contestant, |took| took.peak_megabytes);
        let share = format!("{:.0} %", 100.0 * rate.median / floor);
        println!("{contestant:<14} {:>22} {share:>9} {:>24} {:>10.0}", rate.show(0), cpu.show(2), memory.median);
    }
}

struct Spread {
    lowest: f64,
    median: f64,
    highest: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { lowest: values[0], median: values[values.len() / 2], highest: values[values.len() - 1] }
    }

    fn show(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.lowest, self.highest)
    }
}
