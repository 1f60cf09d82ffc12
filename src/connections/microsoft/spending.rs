//! What a customer's Azure costs this month, and the budget that it is compared with. A budget warns and stops nothing.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{CustomerId, Failure},
    Audience, Microsoft, field,
    partner_center::request,
    text, unreadable,
};
use crate::net::Method;

/// What a customer has used this month, as Microsoft estimated it about a day ago.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usage {
    /// In the customer's currency.
    pub total_cost: f64,
    /// The currency, as three letters.
    pub currency: String,
    /// The same in dollars.
    pub usd_total_cost: Option<f64>,
    /// The budget for the month, if there is one.
    pub budget: Option<f64>,
    /// How much of it is used.
    pub percent_used: Option<f64>,
    /// When Microsoft last counted.
    pub counted_at: String,
    /// What each plan has used.
    pub plans: Vec<PlanUsage>,
}

/// What was used under a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanUsage {
    /// The plan.
    pub plan_id: String,
    /// Its name for people.
    pub name: String,
    /// In the customer's currency.
    pub total_cost: f64,
}

impl Microsoft {
    /// A customer's budget for a month, if there is one.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn get_budget(&self, customer: &CustomerId) -> Result<Option<f64>, Failure> {
        let url = self.customer(customer, &["usagebudget"]);
        let body = self.read(Audience::PartnerCenter, request(Method::GET, url, Uuid::now_v7())).await?;
        Ok(amount_of(&body))
    }

    /// Gives a customer a budget for every month.
    ///
    /// # Errors
    /// [`Failure`]; the change may be repeated.
    pub async fn set_budget(&self, customer: &CustomerId, amount: f64, request_id: Uuid) -> Result<(), Failure> {
        let url = self.customer(customer, &["usagebudget"]);
        let body = json!({ "Amount": amount, "Attributes": { "ObjectType": "SpendingBudget" } });
        drop(self.write(Audience::PartnerCenter, request(Method::PATCH, url, request_id).json(&body)).await?);
        Ok(())
    }

    /// What a customer has used this month. Only a person's consent may read it.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn get_usage(&self, customer: &CustomerId) -> Result<Usage, Failure> {
        let url = self.customer(customer, &["usagesummary"]);
        let body = self.read(Audience::PartnerCenter, request(Method::GET, url, Uuid::now_v7())).await?;
        let total_cost = number(&body, "totalCost");
        let total_cost = total_cost.ok_or_else(|| unreadable(Audience::PartnerCenter, "`totalCost` is not a number"))?;
        // The older answer calls the currency by its place.
        let currency = ["currencyCode", "currencyLocale"].map(|it| text(&body, it)).into_iter().find(|it| !it.is_empty());
        let plans = self.collection(self.customer(customer, &["subscriptions", "usagerecords"])).await?;
        Ok(Usage {
            total_cost,
            currency: currency.unwrap_or_default().to_owned(),
            usd_total_cost: number(&body, "usdTotalCost"),
            budget: field(&body, "budget").and_then(amount_of),
            percent_used: number(&body, "percentUsed"),
            counted_at: text(&body, "lastModifiedDate").to_owned(),
            plans: plans.iter().map(PlanUsage::read).collect(),
        })
    }
}

impl PlanUsage {
    fn read(body: &Value) -> Self {
        let first = |names: [&str; 2]| names.map(|it| text(body, it)).into_iter().find(|it| !it.is_empty()).unwrap_or_default().to_owned();
        Self {
            plan_id: first(["id", "resourceId"]),
            name: first(["name", "resourceName"]),
            total_cost: number(body, "totalCost").unwrap_or_default(),
        }
    }
}

/// Documented under the first name, also seen under the second, and misspelt in an example.
fn amount_of(budget: &Value) -> Option<f64> {
    ["amount", "usageSpendingBudget", "ammount"].into_iter().find_map(|name| number(budget, name))
}

fn number(body: &Value, name: &str) -> Option<f64> {
    field(body, name).and_then(Value::as_f64)
}
