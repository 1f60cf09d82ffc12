//! Regular expressions: compiled once, and matched in bounded time.
//!
//! `regex` takes linear time, but the factor is the pattern's size: `(x{1,100}){1,100}y` on a text of 10 kB takes seconds, which nothing can
//! interrupt. A lazy automaton answers nearly all of them at a byte per nanosecond, and gives up on the rest.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use regex::{Regex, RegexBuilder};
use regex_automata::{
    Input,
    hybrid::dfa::{Config, DFA},
    nfa::thompson,
};
use rhai::ImmutableString;

use super::required::required;

/// Enough for a list of thousands of words; `\w{1000}` is not needed.
const MOST_BYTES: usize = 1024 * 1024;

/// The automaton gives up when it has filled its memory and read fewer bytes than this for each state: each may take half a millisecond.
const FEWEST_BYTES_PER_STATE: usize = 5_000;

/// Bytes of the pattern times bytes of the text that the slow search may take: about 100 ms.
const MOST_WORK: usize = 1 << 28;

/// A compiled regular expression.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    automaton: Option<DFA>,
    required: OnceLock<Vec<String>>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Says what is wrong with the pattern.
    pub fn compile(pattern: &str) -> Result<Self, String> {
        let config = Config::new()
            .cache_capacity(MOST_BYTES)
            .minimum_cache_clear_count(Some(0))
            .minimum_bytes_per_state(Some(FEWEST_BYTES_PER_STATE))
            .unicode_word_boundary(true);
        let limit = thompson::Config::new().nfa_size_limit(Some(MOST_BYTES));
        let automaton = DFA::builder().configure(config).thompson(limit).build(pattern).ok();
        Ok(Self { regex: compile_regex(pattern)?, automaton, required: OnceLock::new() })
    }

    /// Whether it is found in a text.
    ///
    /// # Errors
    /// Says that it takes too long to find out.
    pub fn is_match(&self, text: &str) -> Result<bool, String> {
        if let Some(automaton) = &self.automaton {
            let found = automaton.try_search_fwd(&mut automaton.create_cache(), &Input::new(text).earliest(true));
            if let Ok(found) = found {
                return Ok(found.is_some());
            }
        }
        // It gave up, or the pattern asks for the border of a word in a text that is not ASCII.
        if text.len() > self.reach() {
            return Err(format!("the regular expression `{}` takes too long on a text of {} bytes", self.regex, text.len()));
        }
        Ok(self.regex.is_match(text))
    }

    /// How many bytes a text may have for [`Pattern::is_match`] to say for certain whether it is found.
    pub fn reach(&self) -> usize {
        let size = self.automaton.as_ref().map_or(MOST_BYTES, |it| it.get_nfa().memory_usage());
        MOST_WORK / size.max(1)
    }

    /// The texts, in small ASCII letters, of which a text holds one in any case if this is found in it. Empty where nothing can be said.
    pub fn required(&self) -> &[String] {
        self.required.get_or_init(|| required(self.regex.as_str()))
    }
}

/// Regular expressions that were compiled already. Patterns come from playbooks, so there are few.
#[derive(Default)]
pub(super) struct Cache(Mutex<HashMap<ImmutableString, Arc<Pattern>>>);

impl Cache {
    /// Far above what one set of playbooks holds; a pattern made from an alert must not grow it without end.
    const MOST: usize = 512;

    pub(super) fn get(&self, pattern: &ImmutableString) -> Result<Arc<Pattern>, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = known.get(pattern) {
            return Ok(Arc::clone(compiled));
        }
        let compiled = Arc::new(Pattern::compile(pattern)?);
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(pattern.clone(), Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// Compiles a pattern that takes linear time and little memory. [`Pattern`] also bounds the time.
///
/// # Errors
/// Says what is wrong with the pattern.
fn compile_regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(MOST_BYTES).dfa_size_limit(MOST_BYTES).build().map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("the regular expression `{pattern}` is wrong: {reason}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_where_it_is() {
        for (pattern, text, is_there) in [
            ("^vm-[0-9]+$", "vm-042", true),
            ("^vm-[0-9]+$", "vm-042x", false),
            (r"\bcoin\b", "a coin", true),
            (r"\bmünze\b", "eine münze", true),
            ("(?i)XMRIG", "xmrig", true),
            ("", "", true),
            ("a{1,3}$", "baaa", true),
        ] {
            assert_eq!(Pattern::compile(pattern).unwrap().is_match(text), Ok(is_there), "{pattern} {text}");
        }
    }

    #[test]
    fn a_usual_pattern_is_found_in_a_long_text() {
        let text = format!("{} 10.1.2.3 a@b.example", "lorem ipsum ".repeat(5_000));
        for pattern in [r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", r"\w+@\w+\.\w+$"] {
            assert_eq!(Pattern::compile(pattern).unwrap().is_match(&text), Ok(true), "{pattern}");
        }
    }
}
