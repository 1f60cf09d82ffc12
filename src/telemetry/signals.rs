//! What happens, one function each: it writes the log line and moves the metric together.
//!
//! Code on the alert's path calls these and never touches a counter. No payload and no secret is logged.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, error, info, warn};

use super::Metrics;
use crate::{
    approval::ApprovalState,
    run::{RunId, RunState, StepState},
};

/// Says what happens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Signals(pub Metrics);

/// What became of events for other systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced<'a> {
    /// The broker has so many.
    Sent(usize),
    /// It does not take them, and is asked again; why.
    Failed(&'a str),
    /// So many are not tried again.
    GivenUp(u64, &'a str),
}

/// What became of a message to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// The channel has it.
    Sent,
    /// It is tried again; why it failed.
    Failed(&'a str),
    /// It is not tried again.
    GivenUp(&'a str),
}

impl Told<'_> {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed(_) => "failed",
            Self::GivenUp(_) => "given_up",
        }
    }
}

impl Signals {
    /// Signals that move these metrics.
    pub fn new(metrics: Metrics) -> Self {
        Self(metrics)
    }

    /// An alert was taken from the bus and committed.
    pub fn alert_received(&self, source: &str, alert: &str) {
        self.0.alerts_received.with_label_values(&[source]).inc();
        debug!(source, alert, "alert {alert} of {source} received");
    }

    /// An alert came again.
    pub fn alert_duplicate(&self, source: &str, alert: &str) {
        self.0.alerts_received.with_label_values(&[source]).inc();
        self.0.alerts_duplicate.inc();
        debug!(source, alert, "alert {alert} of {source} is known already");
    }

    /// A message was set aside. `reason` is a word from a bounded set, `detail` is for people.
    pub fn alert_quarantined(&self, reason: &str, detail: &str) {
        self.0.alerts_quarantined.with_label_values(&[reason]).inc();
        warn!(reason, detail, "message put in quarantine: {detail}");
    }

    /// It was decided what to do about an alert.
    pub fn alert_decided(&self, alert: &str, matched: usize, since_received: Duration) {
        self.0.alert_to_decision.observe(since_received.as_secs_f64());
        debug!(alert, matched, "alert {alert} matched {matched} playbooks");
    }

    /// A playbook matched an alert.
    pub fn matched(&self, playbook: &str) {
        self.0.matches.with_label_values(&[playbook]).inc();
    }

    /// An expression of a playbook failed on an alert; this is not "no match".
    pub fn playbook_failed(&self, playbook: &str, alert: &str, reason: &str) {
        self.0.playbook_errors.with_label_values(&[playbook]).inc();
        warn!(playbook, alert, reason, "playbook {playbook} cannot be evaluated on alert {alert}: {reason}");
    }

    /// People were to be told something. `kind` is a word from a bounded set.
    pub fn told(&self, (kind, message): (&str, &str), channel: &str, outcome: Told<'_>) {
        self.0.messages.with_label_values(&[kind, outcome.as_str()]).inc();
        match outcome {
            Told::Sent => info!(kind, message, channel, "told {channel}: {kind}, message {message}"),
            Told::Failed(why) => warn!(kind, message, channel, why, "told {channel} not yet: {kind}, message {message}: {why}"),
            Told::GivenUp(why) => error!(kind, message, channel, why, "{channel} is not told: {kind}, message {message}: {why}"),
        }
    }

    /// Events were to be announced to other systems.
    pub fn announced(&self, outcome: Announced<'_>) {
        let count = |word: &str, by: u64| self.0.events.with_label_values(&[word]).inc_by(by);
        match outcome {
            Announced::Sent(events) => count("sent", u64::try_from(events).unwrap_or(u64::MAX)),
            Announced::Failed(why) => {
                count("failed", 1);
                warn!(why, "events wait, as the broker does not take them: {why}");
            }
            Announced::GivenUp(events, why) => {
                count("given_up", events);
                error!(events, why, "{events} events are not announced any more: {why}");
            }
        }
    }

    /// The playbooks were loaded for the first time.
    pub fn playbooks_loaded(&self, usable: usize, refused: usize, now: Timestamp) {
        self.playbooks_in_use(usable, now);
        self.playbooks_broken(refused);
        let playbooks = if usable == 1 { "playbook" } else { "playbooks" };
        if refused == 0 {
            info!(usable, "{usable} {playbooks} loaded");
        } else {
            warn!(
                usable,
                refused,
                "{usable} {playbooks} loaded; {refused} files cannot be used and are left out, as there is no earlier set; `quell check` shows why"
            );
        }
    }

