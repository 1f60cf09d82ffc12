//! Real servers for the integration tests: a broker that can be killed, a mail server, a network that can fail.
//!
//! Nothing here imitates Quell's own types.
#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test binary takes what it needs of it")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    let_underscore_drop,
    clippy::let_underscore_must_use,
    reason = "a test that cannot have its server fails, saying why; what fails while cleaning up is of no interest"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the house rules keep the product apart from the environment and from loose tasks; this code is the environment"
)]

pub mod broker;
pub mod lab;
pub mod long;
pub mod ports;
pub mod postgres;
pub mod smtp;
pub mod tcp_proxy;
