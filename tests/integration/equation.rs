//! The equation: what was handed over, what the journal says, and what the simulator's ledger shows must come out even.
//!
//! Nothing here knows how Quell works. Each term is a list of what is wrong, in words, so that a mistake is caught by name.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use quell::{
    run::{AttemptOutcome, AttemptRecord, Class, Mode, RunState, StepRecord, StepState},
    store::{AlertRow, Timeline},
};
use quell_simulator::{Entry, Simulator};
use serde_json::Value;

/// What came out. Everything but the last three must be empty.
#[derive(Debug, Default)]
pub(crate) struct Equation {
    /// Handed over, and not decided about or not in the run that was begun for it.
    pub(crate) lost: Vec<String>,
    /// Done more than once.
    pub(crate) doubled: Vec<String>,
    /// Requested by nobody's plan.
    pub(crate) unplanned: Vec<String>,
    /// Requested before it was written down that it would be.
    pub(crate) unintended: Vec<String>,
    /// Said to have been done, and not done.
    pub(crate) phantom: Vec<String>,
    /// Neither ended nor waiting for a person.
    pub(crate) stuck: Vec<String>,
    /// In doubt, and the run does not say so; or said to be in doubt without a fault that explains it.
    pub(crate) misjudged: Vec<String>,
    /// Runs that a person must look at.
    pub(crate) indeterminate: usize,
    /// Attempts whose outcome nobody knew.
    pub(crate) faults: usize,
    /// Changes of the world.
    pub(crate) effects: usize,
}

/// A step with the attempts that are recorded of it.
struct Planned<'a> {
    mode: Mode,
    step: &'a StepRecord,
    attempts: Vec<&'a AttemptRecord>,
    /// The requests that it made, as the ledger has them.
    requests: Vec<&'a Entry>,
}

