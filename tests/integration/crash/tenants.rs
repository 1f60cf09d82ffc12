//! What is done inside a customer's tenant: killed once at each place on the way of each of these actions, and what nobody can prove.
//!
//! None of them can name a version of its target. So a look may show that it was done, and never that it will not be: what may have been taken
//! over is looked at, by the next process as well, and is not sent again.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use quell::run::{RunState, StepState};
use quell_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use super::{
    Ordeal, all_hold,
    points::APPLIED,
    scenes::{known_alert, playbook},
};
use crate::support::lab::{Lab, timelines};

/// An action on a customer's tenant, and how the simulator's ledger knows it.
#[derive(Debug, Clone, Copy)]
struct Deed {
    action: &'static str,
    with: &'static str,
    service: &'static str,
    method: &'static str,
    path: &'static str,
    effect: &'static str,
}

const USER: &str = r#"user: "${alert.details.user}""#;

const DEEDS: [Deed; 5] = [
    Deed {
        action: "azure.deallocate_vm",
        with: r#"vm_id: "/subscriptions/${alert.subscription_id}/resourceGroups/rg-batch/providers/Microsoft.Compute/virtualMachines/vm-07""#,
        service: "azure",
        method: "POST",
        path: "/deallocate",
        effect: "vm.deallocated",
    },
    Deed {
        action: "azure.delete_role_assignment",
        with: r#"assignment_id: "${alert.details.assignment}""#,
        service: "azure",
        method: "DELETE",
        path: "/roleAssignments/",
        effect: "role_assignment.deleted",
    },
    Deed { action: "entra.disable_user", with: USER, service: "graph", method: "PATCH", path: "/users/", effect: "user.disabled" },
    Deed {
        action: "entra.revoke_sessions",
        with: USER,
        service: "graph",
        method: "POST",
        path: "/revokeSignInSessions",
        effect: "sessions.revoked",
    },
    Deed {
        action: "entra.confirm_compromised",
        with: USER,
        service: "graph",
        method: "POST",
        path: "/confirmCompromised",
        effect: "user.confirmed_compromised",
    },
];

