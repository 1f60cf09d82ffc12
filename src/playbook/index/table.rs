//! The rows that are filed by one field, and those that a value of it finds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ptr, slice,
};

use serde_json::Value;

use super::{
    hash::Keyed,
    key::{Access, Key, Network, Want, address, scalar},
    layer::{Bucket, Draft, Entry, Rests, find_in},
    parts::Parts,
    ranges::{Range, Ranges},
};
use crate::playbook::fields;

/// A row and how it is found.
pub(super) struct Placed<'c> {
    pub(super) draft: Draft<'c>,
    pub(super) access: Access<'c>,
}

/// The rows of one field.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// By a whole text, which most clauses want: apart, so that a text is looked up as it is.
    texts: Keyed<Box<str>, Bucket>,
    prefixes: Ends,
    suffixes: Ends,
    parts: Parts,
    any_case: Parts,
    /// By every other key.
    others: Keyed<Key<'static>, Bucket>,
    /// The rows that any value at all finds.
    present: Option<Bucket>,
    /// Which of the other keys there are at all, so that no others are looked for.
    networks: BTreeSet<u32>,
    has_severities: bool,
    ranges: Ranges,
    /// How long a text may be for the rows to be found by what is in it. The shortest come first.
    reaches: Vec<(usize, Entry)>,
    /// The rows that want something, and are unclear about all else.
    wanting: Vec<(Want, Vec<Entry>)>,
}

/// The beginnings, or the endings, that rows want of a text.
#[derive(Debug, Clone, Default)]
struct Ends {
    /// In rising order, so that no others are looked for.
    lengths: Vec<usize>,
    buckets: Keyed<Box<str>, Bucket>,
}

impl Table {
    pub(super) fn new(placed: Vec<Placed<'_>>, layers: usize, rests: &mut Rests) -> Self {
        let mut drafts: HashMap<Key<'static>, Vec<Draft<'_>>> = HashMap::new();
        let mut ranges: BTreeMap<Range, Vec<Draft<'_>>> = BTreeMap::new();
        let mut reaches = Vec::new();
        let mut wanting = Want::ALL.map(|want| (want, Vec::new())).to_vec();
        for Placed { draft, access } in placed {
            let entry = draft.entry(rests);
            for (_, entries) in wanting.iter_mut().filter(|(want, _)| access.wants.contains(want)) {
                entries.push(entry.clone());
            }
            reaches.extend(access.reach.map(|reach| (reach, entry)));
            if let Some(range) = access.range {
                ranges.entry(range).or_default().push(draft);
                continue;
            }
            for key in access.keys {
                drafts.entry(key.into_owned()).or_default().push(draft.clone());
            }
        }
        reaches.sort_by_key(|(reach, _)| *reach);
        wanting.retain(|(_, entries)| !entries.is_empty());
        let (ranges, any_case) = (Ranges::new(ranges, layers, rests), Parts::of_any_case());
        let mut table = Self { any_case, ranges, reaches, wanting, ..Self::default() };
        for (key, drafts) in drafts {
            table.file(key, Bucket::new(drafts, layers, rests));
        }
        table.parts.join();
        table.any_case.join();
        table
    }

    fn file(&mut self, key: Key<'static>, bucket: Bucket) {
        match key {
            Key::Text(text) => drop(self.texts.insert(text.into(), bucket)),
            Key::Prefix(text) => self.prefixes.file(&text, bucket),
            Key::Suffix(text) => self.suffixes.file(&text, bucket),
            Key::Part(text) => self.parts.file(&text, bucket),
            Key::AnyCase(text) => self.any_case.file(&text, bucket),
            Key::Present => self.present = Some(bucket),
            Key::Network(network) => {
                self.networks.insert(network.length);
                self.others.insert(key, bucket);
            }
            Key::Severity(_) => {
                self.has_severities = true;
                self.others.insert(key, bucket);
            }
            Key::Number(_) | Key::Flag(_) | Key::Limit => drop(self.others.insert(key, bucket)),
        }
    }

