//! Everything that can change, behind one lock that is never held across an await.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    cloud::{AzureSubscription, Cloud},
    fault::Faults,
    ledger::Ledger,
    options::{Options, TENANT_ID, USER},
    services::{
        graph::shelf::Shelf,
        login::{Codes, Devices, Tokens},
        partner_center::Webhooks,
    },
    signing::Certificates,
    trouble::Trouble,
    world::{self, Customer, EntitlementStatus, Plan},
};

/// What is fixed once the simulator has started.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) options: Options,
    /// Base URL without a trailing slash.
    pub(crate) url: String,
    pub(crate) certificates: Certificates,
}

/// An answer remembered for its `MS-RequestId`.
#[derive(Debug, Clone)]
pub(crate) struct SavedAnswer {
    pub(crate) at: Timestamp,
    pub(crate) answer: Answer,
}

/// The imitated services' memory.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) site: Arc<Site>,
    pub(crate) customers: Vec<Customer>,
    /// What customers have in their own tenants, by tenant; made when somebody looks first.
    pub(crate) clouds: BTreeMap<String, Cloud>,
    pub(crate) alerts: Shelf,
    /// Partner Center's activity log, oldest first.
    pub(crate) audit: Vec<Value>,
    pub(crate) tokens: Tokens,
    pub(crate) devices: Devices,
    pub(crate) codes: Codes,
    pub(crate) troubles: BTreeSet<Trouble>,
    pub(crate) webhooks: Webhooks,
    /// By request id, method and path.
    pub(crate) saved: BTreeMap<(String, String, String), SavedAnswer>,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
}

/// One line of the activity log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Activity<'a> {
    pub(crate) operation: &'a str,
    pub(crate) resource_type: &'a str,
    pub(crate) customer_id: &'a str,
    pub(crate) resource_id: &'a str,
    pub(crate) old: &'a str,
    pub(crate) new: &'a str,
}

impl State {
    pub(crate) fn new(site: Arc<Site>, ledger: Ledger) -> Self {
        Self {
            customers: world::customers(site.options.seed, site.options.customers),
            clouds: BTreeMap::new(),
            alerts: Shelf::default(),
            audit: Vec::new(),
            tokens: Tokens::default(),
            devices: Devices::default(),
            codes: Codes::default(),
            troubles: BTreeSet::new(),
            webhooks: Webhooks::default(),
            saved: BTreeMap::new(),
            ledger,
            faults: Faults::new(site.options.seed),
            site,
        }
    }

    /// Whether something is wrong that a person has to put right.
    pub(crate) fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }

    /// Lets accepted cancellations show whose time has come.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        let plans = self.customers.iter_mut().map(|it| &mut it.plan);
        for entitlement in plans.flat_map(|plan| &mut plan.entitlements) {
            if entitlement.cancels_at.is_some_and(|at| at <= now) {
                entitlement.cancels_at = None;
                entitlement.status = EntitlementStatus::Inactive;
            }
        }
        for cloud in self.clouds.values_mut() {
            cloud.settle(now, self.site.options.deallocate_end);
        }
    }

    /// What a customer has in its own tenant.
    pub(crate) fn cloud_mut(&mut self, tenant: &str, now: Timestamp) -> Option<&mut Cloud> {
        let customer = self.customers.iter().find(|it| it.tenant_id.eq_ignore_ascii_case(tenant))?;
        let cloud = self.clouds.entry(customer.tenant_id.clone());
        Some(cloud.or_insert_with(|| Cloud::of(customer, now)))
    }

    pub(crate) fn azure_subscription_mut(&mut self, id: &str, now: Timestamp) -> Option<&mut AzureSubscription> {
        let mut all = self.customers.iter();
        let owner = all.find(|it| it.plan.entitlements.iter().any(|it| it.id.eq_ignore_ascii_case(id)))?;
        let tenant = owner.tenant_id.clone();
        self.cloud_mut(&tenant, now)?.subscriptions.get_mut(&id.to_lowercase())
    }

    pub(crate) fn customer_mut(&mut self, id: &str) -> Option<&mut Customer> {
        let mut all = self.customers.iter_mut();
        all.find(|it| it.tenant_id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn plan_mut(&mut self, customer: &str, plan: &str) -> Option<&mut Plan> {
        self.customer_mut(customer)?.plan_mut(plan)
    }

    /// Returns the id of the new record.
    pub(crate) fn log_activity(&mut self, activity: Activity<'_>, now: Timestamp) -> String {
        let customer = activity.customer_id;
        let name = self.customer_mut(customer).map(|it| it.name.clone());
        let operation = activity.operation.replace('_', "");
        let id = format!("{TENANT_ID}_{customer}_{operation}_{}", now.as_microsecond());
        self.audit.push(json!({
            "id": id,
            "partnerId": TENANT_ID,
            "customerId": customer,
            "customerName": name,
            "userPrincipalName": USER,
            "applicationId": "Partner Center",
            "resourceType": activity.resource_type,
            "resourceOldValue": activity.old,
            "resourceNewValue": activity.new,
            "operationType": activity.operation,
            "operationDate": now.to_string(),
            "operationStatus": "succeeded",
            "customizedData": [{ "key": "ResourceId", "value": activity.resource_id }],
            "attributes": { "objectType": "AuditRecord" },
        }));
        id
    }
}
