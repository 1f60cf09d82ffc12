//! A stand-in for the services that Quell talks to: Microsoft's login, Graph partner security alerts, Partner Center,
//! Slack, Teams, `PagerDuty` and a mail server, in one process, with a ledger of every request and what it changed.
//!
//! It is not a mock: requests travel over real sockets, answers have the documented shapes, and failures (a cut
//! connection after the effect, a truncated body, a throttle) happen on the wire. The ledger is the truth that tests
//! compare Quell's own journal with.
//!
//! - `simulator` is the handle that tests hold; `options` is what they may choose.
//! - `server` accepts connections and decides, with `fault`, the fate of each request.
//! - `services` holds one module per imitated service; each is a function from state and request to an answer.
//! - `state` is everything that can change; `world` is what it starts with, `cloud` what customers have themselves; `ledger` is what happened.
//! - `trouble` is what a person has to put right; `fault` what happens to single requests.
//! - `signing` makes certificates and signed callbacks; `callback` delivers them; `smtp` is the mail server.

mod answer;
mod call;
mod callback;
mod cloud;
mod core;
mod fault;
mod ledger;
mod options;
mod payload;
mod seed;
mod server;
mod services;
mod signing;
mod simulator;
mod smtp;
mod state;
mod tasks;
mod trouble;
mod world;

pub use cloud::{Assignment, AzureSubscription, Cloud, Machine, ManagedDisk, Power, User};
pub use fault::{Fault, FaultKind};
pub use ledger::{Counts, Effect, Entry};
pub use options::{OperationEnd, Options};
pub use seed::{AlertSeed, Notify};
pub use signing::{Event, Placement, Tamper};
pub use simulator::Simulator;
pub use trouble::Trouble;
pub use world::{Customer, Entitlement, EntitlementStatus, Plan, PlanStatus};