/// Where it may die and be done once all the same: nothing was sent yet, or a look shows that it was done.
const POINTS: [&str; 7] = ["target_locked", "observed", "answered", APPLIED, "recorded", "looking", "looked"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_in_a_customers_tenant_is_done_once_wherever_it_dies() {
    let trials = DEEDS.iter().flat_map(|deed| POINTS.map(|point| deed.dies_at(point).boxed()));
    all_hold(trials.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_prove_is_looked_at_and_never_sent_again() {
    let trials = DEEDS.iter().flat_map(|deed| {
        let unsent = Ordeal { crash_at: Some("intent_written".to_owned()), ..deed.ordeal() };
        [deed.unproven(deed.spoilt(FaultKind::DropBeforeApply), 1).boxed(), deed.unproven(unsent, 0).boxed()]
    });
    all_hold(trials.collect()).await;
}

impl Deed {
    /// One alert, and a playbook that answers it with this alone.
    fn ordeal(&self) -> Ordeal {
        let (action, with) = (self.action, self.with);
        let step = format!(
            r#"{{id: act, action: {action}, retry: {{delay: 100ms}}, with: {{customer_tenant_id: "${{alert.customer_tenant_id}}", {with}}}}}"#
        );
        Ordeal {
            playbooks: vec![("act", playbook("act", "", &[step]))],
            alerts: Some(Box::new(|lab| vec![alert(lab)])),
            before: Some(Box::new(|lab| async move { enter_tenants(lab) }.boxed())),
            ..Ordeal::default()
        }
    }

    fn spoilt(&self, kind: FaultKind) -> Ordeal {
        let fault = Fault {
            service: Some(self.service.to_owned()),
            method: Some(self.method.to_owned()),
            path: Some(self.path.to_owned()),
            ..Fault::once(kind)
        };
        Ordeal { faults: vec![fault], ..self.ordeal() }
    }

    async fn dies_at(&self, point: &'static str) -> Result<usize, String> {
        let wrong = |why: String| format!("{} at {point}: {why}", self.action);
        let ordeal = match point {
            APPLIED => Ordeal { killed_on: Some(self.effect), ..self.spoilt(FaultKind::DelayAnswer { milliseconds: 3_000 }) },
            "looking" | "looked" => Ordeal { crash_at: Some(point.to_owned()), ..self.spoilt(FaultKind::ApplyThenDrop) },
            _ => Ordeal { crash_at: Some(point.to_owned()), ..self.ordeal() },
        };
        let after = ordeal.undergo().await.map_err(wrong)?;
        let in_doubt = usize::from(matches!(point, "answered" | APPLIED));
        if after.died != Some(in_doubt) {
            return Err(wrong(format!("{:?} steps were under way, not {in_doubt}", after.died)));
        }
        let [run] = after.found.1.as_slice() else { return Err(wrong(format!("{} runs", after.found.1.len()))) };
        if run.run.state != RunState::Done {
            return Err(wrong(format!("{run:#?}")));
        }
        match self.requests(&after.lab) {
            (1, 1) => Ok(1),
            (requests, applied) => Err(wrong(format!("{requests} requests, of which {applied} did something"))),
        }
    }

    /// Nothing shows, and nothing proves that nothing will: over looks and a restart the step waits, its target is kept and no request follows.
    async fn unproven(&self, ordeal: Ordeal, sent: usize) -> Result<usize, String> {
        let wrong = |why: String| format!("{} with {sent} requests: {why}", self.action);
        let lab = ordeal.installation().await;
        let alert = alert(&lab);
        let mut quell = ordeal.begin(&lab);
        let begun = Instant::now();
        while lab.hook(&alert).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for is_again in [false, true] {
            if is_again {
                quell.signal("KILL");
            }
            while quell.ended().is_none() && (is_again || ordeal.crash_at.is_some()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if quell.ended().is_some() {
                quell = lab.start();
            }
            let store = lab.store().await;
            loop {
                let step = timelines(&store).await.pop().and_then(|mut run| run.steps.pop());
                if step.as_ref().is_some_and(|step| step.state == StepState::Verifying) {
                    break;
                }
                if begun.elapsed() > super::PATIENCE {
                    return Err(wrong(format!("{step:#?}")));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // The first look is at once, the next one two seconds later.
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            let step = timelines(&store).await.pop().and_then(|mut run| run.steps.pop()).ok_or_else(|| wrong("no step".to_owned()))?;
            if step.state != StepState::Verifying || self.requests(&lab) != (sent, 0) {
                return Err(wrong(format!("{:?}: {step:#?}", self.requests(&lab))));
            }
        }
        Ok(2)
    }

    /// How many requests were made, and how many of them did something.
    fn requests(&self, lab: &Lab) -> (usize, usize) {
        let is_this =
            |entry: &quell_simulator::Entry| entry.service == self.service && entry.method == self.method && entry.path.contains(self.path);
        let applied = lab.simulator.effects(self.effect).into_iter().filter(|entry| entry.applied).count();
        (lab.simulator.ledger().iter().filter(|entry| is_this(entry)).count(), applied)
    }
}

/// An alert that names a user and a role of the customer's.
fn alert(lab: &Lab) -> Value {
    let mut alert = known_alert(lab).remove(0);
    let text = |name: &str| alert[name].as_str().expect("an identifier").to_owned();
    let cloud = lab.simulator.cloud(&text("customer_tenant_id")).expect("a tenant");
    let assignment = &cloud.subscriptions[&text("subscription_id").to_lowercase()].assignments[2].id;
    alert["details"] = json!({"user": cloud.users[1].user_principal_name, "assignment": assignment});
    alert
}

fn enter_tenants(lab: &Lab) {
    let access = format!("    azure_url: {}\n    customer_access: person\n    login_url:", lab.simulator.azure_url());
    lab.change_settings("    login_url:", &access);
    lab.change_settings(r#"["subscription.*", "entitlement.*"]"#, r#"["azure.*", "entra.*"]"#);
}
