//! Trials: playbooks tried by `quell test` on the real engine, with a journal in memory, a clock that stands still, and a small world in
//! place of the outside.
//!
//! A file of tests is read ([`format`], [`either`], [`names`]) and made complete ([`scenario`]), each scenario is played ([`play`]) in its [`world`], and what came
//! of it is judged ([`judge`]) and counted ([`coverage`]). A [`Suite`] is a folder of playbooks with all its tests; [`mutate`] asks
//! whether those would notice a playbook that does something else. There is no second interpreter here: decider, driver and journal are the engine's.

mod coverage;
mod either;
mod format;
mod judge;
mod mutate;
mod names;
mod play;
mod report;
mod scenario;
mod suite;
#[cfg(test)]
mod tests;
mod world;

pub use coverage::{Coverage, Tally};
pub use report::{Report, Tried};
pub use suite::{Chosen, Suite, Survivor, fault};

/// The JSON Schema of a file of tests, for editors.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(format::Tests).to_value()
}
