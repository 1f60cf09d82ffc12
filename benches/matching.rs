//! What an alert costs to match, by the number of playbooks: with the index, and asking each playbook alone.
//!
//! There are two mixes of playbooks: with values that an alert has, and with expressions, ranges, and values that it must not have. All figures
//! are of one run. It fails when an alert at 10,000 playbooks, of which one matches, costs over twice what it costs at one.

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

/// Playbooks by their number, and an alert that meets one of them.
struct Mix {
    name: &'static str,
    matches: fn(usize) -> String,
    alert: fn(usize) -> Value,
}

const MIXES: [Mix; 2] = [
    Mix { name: "values, lists and prefixes", matches: by_values, alert: with_values },
    Mix { name: "regex, not, exists: false and ranges", matches: by_the_rest, alert: with_the_rest },
];

/// What is measured at one number of playbooks.
struct Case<'p> {
    playbooks: &'p [Playbook],
    index: Index,
    alerts: Vec<Value>,
    /// Nanoseconds for each alert, round by round.
    indexed: Vec<f64>,
    each: Vec<f64>,
}

fn main() -> ExitCode {
    let worst = MIXES.iter().map(measure).fold(0.0, f64::max);
    if worst > MOST {
        println!("an alert costs {worst:.2} times as much at {} playbooks as at one, over {MOST}", SIZES[3]);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Prints what a mix costs, and returns the ratio at the largest size.
fn measure(mix: &Mix) -> f64 {
    let all: Vec<Playbook> = (0..SIZES[3]).map(|at| playbook(at, &(mix.matches)(at))).collect();
    let mut cases = SIZES.map(|size| Case::new(&all[..size], mix.alert));
    // The sizes take turns, because a machine changes while it is measured.
    for _ in 0..ROUNDS {
        cases.iter_mut().for_each(Case::measure);
    }
    println!("{}", mix.name);
    println!("{:>10} {:>16} {:>10} {:>18}", "playbooks", "with the index", "ratio", "asking each");
    let mut last = 0.0;
    for (case, size) in cases.iter().zip(SIZES) {
        // Each round against the same round at one playbook.
        last = median(case.indexed.iter().zip(&cases[0].indexed).map(|(it, base)| it / base));
        let [indexed, each] = [&case.indexed, &case.each].map(|it| median(it.iter().copied()));
        println!("{size:>10} {indexed:>13.0} ns {last:>9.2}x {each:>15.0} ns");
    }
    last
}

impl<'p> Case<'p> {
    fn new(playbooks: &'p [Playbook], alert: fn(usize) -> Value) -> Self {
        let index = Index::new(playbooks.iter().map(clauses));
        // A prime's steps, so that neighbours in memory do not follow each other.
        let alerts = (0..ALERTS).map(|at| alert(at * 7_919 % playbooks.len())).collect();
        Self { playbooks, index, alerts, indexed: Vec::new(), each: Vec::new() }
    }

    fn measure(&mut self) {
        self.indexed.push(nanoseconds(&self.alerts, |it| self.index.remaining(it).len()));
        // Ten alerts are enough where each asks ten thousand playbooks.
        let few = &self.alerts[..(ALERTS / self.playbooks.len()).max(10)];
        self.each.push(nanoseconds(few, |it| self.playbooks.iter().filter(|playbook| asks(playbook, it)).count()));
    }
}

/// For each of the alerts, every one of which must meet one playbook.
fn nanoseconds(alerts: &[Value], matches: impl Fn(&Value) -> usize) -> f64 {
    let begun = Instant::now();
    let met: usize = alerts.iter().map(|it| matches(black_box(it))).sum();
    let took = begun.elapsed().as_secs_f64() * 1e9;
    assert_eq!(met, alerts.len(), "every alert matches one playbook");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand alerts")]
    let count = alerts.len() as f64;
    took / count
}

fn median(rounds: impl Iterator<Item = f64>) -> f64 {
    let mut rounds: Vec<f64> = rounds.collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn asks(playbook: &Playbook, alert: &Value) -> bool {
    let mut scope = LazyCell::new(|| Scope::new(Timestamp::UNIX_EPOCH));
    playbook.trigger.alert().is_some_and(|it| it.evaluate(alert, false, &mut scope) == Verdict::Matches)
}

fn clauses(playbook: &Playbook) -> &[quell::playbook::Clause] {
    playbook.trigger.alert().map(|it| it.clauses.as_slice()).unwrap_or_default()
}

fn playbook(at: usize, matches: &str) -> Playbook {
    let text = format!(
        "playbook: p{at}\ntrigger:\n  alert:\n    match:\n      source: graph\n      {matches}\nsteps: [{{id: s, stop: {{outcome: done, reason: r}}}}]\n"
    );
    Playbook::parse(&Sandbox::new(), Path::new("p.yaml"), &text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).0
}

/// One playbook for each customer, as a partner with many customers writes them, and some that go by other fields.
fn by_values(at: usize) -> String {
    let whose = match at % 4 {
        0 => format!("customer_tenant_id: tenant-{at}"),
        1 => format!("subscription_id: [sub-{at}, other-{at}]\n      severity: {{at_least: medium}}"),
        2 => format!("details.tag: {{prefix: tag-{at}-}}"),
        _ => format!("details.host: host-{at}"),
    };
    format!("status: active\n      {whose}")
}

/// The last of five fits no alert: what many playbooks do not want must not be asked of each.
fn by_the_rest(at: usize) -> String {
    match at % 5 {
        0 => format!("details.host: {{regex: '(?i)^host-{at}-[a-z]+$'}}"),
        1 => format!("details.cost: {{gte: {at}, lt: {}}}\n      status: {{not: resolved}}", at + 1),
        2 => format!("kind: {{not: [crypto_mining, quota]}}\n      title: {{regex: '\\d+ of (machine|server)-{at}$'}}"),
        3 => format!("details.host: {{exists: false}}\n      details.cost: {{gt: {}.5, lte: {at}}}", at - 1),
        _ => "kind: {not: [crypto_mining, other]}\n      confidence: {not: high}\n      details.owner: {exists: false}".to_owned(),
    }
}

fn with_values(at: usize) -> Value {
    let own = |kind: usize, text: String| if at % 4 == kind { text } else { "none".to_owned() };
    json!({
        "id": format!("a-{at}"), "source": "graph", "kind": "crypto_mining", "severity": "high", "confidence": "high", "status": "active",
        "title": "Mining", "description": "", "customer_tenant_id": own(0, format!("tenant-{at}")), "subscription_id": own(1, format!("sub-{at}")),
        "resources": [], "detected_at": "2026-03-02T04:11:09Z", "received_at": "2026-03-02T04:12:00Z", "revision": "0", "is_test": false,
        "details": {"tag": own(2, format!("tag-{at}-x")), "host": own(3, format!("host-{at}"))}, "raw": null,
    })
}

fn with_the_rest(at: usize) -> Value {
    let at = if at % 5 == 4 { at - 1 } else { at };
    let is = |kind: usize| at % 5 == kind;
    let mut alert = with_values(at);
    alert["kind"] = if is(2) { "other" } else { "crypto_mining" }.into();
    alert["title"] = if is(2) { format!("12 of server-{at}") } else { "Mining on 12 of our servers".to_owned() }.into();
    alert["details"] = match at % 5 {
        0 => json!({"host": format!("HOST-{at}-west"), "cost": -1}),
        1 => json!({"host": "none", "cost": at}),
        3 => json!({"cost": at}),
        _ => json!({"host": "none"}),
    };
    alert
}
