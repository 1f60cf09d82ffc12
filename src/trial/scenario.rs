//! A test made complete: its alerts with everything that an alert has, and one scenario for every combination that `vary` asks for.

use std::{collections::BTreeMap, path::Path, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use serde_yaml::Spanned;

use super::format::{self, Answer, Coming, Crash, Defaults, Expect, Lookups, Mock, OneOrMany, Repeat, Test, Tests};
use crate::{alert::Alert, duration::Span, engine::Guardrails, problem::Problem, run::Mode};

/// One thing to try.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) start: Timestamp,
    /// When each alert comes.
    pub(super) arrivals: Vec<(Timestamp, Alert)>,
    /// When a person or the clock begins a run, and what it is given.
    pub(super) begins: Vec<(Timestamp, Value)>,
    pub(super) lookups: Lookups,
    /// What secrets stand for, by name.
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) mocks: BTreeMap<String, OneOrMany<Mock>>,
    pub(super) approvals: BTreeMap<String, Answer>,
    /// What an operator has undone, and lets stay.
    pub(super) rollback: BTreeMap<String, Span>,
    pub(super) keep: BTreeMap<String, Span>,
    pub(super) crash: Option<Crash>,
    /// How long time runs on.
    pub(super) advance: Duration,
    pub(super) mode: Mode,
    pub(super) guardrails: Guardrails,
    pub(super) expect: Expect,
}

/// A Monday morning on which nothing special happens to any clock.
const START: &str = "2026-03-02T04:12:00Z";

/// Beyond the longest window and the longest wait that a playbook may have.
const LONGEST: Duration = Duration::from_hours(400 * 24);

/// More combinations than this are a mistake, and would take minutes.
const MOST_COMBINATIONS: usize = 1_000;

/// As many as one rehearsal can take in at once without being a load test.
const MOST_ALERTS: usize = 1_000;

/// Everything that a file asks to be tried.
///
/// # Errors
/// The first test that makes no sense, with its place.
pub(super) fn scenarios(tests: &Tests, path: &Path, text: &str) -> Result<Vec<Scenario>, Box<Problem>> {
    let mut scenarios = Vec::new();
    for Spanned { value: test, referenced, .. } in &tests.all {
        let refused = |why: String| Box::new(format::at(path, text, referenced, format!("the test `{}`: {why}", test.name)));
        for variation in combinations(test).map_err(refused)? {
            let scenario = scenario(&tests.defaults, test, &variation).map_err(refused)?;
            scenarios.push(Scenario { line: referenced.line(), ..scenario });
        }
    }
    Ok(scenarios)
}

