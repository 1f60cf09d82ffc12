//! `amqp`: reads a queue of another program's broker, and makes alerts of its messages.
//!
//! Messages are JSON, or `CloudEvents` in either mode. Nothing is declared there: the queue is somebody else's.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Member, Part, Surroundings,
    feed::{Feed, Line, Sender},
    inlet::Inlet,
    mapping::{MapSettings, Mapping, alert_of},
};
use crate::{
    alert::{EVENT_TYPE, id_from_bytes},
    bus::{
        BoxFuture, Lost, Message,
        rabbitmq::{Foreign, ForeignMessage, ForeignQueue},
    },
    expression::Scope,
    secret::Secret,
};

/// Read a queue of another program's broker.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Amqp {
    /// The broker: `amqp://` or `amqps://`, with user and password. The user needs only to read.
    url: Secret,
    /// The queue, which must be there. Each message in it is taken: give Quell a queue of its own.
    queue: String,
    /// How a message becomes an alert: expressions over its `body`, which for a `CloudEvents` event is its `data`; over `event`, the
    /// attributes of such an event; over `headers` and `routing_key`. Without it, the body is an alert in Quell's own names. Without an
    /// `id` in it, a repeat is recognised by the event's `source` and `id`, else by the message's `message_id`, else by all of it but
    /// headers that begin with `x-`.
    map: Option<MapSettings>,
    /// How many messages may be under way.
    #[serde(default = "a_batch")]
    #[schemars(range(min = 1))]
    prefetch: u16,
}

struct Reader {
    queue: ForeignQueue,
    prefetch: u16,
    translator: std::sync::Arc<Translator>,
}

struct Open {
    foreign: Foreign,
    prefetch: u16,
    translator: std::sync::Arc<Translator>,
}

/// Makes messages for the bus of foreign ones.
struct Translator {
    mapping: Option<Mapping>,
    inlet: Inlet,
}

impl Member for Amqp {
    const TYPE: &'static str = "amqp";
    const SUMMARY: &'static str = "Read a queue of another program's broker";
    const EXAMPLE: &'static str = r#"{
        "url": "amqps://quell:a-password@soc-rabbit.contoso.com:5671/%2f", "queue": "soc.events.quell",
        "map": {"id": "body.event_id", "kind": "body.rule", "severity": "body.level", "detected_at": "event.time"}
    }"#;

    fn expressions(&self) -> Vec<&str> {
        self.map.iter().flat_map(MapSettings::expressions).collect()
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        anyhow::ensure!(self.prefetch > 0, "`prefetch` is 0, by which a broker understands no limit at all; use 1 to 65535, e.g. 100");
        anyhow::ensure!(!self.queue.is_empty(), "`queue` is empty");
        let names = ["body", "event", "headers", "routing_key"];
        let mapping = self.map.as_ref().map(|map| Mapping::compile(map, &names, &around.sandbox)).transpose()?;
        let queue = ForeignQueue::new(self.url.clone(), &self.queue, self.prefetch).map_err(anyhow::Error::msg)?;
        let translator = std::sync::Arc::new(Translator { mapping, inlet: inlet.clone() });
        Ok(Part::Feed(Feed::new(inlet, Reader { queue, prefetch: self.prefetch, translator })))
    }
}

impl Sender for Reader {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Line>, Lost>> {
        Box::pin(async {
            let (foreign, translator) = (self.queue.open().await?, std::sync::Arc::clone(&self.translator));
            Ok(Box::new(Open { foreign, prefetch: self.prefetch, translator }) as Box<dyn Line>)
        })
    }
}

impl Line for Open {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Message>, Lost>> {
        Box::pin(async {
            let received = self.foreign.next(usize::from(self.prefetch)).await?;
            let now = Timestamp::now();
            Ok(received.into_iter().map(|message| self.translator.translate(message, now)).collect())
        })
    }

    fn acknowledge(&mut self) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(self.foreign.acknowledge())
    }
}

impl Translator {
    /// As an alert, or as it came when it cannot be one: then it is set aside for a person.
    fn translate(&self, message: ForeignMessage, now: Timestamp) -> Message {
        self.alert(&message, now).unwrap_or_else(|reason| self.inlet.pack_bytes(message.body, &reason))
    }

    fn alert(&self, message: &ForeignMessage, now: Timestamp) -> Result<Message, String> {
        let read: Value = serde_json::from_slice(&message.body).map_err(|error| format!("the message is not JSON: {error}"))?;
        let (event, body) = opened(message, read)?;
        let id = match (event.get("id").and_then(Value::as_str), event.get("source").and_then(Value::as_str)) {
            // Only both together tell an event from all others.
            (Some(id), Some(source)) => id_from_bytes(&self.inlet.source, format!("{source} {id}").as_bytes()),
            _ => id_from_bytes(&self.inlet.source, &told_apart_by(message)),
        };
        let fields = match &self.mapping {
            Some(mapping) => {
                let mut scope = Scope::new(now);
                let headers = message.headers.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
                scope.set("body", &body);
                scope.set("event", &Value::Object(event));
                scope.set("headers", &Value::Object(headers.collect()));
                scope.set("routing_key", &Value::from(message.routing_key.as_str()));
                let mut fields = mapping.apply(&mut scope)?;
                fields.insert("raw".to_owned(), body);
                fields
            }
            None => own_fields(&event, body)?,
        };
        let alert = alert_of(fields, || id, &self.inlet.source, now)?;
        self.inlet.pack(alert, now).map_err(|malformed| malformed.to_string())
    }
}

