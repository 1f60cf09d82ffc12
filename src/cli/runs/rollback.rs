//! `quell runs rollback` and `quell runs keep`: a person undoes what a run did after it has ended, or lets it stay where it would be undone
//! by itself.

use clap::Args;
use serde_json::json;

use super::{super::identity::Identity, Desk, Exit, find, output, written};
use crate::{
    engine::rollback::{self, Offer},
    run::{RunRecord, StepRecord},
    store::{Decider, StoreError},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Roll {
    /// Its id; the first characters are enough.
    run: String,
    /// Only this step, as `quell runs show` names it; may be given several times. Without it, everything that can be undone.
    #[arg(long = "step", value_name = "STEP")]
    steps: Vec<String>,
    /// Why; it is kept in the audit log.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", default_value = "", hide_default_value = true)]
    reason: String,
    /// Only show what would be undone.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    identity: Identity,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Keep {
    /// Its id; the first characters are enough.
    run: String,
    /// Only what this step did, as `quell runs show` names it; may be given several times. Without it, all of it.
    #[arg(long = "step", value_name = "STEP")]
    steps: Vec<String>,
    /// Why; it is kept in the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    identity: Identity,
}

impl Roll {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Result<Exit, StoreError> {
        let run = match find(desk, &self.run).await? {
            Ok(run) => run,
            Err(exit) => return Ok(exit),
        };
        let Some(progress) = desk.store.progress(&run.id).await? else { return Ok(overtaken(&run)) };
        let playbook = match written(desk, &progress.run).await? {
            Ok(playbook) => playbook,
            Err(exit) => return Ok(exit),
        };
        let offers = rollback::offers(&playbook, &progress.run, &progress.steps, desk.store.clock().now());
        if !desk.json {
            output::print(&table(&offers).to_string());
        }
        if let Some(why) = rollback::refusal(&progress.run) {
            return Ok(Exit::problem(&format!("run {} cannot be rolled back: {why}", run.id)));
        }
        let chosen = match rollback::choose(&offers, &self.steps) {
            Ok(chosen) => chosen,
            Err(why) => return Ok(Exit::problem(&why)),
        };
        let steps: Vec<_> = chosen.iter().map(|(step, _)| step.clone()).collect();
        if !self.dry_run && !desk.store.roll_back(&run.id, chosen, &decider(&self.identity, self.reason)).await? {
            return Ok(overtaken(&run));
        }
        let (word, sentence) =
            if self.dry_run { ("dry_run", "would be undone") } else { ("begun", "is undone; `quell runs show` shows how") };
        Ok(told(desk, &run, (word, sentence), &steps, &offers))
    }
}

impl Keep {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Result<Exit, StoreError> {
        let run = match find(desk, &self.run).await? {
            Ok(run) => run,
            Err(exit) => return Ok(exit),
        };
        let kept = desk.store.keep_done(&run.id, self.steps.clone(), &decider(&self.identity, self.reason)).await?;
        let missing: Vec<_> = self.steps.iter().filter(|step| !kept.contains(step)).map(|step| format!("`{step}`")).collect();
        if kept.is_empty() || !missing.is_empty() {
            let what = if missing.is_empty() { "nothing of it".to_owned() } else { missing.join(", ") };
            return Ok(Exit::problem(&format!(
                "run {}: {what} would be undone by itself; `quell runs show` shows what became of it",
                run.id
            )));
        }
        Ok(told(desk, &run, ("kept", "stays"), &kept, &[]))
    }
}

/// What the steps of a run did, and whether it can be undone. A text that cannot be read any more offers nothing.
pub(super) async fn offers(desk: &Desk<'_>, run: &RunRecord, steps: &[StepRecord]) -> Result<Vec<Offer>, StoreError> {
    if !steps.iter().any(StepRecord::has_acted) {
        return Ok(Vec::new());
    }
    Ok(match written(desk, run).await? {
        Ok(playbook) => rollback::offers(&playbook, run, steps, desk.store.clock().now()),
        Err(_told) => Vec::new(),
    })
}

pub(super) fn table(offers: &[Offer]) -> comfy_table::Table {
    let mut table = output::table(&["step", "undone by", "until", "by itself", "can be undone"]);
    for offer in offers {
        let by_itself = match (&offer.returns_at, &offer.kept) {
            (Some(at), _) => output::time(*at),
            (None, Some(kept)) => format!("kept by {}: {}", kept.who, output::short(&kept.reason, 60)),
            (None, None) => String::new(),
        };
        table.add_row([
            offer.step.clone(),
            offer.action.unwrap_or_default().to_owned(),
            offer.until.map(output::time).unwrap_or_default(),
            output::printable(&by_itself),
            offer.refused.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("no: {}", output::short(why, 120))),
        ]);
    }
    table
}

fn decider(identity: &Identity, reason: String) -> Decider {
    Decider { person: identity.name(), who: identity.who(), reason }
}

fn told(desk: &Desk<'_>, run: &RunRecord, (word, sentence): (&str, &str), steps: &[String], offers: &[Offer]) -> Exit {
    if desk.json {
        return output::print_json(&json!({"run": run.id, "outcome": word, "steps": steps, "rollbacks": offers}));
    }
    output::print(&format!("run {}: {} {sentence}", run.id, steps.join(", ")));
    Exit::Done
}

fn overtaken(run: &RunRecord) -> Exit {
    Exit::problem(&format!("run {}: somebody else decided meanwhile; `quell runs show` shows what", run.id))
}
