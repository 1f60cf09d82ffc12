//! `azure.unattached_disks`: which disks no machine has.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure, azure::InSubscription};
use crate::run::Class;

/// Lists the managed disks that no machine has. It deletes nothing: what is left over is for a person to judge. The access that is used needs the
/// role Reader there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct AzureUnattachedDisks(InSubscription);

impl Action for AzureUnattachedDisks {
    const NAME: &'static str = "azure.unattached_disks";
    const SUMMARY: &'static str = "List the managed disks of an Azure subscription that no machine has";
    const EXAMPLE: &'static str =
        r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    const CLASS: Class = Class::Read;
    const ENTERS_TENANT: bool = true;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let found = self.0.microsoft(ctx)?.list_unattached_disks(&self.0.customer_tenant_id, &self.0.subscription_id).await?;
        let size: u64 = found.iter().map(|it| it.size_gb).sum();
        Ok(Done::Now(json!({ "count": found.len(), "size_gb": size, "disks": found })))
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
    async fn a_disk_that_is_attached_or_reserved_is_not_left_over() {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Application);
        let Done::Now(output) = bench.perform(&prepare("azure.unattached_disks", bench.subscription())).await.unwrap() else { panic!() };
        assert_eq!((&output["count"], &output["disks"][0]["name"]), (&1.into(), &"left-over".into()));
    }
}