/// What tells a message from all others, and is the same when it is delivered again: the sender's own name for it, else all that the sender
/// wrote. Two events may well have the same body and differ in a header alone.
fn told_apart_by(message: &ForeignMessage) -> Vec<u8> {
    if !message.message_id.is_empty() {
        return format!("message {}", message.message_id).into_bytes();
    }
    // Headers that begin with `x-` are the broker's, such as the count of deliveries.
    let mut headers: Vec<_> = message.headers.iter().filter(|(name, _)| !name.to_ascii_lowercase().starts_with("x-")).collect();
    if headers.is_empty() && message.routing_key.is_empty() {
        return message.body.clone();
    }
    headers.sort_unstable();
    let mut bytes = serde_json::json!([message.routing_key, headers]).to_string().into_bytes();
    bytes.extend_from_slice(&message.body);
    bytes
}

/// A `CloudEvents` event's attributes and its data, in whichever mode it came; for any other message, nothing and the whole.
fn opened(message: &ForeignMessage, read: Value) -> Result<(Map<String, Value>, Value), String> {
    let marks = ["cloudEvents:", "cloudEvents_"];
    let attribute = |name: &str| marks.iter().find_map(|mark| name.strip_prefix(mark)).map(str::to_owned);
    let binary = message.headers.iter().filter_map(|(name, text)| Some((attribute(name)?, Value::from(text.as_str()))));
    let binary: Map<String, Value> = binary.collect();
    if binary.contains_key("specversion") {
        return Ok((binary, read));
    }
    let is_structured = message.content_type.to_ascii_lowercase().starts_with("application/cloudevents");
    match read {
        Value::Object(mut event) if is_structured || event.contains_key("specversion") => {
            let data = event.remove("data").ok_or("the event has no `data`")?;
            Ok((event, data))
        }
        read => Ok((Map::new(), read)),
    }
}

/// Without a map, the body is an alert in our own names.
fn own_fields(event: &Map<String, Value>, body: Value) -> Result<Map<String, Value>, String> {
    if event.get("type").is_some_and(|it| it != EVENT_TYPE) {
        return Err(format!("`type` is not `{EVENT_TYPE}`; give the adapter a `map` for other events"));
    }
    match body {
        Value::Object(fields) => Ok(fields),
        _ => Err("an alert is a JSON object".to_owned()),
    }
}

