//! The rows that are filed by one field, and those that a value of it finds.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    ptr, slice,
};

use serde_json::Value;

use super::{
    hash::Keyed,
    key::{Access, Key, Network, Want, address, scalar},
    layer::{Bucket, Draft, Entry, Rests, find_in},
};
use crate::playbook::{clause::Bound, fields};

/// A row and how it is found.
pub(super) struct Placed<'c> {
    pub(super) draft: Draft<'c>,
    pub(super) access: Access<'c>,
}

/// The rows of one field.
#[derive(Debug, Clone)]
pub(super) struct Table {
    buckets: Keyed<Key<'static>, Bucket>,
    shapes: Shapes,
    /// Each starts with the limits that most numbers are within.
    floors: Vec<Limit>,
    ceilings: Vec<Limit>,
    /// The rows that want something, and are unclear about all else.
    wanting: Vec<(Want, Vec<Entry>)>,
}

/// Which keys there are at all, so that no others are looked for.
#[derive(Debug, Clone, Default)]
struct Shapes {
    prefixes: BTreeSet<usize>,
    suffixes: BTreeSet<usize>,
    networks: BTreeSet<u32>,
    has_severities: bool,
    has_present: bool,
}

#[derive(Debug, Clone)]
struct Limit {
    bound: Bound,
    number: f64,
    entry: Entry,
}

impl Table {
    pub(super) fn new(placed: Vec<Placed<'_>>, layers: usize, rests: &mut Rests) -> Self {
        let mut drafts: HashMap<Key<'static>, Vec<Draft<'_>>> = HashMap::new();
        let (mut floors, mut ceilings) = (Vec::new(), Vec::new());
        let mut wanting = Want::ALL.map(|want| (want, Vec::new())).to_vec();
        for Placed { draft, access } in placed {
            let entry = draft.entry(rests);
            for (_, entries) in wanting.iter_mut().filter(|(want, _)| access.wants.contains(want)) {
                entries.push(entry.clone());
            }
            if let Some((bound, limit)) = access.bound {
                let limits = if access.keys.contains(&Key::Floor) { &mut floors } else { &mut ceilings };
                limits.push(Limit { bound, number: limit, entry });
                continue;
            }
            for key in access.keys {
                drafts.entry(key.into_owned()).or_default().push(draft.clone());
            }
        }
        floors.sort_by(Limit::compare_floors);
        ceilings.sort_by(Limit::compare_ceilings);
        wanting.retain(|(_, entries)| !entries.is_empty());
        let shapes = Shapes::of(drafts.keys());
        let buckets = drafts.into_iter().map(|(key, drafts)| (key, Bucket::new(drafts, layers, rests))).collect();
        Self { buckets, shapes, floors, ceilings, wanting }
    }

    pub(super) fn find(&self, value: &Value, alert: &Value, rows: &mut Vec<usize>) {
        if value.is_null() {
            return;
        }
        let items = if let Value::Array(items) = value { items.as_slice() } else { slice::from_ref(value) };
        let mut buckets = Vec::new();
        if self.shapes.has_present {
            buckets.extend(self.buckets.get(&Key::Present));
        }
        for item in items {
            self.look_up(item, &mut buckets);
        }
        // However long the list, each bucket is searched once.
        buckets.sort_unstable_by_key(|it| ptr::from_ref(*it).addr());
        buckets.dedup_by(|left, right| ptr::eq(*left, *right));
        for bucket in buckets {
            bucket.find(alert, rows);
        }
        self.find_limits(items, alert, rows);
        for (_, entries) in self.wanting.iter().filter(|(want, _)| items.iter().any(|item| !want.suits(item))) {
            find_in(entries, alert, rows);
        }
    }

    /// The rows with a limit that an item is within: the greatest item is above every floor that any item is above.
    fn find_limits(&self, items: &[Value], alert: &Value, rows: &mut Vec<usize>) {
        if self.floors.is_empty() && self.ceilings.is_empty() {
            return;
        }
        let numbers = || items.iter().filter_map(Value::as_f64);
        let (Some(greatest), Some(least)) = (numbers().reduce(f64::max), numbers().reduce(f64::min)) else { return };
        for (limits, number) in [(&self.floors, greatest), (&self.ceilings, least)] {
            let within = limits.partition_point(|it| it.bound.holds(number, it.number));
            find_in(limits.iter().take(within).map(|it| &it.entry), alert, rows);
        }
    }

    fn look_up<'t>(&'t self, item: &'t Value, found: &mut Vec<&'t Bucket>) {
        if let Some((key, _)) = scalar(item) {
            found.extend(self.buckets.get(&key));
        }
        let Some(text) = item.as_str() else { return };
        let ends = self.shapes.prefixes.iter().take_while(|length| **length <= text.len());
        for head in ends.filter_map(|end| text.get(..*end)) {
            found.extend(self.buckets.get(&Key::Prefix(head.into())));
        }
        let starts = self.shapes.suffixes.iter().filter_map(|length| text.len().checked_sub(*length));
        for tail in starts.filter_map(|start| text.get(start..)) {
            found.extend(self.buckets.get(&Key::Suffix(tail.into())));
        }
        if let Some(address) = Some(text).filter(|_| !self.shapes.networks.is_empty()).and_then(address) {
            let networks = self.shapes.networks.iter().filter_map(|length| Network::of(address, *length));
            found.extend(networks.filter_map(|network| self.buckets.get(&Key::Network(network))));
        }
        if let Some(rank) = Some(text).filter(|_| self.shapes.has_severities).and_then(fields::rank) {
            found.extend(self.buckets.get(&Key::Severity(rank)));
        }
    }
}

impl Shapes {
    fn of<'k>(keys: impl Iterator<Item = &'k Key<'static>>) -> Self {
        let mut shapes = Self::default();
        for key in keys {
            match key {
                Key::Prefix(text) => drop(shapes.prefixes.insert(text.len())),
                Key::Suffix(text) => drop(shapes.suffixes.insert(text.len())),
                Key::Network(network) => drop(shapes.networks.insert(network.length)),
                Key::Severity(_) => shapes.has_severities = true,
                Key::Present => shapes.has_present = true,
                Key::Text(_) | Key::Number(_) | Key::Flag(_) | Key::Floor | Key::Ceiling => {}
            }
        }
        shapes
    }
}

impl Limit {
    /// What 5 is at least comes before what 5 is above, since more numbers are within it.
    fn compare_floors(&self, other: &Self) -> Ordering {
        self.number.total_cmp(&other.number).then(self.is_strict().cmp(&other.is_strict()))
    }

    fn compare_ceilings(&self, other: &Self) -> Ordering {
        other.number.total_cmp(&self.number).then(self.is_strict().cmp(&other.is_strict()))
    }

    fn is_strict(&self) -> bool {
        match self.bound {
            Bound::Above | Bound::Below => true,
            Bound::AtLeast | Bound::AtMost => false,
        }
    }
}
