//! `poll`: fetches a list of JSON documents from an address again and again.

mod position;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use self::position::{Position, Validators};
use super::{
    Member, Part, Surroundings,
    inlet::Inlet,
    mapping::{MapSettings, Mapping, alert_of},
    settings::Every,
    task::{At, Fetched, Source, Task, Trouble},
};
use crate::{
    alert::id_from_bytes,
    bus::{BoxFuture, Message},
    duration::Span,
    expression::{Expression, Scope},
    net::{Net, Reply, Request},
    secret::{Secret, Text},
};

/// Fetch a list of JSON documents from an address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    /// Where.
    url: Text,
    /// How often.
    every: Every,
    /// Where in the answer the list is: an expression over `body`.
    #[serde(default = "the_body")]
    items: String,
    /// How an item becomes an alert: expressions over `item`, the whole `body` and the answer's `headers`.
    map: MapSettings,
    /// Headers of the request.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// The query parameter that carries the cursor.
    since: Option<String>,
    /// How far an item moves the cursor: an expression over `item`.
    cursor: Option<String>,
    /// How far before a cursor that is a time the next round begins: what a source learns late it dates early.
    #[serde(default = "a_day")]
    overlap: Span,
    /// The address of the next page: an expression over `body` and `headers` that gives null after the last.
    next: Option<String>,
    /// The most bytes of an answer.
    #[serde(default = "eight_megabytes")]
    max_body: usize,
    /// How long an answer may take.
    #[serde(default = "half_a_minute")]
    timeout: Span,
}

struct Feed {
    url: Url,
    headers: Vec<(String, Secret)>,
    items: Expression,
    mapping: Mapping,
    since: Option<String>,
    cursor: Option<Expression>,
    overlap: SignedDuration,
    next: Option<Expression>,
    max_body: usize,
    timeout: Duration,
    /// Stands for everything by which an answer is read.
    reading: String,
    inlet: Inlet,
    net: Net,
}

impl Member for Poll {
    const TYPE: &'static str = "poll";
    const SUMMARY: &'static str = "Fetch a list of JSON documents from an address";
    const EXAMPLE: &'static str = r#"{
        "url": "https://feed.example/incidents", "every": "5m", "items": "body.value",
        "map": {"id": "item.number", "kind": "item.category", "severity": "item.priority", "detected_at": "item.opened"},
        "headers": {"Authorization": "Bearer a-token"}, "since": "updated_after", "cursor": "item.updated", "next": "body.next"
    }"#;

    fn expressions(&self) -> Vec<&str> {
        let others = [Some(&self.items), self.cursor.as_ref(), self.next.as_ref()];
        self.map.expressions().chain(others.into_iter().flatten().map(String::as_str)).collect()
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        let url = Url::parse(&self.url.0).context("`url`")?;
        anyhow::ensure!(matches!(url.scheme(), "http" | "https"), "`url` must begin with `https://` or `http://`");
        anyhow::ensure!(self.since.is_none() || self.cursor.is_some(), "`since` needs `cursor`, which says how far an item moves it");
        let sandbox = &around.sandbox;
        let compile =
            |setting: &'static str, text: &str, names: &[&str]| sandbox.expression(text, names).with_context(|| format!("`{setting}`"));
        let feed = Feed {
            url,
            headers: self.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            items: compile("items", &self.items, &["body"])?,
            mapping: Mapping::compile(&self.map, &["item", "body", "headers"], sandbox)?,
            since: self.since.clone(),
            cursor: self.cursor.as_ref().map(|text| compile("cursor", text, &["item"])).transpose()?,
            overlap: self.overlap.signed(),
            next: self.next.as_ref().map(|text| compile("next", text, &["body", "headers"])).transpose()?,
            max_body: self.max_body,
            timeout: self.timeout.0,
            reading: format!("{} {:?} {:?}", self.items, self.map, self.cursor),
            inlet: inlet.clone(),
            net: around.net.clone(),
        };
        Ok(Part::Task(Task::new(self.every.0, inlet, around, feed)))
    }
}

impl Source for Feed {
    fn fetch<'a>(&'a self, position: &'a mut Option<String>, at: At<'a>) -> BoxFuture<'a, Result<Fetched, Trouble>> {
        Box::pin(async move {
            let mut known = position.as_deref().map(Position::read).unwrap_or_default();
            let fetched = self.page(&mut known, at).await?;
            *position = Some(known.write());
            Ok(fetched)
        })
    }
}

impl Feed {
    async fn page(&self, known: &mut Position, at: At<'_>) -> Result<Fetched, Trouble> {
        let url = match at.page {
            Some(page) => Url::parse(page).map_err(|error| Trouble::new(format!("the next page's address: {error}")))?,
            None => self.first_page(known.cursor.as_deref()),
        };
        let of = id_from_bytes(&self.reading, url.as_str().as_bytes());
        // Whether the first of several pages has changed says nothing about the others, so only a lone page has validators.
        let validators = known.validators.take().filter(|it| it.of == of && at.page.is_none());
        let reply = self.send(url.clone(), validators.as_ref()).await.map_err(|error| Trouble::new(error.to_string()))?;
        if reply.status == 304 && validators.is_some() {
            known.validators = validators;
            return Ok(Fetched::default());
        }
        if reply.status != 200 {
            let retry_after = reply.retry_after(at.now);
            return Err(Trouble { message: format!("the source answered {}", reply.status), retry_after });
        }
        let body = reply.json().map_err(|error| Trouble::new(format!("the answer is not JSON: {error}")))?;
        let headers = headers_of(&reply);
        let messages = self.messages(&body, &headers, known, at.now)?;
        let next = self.next_page(&url, &body, &headers, at.now)?;
        if next.is_none() && at.page.is_none() {
            known.validators = Validators::of(of, &reply);
        }
        Ok(Fetched { messages, next })
    }

