//! Adapters: they turn what a source says into alerts on the bus. One file for each, each listed in [`CATALOG`].
//!
//! A member knows one source: how a request is checked and read ([`hook`]), or how a page is fetched ([`task`]), or
//! what a connection brings ([`feed`]). What is common
//! is not in it: normalising and publishing ([`inlet`]), limits and answers ([`hook`]), pace, backoff and cursors ([`task`]).

mod amqp;
mod audit_records;
mod feed;
mod fraud_events;
mod graph_alerts;
mod hook;
mod inlet;
mod mapping;
mod microsoft;
mod partner_center_webhook;
mod poll;
mod review;
mod seen;
mod settings;
mod task;
#[cfg(test)]
pub(crate) mod testing;
mod usage_thresholds;
mod webhook;

use std::{collections::BTreeSet, fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use self::{
    feed::Feed,
    hook::{Hook, Refusal},
    microsoft::kinds,
    task::Task,
};
use self::{inlet::Inlet, settings::checked_name};
use crate::{
    bus::Bus, connections::Connections, expression::Sandbox, net::Net, problem::nearest, store::Store, telemetry::signals::Signals,
};

/// Every type of adapter, in the order that help prints them.
pub const CATALOG: &[Entry] = &[
    Entry::of::<partner_center_webhook::PartnerCenterWebhook>(),
    Entry::of::<graph_alerts::GraphAlerts>(),
    Entry::of::<fraud_events::FraudEvents>(),
    Entry::of::<audit_records::AuditRecords>(),
    Entry::of::<usage_thresholds::UsageThresholds>(),
    Entry::of::<webhook::Webhook>(),
    Entry::of::<poll::Poll>(),
    Entry::of::<amqp::Amqp>(),
];

/// One type of adapter. The implementing type is its settings, as written in `quell.yaml`.
trait Member: DeserializeOwned + JsonSchema + fmt::Debug + Send + Sync + 'static {
    /// The word under `type:`.
    const TYPE: &'static str;
    /// One line of help.
    const SUMMARY: &'static str;
    /// Settings that a test checks to be accepted, as JSON.
    const EXAMPLE: &'static str;

    /// The connection that it reads through, if it does.
    fn connection(&self) -> Option<&str> {
        None
    }

    /// What of Partner Center's events it takes, and where, if it does.
    fn callbacks(&self) -> Option<Callbacks> {
        None
    }

    /// The expressions that it makes alerts with.
    fn expressions(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Makes it from its settings. May fail, starts nothing.
    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part>;
}

/// What a member is made of.
enum Part {
    /// It waits for requests.
    Hook(Hook),
    /// It fetches.
    Task(Task),
    /// It is sent messages over a connection of its own.
    Feed(Feed),
}

/// What an adapter wants to be told by Partner Center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callbacks {
    /// The path at which it listens.
    pub path: String,
    /// The names of the events.
    pub events: Vec<String>,
}

/// What adapters need of the program around them.
#[derive(Clone)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Surroundings {
    pub bus: Arc<dyn Bus>,
    pub store: Store,
    pub connections: Connections,
    pub net: Net,
    pub sandbox: Sandbox,
    pub signals: Signals,
}

/// The settings of one adapter. Reading them finds every misspelt name; building finds what only the surroundings know.
#[derive(Debug, Clone)]
pub struct AdapterConfig {
    /// What it is called in alerts, metrics and logs.
    pub name: String,
    /// Its line of the catalog.
    pub entry: &'static Entry,
    /// The source that its alerts name: its own name unless set. Two adapters that share a source share its alerts.
    pub source: String,
    member: Arc<dyn Build>,
}

/// An adapter, ready to be mounted or run.
#[derive(Debug)]
pub struct Adapter {
    /// What it is called.
    pub name: String,
    /// Answers requests, if it is a webhook.
    pub hook: Option<Hook>,
    /// Fetches, if it is a poll.
    pub task: Option<Task>,
    /// Receives, if it is sent messages.
    pub feed: Option<Feed>,
}

/// An adapter cannot be used as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("adapter `{name}`: {why}")]
#[expect(missing_docs, reason = "the names say it")]
pub struct AdapterError {
    pub name: String,
    pub why: String,
}

