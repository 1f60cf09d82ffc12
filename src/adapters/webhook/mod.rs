//! `webhook`: takes alerts from any sender that can make an HTTP request.

mod auth;
#[cfg(test)]
mod tests;

use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::auth::{Auth, Guard};
use super::{
    Member, Part, Surroundings,
    hook::{DEFAULT_MAX_BODY, Delivered, Hook, Limits, Rate, Receiver, Refusal, Taken, parse},
    inlet::Inlet,
    mapping::{MapSettings, Mapping, alert_of},
    settings::checked_path,
};
use crate::{
    alert::{EVENT_TYPE, id_from_bytes},
    bus::{BoxFuture, Message},
    expression::Scope,
    secret::Text,
};

/// Take alerts from any sender that can make an HTTP request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    /// Where it listens.
    path: Text,
    /// How the sender shows who it is.
    auth: Auth,
    /// How its documents become alerts; without it they must be alerts already.
    map: Option<MapSettings>,
    /// The most bytes of a request.
    #[serde(default = "default_max_body")]
    max_body: usize,
    /// How deep a document may nest: deeper than any alert, shallow enough for every reader that comes after.
    #[serde(default = "default_max_depth")]
    max_depth: usize,
    /// How many requests are taken.
    #[serde(default)]
    rate: Rate,
}

struct Taker {
    guard: Guard,
    mapping: Option<Mapping>,
    max_depth: usize,
    inlet: Inlet,
}

impl Member for Webhook {
    const TYPE: &'static str = "webhook";
    const SUMMARY: &'static str = "Take alerts from any sender that can make an HTTP request";
    const EXAMPLE: &'static str = r#"{
        "path": "/hooks/siem",
        "auth": {"hmac_sha256": {"header": "X-Signature", "secret": "a shared secret"}},
        "map": {"id": "body.id", "kind": "body.rule", "severity": "body.level", "details": {"host": "body.host"}}
    }"#;

    fn expressions(&self) -> Vec<&str> {
        self.map.iter().flat_map(MapSettings::expressions).collect()
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        let path = checked_path(&self.path.0)?;
        let compile = |settings| Mapping::compile(settings, &["body", "headers"], &around.sandbox);
        let mapping = self.map.as_ref().map(compile).transpose()?;
        let taker = Taker { guard: self.auth.guard()?, mapping, max_depth: self.max_depth, inlet: inlet.clone() };
        Ok(Part::Hook(Hook::new(path, inlet, Limits { max_body: self.max_body, rate: self.rate }, taker)))
    }
}

impl Receiver for Taker {
    fn authenticate<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<Option<String>, Refusal>> {
        Box::pin(async { self.guard.check(delivered) })
    }

    fn accept<'a>(&'a self, delivered: &'a Delivered, message_id: Option<&'a str>) -> BoxFuture<'a, Result<Taken, Refusal>> {
        Box::pin(self.take(delivered, message_id))
    }
}

impl Taker {
    async fn take(&self, delivered: &Delivered, message_id: Option<&str>) -> Result<Taken, Refusal> {
        let body = parse(&delivered.body, self.max_depth).map_err(|fault| Refusal::bad_request("bad_json", fault))?;
        let (documents, many) = match body {
            Value::Array(documents) => (documents, true),
            document => (vec![document], false),
        };
        let alerts = self.alerts(documents, many, delivered, message_id);
        let alerts = alerts.map_err(|fault| Refusal::bad_request("not_an_alert", fault))?;
        let (ids, messages): (Vec<_>, Vec<_>) = alerts.into_iter().unzip();
        self.inlet.publish(messages).await.map_err(|error| Refusal::unavailable(error.to_string()))?;
        Ok(Taken::alerts(StatusCode::ACCEPTED, &ids, many))
    }

    /// All of the documents as alerts, each with its identifier, or the first fault.
    fn alerts(
        &self,
        documents: Vec<Value>,
        many: bool,
        delivered: &Delivered,
        message_id: Option<&str>,
    ) -> Result<Vec<(String, Message)>, String> {
        let mut scope = Scope::new(delivered.now);
        scope.set("headers", &headers_of(&delivered.headers));
        let mut alerts = Vec::new();
        for (at, document) in documents.into_iter().enumerate() {
            // Two different events may have the same bytes, but not the same identifier; an array of them has one for all.
            let own_id = match (message_id, many) {
                (Some(id), false) => id.to_owned(),
                (Some(id), true) => format!("{id}/{at}"),
                (None, false) => id_from_bytes(&self.inlet.source, &delivered.body),
                (None, true) => id_from_bytes(&self.inlet.source, document.to_string().as_bytes()),
            };
            let alert = self.alert(document, own_id, &mut scope, delivered.now);
            alerts.push(alert.map_err(|fault| if many { format!("item {at}: {fault}") } else { fault })?);
        }
        Ok(alerts)
    }

    fn alert(&self, document: Value, own_id: String, scope: &mut Scope, now: Timestamp) -> Result<(String, Message), String> {
        let fields = match &self.mapping {
            Some(mapping) => {
                scope.set("body", &document);
                let mut fields = mapping.apply(scope)?;
                fields.insert("raw".to_owned(), document);
                fields
            }
            None => own_fields(document)?,
        };
        let alert = alert_of(fields, || own_id, &self.inlet.source, now)?;
        let id = alert.id.clone();
        let message = self.inlet.pack(alert, now).map_err(|malformed| malformed.to_string())?;
        Ok((id, message))
    }
}

/// A document without a map is an alert in our own names, bare or as a `CloudEvents` event.
fn own_fields(document: Value) -> Result<Map<String, Value>, String> {
    let Value::Object(mut fields) = document else {
        return Err("an alert is a JSON object".to_owned());
    };
    let Some(version) = fields.get("specversion") else {
        return Ok(fields);
    };
    if version != "1.0" {
        return Err(format!("`specversion` is {version}, and only `1.0` is understood"));
    }
    if fields.get("type").is_none_or(|it| it != EVENT_TYPE) {
        return Err(format!("`type` is not `{EVENT_TYPE}`; give the adapter a `map` for other events"));
    }
    match fields.remove("data") {
        Some(Value::Object(fields)) => Ok(fields),
        _ => Err("`data` is not an object".to_owned()),
    }
}

/// The headers as expressions see them, lower-case; what proves the sender's identity is not for them.
fn headers_of(headers: &HeaderMap) -> Value {
    let shown = headers.iter().filter(|(name, _)| !matches!(name.as_str(), "authorization" | "cookie" | "proxy-authorization"));
    let texts = shown.filter_map(|(name, value)| Some((name.as_str().to_owned(), Value::from(value.to_str().ok()?))));
    Value::Object(texts.collect())
}

fn default_max_body() -> usize {
    DEFAULT_MAX_BODY
}

fn default_max_depth() -> usize {
    32
}
