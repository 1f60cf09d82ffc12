//! One received HTTP request, read whole and taken apart, so that services never touch a socket.

use hyper::{HeaderMap, http::request::Parts};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A request as the services see it.
#[derive(Debug)]
pub(crate) struct Call {
    /// When it arrived; the only clock that services know.
    pub(crate) now: Timestamp,
    pub(crate) method: String,
    /// Path and query as they were sent.
    pub(crate) target: String,
    /// Path segments, percent-decoded.
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn new(parts: Parts, body: Vec<u8>, now: Timestamp) -> Self {
        let uri = parts.uri;
        let segments = uri.path().split('/').filter(|part| !part.is_empty());
        Self {
            now,
            method: parts.method.as_str().to_owned(),
            target: uri.path_and_query().map_or_else(String::new, ToString::to_string),
            segments: segments.map(percent_decoded).collect(),
            query: form_pairs(uri.query().unwrap_or_default()),
            headers: parts.headers,
            body,
        }
    }

    /// The first path segment names the imitated service.
    pub(crate) fn service(&self) -> &str {
        self.segments.first().map_or("", String::as_str)
    }

    /// The path segments after the service's name.
    pub(crate) fn rest(&self) -> Vec<&str> {
        self.segments.iter().skip(1).map(String::as_str).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A query parameter, found without regard to case as Microsoft's services do.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A JSON object whose names begin with a lower-case letter, whatever the client sent: `WebhookUrl` is `webhookUrl`.
    pub(crate) fn object(&self) -> Option<Map<String, Value>> {
        match self.json().map(camel_case) {
            Some(Value::Object(fields)) => Some(fields),
            _ => None,
        }
    }

    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_pairs(&String::from_utf8_lossy(&self.body))
    }

    /// The token of an `Authorization: Bearer` header.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// The customer named in the path, or the partner: what Partner Center throttles by.
    pub(crate) fn throttle_key(&self) -> &str {
        let mut parts = self.segments.iter();
        let customer = parts.find(|part| *part == "customers").and_then(|_| parts.next());
        customer.map_or("partner", String::as_str)
    }
}

/// Decodes `a=b&c=d`, where a plus sign is a space.
fn form_pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| percent_decoded(&text.replace('+', " "));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        let (byte, used) = escaped.map_or((first, 0), |(high, low)| (high * 16 + low, 2));
        bytes.push(byte);
        rest = after.get(used..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok())
}

fn camel_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (lower_first(&name), camel_case(value))).collect()),
        Value::Array(items) => Value::Array(items.into_iter().map(camel_case).collect()),
        other => other,
    }
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase()).into_iter();
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        let table = [("a%20b", "a b"), ("100%", "100%"), ("%zz", "%zz"), ("%C3%A9", "é")];
        for (text, expected) in table {
            assert_eq!(percent_decoded(text), expected);
        }
    }

    #[test]
    fn a_form_reads_plus_as_space() {
        assert_eq!(form_pairs("a=1+2&b"), [("a".into(), "1 2".into()), ("b".into(), String::new())]);
    }
}
