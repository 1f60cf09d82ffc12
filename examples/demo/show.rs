//! What the demo prints while it plays: alerts as they come, and runs as they end.

use std::{collections::HashSet, io::IsTerminal, net::SocketAddr, time::Duration};

use jiff::Timestamp;
use quell::{
    run::{RunState, StepState},
    store::{RunFilter, Store, Timeline},
};
use tokio::task::JoinHandle;

use crate::scene::Stage;

/// Prints a line.
#[expect(clippy::print_stdout, reason = "this is what the demo shows")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Says what there is to see.
pub(crate) fn introduce(stage: &Stage, quell: SocketAddr) {
    line(&bold("Quell: alerts as they come, played quickly"));
    line(&format!("  Quell listens on http://{quell}/ (metrics at /metrics), its bus and journal are one SQLite file"));
    line(&format!("  the simulator stands in for Microsoft, Slack, Teams and mail: {} shows its ledger\n", stage.simulator.url()));
}

/// An alert comes; a status of 0 is left out.
pub(crate) fn arrival(from: &str, what: &str, status: u16) {
    let answer = match status {
        0 => String::new(),
        code if code < 300 => green(&format!(" {code}")),
        code => red(&format!(" {code}")),
    };
    line(&format!("{} {} {from}: {what}{answer}", clock(), dim("→")));
}

/// Prints every run once it has ended.
pub(crate) fn watch(store: Store) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut shown = HashSet::new();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let Ok(mut runs) = store.runs(&RunFilter::default()).await else { continue };
            runs.reverse();
            for run in runs {
                if run.state.is_final()
                    && shown.insert(run.id.clone())
                    && let Ok(Some(timeline)) = store.timeline(&run.id).await
                {
                    ended(&timeline);
                }
            }
        }
    })
}

fn ended(timeline: &Timeline) {
    let run = &timeline.run;
    let state = match run.state {
        RunState::Done => green("done"),
        RunState::NoAction => dim("no action"),
        RunState::Failed | RunState::Rejected | RunState::Expired | RunState::Indeterminate | RunState::Cancelled => {
            red(run.state.as_str())
        }
        RunState::Ready | RunState::Waiting | RunState::Queued => run.state.to_string(),
    };
    let did: Vec<_> = timeline
        .steps
        .iter()
        .filter(|step| step.state == StepState::Succeeded && step.attempts > 0)
        .map(|step| step.action.as_str())
        .collect();
    let took = run.ended_at.map_or(0.0, |ended| ended.duration_since(run.created_at).as_secs_f64());
    let reason = if run.reason.is_empty() { String::new() } else { dim(&format!(" ({})", run.reason)) };
    line(&format!(
        "{}   {} {} alert #{}: {} in {took:.1} s{reason}",
        clock(),
        bold(&run.playbook),
        state,
        run.alert.unwrap_or_default(),
        did.join(", ")
    ));
}

fn clock() -> String {
    dim(&Timestamp::now().to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string())
}

pub(crate) fn bold(text: &str) -> String {
    styled("1", text)
}

pub(crate) fn green(text: &str) -> String {
    styled("32", text)
}

pub(crate) fn red(text: &str) -> String {
    styled("31", text)
}

fn dim(text: &str) -> String {
    styled("2", text)
}

fn styled(code: &str, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some() || !std::io::stdout().is_terminal();
    if plain || text.is_empty() { text.to_owned() } else { format!("\u{1b}[{code}m{text}\u{1b}[0m") }
}