impl Equation {
    /// Draws up the account. `handed_over` are the ids of alerts for which a sender was told that it may forget them.
    pub(crate) fn of<'h>(
        simulator: &Simulator,
        handed_over: impl IntoIterator<Item = &'h String>,
        (alerts, runs): &(Vec<AlertRow>, Vec<Timeline>),
    ) -> Self {
        let mut it = Self::default();
        it.account_for_alerts(handed_over, alerts, runs);
        let ledger = simulator.ledger();
        it.effects = ledger.iter().filter(|entry| entry.applied && is_change(entry)).count();
        let mut planned = planned(runs);
        it.account_for_requests(&ledger, &mut planned);
        it.account_for_targets(&ledger);
        for planned in &planned {
            it.account_for_step(planned, &ledger);
        }
        for run in runs {
            it.account_for_run(run);
        }
        it
    }

    /// Says which term is not zero.
    pub(crate) fn holds(&self) -> Result<(), String> {
        for (name, wrong) in self.terms() {
            if !wrong.is_empty() {
                return Err(format!("{name}: {}; {self}", wrong.join("; ")));
            }
        }
        if self.indeterminate > self.faults {
            return Err(format!("misjudged: more runs are in doubt than faults explain; {self}"));
        }
        Ok(())
    }

    fn terms(&self) -> [(&'static str, &Vec<String>); 7] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("unplanned", &self.unplanned),
            ("unintended", &self.unintended),
            ("phantom", &self.phantom),
            ("stuck", &self.stuck),
            ("misjudged", &self.misjudged),
        ]
    }

    fn account_for_alerts<'h>(&mut self, handed_over: impl IntoIterator<Item = &'h String>, alerts: &[AlertRow], runs: &[Timeline]) {
        let mut known: HashMap<&str, Vec<&AlertRow>> = HashMap::new();
        for row in alerts {
            known.entry(&row.id).or_default().push(row);
        }
        let answered: HashSet<i64> = runs.iter().flat_map(|run| &run.alerts).copied().collect();
        for id in handed_over {
            match known.get(id.as_str()).map(Vec::as_slice) {
                None => self.lost.push(format!("alert {id}")),
                Some([row]) if row.outcome == "received" => self.stuck.push(format!("nothing was decided about alert {id}")),
                Some([row]) if row.outcome == "matched" && !answered.contains(&row.number) => {
                    self.lost.push(format!("alert {id}, which no run answers"));
                }
                Some([row]) if row.outcome == "error" => self.lost.push(format!("alert {id}, which a playbook could not read")),
                Some([_]) => {}
                Some(_) => self.doubled.push(format!("alert {id} was taken in more than once")),
            }
        }
        let mut begun: BTreeMap<(&str, i64), usize> = BTreeMap::new();
        for run in runs {
            for alert in &run.alerts {
                *begun.entry((&run.run.playbook, *alert)).or_default() += 1;
            }
        }
        let again = begun.iter().filter(|(_, count)| **count > 1);
        self.doubled.extend(again.map(|((playbook, alert), count)| format!("{count} runs of {playbook} for alert {alert}")));
    }

    /// Finds for each request the step that made it.
    fn account_for_requests<'a>(&mut self, ledger: &'a [Entry], planned: &mut [Planned<'a>]) {
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for (index, it) in planned.iter().enumerate() {
            for name in names(it.step) {
                by_name.insert(name, index);
            }
        }
        for entry in ledger.iter().filter(|entry| is_change(entry)) {
            let Some(index) = name_of(entry).and_then(|name| by_name.get(&name)) else {
                self.unplanned.push(format!("{} {} at {}", entry.method, entry.path, entry.at));
                continue;
            };
            let it = &mut planned[*index];
            it.requests.push(entry);
            if it.mode == Mode::Shadow {
                self.unplanned.push(format!("{} {}, by a run that only shadows", entry.method, entry.path));
            }
            if !it.attempts.iter().any(|attempt| attempt.intent_at <= entry.at) {
                self.unintended.push(format!("{} {} at {}, before any attempt of `{}`", entry.method, entry.path, entry.at, it.step.id));
            }
        }
    }

    /// Nothing is stopped twice unless it was started again in between.
    fn account_for_targets(&mut self, ledger: &[Entry]) {
        let effects = || ledger.iter().filter_map(|entry| entry.effect.as_ref().map(|effect| (entry, effect)));
        for (kind, undone) in [
            ("entitlement.cancelled", "entitlement.reactivated"),
            ("subscription.suspended", "subscription.reactivated"),
            ("message.slack", ""),
        ] {
            let mut applied: BTreeMap<&str, usize> = BTreeMap::new();
            let mut askers: BTreeMap<&str, HashSet<&Option<String>>> = BTreeMap::new();
            for (entry, effect) in effects().filter(|(_, effect)| effect.kind == kind && effect.target != NOTICES) {
                *applied.entry(&effect.target).or_default() += usize::from(entry.applied);
                askers.entry(&effect.target).or_default().insert(&entry.request_id);
            }
            // A person who starts it again wants it to run.
            let again = |entry: &Entry| entry.applied && entry.service != "operator";
            let allowed =
                |target: &str| 1 + effects().filter(|(entry, it)| it.kind == undone && it.target == target && again(entry)).count();
            for (target, count) in applied.iter().filter(|(target, count)| **count > allowed(target)) {
                self.doubled.push(format!("{count} times {kind} of {target}"));
            }
            for (target, ids) in askers.iter().filter(|(target, ids)| ids.len() > allowed(target)) {
                self.doubled.push(format!("{kind} of {target} was requested by {} steps", ids.len()));
            }
        }
    }

    fn account_for_step(&mut self, it: &Planned<'_>, ledger: &[Entry]) {
        let requested = it.requests.len();
        let is_counted = matches!(it.step.class, Class::Keyed | Class::Verified | Class::Unsafe);
        // An idempotent action may be several requests, and reads first whether there is anything to do.
        if is_counted && requested > it.attempts.len() {
            self.unintended.push(format!("{requested} requests of `{}` in {} attempts", it.step.id, it.attempts.len()));
        }
        let has_effect = it.requests.iter().any(|entry| entry.effect.is_some());
        let was_tried = it.step.state == StepState::Succeeded && !it.attempts.is_empty() && it.step.first_intent_at.is_some();
        if is_counted && was_tried && !has_effect {
            // Between two attempts another run may have brought the target to where both want it; then the step does not claim to have.
            let wanted = match it.step.action.as_str() {
                "entitlement.cancel" => "entitlement.cancelled",
                "subscription.suspend" => "subscription.suspended",
                _ => "",
            };
            let is_on_target = |target: &str| it.step.target.as_ref().is_some_and(|own| own.ends_with(target));
            let effects = ledger.iter().filter(|entry| entry.applied).filter_map(|entry| Some((entry.at, entry.effect.as_ref()?)));
            let mut effects =
                effects.filter(|(at, effect)| effect.kind == wanted && is_on_target(&effect.target) && Some(*at) <= it.step.ended_at);
            if it.step.has_acted() || effects.next().is_none() {
                self.phantom.push(format!("`{}` succeeded without an effect", it.step.id));
            }
        }
        self.faults += it.attempts.iter().filter(|attempt| attempt.outcome == Some(AttemptOutcome::Unknown)).count();
    }

    fn account_for_run(&mut self, run: &Timeline) {
        let in_doubt = run.steps.iter().find(|step| step.state == StepState::Indeterminate);
        match (run.run.state, in_doubt) {
            (RunState::Indeterminate, _) => self.indeterminate += 1,
            (RunState::Ready | RunState::Waiting | RunState::Queued, _) => {
                self.stuck.push(format!("run {} of {} is {:?}", run.run.id, run.run.playbook, run.run.state));
            }
            (state, Some(step)) => self.misjudged.push(format!("run {} is {state:?} while `{}` is in doubt", run.run.id, step.id)),
            (
                RunState::Done | RunState::NoAction | RunState::Failed | RunState::Rejected | RunState::Expired | RunState::Cancelled,
                None,
            ) => {}
        }
    }
}

