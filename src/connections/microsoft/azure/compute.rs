//! Virtual machines and managed disks.

use serde::Serialize;
use serde_json::Value;

use super::{
    super::{
        super::{CustomerId, EntitlementId, Failure},
        Audience, Microsoft, field,
        refusal::Refusal,
        text, unreadable,
    },
    VirtualMachineId,
};
use crate::net::{Request, Url};

/// A virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VirtualMachine {
    /// Its path.
    pub vm_id: String,
    /// Its name.
    pub name: String,
    /// The region that it runs in.
    pub location: String,
    /// How large it is, in Azure's word for the size.
    pub size: String,
    /// When it was made; empty where Azure does not tell.
    pub created_at: String,
}

/// A managed disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Its path.
    pub disk_id: String,
    /// Its name.
    pub name: String,
    /// The region that it lies in.
    pub location: String,
    /// How large it is.
    pub size_gb: u64,
    /// Azure's word for its state, such as `Unattached` or `Reserved`.
    pub state: String,
    /// Since when it has been so; empty for a disk that never had an owner.
    pub since: String,
}

/// How Azure took a request to deallocate a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deallocation {
    /// It is done.
    Done,
    /// It is under way; the address tells how it stands, if Azure gave one.
    Accepted(Option<String>),
}

impl Microsoft {
    /// The virtual machines of an Azure subscription: all of them, or one more than wanted.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn list_virtual_machines(
        &self,
        customer: &CustomerId,
        subscription: &EntitlementId,
        wanted: usize,
    ) -> Result<Vec<VirtualMachine>, Failure> {
        let path = ["subscriptions", subscription.as_str(), "providers", "Microsoft.Compute", "virtualMachines"];
        let all = self.azure_list(customer, self.azure_url(path, &self.azure_versions.compute), wanted).await?;
        Ok(all.iter().map(VirtualMachine::read).collect())
    }

    /// The managed disks of an Azure subscription that no machine has.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn list_unattached_disks(&self, customer: &CustomerId, subscription: &EntitlementId) -> Result<Vec<Disk>, Failure> {
        let path = ["subscriptions", subscription.as_str(), "providers", "Microsoft.Compute", "disks"];
        let all = self.azure_list(customer, self.azure_url(path, &self.azure_versions.disks), usize::MAX).await?;
        Ok(all.iter().filter(|it| is_unattached(it)).map(Disk::read).collect())
    }

    /// Whether a machine runs: `running`, `stopped`, `deallocated` or another of Azure's words, in lower case.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn power_state(&self, customer: &CustomerId, machine: &VirtualMachineId) -> Result<String, Failure> {
        let audience = Audience::Azure(customer);
        let body = self.read(audience, Request::get(self.machine_url(machine, "instanceView"))).await?;
        let statuses = field(&body, "statuses").and_then(Value::as_array);
        let mut codes = statuses.into_iter().flatten().map(|it| text(it, "code").to_ascii_lowercase());
        let state = codes.find_map(|it| it.strip_prefix("powerstate/").map(str::to_owned));
        state.ok_or_else(|| unreadable(audience, "a virtual machine without a power state"))
    }

    /// Stops a machine and gives back what it runs on, which ends its costs.
    ///
    /// # Errors
    /// [`Failure`]; the request may be repeated, since a machine that is deallocated stays so.
    pub async fn deallocate(&self, customer: &CustomerId, machine: &VirtualMachineId) -> Result<Deallocation, Failure> {
        let audience = Audience::Azure(customer);
        let reply = self.call(audience, Request::post(self.machine_url(machine, "deallocate"))).await?;
        if !reply.is_success() {
            return Err(Refusal::read(&reply).into_failure(audience));
        }
        if reply.status == 200 && reply.header("azure-asyncoperation").is_none() {
            // A web page is no success: some proxy sent it, and nobody knows what happened behind it.
            super::super::document(audience, &reply)?;
            return Ok(Deallocation::Done);
        }
        let address = ["azure-asyncoperation", "location"].into_iter().find_map(|name| reply.header(name));
        Ok(Deallocation::Accepted(address.filter(|it| self.within_azure(it).is_some()).map(str::to_owned)))
    }

    fn machine_url(&self, machine: &VirtualMachineId, what: &str) -> Url {
        self.azure_url(machine.segments().chain([what]), &self.azure_versions.compute)
    }
}

/// A shared disk may be used by several, and what is being downloaded or kept for a stopped machine is not left over.
fn is_unattached(disk: &Value) -> bool {
    let properties = field(disk, "properties").unwrap_or(&Value::Null);
    let shared = field(disk, "managedByExtended").and_then(Value::as_array).is_some_and(|it| !it.is_empty());
    let state = text(properties, "diskState");
    let is_used = ["Attached", "Reserved", "ActiveSAS", "ActiveSASFrozen", "ActiveUpload"].iter().any(|it| state.eq_ignore_ascii_case(it));
    text(disk, "managedBy").is_empty() && !shared && !is_used
}

impl VirtualMachine {
    fn read(body: &Value) -> Self {
        let properties = field(body, "properties").unwrap_or(&Value::Null);
        let hardware = field(properties, "hardwareProfile").unwrap_or(&Value::Null);
        Self {
            vm_id: text(body, "id").to_owned(),
            name: text(body, "name").to_owned(),
            location: text(body, "location").to_owned(),
            size: text(hardware, "vmSize").to_owned(),
            created_at: text(properties, "timeCreated").to_owned(),
        }
    }
}

impl Disk {
    fn read(body: &Value) -> Self {
        let properties = field(body, "properties").unwrap_or(&Value::Null);
        Self {
            disk_id: text(body, "id").to_owned(),
            name: text(body, "name").to_owned(),
            location: text(body, "location").to_owned(),
            size_gb: field(properties, "diskSizeGB").and_then(Value::as_u64).unwrap_or_default(),
            state: text(properties, "diskState").to_owned(),
            since: text(properties, "LastOwnershipUpdateTime").to_owned(),
        }
    }
}
