//! Lookup tables: what a partner knows about its customers, by key.

use std::collections::BTreeMap;

use rhai::{Dynamic, Map};

/// Every lookup table, by name.
#[derive(Debug, Clone, Default)]
pub struct Tables(BTreeMap<String, Table>);

/// The rows of one table, by the text in their first column.
#[derive(Debug, Clone, Default)]
pub struct Table(BTreeMap<String, Dynamic>);

impl Tables {
    /// Adds a table, or replaces it.
    pub fn insert(&mut self, name: impl Into<String>, table: Table) {
        self.0.insert(name.into(), table);
    }

    /// Adds tables, or replaces those of the same names.
    pub fn replace(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The tables' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Table> {
        self.0.get(name)
    }
}

impl Table {
    /// Adds a row under its key; says whether the key is new.
    pub fn insert<'a>(&mut self, key: &str, row: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
        let row: Map = row.into_iter().map(|(column, text)| (column.into(), text.into())).collect();
        self.0.insert(key.to_owned(), Dynamic::from_map(row)).is_none()
    }

    pub(super) fn row(&self, key: &str) -> Option<&Dynamic> {
        self.0.get(key)
    }
}
