//! What the JSON Schema of a file says about a place in it: the one list of keys, words and what they mean.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use serde_json::{Map, Value};

use super::sketch::Sketch;
use crate::{
    config,
    playbook::{self, RHAI},
    trial,
};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Playbook,
    Tests,
    Settings,
}

/// What playbooks hold.
pub(super) static PLAYBOOK: LazyLock<Value> = LazyLock::new(playbook::json_schema);

/// What test files hold.
static TESTS: LazyLock<Value> = LazyLock::new(trial::json_schema);

/// What the settings hold.
static SETTINGS: LazyLock<Value> = LazyLock::new(config::json_schema);

/// What may stand at a place: several schemas, where there is a choice. Those that say more of the same come first.
#[derive(Debug, Clone, Default)]
pub(super) struct Allowed<'s>(Vec<&'s Value>);

/// A key that a map may have.
#[derive(Debug)]
pub(super) struct Offered<'s> {
    pub(super) name: &'s str,
    pub(super) is_needed: bool,
    pub(super) value: Allowed<'s>,
}

impl Form {
    pub(super) fn schema(self) -> &'static Value {
        match self {
            Self::Playbook => &PLAYBOOK,
            Self::Tests => &TESTS,
            Self::Settings => &SETTINGS,
        }
    }
}

impl<'s> Allowed<'s> {
    /// What may stand inside the keys and items around a place.
    pub(super) fn at(root: &'s Value, sketch: &Sketch<'_>, around: &[usize]) -> Self {
        let mut found = Self::resolved(root, [root]);
        let mut parent = None;
        for knot in around {
            let beside = |key: &str| sketch.child(parent, key).map(|it| sketch.scalar(it));
            found = match sketch.name(*knot) {
                Some(name) => {
                    let of_kind = found.of_kind(&|key| beside(key).filter(|_| key != name));
                    Self::resolved(root, of_kind.0.iter().flat_map(|schema| under(schema, name, &beside)))
                }
                None => found.item(root),
            };
            parent = Some(*knot);
        }
        found.of_kind(&|key| sketch.child(parent, key).map(|it| sketch.scalar(it)))
    }

