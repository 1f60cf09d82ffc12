//! Every block of settings that a document shows can be used: it is read, and everything that it names is built. Only the poll is started.

use std::{fs, path::Path, sync::Arc, time::Duration};

use axum::{Json, Router, routing::get};
use quell::{
    adapters::Adapter,
    alert::Alert,
    app::parts::{Ground, Parts},
    bus::{Bus, embedded::EmbeddedBus},
    config::Config,
    lifecycle::Tasks,
    playbook::Library,
    store::Store,
    telemetry::{Metrics, signals::Signals},
};
use regex::Regex;
use serde_json::json;

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

#[tokio::test]
async fn the_poll_that_readme_shows_makes_an_alert_of_each_item() {
    let answer = json!({"value": [
        {"number": 7, "category": "Intrusion", "opened": "2026-03-02T04:11:09Z"},
        {"number": 8, "category": "phishing", "opened": "2026-03-02T05:00:00Z"},
    ]});
    let feed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", feed.local_addr().unwrap());
    let tasks = Tasks::default();
    drop(tasks.spawn("feed", async move { axum::serve(feed, Router::new().route("/incidents", get(async || Json(answer)))).await }));

    let shown = blocks(&text("README.md")).into_iter().find(|block| block.text.contains("type: poll")).unwrap().text;
    let here = shown.replace("https://feed.example", &address);
    assert_ne!(here, shown, "README polls another address");
    let built = build(&format!("{here}net: {{allow: [127.0.0.1]}}\n")).await.unwrap();
    let poll = built.adapters.into_iter().find_map(|adapter| adapter.task).unwrap();
    let mut consumer = built.bus.consume().await.unwrap();
    drop(tasks.spawn("poll", poll.run(tasks.stop())));
    let taken = tokio::time::timeout(Duration::from_secs(10), consumer.next(10)).await.unwrap().unwrap();
    let alerts: Vec<_> = taken.iter().map(|it| Alert::from_event(&it.body).unwrap()).collect();
    let shown: Vec<_> = alerts.iter().map(|it| (it.source.as_str(), it.id.as_str(), it.kind.as_str())).collect();
    assert_eq!(shown, [("feed", "7", "intrusion"), ("feed", "8", "phishing")]);
}

/// What settings give; its folder is there as long as this is.
struct Built {
    adapters: Vec<Adapter>,
    bus: Arc<dyn Bus>,
    _folder: tempfile::TempDir,
}

async fn build(settings: &str) -> anyhow::Result<Built> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = tempfile::tempdir()?;
    let config = Config::parse(&with_values(settings, folder.path()), "README.md", std::iter::empty())?;
    let (library, tasks) = (Library::default(), Tasks::default());
    let store = Store::open(&format!("sqlite:{}", folder.path().join("quell.db").display()), &tasks, None).await?;
    let bus = Arc::new(EmbeddedBus::new(store.clone()));
    let ground = Ground { store, bus, library: &library, signals: Signals::new(Metrics::new()?), tasks: &tasks };
    let built = Parts::build(&config, &ground)?;
    anyhow::ensure!(built.adapters.len() == config.adapters.len() && built.channels.names().count() >= config.channels.len());
    Ok(Built { adapters: built.adapters, bus: ground.bus, _folder: folder })
}

/// The settings with a reference to a file with a value in the place of each reference to the environment.
fn with_values(settings: &str, folder: &Path) -> String {
    let reference = Regex::new(r"\$\{env:([A-Z_]+)\}").unwrap();
    let value = |name: &str| match name {
        "TENANT_ID" | "CLIENT_ID" => "77777777-0000-4000-8000-000000000007".to_owned(),
        name if name.ends_with("_URL") => format!("https://{}.example/x", name.trim_end_matches("_URL").to_lowercase()),
        name => name.to_lowercase().replace('_', "-"),
    };
    let file = |found: &regex::Captures<'_>| {
        let path = folder.join(&found[1]);
        fs::write(&path, value(&found[1])).unwrap();
        format!("${{file:{}}}", path.display())
    };
    reference.replace_all(settings, file).into_owned()
}
