//! `entra.revoke_sessions`: make a user sign in again everywhere.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{
    Action, Context, Done, Failure, Observed, ReadBack,
    entra::{UserTarget, recorded},
    no_proof,
};
use crate::run::Class;

/// Makes a user sign in again everywhere, within some minutes. It does nothing to guests, who are signed in elsewhere. The access that is used needs
/// `User.RevokeSessions.All` and `User.Read.All`. The person of our own `refresh_token` is refused: that would end our own access.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct EntraRevokeSessions(UserTarget);

impl Action for EntraRevokeSessions {
    const NAME: &'static str = "entra.revoke_sessions";
    const SUMMARY: &'static str = "Make a customer's user sign in again everywhere";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "user": "alex@customer.example" }"#;
    /// The time from which sessions are valid tells.
    const CLASS: Class = Class::Verified;
    const ENTERS_TENANT: bool = true;
    /// What runs under a service's account stops.
    const DESTRUCTIVE: bool = true;

    fn target(&self, ctx: &Context<'_>) -> Option<String> {
        Some(self.0.target(ctx))
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        Ok(Observed::Ready(json!({ "user": self.0.observe(ctx).await? })))
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let user = recorded(ctx)?;
        self.0.microsoft(ctx)?.revoke_sessions(&self.0.customer_tenant_id, &user).await?;
        Ok(Done::Now(self.0.output(&user)))
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        let (before, now) = (recorded(ctx)?, self.0.look(ctx).await?);
        Ok(match now.sessions_valid_from.as_str() {
            _ if now.user_id != before.user_id => ReadBack::Changed("the name belongs to another user now".to_owned()),
            "" => ReadBack::CannotTell("Graph does not tell from when sessions are valid".to_owned()),
            time if time == before.sessions_valid_from => no_proof("older sessions are valid"),
            _ => ReadBack::Reached(self.0.output(&now)),
        })
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
    async fn a_lost_answer_is_unknown_and_the_time_of_the_sessions_tells_which_it_was() {
        for (kind, is_reached) in [(FaultKind::ApplyThenDrop, true), (FaultKind::DropBeforeApply, false)] {
            let mut bench = Bench::new(Options::default()).await;
            bench.enter_tenants(CustomerAccess::Person);
            let customer = bench.simulator.world().remove(0);
            let with = json!({ "customer_tenant_id": customer.tenant_id, "user": format!("kim@{}", customer.domain) });
            let action = prepare("entra.revoke_sessions", with);
            bench.observe(&action).await;
            bench.simulator.fault(Fault { path: Some("/revokeSignInSessions".to_owned()), ..Fault::once(kind) });
            assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Unknown);
            let seen = bench.read_back(&action).await;
            assert_eq!((matches!(seen, ReadBack::Reached(_)), matches!(seen, ReadBack::CannotTell(_))), (is_reached, !is_reached));
            assert!(matches!(bench.perform(&action).await.unwrap(), Done::Now(_)));
            assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
        }
    }
}
