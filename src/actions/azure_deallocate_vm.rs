//! `azure.deallocate_vm`: stop a virtual machine and end its costs. Its disks stay.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Action, Context, Done, Failure, Observed, ReadBack, azure::plan_of, no_proof};
use crate::{
    connections::{CustomerId, Deallocation, Microsoft, Operation, VirtualMachineId},
    run::Class,
};

/// Stops a virtual machine and gives back what it runs on; its disks stay, and it can be started again. The access that is used needs the role
/// Virtual Machine Contributor there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AzureDeallocateVm {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The machine's path, as alerts name it.
    vm_id: VirtualMachineId,
    /// The connection to use; that of the alert's source if left out. Its `customer_access` must be set.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for AzureDeallocateVm {
    const NAME: &'static str = "azure.deallocate_vm";
    const SUMMARY: &'static str = "Stop a virtual machine and end its costs; its disks stay";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001",
        "vm_id": "/subscriptions/22222222-bbbb-4bbb-8bbb-000000000002/resourceGroups/rg-batch/providers/Microsoft.Compute/virtualMachines/vm-07" }"#;
    /// The power state tells that it was stopped, and not that it will not be: Azure names no version by which a late request would be refused.
    const CLASS: Class = Class::Verified;
    const ENTERS_TENANT: bool = true;
    const DESTRUCTIVE: bool = true;

    fn target(&self, _ctx: &Context<'_>) -> Option<String> {
        // Azure does not mind the case of a path.
        Some(format!("vm:{}", self.vm_id.to_string().to_lowercase()))
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        let microsoft = self.microsoft(ctx)?;
        let power = self.power(&microsoft).await?;
        if power == DEALLOCATED {
            return Ok(Observed::AlreadyDone(self.output(&power)));
        }
        let plan = plan_of(&microsoft, &self.customer_tenant_id, self.vm_id.subscription()).await?;
        Ok(Observed::Ready(json!({ "power_state": power, "plan_id": plan })))
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        match self.microsoft(ctx)?.deallocate(&self.customer_tenant_id, &self.vm_id).await? {
            Deallocation::Done => Ok(Done::Now(self.output(DEALLOCATED))),
            Deallocation::Accepted(operation) => {
                Ok(Done::Accepted(json!({ "vm_id": self.vm_id, "power_state": "deallocating", "operation": operation })))
            }
        }
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        let microsoft = self.microsoft(ctx)?;
        let power = self.power(&microsoft).await?;
        if power == DEALLOCATED {
            return Ok(ReadBack::Reached(self.output(&power)));
        }
        if let Some(address) = ctx.accepted.get("operation").and_then(Value::as_str) {
            return Ok(match microsoft.azure_operation(&self.customer_tenant_id, address).await? {
                Operation::Failed(why) => ReadBack::Failed(format!("Azure says `{why}`, and the machine is `{power}`")),
                Operation::Running => ReadBack::CannotTell("the machine is being stopped".to_owned()),
                // The machine shows it a little later.
                Operation::Succeeded => ReadBack::Unchanged,
            });
        }
        Ok(if power == "deallocating" {
            ReadBack::CannotTell("the machine is being stopped".to_owned())
        } else {
            no_proof(&format!("the machine is `{power}`"))
        })
    }
}

const DEALLOCATED: &str = "deallocated";

impl AzureDeallocateVm {
    fn microsoft(&self, ctx: &Context<'_>) -> Result<std::sync::Arc<Microsoft>, Failure> {
        ctx.microsoft(self.connection.as_deref())
    }

    async fn power(&self, microsoft: &Microsoft) -> Result<String, Failure> {
        microsoft.power_state(&self.customer_tenant_id, &self.vm_id).await
    }

