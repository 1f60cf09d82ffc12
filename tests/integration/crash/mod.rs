//! Quell killed at named places: a small installation, a few alerts, one death, and the account that must come out even.
//!
//! - `points`: every place in an action's way, for every class of action.
//! - `nested`: inside everything that steps can stand in, and inside windows and schedules, at every commit.
//! - `events`: between what happened and the moment when other systems learn of it.
//! - `undone`: while what a run did is undone after its end, at every commit.
//! - `asleep`: not killed but stopped, for longer than others wait, and then let go on.
//! - `mistakes`: the product with one safeguard taken away, and the check that notices.
//! - `tenants`: every action on what is in a customer's own tenant.
//! - `syscalls`: no named places, but each call of the system that writes: killed at it, or told by it that the disk is full or broken.
//!
//! How to add a place or a mistake is in `CONTRIBUTING.md`.

mod asleep;
mod events;
mod mistakes;
mod nested;
mod points;
mod scenes;
mod syscalls;
mod tenants;
mod undone;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use quell::{
    run::StepState,
    store::{AlertFilter, AlertRow, RunFilter, Store, Timeline},
};
use quell_simulator::{Fault, Options};
use serde_json::Value;

use crate::{
    equation::Equation,
    support::lab::{Lab, Quell, timelines},
};

/// Makes alerts from what is in the simulator's world.
type Alerts = Box<dyn Fn(&Lab) -> Vec<Value> + Send + Sync>;

/// Prepares an installation.
type Before = Box<dyn Fn(&Lab) -> BoxFuture<'_, ()> + Send + Sync>;

/// Changes the outside.
type Meanwhile = Box<dyn Fn(&Lab) + Send + Sync>;

