//! What a customer has in Azure, through its management interface: `compute` (machines and disks), `access` (role assignments) and `activity`
//! (the activity log). All of it needs a token for the customer's tenant.

mod access;
mod activity;
mod compute;
mod resource;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub use self::{
    access::RoleAssignment,
    activity::{ActivityQuery, AzureEvent},
    compute::{Deallocation, Disk, VirtualMachine},
    resource::{RoleAssignmentId, VirtualMachineId},
};

use super::{
    super::{CustomerId, Failure},
    Audience, Microsoft, field, text, unreadable,
};
use crate::net::{Request, Url};

/// The versions in which Azure's interfaces are called, as dates. Microsoft keeps each of them for years; a national cloud may be behind.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AzureVersions {
    /// Of virtual machines.
    pub compute: String,
    /// Of managed disks.
    pub disks: String,
    /// Of role assignments.
    pub authorization: String,
    /// Of the activity log.
    pub activity_log: String,
}

/// How an operation stands that Azure took over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// It goes on.
    Running,
    /// It ended as wanted.
    Succeeded,
    /// It ended without effect, for this reason.
    Failed(String),
}

/// More pages than any subscription's list has; a service that goes in circles is not followed further.
const MOST_PAGES: usize = 50;

/// A page holds up to some hundreds of entries of some kilobytes.
const LARGEST_PAGE: usize = 8 * 1024 * 1024;

impl Default for AzureVersions {
    fn default() -> Self {
        // Each is what Microsoft's own specifications and examples show.
        Self {
            compute: "2023-03-01".to_owned(),
            disks: "2023-04-02".to_owned(),
            authorization: "2022-04-01".to_owned(),
            activity_log: "2015-04-01".to_owned(),
        }
    }
}

impl Microsoft {
    /// How an operation stands that Azure took over.
    ///
    /// # Errors
    /// Rejected when the address leads elsewhere than to Azure: a token must not follow it.
    pub async fn azure_operation(&self, customer: &CustomerId, address: &str) -> Result<Operation, Failure> {
        let Some(url) = self.within_azure(address) else {
            return Err(Failure::rejected("the address of the operation leads elsewhere than to Azure, and is not followed"));
        };
        let audience = Audience::Azure(customer);
        let reply = self.call(audience, Request::get(url)).await?;
        if !reply.is_success() {
            return Err(super::refusal::Refusal::read(&reply).into_failure(audience));
        }
        // An address of the older kind tells by its status alone, and its last answer may be the changed thing itself.
        if reply.status == 202 {
            return Ok(Operation::Running);
        }
        let body = reply.json().unwrap_or_default();
        Ok(match text(&body, "status").to_ascii_lowercase().as_str() {
            "succeeded" | "" => Operation::Succeeded,
            "failed" | "canceled" => {
                let error = field(&body, "error").unwrap_or(&Value::Null);
                let why = [text(&body, "status"), text(error, "code"), text(error, "message")];
                let why: Vec<_> = why.into_iter().filter(|it| !it.is_empty()).collect();
                Operation::Failed(why.join(": ").chars().filter(|it| !it.is_control()).take(300).collect())
            }
            _ => Operation::Running,
        })
    }

    /// The entries of a list over all its pages, until there are more than wanted.
    async fn azure_list(&self, customer: &CustomerId, first: Url, wanted: usize) -> Result<Vec<Value>, Failure> {
        let audience = Audience::Azure(customer);
        let mut entries = Vec::new();
        let mut next = Some(first);
        for _ in 0..MOST_PAGES {
            let Some(url) = next.filter(|_| entries.len() <= wanted) else { return Ok(entries) };
            let body = self.read(audience, Request::get(url).at_most(LARGEST_PAGE)).await?;
            let page = field(&body, "value").and_then(Value::as_array);
            entries.extend(page.ok_or_else(|| unreadable(audience, "`value` is not a list"))?.iter().cloned());
            next = match text(&body, "nextLink") {
                "" => None,
                link => Some(self.within_azure(link).ok_or_else(|| {
                    Failure::rejected("Azure's link to the next page leads elsewhere than to Azure, and is not followed")
                })?),
            };
        }
        Err(unreadable(audience, "a list has more pages than can be"))
    }

    /// The URL of something in Azure, called in that version.
    pub(super) fn azure_url<'a>(&self, path: impl IntoIterator<Item = &'a str>, version: &str) -> Url {
        let mut url = self.azure.with(path);
        url.query_pairs_mut().append_pair("api-version", version);
        url
    }

    /// An address that Azure gave, if it is one of Azure's.
    fn within_azure(&self, address: &str) -> Option<Url> {
        let base = &self.azure.0;
        let folder = format!("{}/", base.path().trim_end_matches('/'));
        Url::parse(address).ok().filter(|url| url.origin() == base.origin() && url.path().starts_with(&folder))
    }
}
