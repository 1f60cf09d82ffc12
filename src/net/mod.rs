//! The one HTTP client: every request to the outside passes here, once, and its outcome is told precisely.
//!
//! A redirect is an answer, nothing is sent twice, no proxy or cookie is picked up on the way, and private addresses are
//! out of reach unless the settings name them. No error text holds a path, a query, a token or a body.

mod guard;
mod range;
mod reply;
mod request;

use std::{error::Error as _, fmt, path::PathBuf, sync::Arc, time::Duration};

pub use reqwest::{Method, header::HeaderMap};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use schemars::JsonSchema;
use serde::Deserialize;
pub use url::Url;

pub use self::{reply::Reply, request::Request};

use self::guard::{Forbidden, Guard};

/// Settings of the HTTP client.
#[derive(Deserialize, JsonSchema, Default, Debug, Clone)]
#[serde(default, deny_unknown_fields)]
pub struct NetConfig {
    /// What may be reached although it is private or speaks plain HTTP: host names, addresses, ranges such as
    /// `10.1.0.0/16`, each but a range also with a port.
    pub allow: Vec<String>,
    /// A PEM file with certificate authorities that are trusted besides those of the operating system.
    pub certificate_authority: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The guard or the URL forbids it: nothing was sent.
    #[error("{0}")]
    Refused(String),
    /// No connection came about: the request was certainly not executed.
    #[error("{0}")]
    NotSent(String),
    /// The request may have been executed: the answer did not come, or not whole.
    #[error("{0}")]
    Unknown(String),
}

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub struct Net(Arc<Inner>);

struct Inner {
    guard: Arc<Guard>,
    /// For what only reads: connections are used again.
    reading: reqwest::Client,
    /// For what changes something: a new connection each time, because one that the other side has just closed would leave
    /// it unknown whether the request was executed.
    changing: reqwest::Client,
}

/// Long enough for a handshake across the world; a host that takes longer is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Net {
    /// Builds the client.
    ///
    /// # Errors
    /// Names the entry of `allow` or the certificate file that cannot be used.
    pub fn new(config: &NetConfig) -> Result<Self, NetError> {
        Self::with_patience(config, CONNECT_TIMEOUT)
    }

    fn with_patience(config: &NetConfig, patience: Duration) -> Result<Self, NetError> {
        let guard = Arc::new(Guard::parse(&config.allow).map_err(NetError::Refused)?);
        let tls = tls(config)?;
        // Ten connections to one host are more than the rate limits of Microsoft allow to use.
        let reading = client(tls.clone(), &guard, 10, patience)?;
        let changing = client(tls, &guard, 0, patience)?;
        Ok(Self(Arc::new(Inner { guard, reading, changing })))
    }

    /// Sends a request once and reads its answer whole.
    ///
    /// # Errors
    /// [`NetError`] tells whether the request can have been executed. An answer of any status is no error.
    pub async fn send(&self, request: Request) -> Result<Reply, NetError> {
        let place = request.place();
        self.0.guard.admit(request.url()).map_err(|why| NetError::Refused(format!("{place}: {why}")))?;
        let client = if request.method().is_safe() { &self.0.reading } else { &self.0.changing };
        let (most, withheld) = (request.most(), request.withheld());
        let request = request.finish().map_err(|why| NetError::Refused(format!("{place}: {why}")))?;
        let answer = client.execute(request).await.map_err(|error| explain(&error, &place))?;
        let reply = read(answer, most, &place).await?;
        Ok(if reply.is_success() { reply } else { reply.without(&withheld) })
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

/// Trust in the operating system's authorities and the configured ones, with no switch to verify less.
fn tls(config: &NetConfig) -> Result<ClientConfig, NetError> {
    let mut roots = RootCertStore::empty();
    // Without any authority every `https` request fails with a clear error; the rest of the program works.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &config.certificate_authority {
        let unusable = |error: String| NetError::Refused(format!("read the certificate authority `{}`: {error}", path.display()));
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| NetError::Refused(format!("set up TLS: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that builds a client")]
fn client(tls: ClientConfig, guard: &Arc<Guard>, idle_connections: usize, patience: Duration) -> Result<reqwest::Client, NetError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::clone(guard))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(patience)
        .pool_max_idle_per_host(idle_connections)
        .user_agent(concat!("quell/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| NetError::Refused(format!("set up the HTTP client: {error}")))
}

async fn read(mut answer: reqwest::Response, most: usize, place: &str) -> Result<Reply, NetError> {
    let too_long = || NetError::Unknown(format!("{place}: the answer is longer than {most} bytes"));
    let announced = answer.content_length().unwrap_or_default();
    if usize::try_from(announced).unwrap_or(usize::MAX) > most {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| explain(&error, place))? {
        if body.len() + chunk.len() > most {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status: answer.status().as_u16(), headers: answer.headers().clone(), body })
}

/// What a failure tells about the request. The client's own text is left out: it shows the whole URL.
fn explain(error: &reqwest::Error, place: &str) -> NetError {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        if cause.is::<Forbidden>() {
            return NetError::Refused(format!("{place}: {cause}"));
        }
    }
    if error.is_builder() {
        return NetError::Refused(format!("{place}: the request cannot be built"));
    }
    if error.is_connect() {
        return NetError::NotSent(format!("{place}: no connection: {cause}"));
    }
    if error.is_timeout() {
        return NetError::Unknown(format!("{place}: no whole answer in time"));
    }
    if error.source().is_none() {
        return NetError::Unknown(format!("{place}: the exchange failed"));
    }
    NetError::Unknown(format!("{place}: the connection broke: {cause}"))
}

#[cfg(test)]
mod tests;