    fn output(&self, power: &str) -> Value {
        json!({
            "customer_tenant_id": self.customer_tenant_id,
            "subscription_id": self.vm_id.subscription(),
            "vm_id": self.vm_id,
            "power_state": power,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quell_simulator::{Fault, FaultKind, OperationEnd, Options, Power};

    use super::{
        super::{
            FailureKind, Prepared,
            contract::{Bench, prepare},
        },
        *,
    };
    use crate::{connections::CustomerAccess, mention::mentions};

    async fn bench(delay: u64, end: OperationEnd) -> (Bench, Prepared) {
        let delay = Duration::from_millis(delay);
        let mut bench = Bench::new(Options { deallocate_delay: delay, deallocate_end: end, ..Options::default() }).await;
        bench.enter_tenants(CustomerAccess::Person);
        let ids = bench.ids();
        let subscription = ids["entitlement"].as_str().unwrap();
        let vm = format!("/subscriptions/{subscription}/resourceGroups/RG-batch/providers/Microsoft.Compute/virtualMachines/vm-07");
        let action = prepare("azure.deallocate_vm", json!({ "customer_tenant_id": ids["customer"], "vm_id": vm }));
        (bench, action)
    }

    fn power(bench: &Bench) -> Power {
        let ids = bench.ids();
        let cloud = bench.simulator.cloud(ids["customer"].as_str().unwrap()).unwrap();
        cloud.subscriptions[ids["entitlement"].as_str().unwrap()].machines[1].power
    }

    #[tokio::test]
    async fn a_machine_is_confirmed_when_its_power_state_says_so() {
        let (mut bench, action) = bench(300, OperationEnd::Success).await;
        assert!(matches!(bench.observe(&action).await, Observed::Ready(seen) if seen["power_state"] == "running"));
        let accepted = bench.accept(&action).await;
        assert!(accepted["operation"].as_str().unwrap().contains("/operations/"), "{accepted}");
        assert!(matches!(bench.read_back(&action).await, ReadBack::CannotTell(_)));
        tokio::time::sleep(Duration::from_millis(350)).await;
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(output) if output["power_state"] == "deallocated"));
        assert!(matches!(bench.observe(&action).await, Observed::AlreadyDone(_)));
        assert_eq!(bench.simulator.effects("vm.deallocated").len(), 1);
    }

    #[tokio::test]
    async fn what_protects_the_plan_protects_its_machines_and_a_plan_that_cannot_be_looked_at_now_is_waited_for() {
        let (mut bench, action) = bench(0, OperationEnd::Success).await;
        let plans =
            |kind| Fault { path: Some("/subscriptions".to_owned()), service: Some("partner-center".to_owned()), ..Fault::always(kind) };
        bench.simulator.fault(plans(FaultKind::Status { status: 500, body: None, retry_after: None }));
        assert_eq!(action.observe(&bench.ctx()).await.unwrap_err().kind, FailureKind::Unknown);
        bench.simulator.clear_faults();
        bench.observe(&action).await;
        assert!(mentions(&bench.precondition, bench.ids()["plan"].as_str().unwrap()), "{}", bench.precondition);
        // Where Partner Center does not let us look, nobody knows the plan, and its subscription can still be protected.
        bench.simulator.fault(plans(FaultKind::Status { status: 403, body: None, retry_after: None }));
        assert!(matches!(bench.observe(&action).await, Observed::Ready(seen) if seen["plan_id"].is_null()));
    }

    #[tokio::test]
    async fn what_is_done_at_once_needs_no_confirmation() {
        let (mut bench, action) = bench(0, OperationEnd::Success).await;
        bench.observe(&action).await;
        assert!(matches!(bench.perform(&action).await.unwrap(), Done::Now(_)));
    }

    #[tokio::test]
    async fn an_operation_that_fails_is_a_failure_and_not_a_doubt() {
        let (mut bench, action) = bench(1, OperationEnd::Failure).await;
        bench.observe(&action).await;
        bench.accept(&action).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(matches!(bench.read_back(&action).await, ReadBack::Failed(why) if why.contains("AllocationFailed")));
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown_and_a_look_tells_which_it_was() {
        for (kind, is_stopping) in [(FaultKind::ApplyThenDrop, true), (FaultKind::DropBeforeApply, false)] {
            let (mut bench, action) = bench(60_000, OperationEnd::Success).await;
            bench.observe(&action).await;
            bench.simulator.fault(Fault { path: Some("/deallocate".to_owned()), ..Fault::once(kind) });
            assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Unknown);
            let seen = bench.read_back(&action).await;
            let ReadBack::CannotTell(why) = seen else { panic!("a machine that runs may be about to stop") };
            assert_eq!((why.contains("being stopped"), why.contains("`running`")), (is_stopping, !is_stopping));
            assert_eq!(power(&bench) == Power::Deallocating, is_stopping);
        }
    }

    #[tokio::test]
    async fn each_refusal_is_taken_for_what_it_is() {
        let busy = json!({ "error": { "code": "AnotherOperationInProgress", "message": "x" } });
        let locked = json!({ "error": { "code": "ScopeLocked", "message": "x" } });
        for (status, body, retry_after, kind) in [
            (403, None, None, FailureKind::Rejected),
            (404, None, None, FailureKind::Rejected),
            (409, Some(busy), None, FailureKind::NotDone),
            (409, Some(locked), None, FailureKind::Rejected),
            (429, None, Some("2.5"), FailureKind::NotDone),
            (429, None, Some("soon"), FailureKind::NotDone),
            (500, None, None, FailureKind::Unknown),
            (503, None, Some("7"), FailureKind::NotDone),
        ] {
            let (mut bench, action) = bench(0, OperationEnd::Success).await;
            bench.observe(&action).await;
            let fault = FaultKind::Status { status, body, retry_after: retry_after.map(str::to_owned) };
            bench.simulator.fault(Fault { path: Some("/deallocate".to_owned()), ..Fault::once(fault) });
            assert_eq!(bench.perform(&action).await.unwrap_err().kind, kind, "{status}");
            assert_eq!(power(&bench), Power::Running);
        }
    }

    #[tokio::test]
    async fn a_web_page_or_a_redirect_is_no_success() {
        let elsewhere = FaultKind::Redirect { location: "https://attacker.example/".to_owned() };
        for (fault, kind) in [(FaultKind::Html { status: 200 }, FailureKind::Unknown), (elsewhere, FailureKind::Rejected)] {
            let (mut bench, action) = bench(0, OperationEnd::Success).await;
            bench.observe(&action).await;
            bench.simulator.fault(Fault { path: Some("/deallocate".to_owned()), ..Fault::once(fault) });
            assert_eq!(bench.perform(&action).await.unwrap_err().kind, kind);
        }
    }

    #[tokio::test]
    async fn an_expired_token_is_renewed_once() {
        let (mut bench, action) = bench(0, OperationEnd::Success).await;
        bench.observe(&action).await;
        bench.simulator.expire_tokens();
        assert!(matches!(bench.perform(&action).await.unwrap(), Done::Now(_)));
        // One for Partner Center, which was asked for the plan, and two for Azure.
        assert_eq!(bench.simulator.counts().tokens, 3);
    }
}
