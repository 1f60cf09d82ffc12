//! The partner's customers as the seed makes them. Names are invented; domains end in `.example`.

use fastrand::Rng;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

const FIRST: &[&str] = &["Amber", "Birch", "Cobalt", "Delta", "Ember", "Fjord", "Granite", "Harbor", "Indigo", "Juniper"];
const SECOND: &[&str] = &["Bakery", "Clinic", "Forge", "Gardens", "Logistics", "Mills", "Optics", "Press", "Studios", "Textiles"];
const WORKLOADS: &[&str] = &["production", "staging", "batch", "analytics", "archive"];

/// A customer of the partner, with its one Azure plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Customer {
    /// The customer's tenant, as alerts name it.
    pub tenant_id: String,
    /// Company name.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// The Azure plan: a Partner Center subscription.
    pub plan: Plan,
    /// Monthly spending budget; none is set at first.
    pub budget: Option<f64>,
}

/// An Azure plan: what Partner Center calls a subscription and what can be suspended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Id of the Partner Center subscription.
    pub id: String,
    /// Whether it is suspended.
    pub status: PlanStatus,
    /// Changes with every change of the plan; the etag is made of it.
    pub version: u64,
    /// Lost when an update leaves it out, as at Microsoft.
    pub auto_renew_enabled: bool,
    /// The Azure subscriptions under the plan.
    pub entitlements: Vec<Entitlement>,
}

/// An Azure subscription: what Partner Center calls an entitlement and what can be cancelled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entitlement {
    /// The Azure subscription's id, as alerts name it.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// What a read answers now.
    pub status: EntitlementStatus,
    /// A cancellation was accepted and shows at this time.
    pub cancels_at: Option<Timestamp>,
}

/// State of an Azure plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanStatus {
    /// In use.
    Active,
    /// Suspended by the partner.
    Suspended,
}

/// State of an Azure subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntitlementStatus {
    /// In use.
    Active,
    /// Cancelled.
    Inactive,
}

impl PlanStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

impl EntitlementStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

impl Customer {
    /// The plan, if that is its id.
    pub(crate) fn plan_mut(&mut self, id: &str) -> Option<&mut Plan> {
        Some(&mut self.plan).filter(|plan| plan.id.eq_ignore_ascii_case(id))
    }
}

impl Plan {
    pub(crate) fn entitlement_mut(&mut self, id: &str) -> Option<&mut Entitlement> {
        let mut all = self.entitlements.iter_mut();
        all.find(|it| it.id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn has_active_entitlement(&self) -> bool {
        let mut all = self.entitlements.iter();
        all.any(|it| it.status == EntitlementStatus::Active)
    }
}

/// Makes the customers that belong to a seed.
pub(crate) fn customers(seed: u64, count: usize) -> Vec<Customer> {
    let mut dice = Rng::with_seed(seed);
    (0..count).map(|index| customer(&mut dice, index)).collect()
}

/// An id that looks like Microsoft's.
pub(crate) fn random_id(dice: &mut Rng) -> String {
    let bytes: u128 = dice.u128(..);
    let id: Uuid = Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid();
    id.to_string()
}

fn customer(dice: &mut Rng, index: usize) -> Customer {
    let first = pick(FIRST, index);
    let second = pick(SECOND, index / FIRST.len() + index);
    let round = index / (FIRST.len() * SECOND.len());
    let number = if round == 0 { String::new() } else { format!(" {}", round + 1) };
    let name = format!("{first} {second}{number}");
    Customer {
        tenant_id: random_id(dice),
        domain: format!("{}.example", name.to_lowercase().replace(' ', "-")),
        name,
        plan: plan(dice),
        budget: None,
    }
}

fn plan(dice: &mut Rng) -> Plan {
    let id = random_id(dice);
    let count = dice.usize(1..=3);
    let entitlements = (0..count).map(|index| Entitlement {
        id: random_id(dice),
        name: pick(WORKLOADS, index).to_owned(),
        status: EntitlementStatus::Active,
        cancels_at: None,
    });
    Plan { id, status: PlanStatus::Active, version: 1, auto_renew_enabled: true, entitlements: entitlements.collect() }
}

fn pick(words: &'static [&'static str], index: usize) -> &'static str {
    words.iter().cycle().nth(index % words.len().max(1)).copied().unwrap_or("Example")
}
