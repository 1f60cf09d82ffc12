//! What the one who starts the simulator may choose, and the fixed credentials that it accepts.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

/// The partner tenant that the simulator plays.
pub(crate) const TENANT_ID: &str = "7e57ab1e-0000-4000-8000-000000000007";
/// The one application that may sign in.
pub(crate) const CLIENT_ID: &str = "c11e0000-0000-4000-8000-00000000000c";
/// The secret of that application.
pub(crate) const CLIENT_SECRET: &str = "simulator-secret";
/// The person on whose behalf a refresh token acts.
pub(crate) const USER: &str = "soc@partner.example";

/// How something ends that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationEnd {
    /// As wanted.
    Success,
    /// Without effect.
    Failure,
}

/// How the simulator behaves when no fault is injected.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each switches something that has nothing to do with the others")]
pub struct Options {
    /// Where it listens; anything but the loopback address belongs inside a container's own network only.
    pub host: IpAddr,
    /// How clients reach it, when that is not the address it listens on; links in answers begin with it.
    pub public_url: Option<String>,
    /// Port of the HTTP services; 0 takes a free one.
    pub port: u16,
    /// Port of the mail server; 0 takes a free one.
    pub smtp_port: u16,
    /// Decides the customers, the dice of faults and the jitter: the same seed gives the same of each.
    pub seed: u64,
    /// Where every ledger entry is also appended as a JSON line and synced to disk before the answer leaves.
    pub ledger: Option<PathBuf>,
    /// How many customers the partner has.
    pub customers: usize,
    /// How long a cancelled Azure subscription still reads `active`; about ten minutes at Microsoft.
    pub cancel_delay: Duration,
    /// Status of the answer to a cancellation: the article documents 200, the REST reference 202.
    pub cancel_status: u16,
    /// How long a machine of a customer's takes to be deallocated; zero answers 200 at once, anything else 202.
    pub deallocate_delay: Duration,
    /// How deallocations end.
    pub deallocate_end: OperationEnd,
    /// Alerts per Graph page, when the client does not ask for fewer.
    pub page_size: usize,
    /// Whether Graph pages as it may and seldom does: an empty page before the first, and the last alert of a page again on the next.
    pub odd_pages: bool,
    /// How long a device code is good.
    pub device_lifetime: Duration,
    /// How often a program may ask whether a person has entered it.
    pub device_interval: Duration,
    /// The certificate with which the application may prove who it is, in place of its secret, as PEM; without one, a proof of the right form does.
    pub client_certificate: Option<String>,
    /// How long an access token is accepted.
    pub token_lifetime: Duration,
    /// Whether a new alert is announced with a signed callback to the registered webhook.
    pub notify: bool,
    /// Whether tokens that act for a person carry the proof of multi-factor sign-in.
    pub mfa: bool,
    /// How long the answer to an `MS-RequestId` is remembered; `None` is for ever. Microsoft does not document it.
    pub request_id_memory: Option<Duration>,
    /// Whether a subscription update must name the current etag; turn off to play a server that ignores `If-Match`.
    pub enforce_etag: bool,
    /// Spacing of the ten attempts to deliver a callback that was not answered with success.
    pub callback_retry: Duration,
    /// Waiting time before every request is looked at.
    pub latency: Duration,
    /// Up to so much is added to `latency`, by the seeded dice.
    pub latency_jitter: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            public_url: None,
            port: 0,
            smtp_port: 0,
            seed: 1,
            ledger: None,
            // More than one page of anything, and still readable on one screen.
            customers: 20,
            // Long enough that a client must poll, short enough for a test.
            cancel_delay: Duration::from_secs(2),
            cancel_status: 200,
            deallocate_delay: Duration::from_secs(2),
            deallocate_end: OperationEnd::Success,
            page_size: 10,
            odd_pages: false,
            device_lifetime: Duration::from_mins(15),
            device_interval: Duration::from_secs(5),
            client_certificate: None,
            token_lifetime: Duration::from_secs(3599),
            notify: true,
            mfa: true,
            request_id_memory: None,
            enforce_etag: true,
            callback_retry: Duration::from_secs(1),
            latency: Duration::ZERO,
            latency_jitter: Duration::ZERO,
        }
    }
}
