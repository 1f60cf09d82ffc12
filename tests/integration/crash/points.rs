//! The table: killed once at each place on an action's way, and what must hold after the restart for each class of action.

use futures_util::FutureExt;
use quell::run::{Class, RunState};
use quell_simulator::{Fault, FaultKind};

use super::{
    Ordeal, all_hold,
    scenes::{act, alerts, known_alert, playbook},
};
use crate::support::broker::shared_url;

/// From the first byte to the last record, in that order. Dying there must leave no trace at all.
const BEFORE_AND_AFTER: [&str; 9] =
    ["migrating", "request_read", "request_taken", "delivered", "taken_in", "acknowledged", "matched", "decided", "planned"];

/// The intent is on the disk, and what became of it is not. The last is the other side's: it has acted and not answered yet.
const IN_DOUBT: [&str; 3] = ["intent_written", "answered", APPLIED];
pub(super) const APPLIED: &str = "applied";

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_only_reads_is_taken_again_wherever_it_dies() {
    hold(Class::Read, &["answered", "recorded"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_action_is_repeated_wherever_it_dies() {
    hold(Class::Idempotent, &["observed", "intent_written", "answered", APPLIED, "recorded"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_action_is_repeated_under_its_key_wherever_it_dies() {
    hold(Class::Keyed, &["target_locked", "observed", "intent_written", "answered:2", APPLIED, "recorded:2", "looking", "looked"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_action_is_looked_at_wherever_it_dies() {
    const POINTS: [&str; 8] =
        ["target_locked:2", "observed:2", "intent_written:2", "answered:3", APPLIED, "recorded:4", "looking:2", "looked:2"];
    hold(Class::Verified, &POINTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsafe_action_is_never_repeated_wherever_it_dies() {
    hold(Class::Unsafe, &["target_locked", "observed", "intent_written", "answered", APPLIED, "recorded"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_on_a_broker_survives_a_death_at_every_step_of_its_taking_in() {
    let trials = ["request_taken", "delivered", "taken_in", "acknowledged"].map(|point| {
        let name = format!("quell-test-{}", uuid::Uuid::now_v7());
        let bus = format!("url: '{}', exchange: {name}, queue: {name}, dead_exchange: {name}-dead, dead_queue: {name}-dead", shared_url());
        let ordeal = Ordeal { alerts: Some(Box::new(alerts(3))), bus: Some(bus), ..death(Class::Unsafe, point) };
        judge(Class::Unsafe, point, 3, ordeal).boxed()
    });
    all_hold(trials.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_dies_fetches_again_and_nothing_is_there_twice() {
    let trials = ["page_fetched", "page_published"].map(|point| {
        let mut ordeal = death(Class::Unsafe, point);
        ordeal.playbooks[0].1 = ordeal.playbooks[0].1.replace("kind: scene", "kind: crypto_mining");
        // Nobody sends anything: it is there to be fetched.
        ordeal.alerts = Some(Box::new(|lab| {
            known_alert(lab);
            Vec::new()
        }));
        let poll = "  - {name: graph, type: graph_alerts, every: 1s, connection: contoso}\nchannels:";
        judge(Class::Unsafe, point, 1, Ordeal { settings: vec![("channels:", poll.to_owned())], runs: 1, ..ordeal }).boxed()
    });
    all_hold(trials.into()).await;
}

async fn hold(class: Class, points: &'static [&'static str]) {
    let points = BEFORE_AND_AFTER.iter().chain(points).copied();
    all_hold(points.map(|point| judge(class, point, 1, death(class, point)).boxed()).collect()).await;
}

/// A death at one place.
pub(super) fn death(class: Class, point: &str) -> Ordeal {
    let (method, kind) = changes(class);
    let is_applied = point == APPLIED;
    let fault = if is_applied {
        Some(FaultKind::DelayAnswer { milliseconds: 3_000 })
    } else if class == Class::Verified && point.starts_with("look") {
        Some(FaultKind::ApplyThenDrop)
    } else {
        None
    };
    let fault =
        fault.map(|fault| Fault { method: Some(method.to_owned()), service: Some(service(class).to_owned()), ..Fault::once(fault) });
    Ordeal {
        playbooks: vec![("act", playbook("act", "", &act(class)))],
        alerts: Some(Box::new(if class == Class::Unsafe {
            Box::new(alerts(1)) as Box<dyn Fn(&_) -> _ + Send + Sync>
        } else {
            Box::new(known_alert)
        })),
        faults: fault.into_iter().collect(),
        crash_at: (!is_applied).then(|| point.to_owned()),
        killed_on: is_applied.then_some(kind),
        // Only a key needs the other side's memory.
        is_forgetful: class == Class::Verified,
        ..Ordeal::default()
    }
}

/// The table itself. What a class permits to be repeated ends as if nothing had happened; what it does not is left to a person.
async fn judge(class: Class, point: &'static str, alerts: usize, ordeal: Ordeal) -> Result<usize, String> {
    let place = format!("{class:?} at {point}");
    let wrong = |why: String| format!("{place}: {why}");
    let after = ordeal.undergo().await.map_err(wrong)?;
    after.equation.holds().map_err(wrong)?;
    let name = point.split(':').next().unwrap_or(point);
    let in_doubt = class != Class::Read && IN_DOUBT.contains(&name);
    match after.died {
        None => return Err(wrong("it was never reached".to_owned())),
        Some(windows) if windows != usize::from(in_doubt) => return Err(wrong(format!("{windows} steps were under way"))),
        Some(_) => {}
    }
    let runs = &after.found.1;
    let to_a_person = usize::from(in_doubt && class == Class::Unsafe);
    let ended = |state| runs.iter().filter(|run| run.run.state == state).count();
    if (ended(RunState::Done), ended(RunState::Indeterminate)) != (alerts - to_a_person, to_a_person) {
        return Err(wrong(format!("{runs:#?}")));
    }
    let applied = after.lab.simulator.effects(changes(class).1).into_iter().filter(|entry| entry.applied).count();
    let expected = match class {
        Class::Read => 0,
        Class::Idempotent | Class::Keyed | Class::Verified => 1,
        Class::Unsafe => alerts - usize::from(name == "intent_written"),
    };
    if applied != expected {
        return Err(wrong(format!("floor: {applied} effects, not {expected}")));
    }
    Ok(1)
}

/// What an action of the class changes: by which method, and how the ledger calls it.
fn changes(class: Class) -> (&'static str, &'static str) {
    match class {
        Class::Read => ("GET", "nothing"),
        Class::Idempotent => ("PATCH", "alert.updated"),
        Class::Keyed => ("POST", "entitlement.cancelled"),
        Class::Verified => ("PATCH", "subscription.suspended"),
        Class::Unsafe => ("POST", "message.slack"),
    }
}

fn service(class: Class) -> &'static str {
    match class {
        Class::Idempotent => "graph",
        Class::Read | Class::Keyed | Class::Verified => "partner-center",
        Class::Unsafe => "slack",
    }
}
