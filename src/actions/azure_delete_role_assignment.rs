//! `azure.delete_role_assignment`: take a role away from an intruder.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Action, Context, Done, Failure, Observed, ReadBack,
    azure::{name_of, plan_of},
    no_proof,
};
use crate::{
    connections::{CustomerId, Microsoft, RoleAssignment, RoleAssignmentId},
    run::Class,
};

/// Takes a role away. The partner's own role, our own and the last owner's are never taken. What was there is the output, so that a person can give it
/// again. The access that is used needs the role Owner or User Access Administrator there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AzureDeleteRoleAssignment {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The assignment's path; `azure.role_assignments` tells it.
    assignment_id: RoleAssignmentId,
    /// The connection to use; that of the alert's source if left out. Its `customer_access` must be set.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for AzureDeleteRoleAssignment {
    const NAME: &'static str = "azure.delete_role_assignment";
    const SUMMARY: &'static str = "Take a role in Azure away from somebody";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "assignment_id":
        "/subscriptions/22222222-bbbb-4bbb-8bbb-000000000002/providers/Microsoft.Authorization/roleAssignments/33333333-cccc-4ccc-8ccc-000000000003" }"#;
    /// That it is gone tells, and its identifier is never given to another. That it is there tells nothing: the look may lag behind.
    const CLASS: Class = Class::Verified;
    const ENTERS_TENANT: bool = true;
    const DESTRUCTIVE: bool = true;

    fn target(&self, _ctx: &Context<'_>) -> Option<String> {
        // The last owner of a subscription must not become so between the look and the deletion.
        Some(format!("roles:{}", self.assignment_id.subscription()))
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        let microsoft = self.microsoft(ctx)?;
        microsoft.refuse_own_tenant(&self.customer_tenant_id).await?;
        let Some(found) = self.look(&microsoft).await? else {
            return Ok(Observed::AlreadyDone(json!({ "assignment_id": self.assignment_id, "deleted": null })));
        };
        // So Azure calls the partner's group, by whose role the customer is helped.
        if found.principal_type.eq_ignore_ascii_case("ForeignGroup") {
            return Err(Failure::rejected(
                "the role is that of a partner's group, perhaps our own: who takes it away cannot help any more",
            ));
        }
        microsoft.refuse_own_role(&self.customer_tenant_id, &found.principal_id).await?;
        self.refuse_last_owner(&microsoft, &found).await?;
        let plan = plan_of(&microsoft, &self.customer_tenant_id, self.assignment_id.subscription()).await?;
        let name = name_of(&microsoft, &self.customer_tenant_id, &found.principal_id).await?;
        Ok(Observed::Ready(json!({ "assignment": found, "plan_id": plan, "user_principal_name": name })))
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let before = recorded(ctx)?;
        self.microsoft(ctx)?.delete_role_assignment(&self.customer_tenant_id, &self.assignment_id).await?;
        Ok(Done::Now(self.output(&before)))
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        let before = recorded(ctx)?;
        Ok(match self.look(&*self.microsoft(ctx)?).await? {
            None => ReadBack::Reached(self.output(&before)),
            Some(now) if now == before => no_proof("the role is there"),
            Some(_) => ReadBack::Changed("the role was given again".to_owned()),
        })
    }
}

impl AzureDeleteRoleAssignment {
    fn microsoft(&self, ctx: &Context<'_>) -> Result<Arc<Microsoft>, Failure> {
        ctx.microsoft(self.connection.as_deref())
    }

    async fn look(&self, microsoft: &Microsoft) -> Result<Option<RoleAssignment>, Failure> {
        microsoft.get_role_assignment(&self.customer_tenant_id, &self.assignment_id).await
    }

    async fn refuse_last_owner(&self, microsoft: &Microsoft, found: &RoleAssignment) -> Result<(), Failure> {
        let subscription = self.assignment_id.subscription();
        if !found.is_ownership_of(subscription) {
            return Ok(());
        }
        let all = microsoft.list_role_assignments(&self.customer_tenant_id, subscription).await?;
        let mut others = all.iter().filter(|it| !it.assignment_id.eq_ignore_ascii_case(&found.assignment_id));
        if others.any(|it| it.is_ownership_of(subscription)) {
            return Ok(());
        }
        Err(Failure::rejected(format!("`{}` is the last owner of the subscription; make another owner first", found.principal_id)))
    }

    fn output(&self, before: &RoleAssignment) -> Value {
        json!({ "assignment_id": self.assignment_id, "deleted": before })
    }
}

/// The assignment as it was before the first attempt.
fn recorded(ctx: &Context<'_>) -> Result<RoleAssignment, Failure> {
    let seen = ctx.precondition.get("assignment").cloned().unwrap_or_default();
    serde_json::from_value(seen).map_err(|_absent| Failure::rejected("the role assignment was not looked at before the first attempt"))
}

#[cfg(test)]
mod tests {
    use quell_simulator::{Fault, FaultKind, Options};

    use super::{
        super::{
            FailureKind, Prepared,
            contract::{Bench, prepare},
        },
        *,
    };
    use crate::{connections::CustomerAccess, mention::mentions};

