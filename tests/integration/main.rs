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

/// A test for each promise on each bus, with what `embedded` and `rabbitmq` of the calling module set up.
macro_rules! on_both_buses {
    ($($promise:ident),+ $(,)?) => {
        mod embedded_bus {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::embedded().await).await;
            })+
        }
        mod rabbitmq_bus {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::rabbitmq().await).await;
            })+
        }
    };
}

mod approvals;
mod audit;
mod broken;
mod broker_down;
mod broker_harm;
mod bus;
mod check;
mod commands;
mod crash;
mod disk;
mod doctor;
mod editor;
mod equation;
mod foresight;
mod intake;
mod kill;
mod load;
mod login;
mod network;
mod nodes;
mod people;
mod playbook_errors;
mod recovery;
mod reload;
mod restore;
mod rollback;
mod secrets;
mod shipped;
mod shutdown;
mod signals;
mod soc_bus;
mod spine;
mod trial;
mod webhook;
mod world;