/// What an installation goes through.
#[derive(Default)]
struct Ordeal {
    /// Its playbooks by name. `SLACK` in them becomes the address of the simulator's Slack.
    playbooks: Vec<(&'static str, String)>,
    /// The alerts that come, made from what is in the simulator's world.
    alerts: Option<Alerts>,
    /// What goes wrong outside.
    faults: Vec<Fault>,
    /// Where it dies, as `QUELL_CRASH_AT` has it.
    crash_at: Option<String>,
    /// What is wrong with it, as `QUELL_MISTAKE` has it.
    mistake: Option<&'static str>,
    /// What happens to its calls of the system before its first death, as the `inject` of `strace` has it.
    inject: Option<String>,
    /// It may end by itself as well, if it says why.
    may_give_up: bool,
    /// If it does not come to rest for that long, a person starts it again.
    restarted_after: Option<Duration>,
    /// Dies instead when an effect of this kind was applied, however the answer fares.
    killed_on: Option<&'static str>,
    /// Settings that are replaced.
    settings: Vec<(&'static str, String)>,
    /// The bus, if it is not the embedded one.
    bus: Option<String>,
    /// What is done before the first start.
    before: Option<Before>,
    /// What people do while it is dead.
    meanwhile: Option<Meanwhile>,
    /// The other side forgets request ids at once, so that only Quell itself keeps anything from being done twice.
    is_forgetful: bool,
    /// How long it takes from one alert to the next.
    pace: Duration,
    /// When it is given up, if sooner than usual.
    patience: Option<Duration>,
    /// How many runs there must be, where no alert tells.
    runs: usize,
}

/// What was found afterwards.
struct Aftermath {
    lab: Lab,
    found: (Vec<AlertRow>, Vec<Timeline>),
    /// Set if it died: how many steps had their intent on the disk and no outcome.
    died: Option<usize>,
    equation: Equation,
}

/// A run that is not done by then is stuck. Cancelling alone takes two seconds, and eight installations share two processors.
const PATIENCE: Duration = Duration::from_secs(45);

/// After everything has come to rest, the place may still be reached: acknowledging comes last.
const GRACE: Duration = Duration::from_millis(400);

impl Ordeal {
    async fn installation(&self) -> Lab {
        let request_id_memory = self.is_forgetful.then_some(Duration::ZERO);
        let options = Options { cancel_delay: Duration::from_millis(200), request_id_memory, ..Options::default() };
        let lab = Lab::new(self.bus.as_deref().unwrap_or("url: embedded"), options).await;
        for (name, text) in &self.playbooks {
            lab.playbook(name, &text.replace("SLACK", &lab.simulator.slack_url()));
        }
        for (from, to) in &self.settings {
            lab.change_settings(from, to);
        }
        for fault in &self.faults {
            lab.simulator.fault(fault.clone());
        }
        if let Some(before) = &self.before {
            before(&lab).await;
        }
        lab
    }

    fn variables(&self, is_armed: bool) -> Vec<(&str, &str)> {
        let crash = self.crash_at.as_deref().filter(|_| is_armed).map(|at| ("QUELL_CRASH_AT", at));
        crash.into_iter().chain(self.mistake.map(|mistake| ("QUELL_MISTAKE", mistake))).collect()
    }

    /// Starts it with what is to happen to it.
    fn begin(&self, lab: &Lab) -> Quell {
        match &self.inject {
            Some(inject) => lab.start_traced(inject),
            None => lab.start_armed(&[], &self.variables(true)),
        }
    }

    /// Goes through it. Starts again after a death; a sender comes back until it is told that its alert was taken.
    async fn undergo(self) -> Result<Aftermath, String> {
        let lab = self.installation().await;
        let alerts = self.alerts.as_ref().map(|alerts| alerts(&lab)).unwrap_or_default();
        let mut to_send: VecDeque<&Value> = alerts.iter().collect();
        let mut handed_over: Vec<String> = Vec::new();
        let mut quell = self.begin(&lab);
        let (mut died, mut store, mut calm) = (None, None, None);
        let begun = Instant::now();
        loop {
            if let Some(on) = self.killed_on.filter(|_| died.is_none())
                && lab.simulator.effects(on).iter().any(|entry| entry.applied)
            {
                quell.signal("KILL");
            }
            if self.restarted_after.is_some_and(|patience| died.is_none() && begun.elapsed() > patience) {
                quell.signal("KILL");
            }
            if let Some(signal) = quell.ended() {
                let gave_up = signal == 0 && self.may_give_up && quell.log().lines().any(|line| line.starts_with("error: "));
                if died.is_some() || !(matches!(signal, 6 | 9) || gave_up) {
                    return Err(format!("ended: quell ended by itself, signal {signal}\n{}", quell.log()));
                }
                died = Some(windows_hit(&lab).await);
                if let Some(meanwhile) = &self.meanwhile {
                    meanwhile(&lab);
                }
                quell = lab.start_armed(&[], &self.variables(false));
                calm = None;
            }
            if begun.elapsed() > self.patience.unwrap_or(PATIENCE) {
                break;
            }
            if let Some(alert) = to_send.front() {
                match lab.hook(alert).await {
                    Ok((202, _)) => {
                        handed_over.extend(to_send.pop_front().and_then(|alert| alert["id"].as_str()).map(str::to_owned));
                        tokio::time::sleep(self.pace).await;
                    }
                    Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(15)).await,
                }
                continue;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
            // Before the first answer there may be no journal yet.
            if store.is_none() && (!handed_over.is_empty() || lab.ready(Duration::ZERO).await.is_ok()) {
                store = Some(lab.store().await);
            }
            let Some(store) = &store else { continue };
            if !at_rest(store, alerts.len().max(self.runs)).await {
                calm = None;
                continue;
            }
            let is_due = died.is_none() && (self.crash_at.is_some() || self.killed_on.is_some());
            if calm.get_or_insert_with(Instant::now).elapsed() > if is_due { GRACE } else { Duration::ZERO } {
                break;
            }
        }
        drop(quell);
        Ok(aftermath(lab, &handed_over, died).await)
    }
}

async fn aftermath(lab: Lab, handed_over: &[String], died: Option<usize>) -> Aftermath {
    let store = lab.store().await;
    let found = (store.alerts(&AlertFilter::default()).await.expect("list alerts"), timelines(&store).await);
    let equation = Equation::of(&lab.simulator, handed_over, &found);
    Aftermath { lab, found, died, equation }
}

/// How many steps have their intent on the disk and no outcome.
async fn windows_hit(lab: &Lab) -> usize {
    let store = lab.store().await;
    let runs = timelines(&store).await;
    runs.iter().flat_map(|run| &run.steps).filter(|step| step.state == StepState::Executing).count()
}

/// Whether so many alerts were decided about, or runs begun, and nothing is open.
async fn at_rest(store: &Store, expected: usize) -> bool {
    let rows = store.alerts(&AlertFilter::default()).await.expect("list alerts");
    let runs = if rows.is_empty() { store.runs(&RunFilter::default()).await.expect("list runs").len() } else { rows.len() };
    runs >= expected
        && rows.iter().all(|row| row.outcome != "received")
        && store.open_runs().await.expect("list runs").is_empty()
        && store.next_return().await.expect("look for returns").is_none()
}

/// The marks that steps left at the simulator's Slack, in the order of their first appearance, each with how often it was left.
fn marks(lab: &Lab) -> Vec<(String, usize)> {
    let mut marks: Vec<(String, usize)> = Vec::new();
    for entry in lab.simulator.effects("message.slack").into_iter().filter(|entry| entry.applied) {
        let name = entry.body.and_then(|body| body["text"].as_str().map(str::to_owned)).unwrap_or_default();
        match marks.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => *times += 1,
            None => marks.push((name, 1)),
        }
    }
    marks
}

/// Undergoes many, a few at once, and says all that went wrong.
#[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
async fn all_hold(trials: Vec<BoxFuture<'_, Result<usize, String>>>) {
    use futures_util::StreamExt;
    let (count, begun) = (trials.len(), Instant::now());
    // Most of the time an installation waits: for its start, for two seconds between looks, for the disk.
    let results: Vec<_> = futures_util::stream::iter(trials).buffer_unordered(6).collect().await;
    let wrong: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    let deaths: usize = results.iter().flatten().sum();
    eprintln!("{count} trials, {deaths} deaths, every term zero, in {:?}", begun.elapsed());
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.iter().map(|it| it.as_str()).collect::<Vec<_>>().join("\n"));
}
