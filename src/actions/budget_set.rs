//! `budget.set`: give a customer a spending budget. It warns, and stops nothing.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, FailureKind};
use crate::{connections::CustomerId, run::Class};

/// Gives a customer a spending budget for every month. Microsoft warns when it is nearly used; nothing is stopped by it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetSet {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// How much, in the customer's currency.
    #[schemars(range(min = 0.0))]
    amount: f64,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for BudgetSet {
    const NAME: &'static str = "budget.set";
    const SUMMARY: &'static str = "Give a customer a spending budget, which warns and stops nothing";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "amount": 250 }"#;
    const CLASS: Class = Class::Idempotent;

    fn target(&self, _ctx: &Context<'_>) -> Option<String> {
        Some(format!("budget:{}", self.customer_tenant_id))
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        if !self.amount.is_finite() || self.amount < 0.0 {
            return Err(Failure::rejected("`amount` must be a number from 0"));
        }
        let microsoft = ctx.microsoft(self.connection.as_deref())?;
        let before = microsoft.get_budget(&self.customer_tenant_id).await?;
        if self.is_reached(before) {
            return Ok(Done::Found(self.output(before, false)));
        }
        microsoft.set_budget(&self.customer_tenant_id, self.amount, ctx.request_id).await?;
        let after = microsoft.get_budget(&self.customer_tenant_id).await?;
        if self.is_reached(after) {
            return Ok(Done::Now(self.output(before, true)));
        }
        Err(Failure::new(FailureKind::Unknown, "Partner Center took the budget and does not show it yet"))
    }
}

impl BudgetSet {
    /// Money has no smaller part than the hundredth.
    fn is_reached(&self, amount: Option<f64>) -> bool {
        amount.is_some_and(|amount| (amount - self.amount).abs() < 0.005)
    }

    fn output(&self, before: Option<f64>, changed: bool) -> Value {
        json!({ "customer_tenant_id": self.customer_tenant_id, "amount": self.amount, "before": before, "changed": changed })
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::{Fault, FaultKind, Options};

    use super::{
        super::contract::{Bench, prepare},
        *,
    };

    #[tokio::test]
    async fn a_budget_is_set_once_and_read() {
        let bench = Bench::new(Options::default()).await;
        let customer = json!({ "customer_tenant_id": bench.ids()["customer"] });
        let mut with = customer.clone();
        with["amount"] = 250.into();
        let set = prepare("budget.set", with);
        let Done::Now(output) = bench.perform(&set).await.unwrap() else { panic!() };
        assert_eq!((&output["amount"], &output["before"], &output["changed"]), (&250.0.into(), &Value::Null, &true.into()));
        assert!(matches!(bench.perform(&set).await.unwrap(), Done::Found(output) if output["changed"] == false));
        let Done::Now(output) = bench.perform(&prepare("budget.get", customer)).await.unwrap() else { panic!() };
        assert_eq!(output["amount"], 250.0);
        assert_eq!(bench.simulator.counts().budgets, 1);
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown_and_a_repeat_finds_it_done() {
        let bench = Bench::new(Options::default()).await;
        let set = prepare("budget.set", json!({ "customer_tenant_id": bench.ids()["customer"], "amount": 99.5 }));
        bench.simulator.fault(Fault { method: Some("PATCH".to_owned()), ..Fault::once(FaultKind::ApplyThenDrop) });
        assert_eq!(bench.perform(&set).await.unwrap_err().kind, FailureKind::Unknown);
        assert!(matches!(bench.perform(&set).await.unwrap(), Done::Found(_)));
        assert_eq!(bench.simulator.counts().budgets, 1);
    }

    #[tokio::test]
    async fn a_negative_budget_is_refused() {
        let bench = Bench::new(Options::default()).await;
        let set = prepare("budget.set", json!({ "customer_tenant_id": bench.ids()["customer"], "amount": -1 }));
        assert_eq!(bench.perform(&set).await.unwrap_err().kind, FailureKind::Rejected);
    }
}
