//! YAML as a tree that remembers where each key and value stands.
//!
//! Playbooks are not read straight into structs: that would stop at the first mistake and lose the places of the others. The settings, which
//! are, are read here as well, for the places of what is wrong with them.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};
use serde_yaml::{Location, Options, Spanned};

/// A hand-written playbook has a few kilobytes.
const MOST_BYTES: usize = 256 * 1024;

/// A value and the bytes that it covers in the text.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map and the bytes that it covers.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
}

/// Why a text is not YAML, and where.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) message: String,
    pub(crate) span: Range<usize>,
}

/// Reads a text, if it is YAML within the limits of a playbook.
pub(crate) fn parse(text: &str) -> Result<Node, Broken> {
    if text.len() > MOST_BYTES {
        return Err(Broken { message: format!("the file has {} bytes, over {MOST_BYTES}", text.len()), span: 0..0 });
    }
    let budget = serde_yaml::budget! {
        // Steps lie eight deep, and each level takes four lists and maps.
        max_depth: 40,
        flow_nesting_limit: 40,
        max_nodes: 5_000,
        max_events: 20_000,
        max_documents: 1,
        // Enough to share a list of channels; every bomb needs more.
        max_aliases: 20,
        max_anchors: 20,
        max_recorded_anchor_events: 5_000,
        max_merge_keys: 0,
    };
    let options = serde_yaml::options! { budget: budget, strict_booleans: true };
    read(text, options).map_err(|broken| match LIMITS.iter().find(|(words, _)| broken.message.contains(words)) {
        Some((_, meaning)) => {
            Broken { message: format!("the file is larger, deeper or more repetitive than a playbook needs: {meaning}"), ..broken }
        }
        None => broken,
    })
}

/// Reads a text, if it is YAML.
pub(crate) fn read(text: &str, options: Options) -> Result<Node, Broken> {
    let broken =
        |error: serde_yaml::Error| Broken { message: reason(&error), span: error.location().map_or(0..0, |at| place_of(at, text)) };
    serde_yaml::from_str_with_options(text, options).map_err(broken)
}

impl Node {
    /// The value under a key, where it is a map.
    pub(crate) fn entry(&self, name: &str) -> Option<&Self> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// Whether there is no expression in it.
    pub(crate) fn is_constant(&self) -> bool {
        match &self.kind {
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => true,
            Kind::Text(text) => !text.contains("${"),
            Kind::List(items) => items.iter().all(Self::is_constant),
            Kind::Map(entries) => entries.iter().all(|(_, value)| value.is_constant()),
        }
    }

    /// The constant that it is, whatever texts in it may mean.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(it) => Value::Bool(*it),
            Kind::Number(it) => Value::Number(it.clone()),
            Kind::Text(it) => Value::String(it.clone()),
            Kind::List(items) => items.iter().map(Self::to_value).collect(),
            Kind::Map(entries) => Value::Object(entries.iter().map(|(key, value)| (key.name.clone(), value.to_value())).collect()),
        }
    }

    /// Where to point: a map in block style has no bytes of its own, so at its first key.
    pub(crate) fn place(&self) -> Range<usize> {
        match &self.kind {
            Kind::Map(entries) if self.span.is_empty() => entries.first().map_or_else(|| self.span.clone(), |(key, _)| key.span.clone()),
            Kind::List(items) if self.span.is_empty() => items.first().map_or_else(|| self.span.clone(), Self::place),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => self.span.clone(),
        }
    }

    /// What it is, for a sentence.
    pub(crate) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// What the reader of YAML says of each limit, and what that means.
const LIMITS: &[(&str, &str)] = &[
    ("budget breached: Depth", "over 40 levels"),
    ("recursion limit exceeded", "over 40 levels"),
    ("budget breached: Nodes", "over 5000 values"),
    ("budget breached: Documents", "a second document"),
    ("budget breached: Aliases", "over 20 aliases"),
    ("budget breached: Anchors", "over 20 anchors"),
    ("budget breached: RecordedAnchorEvents", "aliases that stand for over 5000 values"),
    ("budget breached: MergeKeys", "a merge key `<<`, which is not supported"),
    ("recursive references", "an anchor that holds itself"),
    ("budget breached: ", "too much of it"),
];