/// Enough to hide the time of a confirmation, few enough to share with other nodes.
fn a_batch() -> u16 {
    100
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::testing::Bench, *};
    use crate::alert::Alert;

    async fn translator(map: Option<Value>) -> (Bench, Translator) {
        let bench = Bench::new().await;
        let settings = map.map(|map| serde_json::from_value(map).unwrap());
        let names = ["body", "event", "headers", "routing_key"];
        let mapping = settings.map(|map| Mapping::compile(&map, &names, &bench.around.sandbox).unwrap());
        let inlet = Inlet::new("soc_bus", "soc_bus", &bench.around);
        (bench, Translator { mapping, inlet })
    }

    fn message(body: &Value, content_type: &str, headers: &[(&str, &str)]) -> ForeignMessage {
        let headers = headers.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        ForeignMessage {
            body: body.to_string().into_bytes(),
            content_type: content_type.to_owned(),
            message_id: String::new(),
            routing_key: "soc.high".to_owned(),
            headers,
        }
    }

    #[tokio::test]
    async fn plain_json_and_both_modes_of_cloud_events_are_mapped_alike() {
        let map = json!({
            "kind": "body.rule", "title": "routing_key", "description": "if \"tenant\" in headers { headers.tenant } else { \"none\" }",
            "details": {"by": "if \"source\" in event { event.source } else { \"nobody\" }"},
        });
        let (_bench, translator) = translator(Some(map)).await;
        let data = json!({"rule": "Intrusion", "level": 3});
        let event = json!({"specversion": "1.0", "id": "e-1", "source": "/soc", "type": "x", "data": data});
        let binary = [("cloudEvents:specversion", "1.0"), ("cloudEvents:id", "e-1"), ("cloudEvents:source", "/soc")];
        let read = |message: &ForeignMessage| Alert::from_event(&translator.alert(message, Timestamp::UNIX_EPOCH).unwrap().body).unwrap();

        let plain = read(&message(&data, "application/json", &[("tenant", "contoso")]));
        assert_eq!((plain.kind.as_str(), plain.title.as_str(), plain.description.as_str()), ("intrusion", "soc.high", "contoso"));
        assert_eq!((&plain.raw, &plain.details["by"]), (&data, &json!("nobody")));
        let structured = read(&message(&event, "application/cloudevents+json; charset=utf-8", &[]));
        let binary = read(&message(&data, "application/json", &binary));
        assert_eq!((&structured.id, &structured.raw, &structured.details["by"]), (&binary.id, &data, &json!("/soc")));
        assert_ne!(structured.id, plain.id);
        assert_eq!(read(&message(&data, "", &[("tenant", "contoso")])).id, plain.id, "the same message is the same alert");
    }

    #[tokio::test]
    async fn two_messages_with_the_same_body_are_two_alerts_and_one_that_comes_again_is_one() {
        let (_bench, translator) = translator(Some(json!({"kind": "body.rule"}))).await;
        let body = json!({"rule": "intrusion"});
        let id = |message: &ForeignMessage| Alert::from_event(&translator.alert(message, Timestamp::UNIX_EPOCH).unwrap().body).unwrap().id;
        let with = |headers: &[(&str, &str)]| id(&message(&body, "", headers));
        assert_ne!(with(&[("tenant", "contoso")]), with(&[("tenant", "fabrikam")]));
        assert_eq!(with(&[("tenant", "contoso"), ("host", "h")]), with(&[("host", "h"), ("tenant", "contoso"), ("x-delivery-count", "1")]));
        let elsewhere = ForeignMessage { routing_key: "soc.low".to_owned(), ..message(&body, "", &[]) };
        assert_ne!(id(&elsewhere), with(&[]));
        let named = |name: &str, count: &str| {
            id(&ForeignMessage { message_id: name.to_owned(), ..message(&body, "", &[("x-delivery-count", count), ("sent", count)]) })
        };
        assert_eq!(named("m-1", "0"), named("m-1", "1"), "the sender says that it is the same");
        assert_ne!(named("m-1", "0"), named("m-2", "0"));
    }

    #[tokio::test]
    async fn without_a_map_the_body_is_an_alert_in_our_own_names() {
        let (_bench, translator) = translator(None).await;
        let alert = |body: &Value| translator.alert(&message(body, "", &[]), Timestamp::UNIX_EPOCH);
        assert!(alert(&json!({"kind": "intrusion", "severity": "high"})).is_ok());
        let event = |kind: &str| json!({"specversion": "1.0", "id": "1", "source": "s", "type": kind, "data": {"kind": "intrusion"}});
        assert!(alert(&event(EVENT_TYPE)).is_ok());
        assert!(alert(&event("other")).unwrap_err().contains("give the adapter a `map`"));
        assert!(alert(&json!({"kind": "intrusion", "source": "graph"})).unwrap_err().contains("alerts here are of `soc_bus`"));
        assert!(alert(&json!([1])).is_err());
    }

    #[tokio::test]
    async fn what_is_no_alert_goes_on_the_bus_as_it_came_and_never_as_an_alert_of_another_source() {
        let (_bench, translator) = translator(Some(json!({"kind": "body.rule"}))).await;
        let set_aside = |body: &[u8]| {
            let text = String::new;
            let message =
                ForeignMessage { body: body.to_vec(), content_type: text(), message_id: text(), routing_key: text(), headers: Vec::new() };
            translator.translate(message, Timestamp::UNIX_EPOCH).body
        };
        assert_eq!(set_aside(b"\xff\x00"), b"\xff\x00");
        assert_eq!(set_aside(b""), b"");
        let fields = json!({"id": "1", "source": "graph", "kind": "k", "detected_at": "2026-01-01T00:00:00Z", "received_at": "2026-01-01T00:00:00Z"});
        let forged: Alert = serde_json::from_value(fields).unwrap();
        assert!(Alert::from_event(&set_aside(&forged.to_event())).is_err());
    }

    #[tokio::test]
    async fn settings_that_cannot_work_fail_the_build_and_show_no_password() {
        let bench = Bench::new().await;
        for (setting, value, reason) in [
            ("url", json!("http://u:hunter2@h"), "`url`"),
            ("queue", json!(""), "`queue`"),
            ("prefetch", json!(0), "`prefetch`"),
            ("map", json!({"kind": "boddy.x"}), "`map.kind`"),
        ] {
            let mut settings = json!({"name": "soc", "type": "amqp", "url": "amqp://u:hunter2@h", "queue": "q", "map": {"kind": "body.k"}});
            settings[setting] = value;
            let config = serde_json::from_value(settings).unwrap();
            let fault = format!("{:#}", super::super::build(&[config], &bench.around).unwrap_err().remove(0));
            assert!(fault.contains(reason) && !fault.contains("hunter2"), "{fault} should mention {reason}");
        }
    }
}
