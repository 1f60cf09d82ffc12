//! What an alert costs to match, by the number of playbooks: with the index, and asking each playbook alone.
//!
//! All figures are of one run. It fails when an alert at 10,000 playbooks, of which one matches, costs over twice what it costs at one.

#![expect(clippy::print_stdout, clippy::indexing_slicing, clippy::panic, reason = "a benchmark reports, and may panic")]

use std::{cell::LazyCell, hint::black_box, path::Path, process::ExitCode, time::Instant};

use jiff::Timestamp;
use quell::{
    expression::{Sandbox, Scope},
    playbook::{Index, Playbook, Verdict},
};
use serde_json::{Value, json};

const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];
const ALERTS: usize = 2_000;
const ROUNDS: usize = 15;
/// What an alert may cost at the largest size, in units of what it costs at one playbook.
const MOST: f64 = 2.0;

fn main() -> ExitCode {
    let all: Vec<Playbook> = (0..SIZES[3]).map(playbook).collect();
    println!("{:>10} {:>16} {:>10} {:>18}", "playbooks", "with the index", "ratio", "asking each");
    let mut base = None;
    let mut last = 0.0;
    for size in SIZES {
        let playbooks = &all[..size];
        let index = Index::new(playbooks.iter().map(clauses));
        let alerts: Vec<Value> = (0..ALERTS).map(|at| alert(at % size)).collect();
        let indexed = median(|| alerts.iter().map(|it| index.remaining(black_box(it)).len()).sum::<usize>(), ALERTS);
        // Ten alerts are enough where each asks ten thousand playbooks.
        let few = &alerts[..(ALERTS / size).max(10)];
        let each = median(|| few.iter().map(|it| playbooks.iter().filter(|playbook| asks(playbook, it)).count()).sum::<usize>(), few.len());
        let base = *base.get_or_insert(indexed);
        last = indexed / base;
        println!("{size:>10} {indexed:>13.0} ns {last:>9.2}x {each:>15.0} ns");
    }
    if last > MOST {
        println!("an alert costs {last:.2} times as much at {} playbooks as at one, over {MOST}", SIZES[3]);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Nanoseconds for each of `count` alerts, of the middle round; every alert must meet one playbook.
fn median(mut work: impl FnMut() -> usize, count: usize) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(work(), count, "every alert matches one playbook");
            #[expect(clippy::cast_precision_loss, reason = "a few thousand alerts")]
            let each = begun.elapsed().as_secs_f64() * 1e9 / count as f64;
            each
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn asks(playbook: &Playbook, alert: &Value) -> bool {
    let mut scope = LazyCell::new(|| Scope::new(Timestamp::UNIX_EPOCH));
    playbook.trigger.alert().is_some_and(|it| it.evaluate(alert, false, &mut scope) == Verdict::Matches)
}

fn clauses(playbook: &Playbook) -> &[quell::playbook::Clause] {
    playbook.trigger.alert().map(|it| it.clauses.as_slice()).unwrap_or_default()
}

/// One playbook for each customer, as a partner with many customers writes them, and some that go by other fields.
fn playbook(at: usize) -> Playbook {
    let whose = match at % 4 {
        0 => format!("customer_tenant_id: tenant-{at}"),
        1 => format!("subscription_id: [sub-{at}, other-{at}]\n      severity: {{at_least: medium}}"),
        2 => format!("details.tag: {{prefix: tag-{at}-}}"),
        _ => format!("details.host: host-{at}"),
    };
    let text = format!(
        "playbook: p{at}\ntrigger:\n  alert:\n    match:\n      source: graph\n      status: active\n      {whose}\nsteps: [{{id: s, stop: {{outcome: done, reason: r}}}}]\n"
    );
    Playbook::parse(&Sandbox::new(), Path::new("p.yaml"), &text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).0
}

fn alert(at: usize) -> Value {
    let own = |kind: usize, text: String| if at % 4 == kind { text } else { "none".to_owned() };
    json!({
        "id": format!("a-{at}"), "source": "graph", "kind": "crypto_mining", "severity": "high", "confidence": "high", "status": "active",
        "title": "Mining", "description": "", "customer_tenant_id": own(0, format!("tenant-{at}")), "subscription_id": own(1, format!("sub-{at}")),
        "resources": [], "detected_at": "2026-03-02T04:11:09Z", "received_at": "2026-03-02T04:12:00Z", "revision": "0", "is_test": false,
        "details": {"tag": own(2, format!("tag-{at}-x")), "host": own(3, format!("host-{at}"))}, "raw": null,
    })
}
