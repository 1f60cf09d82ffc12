//! Which alerts a playbook works on, and why it does not work on the others.

use std::cell::LazyCell;

use serde_json::Value;

use super::clause::{Clause, Holding};
use crate::expression::{Expression, Scope, chains};

/// What makes a playbook run.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// An alert.
    Alert(AlertTrigger),
    /// The clock.
    Schedule(Box<Schedule>),
    /// A person, or another playbook.
    Manual,
}

/// When a playbook runs by itself.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The times, as cron says them.
    pub cron: croner::Cron,
    /// In whose time.
    pub timezone: jiff::tz::TimeZone,
    /// What becomes of the times at which nothing could run.
    pub catch_up: CatchUp,
}

/// What becomes of the times of a schedule that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CatchUp {
    Skip,
    Last,
    All,
}

/// What an alert must be for a playbook to run.
#[derive(Debug, Clone)]
pub struct AlertTrigger {
    /// The lines of `match`: all must hold.
    pub clauses: Vec<Clause>,
    /// Evaluated only where all clauses hold.
    pub when: Option<Expression>,
    /// Whether later changes of a known alert count too.
    pub revisions: bool,
}

/// Whether a playbook runs for an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Matches,
    /// It does not.
    Differs {
        /// The first clause that was false, as written.
        clause: String,
        /// What the alert has instead.
        value: String,
    },
    /// It cannot be told: the playbook and the alert do not fit each other. That is an error of the playbook, never a "no".
    Failed(String),
}

impl Schedule {
    /// The first time after a moment; `None` when there is none any more.
    pub fn next_after(&self, moment: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let local = moment.to_zoned(self.timezone.clone());
        self.cron.find_next_occurrence(&local, false).ok().map(|it| it.timestamp())
    }
}

impl Trigger {
    /// The alerts for which it stands, if it stands for alerts.
    pub fn alert(&self) -> Option<&AlertTrigger> {
        match self {
            Self::Alert(trigger) => Some(trigger),
            Self::Schedule(_) | Self::Manual => None,
        }
    }
}

impl AlertTrigger {
    /// Whether it leaves out no kind of alert: what it says is only about whether an alert is a test or still open.
    pub fn catches_all(&self) -> bool {
        let says_little = |clause: &Clause| matches!(clause.field.as_str(), "is_test" | "status");
        self.clauses.iter().all(says_little) && self.when.as_ref().is_none_or(|when| when.text().trim() == "true")
    }

    /// Whether the playbook runs for an alert. The scope, which must hold the alert as `alert`, is made only when a script is needed.
    pub fn evaluate<F: FnOnce() -> Scope>(&self, alert: &Value, is_revision: bool, scope: &mut LazyCell<Scope, F>) -> Verdict {
        if is_revision && !self.revisions {
            return Verdict::Differs { clause: "revisions: false".to_owned(), value: "a later change of a known alert".to_owned() };
        }
        let mut unclear = None;
        for clause in &self.clauses {
            match clause.judge(alert) {
                Holding::Yes => {}
                Holding::No(value) => return Verdict::Differs { clause: clause.text().to_owned(), value },
                // A clause that is plainly false decides, so the others are asked first.
                Holding::Unclear(reason) => unclear = unclear.or(Some(reason)),
            }
        }
        if let Some(reason) = unclear {
            return Verdict::Failed(reason);
        }
        let Some(when) = &self.when else { return Verdict::Matches };
        match when.boolean(LazyCell::force_mut(scope)) {
            Ok(true) => Verdict::Matches,
            Ok(false) => Verdict::Differs { clause: format!("when: {}", when.text().trim()), value: values_in(when.text(), alert) },
            Err(error) => Verdict::Failed(format!("`when`: {error}")),
        }
    }
}

/// The alert's values that a condition reads, so that a person sees why it is false.
fn values_in(condition: &str, alert: &Value) -> String {
    let mut shown: Vec<String> = Vec::new();
    for chain in chains(condition) {
        let path = chain.path();
        let Some(("alert", parts)) = path.split_first().map(|(first, rest)| (*first, rest)) else { continue };
        let value = parts.iter().try_fold(alert, |value, part| value.get(part));
        let value = value.map_or_else(|| "nothing".to_owned(), |it| it.to_string().chars().take(100).collect());
        let line = format!("{} = {value}", path.join("."));
        if !shown.contains(&line) {
            shown.push(line);
        }
    }
    shown.join(", ")
}
