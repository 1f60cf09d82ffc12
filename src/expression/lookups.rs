//! Which lookup tables expressions read, found in their texts.

use std::collections::BTreeSet;

use super::names::{calls, constants, count_calls};

/// The function that reads a table.
const FUNCTION: &str = "lookup";

/// The tables that some expressions read.
#[derive(Debug, Clone, Default)]
pub struct Lookups {
    named: BTreeSet<String>,
    /// Whether a name is made by an expression, so that it may be any of the texts.
    is_made: bool,
    texts: BTreeSet<String>,
}

impl Lookups {
    /// Adds what an expression or a script reads.
    pub fn add(&mut self, text: &str) {
        let named = calls(text, FUNCTION);
        self.is_made |= count_calls(text, FUNCTION) > named.len();
        self.named.extend(named.into_iter().map(|(table, _)| table));
        self.texts.extend(constants(text));
    }

    /// Adds what others read.
    pub fn extend(&mut self, other: Self) {
        self.named.extend(other.named);
        self.is_made |= other.is_made;
        self.texts.extend(other.texts);
    }

    /// Whether a table may be read.
    pub fn may_read(&self, table: &str) -> bool {
        self.named.contains(table) || self.is_made && self.texts.contains(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_where_it_is_named_and_where_a_name_that_is_made_may_be_its() {
        let read = |texts: &[&str]| {
            let mut lookups = Lookups::default();
            for text in texts {
                lookups.add(text);
            }
            ["people", "other"].map(|table| lookups.may_read(table))
        };
        assert_eq!(read(&["lookup(\"people\", 1)"]), [true, false]);
        assert_eq!(read(&["lookup(\"people\", \"other\")"]), [true, false]);
        assert_eq!(read(&["// lookup(\"other\", 1)\nlookup(\"people\", 1) /* \"other\" */", "\"other\""]), [true, false]);
        assert_eq!(read(&["\"people\" + \"other\""]), [false, false]);
        assert_eq!(read(&["name_of(\"people\", 1)", "fn name_of(table, id) { lookup(table, id) }"]), [true, false]);
    }
}
