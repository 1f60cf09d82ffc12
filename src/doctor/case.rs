//! What is looked at: the settings and what they name, as far as it could be built, and what is needed of Microsoft for it.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    app::parts::{Ground, Parts, Unusable},
    bus::embedded::EmbeddedBus,
    channels::Channels,
    config::{Config, Fault},
    connections::{ConnectionConfig, Connections, CustomerId, Microsoft, MicrosoftConfig, Probed, Question},
    lifecycle::Tasks,
    playbook::{Body, Library, Step},
    run::Mode,
    store::{self, Examined, Store, StoreError},
    telemetry::{Metrics, signals::Signals},
};

/// A case for the doctor.
pub struct Case<'a> {
    pub(super) config: &'a Config,
    pub(super) now: Timestamp,
    pub(super) examined: Result<Examined, StoreError>,
    /// The journal, if it is there and of this version.
    pub(super) store: Option<Store>,
    pub(super) library: Library,
    /// What the settings name, if all of it could be built.
    pub(super) built: Result<Built, Vec<Fault>>,
    /// The names of the actions in the playbooks that are not disabled.
    pub(super) actions: BTreeSet<&'static str>,
    /// Whether somebody asked for a message through each channel.
    pub(super) sends_test: bool,
}

/// What could be built.
pub(super) struct Built {
    pub(super) connections: Connections,
    pub(super) channels: Channels,
}

/// A connection with its settings.
pub(super) struct Connected<'a> {
    pub(super) name: &'a str,
    pub(super) config: &'a MicrosoftConfig,
    pub(super) microsoft: Arc<Microsoft>,
}

/// A database that is gone with the process.
const IN_MEMORY: &str = "sqlite::memory:";

impl<'a> Case<'a> {
    /// Reads what is there. The journal is opened if that changes nothing; else what must be kept is kept in memory, which loses nothing:
    /// a refresh token stays good after its use.
    ///
    /// # Errors
    /// Never, unless memory has run out.
    pub async fn prepare(config: &'a Config, tasks: &Tasks, sends_test: bool) -> anyhow::Result<Self> {
        let mut examined = store::examine(&config.store).await;
        let mut store = None;
        if matches!(examined, Ok(Examined::Current)) {
            match Store::open(&config.store, tasks, None).await {
                Ok(opened) => store = Some(opened),
                Err(error) => examined = Err(error),
            }
        }
        let library = Library::load(&config.playbooks);
        let journal = match &store {
            Some(store) => store.clone(),
            None => Store::open(IN_MEMORY, tasks, None).await?,
        };
        let bus = Arc::new(EmbeddedBus::new(journal.clone()));
        let ground = Ground { store: journal, bus, library: &library, signals: Signals::new(Metrics::new()?), tasks };
        let built = Parts::build(config, &ground);
        let built =
            built.map(|parts| Built { connections: parts.connections, channels: parts.channels }).map_err(|Unusable(faults)| faults);
        let actions = actions(&library);
        Ok(Self { config, now: Timestamp::now(), examined, store, library, built, actions, sends_test })
    }

    /// Every connection, if the settings can be used.
    pub(super) fn connections(&self) -> Vec<Connected<'_>> {
        let Ok(built) = &self.built else { return Vec::new() };
        let named = |(name, config): (&'a String, &'a ConnectionConfig)| {
            let ConnectionConfig::Microsoft(config) = config;
            Some(Connected { name, config, microsoft: built.connections.named(name)? })
        };
        self.config.connections.iter().filter_map(named).collect()
    }

    /// Whether an adapter of one of these types reads through the connection.
    pub(super) fn has_adapter(&self, connection: &str, types: &[&str]) -> bool {
        let mut adapters = self.config.adapters.iter();
        adapters.any(|adapter| adapter.connection() == Some(connection) && types.contains(&adapter.entry.name))
    }

    /// Whether a playbook has one of these actions.
    pub(super) fn has_action(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.actions.contains(name))
    }
}

impl Connected<'_> {
    /// Whether it works for a person in Partner Center.
    pub(super) fn is_for_person(&self) -> bool {
        self.config.login || self.config.refresh_token.is_some()
    }

    /// One of the partner's customers, if Partner Center names any.
    pub(super) async fn a_customer(&self) -> Option<CustomerId> {
        let Probed::Answered(answer) = self.microsoft.probe(Question::Customers).await else { return None };
        let id = answer.body.get("items")?.get(0)?.get("id").and_then(Value::as_str)?;
        CustomerId::parse(id).ok()
    }
}

fn actions(library: &Library) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for playbook in library.playbooks.iter().filter(|playbook| playbook.mode != Mode::Disabled) {
        collect(playbook.steps.iter().chain(&playbook.on_error), &mut found);
    }
    found
}

fn collect<'s>(steps: impl IntoIterator<Item = &'s Step>, found: &mut BTreeSet<&'static str>) {
    for step in steps {
        match &step.body {
            Body::Action { entry, .. } => drop(found.insert(entry.name)),
            Body::Switch { cases, otherwise } => {
                for case in cases {
                    collect(&case.steps, found);
                }
                collect(otherwise, found);
            }
            Body::Foreach { steps, .. } => collect(steps, found),
            Body::Parallel { branches, .. } => {
                for (_, steps) in branches {
                    collect(steps, found);
                }
            }
            Body::Stop { .. } | Body::Script(_) | Body::Wait(_) | Body::Call { .. } | Body::Approval(_) => {}
        }
        if let Some(rollback) = &step.rollback {
            collect([rollback.step.as_ref()], found);
        }
    }
}
