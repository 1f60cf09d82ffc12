//! A request, built step by step. A header that cannot be sent is remembered and refused when sending.

use std::{fmt, time::Duration};

use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::secret::Secret;

/// One request. Its `Debug` form shows neither path nor headers nor body.
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
    timeout: Duration,
    most: usize,
    withheld: Vec<Secret>,
    fault: Option<String>,
}

/// Long enough for a slow service, short enough that a run notices a dead one.
const TIMEOUT: Duration = Duration::from_secs(15);

/// No answer that Quell reads comes near it; a bomb does.
const LONGEST_BODY: usize = 1024 * 1024;

/// Headers that belong to the connection, not to who asks: setting one would make the two sides disagree where a request ends.
const RESERVED: &[&str] = &["connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"];

impl Request {
    /// A request of any method.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Vec::new(),
            timeout: TIMEOUT,
            most: LONGEST_BODY,
            withheld: Vec::new(),
            fault: None,
        }
    }

    /// Reads something.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// Creates or triggers something.
    pub fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    /// Changes something.
    pub fn patch(url: Url) -> Self {
        Self::new(Method::PATCH, url)
    }

    /// Sets a header, in place of an earlier one of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
        match parsed {
            (Ok(name), _) if RESERVED.contains(&name.as_str()) => self.fault(format!("the header `{name}` is set by Quell itself")),
            (Ok(name), Ok(value)) => drop(self.headers.insert(name, value)),
            (Ok(name), Err(_)) => self.fault(format!("the value of the header `{name}` holds a control character")),
            (Err(_), _) => self.fault(format!("`{}` is not the name of a header", name.escape_debug())),
        }
        self
    }

    /// Presents a token.
    #[must_use]
    pub fn bearer(mut self, token: &Secret) -> Self {
        match HeaderValue::try_from(format!("Bearer {}", token.expose())) {
            Ok(mut value) => {
                value.set_sensitive(true);
                drop(self.headers.insert(AUTHORIZATION, value));
                self = self.withhold(token);
            }
            Err(_) => self.fault("the token holds a control character".to_owned()),
        }
        self
    }

    /// Names a secret in the request. A refusal that repeats it is read as if it had not: what is refused is shown to people.
    #[must_use]
    pub fn withhold(mut self, secret: &Secret) -> Self {
        self.withheld.push(secret.clone());
        self
    }

    /// Sends JSON.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        // A JSON value always serialises.
        let bytes = serde_json::to_vec(body).unwrap_or_default();
        self.body(bytes, "application/json")
    }

    /// Sends a form.
    #[must_use]
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body(body, "application/x-www-form-urlencoded")
    }

    /// Sends bytes.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>, content_type: &str) -> Self {
        self.body = bytes.into();
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// Bounds the whole exchange; 15 seconds unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Bounds the bytes of the answer; 1 MiB unless set.
    #[must_use]
    pub fn at_most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn withheld(&self) -> Vec<Secret> {
        self.withheld.clone()
    }

    /// Names the request in an error. The path is left out: that of a webhook is its password.
    pub(super) fn place(&self) -> String {
        format!("{} {}", self.method, self.url.origin().ascii_serialization())
    }

    pub(super) fn finish(self) -> Result<reqwest::Request, String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut request = reqwest::Request::new(self.method, self.url);
        *request.headers_mut() = self.headers;
        *request.timeout_mut() = Some(self.timeout);
        if !self.body.is_empty() {
            *request.body_mut() = Some(self.body.into());
        }
        Ok(request)
    }

    fn fault(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}
