//! `quell runs`: what playbooks did, step by step.

use clap::Subcommand;
use serde_json::Value;

use super::{Desk, Exit, output};
use crate::{
    run::RunState,
    store::{RunFilter, StoreError, Timeline},
};

#[derive(Debug, Subcommand)]
pub(super) enum Runs {
    /// List runs, newest first.
    List {
        /// Only in this state, e.g. `failed` or `indeterminate`.
        #[arg(long, value_parser = state_word)]
        state: Option<String>,
        /// Only of this playbook.
        #[arg(long)]
        playbook: Option<String>,
        /// Only for the alert of this number.
        #[arg(long)]
        alert: Option<i64>,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one run: its steps, their arguments and answers, and every attempt.
    Show {
        /// Its id; the first characters are enough.
        run: String,
    },
}

/// Enough to say that the start of an id is not enough.
const SHOWN: i64 = 20;

impl Runs {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let done = match self {
            Self::List { state, playbook, alert, limit } => {
                let filter = RunFilter { state, playbook, alert, most: i64::from(limit), ..RunFilter::default() };
                list(desk, &filter).await
            }
            Self::Show { run } => show(desk, &run).await,
        };
        done.unwrap_or_else(|error| Exit::unreachable(&error.to_string()))
    }
}

fn state_word(word: &str) -> Result<String, String> {
    let known: Vec<_> = RunState::ALL.iter().map(|state| state.as_str()).collect();
    RunState::parse(word).map(|state| state.as_str().to_owned()).ok_or_else(|| format!("states are {}", known.join(", ")))
}

async fn list(desk: &Desk<'_>, filter: &RunFilter) -> Result<Exit, StoreError> {
    let runs = desk.store.runs(filter).await?;
    if desk.json {
        return Ok(output::print_json(&runs));
    }
    let mut table = output::table(&["run", "began", "playbook", "alert", "state", "reason"]);
    for run in &runs {
        table.add_row([
            run.id.to_string().into(),
            output::time(run.created_at).into(),
            (&run.playbook).into(),
            run.alert.map(|alert| format!("#{alert}")).unwrap_or_default().into(),
            output::state(run.state.as_str()),
            output::short(&run.reason, 80).into(),
        ]);
    }
    output::print(&table.to_string());
    Ok(Exit::Done)
}

async fn show(desk: &Desk<'_>, start: &str) -> Result<Exit, StoreError> {
    let found = desk.store.runs(&RunFilter { start: Some(start.to_owned()), most: SHOWN, ..RunFilter::default() }).await?;
    let absent = || Exit::problem(&format!("there is no run `{start}`; `quell runs list` shows them"));
    let run = match found.as_slice() {
        [] => return Ok(absent()),
        [run] => run,
        _several => return Ok(Exit::problem(&format!("several runs begin with `{start}`; give more of the id"))),
    };
    let Some(timeline) = desk.store.timeline(&run.id).await? else { return Ok(absent()) };
    if desk.json {
        return Ok(output::print_json(&timeline));
    }
    print(&timeline);
    Ok(Exit::Done)
}

fn print(timeline: &Timeline) {
    let run = &timeline.run;
    let facts = [
        ("run", run.id.to_string()),
        ("playbook", format!("{} ({})", run.playbook, run.mode)),
        ("alert", run.alert.map(|alert| format!("#{alert}")).unwrap_or_default()),
        ("state", run.state.to_string()),
        ("reason", run.reason.clone()),
        ("began", output::time(run.created_at)),
        ("ended", run.ended_at.map(output::time).unwrap_or_default()),
    ];
    output::print(&output::facts(facts).to_string());
    let mut table = output::table(&["step", "action", "class", "state", "attempts", "arguments", "answer"]);
    for step in &timeline.steps {
        table.add_row([
            (&step.id).into(),
            (&step.action).into(),
            step.class.as_str().into(),
            output::state(step.state.as_str()),
            step.attempts.to_string().into(),
            output::short(&text(&step.plan), 80).into(),
            output::short(step.error.as_deref().unwrap_or(&text(&step.output)), 80).into(),
        ]);
    }
    output::print(&format!("\n{table}"));
    let failed = timeline.attempts.iter().filter(|(_, attempt)| !attempt.message.is_empty());
    for (step, attempt) in failed {
        let outcome = attempt.outcome.map_or("under way", |outcome| outcome.as_str());
        let message = output::printable(&attempt.message);
        output::print(&format!("{} {step} attempt {}: {outcome}: {message}", output::time(attempt.intent_at), attempt.number));
    }
}

fn text(value: &Value) -> String {
    if value.is_null() { String::new() } else { value.to_string() }
}
