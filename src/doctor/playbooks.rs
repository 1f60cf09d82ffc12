//! The playbooks: whether there are any, and whether all of them can be used.

use super::{Case, Check, Finding, diagnoses::local};
use crate::run::Mode;

pub(super) struct Playbooks;

impl Check for Playbooks {
    const PART: &'static str = "playbooks";
    const SUMMARY: &'static str = "Whether there are playbooks, and all can be used";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let library = &case.library;
        let errors = library.errors();
        if let Some(first) = errors.first() {
            return vec![Finding::new(&local::PLAYBOOKS_WRONG, Self::PART).with("count", errors.len()).seen(first)];
        }
        if library.playbooks.is_empty() {
            let folder = case.config.playbooks.display();
            return vec![Finding::new(&local::PLAYBOOKS_NONE, Self::PART).with("folder", folder)];
        }
        let enforced = library.playbooks.iter().filter(|playbook| playbook.mode == Mode::Enforce).count();
        vec![Finding::new(&local::PLAYBOOKS_GOOD, Self::PART).with("count", library.playbooks.len()).with("enforced", enforced)]
    }
}
