//! Why a request was not taken, and the answer that says so: `{"error": {"code", "message", "help"}}`.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// A request that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// A stable word for machines.
    pub code: &'static str,
    /// What was wrong, for the sender.
    pub message: String,
    /// What the sender can do.
    pub help: &'static str,
    /// What was wrong, for our log alone.
    pub detail: Option<String>,
    /// What the status asks for beside the body.
    pub header: Option<Box<(HeaderName, HeaderValue)>>,
}

/// Long enough for a broker's restart, short enough that an alert is not old when it comes again.
const COME_BACK_IN_SECONDS: u64 = 5;

impl Refusal {
    /// A refusal that says the same to the sender and to the log.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>, help: &'static str) -> Self {
        Self { status, code, message: message.into(), help, detail: None, header: None }
    }

    /// The body cannot be read or understood; the same request will never be taken.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, "correct the request; sending it again as it is will not help")
    }

    /// The sender has not shown who it is. The answer never says which part was wrong; the log does.
    pub fn unauthorized(challenge: &'static str, detail: impl Into<String>) -> Self {
        let help = "check the credentials of the sender against the adapter's settings; the log of this program says more";
        let refusal = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "the request is not authenticated", help);
        Self { detail: Some(detail.into()), ..refusal.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge)) }
    }

    /// The alert cannot be kept now; it was not taken, and the sender should come back.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the alert cannot be taken now", "send it again later");
        Self { detail: Some(detail.into()), ..refusal }.come_back_in(COME_BACK_IN_SECONDS)
    }

    /// The same refusal, asking to be left alone for a while.
    #[must_use]
    pub fn come_back_in(self, seconds: u64) -> Self {
        self.with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The same refusal with a header.
    #[must_use]
    pub fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    /// What the log says.
    pub fn reason(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message, "help": self.help}});
        let mut response = (self.status, Json(body)).into_response();
        if let Some((name, value)) = self.header.map(|header| *header) {
            response.headers_mut().insert(name, value);
        }
        // What was not read to its end would be taken for the next request.
        if matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
