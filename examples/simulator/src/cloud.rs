//! What each customer has in its own tenant: users, and in every Azure subscription machines, disks, roles and an activity log.
//!
//! It is made from the customer's identifiers, so that the same seed gives the same.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{options::OperationEnd, world::Customer};

/// The definition of the role that may do everything.
pub(crate) const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
/// The definition of the role that may do everything but give roles.
pub(crate) const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

/// A customer's tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cloud {
    /// Its users. The last one is the intruder, who was made lately.
    pub users: Vec<User>,
    /// By the Azure subscription's id.
    pub subscriptions: BTreeMap<String, AzureSubscription>,
}

/// A user of a customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// Object id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Name for signing in.
    pub user_principal_name: String,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// Sessions begun earlier are not valid.
    pub sessions_valid_from: Timestamp,
    /// `atRisk`, `confirmedCompromised`; `None` is a user of whom nothing is known.
    pub risk_state: Option<String>,
}

/// What is in an Azure subscription.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AzureSubscription {
    /// Virtual machines.
    pub machines: Vec<Machine>,
    /// Role assignments.
    pub assignments: Vec<Assignment>,
    /// Managed disks.
    pub disks: Vec<ManagedDisk>,
    /// The activity log, oldest first.
    pub events: Vec<Event>,
}

/// A virtual machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Its path.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its size.
    pub size: String,
    /// Whether it runs.
    pub power: Power,
    /// The operation that is under way, and when it ends.
    pub operation: Option<(String, Timestamp)>,
}

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// It does.
    Running,
    /// It is being stopped.
    Deallocating,
    /// It is stopped and costs nothing.
    Deallocated,
}

/// That somebody has a role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assignment {
    /// Its path.
    pub id: String,
    /// Who has it.
    pub principal_id: String,
    /// `User`, or `ForeignGroup` for the partner's own.
    pub principal_type: String,
    /// The role.
    pub role: String,
    /// On what.
    pub scope: String,
    /// Since when.
    pub created: Timestamp,
}

/// A managed disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManagedDisk {
    /// Its path.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The machine that has it.
    pub managed_by: Option<String>,
    /// `Attached`, `Unattached`, `Reserved` and so on.
    pub state: String,
}

/// A line of the activity log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub caller: String,
    /// What, such as `Microsoft.Compute/virtualMachines/write`.
    pub operation: String,
    /// To what.
    pub resource_id: String,
}

impl Cloud {
    pub(crate) fn of(customer: &Customer, now: Timestamp) -> Self {
        let made = |name: &str, risk: Option<&str>| User {
            id: id_of(&format!("{}/{name}", customer.tenant_id)),
            name: name.to_owned(),
            user_principal_name: format!("{name}@{}", customer.domain),
            enabled: true,
            sessions_valid_from: now - SignedDuration::from_hours(720),
            risk_state: risk.map(str::to_owned),
        };
        let users = vec![made("alex", None), made("kim", None), made("svc-backup", Some("atRisk"))];
        let ids = customer.plan.entitlements.iter().map(|it| it.id.clone());
        let subscriptions = ids.map(|id| (id.to_lowercase(), AzureSubscription::of(&id, &users, now))).collect();
        Self { users, subscriptions }
    }

    /// Lets operations end whose time has come.
    pub(crate) fn settle(&mut self, now: Timestamp, end: OperationEnd) {
        for machine in self.subscriptions.values_mut().flat_map(|it| &mut it.machines) {
            if machine.operation.as_ref().is_some_and(|(_, ends)| *ends <= now) && machine.power == Power::Deallocating {
                machine.power = match end {
                    OperationEnd::Success => Power::Deallocated,
                    OperationEnd::Failure => Power::Running,
                };
            }
        }
    }

    /// By object id, or by the name for signing in.
    pub(crate) fn user_mut(&mut self, name: &str) -> Option<&mut User> {
        let mut all = self.users.iter_mut();
        all.find(|it| it.id.eq_ignore_ascii_case(name) || it.user_principal_name.eq_ignore_ascii_case(name))
    }
}

impl AzureSubscription {
    fn of(id: &str, users: &[User], now: Timestamp) -> Self {
        let group = format!("/subscriptions/{id}/resourceGroups/rg-batch/providers/Microsoft.Compute");
        let machine = |name: &str, size: &str| Machine {
            id: format!("{group}/virtualMachines/{name}"),
            name: name.to_owned(),
            size: size.to_owned(),
            power: Power::Running,
            operation: None,
        };
        let disk = |name: &str, machine: Option<&str>, state: &str| ManagedDisk {
            id: format!("{group}/disks/{name}"),
            name: name.to_owned(),
            managed_by: machine.map(|it| format!("{group}/virtualMachines/{it}")),
            state: state.to_owned(),
        };
        let (owner, intruder) = (users.first(), users.last());
        let caller = intruder.map(|it| it.user_principal_name.clone()).unwrap_or_default();
        let scope = format!("/subscriptions/{id}");
        let assignment = |principal: &str, principal_type: &str, role: &str| Assignment {
            id: format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", id_of(&format!("{id}/{principal}/{role}"))),
            principal_id: principal.to_owned(),
            principal_type: principal_type.to_owned(),
            role: role.to_owned(),
            scope: scope.clone(),
            created: now - SignedDuration::from_hours(3),
        };
        let user = |it: Option<&User>| it.map(|it| it.id.clone()).unwrap_or_default();
        let event = |hours: i64, operation: &str, resource: String| Event {
            at: now - SignedDuration::from_hours(hours),
            caller: caller.clone(),
            operation: operation.to_owned(),
            resource_id: resource,
        };
        Self {
            machines: vec![machine("vm-01", "Standard_D2s_v3"), machine("vm-07", "Standard_NC24ads_A100_v4")],
            assignments: vec![
                assignment(&id_of("admin-agents"), "ForeignGroup", OWNER),
                assignment(&user(owner), "User", OWNER),
                assignment(&user(intruder), "User", CONTRIBUTOR),
            ],
            disks: vec![disk("vm-07-os", Some("vm-07"), "Attached"), disk("left-over", None, "Unattached"), disk("kept", None, "Reserved")],
            events: vec![
                event(3, "Microsoft.Authorization/roleAssignments/write", scope.clone()),
                event(2, "Microsoft.Compute/virtualMachines/write", format!("{group}/virtualMachines/vm-07")),
            ],
        }
    }
}

fn id_of(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}
