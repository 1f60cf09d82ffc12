//! Plays one scenario: the real engine on a journal in memory, on a clock that stands still until nothing more can be done at its time.

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    format::Answer,
    scenario::{Scenario, just_before},
    world::{Made, OnStage, World, id_of},
};
use crate::{
    actions::Services,
    alert::Alert,
    bus::{embedded::EmbeddedBus, rabbitmq::Postbox},
    channels::Channels,
    clock::Clock,
    connections::Connections,
    duration::Span,
    engine::{Acting, Engine, Guardrails, Rehearsal, decide, schedules::Ticked},
    expression::Scope,
    lifecycle::Tasks,
    net::{Net, NetConfig},
    playbook::{Library, Playbook, Shelf, Verdict},
    run::{RunRecord, StepRecord},
    secret::{Secret, Secrets},
    store::{AlertFilter, ApprovalFilter, Arrival, Begun, Decider, Received, RunFilter, Store},
    telemetry::{Metrics, signals::Signals},
};

/// What came of a scenario.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// Every run with its steps, in the order in which they began.
    pub(super) runs: Vec<(RunRecord, Vec<StepRecord>)>,
    /// What became of each alert: `matched`, `held`, `error` or `no_match`; and of what was to begin without one and did not.
    pub(super) alerts: Vec<String>,
    pub(super) calls: Vec<Made>,
    /// The rules that held a step back.
    pub(super) guardrails: BTreeSet<String>,
    /// Why alerts were not answered, each in a sentence.
    pub(super) explanations: Vec<String>,
    /// How often `when` was true, and how often false.
    pub(super) when: (usize, usize),
    /// What the test left open and what it says that is not so.
    pub(super) faults: Vec<String>,
}

