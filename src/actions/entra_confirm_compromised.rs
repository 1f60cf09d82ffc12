//! `entra.confirm_compromised`: say that a user's account is in other hands.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Action, Context, Done, Failure, Observed, ReadBack,
    entra::{UserTarget, recorded},
    no_proof,
};
use crate::{connections::User, run::Class};

/// Says that a user's account is in other hands: its risk becomes high, and the tenant's risk policies act. The access that is used needs
/// `IdentityRiskyUser.ReadWrite.All` and `User.Read.All`, and the tenant Entra ID P2.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct EntraConfirmCompromised(UserTarget);

impl Action for EntraConfirmCompromised {
    const NAME: &'static str = "entra.confirm_compromised";
    const SUMMARY: &'static str = "Say that the account of a customer's user is in other hands";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "user": "alex@customer.example" }"#;
    /// The user's risk tells that it was done, and minutes later.
    const CLASS: Class = Class::Verified;
    const ENTERS_TENANT: bool = true;
    const DESTRUCTIVE: bool = true;

    fn target(&self, ctx: &Context<'_>) -> Option<String> {
        Some(self.0.target(ctx))
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        let user = self.0.observe(ctx).await?;
        let risk = self.risk(ctx, &user).await?;
        Ok(if is_confirmed(&risk) {
            Observed::AlreadyDone(self.output(&user, &risk))
        } else {
            Observed::Ready(json!({ "user": user, "risk_state": risk }))
        })
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let user = recorded(ctx)?;
        self.0.microsoft(ctx)?.confirm_compromised(&self.0.customer_tenant_id, &user).await?;
        Ok(Done::Now(self.output(&user, CONFIRMED)))
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        let user = recorded(ctx)?;
        let risk = self.risk(ctx, &user).await?;
        let before = ctx.precondition.get("risk_state").and_then(Value::as_str).unwrap_or_default();
        Ok(if is_confirmed(&risk) {
            ReadBack::Reached(self.output(&user, &risk))
        } else if risk == before {
            no_proof(&format!("the user's risk is `{risk}`"))
        } else {
            ReadBack::Changed(format!("the user's risk was `{before}` and is `{risk}`"))
        })
    }
}

const CONFIRMED: &str = "confirmedCompromised";

impl EntraConfirmCompromised {
    async fn risk(&self, ctx: &Context<'_>, user: &User) -> Result<String, Failure> {
        self.0.microsoft(ctx)?.risk_state(&self.0.customer_tenant_id, user).await
    }

    fn output(&self, user: &User, risk: &str) -> Value {
        let mut output = self.0.output(user);
        if let Some(fields) = output.as_object_mut() {
            fields.insert("risk_state".to_owned(), risk.into());
        }
        output
    }
}

fn is_confirmed(risk: &str) -> bool {
    risk.eq_ignore_ascii_case(CONFIRMED)
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
    async fn a_user_of_whom_nothing_was_known_is_confirmed_once() {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Application);
        let customer = bench.simulator.world().remove(0);
        for name in ["alex", "svc-backup"] {
            let with = json!({ "customer_tenant_id": customer.tenant_id, "user": format!("{name}@{}", customer.domain) });
            let action = prepare("entra.confirm_compromised", with);
            assert!(matches!(bench.observe(&action).await, Observed::Ready(_)));
            assert!(matches!(bench.read_back(&action).await, ReadBack::CannotTell(_)));
            bench.simulator.fault(Fault { path: Some("/confirmCompromised".to_owned()), ..Fault::once(FaultKind::ApplyThenDrop) });
            assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Unknown);
            assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
            assert!(matches!(bench.observe(&action).await, Observed::AlreadyDone(_)));
        }
        assert_eq!(bench.simulator.effects("user.confirmed_compromised").len(), 2);
    }
}
