//! One webhook as the web mounts it: limits before anything is read, authentication before anything is understood.
//!
//! The answer is a success only after the bus has confirmed, so that a sender who was told so may forget the alert.

mod json;
mod rate;
mod refusal;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::{Instrument, info_span};

pub use self::refusal::Refusal;
pub(super) use self::{
    json::parse,
    rate::{Bucket, Rate},
};
use super::inlet::Inlet;
use crate::{bus::BoxFuture, failpoints};

/// Answers the requests to one path.
#[derive(Clone)]
pub struct Hook {
    /// The adapter's name.
    pub adapter: String,
    /// Where it listens; may hold a secret, so it is never logged.
    pub path: String,
    inlet: Inlet,
    max_body: usize,
    rate: Arc<Bucket>,
    receiver: Arc<dyn Receiver>,
}

/// What a webhook member does: it checks who sent a request, then takes it.
pub(super) trait Receiver: Send + Sync + 'static {
    /// Checks who sent it, from the bytes alone. Returns the sender's identifier of this message, where the scheme has one.
    fn authenticate<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<Option<String>, Refusal>>;

    /// Understands it and puts it on the bus.
    fn accept<'a>(&'a self, delivered: &'a Delivered, message_id: Option<&'a str>) -> BoxFuture<'a, Result<Taken, Refusal>>;
}

/// A request that was read.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) headers: HeaderMap,
    /// The bytes as they came; signatures are over these.
    pub(super) body: Bytes,
    pub(super) now: Timestamp,
}

/// A request that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

/// How much a webhook takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_body: usize,
    pub(super) rate: Rate,
}

/// An alert with everything its source knows is a tenth of this.
pub(super) const DEFAULT_MAX_BODY: usize = 64 * 1024;

/// A sender that needs longer for so small a body is not sending.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

impl Hook {
    pub(super) fn new(path: String, inlet: Inlet, limits: Limits, receiver: impl Receiver) -> Self {
        let rate = Arc::new(Bucket::new(limits.rate));
        Self { adapter: inlet.adapter.clone(), path, inlet, max_body: limits.max_body, rate, receiver: Arc::new(receiver) }
    }

    /// Answers one request and counts the answer.
    pub async fn answer(&self, request: Request) -> Response {
        let span = info_span!("webhook", adapter = self.adapter);
        let taken = self.receive(request).instrument(span).await;
        let (status, detail) = match &taken {
            Ok(taken) => (taken.status, String::new()),
            Err(refusal) => (refusal.status, refusal.reason().to_owned()),
        };
        self.inlet.signals.webhook_answered(&self.adapter, status.as_u16(), &detail);
        match taken {
            Ok(taken) => (taken.status, Json(taken.body)).into_response(),
            Err(refusal) => refusal.into_response(),
        }
    }

    async fn receive(&self, request: Request) -> Result<Taken, Refusal> {
        if request.method() != Method::POST {
            let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "a webhook takes `POST` alone", "use `POST`");
            return Err(refusal.with(header::ALLOW, HeaderValue::from_static("POST")));
        }
        let (head, body) = request.into_parts();
        plain_json_announced(&head.headers)?;
        let body = self.read(&head.headers, body).await?;
        let delivered = Delivered { headers: head.headers, body, now: Timestamp::now() };
        let message_id = self.receiver.authenticate(&delivered).await?;
        // After authentication, so that a stranger cannot use up what belongs to the sender.
        self.rate.take(Instant::now()).map_err(too_many)?;
        failpoints::crash("request_read");
        let taken = self.receiver.accept(&delivered, message_id.as_deref()).await;
        failpoints::crash("request_taken");
        taken
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > self.max_body) {
            return Err(self.too_large());
        }
        let Ok(read) = tokio::time::timeout(BODY_TIMEOUT, self.collect(body)).await else {
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come in time", "send it at once"));
        };
        read
    }

    async fn collect(&self, body: Body) -> Result<Bytes, Refusal> {
        let mut collected = Vec::new();
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| Refusal::bad_request("broken_body", format!("the body broke off: {error}")))?;
            if collected.len() + piece.len() > self.max_body {
                return Err(self.too_large());
            }
            collected.extend_from_slice(&piece);
        }
        Ok(collected.into())
    }

    fn too_large(&self) -> Refusal {
        let message = format!("the body has more than {} bytes", self.max_body);
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, "send less, or raise the adapter's `max_body`")
    }
}

impl Taken {
    /// The alerts of these identifiers are on the bus.
    pub(super) fn alerts(status: StatusCode, ids: &[String], many: bool) -> Self {
        let body = match ids {
            [id] if !many => json!({"id": id}),
            _ => json!({"ids": ids}),
        };
        Self { status, body }
    }
}

/// What is compressed could be a thousand times larger than it looks, and what is not announced as JSON is not meant for us.
fn plain_json_announced(headers: &HeaderMap) -> Result<(), Refusal> {
    let unsupported = |message: &str, help| Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message, help));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return unsupported("compressed bodies are not taken", "send the body without `Content-Encoding`");
    }
    let announced = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let essence = announced.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json { Ok(()) } else { unsupported("the body is not announced as JSON", "set `Content-Type: application/json`") }
}

fn too_many(wait: Duration) -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests for this webhook", "send more slowly")
        .come_back_in(wait.as_secs() + 1)
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("adapter", &self.adapter).finish_non_exhaustive()
    }
}
