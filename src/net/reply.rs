//! An answer, read whole.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::{
    net::NetError,
    retry::LONGEST_RETRY_AFTER,
    secret::{self, Secret},
};

/// What the other side answered. Its `Debug` form shows no header and no body.
#[derive(Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most as long as the request allowed.
    pub body: Vec<u8>,
}

/// Enough to recognise what is wrong, short enough for a line.
const EXCERPT: usize = 300;

impl Reply {
    /// Whether the status says success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; a byte order mark before it is ignored.
    ///
    /// # Errors
    /// [`NetError::Unknown`]: something answered, and nobody knows what.
    pub fn json(&self) -> Result<Value, NetError> {
        let bytes = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body);
        serde_json::from_slice(bytes).map_err(|error| NetError::Unknown(format!("the answer ({}) is not JSON: {error}", self.status)))
    }

    /// A header, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the other side asks to be left alone: seconds, a fraction of them, or a date. Nonsense is no request.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        let wait = match text.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_RETRY_AFTER),
            Ok(_) => return None,
            Err(_) => {
                let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
                Duration::try_from(date.duration_since(now)).unwrap_or_default()
            }
        };
        Some(wait.min(LONGEST_RETRY_AFTER))
    }

    /// The answer with `***` where its body repeats a secret.
    pub(super) fn without(mut self, secrets: &[Secret]) -> Self {
        for withheld in secrets.iter().map(Secret::expose).filter(|it| it.len() >= secret::SHORTEST) {
            let text = String::from_utf8_lossy(&self.body);
            if text.contains(withheld) {
                self.body = text.replace(withheld, secret::MASK).into_bytes();
            }
        }
        self
    }

    /// The beginning of the body as one line for people; a web page is only called so.
    pub fn text_excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        if text.trim_start().starts_with('<') {
            return "a web page".to_owned();
        }
        text.trim().chars().map(|it| if it.is_control() { ' ' } else { it }).take(EXCERPT).collect()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply {} with {} bytes", self.status, self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(retry_after: &str) -> Reply {
        let headers = HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, retry_after.parse().unwrap())]);
        Reply { status: 429, headers, body: Vec::new() }
    }

    #[test]
    fn a_request_to_wait_is_read_in_all_its_spellings() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let waits = |text: &str| reply(text).retry_after(now).map(|it| it.as_millis());
        assert_eq!(waits("57"), Some(57_000));
        assert_eq!(waits("2.128"), Some(2_128));
        assert_eq!(waits("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7_000));
        assert_eq!(waits("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(waits("1000000000"), Some(3_600_000));
        assert_eq!(waits("1e300"), Some(3_600_000));
        for nonsense in ["-5", "NaN", "inf", "soon", ""] {
            assert_eq!(waits(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_json() {
        let reply = Reply { body: b"\xef\xbb\xbf{\"a\":1}".to_vec(), ..reply("1") };
        assert_eq!(reply.json().unwrap()["a"], 1);
    }

    #[test]
    fn a_refusal_does_not_repeat_a_secret() {
        let secrets = ["canary/token", "", "no"].map(Secret::new);
        let reply = Reply { body: b"{\"error\": \"not known: Bearer canary/token\"}".to_vec(), ..reply("1") }.without(&secrets);
        assert_eq!(reply.json().unwrap()["error"], "not known: Bearer ***");
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        let of = |body: &[u8]| Reply { body: body.to_vec(), ..reply("1") }.text_excerpt();
        assert_eq!(of(b"bad\r\nthing\x1b[31m"), "bad  thing [31m");
        assert_eq!(of(b" <!DOCTYPE html><p>x"), "a web page");
        assert_eq!(of("é".repeat(900).as_bytes()).chars().count(), 300);
    }
}
