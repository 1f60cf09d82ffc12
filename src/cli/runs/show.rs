//! `quell runs show`: one run on a page.

use serde_json::{Value, json};

use super::{super::approvals, Desk, Exit, find, output, rollback};
use crate::{
    run::{RunState, StepRecord, StepState},
    store::{StoreError, Timeline},
};

pub(super) async fn show(desk: &Desk<'_>, start: &str) -> Result<Exit, StoreError> {
    let run = match find(desk, start).await? {
        Ok(run) => run,
        Err(exit) => return Ok(exit),
    };
    let Some(timeline) = desk.store.timeline(&run.id).await? else {
        return Ok(Exit::problem(&format!("run {} is not there any more", run.id)));
    };
    let offers = rollback::offers(desk, &timeline.run, &timeline.steps).await?;
    if desk.json {
        let mut shown = json!(timeline);
        if let Value::Object(fields) = &mut shown {
            fields.insert("rollbacks".to_owned(), json!(offers));
        }
        return Ok(output::print_json(&shown));
    }
    print(&timeline);
    if !offers.is_empty() {
        output::print(&format!("\nwhat it did, and whether it can be undone:\n{}", rollback::table(&offers)));
    }
    Ok(Exit::Done)
}

fn print(timeline: &Timeline) {
    let run = &timeline.run;
    let is_open = !run.state.is_final();
    let alerts: Vec<_> = timeline.alerts.iter().map(|alert| format!("#{alert}")).collect();
    let facts = [
        ("run", run.id.to_string()),
        ("playbook", format!("{} ({})", run.playbook, run.mode)),
        (if alerts.len() == 1 { "alert" } else { "alerts" }, alerts.join(", ")),
        ("replayed", run.replay.as_ref().map(|it| format!("by {}: {}", it.who, output::printable(&it.reason))).unwrap_or_default()),
        ("inputs", text(&run.inputs)),
        ("state", format!("{}{}", run.state, if is_open && run.cancel { ", to be cancelled" } else { "" })),
        ("waits until", if run.state == RunState::Waiting { output::time(run.due_at) } else { String::new() }),
        ("reason", run.reason.clone()),
        ("began", output::time(run.created_at)),
        ("ended", run.ended_at.map(output::time).unwrap_or_default()),
    ];
    output::print(&output::facts(facts).to_string());
    let mut table = output::table(&["step", "action", "class", "state", "attempts", "arguments", "answer"]);
    for step in in_order(&timeline.steps) {
        table.add_row([
            format!("{}{}", "  ".repeat(step.id.matches('/').count()), step.id).into(),
            (&step.action).into(),
            step.class.as_str().into(),
            output::state(step.state.as_str()),
            step.attempts.to_string().into(),
            output::short(&text(&step.plan), 80).into(),
            output::short(&answer(step), 80).into(),
        ]);
    }
    output::print(&format!("\n{table}"));
    if !timeline.approvals.is_empty() {
        output::print(&format!("\n{}", approvals::table(&timeline.approvals)));
    }
    for (approval, vote) in timeline.approvals.iter().flat_map(|approval| approval.votes.iter().map(move |vote| (approval, vote))) {
        let reason = output::printable(&vote.reason);
        output::print(&format!("{} {} {}: {} {reason}", output::time(vote.at), approval.asker, vote.person, vote.choice));
    }
    let failed = timeline.attempts.iter().filter(|(_, attempt)| !attempt.message.is_empty());
    for (step, attempt) in failed {
        let outcome = attempt.outcome.map_or("under way", |outcome| outcome.as_str());
        let message = output::printable(&attempt.message);
        output::print(&format!("{} {step} attempt {}: {outcome}: {message}", output::time(attempt.intent_at), attempt.number));
    }
}

/// Steps below the one in which they lie, item by item, and beside each other in the order in which they began.
fn in_order(steps: &[StepRecord]) -> Vec<&StepRecord> {
    let mut sorted: Vec<&StepRecord> = steps.iter().collect();
    sorted.sort_by_cached_key(|step| place(steps, &step.id));
    sorted
}

/// For each part of a path the position of that step, and which of its items or branches is meant.
fn place(steps: &[StepRecord], path: &str) -> Vec<(u32, usize, String)> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let parts = ends.filter_map(|end| path.get(..end));
    let place = |part: &str| {
        let position = |id: &str| steps.iter().find(|step| step.id == id).map_or(u32::MAX, |step| step.position);
        match part.strip_suffix(']').and_then(|it| it.rsplit_once('[')) {
            Some((id, item)) => (position(id), item.parse().map_or(0, |item: usize| item.saturating_add(1)), item.to_owned()),
            None => (position(part), 0, String::new()),
        }
    };
    parts.map(place).collect()
}

/// What a step ended with, or until when it waits.
fn answer(step: &StepRecord) -> String {
    let said = step.error.clone().unwrap_or_else(|| text(&step.output));
    let waits = match step.state {
        StepState::Waiting | StepState::Retrying | StepState::Verifying | StepState::Confirming => step.due_at,
        StepState::Planned
        | StepState::Running
        | StepState::Executing
        | StepState::Succeeded
        | StepState::Skipped
        | StepState::Shadowed
        | StepState::Failed
        | StepState::Indeterminate => None,
    };
    match waits {
        Some(until) => format!("until {} {said}", output::time(until)).trim_end().to_owned(),
        None => said,
    }
}

fn text(value: &Value) -> String {
    let is_empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    if is_empty { String::new() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::run::Class;

    fn step(position: u32, id: &str) -> StepRecord {
        StepRecord {
            id: id.to_owned(),
            within: "p".to_owned(),
            position,
            action: "log".to_owned(),
            class: Class::Read,
            state: StepState::Succeeded,
            plan: Value::Null,
            output: Value::Null,
            error: None,
            request_id: uuid::Uuid::nil(),
            precondition: None,
            target: None,
            attempts: 1,
            uncertain: false,
            first_intent_at: None,
            due_at: None,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
            refused_at: None,
            returns_at: None,
            decided: None,
        }
    }

    #[test]
    fn steps_stand_below_the_one_in_which_they_lie() {
        let ids = ["before", "each", "each[10]/tell", "each[2]/tell", "each[2]/log", "call", "call/tell", "after"];
        let began = [0, 1, 3, 2, 5, 4, 7, 6].into_iter().zip(ids);
        let steps: Vec<_> = began.map(|(position, id)| step(position, id)).collect();
        let found: Vec<_> = in_order(&steps).into_iter().map(|step| step.id.as_str()).collect();
        assert_eq!(found, ["before", "each", "each[2]/tell", "each[2]/log", "each[10]/tell", "call", "call/tell", "after"]);
    }
}
