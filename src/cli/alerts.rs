//! `quell alerts`: what came, and what became of it.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Desk, Exit, output};
use crate::store::{AlertFilter, AlertRow, RunFilter, Store, StoreError};

#[derive(Debug, Subcommand)]
pub(super) enum Alerts {
    /// List alerts, newest first.
    List {
        /// Only from this source.
        #[arg(long)]
        source: Option<String>,
        /// Only of this kind, e.g. `crypto_mining`.
        #[arg(long)]
        kind: Option<String>,
        /// Only with this in the id, title, customer or subscription.
        #[arg(long)]
        find: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one alert: what it says, what each playbook decided, and the runs.
    Show {
        /// Its number, or its id or a part of that.
        alert: String,
    },
}

/// Who sees this many to choose from asks more exactly.
const SHOWN: i64 = 20;

impl Alerts {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let done = match self {
            Self::List { source, kind, find, limit } => {
                let filter = AlertFilter { source, kind, text: find, most: i64::from(limit), ..AlertFilter::default() };
                list(desk, &filter).await
            }
            Self::Show { alert } => show(desk, &alert).await,
        };
        done.unwrap_or_else(|error| Exit::unreachable(&error.to_string()))
    }
}

async fn list(desk: &Desk<'_>, filter: &AlertFilter) -> Result<Exit, StoreError> {
    let rows = desk.store.alerts(filter).await?;
    if desk.json {
        return Ok(output::print_json(&rows));
    }
    let mut table = output::table(&["#", "received", "source", "kind", "severity", "title", "outcome"]);
    for row in &rows {
        table.add_row([
            row.number.to_string().into(),
            output::time(row.received_at).into(),
            output::short(&row.source, 20).into(),
            output::short(&row.kind, 40).into(),
            output::state(&row.severity),
            output::short(&row.title, 60).into(),
            output::state(&row.outcome),
        ]);
    }
    output::print(&table.to_string());
    Ok(Exit::Done)
}

/// The alert of that number or id, or of a part of its id if only one has it.
pub(super) async fn find(store: &Store, text: &str) -> Result<Result<AlertRow, Exit>, StoreError> {
    let exact = AlertFilter { name: Some(text.to_owned()), most: SHOWN, ..AlertFilter::default() };
    let part = AlertFilter { text: Some(text.to_owned()), most: SHOWN, ..AlertFilter::default() };
    let mut found = store.alerts(&exact).await?;
    if found.is_empty() {
        found = store.alerts(&part).await?;
    }
    Ok(match found.as_slice() {
        [row] => Ok(row.clone()),
        [] => Err(Exit::problem(&format!("there is no alert `{text}`; `quell alerts list` shows them"))),
        several => Err(Exit::problem(&format!("`{text}` fits several alerts; give the number: {}", numbers(several)))),
    })
}

async fn show(desk: &Desk<'_>, text: &str) -> Result<Exit, StoreError> {
    let row = match find(&desk.store, text).await? {
        Ok(row) => row,
        Err(exit) => return Ok(exit),
    };
    let decisions = desk.store.decisions(row.number).await?;
    let runs = desk.store.runs(&RunFilter { alert: Some(row.number), ..RunFilter::default() }).await?;
    let event: Value = serde_json::from_slice(&row.event).unwrap_or_default();
    if desk.json {
        let decisions: Vec<_> = decisions
            .iter()
            .map(|(playbook, verdict, detail, run)| json!({"playbook": playbook, "verdict": verdict, "detail": detail, "run": run}))
            .collect();
        return Ok(output::print_json(&json!({"alert": row, "event": event, "decisions": decisions, "runs": runs})));
    }
    output::print(&output::facts(facts(&row)).to_string());
    let mut table = output::table(&["playbook", "decided", "run", "state", "reason"]);
    for (playbook, verdict, detail, run) in &decisions {
        let run = runs.iter().find(|it| Some(&it.id.0) == run.as_ref());
        table.add_row([
            playbook.into(),
            output::state(verdict),
            run.map(|run| run.id.to_string()).unwrap_or_default().into(),
            output::state(run.map_or("", |run| run.state.as_str())),
            output::short(run.map_or(detail.as_str(), |run| run.reason.as_str()), 100).into(),
        ]);
    }
    for (run, replay) in runs.iter().filter_map(|run| Some((run, run.replay.as_ref()?))) {
        table.add_row([
            (&run.playbook).into(),
            output::short(&format!("replayed by {}", replay.who), 60).into(),
            run.id.to_string().into(),
            output::state(run.state.as_str()),
            output::short(if run.reason.is_empty() { &replay.reason } else { &run.reason }, 100).into(),
        ]);
    }
    output::print(&format!("\n{table}\n"));
    let data = event.get("data").unwrap_or(&event);
    output::print(&output::printable(&serde_json::to_string_pretty(data).unwrap_or_default()));
    Ok(Exit::Done)
}

fn numbers(rows: &[AlertRow]) -> String {
    rows.iter().map(|row| row.number.to_string()).collect::<Vec<_>>().join(", ")
}

fn facts(row: &AlertRow) -> [(&'static str, String); 11] {
    [
        ("alert", format!("#{} {}", row.number, row.id)),
        ("outcome", row.outcome.clone()),
        ("title", row.title.clone()),
        ("source", row.source.clone()),
        ("kind", row.kind.clone()),
        ("severity", row.severity.clone()),
        ("status", row.status.clone()),
        ("customer", row.customer_tenant_id.clone()),
        ("subscription", row.subscription_id.clone()),
        ("received", format!("{} ({} times)", output::time(row.received_at), row.deliveries)),
        ("revision", if row.is_revision { row.revision.clone() } else { String::new() }),
    ]
}
