//! What one evaluation may see: named values, and the one moment that `now()` gives.

use std::fmt;

use jiff::Timestamp;
use rhai::{Array, Dynamic, Map};
use serde_json::Value;

use super::{convert::to_dynamic, limits::Evaluation};

/// The names that expressions can read, with their values. Values are constants: no expression changes what the next one sees.
#[derive(Clone)]
pub struct Scope {
    values: rhai::Scope<'static>,
    now: Timestamp,
}

impl Scope {
    /// A scope without names, in which it is always the same moment.
    pub fn new(now: Timestamp) -> Self {
        Self { values: rhai::Scope::new(), now }
    }

    /// Gives a name a value, in place of any earlier one. The value is converted once, here; reading a part of it copies that part only.
    pub fn set(&mut self, name: &str, value: &Value) {
        let mut value = to_dynamic(value);
        match name {
            "alert" => add_absent_fields(&mut value),
            "alerts" => value.write_lock::<Array>().iter_mut().flat_map(|alerts| alerts.iter_mut()).for_each(add_absent_fields),
            _ => {}
        }
        drop(self.values.remove::<Dynamic>(name));
        self.values.push_constant_dynamic(name, value);
    }

    /// Lends the values to the engine, and the moment to `now()`.
    pub(super) fn lend<T>(&mut self, evaluate: impl FnOnce(&mut rhai::Scope<'static>) -> T) -> T {
        let length = self.values.len();
        let result = Evaluation::run(self.now, length, || evaluate(&mut self.values));
        self.values.rewind(length);
        result
    }

    /// The keys of the map at a path such as `alert.details`; none when there is no map.
    pub(super) fn keys(&self, path: &str) -> Vec<String> {
        let mut parts = path.split('.');
        let Some(mut value) = parts.next().and_then(|name| self.values.get(name)).cloned() else { return Vec::new() };
        for part in parts {
            let Some(next) = value.as_map_ref().ok().and_then(|map| map.get(part).cloned()) else { return Vec::new() };
            value = next;
        }
        value.try_cast::<Map>().map(|map| map.keys().map(ToString::to_string).collect()).unwrap_or_default()
    }
}

impl fmt::Debug for Scope {
    /// Names only: the values may hold what is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter_raw().map(|(name, _, _)| name)).finish()
    }
}

/// The alert's fields that its JSON leaves out when the source did not say.
const MAY_BE_ABSENT: &[&str] = &["customer_name", "reseller_tenant_id"];

/// `alert.customer_name` is nothing, rather than misspelt, when the source gave none.
fn add_absent_fields(alert: &mut Dynamic) {
    if let Some(mut fields) = alert.write_lock::<Map>() {
        for name in MAY_BE_ABSENT {
            fields.entry((*name).into()).or_insert(Dynamic::UNIT);
        }
    }
}
