//! The simulator seen from outside: every test starts its own and speaks to it over the network.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic, and these are a client of their own, outside Quell"
)]

mod admin;
mod callbacks;
mod faults;
mod graph;
mod login;
mod mail;
mod partner_center;
mod sinks;
mod support;
mod tenants;
mod troubles;