/// Makes every adapter; starts nothing.
///
/// # Errors
/// For each adapter that cannot be made: its name, the setting and what to do.
pub fn build<'a>(configs: impl IntoIterator<Item = &'a AdapterConfig>, around: &Surroundings) -> Result<Vec<Adapter>, Vec<AdapterError>> {
    let mut taken = Taken::default();
    let (mut adapters, mut errors) = (Vec::new(), Vec::new());
    for config in configs {
        match config.build(around, &mut taken) {
            Ok(adapter) => adapters.push(adapter),
            Err(error) => errors.push(AdapterError { name: config.name.clone(), why: format!("{error:#}") }),
        }
    }
    if errors.is_empty() { Ok(adapters) } else { Err(errors) }
}

/// What adapters have that no other may have.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    paths: BTreeSet<String>,
}

impl<'de> Deserialize<'de> for AdapterConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let settings = Map::deserialize(deserializer)?;
        Self::read(settings).map_err(serde::de::Error::custom)
    }
}

impl AdapterConfig {
    fn read(mut settings: Map<String, Value>) -> Result<Self, String> {
        let mut text = |key: &str| match settings.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("an adapter's `{key}` is a text, not `{other}`")),
        };
        let name = text("name")?.ok_or("an adapter has no `name`; it is what alerts and metrics call it")?;
        let name = checked_name(name).map_err(|fault| format!("adapter `name`: {fault}"))?;
        let of_this = |fault: String| format!("adapter `{name}`: {fault}");
        let kind = text("type").map_err(of_this)?.ok_or_else(|| of_this(format!("has no `type`; it is one of {}", known_types())))?;
        let source = text("source")?.map(checked_name).transpose().map_err(|fault| of_this(format!("`source`: {fault}")))?;
        let entry = find(&kind).ok_or_else(|| of_this(unknown_type(&kind)))?;
        let member = (entry.prepare)(Value::Object(settings)).map_err(|error| of_this(error.to_string()))?;
        let source = source.unwrap_or_else(|| name.clone());
        Ok(Self { name, entry, source, member })
    }

    fn build(&self, around: &Surroundings, taken: &mut Taken) -> anyhow::Result<Adapter> {
        let name = self.name.clone();
        anyhow::ensure!(taken.names.insert(name.clone()), "`name` is taken by an adapter before it; names are unique");
        let mut adapter = Adapter { name: name.clone(), hook: None, task: None, feed: None };
        match self.member.build(Inlet::new(&name, &self.source, around), around)? {
            Part::Hook(hook) => {
                let fresh = taken.paths.insert(hook.path.clone());
                anyhow::ensure!(fresh, "`path` is taken by an adapter before it; each webhook needs its own");
                adapter.hook = Some(hook);
            }
            Part::Task(task) => adapter.task = Some(task),
            Part::Feed(feed) => adapter.feed = Some(feed),
        }
        Ok(adapter)
    }

    /// The connection that it reads through: work on its alerts goes through the same.
    pub fn connection(&self) -> Option<&str> {
        self.member.connection()
    }

    /// The expressions that it makes alerts with.
    pub fn expressions(&self) -> Vec<&str> {
        self.member.expressions()
    }

    /// What it wants to be told by Partner Center, if it takes that.
    pub fn callbacks(&self) -> Option<Callbacks> {
        self.member.callbacks()
    }
}

/// A line of the catalog.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The word under `type:`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// Settings that work, as JSON.
    pub example: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    prepare: fn(Value) -> Result<Arc<dyn Build>, serde_json::Error>,
}

impl Entry {
    const fn of<M: Member>() -> Self {
        Self {
            name: M::TYPE,
            summary: M::SUMMARY,
            example: M::EXAMPLE,
            schema: M::json_schema,
            prepare: |settings| Ok(Arc::new(serde_json::from_value::<M>(settings)?)),
        }
    }

    /// The JSON Schema of the settings, `name`, `type` and `source` aside.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }
}

/// The type of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

/// The object-safe face of a [`Member`].
trait Build: fmt::Debug + Send + Sync {
    fn connection(&self) -> Option<&str>;
    fn callbacks(&self) -> Option<Callbacks>;
    fn expressions(&self) -> Vec<&str>;
    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part>;
}

