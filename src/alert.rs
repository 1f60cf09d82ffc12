//! The alert: what a source says happened, normalised, and its form on the bus.
//!
//! Plain data. Adapters make alerts, the bus carries them as `CloudEvents`, playbooks read them; nobody changes one.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::word::words;

/// The `type` attribute of an alert on the bus.
pub const EVENT_TYPE: &str = "quell.alert.v1";

/// The media type of an alert on the bus: `CloudEvents` 1.0, structured mode.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// What a source says happened.
///
/// Unknown fields are refused: a misspelt `severty` must not become an alert without a severity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// The source's own identifier; unique together with `source`.
    pub id: String,
    /// The name of the adapter that brought it.
    pub source: String,
    /// What kind of thing happened, in `snake_case`, e.g. `crypto_mining`. Kinds that Quell does not know pass through.
    pub kind: String,
    /// How bad it is.
    #[serde(default = "medium_severity")]
    pub severity: Severity,
    /// How sure the source is.
    #[serde(default = "medium_confidence")]
    pub confidence: Confidence,
    /// Where the source says that work on it stands.
    #[serde(default = "active")]
    pub status: Status,
    /// One line for people.
    #[serde(default)]
    pub title: String,
    /// The source's text.
    #[serde(default)]
    pub description: String,
    /// The customer's Entra tenant; empty when the source does not say.
    #[serde(default)]
    pub customer_tenant_id: String,
    /// The customer's name, when the source gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// The Azure subscription, which Partner Center calls an entitlement; empty when the source does not say.
    #[serde(default)]
    pub subscription_id: String,
    /// The indirect reseller's tenant, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reseller_tenant_id: Option<String>,
    /// Identifiers of the affected resources.
    #[serde(default)]
    pub resources: Vec<String>,
    /// When the source saw it.
    #[schemars(with = "String")]
    pub detected_at: Timestamp,
    /// When Quell's adapter received it.
    #[schemars(with = "String")]
    pub received_at: Timestamp,
    /// Which state of the alert this is: the same text for the same state, another for a changed one.
    ///
    /// Whether a state is the first that was seen is the store's knowledge, not the adapter's.
    #[serde(default = "first_revision")]
    pub revision: String,
    /// Whether the source marks it as a test.
    #[serde(default)]
    pub is_test: bool,
    /// Whatever else the source says, by name.
    #[serde(default)]
    pub details: Map<String, Value>,
    /// The source's own document.
    #[serde(default)]
    pub raw: Value,
}

/// How bad an alert is, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

/// How sure a source is of an alert, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Confidence {
    Low,
    Medium,
    High,
}

/// Where work on an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Status {
    Active,
    Investigating,
    Resolved,
}

/// Why bytes from the bus are not an alert.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Alert {
    /// The key by which a repeat is recognised: source, alert id and revision.
    ///
    /// Lengths come first so that no two different triples share a key.
    pub fn dedup_key(&self) -> String {
        format!("{}:{}:{}:{}/{}", self.source.len(), self.id.len(), self.source, self.id, self.revision)
    }

    /// The bytes that go on the bus.
    pub fn to_event(&self) -> Vec<u8> {
        self.event(None)
    }

    /// The bytes of an alert that a person wrote by hand, who therefore does not decide what is done about it.
    pub fn to_event_by(&self, sender: &str) -> Vec<u8> {
        self.event(Some(sender.to_owned()))
    }

    fn event(&self, sender: Option<String>) -> Vec<u8> {
        let event = Event {
            specversion: "1.0".to_owned(),
            id: self.dedup_key(),
            source: format!("/quell/adapters/{}", self.source),
            kind: EVENT_TYPE.to_owned(),
            time: Some(self.received_at),
            datacontenttype: Some("application/json".to_owned()),
            sender,
            data: self,
        };
        // A map with string keys and finite numbers always serialises.
        serde_json::to_vec(&event).unwrap_or_default()
    }

    /// Reads the bytes that [`Alert::to_event`] wrote, or that a person or another program wrote in that form.
    ///
    /// # Errors
    /// [`Malformed`] says which attribute or field is wrong; such a message belongs in the quarantine.
    pub fn from_event(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::and_sender(bytes).map(|(alert, _)| alert)
    }

    /// The same, with the person who wrote the alert by hand, if one did.
    ///
    /// # Errors
    /// See [`Alert::from_event`].
    pub fn and_sender(bytes: &[u8]) -> Result<(Self, Option<String>), Malformed> {
        if bytes.is_empty() {
            return Err(Malformed("the message is empty".to_owned()));
        }
        let event: Event<Self> = serde_json::from_slice(bytes).map_err(|error| Malformed(format!("not an alert: {error}")))?;
        if event.specversion != "1.0" {
            return Err(Malformed(format!("`specversion` is `{}`, and only `1.0` is understood", event.specversion)));
        }
        if event.kind != EVENT_TYPE {
            return Err(Malformed(format!("`type` is `{}`, and only `{EVENT_TYPE}` is understood", event.kind)));
        }
        Ok((event.data.checked()?, event.sender))
    }

    /// The alert, if its texts are usable.
    ///
    /// # Errors
    /// [`Malformed`] names the field that is empty, too long or holds a control character.
    pub fn checked(mut self) -> Result<Self, Malformed> {
        self.kind = self.kind.to_lowercase();
        for (field, text) in [("id", &self.id), ("source", &self.source), ("kind", &self.kind), ("revision", &self.revision)] {
            if text.is_empty() {
                return Err(Malformed(format!("`{field}` is empty")));
            }
            if text.len() > LONGEST_NAME {
                return Err(Malformed(format!("`{field}` has {} bytes, over {LONGEST_NAME}", text.len())));
            }
            if text.chars().any(char::is_control) {
                return Err(Malformed(format!("`{field}` holds a control character")));
            }
        }
        Ok(self)
    }
}

