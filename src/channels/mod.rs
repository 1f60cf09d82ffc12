//! Where people are told: one file for each type of channel, each listed in [`CATALOG`].
//!
//! A channel delivers one message once. Retries belong to who sends; the length, and what a text may hold, to [`Notice`].

mod email;
mod log;
mod notice;
mod slack;
mod teams;

use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use self::notice::Notice;

use crate::{
    connections::Failure,
    net::{Net, Request, Url},
    problem::did_you_mean,
    secret::Secret,
};

/// Every type of channel, in the order that help prints them.
pub const CATALOG: &[Entry] =
    &[Entry::of::<log::Log>(), Entry::of::<email::Email>(), Entry::of::<slack::Slack>(), Entry::of::<teams::Teams>()];

/// A type of channel. The implementing type is its settings, as written in `quell.yaml`.
trait Channel: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The part of a channel's name before the colon.
    const TYPE: &'static str;
    /// One line of help.
    const SUMMARY: &'static str;
    /// Settings that a test checks to be accepted, as JSON.
    const EXAMPLE: &'static str;

    /// Checks what the types of the settings do not say. `name` is the part of the channel's name after the colon.
    fn check(&self, _name: &str) -> Result<(), String> {
        Ok(())
    }

    /// Whether a playbook may name that address in place of a configured name.
    fn admits(&self, _address: &str) -> bool {
        false
    }

    /// Delivers once.
    fn send(&self, to: &Delivery<'_>, notice: &Notice) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Tries whether it would be let in, without a message; `None` where that cannot be tried without one.
    fn probe(&self) -> impl Future<Output = Option<Result<(), Failure>>> + Send {
        async { None }
    }
}

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
struct Delivery<'a> {
    net: &'a Net,
    /// The whole name of the channel, as the playbook wrote it.
    channel: &'a str,
    /// The address that the playbook wrote in place of a name.
    address: Option<&'a str>,
}

/// The configured channels. Cheap to clone.
#[derive(Clone)]
pub struct Channels {
    net: Net,
    by_name: Arc<BTreeMap<String, Box<dyn Deliver>>>,
}

/// A channel cannot be used as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("channel `{name}`: {why}")]
#[expect(missing_docs, reason = "the names say it")]
pub struct ChannelError {
    pub name: String,
    pub why: String,
}

/// The name under which a channel takes addresses that playbooks write.
const ANY: &str = "*";

/// The channel that is there without being configured, so that a first playbook works.
pub const DEFAULT: &str = "log:default";

