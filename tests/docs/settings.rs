//! Every block of settings that a document shows can be used: it is read, and everything that it names is built. Nothing is started.

use std::sync::Arc;

use quell::{
    adapters::{self, Surroundings},
    bus::embedded::EmbeddedBus,
    channels::Channels,
    config::Config,
    connections::Connections,
    expression::Sandbox,
    lifecycle::Tasks,
    net::Net,
    store::Store,
    telemetry::{Metrics, signals::Signals},
};
use regex::Regex;

use crate::{markdown::blocks, text};

#[tokio::test]
async fn every_block_of_settings_can_be_used() {
    let readme = blocks(&text("README.md"));
    let shown = readme.iter().filter(|block| block.language == "yaml" && block.file().is_none()).map(|block| block.text.clone());
    let all: Vec<String> = shown.chain([text("deploy/quell.yaml")]).collect();
    assert!(all.len() > 3, "README shows settings");
    for settings in all {
        build(&settings).await.unwrap_or_else(|error| panic!("{error:#}:\n{settings}"));
    }
}

async fn build(settings: &str) -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let config = Config::parse(&with_values(settings), "README.md", std::iter::empty())?;
    let folder = tempfile::tempdir()?;
    let tasks = Tasks::default();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("quell.db").display()), &tasks, None).await?;
    let net = Net::new(&config.net)?;
    let mut connections = Connections::build(&config.connections, &net, &store)?;
    for adapter in &config.adapters {
        if let Some(connection) = adapter.connection() {
            connections.assign(&adapter.source, connection)?;
        }
    }
    let channels = Channels::build(&config.channels, &net)?;
    let around = Surroundings {
        bus: Arc::new(EmbeddedBus::new(store.clone())),
        store,
        connections,
        net,
        sandbox: Sandbox::new(),
        signals: Signals::new(Metrics::new()?),
    };
    let built = adapters::build(&config.adapters, &around)?;
    anyhow::ensure!(built.len() == config.adapters.len() && channels.names().count() > config.channels.len().saturating_sub(1));
    Ok(())
}

/// The settings with a value in the place of each reference to the environment.
fn with_values(settings: &str) -> String {
    let reference = Regex::new(r"\$\{env:([A-Z_]+)\}").unwrap();
    let value = |found: &regex::Captures<'_>| match &found[1] {
        "TENANT_ID" | "CLIENT_ID" => "77777777-0000-4000-8000-000000000007".to_owned(),
        name if name.ends_with("_URL") => format!("https://{}.example/x", name.trim_end_matches("_URL").to_lowercase()),
        name => name.to_lowercase().replace('_', "-"),
    };
    reference.replace_all(settings, value).into_owned()
}