/// Long enough for `{subscription}-{guid}` ten times over, short enough for an index.
const LONGEST_NAME: usize = 1024;

/// Makes an alert identifier for a source that gives none: the same bytes give the same identifier, so that a repeat is recognised.
pub fn id_from_bytes(source: &str, bytes: &[u8]) -> String {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, source.as_bytes());
    Uuid::new_v5(&namespace, bytes).to_string()
}

#[derive(Serialize, Deserialize)]
struct Event<D> {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<String>,
    /// Who wrote the alert by hand.
    #[serde(rename = "quellsender", default, skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    data: D,
}

fn medium_severity() -> Severity {
    Severity::Medium
}

fn medium_confidence() -> Confidence {
    Confidence::Medium
}

fn active() -> Status {
    Status::Active
}

fn first_revision() -> String {
    "0".to_owned()
}

words! {
    Severity { Informational => "informational", Low => "low", Medium => "medium", High => "high", Critical => "critical" }
    Confidence { Low => "low", Medium => "medium", High => "high" }
    Status { Active => "active", Investigating => "investigating", Resolved => "resolved" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert() -> Alert {
        serde_json::from_value(serde_json::json!({
            "id": "a-1", "source": "graph", "kind": "Crypto_Mining",
            "detected_at": "2026-03-02T04:11:09.5Z", "received_at": "2026-03-02T04:12:00Z",
            "raw": {"id": "a-1"},
        }))
        .unwrap()
    }

    #[test]
    fn an_alert_that_a_person_wrote_says_who() {
        let (read, sender) = Alert::and_sender(&alert().to_event_by("ann")).unwrap();
        assert_eq!((read.id.as_str(), sender.as_deref()), ("a-1", Some("ann")));
        assert_eq!(Alert::and_sender(&alert().to_event()).unwrap().1, None);
    }

    #[test]
    fn an_alert_survives_the_bus() {
        let sent = alert().checked().unwrap();
        assert_eq!(Alert::from_event(&sent.to_event()).unwrap(), sent);
    }

    #[test]
    fn a_kind_is_lower_cased_and_never_dropped() {
        assert_eq!(alert().checked().unwrap().kind, "crypto_mining");
    }

    #[test]
    fn what_is_not_an_alert_is_refused_with_the_reason() {
        let mut typo = serde_json::from_slice::<Value>(&alert().to_event()).unwrap();
        typo["data"]["severty"] = "high".into();
        let mut other = serde_json::from_slice::<Value>(&alert().to_event()).unwrap();
        other["type"] = "com.example".into();
        let mut empty = alert();
        empty.id = String::new();
        for (bytes, reason) in [
            (Vec::new(), "the message is empty"),
            (b"{".to_vec(), "EOF"),
            (b"\xff\xfe".to_vec(), "not an alert"),
            (typo.to_string().into_bytes(), "severty"),
            (other.to_string().into_bytes(), "com.example"),
            (empty.to_event(), "`id` is empty"),
        ] {
            let error = Alert::from_event(&bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{error} should mention {reason}");
        }
    }

    #[test]
    fn different_alerts_never_share_a_key() {
        let key = |source: &str, id: &str| Alert { source: source.into(), id: id.into(), ..alert() }.dedup_key();
        assert_ne!(key("a", "b:c"), key("a:b", "c"));
        assert_ne!(key("a", "b/0"), key("a/b", "0"));
    }

    #[test]
    fn severities_rise() {
        assert!(Severity::ALL.is_sorted());
        assert_eq!(Severity::parse("HIGH"), Some(Severity::High));
        assert_eq!(Severity::parse("huge"), None);
    }
}
