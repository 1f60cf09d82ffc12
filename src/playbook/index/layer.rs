//! Rows filed by field and key, each under the one of its clauses that it shares with the fewest others.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};

use super::{
    hash::Keyed,
    key::{Access, Key},
    shared::Shared,
    table::{Placed, Table},
};
use crate::playbook::clause::Clause;

/// How often rows that share a key are filed anew. Four keys tell most rows apart, and this bounds the recursion.
pub(super) const MOST_LAYERS: usize = 6;

/// Rows that share a key and are fewer are judged one by one, which takes no longer than another search.
pub(super) const CROWD: usize = 8;

/// How often one row may be filed in the layers below the first, where every value of a list multiplies the copies.
const MOST_COPIES: usize = 64;

/// More parts than an alert is deep. What is deeper is judged, so that no path makes a recursion long.
const MOST_PARTS: usize = 64;

/// Rows that are found by what they want of an alert.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    /// Rows with no clause to file them by.
    always: Vec<Entry>,
    /// Among them those that share a clause.
    shared: Shared,
    root: Field,
}

/// A field, as far as rows are filed by it or by a field inside it.
#[derive(Debug, Clone, Default)]
struct Field {
    table: Option<Box<Table>>,
    inside: Keyed<Box<str>, Self>,
}

/// A row that was found, but for what is still to be judged.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    row: usize,
    rest: Arc<[Arc<Clause>]>,
}

/// What rows that were found have still to be judged by. Many have the same, which then stays in the processor's cache.
#[derive(Default)]
pub(super) struct Rests(HashMap<Vec<*const Clause>, Arc<[Arc<Clause>]>>);

/// Rows that share a key.
#[derive(Debug, Clone)]
pub(super) enum Bucket {
    /// The most common case, in place: it costs no way to another line of memory.
    One(Entry),
    Few(Box<[Entry]>),
    Many(Box<Layer>),
}

/// A row while it is filed.
#[derive(Debug, Clone)]
pub(super) struct Draft<'c> {
    row: usize,
    /// Clauses that it may yet be filed by.
    open: Vec<&'c Arc<Clause>>,
    /// Clauses that are judged when it is found.
    pub(super) judged: Vec<&'c Arc<Clause>>,
    copies: usize,
}

impl Layer {
    pub(super) fn new(drafts: Vec<Draft<'_>>, layers: usize, rests: &mut Rests) -> Self {
        let mut crowds: HashMap<(&str, Key<'_>), usize> = HashMap::new();
        for clause in drafts.iter().flat_map(|it| it.open.iter().copied()) {
            for key in access(clause).into_iter().flat_map(|it| it.keys) {
                *crowds.entry((&clause.field, key)).or_default() += 1;
            }
        }
        let mut unfiled = Vec::new();
        let mut fields: HashMap<&str, Vec<Placed<'_>>> = HashMap::new();
        for mut draft in drafts {
            match draft.place(&crowds) {
                Some((field, access)) => fields.entry(field).or_default().push(Placed { draft, access }),
                None => unfiled.push(draft),
            }
        }
        let (shared, alone) = Shared::new(unfiled, layers, rests);
        let always = alone.iter().map(|draft| draft.entry(rests)).collect();
        let mut root = Field::default();
        for (field, placed) in fields {
            let place = field.split('.').fold(&mut root, |field, part| field.inside.entry(part.into()).or_default());
            place.table = Some(Box::new(Table::new(placed, layers, rests)));
        }
        Self { always, shared, root }
    }

    /// Adds the rows of which no clause is plainly false, in no order, and some of them more than once.
    pub(super) fn find(&self, alert: &Value, rows: &mut Vec<usize>) {
        find_in(&self.always, alert, rows);
        self.shared.find(alert, rows);
        self.root.find(alert, alert, rows);
    }
}

impl Field {
    fn find(&self, value: &Value, alert: &Value, rows: &mut Vec<usize>) {
        if let Some(table) = &self.table {
            table.find(value, alert, rows);
        }
        if let Value::Object(fields) = value {
            self.find_inside(fields, alert, rows);
        }
    }

