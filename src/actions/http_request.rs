//! `http.request`: one HTTP request to any service, with no credential but the secrets that the step names.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Action, Context, Done, Failure, FailureKind};
use crate::{
    net::{self, Reply, Request, Url},
    run::Class,
    secret::Secrets,
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
    const TAKES_SECRETS: bool = true;

    fn class(&self) -> Class {
        if self.reads() { Class::Read } else { Class::Unsafe }
    }

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        let reply = ctx.services.net.send(self.request(&ctx.services.secrets)?).await?;
        if self.is_expected(reply.status) {
            // It will be done later, so a step's `verify` must see it; without one nobody can look.
            if reply.status == 202 && !self.reads() {
                return Ok(Done::Accepted(output(&reply)));
            }
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

    fn request(&self, secrets: &Secrets) -> Result<Request, Failure> {
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
        // An excerpt of a refusal could end amid one, and then it could not be found any more.
        Ok(secrets.values().fold(request, Request::withhold))
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

#[cfg(test)]
mod tests {
    use quell_simulator::{Fault, FaultKind, Options};

    use super::{
        super::contract::{Bench, prepare},
        *,
    };

    async fn send(bench: &Bench, with: Value) -> Result<Value, Failure> {
        match bench.perform(&prepare("http.request", with)).await? {
            Done::Now(output) | Done::Found(output) | Done::Accepted(output) => Ok(output),
        }
    }

    #[test]
    fn only_what_reads_may_be_repeated() {
        for (method, class) in [("GET", Class::Read), ("HEAD", Class::Read), ("POST", Class::Unsafe), ("DELETE", Class::Unsafe)] {
            assert_eq!(prepare("http.request", json!({ "method": method, "url": "https://a.example/" })).class(), class);
        }
    }

    #[tokio::test]
    async fn an_answer_is_given_to_the_playbook() {
        let bench = Bench::new(Options::default()).await;
        let url = format!("{}/v2/enqueue", bench.simulator.pagerduty_url());
        let event =
            json!({ "routing_key": "k", "event_action": "trigger", "payload": { "summary": "s", "source": "q", "severity": "error" } });
        let output = send(&bench, json!({ "method": "POST", "url": url, "body": event, "expect": [202] })).await.unwrap();
        assert_eq!((&output["status"], &output["body"]["status"]), (&202.into(), &"success".into()));
        assert!(output["headers"]["content-type"].is_string());
    }

    #[tokio::test]
    async fn what_is_put_into_the_query_cannot_leave_it() {
        let bench = Bench::new(Options::default()).await;
        let url = format!("{}/x", bench.simulator.slack_url());
        drop(send(&bench, json!({ "url": url, "query": { "q": "a&b=c#d/../e" } })).await);
        assert!(bench.simulator.ledger().pop().unwrap().path.ends_with("/x?q=a%26b%3Dc%23d%2F..%2Fe"));
    }

    #[tokio::test]
    async fn a_private_destination_gets_no_packet() {
        let mut bench = Bench::new(Options::default()).await;
        bench.services.net = net::Net::new(&net::NetConfig::default()).unwrap();
        for url in [
            "http://169.254.169.254/latest",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://[::ffff:169.254.169.254]/",
            "https://localhost/",
            "http://example.com/",
            "file:///etc/passwd",
            "https://user:pw@example.com/",
            "no url",
        ] {
            let failure = send(&bench, json!({ "url": url })).await.unwrap_err();
            assert_eq!((failure.kind, failure.http_status), (FailureKind::Rejected, None), "{url}: {failure}");
        }
    }

    #[tokio::test]
    async fn a_header_that_would_split_the_request_is_refused() {
        let bench = Bench::new(Options::default()).await;
        let with = json!({ "url": bench.simulator.slack_url(), "headers": { "x-a": "b\r\nHost: evil" } });
        assert_eq!(send(&bench, with).await.unwrap_err().kind, FailureKind::Rejected);
        assert!(bench.simulator.ledger().is_empty());
    }

    #[tokio::test]
    async fn a_refusal_of_an_unknown_service_does_not_prove_that_nothing_was_done() {
        let status = |status| FaultKind::Status { status, body: None, retry_after: Some("5".to_owned()) };
        for (method, kind, expected) in [
            ("POST", status(429), FailureKind::Unknown),
            ("POST", status(503), FailureKind::Unknown),
            ("POST", status(201), FailureKind::Unknown),
            ("POST", status(404), FailureKind::Rejected),
            ("POST", FaultKind::ApplyThenDrop, FailureKind::Unknown),
            ("POST", FaultKind::Redirect { location: "http://169.254.169.254/".to_owned() }, FailureKind::Rejected),
            ("GET", status(429), FailureKind::NotDone),
            ("GET", status(503), FailureKind::NotDone),
            ("GET", status(500), FailureKind::Unknown),
        ] {
            let bench = Bench::new(Options::default()).await;
            let said = format!("{method} {kind:?}");
            bench.simulator.fault(Fault::always(kind));
            let with = json!({ "method": method, "url": bench.simulator.slack_url(), "expect": [200] });
            assert_eq!(send(&bench, with).await.unwrap_err().kind, expected, "{said}");
            assert_eq!(bench.simulator.ledger().len(), 1, "{said}");
        }
    }
}
