//! The web: one listener for webhooks, health, metrics, the API and a page that says what is running.
//!
//! This file keeps connections within limits and ends them; [`routes`] says what is where.

mod alerts;
mod approvals;
mod person;
mod reload;
mod routes;
mod runs;

use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tracing::{debug, warn};

use self::reload::Peer;
pub use self::{
    approvals::Approvals,
    reload::{Reload, Reloaded},
    routes::{Behind, Playbooks, Readiness, Ready},
    runs::Runs,
};
use crate::{lifecycle::Stop, people::SHORTEST_TOKEN, secret::Secret};

/// Where the web listens, and whom it obeys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// The address.
    pub listen: SocketAddr,
    /// What a request below `/api/` shows as `Authorization: Bearer …`. Without it nothing is served there.
    pub api_token: Option<Secret>,
}

/// A bound listener with everything that it answers.
#[derive(Debug)]
pub struct Web {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

/// More than any sender opens; each costs a file descriptor and some kilobytes.
const MOST_CONNECTIONS: usize = 512;

/// Senders of webhooks have a dozen headers. Browsers have more, and proxies add some.
const MOST_HEADERS: usize = 64;
const MOST_HEADER_BYTES: usize = 16 * 1024;

/// Who needs longer for a request's head is not sending one. It also ends idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// However busy it is, a connection makes room after a while.
const LONGEST_CONNECTION: Duration = Duration::from_mins(10);

/// An answer that is under way may take as long as a request may.
const GRACE: Duration = routes::REQUEST_TIMEOUT;

impl Default for WebConfig {
    /// This machine alone: what should be reachable from elsewhere is a decision.
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 8080).into(), api_token: None }
    }
}

impl WebConfig {
    /// What is wrong with the settings, if anything is.
    pub fn fault(&self) -> Option<String> {
        let is_guessed = self.api_token.as_ref().is_some_and(|token| token.expose().len() < SHORTEST_TOKEN);
        is_guessed.then(|| format!("`web.api_token` is shorter than {SHORTEST_TOKEN} characters; `openssl rand -hex 32` makes one"))
    }
}

impl Web {
    /// Takes the address. Answers only when it runs.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub async fn bind(config: &WebConfig, behind: Behind) -> anyhow::Result<Self> {
        let wanted = config.listen;
        let advice = |error| anyhow::anyhow!("listen on {wanted}: {error}; end the program that has it, or set `web.listen` to another");
        let listener = TcpListener::bind(wanted).await.map_err(advice)?;
        let address = listener.local_addr().map_err(advice)?;
        Ok(Self { listener, address, router: routes::router(config, behind) })
    }

    /// Where it listens; tells the port when any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the program should end, and then what is under way.
    pub async fn run(self, stop: Stop) {
        let seats = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut connections = JoinSet::new();
        // The semaphore is never closed, so a seat is always had in the end.
        while let Some(Ok(seat)) = stop.or(Arc::clone(&seats).acquire_owned()).await {
            while connections.try_join_next().is_some() {}
            match stop.or(self.listener.accept()).await {
                Some(Ok((stream, peer))) => {
                    let (router, stop) = (self.router.clone().layer(Extension(Peer(peer))), stop.clone());
                    connections.spawn(async move {
                        serve(stream, router, &stop).await;
                        drop(seat);
                    });
                }
                Some(Err(error)) => {
                    warn!(%error, "a connection cannot be accepted: {error}");
                    // The usual reason is that file descriptors ran out; they come back.
                    stop.sleep(Duration::from_millis(100)).await;
                }
                None => break,
            }
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}

/// Answers the requests of one connection, and lets go of it in bounded time.
async fn serve(stream: TcpStream, router: Router, stop: &Stop) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MOST_HEADERS)
        .max_header_size(MOST_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.requested() => None,
        () = tokio::time::sleep(LONGEST_CONNECTION) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early: {error}");
    }
}

#[cfg(test)]
mod tests;
