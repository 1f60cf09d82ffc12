//! What the simulator's ledger must show after a load: each change that was to be made, made once, and none besides. How they were asked for
//! is held to the journal by `equation`.

use std::collections::BTreeSet;

use quell::{
    run::RunState,
    store::{AlertRow, Timeline},
};
use quell_simulator::Simulator;

use crate::load::Load;

/// Holds the world to the load and the journal.
pub(crate) fn agrees(simulator: &Simulator, load: &Load, (alerts, runs): &(Vec<AlertRow>, Vec<Timeline>)) {
    let too_late: BTreeSet<_> = runs.iter().filter(|run| run.run.state == RunState::NoAction).filter_map(|run| run.run.alert).collect();
    let acted: BTreeSet<_> =
        alerts.iter().filter(|row| !too_late.contains(&row.number) && !load.tickets.contains(&row.id)).map(|row| row.id.clone()).collect();
    let customers = simulator.world().into_iter();
    let emptied = customers.filter(|it| it.plan.entitlements.iter().all(|entitlement| load.entitlements.contains(&entitlement.id)));
    let plans: BTreeSet<_> = emptied.map(|it| it.plan.id).collect();
    for (kind, targets) in [("alert.updated", &acted), ("entitlement.cancelled", &load.entitlements), ("subscription.suspended", &plans)] {
        let made = simulator.effects(kind).into_iter().filter(|entry| entry.applied);
        let mut made: Vec<_> = made.filter_map(|entry| entry.effect.map(|effect| effect.target)).collect();
        made.sort();
        assert_eq!(made, targets.iter().cloned().collect::<Vec<_>>(), "{kind}: each target once, and no other");
    }
}
