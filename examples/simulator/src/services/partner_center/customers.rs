//! Customers with budget, usage and relationships, and the partner's own profile.

use serde_json::{Map, Value, json};

use super::{collection, error, link};
use crate::{
    answer::Answer,
    call::Call,
    ledger::Effect,
    options::TENANT_ID,
    state::{Activity, State},
    trouble::Trouble,
    world::Customer,
};

/// What Partner Center itself gives when no size is asked for.
const DEFAULT_SIZE: usize = 500;
/// A partner that the settings do not mean.
const OTHER_TENANT_ID: &str = "0ddba11e-0000-4000-8000-000000000001";
/// An invented month of every customer, in euro.
const MONTHLY_COST: f64 = 1562.0;

/// `size` limits a page; the next one is asked for with the continuation token of the link.
pub(super) fn list(state: &State, call: &Call) -> Answer {
    let size = call.parameter("size").and_then(|it| it.parse().ok()).filter(|size| *size > 0);
    let size = size.unwrap_or(DEFAULT_SIZE);
    let token = call.header("ms-continuationtoken");
    let offset = token.and_then(|it| it.parse().ok()).unwrap_or(0_usize);
    let all: &[Customer] = if state.has(Trouble::NoCustomers) { &[] } else { &state.customers };
    let page: Vec<_> = all.iter().skip(offset).take(size).map(json).collect();
    let end = offset + page.len();
    let mut links = Map::new();
    links.insert("self".to_owned(), link(&format!("/customers?size={size}")));
    if end < all.len() {
        let next = json!({
            "uri": format!("/customers?size={size}&seekOperation=Next"),
            "method": "GET",
            "headers": [{ "key": "MS-ContinuationToken", "value": end.to_string() }],
        });
        links.insert("next".to_owned(), next);
    }
    let body = json!({
        "totalCount": all.len(),
        "items": page,
        "links": links,
        "attributes": { "objectType": "Collection" },
    });
    Answer::json(200, &body)
}

pub(super) fn get(state: &mut State, customer: &str) -> Answer {
    Answer::json(200, &state.customer_mut(customer).map_or(Value::Null, |it| json(it)))
}

pub(super) fn organization(state: &State) -> Answer {
    let tenant = if state.has(Trouble::OtherPartner) { OTHER_TENANT_ID } else { TENANT_ID };
    let body = json!({
        "id": tenant,
        "companyName": "Example Partner",
        "defaultAddress": { "country": "NL", "city": "Utrecht", "addressLine1": "Example street 1" },
        "tenantId": tenant,
        "domain": "partner.example",
        "email": "soc@partner.example",
        "language": "en",
        "culture": "en-US",
        "profileType": "OrganizationProfile",
        "attributes": { "etag": "1", "objectType": "OrganizationProfile" },
    });
    Answer::json(200, &body)
}

pub(super) fn relationships() -> Answer {
    let reseller = json!({
        "id": "5e11e200-0000-4000-8000-000000000005",
        "name": "Example Reseller",
        "location": "NL",
        "relationshipType": "is_indirect_cloud_solution_provider_of",
        "mpnId": "1234567",
        "state": "active",
        "attributes": { "objectType": "PartnerRelationship" },
    });
    Answer::json(200, &collection(&[reseller]))
}

pub(super) fn budget(state: &mut State, customer: &str) -> Answer {
    let amount = state.customer_mut(customer).and_then(|it| it.budget);
    Answer::json(200, &budget_json(amount))
}

pub(super) fn set_budget(state: &mut State, call: &Call, customer: &str) -> Answer {
    let fields = call.object().unwrap_or_default();
    let amount = match fields.get("amount") {
        Some(Value::Null) => None,
        Some(Value::Number(number)) if number.as_f64() >= Some(0.0) => number.as_f64(),
        _ => return error(400, "800002", "The amount is not valid."),
    };
    let Some(found) = state.customer_mut(customer) else {
        return error(404, "60003", "The customer tenant was not found.");
    };
    let old = found.budget;
    found.budget = amount;
    let id = found.tenant_id.clone();
    let activity = Activity {
        operation: "update_customer_spending_budget",
        resource_type: "customer_spending_budget",
        customer_id: &id,
        resource_id: &id,
        old: &budget_json(old).to_string(),
        new: &budget_json(amount).to_string(),
    };
    state.log_activity(activity, call.now);
    let effect = Effect::new("budget.updated", &id).repeated(old == amount);
    Answer::json(200, &budget_json(amount)).effect(effect)
}

pub(super) fn usage_records(state: &State) -> Answer {
    let items: Vec<_> = state.customers.iter().map(|it| usage(it, "CustomerMonthlyUsageRecord")).collect();
    Answer::json(200, &collection(&items))
}

pub(super) fn usage_summary(state: &mut State, customer: &str) -> Answer {
    let body = state.customer_mut(customer).map(|it| usage(it, "CustomerUsageSummary"));
    Answer::json(200, &body.unwrap_or_default())
}

fn usage(customer: &Customer, object_type: &str) -> Value {
    let percent = customer.budget.filter(|budget| *budget > 0.0).map(|it| MONTHLY_COST / it * 100.0);
    json!({
        "budget": budget_json(customer.budget),
        "percentUsed": percent,
        "isUpgraded": true,
        "resourceId": customer.tenant_id,
        "resourceName": customer.name,
        "totalCost": MONTHLY_COST,
        "currencyCode": "EUR",
        "usdTotalCost": MONTHLY_COST * 1.1,
        "lastModifiedDate": "2026-03-02T02:00:00+00:00",
        "attributes": { "objectType": object_type },
    })
}

fn budget_json(amount: Option<f64>) -> Value {
    json!({ "amount": amount, "attributes": { "objectType": "SpendingBudget" } })
}

fn json(customer: &Customer) -> Value {
    let uri = format!("/customers/{}", customer.tenant_id);
    json!({
        "id": customer.tenant_id,
        "commerceId": customer.tenant_id,
        "companyProfile": {
            "tenantId": customer.tenant_id,
            "domain": customer.domain,
            "companyName": customer.name,
            "email": format!("admin@{}", customer.domain),
            "links": { "self": link(&format!("{uri}/profiles/company")) },
            "attributes": { "objectType": "CustomerCompanyProfile" },
        },
        "billingProfile": {
            "id": customer.tenant_id,
            "firstName": "Alex",
            "lastName": "Example",
            "email": format!("billing@{}", customer.domain),
            "culture": "en-US",
            "language": "en",
            "companyName": customer.name,
            "attributes": { "etag": "1", "objectType": "CustomerBillingProfile" },
        },
        "relationshipToPartner": "reseller",
        "allowDelegatedAccess": true,
        "customDomains": [customer.domain],
        "links": { "self": link(&uri) },
        "attributes": { "objectType": "Customer" },
    })
}
