//! `customer.relationships`: which other partners a customer has, so that they can be told.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure};
use crate::{connections::CustomerId, run::Class};

/// Lists the other partners of a customer, such as its indirect reseller. Needs a person's consent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerRelationships {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for CustomerRelationships {
    const NAME: &'static str = "customer.relationships";
    const SUMMARY: &'static str = "List the other partners of a customer";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001" }"#;
    const CLASS: Class = Class::Read;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let partners = ctx.microsoft(self.connection.as_deref())?.customer_relationships(&self.customer_tenant_id).await?;
        Ok(Done::Now(json!({ "partners": partners })))
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
    async fn a_reseller_is_named_to_a_person_and_to_no_application() {
        let mut bench = Bench::new(Options::default()).await;
        let action = prepare("customer.relationships", json!({ "customer_tenant_id": bench.ids()["customer"] }));
        let failure = bench.perform(&action).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert!(failure.message.contains("configure `refresh_token`"), "{failure}");
        bench.act_for_a_person();
        let Done::Now(output) = bench.perform(&action).await.unwrap() else { panic!() };
        assert_eq!(output["partners"][0]["name"], "Example Reseller");
    }
}
