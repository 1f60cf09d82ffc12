//! `azure.role_assignments`: who has which role in an Azure subscription.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure, azure::InSubscription};
use crate::run::Class;

/// Lists who has which role in an Azure subscription. The access that is used needs the role Reader there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct AzureRoleAssignments(InSubscription);

impl Action for AzureRoleAssignments {
    const NAME: &'static str = "azure.role_assignments";
    const SUMMARY: &'static str = "List who has which role in an Azure subscription";
    const EXAMPLE: &'static str =
        r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002" }"#;
    const CLASS: Class = Class::Read;
    const ENTERS_TENANT: bool = true;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let found = self.0.microsoft(ctx)?.list_role_assignments(&self.0.customer_tenant_id, &self.0.subscription_id).await?;
        Ok(Done::Now(json!({ "count": found.len(), "assignments": found })))
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::{Fault, FaultKind, Options};

    use super::{
        super::{
            FailureKind,
            contract::{Bench, prepare},
        },
        *,
    };
    use crate::connections::CustomerAccess;

    #[tokio::test]
    async fn roles_are_listed_over_all_pages_and_the_well_known_ones_named() {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Person);
        let Done::Now(output) = bench.perform(&prepare("azure.role_assignments", bench.subscription())).await.unwrap() else { panic!() };
        let roles: Vec<_> = output["assignments"].as_array().unwrap().iter().map(|it| it["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["Owner", "Owner", "Contributor"]);
    }

    #[tokio::test]
    async fn nothing_is_asked_of_a_customers_tenant_that_the_connection_may_not_enter() {
        let bench = Bench::new(Options::default()).await;
        let failure = bench.perform(&prepare("azure.role_assignments", bench.subscription())).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert!(failure.message.contains("`customer_access`"), "{failure}");
        assert_eq!(bench.simulator.counts().requests, 0);
    }

    #[tokio::test]
    async fn a_link_to_another_host_is_not_followed() {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Application);
        let body = json!({ "value": [], "nextLink": "https://attacker.example/subscriptions/1" });
        let kind = FaultKind::Status { status: 200, body: Some(body), retry_after: None };
        bench.simulator.fault(Fault { service: Some("azure".to_owned()), ..Fault::always(kind) });
        let failure = bench.perform(&prepare("azure.role_assignments", bench.subscription())).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert!(failure.message.contains("leads elsewhere"), "{failure}");
    }

    #[tokio::test]
    async fn a_role_that_was_taken_away_from_us_is_said_so() {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Application);
        let body = json!({ "error": { "code": "AuthorizationFailed", "message": "no authorization over scope" } });
        let kind = FaultKind::Status { status: 403, body: Some(body), retry_after: None };
        bench.simulator.fault(Fault { service: Some("azure".to_owned()), ..Fault::always(kind) });
        let failure = bench.perform(&prepare("azure.role_assignments", bench.subscription())).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert!(failure.message.contains("`entitlement.cancel` works without"), "{failure}");
    }
}
