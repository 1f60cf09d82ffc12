//! `quell replay`: a person has an alert answered once more.

use clap::Args;
use serde_json::json;

use super::{Desk, Exit, alerts, explain::Explain, identity::Identity, output};
use crate::{
    config::Config,
    engine::replay::{self, Again},
    playbook::Library,
    run,
    store::{Decider, Replayed, StoreError},
};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Replay {
    /// The alert's number, or its id or a part of that.
    #[arg(value_name = "ALERT")]
    alert: String,
    /// Only this playbook.
    #[arg(long, value_name = "NAME")]
    playbook: Option<String>,
    /// Say what would begin now and what it would do, as `quell explain` does; nothing begins.
    #[arg(long)]
    dry_run: bool,
    /// Why; it is shown with the run, and kept in the audit log.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

const AFTER_HELP: &str = "\
The playbooks answer the alert as they are now, and only those that match it. `dedup`, `threshold` and `group` do not hold a replay back;
`throttle`, `concurrency`, guardrails, limits, holds and approvals do, as for any run. Whoever asks for a replay does not approve its steps.
A step whose target is already as it is wanted changes nothing.";

impl Replay {
    /// What a look says, where only that is wanted.
    pub(super) async fn rehearse(self, config: &Config, json: bool) -> Result<Exit, Self> {
        if self.dry_run { Ok(Explain::once_more(self.alert, self.playbook).execute(config, json).await) } else { Err(self) }
    }

    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        self.begin(desk).await.unwrap_or_else(|error| Exit::unreachable(&error.to_string()))
    }

    async fn begin(self, desk: &Desk<'_>) -> Result<Exit, StoreError> {
        let (person, who) = (self.identity.name(), self.identity.who());
        // Anybody may claim another name here; who is known is held to what they may do.
        if let Some((_, user)) = desk.config.users.get(&person).filter(|(_, user)| !user.role.may_operate()) {
            return Ok(Exit::problem(&format!(
                "the role of `{person}` is `{}`, and only an `operator` or `admin` replays alerts",
                user.role
            )));
        }
        let Some(reason) = self.reason.filter(|reason| !reason.trim().is_empty()) else {
            return Ok(Exit::usage("a reason is needed; say it with `--reason`"));
        };
        let row = match alerts::find(&desk.store, &self.alert).await? {
            Ok(row) => row,
            Err(exit) => return Ok(exit),
        };
        let Some(past) = desk.store.past_of(row.number).await? else {
            return Ok(Exit::problem(&format!("alert #{} is not there any more", row.number)));
        };
        let library = Library::load(&desk.config.playbooks);
        let by = run::Replay { who: who.clone(), reason: reason.clone() };
        let Again { runs, failed } = match replay::replay(&library, &past, self.playbook.as_deref(), &by, desk.store.clock().now()) {
            Ok(again) => again,
            Err(why) => return Ok(Exit::problem(&format!("alert #{}: {why}", row.number))),
        };
        let by = Decider { person, who, reason };
        let Some(replayed) = desk.store.replay(row.number, runs, &by).await? else {
            return Ok(Exit::problem(&format!("it is not decided yet what is done about alert #{}; `quell run` decides it", row.number)));
        };
        Ok(report(desk, row.number, &replayed, &failed))
    }
}

fn report(desk: &Desk<'_>, alert: i64, replayed: &[Replayed], failed: &[(String, String)]) -> Exit {
    let is_good = failed.is_empty() && replayed.iter().all(|it| it.held.is_none());
    if desk.json {
        let failed: Vec<_> = failed.iter().map(|(playbook, detail)| json!({"playbook": playbook, "detail": detail})).collect();
        output::print_json(&json!({"alert": alert, "runs": replayed, "failed": failed}));
        return if is_good { Exit::Done } else { Exit::Problems };
    }
    for Replayed { playbook, run, held } in replayed {
        match (run, held) {
            (Some(run), _) => output::print(&format!("run {run} of `{playbook}` answers alert #{alert} once more")),
            (None, why) => {
                Exit::problem(&format!("no run of `{playbook}` begins: {}", why.as_deref().unwrap_or_default()));
            }
        }
    }
    for (playbook, detail) in failed {
        Exit::problem(&format!("the playbook `{playbook}` cannot be evaluated: {detail}"));
    }
    if is_good { Exit::Done } else { Exit::Problems }
}