    /// Other playbooks took the place of those in use. `changes` says how many, `names` which.
    pub fn playbooks_replaced(&self, changes: &str, names: &str, usable: usize, now: Timestamp) {
        self.playbooks_in_use(usable, now);
        self.playbooks_broken(0);
        self.0.playbook_reloads.with_label_values(&["replaced"]).inc();
        info!(names, usable, "playbooks replaced: {changes}");
    }

    /// The folder of playbooks was read and holds what is in use; `again` if it held something that was refused before.
    pub fn playbooks_unchanged(&self, refused: usize, again: bool) {
        self.playbooks_broken(refused);
        if again {
            self.0.playbook_reloads.with_label_values(&["restored"]).inc();
            info!("the folder of playbooks holds again what is in use");
        } else {
            debug!("the folder of playbooks holds what is in use");
        }
    }

    /// The folder of playbooks cannot be used as it is now; those in use stay in use.
    pub fn playbooks_refused(&self, problems: &[String], files: usize, usable: usize) {
        self.playbooks_broken(files);
        self.0.playbook_reloads.with_label_values(&["refused"]).inc();
        for problem in problems {
            error!("{problem}");
        }
        error!(files, usable, "the changed playbooks are refused, as {files} files cannot be used; the {usable} in use stay in use");
    }

    fn playbooks_in_use(&self, usable: usize, now: Timestamp) {
        self.0.playbooks_loaded.set(i64::try_from(usable).unwrap_or(i64::MAX));
        self.0.playbooks_since.set(now.as_duration().as_secs_f64());
    }

    fn playbooks_broken(&self, files: usize) {
        self.0.playbooks_refused.set(i64::try_from(files).unwrap_or(i64::MAX));
        self.0.playbook_reload_ok.set(i64::from(files == 0));
    }

    /// A run began.
    pub fn run_started(&self, run: &RunId, playbook: &str, alert: &str) {
        info!(run.id = %run, playbook, alert, "run {run} of {playbook} begins for alert {alert}");
    }

    /// A run began that answers no alert. `occasion` says what began it.
    pub fn run_begun(&self, run: &RunId, playbook: &str, occasion: &str) {
        info!(run.id = %run, playbook, occasion, "run {run} of {playbook} begins: {occasion}");
    }

    /// A run that answers no alert did not begin.
    pub fn run_held(&self, playbook: &str, occasion: &str, detail: &str) {
        info!(playbook, occasion, detail, "no run of {playbook} begins for {occasion}: {detail}");
    }

    /// A run goes on after the program was started again.
    pub fn run_resumed(&self, run: &RunId, playbook: &str) {
        info!(run.id = %run, playbook, "run {run} of {playbook} goes on after a restart");
    }

    /// The time has come at which what a run did is undone by itself.
    pub fn return_begun(&self, run: &RunId, playbook: &str) {
        info!(run.id = %run, playbook, "run {run} of {playbook} is taken up again: nobody kept what it did, so it is undone");
    }

    /// A run that was taken up again to undo what it did has ended.
    pub fn rolled_back(&self, run: &RunId, playbook: &str, state: RunState, reason: &str) {
        self.0.rollbacks.with_label_values(&[playbook, state.as_str()]).inc();
        tell_end(run, playbook, state, reason);
    }

    /// A run ended.
    pub fn run_ended(&self, run: &RunId, playbook: &str, state: RunState, reason: &str) {
        self.0.runs.with_label_values(&[playbook, state.as_str()]).inc();
        tell_end(run, playbook, state, reason);
    }

    /// A step ended.
    pub fn step_ended(&self, run: &RunId, step: &str, action: &str, state: StepState) {
        self.0.steps.with_label_values(&[action, state.as_str()]).inc();
        info!(run.id = %run, step, action, "step {step} ({action}) of run {run}: {state}");
    }

    /// An attempt at an action ended.
    pub fn attempt_ended(&self, action: &str, took: Duration) {
        self.0.action_duration.with_label_values(&[action]).observe(took.as_secs_f64());
    }

    /// The first change in the world was made for an alert.
    pub fn acted(&self, since_received: Duration) {
        self.0.alert_to_action.observe(since_received.as_secs_f64());
    }

    /// A guardrail held a step back. `rule` is a word from a bounded set.
    pub fn guardrail_held(&self, run: &RunId, step: &str, rule: &str, detail: &str) {
        self.0.guardrail_holds.with_label_values(&[rule]).inc();
        warn!(run.id = %run, step, rule, detail, "step {step} of run {run} is held back: {detail}");
    }

    /// People are asked about a step.
    pub fn approval_opened(&self, run: &RunId, playbook: &str, step: &str) {
        self.0.approvals_opened.with_label_values(&[playbook]).inc();
        info!(run.id = %run, playbook, step, "people are asked about step {step} of run {run}");
    }

