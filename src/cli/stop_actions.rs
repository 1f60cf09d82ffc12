//! `quell stop-actions` and `quell resume-actions`: the kill switch. The file comes first, because it works when the store does not.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::{Exit, identity::Identity, output};
use crate::{
    config::Config,
    engine::{KillSwitch, Stopped},
    lifecycle::Tasks,
    store::{self, Store, StoreError},
};

/// Why, for those who find it so.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// Why; it is shown wherever something waits, and kept in the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    identity: Identity,
}

impl Why {
    pub(super) async fn stop(self, config: &Config, json: bool) -> Exit {
        let switch = KillSwitch::at(&config.guardrails.stop_file);
        let stopped = Stopped { who: self.identity.who(), since: Some(Timestamp::now()), reason: self.reason };
        let file = switch.stop(&stopped).map_err(|error| format!("write `{}`: {error}", switch.file().display()));
        let row = in_store(config, async |store: &Store| store.stop_actions(&stopped.who, &stopped.reason).await).await;
        let row = row.map_err(|(Missed::NoJournal(why) | Missed::Failed(why))| why);
        report(json, "stopped", &[("file", file), ("store", row)])
    }

    pub(super) async fn resume(self, config: &Config, json: bool) -> Exit {
        let switch = KillSwitch::at(&config.guardrails.stop_file);
        // The other way round, so that who sees neither may be sure that both are gone.
        let who = self.identity.who();
        let row = match in_store(config, async |store: &Store| store.resume_actions(&who, &self.reason).await).await {
            Ok(()) | Err(Missed::NoJournal(_)) => Ok(()),
            // Half a resumption would be one that nobody is told of.
            Err(Missed::Failed(why)) => return Exit::unreachable(&format!("actions stay stopped: the store could not be changed: {why}")),
        };
        let file = switch.resume().map_err(|error| format!("remove `{}`: {error}", switch.file().display()));
        report(json, "resumed", &[("store", row), ("file", file)])
    }
}

/// Why the store was not changed.
enum Missed {
    /// `quell run` has not made it yet, so that nothing in it stops anything.
    NoJournal(String),
    Failed(String),
}

async fn in_store(config: &Config, change: impl AsyncFnOnce(&Store) -> Result<(), StoreError>) -> Result<(), Missed> {
    let journal = store::file_of(config.store.url.expose()).map_err(|error| Missed::Failed(error.to_string()))?;
    if let Some(journal) = journal.filter(|journal| !journal.exists()) {
        return Err(Missed::NoJournal(format!("there is no journal at `{}` yet", journal.display())));
    }
    let tasks = Tasks::default();
    let changed = async {
        let store = Store::open(&config.store, &tasks, None).await?.with_outlet(config.outlet());
        change(&store).await
    };
    let changed = changed.await.map_err(|error: StoreError| Missed::Failed(error.to_string()));
    tasks.end(std::time::Duration::from_secs(5)).await;
    changed
}

/// Half a switch is told as half a switch.
fn report(json: bool, done: &str, parts: &[(&'static str, Result<(), String>); 2]) -> Exit {
    if json {
        let part = |(name, result): &(&str, Result<(), String>)| (*name).to_owned() + ": " + result.as_ref().err().map_or("done", |it| it);
        output::print_json(&json!({"actions": done, "parts": parts.iter().map(part).collect::<Vec<_>>()}));
    }
    let failed: Vec<_> = parts.iter().filter_map(|(name, result)| result.as_ref().err().map(|error| (*name, error))).collect();
    match failed.as_slice() {
        [] if json => Exit::Done,
        [] => {
            output::print(&format!("all actions are {done}; what only tells people goes on in any case"));
            Exit::Done
        }
        [(name, error)] if done == "stopped" => {
            let reach = if *name == "store" { "nodes that see its file" } else { "nodes that use its store" };
            Exit::problem(&format!("actions are stopped on {reach} only: the {name} could not be reached: {error}"))
        }
        several => {
            let errors: Vec<_> = several.iter().map(|(name, error)| format!("{name}: {error}")).collect();
            Exit::unreachable(&format!("actions are not {done}: {}", errors.join("; ")))
        }
    }
}
