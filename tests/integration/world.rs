//! What the simulator's ledger must show after a load: each change that was to be made, requested and made once, and none besides.

use std::collections::{BTreeMap, BTreeSet};

use quell::{
    run::RunState,
    store::{AlertRow, Timeline},
};
use quell_simulator::{Entry, Simulator};

use crate::load::Load;

/// Holds the world to the load and the journal.
pub(crate) fn agrees(simulator: &Simulator, load: &Load, (alerts, runs): &(Vec<AlertRow>, Vec<Timeline>), restarts: usize) {
    let too_late: BTreeSet<_> = runs.iter().filter(|run| run.run.state == RunState::NoAction).filter_map(|run| run.run.alert).collect();
    let acted: BTreeSet<_> = alerts.iter().filter(|row| !too_late.contains(&row.number)).map(|row| row.id.clone()).collect();
    let customers = simulator.world().into_iter();
    let emptied = customers.filter(|it| it.plan.entitlements.iter().all(|entitlement| load.entitlements.contains(&entitlement.id)));
    let plans: BTreeSet<_> = emptied.map(|it| it.plan.id).collect();
    let requested = requested(&simulator.ledger());
    for (kind, targets) in [("alert.updated", &acted), ("entitlement.cancelled", &load.entitlements), ("subscription.suspended", &plans)] {
        let made = simulator.effects(kind).into_iter().filter(|entry| entry.applied);
        let mut made: Vec<_> = made.filter_map(|entry| entry.effect.map(|effect| effect.target)).collect();
        made.sort();
        assert_eq!(made, targets.iter().cloned().collect::<Vec<_>>(), "{kind}: each target once, and no other");
        // What changes nothing more counts as well: by luck alone it was a repeat.
        for ((_, target), ids) in requested.iter().filter(|((known, _), _)| *known == kind) {
            let distinct: BTreeSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), 1, "{kind} of {target} was requested by more than one step: {ids:?}");
            assert!(restarts > 0 || ids.len() == 1, "{kind} of {target} was requested {} times without a crash", ids.len());
        }
    }
    every_change_was_planned(&simulator.ledger(), runs);
}

/// The request ids under which each change of each target was requested, whether or not it was made by that request. A plan with something
/// active under it refuses to be suspended, so a suspension counts from when it was not refused.
fn requested(ledger: &[Entry]) -> BTreeMap<(&'static str, String), Vec<String>> {
    let mut requested = BTreeMap::new();
    for entry in ledger {
        let path: Vec<_> = entry.path.split(['/', '?']).collect();
        let change = match (entry.service.as_str(), entry.method.as_str(), path.as_slice()) {
            ("graph", "PATCH", [.., alert]) => ("alert.updated", alert),
            ("partner-center", "POST", [.., entitlement, "cancel"]) => ("entitlement.cancelled", entitlement),
            ("partner-center", "PATCH", [.., plan]) if entry.status < 400 => ("subscription.suspended", plan),
            _ => continue,
        };
        let ids: &mut Vec<String> = requested.entry((change.0, (*change.1).to_owned())).or_default();
        ids.push(entry.request_id.clone().unwrap_or_default());
    }
    requested
}

/// Whatever changed something was planned: the step is in the journal with an intent before it.
fn every_change_was_planned(ledger: &[Entry], runs: &[Timeline]) {
    let planned: BTreeSet<_> = runs.iter().flat_map(|run| &run.steps).map(|step| step.request_id.to_string()).collect();
    for entry in ledger.iter().filter(|entry| entry.service == "partner-center" && entry.method != "GET") {
        let id = entry.request_id.clone().unwrap_or_default();
        assert!(planned.contains(&id), "a call that no step planned: {entry:?}");
    }
}
