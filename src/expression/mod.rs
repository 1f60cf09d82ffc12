//! The one script engine: rhai, closed in, for conditions and for `${ }` in the strings of playbooks and of adapters' `map`.
//!
//! [`Sandbox`] compiles, [`Scope`] holds what an evaluation may see, [`Expression`], [`Template`] and [`Script`] are what was compiled. Nothing here
//! reaches outside: no files, no network, no clock and no randomness. A script can only return a value or fail, and it fails within a second.
//!
//! Rhai is lenient where a rule must not be: by itself `5 > "x"` is false and a misspelt property is `()`. Here both are errors that name
//! what was probably meant, because a condition that is silently false is an alert that nobody answers.

mod comparison;
mod convert;
mod error;
mod functions;
pub mod limits;
mod lookups;
mod masks;
mod names;
mod program;
mod sandbox;
mod scope;
mod tables;
mod template;

pub use error::ExpressionError;
pub use functions::{FUNCTIONS, Function, Pattern, RHAI_FUNCTIONS, is_in_range};
pub use lookups::Lookups;
pub use names::{Chain, calls, chains, declared};
pub use program::{Expression, Script};
pub use sandbox::Sandbox;
pub use scope::Scope;
pub use tables::{Table, Tables};
pub use template::Template;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod traps;
