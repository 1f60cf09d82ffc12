//! A folder of playbooks held to the settings: what `quell check` prints, and what editors show.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::parts::{Ground, Parts, Unusable};
use crate::{
    channels::Channels,
    config::{Config, Fault},
    connections::{ConnectionConfig, CustomerAccess},
    lifecycle::Tasks,
    news::Topic,
    playbook::Library,
    problem::Severity,
};

/// What was found.
#[derive(Debug, Default)]
pub struct Checked {
    /// The playbooks, and what is wrong with their files.
    pub library: Library,
    /// What is wrong with the settings.
    pub faults: Vec<Fault>,
    /// What the settings can be used without, and somebody should look at.
    pub advice: Vec<String>,
    /// The channels of the settings, where these can be used.
    pub channels: Option<Channels>,
}

/// Reads the playbooks of a folder, with other texts for the files that are being edited, and holds them to what the settings give. Nothing is
/// started and nobody is contacted.
pub async fn check(folder: Option<&Path>, edited: BTreeMap<PathBuf, String>, config: Option<&Config>) -> Checked {
    let library = folder.map(|folder| Library::load_edited(folder, edited)).unwrap_or_default();
    let mut checked = Checked { library, ..Checked::default() };
    let Some(config) = config else { return checked };
    checked.advice.extend(untold(config));
    checked.library.check_tables(config.adapters.iter().flat_map(|adapter| adapter.expressions()));
    let guardrails = &config.guardrails;
    let limits: Vec<_> = guardrails.limits.iter().map(|limit| (limit.action.clone(), limit.max, limit.per.0)).collect();
    checked.library.check_guardrails(|action| guardrails.without_approval.iter().any(|it| it.covers(action)), &limits);
    // Playbooks may be checked where the site's settings are not.
    let severity = if config.secrets.is_empty() { Severity::Warning } else { Severity::Error };
    checked.library.check_secrets(|name| config.secrets.find(name).map(drop).map_err(|why| (severity, why)));
    checked.library.check_connections(|name| enters_tenants(config, name));
    match build(config, &checked.library).await {
        Ok(parts) => {
            checked.library.check_channels(|channel| parts.channels.check(channel));
            checked.channels = Some(parts.channels);
        }
        Err(faults) => checked.faults = faults,
    }
    checked
}

/// Whether a step may work inside customers' tenants through that connection, or through any where it names none. That there is no such
/// connection is another matter.
fn enters_tenants(config: &Config, name: Option<&str>) -> Result<(), String> {
    let is_meant = |(known, _): &(&String, &ConnectionConfig)| name.is_none_or(|name| name == known.as_str());
    let mut meant = config.connections.iter().filter(is_meant).peekable();
    let may = |(_, ConnectionConfig::Microsoft(config)): (_, &ConnectionConfig)| config.customer_access != CustomerAccess::None;
    if meant.peek().is_none() || meant.any(may) {
        return Ok(());
    }
    Err(match name {
        Some(name) => format!("the connection `{name}` has no `customer_access`"),
        None => "no connection has `customer_access`".to_owned(),
    })
}

/// What is to be said where nobody is told: where something comes in or can be done, a person should hear of what only a person can settle.
pub fn untold(config: &Config) -> Option<String> {
    let is_at_work = !config.connections.is_empty() || !config.adapters.is_empty();
    let is_told = !config.outlet().told_of(Topic::RunInDoubt).is_empty();
    (is_at_work && !is_told).then(|| {
        "nobody is told when a run waits for a person, because nobody knows whether a step happened: name channels under `telemetry.tell`, \
         e.g. `tell: [{to: [\"slack:secops\"]}]`"
            .to_owned()
    })
}

/// Builds what `quell run` builds, on ground that keeps nothing.
async fn build(config: &Config, library: &Library) -> Result<Parts, Vec<Fault>> {
    let tasks = Tasks::default();
    let ground = Ground::in_memory(library, &tasks).await.map_err(|error| vec![config.source.fault(&[], format!("{error:#}"))])?;
    Parts::build(config, &ground).map_err(|Unusable(faults)| faults)
}
