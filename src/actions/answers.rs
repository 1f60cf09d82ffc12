//! What every action on Microsoft's services takes an answer for, whatever it is. Tests alone.

use quell_simulator::{Fault, FaultKind, Options};
use serde_json::{Value, json};

use super::{
    contract::{Bench, prepare},
    *,
};
use crate::connections::CustomerAccess;

/// Every action that calls one of Microsoft's services, with parameters that would succeed.
fn calls(bench: &Bench) -> Vec<(&'static str, Value)> {
    let ids = bench.ids();
    let (customer, plan, entitlement) = (&ids["customer"], &ids["plan"], &ids["entitlement"]);
    let cloud = bench.simulator.cloud(customer.as_str().unwrap()).unwrap();
    let inside = &cloud.subscriptions[entitlement.as_str().unwrap()];
    let of_customer = json!({ "customer_tenant_id": customer });
    let of_subscription = json!({ "customer_tenant_id": customer, "subscription_id": entitlement });
    let of_entitlement = json!({ "customer_tenant_id": customer, "plan_id": plan, "entitlement_id": entitlement });
    let of_user = json!({ "customer_tenant_id": customer, "user": cloud.users[0].id });
    vec![
        ("subscription.get", of_subscription.clone()),
        ("entitlement.find", of_subscription.clone()),
        ("entitlement.get", of_entitlement.clone()),
        ("entitlement.cancel", of_entitlement),
        ("customer.get", of_customer.clone()),
        ("customer.relationships", of_customer.clone()),
        ("organization.get", json!({})),
        ("budget.get", of_customer.clone()),
        ("budget.set", json!({ "customer_tenant_id": customer, "amount": 250 })),
        ("usage.get", of_customer),
        ("alert.get", json!({})),
        ("alert.update_status", json!({ "status": "investigating" })),
        ("alerts.query", json!({})),
        ("alerts.count", json!({})),
        ("azure.activity_log", of_subscription.clone()),
        ("azure.virtual_machines", of_subscription.clone()),
        ("azure.deallocate_vm", json!({ "customer_tenant_id": customer, "vm_id": inside.machines[0].id })),
        ("azure.role_assignments", of_subscription.clone()),
        ("azure.delete_role_assignment", json!({ "customer_tenant_id": customer, "assignment_id": inside.assignments[2].id })),
        ("azure.unattached_disks", of_subscription),
        ("entra.disable_user", of_user.clone()),
        ("entra.revoke_sessions", of_user.clone()),
        ("entra.confirm_compromised", of_user),
    ]
}

/// What may come in the place of an answer, and what it says of the outside.
fn answers() -> Vec<(FaultKind, FailureKind)> {
    use FailureKind::{NotDone, Rejected, Unknown};
    let status = |status, retry_after: Option<&str>| FaultKind::Status { status, body: None, retry_after: retry_after.map(str::to_owned) };
    let date = "Wed, 21 Oct 2026 07:28:00 GMT";
    vec![
        (status(400, None), Rejected),
        (status(403, None), Rejected),
        (status(429, None), NotDone),
        (status(429, Some("7")), NotDone),
        (status(429, Some("2.128")), NotDone),
        (status(429, Some(date)), NotDone),
        (status(429, Some("soon")), NotDone),
        (status(500, None), Unknown),
        (status(503, None), Unknown),
        (status(503, Some("7")), NotDone),
        (status(504, None), Unknown),
        (FaultKind::Html { status: 200 }, Unknown),
        (FaultKind::Html { status: 502 }, Unknown),
        (FaultKind::Redirect { location: "https://attacker.example/".to_owned() }, Rejected),
        (FaultKind::DropBeforeApply, Unknown),
        (FaultKind::Huge { bytes: 20_000_000 }, Unknown),
    ]
}

/// From now on that comes from every service but the sign-in, in the place of an answer to these methods.
fn inject(bench: &Bench, kind: &FaultKind, methods: &[&str]) {
    for service in ["graph", "partner-center", "azure"] {
        for method in methods {
            let (service, method) = (Some(service.to_owned()), Some((*method).to_owned()));
            bench.simulator.fault(Fault { service, method, ..Fault::always(kind.clone()) });
        }
    }
}

async fn bench() -> Bench {
    let mut bench = Bench::new(Options::default()).await;
    bench.enter_tenants(CustomerAccess::Person);
    bench
}

fn looks_first(action: &Prepared) -> bool {
    matches!(action.class(), Class::Keyed | Class::Verified)
}

/// The first call of an action: its look where it has one.
async fn begin(bench: &Bench, action: &Prepared) -> Result<(), Failure> {
    let ctx = bench.ctx();
    if looks_first(action) { action.observe(&ctx).await.map(drop) } else { action.perform(&ctx).await.map(drop) }
}

#[tokio::test]
async fn no_action_takes_another_answer_for_a_success_when_it_reads() {
    let bench = bench().await;
    for (kind, expected) in answers() {
        inject(&bench, &kind, &["GET"]);
        for (name, with) in calls(&bench) {
            // Graph may refuse a filter, so a 400 is followed by a read without; both are refused here.
            let failure = begin(&bench, &prepare(name, with)).await.unwrap_err();
            assert_eq!(failure.kind, expected, "{name}: {kind:?}: {failure}");
        }
        bench.simulator.clear_faults();
    }
}

#[tokio::test]
async fn no_action_takes_another_answer_for_a_success_when_it_writes() {
    for (kind, expected) in answers() {
        let mut bench = bench().await;
        for (name, with) in calls(&bench) {
            let action = prepare(name, with);
            if action.class() == Class::Read {
                continue;
            }
            if looks_first(&action) {
                bench.observe(&action).await;
            }
            inject(&bench, &kind, &["POST", "PATCH", "DELETE"]);
            let failure = bench.perform(&action).await.unwrap_err();
            assert_eq!(failure.kind, expected, "{name}: {kind:?}: {failure}");
            bench.simulator.clear_faults();
        }
        let applied = bench.simulator.ledger().into_iter().filter(|it| it.applied && it.service != "login").count();
        assert_eq!(applied, 0, "{kind:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_renewed_once_and_a_missing_second_factor_is_told_to_a_person() {
    let bench = bench().await;
    let refused = |body: Option<Value>| FaultKind::Status { status: 401, body, retry_after: None };
    for (name, with) in calls(&bench) {
        let action = prepare(name, with);
        bench.simulator.fault(Fault { method: Some("GET".to_owned()), ..Fault::once(refused(None)) });
        begin(&bench, &action).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        bench.simulator.clear_faults();
    }
    let bench = self::bench().await;
    for (name, with) in calls(&bench) {
        let lacking = refused(Some("Unauthorized - MFA required".into()));
        inject(&bench, &lacking, &["GET", "POST", "PATCH", "DELETE"]);
        let before = bench.simulator.counts().requests - bench.simulator.counts().tokens;
        let failure = begin(&bench, &prepare(name, with)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected, "{name}");
        assert!(failure.message.contains("a person must consent again"), "{name}: {failure}");
        let after = bench.simulator.counts().requests - bench.simulator.counts().tokens;
        assert_eq!(after - before, 1, "{name}: it was tried again");
        bench.simulator.clear_faults();
    }
}