impl<M: Member> Build for M {
    fn connection(&self) -> Option<&str> {
        Member::connection(self)
    }

    fn callbacks(&self) -> Option<Callbacks> {
        Member::callbacks(self)
    }

    fn expressions(&self) -> Vec<&str> {
        Member::expressions(self)
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        Member::build(self, inlet, around)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

fn known_types() -> String {
    CATALOG.iter().map(|entry| format!("`{}`", entry.name)).collect::<Vec<_>>().join(", ")
}

fn unknown_type(kind: &str) -> String {
    match nearest(kind, CATALOG.iter().map(|entry| entry.name)) {
        Some(meant) => format!("`type` is `{kind}`, which is unknown; did you mean `{meant}`?"),
        None => format!("`type` is `{kind}`, which is unknown; it is one of {}", known_types()),
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::Bench, *};

    fn read(json: &str) -> Result<Vec<AdapterConfig>, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn every_example_is_accepted_and_no_two_types_share_a_name() {
        let names: BTreeSet<_> = CATALOG.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), CATALOG.len());
        for entry in CATALOG {
            let mut settings: Map<String, Value> = serde_json::from_str(entry.example).unwrap();
            settings.insert("name".to_owned(), "example".into());
            settings.insert("type".to_owned(), entry.name.into());
            let known = entry.schema(&mut SchemaGenerator::default()).to_value()["properties"].as_object().unwrap().clone();
            let written = settings.keys().filter(|key| !matches!(key.as_str(), "name" | "type"));
            assert!(written.clone().all(|key| known.contains_key(key)), "{}: the schema knows what the example uses", entry.name);
            AdapterConfig::read(settings).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_in_the_settings_is_named_with_its_adapter() {
        for (json, reason) in [
            (r#"[{"type": "webhook"}]"#, "no `name`"),
            (r#"[{"name": "a b", "type": "webhook"}]"#, "`a b`"),
            (r#"[{"name": "siem", "type": "webhok"}]"#, "adapter `siem`: `type` is `webhok`, which is unknown; did you mean `webhook`?"),
            (r#"[{"name": "siem"}]"#, "it is one of `partner_center_webhook`"),
            (r#"[{"name": "siem", "type": "webhook", "pth": "/hooks/a"}]"#, "adapter `siem`: unknown field `pth`"),
            (r#"[{"name": "siem", "type": "webhook", "path": "/hooks/a"}]"#, "missing field `auth`"),
            (r#"[{"name": "g", "type": "graph_alerts", "connection": "c", "every": "fast"}]"#, "`fast`"),
        ] {
            let fault = read(json).unwrap_err();
            assert!(fault.contains(reason), "{fault} should mention {reason}");
        }
    }

    #[tokio::test]
    async fn what_only_the_surroundings_know_fails_the_build() {
        let bench = Bench::new().await;
        for (json, reason) in [
            (
                r#"[{"name": "a", "type": "webhook", "path": "/hooks/a", "auth": "none"}, {"name": "a", "type": "webhook", "path": "/hooks/b", "auth": "none"}]"#,
                "`name` is taken",
            ),
            (
                r#"[{"name": "a", "type": "webhook", "path": "/hooks/a", "auth": "none"}, {"name": "b", "type": "webhook", "path": "/hooks/a", "auth": "none"}]"#,
                "`path` is taken",
            ),
            (r#"[{"name": "a", "type": "webhook", "path": "/a", "auth": "none"}]"#, "/hooks/"),
            (r#"[{"name": "a", "type": "webhook", "path": "/hooks/a", "auth": "none", "map": {"id": "body."}}]"#, "`map.id`"),
            (r#"[{"name": "a", "type": "webhook", "path": "/hooks/a", "auth": "none", "map": {"kimd": "body.k"}}]"#, "did you mean `kind`"),
            (r#"[{"name": "g", "type": "graph_alerts", "connection": "nobody", "every": "60s"}]"#, "adapter `g`: `connection` is `nobody`"),
        ] {
            let fault = format!("{:#}", build(&read(json).unwrap(), &bench.around).unwrap_err().remove(0));
            assert!(fault.contains(reason), "{fault} should mention {reason}");
        }
    }
}
