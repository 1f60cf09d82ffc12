//! What the settings name, built, with everything that is wrong told at once. The program and `quell check` both come through here,
//! so that what one accepts the other does not refuse. Nothing is started and nobody is contacted.

use std::sync::Arc;

use crate::{
    adapters::{self, Adapter, Surroundings},
    bus::{Bus, embedded::EmbeddedBus},
    channels::{ChannelError, Channels},
    config::{Config, Fault, sentences},
    connections::{ConnectionError, Connections},
    lifecycle::Tasks,
    net::{Net, NetConfig},
    playbook::Library,
    store::{self, Store, StoreError},
    telemetry::{Metrics, logs, signals::Signals},
};

/// What the settings name.
#[derive(Debug)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Parts {
    pub net: Net,
    pub connections: Connections,
    pub channels: Channels,
    pub adapters: Vec<Adapter>,
}

/// What parts are built on.
#[expect(missing_docs, reason = "the types say it")]
pub struct Ground<'a> {
    pub store: Store,
    pub bus: Arc<dyn Bus>,
    pub library: &'a Library,
    pub signals: Signals,
    pub tasks: &'a Tasks,
}

/// The settings cannot be used as they are; all that is wrong with them.
#[derive(Debug, thiserror::Error)]
#[error("{}", sentences(.0))]
pub struct Unusable(pub Vec<Fault>);

/// A database that is gone with the process.
const IN_MEMORY: &str = "sqlite::memory:";

impl<'a> Ground<'a> {
    /// Ground to try settings on: it keeps nothing and reaches nothing.
    ///
    /// # Errors
    /// Never, unless memory has run out.
    pub async fn in_memory(library: &'a Library, tasks: &'a Tasks) -> anyhow::Result<Self> {
        let store = Store::open(IN_MEMORY, tasks, None).await?;
        let bus = Arc::new(EmbeddedBus::new(store.clone()));
        Ok(Self { store, bus, library, signals: Signals::new(Metrics::new()?), tasks })
    }
}

impl Parts {
    /// Builds every part.
    ///
    /// # Errors
    /// Everything that is wrong, but for what cannot be judged before something else is put right.
    pub fn build(config: &Config, ground: &Ground<'_>) -> Result<Self, Unusable> {
        let mut faults = faults_alone(config);
        let fault = |setting: &[&str], message: String| config.source.fault(setting, message);
        let net = Net::new(&config.net).or_else(|error| {
            faults.push(fault(&["net"], format!("`net`: {error}")));
            Net::new(&NetConfig::default())
        });
        let net = net.map_err(|error| Unusable(vec![fault(&["net"], error.to_string())]))?;
        let channels = Channels::build(&config.channels, &net);
        let of_channel = |error: &ChannelError| fault(&["channels", &error.name], error.to_string());
        let channels = channels.map_err(|errors| faults.extend(errors.iter().map(of_channel))).ok();
        let told = |channels: &Channels| {
            let told = config.telemetry.tell.iter().flat_map(|tell| &tell.to).map(|channel| ("telemetry.tell", channel));
            let each = told.chain(config.approvals.channels.iter().map(|channel| ("approvals.channels", channel)));
            let unknown =
                |(setting, channel): (&str, &String)| Some(fault(&[], format!("`{setting}`: {}", channels.check(channel).err()?)));
            each.filter_map(unknown).collect::<Vec<_>>()
        };
        faults.extend(channels.as_ref().map(told).unwrap_or_default());
        let connections = connect(config, &net, ground).map_err(|errors| faults.extend(errors)).ok();
        let around = Surroundings {
            bus: Arc::clone(&ground.bus),
            store: ground.store.clone(),
            connections: connections.clone().unwrap_or_default(),
            net: net.clone(),
            sandbox: ground.library.sandbox.clone(),
            signals: ground.signals.clone(),
        };
        // Without the connections nothing can be said of who reads through them.
        let told = |adapter: &&adapters::AdapterConfig| connections.is_some() || adapter.connection().is_none();
        let adapters = adapters::build(config.adapters.iter().filter(told), &around);
        let adapters =
            adapters.map_err(|errors| faults.extend(errors.iter().map(|error| fault(&["adapters", &error.name], error.to_string())))).ok();
        match (connections, channels, adapters) {
            (Some(connections), Some(channels), Some(adapters)) if faults.is_empty() => Ok(Self { net, connections, channels, adapters }),
            (_, _, _) => Err(Unusable(faults)),
        }
    }
}

/// What is wrong with settings that stand for themselves.
pub(super) fn faults_alone(config: &Config) -> Vec<Fault> {
    let store = store::file_of(config.store.url.expose()).map_err(|error: StoreError| error.to_string());
    let log = logs::check(&config.telemetry.log).map_err(|error| format!("`telemetry.log`: {error}"));
    let all = config.bus.faults().into_iter().chain(store.err()).chain(log.err()).chain(config.web.fault()).chain(faults_of_people(config));
    all.map(|message| config.source.fault(&[], message)).collect()
}

/// A question that nobody can answer would stop what it asks about for ever.
fn faults_of_people(config: &Config) -> Vec<String> {
    let mut faults = config.users.faults();
    faults.extend(config.approvals.fault());
    let groups: Vec<_> = config.approvals.groups.iter().map(String::as_str).collect();
    let able = config.users.approvers(&groups);
    let wanted = usize::try_from(config.approvals.quorum).unwrap_or(usize::MAX);
    if config.approvals.asks() && able.len() < wanted {
        faults.push(format!(
            "`approvals` wants {wanted} of {}, and {} of `users` may answer: add users with one of these `groups` and the `role` approver",
            groups.join(", "),
            able.len()
        ));
    }
    faults
}

/// The connections alone, for who needs nothing else.
///
/// # Errors
/// Everything that is wrong with them.
pub fn connections(config: &Config, store: &Store, tasks: &Tasks) -> Result<Connections, Unusable> {
    let net = Net::new(&config.net).map_err(|error| Unusable(vec![config.source.fault(&["net"], format!("`net`: {error}"))]))?;
    let connections = Connections::build(&config.connections, &net, store, tasks);
    let of_connection = |error: &ConnectionError| config.source.fault(&["connections", &error.name], error.to_string());
    connections.map_err(|errors| Unusable(errors.iter().map(of_connection).collect()))
}

fn connect(config: &Config, net: &Net, ground: &Ground<'_>) -> Result<Connections, Vec<Fault>> {
    let connections = Connections::build(&config.connections, net, &ground.store, ground.tasks);
    let of_connection = |error: &ConnectionError| config.source.fault(&["connections", &error.name], error.to_string());
    let mut connections = connections.map_err(|errors| errors.iter().map(of_connection).collect::<Vec<_>>())?;
    let mut faults = Vec::new();
    for adapter in &config.adapters {
        // A name that is not there is told when the adapter is built.
        if let Some(connection) = adapter.connection().filter(|name| connections.named(name).is_some())
            && let Err(error) = connections.assign(&adapter.source, connection)
        {
            faults.push(config.source.fault(&["adapters", &adapter.name], format!("adapter `{}`: {error}", adapter.name)));
        }
    }
    if faults.is_empty() { Ok(connections) } else { Err(faults) }
}
