//! What every action keeps to, and how tests of single actions reach the simulator.

use std::collections::{BTreeMap, BTreeSet};

use quell_simulator::{AlertSeed, Options, Simulator};
use serde_json::json;

use super::*;
use crate::connections::{CustomerAccess, bench};

/// A run on an alert of the simulator.
pub(super) struct Bench {
    pub(super) simulator: Simulator,
    pub(super) services: Services,
    pub(super) alert: Alert,
    pub(super) precondition: Value,
    accepted: Value,
    run: RunId,
}

impl Bench {
    pub(super) async fn new(options: Options) -> Self {
        let simulator = bench::simulator(options).await;
        let net = bench::net();
        let slack = json!({ "url": format!("{}/secops", simulator.slack_url()) });
        let channels = Channels::build(&BTreeMap::from([("slack:secops".to_owned(), slack)]), &net).unwrap();
        let services = Services {
            connections: bench::connections(&simulator),
            net,
            channels,
            postbox: Postbox::default(),
            secrets: Secrets::default(),
        };
        let id = simulator.add_alert(AlertSeed::default());
        let time = "2026-03-02T04:11:09Z";
        let alert =
            json!({ "id": id, "source": "graph", "kind": "crypto_mining", "title": "Mining", "detected_at": time, "received_at": time });
        let alert = serde_json::from_value(alert).unwrap();
        Self { simulator, services, alert, precondition: Value::Null, accepted: Value::Null, run: RunId::new() }
    }

    /// From now on with a person's consent.
    pub(super) fn act_for_a_person(&mut self) {
        self.enter_tenants(CustomerAccess::None);
    }

    /// From now on with a person's consent, and with that access to the customers' tenants.
    pub(super) fn enter_tenants(&mut self, access: CustomerAccess) {
        self.services.connections = bench::with_access(&self.simulator, access);
    }

    pub(super) fn ctx(&self) -> Context<'_> {
        Context {
            run: &self.run,
            playbook: "contain",
            step: "it",
            alert: Some(&self.alert),
            request_id: self.run.request_id("it"),
            precondition: &self.precondition,
            accepted: &self.accepted,
            services: &self.services,
        }
    }

    /// Looks at the target, and remembers what was seen as the engine does.
    pub(super) async fn observe(&mut self, action: &Prepared) -> Observed {
        let observed = action.observe(&self.ctx()).await.unwrap();
        if let Observed::Ready(seen) = &observed {
            self.precondition = seen.clone();
        }
        observed
    }

    pub(super) async fn perform(&self, action: &Prepared) -> Result<Done, Failure> {
        action.perform(&self.ctx()).await
    }

    /// Does it, and remembers what it was accepted with as the engine does.
    pub(super) async fn accept(&mut self, action: &Prepared) -> Value {
        match self.perform(action).await.unwrap() {
            Done::Accepted(output) => self.accepted = output,
            Done::Now(output) | Done::Found(output) => panic!("{output}"),
        }
        self.accepted.clone()
    }

    pub(super) async fn read_back(&self, action: &Prepared) -> ReadBack {
        action.read_back(&self.ctx()).await.unwrap()
    }

    /// The first Azure subscription of the first customer, as the parameters of what looks into it.
    pub(super) fn subscription(&self) -> Value {
        let ids = self.ids();
        json!({ "customer_tenant_id": ids["customer"], "subscription_id": ids["entitlement"] })
    }

    /// The first customer, its plan and the first Azure subscription under it, as parameters.
    pub(super) fn ids(&self) -> Value {
        let (customer, plan, entitlement) = bench::first(&self.simulator);
        json!({ "customer": customer, "plan": plan, "entitlement": entitlement })
    }
}

pub(super) fn prepare(name: &str, with: Value) -> Prepared {
    find(name).unwrap().prepare(with).unwrap()
}

pub(super) fn fault(name: &str, with: Value) -> String {
    match find(name).unwrap().prepare(with) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

fn example(entry: &Entry) -> Value {
    serde_json::from_str(entry.example).unwrap()
}

#[test]
fn every_example_is_accepted() {
    for entry in CATALOG {
        assert!(entry.prepare(example(entry)).is_ok(), "{}", entry.name);
    }
}

#[test]
fn no_two_actions_share_a_name() {
    let names: BTreeSet<_> = CATALOG.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), CATALOG.len());
}

#[test]
fn an_unknown_parameter_is_refused_and_named() {
    for entry in CATALOG {
        let mut with = example(entry);
        with["mesage"] = 1.into();
        assert!(fault(entry.name, with).contains("`mesage`"), "{}", entry.name);
    }
}

#[test]
fn every_parameter_says_what_it_is() {
    for entry in CATALOG {
        let schema = entry.schema().to_value();
        assert_eq!(schema["additionalProperties"], false, "{}", entry.name);
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}: {name}", entry.name);
        }
    }
}

#[tokio::test]
async fn what_can_stop_a_business_is_never_repeated_blindly_and_names_its_target() {
    let bench = Bench::new(Options::default()).await;
    for entry in CATALOG.iter().filter(|entry| entry.destructive) {
        let action = entry.prepare(example(entry)).unwrap();
        assert!(matches!(entry.class, Class::Keyed | Class::Verified | Class::Unsafe), "{}", entry.name);
        assert!(action.target(&bench.ctx()).is_some(), "{}", entry.name);
    }
}

#[tokio::test]
async fn without_a_connection_the_reason_is_clear() {
    let mut bench = Bench::new(Options::default()).await;
    bench.services.connections = Connections::default();
    let failure = bench.perform(&prepare("alert.update_status", json!({ "status": "investigating" }))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert!(failure.message.contains("add one under `connections`"), "{failure}");
}
