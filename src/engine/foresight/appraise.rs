//! What every playbook says to an alert, those that say "no" included.

use std::{cell::LazyCell, sync::Arc};

use jiff::Timestamp;

use crate::{
    alert::Alert,
    engine::decide::decide,
    expression::Scope,
    playbook::{Library, Playbook, Trigger, Verdict as Match},
    run::{Mode, RunRecord, RunState},
    store::{NewRun, Verdict},
};

/// What a playbook says to an alert.
#[derive(Debug, Clone)]
pub enum Appraisal {
    /// It is not asked, and why.
    NotAsked(&'static str),
    /// It does not answer it.
    Differs {
        /// The first clause that was false, as written.
        clause: String,
        /// What the alert has instead.
        value: String,
    },
    /// It cannot be told.
    Failed(String),
    /// It answers it with this run, unless a window holds that back.
    Matches(Box<NewRun>),
}

/// What every playbook says, in the order of their names.
pub fn appraise(library: &Library, is_revision: bool, alert: &Alert, now: Timestamp) -> Vec<(Arc<Playbook>, Appraisal)> {
    let seen = serde_json::to_value(alert).unwrap_or_default();
    let mut scope = LazyCell::new(|| {
        let mut scope = Scope::new(now);
        scope.set("alert", &seen);
        scope
    });
    let mut verdicts = decide(library, (0, is_revision), alert, now).verdicts;
    let appraised = library.playbooks.iter().map(|playbook| {
        let decided = verdicts.iter().position(|verdict| name_of(verdict) == playbook.name).map(|at| verdicts.swap_remove(at));
        let appraisal = match (decided, &playbook.trigger) {
            (Some(Verdict::Run(run)), _) => Appraisal::Matches(run),
            (Some(Verdict::Error { detail, .. }), _) => Appraisal::Failed(detail),
            (None, _) if playbook.mode == Mode::Disabled => Appraisal::NotAsked("its mode is `disabled`"),
            (None, Trigger::Schedule(_)) => Appraisal::NotAsked("a schedule begins it, not an alert"),
            (None, Trigger::Manual) => Appraisal::NotAsked("a person or another playbook begins it, not an alert"),
            (None, Trigger::Alert(trigger)) => match trigger.evaluate(&seen, is_revision, &mut scope) {
                Match::Differs { clause, value } => Appraisal::Differs { clause, value },
                Match::Failed(detail) => Appraisal::Failed(detail),
                // The decision asks the same trigger, so this is not reached.
                Match::Matches => Appraisal::NotAsked("the index of `match` leaves it out"),
            },
        };
        (Arc::clone(playbook), appraisal)
    });
    appraised.collect()
}

/// The record with which a run begins.
pub fn run_of(new: &NewRun, alert: Option<i64>, now: Timestamp) -> RunRecord {
    RunRecord {
        id: new.id.clone(),
        alert,
        inputs: new.inputs.clone(),
        playbook: new.playbook.clone(),
        playbook_hash: new.playbook_hash.clone(),
        mode: new.mode,
        vars: new.vars.clone(),
        state: RunState::Ready,
        reason: String::new(),
        created_at: now,
        due_at: now,
        ended_at: None,
        resumed_at: None,
        ended_as: None,
        cancel: false,
        replay: None,
    }
}

fn name_of(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Run(run) => &run.playbook,
        Verdict::Error { playbook, .. } => playbook,
    }
}
