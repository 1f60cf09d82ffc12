//! `http.request`: one HTTP request to any service, without any credential of Quell's own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Action, Context, Done, Failure, FailureKind};
use crate::{
    net::{self, Reply, Request, Url},
    run::Class,
};

/// Sends one HTTP request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpRequest {
    /// The method. What `GET` and `HEAD` do not tell may be asked again; any other request is never repeated by itself.
    #[serde(default)]
    method: Method,
    /// An `https` URL. Private addresses and plain `http` must be listed under `net.allow`.
    url: String,
    /// Headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Parameters that are added to the URL, percent-encoded: use them for anything that comes from an alert.
    #[serde(default)]
    query: BTreeMap<String, String>,
    /// The body: a text is sent as it is, anything else as JSON.
    #[serde(default)]
    body: Option<Value>,
    /// The statuses that count as success; any 2xx if left out.
    #[serde(default)]
    expect: Vec<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// What a step can use; more would only fill the store.
const LONGEST_BODY: usize = 256 * 1024;

/// Headers with which a service answers a secret, or nothing of use to a step.
const WITHHELD: &[&str] = &["set-cookie", "authorization", "www-authenticate", "strict-transport-security", "content-security-policy"];

/// A header longer than this is no value to decide on.
const LONGEST_HEADER: usize = 500;

impl Action for HttpRequest {
    const NAME: &'static str = "http.request";
    const SUMMARY: &'static str = "Send one HTTP request";
    const EXAMPLE: &'static str =
        r#"{ "method": "POST", "url": "https://tickets.contoso.com/api/tickets", "body": { "title": "${alert.title}" }, "expect": [201] }"#;
    const CLASS: Class = Class::Unsafe;

    fn class(&self) -> Class {
        if self.reads() { Class::Read } else { Class::Unsafe }
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let reply = ctx.services.net.send(self.request()?).await?;
        if self.is_expected(reply.status) {
            return Ok(Done::Now(output(&reply)));
        }
        let mut failure = Failure::from_reply("the service", &reply);
        // Nothing is known about this service: that it refuses before it works, or what a success means that was not expected.
        if !self.reads() && matches!(reply.status, 200..300 | 429 | 503) {
            failure.kind = FailureKind::Unknown;
        }
        Err(failure)
    }
}

impl HttpRequest {
    fn reads(&self) -> bool {
        match self.method {
            Method::Get | Method::Head => true,
            Method::Post | Method::Put | Method::Patch | Method::Delete => false,
        }
    }

    fn is_expected(&self, status: u16) -> bool {
        if self.expect.is_empty() { (200..300).contains(&status) } else { self.expect.contains(&status) }
    }

    fn request(&self) -> Result<Request, Failure> {
        let mut url = Url::parse(&self.url).map_err(|error| Failure::rejected(format!("`url` is not a URL: {error}")))?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut request = Request::new(self.method.into(), url).at_most(LONGEST_BODY);
        match &self.body {
            Some(Value::String(text)) => request = request.body(text.as_str(), "text/plain; charset=utf-8"),
            Some(body) => request = request.json(body),
            None => {}
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(request)
    }
}

impl From<Method> for net::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

fn output(reply: &Reply) -> Value {
    let shown = |name: &str| !WITHHELD.contains(&name);
    let headers = reply.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let headers = headers.filter(|(name, value)| shown(name) && value.len() <= LONGEST_HEADER);
    let headers: Map<String, Value> = headers.map(|(name, value)| (name.to_owned(), value.into())).collect();
    let body = match reply.json() {
        Ok(body) => body,
        Err(_) => String::from_utf8_lossy(&reply.body).into_owned().into(),
    };
    json!({ "status": reply.status, "headers": headers, "body": body })
}
