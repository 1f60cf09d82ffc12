//! Regular expressions: bounded, and compiled once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use regex::{Regex, RegexBuilder};
use rhai::ImmutableString;

use super::Outcome;

/// Regular expressions that were compiled already. Patterns come from playbooks, so there are few.
#[derive(Default)]
pub(super) struct Cache(Mutex<HashMap<ImmutableString, Regex>>);

impl Cache {
    /// Far above what one set of playbooks holds; a pattern made from an alert must not grow it without end.
    const MOST: usize = 512;

    pub(super) fn regex(&self, pattern: &ImmutableString) -> Outcome<Regex> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = known.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = compile_regex(pattern)?;
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(pattern.clone(), regex.clone());
        Ok(regex)
    }
}

/// Compiles a pattern that takes linear time and little memory.
///
/// # Errors
/// Says what is wrong with the pattern.
pub fn compile_regex(pattern: &str) -> Result<Regex, String> {
    // Enough for a list of thousands of words; `\w{1000}` is not needed.
    let limit = 1024 * 1024;
    RegexBuilder::new(pattern).size_limit(limit).dfa_size_limit(limit).build().map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("the regular expression `{pattern}` is wrong: {reason}")
    })
}
