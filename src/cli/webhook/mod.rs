//! `quell webhook`: where Partner Center sends its events, and whether they arrive.

mod register;
mod test;

use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;

use super::{Desk, Exit, output};
use crate::{
    adapters::{AdapterConfig, Callbacks},
    app::parts::{Ground, Parts},
    bus::embedded::EmbeddedBus,
    connections::{Failure, FailureKind, Microsoft, Registration},
    playbook::Library,
    telemetry::{Metrics, signals::Signals},
};

#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    /// Register the adapter's path at Partner Center, with the events that it takes. Repeating it changes nothing.
    Register(register::Register),
    /// Show what is registered, beside what the adapter takes.
    Show {
        /// Which adapter of type `partner_center_webhook`, if there are several.
        #[arg(long, value_name = "NAME")]
        adapter: Option<String>,
    },
    /// Ask for a test event and wait until it has come all the way; `quell run` must be running.
    Test(test::Test),
}

/// An adapter that takes callbacks, and the connection by which it is registered.
struct Taker<'a> {
    adapter: &'a AdapterConfig,
    callbacks: Callbacks,
    microsoft: Arc<Microsoft>,
}

impl Webhook {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let done = match self {
            Self::Register(register) => register.execute(desk).await,
            Self::Show { adapter } => show(desk, adapter.as_deref()).await,
            Self::Test(test) => test.execute(desk).await,
        };
        done.unwrap_or_else(|exit| exit)
    }
}

impl<'a> Taker<'a> {
    /// The adapter of that name, or the only one.
    fn find(desk: &Desk<'a>, name: Option<&str>) -> Result<Self, Exit> {
        let mut takers = desk.config.adapters.iter().filter_map(|adapter| Some((adapter, adapter.callbacks()?)));
        let found = match name {
            Some(name) => takers.find(|(adapter, _)| adapter.name == name),
            None => takers.next().filter(|_| takers.next().is_none()),
        };
        let (adapter, callbacks) = found.ok_or_else(|| Exit::usage(&unclear(desk, name)))?;
        let ground = Ground {
            store: desk.store.clone(),
            bus: Arc::new(EmbeddedBus::new(desk.store.clone())),
            library: &Library::default(),
            signals: Signals::new(Metrics::new().map_err(|error| Exit::problem(&error.to_string()))?),
            tasks: &desk.tasks,
        };
        let parts = Parts::build(desk.config, &ground).map_err(|faults| Exit::usage(&faults.to_string()))?;
        let microsoft = adapter.connection().and_then(|name| parts.connections.named(name));
        let microsoft = microsoft.ok_or_else(|| Exit::usage(&format!("adapter `{}` has no connection", adapter.name)))?;
        Ok(Self { adapter, callbacks, microsoft })
    }

    /// Whether that address leads to the adapter, as far as can be told from its path: what stands before it is a proxy's matter.
    fn is_at(&self, url: &str) -> bool {
        url.split(['?', '#']).next().is_some_and(|url| url.ends_with(&self.callbacks.path))
    }
}

async fn show(desk: &Desk<'_>, name: Option<&str>) -> Result<Exit, Exit> {
    let taker = Taker::find(desk, name)?;
    let registered = taker.microsoft.webhook().await.map_err(|failure| failed("read the registration", &failure))?;
    let Some(registered) = registered else {
        return Ok(Exit::problem("no webhook is registered at Partner Center; `quell webhook register --url https://…` does it"));
    };
    let missing: Vec<_> = taker.callbacks.events.iter().filter(|event| !registered.has(event)).cloned().collect();
    print(desk, &registered, &missing);
    if !taker.is_at(&registered.url) {
        let path = &taker.callbacks.path;
        return Ok(Exit::problem(&format!("what is registered does not end in `{path}`, where adapter `{}` listens", taker.adapter.name)));
    }
    Ok(if missing.is_empty() { Exit::Done } else { Exit::Problems })
}

fn print(desk: &Desk<'_>, registered: &Registration, missing: &[String]) {
    let Registration { url, events, own_header } = registered;
    if desk.json {
        output::print_json(&json!({"url": url, "events": events, "own_header": own_header, "missing": missing}));
        return;
    }
    let header = own_header.map(|own| if own { "x-ms-signature" } else { "Authorization" }).unwrap_or_default();
    let facts = [("url", url.clone()), ("events", events.join("\n")), ("signature in", header.to_owned()), ("missing", missing.join("\n"))];
    output::print(&output::facts(facts).to_string());
}

/// Why there is no one adapter that is meant.
fn unclear(desk: &Desk<'_>, name: Option<&str>) -> String {
    let takers = desk.config.adapters.iter().filter(|adapter| adapter.callbacks().is_some());
    let known = takers.map(|adapter| format!("`{}`", adapter.name)).collect::<Vec<_>>().join(", ");
    match (name, known.is_empty()) {
        (_, true) => "no adapter of type `partner_center_webhook` is configured; add one under `adapters`".to_owned(),
        (Some(name), false) => format!("adapter `{name}` takes no callbacks of Partner Center; {known} does"),
        (None, false) => format!("several adapters take callbacks of Partner Center; name one with `--adapter`: {known}"),
    }
}

/// Partner Center did not do it.
fn failed(doing: &str, failure: &Failure) -> Exit {
    let message = format!("{doing}: {failure}");
    match failure.kind {
        FailureKind::Rejected | FailureKind::Conflict => Exit::problem(&message),
        FailureKind::NotDone | FailureKind::Unknown => Exit::unreachable(&message),
    }
}