    /// Of several forms of a map that one of its words tells apart, as `type` does, the one that is written; all, where none is.
    fn of_kind<'t>(self, inside: &impl Fn(&str) -> Option<&'t str>) -> Self {
        let is_other = |schema: &&Value| {
            let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            let words = properties.filter_map(|(key, value)| Some((inside(key)?, value.get("const")?.as_str()?)));
            words.into_iter().any(|(written, word)| written != word)
        };
        let fitting: Vec<_> = self.0.iter().copied().filter(|schema| !is_other(schema)).collect();
        if fitting.iter().any(|schema| schema.get("properties").is_some()) { Self(fitting) } else { self }
    }

    /// What may be an item of the list that may stand here.
    pub(super) fn item(&self, root: &'s Value) -> Self {
        Self::resolved(root, self.0.iter().filter_map(|schema| schema.get("items")))
    }

    fn resolved(root: &'s Value, schemas: impl IntoIterator<Item = &'s Value>) -> Self {
        let mut all = Self::default();
        for schema in schemas {
            all.add(root, schema);
        }
        all
    }

    /// Adds a schema, what it refers to, and its alternatives.
    fn add(&mut self, root: &'s Value, schema: &'s Value) {
        self.0.push(schema);
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| root.pointer(name.strip_prefix('#')?));
        let alternatives = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|it| schema.get(it)?.as_array()).flatten();
        for inner in target.into_iter().chain(alternatives) {
            self.add(root, inner);
        }
    }

    /// The keys that a map here may have beside those that it has.
    pub(super) fn keys(&self, root: &'s Value, present: &[&str]) -> Vec<Offered<'s>> {
        let maps: Vec<_> = self.0.iter().filter_map(|schema| Some((*schema, schema.get("properties")?.as_object()?))).collect();
        let takes_all = |(schema, properties): &&(&Value, &Map<String, Value>)| {
            schema.get("additionalProperties") != Some(&Value::Bool(false)) || present.iter().all(|key| properties.contains_key(*key))
        };
        // Of several forms, that which has the keys that are there. A misspelt key is in none.
        let mut fitting: Vec<_> = maps.iter().filter(takes_all).collect();
        if fitting.is_empty() {
            fitting = maps.iter().collect();
        }
        let mut offered: Vec<Offered<'s>> = Vec::new();
        for (schema, properties) in fitting {
            let most = schema.get("maxProperties").and_then(Value::as_u64).is_some_and(|most| present.len() as u64 >= most);
            for (name, value) in properties.iter().filter(|(name, _)| !most && !present.contains(&name.as_str())) {
                let is_new = offered.iter().all(|it| it.name != name) && !is_excluded(schema, name, present);
                if is_new {
                    let is_needed = strings(schema, "required").any(|it| it == name);
                    offered.push(Offered { name, is_needed, value: Self::resolved(root, [value]) });
                }
            }
        }
        for names in self.0.iter().filter_map(|schema| schema.get("propertyNames")) {
            for name in strings(names, "enum").filter(|name| !present.contains(name)) {
                offered.push(Offered { name, is_needed: false, value: Self::default() });
            }
        }
        offered
    }

    /// The words that a text here may be, each with its meaning.
    pub(super) fn words(&self) -> Vec<(String, &'s str)> {
        let mut words = Vec::new();
        for schema in &self.0 {
            let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            words.extend(schema.get("const").and_then(Value::as_str).map(|it| (it.to_owned(), meaning)));
            words.extend(strings(schema, "enum").chain(strings(schema, "examples")).map(|it| (it.to_owned(), "")));
            if strings(schema, "type").any(|it| it == "boolean") && !self.is_expression() {
                words.extend(["true", "false"].map(|it| (it.to_owned(), "")));
            }
        }
        let mut seen = BTreeSet::new();
        words.retain(|(word, _)| seen.insert(word.clone()));
        words
    }

    /// What stands here, in a sentence.
    pub(super) fn description(&self) -> Option<&'s str> {
        self.0.iter().find_map(|schema| schema.get("description")?.as_str()).filter(|it| !it.is_empty())
    }

    /// What counts where nothing stands here, as JSON.
    pub(super) fn default_value(&self) -> Option<String> {
        let is_something =
            |value: &&Value| !value.is_null() && *value != &Value::from("") && value.as_array().is_none_or(|it| !it.is_empty());
        self.0.iter().find_map(|schema| schema.get("default").filter(is_something)).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// Whether a text here is an expression as it stands.
    pub(super) fn is_expression(&self) -> bool {
        self.0.iter().any(|schema| schema.get("contentMediaType").and_then(Value::as_str) == Some(RHAI))
    }

    /// Whether a map here may have any key.
    pub(super) fn takes_any_key(&self) -> bool {
        let is_open =
            |schema: &Value| schema.get("additionalProperties") != Some(&Value::Bool(false)) || schema.get("patternProperties").is_some();
        self.0.iter().any(|schema| strings(schema, "type").any(|it| it == "object") && is_open(schema))
    }
}

/// What a map's schema says of the value under a key. `beside` gives the texts under its other keys.
fn under<'s, 't>(schema: &'s Value, name: &str, beside: &impl Fn(&str) -> Option<&'t str>) -> Vec<&'s Value> {
    let property = |schema: &'s Value| schema.get("properties").and_then(|it| it.get(name));
    let mut found: Vec<&Value> = property(schema).into_iter().collect();
    if found.is_empty() {
        let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
        let fits = |pattern: &str| Regex::new(pattern).is_ok_and(|it| it.is_match(name));
        found.extend(patterns.filter(|(pattern, _)| fits(pattern)).map(|(_, value)| value));
        found.extend(schema.get("additionalProperties").filter(|it| it.is_object()));
    }
    // `if` the action is this one, `then` its parameters are these.
    for rule in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        let asked = rule.pointer("/if/properties").and_then(Value::as_object).into_iter().flatten();
        let holds = |(key, wanted): (&String, &Value)| wanted.get("const").and_then(Value::as_str) == beside(key);
        if rule.get("then").is_some() && asked.into_iter().all(holds) {
            found.extend(rule.get("then").and_then(property));
        }
    }
    found
}

/// Whether a key is one of several of which a map has one, and has another.
fn is_excluded(schema: &Value, name: &str, present: &[&str]) -> bool {
    let choice = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let kinds: Vec<&str> = choice.flat_map(|it| strings(it, "required")).collect();
    kinds.contains(&name) && present.iter().any(|it| kinds.contains(it))
}

/// The texts under a keyword that has one, or a list.
fn strings<'s>(schema: &'s Value, keyword: &str) -> impl Iterator<Item = &'s str> {
    let value = schema.get(keyword);
    let list = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    value.and_then(Value::as_str).into_iter().chain(list)
}