    /// Goes through the fields of the alert or through those that rows are filed by, whichever are fewer.
    fn find_inside(&self, fields: &Map<String, Value>, alert: &Value, rows: &mut Vec<usize>) {
        if fields.len() < self.inside.len() {
            for (name, value) in fields {
                if let Some(field) = self.inside.get(name.as_str()) {
                    field.find(value, alert, rows);
                }
            }
        } else {
            for (name, field) in &self.inside {
                if let Some(value) = fields.get(&**name) {
                    field.find(value, alert, rows);
                }
            }
        }
    }
}

impl Bucket {
    pub(super) fn new(drafts: Vec<Draft<'_>>, layers: usize, rests: &mut Rests) -> Self {
        let is_crowded = drafts.len() > CROWD && drafts.iter().any(|it| !it.open.is_empty() || !it.judged.is_empty());
        match (layers.checked_sub(1).filter(|_| is_crowded), drafts.as_slice()) {
            (Some(layers), _) => Self::Many(Box::new(Layer::new(drafts, layers, rests))),
            (None, [draft]) => Self::One(draft.entry(rests)),
            (None, drafts) => Self::Few(drafts.iter().map(|draft| draft.entry(rests)).collect()),
        }
    }

    pub(super) fn find(&self, alert: &Value, rows: &mut Vec<usize>) {
        match self {
            Self::One(entry) => find_in([entry], alert, rows),
            Self::Few(entries) => find_in(entries, alert, rows),
            Self::Many(layer) => layer.find(alert, rows),
        }
    }
}

pub(super) fn find_in<'e>(entries: impl IntoIterator<Item = &'e Entry>, alert: &Value, rows: &mut Vec<usize>) {
    let remain = entries.into_iter().filter(|entry| !entry.rest.iter().any(|clause| clause.is_false(alert)));
    rows.extend(remain.map(|entry| entry.row));
}

impl<'c> Draft<'c> {
    pub(super) fn new(row: usize, clauses: Vec<&'c Arc<Clause>>) -> Self {
        let (open, judged) = clauses.into_iter().partition(|clause| access(clause).is_some());
        // In the first layer there are no more copies of a row than values in its file.
        Self { row, open, judged, copies: usize::MAX }
    }

    /// What it is when it has been found, with all that is still to be judged.
    pub(super) fn entry(&self, rests: &mut Rests) -> Entry {
        let clauses = || self.judged.iter().chain(&self.open).copied();
        let rest = rests.0.entry(clauses().map(Arc::as_ptr).collect()).or_insert_with(|| clauses().map(Arc::clone).collect());
        Entry { row: self.row, rest: Arc::clone(rest) }
    }

    /// Takes out the clause to file it by: the one whose most crowded key is the least crowded.
    fn place(&mut self, crowds: &HashMap<(&str, Key<'_>), usize>) -> Option<(&'c str, Access<'c>)> {
        let crowd = |clause: &'c Clause, access: Access<'c>| {
            let of = |key: Key<'c>| {
                // To look through a whole text takes as long as to judge a few rows.
                let least = if matches!(key, Key::Part(_) | Key::AnyCase(_)) { CROWD } else { 0 };
                crowds.get(&(clause.field.as_str(), key)).copied().unwrap_or_default().max(least)
            };
            access.keys.into_iter().map(of).max().unwrap_or_default()
        };
        let choices = self.open.iter().copied().enumerate();
        let allowed = choices.filter_map(|(at, clause)| Some((at, clause, access(clause).filter(|it| it.keys.len() <= self.copies)?)));
        let (at, clause, _) = allowed.map(|(at, clause, access)| (at, clause, crowd(clause, access))).min_by_key(|(.., crowd)| *crowd)?;
        self.open.remove(at);
        let mut access = access(clause)?;
        self.complete(clause, &mut access);
        if !access.is_certain {
            self.judged.push(clause);
        }
        self.copies = (self.copies / access.keys.len().max(1)).min(MOST_COPIES);
        Some((&clause.field, access))
    }

    /// Takes out the other limit as well, where it is filed by one.
    fn complete(&mut self, clause: &Clause, access: &mut Access<'c>) {
        let whole = |other: &Clause| self::access(other).filter(|_| other.field == clause.field)?.range?.and(access.range?);
        let other = self.open.iter().enumerate().find_map(|(at, other)| Some((at, whole(other)?)));
        if let Some((at, range)) = other {
            self.open.remove(at);
            access.range = Some(range);
        }
    }
}

fn access(clause: &Clause) -> Option<Access<'_>> {
    Access::to(clause.test()).filter(|_| clause.field.split('.').nth(MOST_PARTS).is_none())
}