    pub(super) fn find(&self, value: &Value, alert: &Value, rows: &mut Vec<usize>) {
        if value.is_null() {
            return;
        }
        if let Some(bucket) = &self.present {
            bucket.find(alert, rows);
        }
        let items = if let Value::Array(items) = value {
            self.find_any(items, alert, rows);
            items.as_slice()
        } else {
            self.look_up(value, &mut |bucket| bucket.find(alert, rows));
            slice::from_ref(value)
        };
        self.find_ranges(items, alert, rows);
        self.find_beyond_reach(items, alert, rows);
        for (_, entries) in self.wanting.iter().filter(|(want, _)| items.iter().any(|item| !want.suits(item))) {
            find_in(entries, alert, rows);
        }
    }

    /// However long the list, each bucket is searched once.
    fn find_any(&self, items: &[Value], alert: &Value, rows: &mut Vec<usize>) {
        let mut buckets = Vec::new();
        for item in items {
            self.look_up(item, &mut |bucket| buckets.push(bucket));
        }
        buckets.sort_unstable_by_key(|it| ptr::from_ref(*it).addr());
        buckets.dedup_by(|left, right| ptr::eq(*left, *right));
        for bucket in buckets {
            bucket.find(alert, rows);
        }
    }

    /// The rows with limits that an item is within: the greatest item is above every floor that any item is above.
    fn find_ranges(&self, items: &[Value], alert: &Value, rows: &mut Vec<usize>) {
        if self.ranges.is_empty() {
            return;
        }
        let numbers = || items.iter().filter_map(Value::as_f64);
        let (Some(least), Some(greatest)) = (numbers().reduce(f64::min), numbers().reduce(f64::max)) else { return };
        self.ranges.find(least, greatest, &mut |bucket| bucket.find(alert, rows));
    }

    /// The rows whose expressions may not be able to tell.
    fn find_beyond_reach(&self, items: &[Value], alert: &Value, rows: &mut Vec<usize>) {
        if let Some(longest) = items.iter().filter_map(Value::as_str).map(str::len).max() {
            find_in(self.reaches.iter().take_while(|(reach, _)| *reach < longest).map(|(_, entry)| entry), alert, rows);
        }
    }

    fn look_up<'t>(&'t self, item: &'t Value, found: &mut impl FnMut(&'t Bucket)) {
        if let Value::String(text) = item {
            self.look_up_text(text, found);
        } else if !self.others.is_empty()
            && let Some((key, _)) = scalar(item)
        {
            self.others.get(&key).into_iter().for_each(found);
        }
    }

    fn look_up_text<'t>(&'t self, text: &str, found: &mut impl FnMut(&'t Bucket)) {
        self.texts.get(text).into_iter().for_each(&mut *found);
        self.prefixes.buckets_of(text, |length| text.get(..length)).for_each(&mut *found);
        self.suffixes.buckets_of(text, |length| text.get(text.len() - length..)).for_each(&mut *found);
        self.parts.find(text, found);
        self.any_case.find(text, found);
        if self.others.is_empty() {
            return;
        }
        let address = Some(text).filter(|_| !self.networks.is_empty()).and_then(address);
        let networks = address.into_iter().flat_map(|it| self.networks.iter().filter_map(move |length| Network::of(it, *length)));
        let rank = Some(text).filter(|_| self.has_severities).and_then(fields::rank);
        let keys = networks.map(Key::Network).chain(rank.map(Key::Severity));
        keys.filter_map(|key| self.others.get(&key)).for_each(found);
    }
}

impl Ends {
    fn file(&mut self, text: &str, bucket: Bucket) {
        if let Err(place) = self.lengths.binary_search(&text.len()) {
            self.lengths.insert(place, text.len());
        }
        self.buckets.insert(text.into(), bucket);
    }

    /// The end of each length is cut off by the caller, who is only asked for lengths that the text has.
    fn buckets_of<'t>(&self, text: &'t str, end: impl Fn(usize) -> Option<&'t str>) -> impl Iterator<Item = &Bucket> {
        let lengths = self.lengths.iter().take_while(|length| **length <= text.len());
        lengths.filter_map(move |length| end(*length)).filter_map(|end| self.buckets.get(end))
    }
}
