//! `quell runs`: what playbooks did, step by step; and runs that a person begins or cancels, also while `quell run` runs.

mod rollback;
mod settle;
mod show;
mod start;

use std::path::Path;

use clap::Subcommand;

use super::{Desk, Exit, identity::Identity, output};
use crate::{
    playbook::{Library, Playbook},
    run::{Mode, RunRecord, RunState},
    store::{RunFilter, StoreError},
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
        /// Only those that decided and recorded, and did not act.
        #[arg(long)]
        shadow: bool,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one run: its steps, their arguments and answers, and every attempt.
    Show {
        /// Its id; the first characters are enough.
        run: String,
    },
    /// Begin a run of a playbook whose trigger is `manual`; prints its id.
    Start(start::Start),
    /// Let a run end as soon as nothing of it is under way. What it did stays done.
    Cancel {
        /// Its id; the first characters are enough.
        run: String,
        #[command(flatten)]
        identity: Identity,
    },
    /// Say what became of a step that nobody but a person can know about; the run goes on from there.
    Settle(settle::Settle),
    /// Undo what a run did that has ended, the last first. Shows first what is undone, and what cannot be and why.
    Rollback(rollback::Roll),
    /// Let stay what a run did, where it would be undone by itself.
    Keep(rollback::Keep),
}

/// Enough to say that the start of an id is not enough.
const SHOWN: i64 = 20;

impl Runs {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let done = match self {
            Self::List { state, playbook, alert, shadow, limit } => {
                let mode = shadow.then_some(Mode::Shadow);
                let filter = RunFilter { state, playbook, alert, mode, most: i64::from(limit), ..RunFilter::default() };
                list(desk, &filter).await
            }
            Self::Show { run } => show::show(desk, &run).await,
            Self::Start(start) => start.execute(desk).await,
            Self::Cancel { run, identity } => cancel(desk, &run, &identity).await,
            Self::Settle(settle) => settle.execute(desk).await,
            Self::Rollback(roll) => roll.execute(desk).await,
            Self::Keep(keep) => keep.execute(desk).await,
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
    let mut table = output::table(&["run", "began", "playbook", "mode", "alert", "state", "reason"]);
    for run in &runs {
        table.add_row([
            run.id.to_string().into(),
            output::time(run.created_at).into(),
            (&run.playbook).into(),
            run.mode.as_str().into(),
            output::short(&answers(run), 60).into(),
            output::state(run.state.as_str()),
            output::short(&run.reason, 80).into(),
        ]);
    }
    output::print(&table.to_string());
    Ok(Exit::Done)
}

/// The alert that a run answers, and who wanted that once more.
fn answers(run: &RunRecord) -> String {
    let alert = run.alert.map(|alert| format!("#{alert}")).unwrap_or_default();
    run.replay.as_ref().map_or_else(|| alert.clone(), |replay| format!("{alert}, replayed by {}", replay.who))
}

async fn cancel(desk: &Desk<'_>, start: &str, identity: &Identity) -> Result<Exit, StoreError> {
    let run = match find(desk, start).await? {
        Ok(run) => run,
        Err(exit) => return Ok(exit),
    };
    if desk.store.cancel(&run.id, &identity.who()).await? {
        output::print(&format!("run {} ends as soon as nothing of it is under way", run.id));
        return Ok(Exit::Done);
    }
    let why =
        if run.cancel && !run.state.is_final() { "is being cancelled already".to_owned() } else { format!("is {} already", run.state) };
    Ok(Exit::problem(&format!("run {} {why}", run.id)))
}

/// The one run whose id begins so, or what to tell the person.
async fn find(desk: &Desk<'_>, start: &str) -> Result<Result<RunRecord, Exit>, StoreError> {
    let filter = RunFilter { start: Some(start.to_owned()), most: SHOWN, ..RunFilter::default() };
    let mut found = desk.store.runs(&filter).await?.into_iter();
    Ok(match (found.next(), found.next()) {
        (Some(run), None) => Ok(run),
        (None, _) => Err(Exit::problem(&format!("there is no run `{start}`; `quell runs list` shows them"))),
        (Some(_), Some(_)) => Err(Exit::problem(&format!("several runs begin with `{start}`; give more of the id"))),
    })
}

/// The playbook as it was when the run began.
async fn written(desk: &Desk<'_>, run: &RunRecord) -> Result<Result<Playbook, Exit>, StoreError> {
    let (text, around) = desk.store.playbook_text(&run.playbook_hash).await?.unwrap_or_default();
    let library = Library::load(&desk.config.playbooks);
    Ok(library.compile(Path::new(&run.playbook), &text, &around).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Exit::problem(&format!("the text of the playbook `{}` cannot be used any more: {}", run.playbook, problems.join("; ")))
    }))
}