/// Services that reach nothing; the stage stands before them.
///
/// # Errors
/// The system's certificates cannot be read.
pub(super) fn nowhere() -> anyhow::Result<Arc<Services>> {
    let net = Net::new(&NetConfig::default())?;
    let channels = Channels::build(&BTreeMap::new(), &net);
    let channels = channels.map_err(|errors| anyhow::anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    Ok(Arc::new(Services { net, connections: Connections::default(), channels, postbox: Postbox::default(), secrets: Secrets::default() }))
}

/// The same with a value for every secret that a playbook sends: what the test says, or something made up.
fn with_secrets(services: &Services, playbook: &Playbook, said: &BTreeMap<String, String>) -> anyhow::Result<Arc<Services>> {
    let value = |name: &str| said.get(name).cloned().unwrap_or_else(|| format!("made-up-{name}"));
    let values = playbook.secrets().into_iter().map(|name| (name.to_owned(), Secret::new(value(name))));
    let secrets = Secrets::of(values).map_err(anyhow::Error::msg)?;
    let Services { net, connections, channels, postbox, .. } = services;
    let (net, connections, channels, postbox) = (net.clone(), connections.clone(), channels.clone(), postbox.clone());
    Ok(Arc::new(Services { net, connections, channels, postbox, secrets }))
}

/// Plays a scenario on one playbook.
///
/// # Errors
/// The journal in memory cannot be used, or there is no end to what there is to do.
pub(super) async fn play(scenario: &Scenario, playbook: Arc<Playbook>, library: &Library, services: &Services) -> anyhow::Result<Played> {
    let tasks = Tasks::default();
    let clock = Clock::standing_at(scenario.start);
    let store = Store::open("sqlite::memory:", &tasks, None).await?.dated_by(clock.clone());
    let metrics = Metrics::new()?;
    let world = World::new(clock.clone(), Arc::clone(&playbook), scenario.mocks.clone(), scenario.crash.clone());
    let world = Arc::new(world);
    let alone = library.with_only(Arc::clone(&playbook));
    let engine = Engine {
        store: store.clone(),
        bus: Arc::new(EmbeddedBus::new(store.clone())),
        shelf: Shelf::new(Arc::new(alone)),
        services: with_secrets(services, &playbook, &scenario.secrets)?,
        stage: Arc::new(OnStage(Arc::clone(&world))),
        // This world does not show to one run what another has stopped, and that is nobody's will.
        guardrails: Arc::new(Guardrails { human_hold: Span::default(), ..scenario.guardrails.clone() }),
        kill_switch: None,
        approvals: Arc::default(),
        acting: Acting::AsWritten,
        signals: Signals::new(metrics.clone()),
    };
    let rehearsal = Rehearsal::new(engine, tasks.stop());
    let mut play = Play {
        scenario,
        playbook: &playbook,
        rehearsal,
        world,
        clock,
        arrived: 0,
        begun: 0,
        is_down_ahead: scenario.down.is_some(),
        not_begun: Vec::new(),
    };
    play.run_on().await?;
    let played = play.gather(&playbook, &metrics).await?;
    drop((play, store));
    // The writer of the journal ends when nobody can write any more.
    tasks.end(std::time::Duration::from_secs(5)).await;
    Ok(played)
}

struct Play<'a> {
    scenario: &'a Scenario,
    rehearsal: Rehearsal,
    world: Arc<World>,
    clock: Clock,
    playbook: &'a Playbook,
    /// How many alerts have come so far.
    arrived: usize,
    /// How many runs people were to begin so far.
    begun: usize,
    /// Whether the program has yet to be down.
    is_down_ahead: bool,
    /// What was to begin without an alert and did not: what that came to, and why.
    not_begun: Vec<(&'static str, String)>,
}

impl Play<'_> {
    fn store(&self) -> &Store {
        &self.rehearsal.engine().store
    }

    async fn run_on(&mut self) -> anyhow::Result<()> {
        self.rehearsal.tick(just_before(self.scenario.start)).await?;
        loop {
            self.be_down();
            self.take_in().await?;
            self.begin().await?;
            self.tick().await?;
            if !self.rehearsal.settle(self.world.death()).await? {
                self.rehearsal.crash();
                continue;
            }
            let answered = self.answer().await?;
            let operated = self.operate().await?;
            let coming = self.scenario.arrivals.get(self.arrived).map(|(at, _)| *at);
            let beginning = self.scenario.begins.get(self.begun).map(|(at, _)| *at);
            let ticking = self.rehearsal.next_tick().filter(|next| *next <= self.scenario.ticks_until);
            let next = [coming, beginning, answered, operated, ticking, self.rehearsal.next_due().await?].into_iter().flatten().min();
            match next {
                Some(next) if next <= self.scenario.end => self.clock.advance_to(next),
                Some(_) | None => break,
            }
        }
        Ok(())
    }

    /// Where time has come into the while in which the program does not run, or has passed it, that while is over and the program starts anew.
    fn be_down(&mut self) {
        let Some((_, until)) = self.scenario.down.filter(|(from, _)| self.is_down_ahead && *from <= self.clock.now()) else { return };
        self.is_down_ahead = false;
        self.rehearsal.crash();
        self.clock.advance_to(until);
    }

    /// Lets the schedule begin the runs whose time has come.
    async fn tick(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        if now > self.scenario.ticks_until {
            return Ok(());
        }
        for ticked in self.rehearsal.tick(now).await? {
            match ticked {
                Ticked::Run(begun) => self.note(begun),
                Ticked::Failed(why) => self.not_begun.push(("error", format!("error: {why}"))),
            }
        }
        Ok(())
    }

    fn note(&mut self, begun: Begun) {
        match begun {
            Begun::Held(detail) => self.not_begun.push(("held", format!("held: {detail}"))),
            Begun::New | Begun::Known => {}
        }
    }

    /// The alerts whose time has come.
    async fn take_in(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let due = self.scenario.arrivals.iter().skip(self.arrived).take_while(|(at, _)| *at <= now);
        let arrivals: Vec<Arrival> = due.map(|(_, alert)| arrival(alert)).collect();
        self.arrived += arrivals.len();
        if !arrivals.is_empty() {
            self.store().take_in(arrivals).await?;
        }
        Ok(())
    }

    /// Begins the runs that people begin, as their time comes.
    async fn begin(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        while let Some((at, inputs)) = self.scenario.begins.get(self.begun).filter(|(at, _)| *at <= now) {
            self.begun += 1;
            let inputs = self.playbook.take_inputs(inputs).map_err(anyhow::Error::msg)?;
            match decide::start(self.playbook, format!("test:{at}"), inputs, now) {
                Ok(run) => {
                    let begun = self.store().begin(run).await?;
                    self.note(begun);
                }
                Err(why) => self.not_begun.push(("error", format!("error: {why}"))),
            }
        }
        Ok(())
    }

    /// Answers the approvals whose time has come; returns when the next one is to be answered.
    async fn answer(&self) -> anyhow::Result<Option<Timestamp>> {
        if self.scenario.approvals.is_empty() {
            return Ok(None);
        }
        let mut next: Option<Timestamp> = None;
        for asked in self.store().approvals(&ApprovalFilter { open: true, ..ApprovalFilter::default() }).await? {
            let Some(answer) = self.answer_to(&asked.asker) else { continue };
            let mut at = asked.opened_at.checked_add(answer.after.0).unwrap_or(Timestamp::MAX);
            if at <= self.clock.now() {
                at = self.clock.now();
                self.store().answer(&asked.id, &answer.by, answer.choice(), &answer.reason).await?;
            }
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        Ok(next)
    }

    /// Has undone, and keeps, what an operator is to; returns when the next of it is to be done.
    async fn operate(&self) -> anyhow::Result<Option<Timestamp>> {
        let Scenario { rollback, keep, .. } = self.scenario;
        if rollback.is_empty() && keep.is_empty() {
            return Ok(None);
        }
        let (now, mut next) = (self.clock.now(), None::<Timestamp>);
        let by = Decider { person: "operator".to_owned(), who: "operator".to_owned(), reason: "the test says so".to_owned() };
        for run in self.store().runs(&RunFilter::default()).await? {
            let steps = self.store().progress(&run.id).await?.map(|progress| progress.steps).unwrap_or_default();
            let mut undone = Vec::new();
            for (record, (after, keeps)) in steps.iter().filter_map(|step| Some((step, self.operation_on(step)?))) {
                let at = record.ended_at.and_then(|ended| ended.checked_add(after.0).ok()).unwrap_or(Timestamp::MAX);
                if at > now {
                    next = Some(next.map_or(at, |next| next.min(at)));
                } else if keeps {
                    self.store().keep_done(&run.id, vec![record.id.clone()], &by).await?;
                } else {
                    undone.push((record.id.clone(), 1));
                }
            }
            if self.store().roll_back(&run.id, undone, &by).await? {
                // What is undone now is begun now.
                next = Some(now);
            }
        }
        Ok(next)
    }

    /// What an operator is to do about what a step did, and how long after.
    fn operation_on(&self, step: &StepRecord) -> Option<(Span, bool)> {
        let find = |operations: &BTreeMap<String, Span>| operations.get(&step.id).or_else(|| operations.get(id_of(&step.id))).copied();
        let rollback = find(&self.scenario.rollback).map(|after| (after, false));
        let keep = find(&self.scenario.keep).map(|after| (after, true));
        [rollback, keep].into_iter().flatten().find(|_| step.has_acted() && step.decided.is_none())
    }

    fn answer_to(&self, asker: &str) -> Option<&Answer> {
        let approvals = &self.scenario.approvals;
        approvals.get(asker).or_else(|| approvals.get(id_of(asker)))
    }

    async fn gather(&self, playbook: &Playbook, metrics: &Metrics) -> anyhow::Result<Played> {
        let mut played = Played { calls: self.world.calls(), faults: self.world.faults(), ..Played::default() };
        let mut runs = self.store().runs(&RunFilter::default()).await?;
        runs.reverse();
        for run in runs {
            let steps = self.store().progress(&run.id).await?.map(|progress| progress.steps).unwrap_or_default();
            played.runs.push((run, steps));
        }
        let mut alerts = self.store().alerts(&AlertFilter::default()).await?;
        alerts.reverse();
        for row in alerts {
            let decisions = self.store().decisions(row.number).await?;
            let kept = decisions.iter().filter(|(_, verdict, _, _)| verdict != "run");
            played.explanations.extend(kept.map(|(_, verdict, detail, _)| format!("{verdict}: {detail}")));
            explain(playbook, &Alert::from_event(&row.event)?, row.is_revision, &mut played);
            played.alerts.push(row.outcome);
        }
        for (outcome, why) in &self.not_begun {
            played.alerts.push((*outcome).to_owned());
            played.explanations.push(why.clone());
        }
        let shown = String::from_utf8(metrics.render()?)?;
        let rules = shown.lines().filter_map(|line| line.strip_prefix("quell_guardrail_holds_total{rule=\"")?.split('"').next());
        played.guardrails = rules.map(ToOwned::to_owned).collect();
        Ok(played)
    }
}

/// Why the trigger does not match an alert.
fn explain(playbook: &Playbook, alert: &Alert, is_revision: bool, played: &mut Played) {
    let Some(trigger) = playbook.trigger.alert() else { return };
    let seen = serde_json::to_value(alert).unwrap_or(Value::Null);
    let mut scope = LazyCell::new(|| {
        let mut scope = Scope::new(alert.received_at);
        scope.set("alert", &seen);
        scope
    });
    match trigger.evaluate(&seen, is_revision, &mut scope) {
        Verdict::Matches => played.when.0 += 1,
        Verdict::Differs { clause, value } => {
            played.when.1 += usize::from(clause.starts_with("when: "));
            played.explanations.push(format!("no match: {clause}, and it is {value}"));
        }
        Verdict::Failed(_) => {}
    }
}

fn arrival(alert: &Alert) -> Arrival {
    Arrival::Alert(Box::new(Received { event: alert.to_event(), alert: alert.clone() }))
}