impl fmt::Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, wrong) in self.terms() {
            write!(f, "{name} {}, ", wrong.len())?;
        }
        write!(f, "indeterminate {} of {} faults, effects {}", self.indeterminate, self.faults, self.effects)
    }
}

/// Where messages to people go; they may come twice, with one identifier.
const NOTICES: &str = "services/secops";

/// Sign-ins and reads change nothing.
fn is_change(entry: &Entry) -> bool {
    matches!(entry.service.as_str(), "graph" | "partner-center" | "slack") && !matches!(entry.method.as_str(), "GET" | "HEAD")
}

fn planned(runs: &[Timeline]) -> Vec<Planned<'_>> {
    let mut planned = Vec::new();
    for run in runs {
        for step in &run.steps {
            let attempts = run.attempts.iter().filter(|(id, _)| *id == step.id).map(|(_, attempt)| attempt).collect();
            planned.push(Planned { mode: run.run.mode, step, attempts, requests: Vec::new() });
        }
    }
    planned
}

/// By what a request of the step is known.
fn names(step: &StepRecord) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match step.action.as_str() {
        "http.request" => text(&step.plan["url"]).and_then(|url| Some(url.split_once("/slack/")?.1.to_owned())).into_iter().collect(),
        "alert.update_status" => step.target.clone().into_iter().collect(),
        _ => vec![step.request_id.to_string()],
    }
}

fn name_of(entry: &Entry) -> Option<String> {
    let last = entry.path.rsplit('/').next()?;
    match entry.service.as_str() {
        "graph" => Some(format!("alert:{}", last.to_lowercase())),
        "slack" if entry.path.ends_with(NOTICES) => {
            let body = entry.body.as_ref()?.to_string();
            let at = body.rfind(" · ")? + " · ".len();
            Some(body[at..].chars().take(36).collect())
        }
        "slack" => Some(entry.path.split_once("/slack/").map_or(entry.path.as_str(), |(_, rest)| rest).trim_start_matches('/').to_owned()),
        _ => entry.request_id.clone(),
    }
}
