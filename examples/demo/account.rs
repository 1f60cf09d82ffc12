//! The account at the end: what Quell's journal says was done, beside what the simulator's ledger says happened.

use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use jiff::{SignedDuration, Timestamp};
use quell::{
    run::{RunRecord, RunState, StepState},
    store::{AlertFilter, RunFilter, Store, Timeline},
};

use crate::{
    scene::Stage,
    show::{self, green, red},
};

/// One kind of change, counted on both sides.
struct Row {
    what: &'static str,
    journal: usize,
    ledger: usize,
}

/// Thirteen alerts come, and somebody changes one of them; less would mean that something was lost. More is well: what Quell itself changes
/// comes back as a change too, if it is polled before the next one.
const ALERTS: usize = 14;

/// What has to be done within this is waited for; the waits in `alarm-unanswered` and `watch-after-containment` are hours.
const SOON: SignedDuration = SignedDuration::from_mins(10);

/// Waits until nothing is left to do; says whether both sides agree.
pub(crate) async fn settle(stage: &Stage, store: &Store, patience: Duration) -> anyhow::Result<bool> {
    let begun = Instant::now();
    loop {
        // A poll may be about to bring one more.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let alerts = store.alerts(&AlertFilter::default()).await?;
        let undecided = alerts.iter().any(|alert| alert.outcome == "received");
        let runs = timelines(store).await?;
        let settled = alerts.len() >= ALERTS && !undecided && !runs.iter().any(|run| is_busy(&run.run));
        if settled || begun.elapsed() > patience {
            let agree = rows(stage, &runs).iter().all(|row| row.journal == row.ledger);
            return Ok(settled && agree);
        }
    }
}

/// A run that looks again in hours, as the one that watches what was contained, keeps nobody waiting here.
fn is_busy(run: &RunRecord) -> bool {
    match run.state {
        RunState::Waiting => run.due_at.duration_since(Timestamp::now()) < SOON,
        state => !state.is_final(),
    }
}

fn waits(run: &RunRecord) -> bool {
    !is_busy(run) && !run.state.is_final()
}

/// Prints the account.
pub(crate) async fn print(stage: &Stage, store: &Store) -> anyhow::Result<()> {
    let alerts = store.alerts(&AlertFilter::default()).await?;
    let runs = timelines(store).await?;
    let duplicates: i64 = alerts.iter().map(|alert| alert.deliveries - 1).sum();
    let count = |outcome: &str| alerts.iter().filter(|alert| alert.outcome == outcome).count();
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(["", "Quell's journal", "the simulator's ledger", ""]);
    for (what, number) in [
        ("alerts in", alerts.len()),
        ("matched", count("matched")),
        ("held back by a window", count("held")),
        ("no playbook", count("no_match")),
        ("duplicates recognised", usize::try_from(duplicates)?),
        ("quarantined", store.quarantine(true, i64::MAX).await?.len()),
        ("runs", runs.len()),
        ("runs that wait for their hour", runs.iter().filter(|run| waits(&run.run)).count()),
        ("runs that failed", runs.iter().filter(|run| matches!(run.run.state, RunState::Failed | RunState::Indeterminate)).count()),
    ] {
        table.add_row([what.to_owned(), number.to_string(), String::new(), String::new()]);
    }
    for row in rows(stage, &runs) {
        let verdict = if row.journal == row.ledger { green("agree") } else { red("DIFFER") };
        table.add_row([row.what.to_owned(), row.journal.to_string(), row.ledger.to_string(), verdict]);
    }
    show::line(&format!("\n{table}"));
    Ok(())
}

fn rows(stage: &Stage, runs: &[Timeline]) -> Vec<Row> {
    let ledger = stage.simulator.counts();
    let journal = |action: &str| done(runs, action).count();
    let told = |channel: &str| {
        let sent = done(runs, "notify").filter_map(|step| step.output["sent"].as_array());
        sent.flatten().filter(|it| it.as_str().is_some_and(|it| it.starts_with(channel))).count()
    };
    vec![
        Row { what: "Azure subscriptions cancelled", journal: journal("entitlement.cancel"), ledger: ledger.cancelled },
        Row { what: "plans suspended", journal: journal("subscription.suspend"), ledger: ledger.suspended },
        Row { what: "alerts updated", journal: updated(runs), ledger: ledger.alert_updates },
        Row { what: "told by Slack", journal: told("slack:"), ledger: ledger.slack },
        Row { what: "told by Teams", journal: told("teams:"), ledger: ledger.teams },
        Row { what: "told by e-mail", journal: told("email:"), ledger: ledger.emails },
    ]
}

/// Steps that called the outside and were answered.
fn done<'a>(runs: &'a [Timeline], action: &'a str) -> impl Iterator<Item = &'a quell::run::StepRecord> {
    runs.iter()
        .flat_map(|run| &run.steps)
        .filter(move |step| step.action == action && step.state == StepState::Succeeded && step.attempts > 0)
}

/// An alert that was in the wanted state already is left alone, and the step says so.
fn updated(runs: &[Timeline]) -> usize {
    done(runs, "alert.update_status").filter(|step| step.output["changed"] != false).count()
}

async fn timelines(store: &Store) -> anyhow::Result<Vec<Timeline>> {
    let mut timelines = Vec::new();
    for run in store.runs(&RunFilter::default()).await? {
        timelines.extend(store.timeline(&run.id).await?);
    }
    Ok(timelines)
}
