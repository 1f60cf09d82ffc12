//! SIGTERM: what is under way is finished and written down, nothing new is begun, and whoever asks twice is obeyed at once.

use std::time::{Duration, Instant};

use quell::{
    run::{RunState, StepState},
    store::Store,
};
use quell_simulator::{Fault, FaultKind};

use crate::{
    spine::{FIND_AND_CANCEL, crypto_alert, customer_with},
    support::lab::{Lab, timelines},
};

const CANCEL: &str = "playbook: cancel\nmode: enforce\ntrigger: {alert: {match: {kind: crypto_mining}}}\nsteps:";

/// An installation where one kind of request is answered late, with one alert.
async fn slow(method: &str, answered_after: Duration) -> Lab {
    let lab = Lab::embedded().await;
    lab.playbook("cancel", &format!("{CANCEL}{FIND_AND_CANCEL}"));
    let milliseconds = u64::try_from(answered_after.as_millis()).expect("a short time");
    let late = Fault::always(FaultKind::DelayAnswer { milliseconds });
    lab.simulator.fault(Fault { service: Some("partner-center".to_owned()), method: Some(method.to_owned()), ..late });
    lab
}

async fn send(lab: &Lab) {
    let (_, alert) = crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1));
    assert_eq!(lab.hook(&alert).await.expect("an answer").0, 202);
}

/// Waits until the first run has a step in that state.
async fn until(store: &Store, step: &str, state: StepState) {
    let begun = Instant::now();
    let is_there = |runs: &[quell::store::Timeline]| runs.iter().flat_map(|run| &run.steps).any(|it| it.id == step && it.state == state);
    while !is_there(&timelines(store).await) {
        assert!(begun.elapsed() < Duration::from_secs(30), "`{step}` never was {state:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn cancellations(lab: &Lab) -> usize {
    lab.simulator.ledger().iter().filter(|entry| entry.method == "POST" && entry.path.ends_with("/cancel")).count()
}

/// A start after which the run comes to its end. A request whose answer was lost may be repeated with its id, which is one effect.
async fn is_done_at_the_next_start(lab: &Lab, store: &Store) {
    lab.simulator.clear_faults();
    let _quell = lab.run().await;
    let (_, runs) = lab.settled(store, 1, Duration::from_mins(1)).await;
    assert_eq!(runs[0].run.state, RunState::Done, "{:#?}", runs[0]);
    assert_eq!(lab.simulator.counts().cancelled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_under_way_is_finished_and_written_down() {
    let lab = slow("POST", Duration::from_secs(3)).await;
    let quell = lab.run().await;
    send(&lab).await;
    let store = lab.store().await;
    until(&store, "cancel", StepState::Executing).await;
    assert!(quell.terminate().success());
    let run = timelines(&store).await.remove(0);
    let cancel = run.steps.iter().find(|step| step.id == "cancel").expect("the step");
    assert!(matches!(cancel.state, StepState::Confirming | StepState::Succeeded), "{cancel:#?}");
    assert!(!cancel.uncertain, "its answer is known");
    is_done_at_the_next_start(&lab, &store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_begun_by_a_step_that_was_still_looking() {
    let lab = slow("GET", Duration::from_secs(2)).await;
    let quell = lab.run().await;
    send(&lab).await;
    let store = lab.store().await;
    // The next thing is the look at the target.
    until(&store, "sub", StepState::Succeeded).await;
    assert!(quell.terminate().success());
    assert_eq!(cancellations(&lab), 0);
    is_done_at_the_next_start(&lab, &store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_twice_it_ends_at_once_and_loses_nothing() {
    let lab = slow("POST", Duration::from_secs(15)).await;
    let quell = lab.run().await;
    send(&lab).await;
    let store = lab.store().await;
    until(&store, "cancel", StepState::Executing).await;
    quell.signal("TERM");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    quell.terminate();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    is_done_at_the_next_start(&lab, &store).await;
}
