//! All playbooks' `match` in one structure, so that an alert costs about the same at 10,000 playbooks as at one.
//!
//! An alert does not ask each playbook; its values look up the playbooks that want them. Each row is filed under one of its clauses, the one
//! that it shares with the fewest others (`layer`); the keys of a clause say where (`key`), and each field has a table of them (`table`).
//! Where many rows share a key all the same, they are a layer of their own, filed by what else they want. Rows that no value could find, because
//! they want that something is not there, are put together by a clause that they share (`shared`). The clauses by which a row was not found are
//! judged one by one, but only for the rows that were found.
//!
//! Regular expressions are found by texts that a match must hold, and ranges of numbers by their order (`ranges`). All expressions in one automaton,
//! as in a set of the crate `regex`, would cost as much as asking each: a state is as large as the set, and each new text makes new states.
//!
//! A clause that cannot judge a value is an error that must be told, so rows that are found include those that cannot be told.

mod hash;
mod key;
mod layer;
mod parts;
mod ranges;
mod shared;
mod table;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use self::layer::{Draft, Layer, Rests};
use super::clause::Clause;

/// Which rows of clauses an alert leaves, without asking every row.
#[derive(Debug, Clone, Default)]
pub struct Index {
    layer: Layer,
}

impl Index {
    /// Indexes rows of clauses, one row for each playbook. Their numbers are their positions.
    pub fn new<'a>(rows: impl IntoIterator<Item = &'a [Clause]>) -> Self {
        let rows: Vec<Vec<Clause>> = rows.into_iter().map(|clauses| clauses.iter().flat_map(Clause::parts).collect()).collect();
        // Many playbooks say the same of some fields. What they share stays in the processor's cache.
        let mut shared: HashMap<(&str, &str), Arc<Clause>> = HashMap::new();
        for clause in rows.iter().flatten() {
            shared.entry((&clause.field, clause.text())).or_insert_with(|| Arc::new(clause.clone()));
        }
        let drafts = rows.iter().enumerate().map(|(row, clauses)| {
            let clauses = clauses.iter().filter_map(|clause| shared.get(&(clause.field.as_str(), clause.text())));
            Draft::new(row, clauses.collect())
        });
        Self { layer: Layer::new(drafts.collect(), layer::MOST_LAYERS, &mut Rests::default()) }
    }

    /// The rows of which no clause is plainly false, in rising order. A row without clauses is always among them.
    pub fn remaining(&self, alert: &Value) -> Vec<usize> {
        let mut rows = Vec::new();
        self.layer.find(alert, &mut rows);
        // A list finds the rows that want several of its items several times.
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}
