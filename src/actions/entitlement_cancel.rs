//! `entitlement.cancel`: cancel an Azure subscription. Its resources are deallocated; only Microsoft brings back what was lost.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Context, Done, Failure, Observed, ReadBack, entitlement::Place};
use crate::{
    connections::{CustomerId, Entitlement, EntitlementId, PlanId},
    run::Class,
};

/// Cancels an Azure subscription because it is compromised.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntitlementCancel {
    /// The customer's Entra tenant.
    customer_tenant_id: CustomerId,
    /// The plan that the Azure subscription stands under; `entitlement.find` tells it.
    plan_id: PlanId,
    /// The Azure subscription.
    entitlement_id: EntitlementId,
    /// Why; Partner Center takes no other reason.
    #[serde(default)]
    reason: Reason,
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Reason {
    #[default]
    Compromise,
}

impl Action for EntitlementCancel {
    const NAME: &'static str = "entitlement.cancel";
    const SUMMARY: &'static str = "Cancel an Azure subscription; its resources stop";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "plan_id": "44444444-dddd-4ddd-8ddd-000000000004",
        "entitlement_id": "22222222-bbbb-4bbb-8bbb-000000000002", "reason": "compromise" }"#;
    /// Partner Center recognises a repeat by its `MS-RequestId`.
    const CLASS: Class = Class::Keyed;
    const DESTRUCTIVE: bool = true;

    fn target(&self, _ctx: &Context<'_>) -> Option<String> {
        Some(self.place().target())
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        let entitlement = self.place().look(ctx).await?;
        let output = self.place().output(&entitlement);
        Ok(if is_cancelled(&entitlement) { Observed::AlreadyDone(output) } else { Observed::Ready(output) })
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let reason = match self.reason {
            Reason::Compromise => "compromise",
        };
        ctx.microsoft(self.connection.as_deref())?.cancel_entitlement(self.place().at(), reason, ctx.request_id).await?;
        // Even a 200 only says that it will be: the status follows some minutes later.
        Ok(Done::Accepted(self.place().accepted()))
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        let entitlement = self.place().look(ctx).await?;
        Ok(if is_cancelled(&entitlement) {
            ReadBack::Reached(self.place().output(&entitlement))
        } else if entitlement.is_active() {
            ReadBack::Unchanged
        } else {
            ReadBack::CannotTell(format!("the Azure subscription is `{}`", entitlement.status))
        })
    }
}

impl EntitlementCancel {
    fn place(&self) -> Place<'_> {
        Place {
            customer: &self.customer_tenant_id,
            plan: &self.plan_id,
            entitlement: &self.entitlement_id,
            connection: self.connection.as_deref(),
        }
    }
}

/// `inactive` is the word that is documented.
fn is_cancelled(entitlement: &Entitlement) -> bool {
    entitlement.status == "inactive"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quell_simulator::{Fault, FaultKind, Options};
    use serde_json::{Value, json};

    use super::{
        super::{
            FailureKind,
            contract::{Bench, fault, prepare},
        },
        *,
    };

    fn with(ids: &Value) -> Value {
        json!({ "customer_tenant_id": ids["customer"], "plan_id": ids["plan"], "entitlement_id": ids["entitlement"] })
    }

    #[tokio::test]
    async fn a_cancellation_is_accepted_and_shows_later() {
        let mut bench = Bench::new(Options { cancel_delay: Duration::from_millis(200), ..Options::default() }).await;
        let action = prepare("entitlement.cancel", with(&bench.ids()));
        assert!(matches!(bench.observe(&action).await, Observed::Ready(_)));
        assert!(matches!(bench.perform(&action).await.unwrap(), Done::Accepted(_)));
        assert_eq!(bench.read_back(&action).await, ReadBack::Unchanged);
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(output) if output["status"] == "inactive"));
        assert!(matches!(bench.observe(&action).await, Observed::AlreadyDone(_)));
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown_and_a_repeat_has_no_second_effect() {
        let bench = Bench::new(Options { cancel_status: 202, ..Options::default() }).await;
        let action = prepare("entitlement.cancel", with(&bench.ids()));
        bench.simulator.fault(Fault {
            method: Some("POST".to_owned()),
            path: Some("/cancel".to_owned()),
            ..Fault::once(FaultKind::ApplyThenDrop)
        });
        assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Unknown);
        assert!(matches!(bench.perform(&action).await.unwrap(), Done::Accepted(_)));
        let sent = bench.simulator.effects("entitlement.cancelled");
        assert_eq!((sent.len(), bench.simulator.counts().cancelled), (2, 1));
        assert_eq!(sent[0].request_id, sent[1].request_id);
    }

    #[tokio::test]
    async fn the_target_is_the_same_however_the_identifier_is_spelt() {
        let bench = Bench::new(Options::default()).await;
        let mut with = with(&bench.ids());
        let id = with["entitlement_id"].as_str().unwrap().to_owned();
        with["entitlement_id"] = format!("{{{}}}", id.to_uppercase()).into();
        assert_eq!(prepare("entitlement.cancel", with).target(&bench.ctx()), Some(format!("entitlement:{id}")));
    }

    #[tokio::test]
    async fn a_text_that_is_no_identifier_never_becomes_a_path() {
        let mut with = with(&Bench::new(Options::default()).await.ids());
        with["plan_id"] = "../x".into();
        assert!(fault("entitlement.cancel", with).contains("`../x` is not a GUID"));
    }
}
