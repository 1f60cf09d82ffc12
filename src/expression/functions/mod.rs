//! The functions that Quell adds to rhai's own: about alerts, lists, texts and time; and what all functions do, with an example of each.
//!
//! Each is a function of its arguments alone. None changes its argument: values in a scope are constants. None makes more than the limits
//! allow before the engine could count it.

mod alerts;
mod catalog;
mod lists;
mod patterns;
mod required;
mod texts;
mod time;

use std::sync::Arc;

use rhai::{Engine, EvalAltResult};

pub use self::{
    alerts::is_in_range,
    catalog::{FUNCTIONS, Function, RHAI_FUNCTIONS},
    patterns::Pattern,
};
use super::Tables;

type Outcome<T> = Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine, tables: &Arc<Tables>) {
    alerts::register(engine, tables);
    lists::register(engine);
    texts::register(engine);
    time::register(engine);
}