impl Channels {
    /// Builds every channel from its settings by `TYPE:NAME`; contacts nobody.
    ///
    /// # Errors
    /// Names every channel whose type is unknown or whose settings are wrong.
    pub fn build(configs: &BTreeMap<String, Value>, net: &Net) -> Result<Self, Vec<ChannelError>> {
        let (mut by_name, mut errors) = (BTreeMap::new(), Vec::new());
        let mut all = configs.clone();
        all.entry(DEFAULT.to_owned()).or_insert_with(|| json!({}));
        for (name, settings) in all {
            match prepare(&name, settings) {
                Ok(channel) => drop(by_name.insert(name, channel)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { net: net.clone(), by_name: Arc::new(by_name) }) } else { Err(errors) }
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Whether a message can be sent to that name or address.
    ///
    /// # Errors
    /// A sentence that names the nearest channel, or says what must be allowed.
    pub fn check(&self, channel: &str) -> Result<(), String> {
        self.find(channel).map(|_| ())
    }

    /// Delivers a message once.
    ///
    /// # Errors
    /// [`Failure`]; a message may always be repeated, because it carries an identifier.
    pub async fn send(&self, channel: &str, notice: &Notice) -> Result<(), Failure> {
        let (found, address) = self.find(channel).map_err(Failure::rejected)?;
        found.send(&Delivery { net: &self.net, channel, address }, &notice.fitted()).await
    }

    /// Tries a configured channel without a message; `None` where that cannot be done.
    pub async fn probe(&self, name: &str) -> Option<Result<(), Failure>> {
        self.by_name.get(name)?.probe().await
    }

    fn find<'a>(&self, channel: &'a str) -> Result<(&dyn Deliver, Option<&'a str>), String> {
        if let Some(found) = self.by_name.get(channel) {
            return Ok((found.as_ref(), None));
        }
        if let Some((kind, address)) = channel.split_once(':')
            && let Some(found) = self.by_name.get(&format!("{kind}:{ANY}"))
        {
            if found.admits(address) {
                return Ok((found.as_ref(), Some(address)));
            }
            return Err(format!("channel `{kind}:{ANY}` does not allow the address `{address}`; add it or its domain to `allow`"));
        }
        let listed = || format!("configured are {}", self.names().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "));
        let advice = did_you_mean(channel, self.names()).unwrap_or_else(listed);
        Err(format!("there is no channel `{channel}`; {advice}"))
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// A line of the catalog.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "they are the constants of `Channel`")]
pub struct Entry {
    pub kind: &'static str,
    pub summary: &'static str,
    pub example: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    prepare: Prepare,
}

impl Entry {
    const fn of<C: Channel>() -> Self {
        Self {
            kind: C::TYPE,
            summary: C::SUMMARY,
            example: C::EXAMPLE,
            schema: C::json_schema,
            prepare: |name, settings| {
                let channel: C = serde_json::from_value(settings).map_err(|error| error.to_string())?;
                channel.check(name)?;
                Ok(Box::new(channel))
            },
        }
    }

    /// The JSON Schema of the settings.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }
}

/// Checks the settings of a channel with that name.
type Prepare = fn(&str, Value) -> Result<Box<dyn Deliver>, String>;

/// What came of a try without a message, if there can be one.
type Probing<'a> = Pin<Box<dyn Future<Output = Option<Result<(), Failure>>> + Send + 'a>>;

/// The object-safe face of a channel.
trait Deliver: Send + Sync {
    fn admits(&self, address: &str) -> bool;
    fn probe(&self) -> Probing<'_>;
    fn send<'a>(&'a self, to: &'a Delivery<'_>, notice: &'a Notice) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;
}

impl<C: Channel> Deliver for C {
    fn admits(&self, address: &str) -> bool {
        Channel::admits(self, address)
    }

    fn probe(&self) -> Probing<'_> {
        Box::pin(Channel::probe(self))
    }

    fn send<'a>(&'a self, to: &'a Delivery<'_>, notice: &'a Notice) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>> {
        Box::pin(Channel::send(self, to, notice))
    }
}

/// The URL of a webhook. An error does not show it: who knows it can post.
fn webhook(url: &Secret) -> Result<Url, String> {
    Ok(Url::parse(url.expose()).ok().ok_or("`url` is not a URL")?)
}

/// A request to a webhook. What follows the host is its password, and is read out of no refusal.
fn to_webhook(url: &Secret) -> Result<Request, Failure> {
    let url = webhook(url).map_err(Failure::rejected)?;
    let password = [url.path(), url.query().unwrap_or_default()].map(Secret::new);
    Ok(password.iter().fold(Request::post(url), Request::withhold))
}

fn prepare(channel: &str, settings: Value) -> Result<Box<dyn Deliver>, ChannelError> {
    let wrong = |why: String| ChannelError { name: channel.to_owned(), why };
    let Some((kind, name)) = channel.split_once(':').filter(|(_, name)| !name.is_empty()) else {
        return Err(wrong("a channel's name is `TYPE:NAME`, e.g. `slack:secops`".to_owned()));
    };
    let Some(entry) = CATALOG.iter().find(|entry| entry.kind == kind) else {
        let known: Vec<_> = CATALOG.iter().map(|entry| format!("`{}`", entry.kind)).collect();
        return Err(wrong(format!("`{kind}` is not a type of channel; use one of {}", known.join(", "))));
    };
    // `log:default:` without settings is a null in YAML.
    let settings = if settings.is_null() { json!({}) } else { settings };
    (entry.prepare)(name, settings).map_err(wrong)
}

#[cfg(test)]
mod contract;
