//! What of a run can be undone after it has ended, until when, and why the rest cannot. Pure: the store takes the run up again, and the driver
//! undoes it as any step is done.

use jiff::Timestamp;
use serde::Serialize;

use super::machine;
use crate::{
    actions,
    playbook::{Playbook, Rollback},
    run::{Class, Decided, RunRecord, RunState, StepRecord, StepState},
};

/// Something that a run did, and whether it can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// The step that did it.
    pub step: String,
    /// What would undo it; nothing where the playbook does not say.
    pub action: Option<&'static str>,
    /// Until when it can be undone.
    pub until: Option<Timestamp>,
    /// When it is undone by itself, unless somebody decides before.
    pub returns_at: Option<Timestamp>,
    /// Who decided that it stays.
    pub kept: Option<Decided>,
    /// Why it cannot be undone; nothing if it can.
    pub refused: Option<String>,
    #[serde(skip)]
    round: u32,
}

/// What the steps of a run did, the last first: in this order it is undone.
pub fn offers(playbook: &Playbook, run: &RunRecord, steps: &[StepRecord], now: Timestamp) -> Vec<Offer> {
    let mut offers: Vec<_> = steps.iter().rev().filter_map(|record| offer(playbook, run, (steps, record), now)).collect();
    // What is undone by itself waits for what came after it.
    let mut latest = None;
    for offer in offers.iter_mut().filter(|offer| offer.returns_at.is_some()) {
        latest = latest.max(offer.returns_at);
        offer.returns_at = latest;
    }
    offers
}

/// Why nothing of a run is undone now, whatever it did.
pub fn refusal(run: &RunRecord) -> Option<String> {
    if run.state == RunState::Indeterminate {
        return Some("a step of the run is in doubt, and must be settled first".to_owned());
    }
    (!run.state.is_final()).then(|| format!("the run is {}; what it did can be undone when it has ended", run.state))
}

/// The steps that somebody named, each with the round in which it is undone; without a name, all that can be.
///
/// # Errors
/// One of them cannot be undone, or nothing can.
pub fn choose(offers: &[Offer], named: &[String]) -> Result<Vec<(String, u32)>, String> {
    for name in named {
        match offers.iter().find(|offer| offer.step == *name) {
            None => return Err(format!("the run did nothing in a step `{name}` that can be undone")),
            Some(Offer { refused: Some(why), .. }) => return Err(format!("step `{name}` cannot be undone: {why}")),
            Some(_) => {}
        }
    }
    let chosen = offers.iter().filter(|offer| offer.refused.is_none() && (named.is_empty() || named.contains(&offer.step)));
    let chosen: Vec<_> = chosen.map(|offer| (offer.step.clone(), offer.round)).collect();
    if chosen.is_empty() { Err("nothing of what the run did can be undone".to_owned()) } else { Ok(chosen) }
}

fn offer(playbook: &Playbook, run: &RunRecord, (steps, record): (&[StepRecord], &StepRecord), now: Timestamp) -> Option<Offer> {
    let entry = actions::find(&record.action)?;
    let is_done = record.state == StepState::Succeeded || record.may_have_happened();
    let (written, _) = machine::find(playbook, steps, &record.id)?;
    let rollback = written.rollback.as_ref();
    // That people were told is not undone, unless the author knows how.
    if record.class == Class::Read || entry.tells && rollback.is_none() || !is_done {
        return None;
    }
    let last = last_attempt(steps, record);
    let round = last.map_or(0, |(round, _)| round).max(record.decided.as_ref().map_or(0, |decided| decided.round)) + 1;
    let refused = refused(rollback, run, (record, last.map(|(_, undoing)| undoing)), now);
    let is_pending = record.decided.is_none() && last.is_none();
    Some(Offer {
        step: record.id.clone(),
        action: rollback.map(|rollback| rollback.step.body.word()),
        until: rollback.filter(|_| record.has_acted()).map(|rollback| machine::until(rollback, record, now)),
        returns_at: record.returns_at.filter(|_| is_pending),
        kept: record.kept().cloned(),
        refused,
        round,
    })
}

fn refused(
    rollback: Option<&Rollback>,
    run: &RunRecord,
    (record, undoing): (&StepRecord, Option<&StepRecord>),
    now: Timestamp,
) -> Option<String> {
    let Some(rollback) = rollback else { return Some("the playbook does not say how".to_owned()) };
    if record.may_have_happened() {
        return Some("nobody knows whether it happened".to_owned());
    }
    if !record.has_acted() {
        return Some("it was so already, and the run changed nothing".to_owned());
    }
    let is_asked = !run.state.is_final() && record.undo_round().is_some();
    match undoing {
        Some(undoing) if undoing.state == StepState::Succeeded => {
            return Some(format!("it was undone at {}", undoing.ended_at.unwrap_or(undoing.started_at)));
        }
        Some(undoing) if !undoing.state.is_final() && !run.state.is_final() => return Some("it is being undone".to_owned()),
        None if is_asked => return Some("it is being undone".to_owned()),
        Some(undoing) if undoing.may_have_happened() => return Some("nobody knows whether it was undone".to_owned()),
        Some(_) | None => {}
    }
    let until = machine::until(rollback, record, now);
    if now > until { Some(format!("that was possible until {until}")) } else { refusal(run) }
}

/// The last record of a step that was to undo this one, and the how-manieth it is.
fn last_attempt<'a>(steps: &'a [StepRecord], record: &StepRecord) -> Option<(u32, &'a StepRecord)> {
    let round = |id: &str| match id.strip_prefix(record.id.as_str())?.strip_prefix(".rollback")? {
        "" => Some(1),
        rest => rest.strip_prefix('.')?.parse().ok(),
    };
    steps.iter().filter_map(|step| Some((round(&step.id)?, step))).max_by_key(|(round, _)| *round)
}

#[cfg(test)]
mod tests;