    /// The address with the cursor; one that is a time reaches back by the overlap.
    fn first_page(&self, cursor: Option<&str>) -> Url {
        let mut url = self.url.clone();
        if let (Some(since), Some(cursor)) = (&self.since, cursor) {
            let earlier = cursor.parse::<Timestamp>().ok().and_then(|time| time.checked_sub(self.overlap).ok());
            let from = earlier.map_or_else(|| cursor.to_owned(), |time| time.to_string());
            url.query_pairs_mut().append_pair(since, &from);
        }
        url
    }

    async fn send(&self, url: Url, validators: Option<&Validators>) -> Result<Reply, crate::net::NetError> {
        let mut request = Request::get(url).timeout(self.timeout).at_most(self.max_body).header("accept", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value.expose());
        }
        if let Some(etag) = validators.and_then(|it| it.etag.as_deref()) {
            request = request.header("if-none-match", etag);
        }
        if let Some(last_modified) = validators.and_then(|it| it.last_modified.as_deref()) {
            request = request.header("if-modified-since", last_modified);
        }
        self.net.send(request).await
    }

    /// Each item as an alert, or as it is when it cannot be one: it must neither be lost nor hold up the others.
    fn messages(&self, body: &Value, headers: &Value, known: &mut Position, now: Timestamp) -> Result<Vec<Message>, Trouble> {
        // Set once: the answer may be large, and expressions copy only what they read.
        let mut scope = Scope::new(now);
        scope.set("body", body);
        scope.set("headers", headers);
        let items = self.items.value(&mut scope).map_err(|error| Trouble::new(format!("`items`: {error}")))?;
        let Value::Array(items) = items else {
            return Err(Trouble::new("`items` gave no list; is the expression right for this answer?"));
        };
        let mut messages = Vec::new();
        for item in &items {
            scope.set("item", item);
            match self.message(item, &mut scope, now) {
                Ok(message) => messages.push(message),
                Err(reason) => {
                    let message = self.inlet.pack_unreadable(item, &reason);
                    if known.set_aside(&message.key) {
                        messages.push(message);
                    }
                }
            }
            match self.cursor.as_ref().map(|cursor| cursor.value(&mut scope)) {
                Some(Ok(Value::String(cursor))) => known.advance(cursor, now),
                Some(Ok(Value::Number(cursor))) => known.advance(cursor.to_string(), now),
                // An item without a cursor moves nothing.
                Some(Ok(_) | Err(_)) | None => (),
            }
        }
        Ok(messages)
    }

    fn message(&self, item: &Value, scope: &mut Scope, now: Timestamp) -> Result<Message, String> {
        let mut fields = self.mapping.apply(scope)?;
        fields.insert("raw".to_owned(), item.clone());
        let own_id = || id_from_bytes(&self.inlet.source, item.to_string().as_bytes());
        let alert = alert_of(fields, own_id, &self.inlet.source, now)?;
        self.inlet.pack(alert, now).map_err(|malformed| malformed.to_string())
    }

    /// The next page's address, on the same host: the request carries credentials.
    fn next_page(&self, url: &Url, body: &Value, headers: &Value, now: Timestamp) -> Result<Option<String>, Trouble> {
        let Some(next) = &self.next else {
            return Ok(None);
        };
        let mut scope = Scope::new(now);
        scope.set("body", body);
        scope.set("headers", headers);
        let next = match next.value(&mut scope).map_err(|error| Trouble::new(format!("`next`: {error}")))? {
            Value::Null => return Ok(None),
            Value::String(next) if next.is_empty() => return Ok(None),
            Value::String(next) => url.join(&next).map_err(|error| Trouble::new(format!("`next` is not an address: {error}")))?,
            _ => return Err(Trouble::new("`next` gave neither a text nor null")),
        };
        if next.origin() != self.url.origin() {
            return Err(Trouble::new("`next` leads to another host, which is not followed"));
        }
        Ok(Some(next.into()))
    }
}

fn headers_of(reply: &Reply) -> Value {
    let texts = reply.headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), Value::from(value.to_str().ok()?))));
    Value::Object(texts.collect::<Map<_, _>>())
}

fn the_body() -> String {
    "body".to_owned()
}

/// The window in which sources are known to add what happened before.
fn a_day() -> Span {
    Span(Duration::from_hours(24))
}

/// Thousands of incidents; more belongs on several pages.
fn eight_megabytes() -> usize {
    8 * 1024 * 1024
}

/// Listing is slower than other calls.
fn half_a_minute() -> Span {
    Span(Duration::from_secs(30))
}
