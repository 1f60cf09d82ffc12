//! `azure.virtual_machines`: which machines an Azure subscription has.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure, azure::InSubscription};
use crate::run::Class;

/// Lists the virtual machines of an Azure subscription, at most 500. The access that is used needs the role Reader there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct AzureVirtualMachines(InSubscription);

/// What is told of a machine is a tenth of a kilobyte long, and the output of a step is kept.
const MOST_MACHINES: usize = 500;

impl Action for AzureVirtualMachines {
    const NAME: &'static str = "azure.virtual_machines";
    const SUMMARY: &'static str = "List the virtual machines of an Azure subscription";
    const EXAMPLE: &'static str =
        r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    const CLASS: Class = Class::Read;
    const ENTERS_TENANT: bool = true;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let microsoft = self.0.microsoft(ctx)?;
        let mut found = microsoft.list_virtual_machines(&self.0.customer_tenant_id, &self.0.subscription_id, MOST_MACHINES).await?;
        let is_cut = found.len() > MOST_MACHINES;
        found.truncate(MOST_MACHINES);
        Ok(Done::Now(json!({ "count": found.len(), "more": is_cut, "machines": found })))
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;

    use super::{
        super::contract::{Bench, prepare},
        *,
    };
    use crate::connections::CustomerAccess;

    #[tokio::test]
    async fn machines_are_listed_with_a_token_for_the_customers_tenant() {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Person);
        let Done::Now(output) = bench.perform(&prepare("azure.virtual_machines", bench.subscription())).await.unwrap() else { panic!() };
        assert_eq!((&output["count"], &output["more"], &output["machines"][1]["name"]), (&2.into(), &false.into(), &"vm-07".into()));
        let tenant = bench.ids()["customer"].as_str().unwrap().to_owned();
        let signed_in: Vec<_> = bench.simulator.ledger().into_iter().filter(|it| it.service == "login").collect();
        assert!(signed_in.len() == 1 && signed_in[0].path.contains(&tenant), "{signed_in:?}");
    }

    #[tokio::test]
    async fn a_subscription_of_another_customer_is_refused() {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Application);
        let mut with = bench.subscription();
        with["customer_tenant_id"] = bench.simulator.world()[1].tenant_id.clone().into();
        let failure = bench.perform(&prepare("azure.virtual_machines", with)).await.unwrap_err();
        assert_eq!(failure.http_status, Some(401));
    }
}
