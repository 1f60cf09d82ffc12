//! The kill switch: whether somebody threw it, here or in the journal.

use super::{Case, Check, Finding, diagnoses::local};
use crate::engine::KillSwitch;

pub(super) struct Switch;

impl Check for Switch {
    const PART: &'static str = "kill_switch";
    const SUMMARY: &'static str = "Whether somebody has stopped all actions";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        if let Some(stopped) = KillSwitch::at(&case.config.guardrails.stop_file).thrown() {
            return vec![Finding::new(&local::ACTIONS_STOPPED, Self::PART).with("who", stopped.who).with("reason", stopped.reason)];
        }
        let in_journal = match &case.store {
            Some(store) => store.actions_stopped().await.unwrap_or_default(),
            None => false,
        };
        let thrown =
            || Finding::new(&local::ACTIONS_STOPPED, Self::PART).with("who", "another node").with("reason", "see `quell audit list`");
        vec![if in_journal { thrown() } else { Finding::new(&local::ACTIONS_RUN, Self::PART) }]
    }
}
