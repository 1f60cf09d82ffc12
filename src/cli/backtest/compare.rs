//! What would be different for one alert, or one time of a schedule. Calls are compared whichever playbook makes them, so that work which moved from one playbook to
//! another is no difference.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    replay::{Occasion, Replayed},
    report::{Item, Report},
};
use crate::{
    actions,
    engine::foresight::{Call, Fate, Foreseen, NOTIFY},
    run::{RunState, StepRecord, StepState},
};

/// Finds the differences and puts them into the report.
pub(super) fn compare(it: &Replayed, report: &mut Report) {
    let is_quiet = it.runs.is_empty() && it.joined.is_empty() && it.errors.is_empty() && it.was.runs.is_empty();
    if is_quiet && it.was.decisions.is_empty() {
        return;
    }
    destructive(it, report);
    notifications(it, report);
    runs(it, report);
    failures(it, report);
    for foreseen in &it.runs {
        if let Some(limit) = foreseen.limit() {
            report.differences.unclear.push(item(it, &foreseen.run.playbook, limit));
        }
    }
}

/// Whether a recorded step was attempted, or its target was found so already.
pub(super) fn was_made(step: &StepRecord) -> bool {
    step.first_intent_at.is_some() || step.state == StepState::Succeeded
}

pub(super) fn is_destructive(action: &str) -> bool {
    actions::find(action).is_some_and(|entry| entry.destructive)
}

fn destructive(it: &Replayed, report: &mut Report) {
    let recorded = || it.was.runs.iter().flat_map(|(run, steps)| steps.iter().map(move |step| (run, step)));
    let recorded = || recorded().filter(|(_, step)| is_destructive(&step.action));
    let foreseen = || it.runs.iter().flat_map(|run| run.calls.iter().map(move |call| (run, call))).filter(|(_, call)| call.destructive);
    let made: BTreeMap<_, _> =
        recorded().filter(|(_, step)| was_made(step)).map(|(run, step)| (named(&step.action, &step.plan), &run.playbook)).collect();
    let tried: BTreeMap<_, _> = recorded().map(|(run, step)| (named(&step.action, &step.plan), &run.playbook)).collect();
    let mut will: BTreeMap<String, (&Foreseen, &Call)> = BTreeMap::new();
    for (run, call) in foreseen() {
        let name = named(call.action, &call.with);
        if call.is_made() || !will.contains_key(&name) {
            will.insert(name, (run, call));
        }
    }
    for (name, (run, call)) in &will {
        let held = call.held().map(|held| held.rule);
        let is_new = call.is_made() && !made.contains_key(name);
        // What was held back or only recorded then, and would be so again, is nothing new.
        let is_newly_held = matches!(call.fate, Fate::Held(_)) && !tried.contains_key(name);
        if is_new || is_newly_held {
            report.differences.newly_destructive.push(Item { held, ..item(it, &run.run.playbook, name.clone()) });
        }
    }
    if is_known(it) {
        for (name, playbook) in made.iter().filter(|(name, _)| !will.get(*name).is_some_and(|(_, call)| call.is_made())) {
            let held = will.get(name).and_then(|(_, call)| call.held()).map(|held| held.rule);
            report.differences.no_longer_destructive.push(Item { held, ..item(it, playbook, name.clone()) });
        }
    }
}

fn notifications(it: &Replayed, report: &mut Report) {
    let steps = || it.was.runs.iter().flat_map(|(run, steps)| steps.iter().map(move |step| (run, step)));
    let told = steps().find(|(_, step)| step.action == NOTIFY && was_made(step)).map(|(run, _)| &run.playbook);
    let tells = it.runs.iter().find(|run| run.calls.iter().any(|call| call.action == NOTIFY && call.is_made()));
    let is_joined = !it.joined.is_empty() || it.was.decisions.iter().any(|(_, verdict, _)| verdict == "joined");
    match (told, tells) {
        (None, Some(run)) if !is_joined => {
            report.differences.gain_notification.push(item(it, &run.run.playbook, String::new()));
        }
        // The run that answers the alert together with others tells of it.
        (Some(playbook), None) if !is_joined && is_known(it) => {
            report.differences.lose_notification.push(item(it, playbook, String::new()));
        }
        (None | Some(_), None | Some(_)) => {}
    }
}

fn runs(it: &Replayed, report: &mut Report) {
    let then = it.was.decisions.iter().find(|(_, verdict, _)| verdict == "run" || verdict == "joined").map(|(playbook, ..)| playbook);
    let now = it.runs.first().map(|run| &run.run.playbook).or_else(|| it.joined.first());
    let differences = &mut report.differences;
    let (gain, lose) = match it.occasion {
        Occasion::Alert(_) => (&mut differences.gain_run, &mut differences.lose_run),
        Occasion::Time(_) => (&mut differences.gain_time, &mut differences.lose_time),
    };
    match (then, now) {
        (None, Some(playbook)) => gain.push(item(it, playbook, String::new())),
        (Some(playbook), None) => lose.push(item(it, playbook, why_none(it, playbook))),
        (None, None) | (Some(_), Some(_)) => {}
    }
}

fn why_none(it: &Replayed, playbook: &str) -> String {
    let held = it.held.iter().find(|(name, _)| name == playbook).map(|(_, window)| format!("held by its window `{window}`"));
    held.unwrap_or_default()
}

fn failures(it: &Replayed, report: &mut Report) {
    let failed_before = |playbook: &str| {
        let decided = it.was.decisions.iter().any(|(name, verdict, _)| name == playbook && verdict == "error");
        decided || it.was.runs.iter().any(|(run, _)| run.playbook == playbook && run.state == RunState::Failed)
    };
    for foreseen in it.runs.iter().filter(|foreseen| foreseen.fails() && !failed_before(&foreseen.run.playbook)) {
        report.differences.newly_failing.push(item(it, &foreseen.run.playbook, foreseen.run.reason.clone()));
    }
    for (playbook, detail) in it.errors.iter().filter(|(playbook, _)| !failed_before(playbook)) {
        report.differences.newly_failing.push(item(it, playbook, detail.clone()));
    }
}

/// Whether everything that would be done for the alert is known; otherwise nothing can be said to be missing.
fn is_known(it: &Replayed) -> bool {
    it.runs.iter().all(|run| run.unclear.is_empty())
}

fn item(it: &Replayed, playbook: &str, what: String) -> Item {
    Item { id: it.id.clone(), playbook: playbook.to_owned(), what, ..Item::of(it.occasion) }
}

/// A call as people name it: the action and what it is done to. Two calls of one name are the same call.
fn named(action: &str, with: &Value) -> String {
    let of = |key: &str| with.get(key).and_then(Value::as_str);
    match ["entitlement_id", "subscription_id", "plan_id"].into_iter().find_map(of) {
        Some(target) => format!("{action} {target}"),
        None => format!("{action} {with}"),
    }
}
