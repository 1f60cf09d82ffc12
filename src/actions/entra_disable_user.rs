//! `entra.disable_user`: keep a user from signing in.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{
    Action, Context, Done, Failure, Observed, ReadBack,
    entra::{UserTarget, recorded},
    no_proof,
};
use crate::{connections::User, run::Class};

/// Keeps a user from signing in. Who is signed in stays so for up to an hour: `entra.revoke_sessions` as well. The access that is used needs
/// `User.EnableDisableAccount.All` and `User.Read.All`, and for administrators a higher role.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct EntraDisableUser(UserTarget);

impl Action for EntraDisableUser {
    const NAME: &'static str = "entra.disable_user";
    const SUMMARY: &'static str = "Keep a customer's user from signing in";
    const EXAMPLE: &'static str = r#"{ "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "user": "alex@customer.example" }"#;
    /// Whether the account is enabled tells that it was done; Graph has no version of a user that tells that it was not.
    const CLASS: Class = Class::Verified;
    const ENTERS_TENANT: bool = true;
    const DESTRUCTIVE: bool = true;

    fn target(&self, ctx: &Context<'_>) -> Option<String> {
        Some(self.0.target(ctx))
    }

    async fn observe(&self, ctx: &Context<'_>) -> Result<Observed, Failure> {
        let user = self.0.observe(ctx).await?;
        match user.enabled {
            Some(false) => Ok(Observed::AlreadyDone(self.0.output(&user))),
            Some(true) => Ok(Observed::Ready(json!({ "user": user }))),
            None => Err(Failure::rejected("Graph does not tell whether the account is enabled; `User.Read.All` is needed")),
        }
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let user = recorded(ctx)?;
        self.0.microsoft(ctx)?.disable_user(&self.0.customer_tenant_id, &user).await?;
        Ok(Done::Now(self.0.output(&User { enabled: Some(false), ..user })))
    }

    async fn read_back(&self, ctx: &Context<'_>) -> Result<ReadBack, Failure> {
        let user = self.0.look(ctx).await?;
        Ok(match user.enabled {
            _ if user.user_id != recorded(ctx)?.user_id => ReadBack::Changed("the name belongs to another user now".to_owned()),
            Some(false) => ReadBack::Reached(self.0.output(&user)),
            Some(true) => no_proof("the account is enabled"),
            None => ReadBack::CannotTell("Graph does not tell whether the account is enabled".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::{Fault, FaultKind, Options};
    use serde_json::Value;

    use super::{
        super::{
            FailureKind,
            contract::{Bench, fault, prepare},
        },
        *,
    };
    use crate::{connections::CustomerAccess, mention::mentions};

    async fn bench() -> (Bench, Value) {
        let mut bench = Bench::new(Options::default()).await;
        bench.enter_tenants(CustomerAccess::Application);
        let customer = bench.simulator.world().remove(0);
        let with = json!({ "customer_tenant_id": customer.tenant_id, "user": format!("Svc-Backup@{}", customer.domain) });
        (bench, with)
    }

    #[tokio::test]
    async fn a_user_is_disabled_once_however_named() {
        let (mut bench, with) = bench().await;
        let action = prepare("entra.disable_user", with.clone());
        assert!(matches!(bench.observe(&action).await, Observed::Ready(_)));
        let id = bench.precondition["user"]["user_id"].as_str().unwrap().to_owned();
        assert_eq!(action.target(&bench.ctx()), Some(format!("user:{id}")));
        // Whoever is protected by the one is protected by the other.
        assert!(mentions(&bench.precondition, &id) && mentions(&bench.precondition, with["user"].as_str().unwrap()));
        let Done::Now(output) = bench.perform(&action).await.unwrap() else { panic!() };
        assert_eq!((&output["user_id"], &output["enabled"]), (&id.as_str().into(), &false.into()));
        assert!(matches!(bench.read_back(&action).await, ReadBack::Reached(_)));
        let mut by_id = with;
        by_id["user"] = id.to_uppercase().into();
        assert!(matches!(bench.observe(&prepare("entra.disable_user", by_id)).await, Observed::AlreadyDone(_)));
        assert_eq!(bench.simulator.effects("user.disabled").len(), 1);
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown_and_a_look_tells_which_it_was() {
        for (kind, is_reached) in [(FaultKind::ApplyThenDrop, true), (FaultKind::DropBeforeApply, false)] {
            let (mut bench, with) = bench().await;
            let action = prepare("entra.disable_user", with);
            bench.observe(&action).await;
            bench.simulator.fault(Fault { method: Some("PATCH".to_owned()), ..Fault::once(kind) });
            assert_eq!(bench.perform(&action).await.unwrap_err().kind, FailureKind::Unknown);
            let seen = bench.read_back(&action).await;
            assert_eq!((matches!(seen, ReadBack::Reached(_)), matches!(seen, ReadBack::CannotTell(_))), (is_reached, !is_reached));
        }
    }

    #[tokio::test]
    async fn an_administrator_that_is_out_of_reach_is_said_so() {
        let (mut bench, with) = bench().await;
        let action = prepare("entra.disable_user", with);
        bench.observe(&action).await;
        let kind = FaultKind::Status { status: 403, body: None, retry_after: None };
        bench.simulator.fault(Fault { method: Some("PATCH".to_owned()), ..Fault::once(kind) });
        let failure = bench.perform(&action).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert!(failure.message.contains("higher role"), "{failure}");
    }

    #[tokio::test]
    async fn who_would_lock_us_out_is_refused_by_every_action_on_users() {
        for name in ["entra.disable_user", "entra.revoke_sessions", "entra.confirm_compromised"] {
            let (mut bench, with) = bench().await;
            bench.enter_tenants(CustomerAccess::Person);
            let mut own = with.clone();
            own["customer_tenant_id"] = bench.simulator.tenant_id().into();
            let failure = prepare(name, own).observe(&bench.ctx()).await.unwrap_err();
            assert!(failure.message.contains("our own tenant"), "{name}: {failure}");
            let someone = "2222abcd-bbbb-4bbb-8bbb-000000000002".to_owned();
            for (id, named) in [(bench.simulator.person_object_id(), "x@y.example"), (someone, "soc_partner.example#EXT#@y.example")] {
                let body = json!({ "id": id, "userPrincipalName": named, "accountEnabled": true });
                let told = FaultKind::Status { status: 200, body: Some(body), retry_after: None };
                bench.simulator.fault(Fault { path: Some("/users/".to_owned()), ..Fault::always(told) });
                let failure = prepare(name, with.clone()).observe(&bench.ctx()).await.unwrap_err();
                assert_eq!(failure.kind, FailureKind::Rejected);
                assert!(failure.message.contains("on whose behalf we act"), "{name}: {failure}");
                bench.simulator.clear_faults();
            }
        }
    }

    #[tokio::test]
    async fn a_path_is_no_user() {
        let (_bench, mut with) = bench().await;
        with["user"] = "a@b/../../x".into();
        assert!(fault("entra.disable_user", with).contains("neither a GUID nor a name"));
    }
}