fn scenario(defaults: &Defaults, test: &Test, variation: &[(&String, &Value)]) -> Result<Scenario, String> {
    let start = test.at.or_else(|| START.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    let by_hand = test.inputs.is_some() || test.at.is_some() && test.alert.is_none() && test.alerts.is_empty();
    if test.alert.is_some() && !test.alerts.is_empty() {
        return Err("it has both `alert` and `alerts`".to_owned());
    }
    if by_hand && (test.alert.is_some() || !test.alerts.is_empty()) {
        return Err("it has both alerts and `inputs`; a run is begun by one or the other".to_owned());
    }
    let repeat = test.repeat.unwrap_or_else(|| Repeat { times: 1, every: Span::default() });
    let moments: Vec<Timestamp> = (0..repeat.times).map(|turn| later(start, repeat.every.0.saturating_mul(turn))).collect();
    let once = [Coming { after: Span::default(), alert: test.alert.clone().unwrap_or_default(), revision: false }];
    let comings = if test.alerts.is_empty() { &once[..] } else { &test.alerts };
    let arrivals = if by_hand { Vec::new() } else { arriving(defaults, comings, &moments, variation)? };
    let begins = if by_hand { moments.iter().map(|at| (*at, given(test, *at))).collect() } else { Vec::new() };
    let mut lookups = defaults.lookups.clone();
    lookups.extend(test.lookups.clone());
    let mut secrets = defaults.secrets.clone();
    secrets.extend(test.secrets.clone());
    let mut mocks = defaults.mocks.clone();
    mocks.extend(test.mocks.clone());
    let varied: Vec<String> = variation.iter().map(|(name, value)| format!("{name} {}", bare(value))).collect();
    Ok(Scenario {
        name: if varied.is_empty() { test.name.clone() } else { format!("{} ({})", test.name, varied.join(", ")) },
        line: 0,
        start,
        arrivals,
        begins,
        lookups,
        secrets,
        mocks,
        approvals: test.approvals.clone(),
        rollback: test.rollback.clone(),
        keep: test.keep.clone(),
        crash: test.crash.clone(),
        advance: test.advance.map_or(LONGEST, |span| span.0),
        // A playbook is tried for what it does, whether or not it is switched on already.
        mode: test.mode.or(defaults.mode).unwrap_or(Mode::Enforce),
        guardrails: test.guardrails.clone().or_else(|| defaults.guardrails.clone()).unwrap_or_default(),
        expect: test.expect.clone(),
    })
}

/// What a run is given that no alert begins: by a person what the test says, by a schedule its time.
fn given(test: &Test, at: Timestamp) -> Value {
    test.inputs.clone().map_or_else(|| json!({"scheduled_at": at}), |inputs| json!(inputs))
}

/// Every combination of what varies; one without anything where nothing does.
fn combinations(test: &Test) -> Result<Vec<Vec<(&String, &Value)>>, String> {
    let mut combinations: Vec<Vec<(&String, &Value)>> = vec![Vec::new()];
    for (path, values) in &test.vary {
        let mut longer = Vec::new();
        for before in &combinations {
            longer.extend(values.iter().map(|value| before.iter().copied().chain([(path, value)]).collect()));
        }
        combinations = longer;
        if combinations.is_empty() || combinations.len() > MOST_COMBINATIONS {
            return Err(format!("`vary` asks for {} combinations, and there may be 1 to {MOST_COMBINATIONS}", combinations.len()));
        }
    }
    Ok(combinations)
}

fn arriving(
    defaults: &Defaults,
    comings: &[Coming],
    moments: &[Timestamp],
    variation: &[(&String, &Value)],
) -> Result<Vec<(Timestamp, Alert)>, String> {
    if comings.len().saturating_mul(moments.len()) > MOST_ALERTS {
        return Err(format!("more than {MOST_ALERTS} alerts"));
    }
    let mut arrivals = Vec::new();
    let (mut count, mut last, mut revision) = (0_usize, None::<Map<String, Value>>, 0_usize);
    for moment in moments {
        for coming in comings {
            let at = later(*moment, coming.after.0);
            let before = last.take().filter(|_| coming.revision);
            let mut alert = if let Some(before) = before {
                revision += 1;
                before
            } else {
                count += 1;
                revision = 0;
                complete(defaults, count)
            };
            alert.insert("revision".to_owned(), json!(revision.to_string()));
            for name in ["detected_at", "received_at"] {
                alert.insert(name.to_owned(), json!(at));
            }
            merge(&mut alert, &coming.alert);
            for (path, value) in variation {
                put(&mut alert, path, value);
            }
            let read = serde_json::from_value(Value::Object(alert.clone())).map_err(|error| format!("its alert: {error}"))?;
            arrivals.push((at, read));
            last = Some(alert);
        }
    }
    arrivals.sort_by_key(|(at, _)| *at);
    Ok(arrivals)
}

/// An alert with everything that an alert has.
fn complete(defaults: &Defaults, count: usize) -> Map<String, Value> {
    let built_in = json!({
        "id": "a", "source": "graph", "kind": "something", "severity": "high", "confidence": "high", "status": "active",
        "title": "Something happened", "description": "Something happened in a subscription", "customer_name": "Fabrikam",
        "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002",
        "resources": [], "is_test": false, "details": {},
    });
    let Value::Object(mut alert) = built_in else { return Map::new() };
    merge(&mut alert, &defaults.alert);
    // Each alert is one of its own.
    let id = alert.get("id").and_then(Value::as_str).unwrap_or("a");
    let id = format!("{id}-{count}");
    alert.insert("id".to_owned(), json!(id));
    alert
}

/// Lays one map over another, map by map.
fn merge(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    for (name, value) in above {
        match (below.get_mut(name), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => merge(inner, value),
            (_, value) => drop(below.insert(name.clone(), value.clone())),
        }
    }
}

/// Puts a value at a dotted path.
fn put(map: &mut Map<String, Value>, path: &str, value: &Value) {
    match path.split_once('.') {
        Some((first, rest)) => {
            let inner = map.entry(first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
        None => drop(map.insert(path.to_owned(), value.clone())),
    }
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}
