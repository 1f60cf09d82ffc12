//! `quell runs settle`: a person found out what became of a step in doubt.

use clap::Args;
use serde_json::Value;

use super::{super::identity::Identity, Desk, Exit, find, output, written};
use crate::{
    alert::Alert,
    engine::{
        plan::Sight,
        settle::{self, Finding},
    },
    run::{RunRecord, RunState, StepRecord},
    store::{Progress, Settled, StoreError},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Settle {
    /// Its id; the first characters are enough.
    run: String,
    /// The step in doubt, as `quell runs show` names it; needed only if there are several.
    step: Option<String>,
    #[command(flatten)]
    finding: Found,
    /// Its output, for the steps that follow it, as JSON; with `--happened`.
    #[arg(long, value_name = "JSON", requires = "happened")]
    output: Option<String>,
    /// How you know; it is kept in the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    identity: Identity,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Found {
    /// It happened: the run goes on after it.
    #[arg(long)]
    happened: bool,
    /// It did not happen: the step has failed, and the run goes on as the playbook says of that.
    #[arg(long)]
    did_not: bool,
    /// Nobody will ever know: the run ends as failed, and gives back what it kept others from.
    #[arg(long)]
    give_up: bool,
}

impl Settle {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Result<Exit, StoreError> {
        let run = match find(desk, &self.run).await? {
            Ok(run) => run,
            Err(exit) => return Ok(exit),
        };
        if run.state != RunState::Indeterminate {
            return Ok(Exit::problem(&format!("run {} is {}: none of its steps is in doubt", run.id, run.state)));
        }
        let who = self.identity.who();
        if self.finding.give_up {
            let done = desk.store.give_up(&run.id, (&who, &self.reason)).await?;
            return Ok(if done { told(desk, &run, "given_up", "is given up") } else { known(&run) });
        }
        let finding = match self.output.as_deref().map(serde_json::from_str::<Value>) {
            None if self.finding.did_not => Finding::DidNot,
            None => Finding::Happened(Value::Null),
            Some(Ok(output)) => Finding::Happened(output),
            Some(Err(error)) => return Ok(Exit::usage(&format!("`--output` is not JSON: {error}"))),
        };
        let Some(Progress { run, steps, events, .. }) = desk.store.progress(&run.id).await? else { return Ok(known(&run)) };
        let playbook = match written(desk, &run).await? {
            Ok(playbook) => playbook,
            Err(exit) => return Ok(exit),
        };
        let step = match self.chosen(&settle::in_doubt(&playbook, &steps)) {
            Ok(step) => step.clone(),
            Err(message) => return Ok(Exit::problem(&message)),
        };
        let alerts: Vec<_> = events.iter().filter_map(|event| Alert::from_event(event).ok()).collect();
        let alerts = serde_json::to_value(alerts).unwrap_or_default();
        let sight = Sight { alert: alerts.get(0).unwrap_or(&Value::Null), alerts: &alerts, run: &run, steps: &steps };
        let records = settle::settle(&playbook, sight, (&step, &finding), (&who, &self.reason), desk.store.clock().now());
        Ok(match desk.store.settle(&run.id, records, (&who, &self.reason)).await? {
            Settled::GoesOn => told(desk, &run, "goes_on", "goes on"),
            Settled::Waits => told(desk, &run, "waits", "waits: other steps of it are in doubt still"),
            Settled::Known => known(&run),
        })
    }

    fn chosen<'a>(&self, doubtful: &[&'a StepRecord]) -> Result<&'a StepRecord, String> {
        let names = || doubtful.iter().map(|step| format!("`{}`", step.id)).collect::<Vec<_>>().join(", ");
        match (&self.step, doubtful) {
            (None, [only]) => Ok(only),
            (None, _) => Err(format!("several steps are in doubt; name one of {}", names())),
            (Some(name), _) => doubtful
                .iter()
                .find(|step| step.id == *name)
                .copied()
                .ok_or_else(|| format!("the step `{name}` is not in doubt; these are: {}", names())),
        }
    }
}

fn told(desk: &Desk<'_>, run: &RunRecord, word: &str, sentence: &str) -> Exit {
    if desk.json {
        return output::print_json(&serde_json::json!({"run": run.id, "outcome": word}));
    }
    output::print(&format!("run {} {sentence}", run.id));
    Exit::Done
}

fn known(run: &RunRecord) -> Exit {
    Exit::problem(&format!("run {} was settled by somebody else meanwhile; `quell runs show` says how", run.id))
}
