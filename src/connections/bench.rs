//! What tests share: a connection to the simulator of Microsoft's services, and a store in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use quell_simulator::{Options, Simulator};

use super::{
    AzureVersions, Connections, CustomerAccess, CustomerId, EntitlementId, Microsoft, MicrosoftConfig, PlanId,
    keep::{Keeper, Kept},
};
use crate::{
    lifecycle::Tasks,
    net::{Net, NetConfig},
    secret::{Secret, Text},
    store::StoreError,
};

/// Keeps in memory, or not at all when it is broken. Remembers how many calls Partner Center had seen when something was kept.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    kept: Mutex<BTreeMap<String, Vec<u8>>>,
    is_broken: AtomicBool,
    watched: Option<Simulator>,
    seen: Mutex<Vec<usize>>,
}

impl Memory {
    pub(crate) fn watching(simulator: &Simulator) -> Arc<Self> {
        Arc::new(Self { watched: Some(simulator.clone()), ..Self::default() })
    }

    pub(crate) fn broken() -> Arc<Self> {
        Arc::new(Self { is_broken: AtomicBool::new(true), ..Self::default() })
    }

    pub(crate) fn mend(&self) {
        self.is_broken.store(false, Ordering::SeqCst);
    }

    pub(crate) fn calls_before_keeping(&self) -> Vec<usize> {
        self.seen.lock().unwrap().clone()
    }
}

impl Keeper for Memory {
    fn kept<'a>(&'a self, name: &'a str) -> Kept<'a, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.kept.lock().unwrap().get(name).cloned()) })
    }

    fn keep<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> Kept<'a, ()> {
        Box::pin(async move {
            if self.is_broken.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable("disk full".to_owned()));
            }
            if let Some(simulator) = &self.watched {
                self.seen.lock().unwrap().push(calls(simulator, "partner-center"));
            }
            self.kept.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
            Ok(())
        })
    }
}

/// A client that may reach the simulator.
pub(crate) fn net() -> Net {
    Net::new(&NetConfig { allow: vec!["127.0.0.1".to_owned()], ..NetConfig::default() }).unwrap()
}

pub(crate) async fn simulator(options: Options) -> Simulator {
    Simulator::start(options).await.unwrap()
}

/// Settings for the simulator; without a refresh token.
pub(crate) fn config(simulator: &Simulator) -> MicrosoftConfig {
    MicrosoftConfig {
        tenant_id: Text(simulator.tenant_id()),
        client_id: Text(simulator.client_id()),
        client_secret: Some(Secret::new(simulator.client_secret())),
        certificate: None,
        refresh_token: None,
        login: false,
        seal_key: None,
        graph_url: Text(simulator.graph_url()),
        graph_version: Text("beta".to_owned()),
        partner_center_url: Text(simulator.partner_center_url()),
        azure_url: Text(simulator.azure_url()),
        azure_versions: AzureVersions::default(),
        customer_access: CustomerAccess::None,
        login_url: Text(simulator.login_url()),
    }
}

pub(crate) fn connect(config: &MicrosoftConfig, keeper: Arc<Memory>) -> Microsoft {
    let keeper: Arc<dyn Keeper> = keeper;
    Microsoft::build("contoso", config, &net(), &keeper, &Tasks::default()).unwrap()
}

/// The simulator as the only connection, named `contoso`.
pub(crate) fn connections(simulator: &Simulator) -> Connections {
    let mut connections = Connections::default();
    connections.insert(connect(&config(simulator), Arc::default()));
    connections
}

/// The same, with access to the customers' tenants.
pub(crate) fn with_access(simulator: &Simulator, customer_access: CustomerAccess) -> Connections {
    let mut connections = Connections::default();
    let refresh_token = Some(Secret::new(simulator.refresh_token()));
    let config = MicrosoftConfig { refresh_token, customer_access, ..config(simulator) };
    connections.insert(connect(&config, Arc::default()));
    connections
}

/// How many requests a service of the simulator has got.
pub(crate) fn calls(simulator: &Simulator, service: &str) -> usize {
    simulator.ledger().iter().filter(|entry| entry.service == service).count()
}

/// The first customer with its plan and the first Azure subscription under it.
pub(crate) fn first(simulator: &Simulator) -> (CustomerId, PlanId, EntitlementId) {
    let customer = simulator.world().remove(0);
    (
        CustomerId::parse(&customer.tenant_id).unwrap(),
        PlanId::parse(&customer.plan.id).unwrap(),
        EntitlementId::parse(&customer.plan.entitlements[0].id).unwrap(),
    )
}
