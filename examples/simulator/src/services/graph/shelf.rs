//! Where alerts are kept: in the order of their coming, and found by id without looking at the others.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Alerts as Graph shows them, oldest first. Ids are found in any case, as Graph finds them.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    alerts: Vec<Map<String, Value>>,
    places: HashMap<String, usize>,
}

impl Shelf {
    pub(crate) fn push(&mut self, id: &str, alert: Map<String, Value>) {
        self.places.insert(id.to_ascii_lowercase(), self.alerts.len());
        self.alerts.push(alert);
    }

    pub(crate) fn all(&self) -> &[Map<String, Value>] {
        &self.alerts
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Map<String, Value>> {
        self.alerts.get(*self.places.get(&id.to_ascii_lowercase())?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Map<String, Value>> {
        self.alerts.get_mut(*self.places.get(&id.to_ascii_lowercase())?)
    }
}