    async fn bench() -> Bench {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Application);
        bench
    }

    /// The action on the assignment with that number: the partner's, the customer's owner's, the intruder's.
    fn action(bench: &Bench, number: usize) -> Prepared {
        let ids = bench.ids();
        let cloud = bench.simulator.cloud(ids["customer"].as_str().unwrap()).unwrap();
        let id = cloud.subscriptions[ids["entitlement"].as_str().unwrap()].assignments[number].id.clone();
        prepare("azure.delete_role_assignment", json!({ "customer_tenant_id": ids["customer"], "assignment_id": id }))
    }

    #[tokio::test]
    async fn a_role_is_taken_away_once_and_kept_for_giving_it_again() {
        let mut bench = bench().await;
        let action = action(&bench, 2);
        assert!(matches!(bench.observe(&action).await, Observed::Ready(_)));
        assert!(matches!(bench.read_back(&action).await, ReadBack::CannotTell(why) if why.contains("nothing proves")));
        let Done::Now(output) = bench.perform(&action).await.unwrap() else { panic!() };
        assert_eq!((&output["deleted"]["role"], &output["deleted"]["principal_type"]), (&"Contributor".into(), &"User".into()));
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
        assert!(matches!(bench.observe(&action).await, Observed::AlreadyDone(_)));
    }

    #[tokio::test]
    async fn the_partners_own_role_and_the_last_owners_are_never_taken() {
        let mut bench = bench().await;
        let (partner, owner) = (action(&bench, 0), action(&bench, 1));
        let failure = partner.observe(&bench.ctx()).await.unwrap_err();
        assert!(failure.message.contains("a partner's group"), "{failure}");
        // While the partner is an owner as well, the customer's is not the last one.
        assert!(matches!(bench.observe(&owner).await, Observed::Ready(_)));
        let only = json!({ "value": [{ "id": "/x", "properties": { "roleDefinitionId": "/roleDefinitions/y", "scope": "/" } }] });
        let list = FaultKind::Status { status: 200, body: Some(only), retry_after: None };
        bench.simulator.fault(Fault { path: Some("roleAssignments?".to_owned()), ..Fault::always(list) });
        let failure = owner.observe(&bench.ctx()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert!(failure.message.contains("the last owner"), "{failure}");
        assert!(bench.simulator.effects("role_assignment.deleted").is_empty());
    }

    #[tokio::test]
    async fn what_protects_the_plan_or_the_user_protects_the_role() {
        let mut bench = bench().await;
        let action = action(&bench, 2);
        bench.observe(&action).await;
        let customer = bench.simulator.world().remove(0);
        for protected in [customer.plan.id.clone(), format!("SVC-backup@{}", customer.domain)] {
            assert!(mentions(&bench.precondition, &protected), "{protected}: {}", bench.precondition);
        }
        let refused = FaultKind::Status { status: 403, body: None, retry_after: None };
        bench.simulator.fault(Fault { path: Some("/users/".to_owned()), ..Fault::always(refused) });
        assert!(matches!(bench.observe(&action).await, Observed::Ready(seen) if seen["user_principal_name"].is_null()));
    }

    #[tokio::test]
    async fn our_own_role_is_never_taken() {
        for access in [CustomerAccess::Application, CustomerAccess::Person] {
            let mut bench = bench().await;
            bench.enter_tenants(access);
            let customer = bench.ids()["customer"].as_str().unwrap().to_owned();
            let us = match access {
                CustomerAccess::Person => bench.simulator.person_object_id(),
                CustomerAccess::Application | CustomerAccess::None => bench.simulator.application_object_id(&customer),
            };
            let ours = json!({ "id": "/x", "properties": { "roleDefinitionId": "/y", "principalId": us.to_uppercase(), "principalType": "User" } });
            let told = FaultKind::Status { status: 200, body: Some(ours), retry_after: None };
            bench.simulator.fault(Fault { path: Some("roleAssignments/".to_owned()), ..Fault::always(told) });
            let failure = action(&bench, 2).observe(&bench.ctx()).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Rejected);
            assert!(failure.message.contains("the role is our own"), "{failure}");
            assert!(bench.simulator.effects("role_assignment.deleted").is_empty());
        }
    }

    #[tokio::test]
    async fn only_azures_word_for_it_says_that_a_role_is_gone() {
        let mut bench = bench().await;
        let action = action(&bench, 2);
        bench.observe(&action).await;
        for (code, is_gone) in
            [("SubscriptionNotFound", false), ("ResourceGroupNotFound", false), ("", false), ("RoleAssignmentNotFound", true)]
        {
            let body = Some(json!({ "error": { "code": code, "message": "x" } }));
            let told = FaultKind::Status { status: 404, body, retry_after: None };
            bench.simulator.fault(Fault { path: Some("roleAssignments/".to_owned()), ..Fault::always(told) });
            let seen = action.read_back(&bench.ctx()).await;
            assert_eq!(matches!(seen, Ok(ReadBack::Reached(_))), is_gone, "{code}: {seen:?}");
            assert_eq!(seen.is_err(), !is_gone, "{code}");
            bench.simulator.clear_faults();
        }
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown_and_a_look_tells() {
        let mut bench = bench().await;
        let action = action(&bench, 2);
        bench.observe(&action).await;
        bench.simulator.fault(Fault { method: Some("DELETE".to_owned()), ..Fault::once(FaultKind::ApplyThenDrop) });
        assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Unknown);
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
    }
}
