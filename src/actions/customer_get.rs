//! `customer.get`: who a customer is.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure};
use crate::{connections::CustomerId, run::Class};

/// Tells who a customer is: name, domain, and what the partner is to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerGet {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for CustomerGet {
    const NAME: &'static str = "customer.get";
    const SUMMARY: &'static str = "Tell who a customer is";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001" }"#;
    const CLASS: Class = Class::Read;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let customer = ctx.microsoft(self.connection.as_deref())?.get_customer(&self.customer_tenant_id).await?;
        Ok(Done::Now(json!(customer)))
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };

    #[tokio::test]
    async fn a_wave_of_alerts_asks_for_a_customer_once() {
        let bench = Bench::new(Options::default()).await;
        let customer = bench.simulator.world().remove(0);
        for _ in 0..3 {
            let action = prepare("customer.get", json!({ "customer_tenant_id": customer.tenant_id }));
            let Done::Now(output) = bench.perform(&action).await.unwrap() else { panic!() };
            assert_eq!((&output["name"], &output["relationship"]), (&customer.name.clone().into(), &"reseller".into()));
        }
        let asked = bench.simulator.ledger().into_iter().filter(|it| it.path.ends_with(&customer.tenant_id)).count();
        assert_eq!(asked, 1);
    }

    #[tokio::test]
    async fn a_customer_of_nobody_is_said_to_be_missing() {
        let bench = Bench::new(Options::default()).await;
        let action = prepare("customer.get", json!({ "customer_tenant_id": "99999999-bbbb-4bbb-8bbb-000000000009" }));
        let failure = bench.perform(&action).await.unwrap_err();
        assert_eq!((failure.kind, failure.http_status), (FailureKind::Rejected, Some(404)));
    }
}
