//! The texts that rows want inside of a text: all are looked for at once, in one pass over it.

use std::{borrow::Cow, collections::BTreeSet};

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};

use super::layer::Bucket;

/// Texts, and the rows that each finds.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    texts: Vec<Box<str>>,
    buckets: Vec<Bucket>,
    /// Whether they are small ASCII letters that are meant in any case.
    is_any_case: bool,
    /// `None` until they are joined, and where they are gigabytes.
    automaton: Option<AhoCorasick>,
}

impl Parts {
    /// Of texts in small ASCII letters that are found in any case.
    pub(super) fn of_any_case() -> Self {
        Self { is_any_case: true, ..Self::default() }
    }

    pub(super) fn file(&mut self, text: &str, bucket: Bucket) {
        self.texts.push(text.into());
        self.buckets.push(bucket);
    }

    /// Makes the search quick, when the last has been filed.
    pub(super) fn join(&mut self) {
        let mut builder = AhoCorasickBuilder::new();
        builder.ascii_case_insensitive(self.is_any_case);
        let is_worth_it = !self.texts.is_empty();
        self.automaton = is_worth_it.then(|| builder.build(self.texts.iter().map(|it| it.as_bytes())).ok()).flatten();
    }

    /// Each bucket once, however often its text is there.
    pub(super) fn find<'t>(&'t self, text: &str, found: &mut impl FnMut(&'t Bucket)) {
        let Some(matches) = self.automaton.as_ref().and_then(|it| it.try_find_overlapping_iter(text).ok()) else {
            let text = if self.is_any_case { Cow::from(text.to_ascii_lowercase()) } else { Cow::from(text) };
            let inside = self.texts.iter().zip(&self.buckets).filter(|(part, _)| text.contains(&***part));
            return inside.for_each(|(_, bucket)| found(bucket));
        };
        let mut seen = BTreeSet::new();
        for place in matches.map(|it| it.pattern().as_usize()) {
            if seen.insert(place) {
                self.buckets.get(place).into_iter().for_each(&mut *found);
            }
            if seen.len() == self.buckets.len() {
                return;
            }
        }
    }
}
