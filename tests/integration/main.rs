//! Quell from the outside: real processes, a real broker, a real mail server, and the simulator for what is Microsoft's.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests are the outside, say what they saw, and may panic"
)]

#[path = "../support/mod.rs"]
mod support;

mod broker_down;
mod bus;
mod commands;
mod intake;
mod kill;
mod load;
mod shipped;
mod signals;
mod spine;
mod world;