/// The error's first sentence, without the place and the excerpt, which problems bring themselves.
fn reason(error: &serde_yaml::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.split(" at line ").next().unwrap_or(first);
    if let Some(key) = first.strip_prefix("duplicate mapping key: ") {
        return format!("the key `{}` is there twice", key.split(", set ").next().unwrap_or(key));
    }
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

/// Where an error is: the scanner knows lines and columns only.
fn place_of(location: Location, text: &str) -> Range<usize> {
    if location.span().byte_offset().is_some() {
        return span_of(location, text.len());
    }
    let before = |count: u64| usize::try_from(count.saturating_sub(1)).unwrap_or_default();
    let line: usize = text.split_inclusive('\n').take(before(location.line())).map(str::len).sum();
    let column: usize = text.get(line..).unwrap_or_default().chars().take(before(location.column())).map(char::len_utf8).sum();
    line + column..line + column
}

fn span_of(location: Location, end: usize) -> Range<usize> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset().unwrap_or_default()).unwrap_or(end).min(end);
    let length = usize::try_from(span.byte_len().unwrap_or_default()).unwrap_or_default();
    start..start.saturating_add(length).min(end)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { span: span_of(spanned.referenced, usize::MAX), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { span: span_of(spanned.referenced, usize::MAX), name: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(it))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Kind, E> {
        Ok(Kind::Number(it.into()))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Kind, E> {
        Ok(Kind::Number(it.into()))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Kind, E> {
        Ok(Number::from_f64(it).map_or_else(|| Kind::Text(it.to_string()), Kind::Number))
    }

    fn visit_str<E>(self, it: &str) -> Result<Kind, E> {
        Ok(Kind::Text(it.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Kind::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn keys_and_values_keep_their_places() {
        let text = "a: 1\nb:\n  - {x: \"y\"}\n";
        let node = parse(text).unwrap();
        let Kind::Map(entries) = &node.kind else { panic!("{node:?}") };
        let Kind::List(items) = &entries[1].1.kind else { panic!("{node:?}") };
        let Kind::Map(inner) = &items[0].kind else { panic!("{node:?}") };
        let covered = |span: &Range<usize>| text.get(span.clone());
        assert_eq!(covered(&entries[0].1.span), Some("1"));
        assert_eq!(covered(&inner[0].0.span), Some("x"));
        assert_eq!(covered(&inner[0].1.span), Some("\"y\""));
    }

    #[test]
    fn only_true_and_false_are_booleans() {
        let node = parse("[yes, on, true]").unwrap();
        assert_eq!(node.to_value(), serde_json::json!(["yes", "on", true]));
    }

    #[test]
    fn bombs_are_refused_quickly() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let lines = names.windows(2).map(|two| format!("{1}: &{1} [*{0}, *{0}, *{0}, *{0}, *{0}, *{0}, *{0}]\n", two[0], two[1]));
        let laughs = format!("a: &a [x, x, x, x, x, x, x, x, x]\n{}", lines.collect::<String>());
        for bomb in [
            laughs,
            "[".repeat(100_000),
            "{a: ".repeat(50_000),
            "- ".repeat(100_000),
            format!("a: [{}]", "x, ".repeat(10_000)),
            format!("a: {}", "x".repeat(300_000)),
            "&a [*a]".to_owned(),
            "a: &a {b: *a}".to_owned(),
            "? ".repeat(20_000),
            "---\n".repeat(20_000),
            "a: &x {k: v}\nb: {<<: *x}".to_owned(),
        ] {
            let start = Instant::now();
            let outcome = parse(&bomb);
            assert!(outcome.is_err(), "{}", bomb.get(..20).unwrap_or(&bomb));
            assert!(start.elapsed() < Duration::from_secs(1), "{} took {:?}", bomb.get(..20).unwrap_or(&bomb), start.elapsed());
        }
    }
}
