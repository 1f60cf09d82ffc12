//! Killed at each call of the system by which one run writes: to its journal, to the other side, to its log. And the same calls failing, as
//! they do when a disk is full or broken.
//!
//! `strace` counts calls for each thread and each name, so a place is a name and a number. The short form tries some of them, chosen by the
//! seed; the long form tries all.

use std::{collections::BTreeMap, time::Duration};

use futures_util::FutureExt;
use quell::run::{Class, RunState, StepState};

use super::{
    Aftermath, Ordeal, all_hold,
    scenes::{ALERT, Marker, act, known_alert, playbook},
};
use crate::support::long::{is_long, seed};

/// By which a program writes.
const WRITING: [&str; 10] = ["write", "writev", "pwrite64", "pwritev", "fsync", "fdatasync", "sendto", "sendmsg", "unlink", "ftruncate"];

/// By which SQLite writes, and nothing else does.
const TO_DISK: [&str; 4] = ["pwrite64", "fsync", "fdatasync", "ftruncate"];

/// In the short form: what is tried in a minute on two processors.
const SOME: usize = 40;

/// Long enough for an idle machine to see the fault out; then a person starts it again.
const PERSON: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
async fn killed_at_any_call_that_writes_one_run_comes_out_even() {
    let calls = calls(&WRITING).await;
    eprintln!("{} places: {calls:?}", calls.values().sum::<usize>());
    let kill = |(name, number): (&'static str, usize)| format!("inject={name}:signal=SIGKILL:when={number}");
    let trials = places(&calls).into_iter().map(|place| even(Ordeal { inject: Some(kill(place)), ..one_run() }, kill(place)).boxed());
    all_hold(trials.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
async fn where_the_disk_fails_at_any_write_nothing_is_lost_and_nothing_is_done_unwritten() {
    let calls = calls(&TO_DISK).await;
    eprintln!("{} places: {calls:?}", calls.values().sum::<usize>());
    let mut trials = Vec::new();
    for (at, (name, number)) in places(&calls).into_iter().enumerate() {
        // Once and for a while: a disk that is full stays so until somebody makes room.
        let when = if at.is_multiple_of(2) { number.to_string() } else { format!("{number}..{}", number + 200) };
        let error = if name == "pwrite64" && at % 3 > 0 { "ENOSPC" } else { "EIO" };
        let inject = format!("inject={name}:error={error}:when={when}");
        let ordeal = Ordeal { inject: Some(inject.clone()), may_give_up: true, restarted_after: Some(PERSON), ..one_run() };
        trials.push(even(ordeal, inject).boxed());
    }
    all_hold(trials).await;
}

/// A run with every kind of change in it.
fn one_run() -> Ordeal {
    let steps = [act(Class::Verified), vec![Marker::Unsafe.step("mark"), Marker::Notice.about("tell", ALERT)]].concat();
    Ordeal { playbooks: vec![("act", playbook("act", "", &steps))], alerts: Some(Box::new(known_alert)), ..Ordeal::default() }
}

/// How often each call is made in one run by the thread that makes it most often.
async fn calls(names: &[&'static str]) -> BTreeMap<&'static str, usize> {
    let after = Ordeal { inject: Some(format!("trace={}", names.join(","))), ..one_run() }.undergo().await.expect("a run");
    after.equation.holds().expect("the equation");
    let trace = std::fs::read_to_string(after.lab.path("trace")).expect("read the trace");
    let mut counted: BTreeMap<(&str, &'static str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        if let Some(name) = names.iter().find(|name| call.trim_start().strip_prefix(**name).is_some_and(|rest| rest.starts_with('('))) {
            *counted.entry((thread, name)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, name), count) in counted {
        let most: &mut usize = most.entry(name).or_default();
        *most = count.max(*most);
    }
    most
}

/// All places, or some of them; at least one of each name.
fn places(calls: &BTreeMap<&'static str, usize>) -> Vec<(&'static str, usize)> {
    let mut all: Vec<_> = calls.iter().flat_map(|(name, count)| (1..=*count).map(|number| (*name, number))).collect();
    if !is_long() {
        let mut dice = fastrand::Rng::with_seed(chosen_by());
        dice.shuffle(&mut all);
        let mut named = std::collections::BTreeSet::new();
        let (first, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| named.insert(*name));
        all = first.into_iter().chain(others).take(SOME).collect();
    }
    all
}

#[expect(clippy::print_stderr, reason = "with the seed a failure can be repeated")]
fn chosen_by() -> u64 {
    let seed = seed();
    eprintln!("seed: QUELL_TEST_SEED={seed}");
    seed
}

/// The equation, and what one run of one alert comes to.
async fn even(ordeal: Ordeal, place: String) -> Result<usize, String> {
    let wrong = |why: String| format!("{place}: {why}");
    let after = ordeal.undergo().await.map_err(wrong)?;
    after.equation.holds().map_err(wrong)?;
    comes_to_something(&after).map_err(wrong)?;
    Ok(usize::from(after.died.is_some()))
}

fn comes_to_something(after: &Aftermath) -> Result<(), String> {
    let runs = &after.found.1;
    let [run] = runs.as_slice() else { return Err(format!("floor: {} runs for one alert", runs.len())) };
    match run.run.state {
        RunState::Done => {}
        // Only what nobody can look at is left to a person.
        RunState::Indeterminate => {
            let in_doubt = run.steps.iter().find(|step| step.state == StepState::Indeterminate);
            return in_doubt.filter(|step| step.class == Class::Unsafe).map(|_| ()).ok_or_else(|| format!("floor: {run:#?}"));
        }
        other => return Err(format!("floor: the run is {other:?}: {}\n{run:#?}", run.run.reason)),
    }
    for kind in ["entitlement.cancelled", "subscription.suspended"] {
        let applied = after.lab.simulator.effects(kind).into_iter().filter(|entry| entry.applied).count();
        if applied != 1 {
            return Err(format!("floor: {applied} times {kind}"));
        }
    }
    Ok(())
}