    /// It is known how a question to people ended.
    pub fn approval_closed(&self, outcome: ApprovalState) {
        self.0.approvals_closed.with_label_values(&[outcome.as_str()]).inc();
    }

    /// An entry of the audit log is there, whoever wrote it. What collects the logs is a witness: it remembers hashes where nobody who can
    /// write the store reaches them.
    pub fn audited(&self, number: i64, hash: &str, (who, what, subject): (&str, &str, &str)) {
        info!(audit.number = number, audit.hash = hash, who, what, subject, "audit entry {number}: {who}: {what} {subject}");
    }

    /// Alerts are consumed from the bus.
    pub fn bus_connected(&self) {
        self.0.bus_connected.set(1);
        info!("the bus is connected; alerts are consumed");
    }

    /// Alerts are not consumed from the bus any more.
    pub fn bus_lost(&self, reason: &str) {
        self.0.bus_connected.set(0);
        warn!(reason, "the bus is not connected: {reason}");
    }

    /// Alerts are not consumed any more because the program ends.
    pub fn bus_left(&self) {
        self.0.bus_connected.set(0);
        debug!("no more alerts are consumed");
    }

    /// The store cannot be written; nothing is consumed and nothing is done until it can.
    pub fn store_failed(&self, reason: &str) {
        error!(reason, "the store cannot be used: {reason}");
    }

    /// The store committed.
    pub fn store_committed(&self, took: Duration) {
        self.0.store_commit.observe(took.as_secs_f64());
    }

    /// A webhook request was answered.
    pub fn webhook_answered(&self, adapter: &str, code: u16, detail: &str) {
        self.0.webhook_requests.with_label_values(&[adapter, &code.to_string()]).inc();
        if code < 400 {
            debug!(adapter, code, "webhook {adapter} answered {code}");
        } else {
            warn!(adapter, code, detail, "webhook {adapter} answered {code}: {detail}");
        }
    }

    /// A poll succeeded at that time.
    pub fn poll_succeeded(&self, adapter: &str, at_seconds: f64, alerts: usize) {
        self.0.poll_last_success.with_label_values(&[adapter]).set(at_seconds);
        debug!(adapter, alerts, "poll {adapter} brought {alerts} alerts");
    }

    /// So long ago the oldest alert was detected that a poll brought.
    pub fn poll_lagged(&self, adapter: &str, lag: Duration) {
        self.0.poll_lag.with_label_values(&[adapter]).set(lag.as_secs_f64());
    }

    /// Alerts were found that had been told of and had not come.
    pub fn reconciled(&self, adapter: &str, alerts: &[String]) {
        self.0.reconciled.with_label_values(&[adapter]).inc_by(u64::try_from(alerts.len()).unwrap_or(u64::MAX));
        for alert in alerts {
            error!(adapter, alert, "{adapter} found alert {alert}, of which no webhook and no listing had told");
        }
    }

    /// Messages are received from another program's broker.
    pub fn feed_connected(&self, adapter: &str) {
        self.0.feed_connected.with_label_values(&[adapter]).set(1.0);
        info!(adapter, "{adapter} is connected");
    }

    /// Messages are not received, or not any more; why, and when it is tried again, unless it was not tried yet.
    pub fn feed_lost(&self, adapter: &str, failed: Option<(&str, Duration)>) {
        self.0.feed_connected.with_label_values(&[adapter]).set(0.0);
        if let Some((reason, again_in)) = failed {
            warn!(adapter, reason, "{adapter} is not connected and tries again in {again_in:?}: {reason}");
        }
    }

    /// Messages that were received cannot be put on the bus yet; they are not acknowledged.
    pub fn feed_waits(&self, adapter: &str, reason: &str, again_in: Duration) {
        warn!(adapter, reason, "{adapter} keeps what it received and tries again in {again_in:?}: {reason}");
    }

    /// A poll failed; its cursor did not move and it is tried again.
    pub fn poll_failed(&self, adapter: &str, reason: &str, again_in: Duration) {
        warn!(adapter, reason, "poll {adapter} failed and is tried again in {again_in:?}: {reason}");
    }
}

fn tell_end(run: &RunId, playbook: &str, state: RunState, reason: &str) {
    match state {
        RunState::Indeterminate => error!(run.id = %run, playbook, reason, "run {run} of {playbook} waits for a person: {reason}"),
        RunState::Failed => warn!(run.id = %run, playbook, reason, "run {run} of {playbook} failed: {reason}"),
        RunState::Ready
        | RunState::Waiting
        | RunState::Queued
        | RunState::Done
        | RunState::NoAction
        | RunState::Rejected
        | RunState::Expired
        | RunState::Cancelled => {
            info!(run.id = %run, playbook, reason, "run {run} of {playbook} ended: {state}");
        }
    }
}
