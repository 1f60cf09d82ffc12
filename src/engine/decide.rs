//! What is to be done about an alert: which playbooks match it, and with which variables and windows their runs begin. Pure.

use std::cell::LazyCell;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    alert::Alert,
    expression::{ExpressionError, Scope},
    playbook::{Library, Playbook, Verdict as Match},
    run::RunId,
    store::{Decision, NewRun, Verdict},
};

/// The decision about one alert.
pub fn decide(library: &Library, (number, is_revision): (i64, bool), alert: &Alert, now: Timestamp) -> Decision {
    // An alert has string keys and finite numbers, so this cannot fail.
    let seen = serde_json::to_value(alert).unwrap_or_default();
    // Most alerts meet no playbook that asks a script, and need no scope.
    let mut scope = LazyCell::new(|| scope(&seen, now));
    let mut verdicts = Vec::new();
    for playbook in library.candidates(&seen) {
        let Some(trigger) = playbook.trigger.alert() else { continue };
        match trigger.evaluate(&seen, is_revision, &mut scope) {
            Match::Differs { .. } => {}
            Match::Failed(detail) => verdicts.push(Verdict::Error { playbook: playbook.name.clone(), detail }),
            Match::Matches => verdicts.push(match new_run(playbook, &seen, now) {
                Ok(run) => Verdict::Run(run),
                Err(error) => Verdict::Error { playbook: playbook.name.clone(), detail: error.to_string() },
            }),
        }
    }
    Decision { alert: number, verdicts }
}

fn scope(alert: &Value, now: Timestamp) -> Scope {
    let mut scope = Scope::new(now);
    scope.set("alert", alert);
    scope
}

fn new_run(playbook: &Playbook, alert: &Value, now: Timestamp) -> Result<NewRun, ExpressionError> {
    let mut scope = scope(alert, now);
    let dedup = match &playbook.dedup {
        Some(dedup) => Some((dedup.key.render_text(&mut scope)?, later(now, dedup.window))),
        None => None,
    };
    Ok(NewRun {
        id: RunId::new(),
        playbook: playbook.name.clone(),
        playbook_hash: playbook.hash.clone(),
        playbook_text: std::sync::Arc::clone(&playbook.text),
        mode: playbook.mode,
        vars: playbook.render_vars(&mut scope)?,
        dedup,
    })
}

fn later(now: Timestamp, window: std::time::Duration) -> Timestamp {
    now.checked_add(window).unwrap_or(Timestamp::MAX)
}
