//! The names of actions as people group them: `subscription.suspend`, `subscription.*`.

use std::{borrow::Cow, collections::BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

use super::CATALOG;
use crate::{problem::did_you_mean, run::Class};

/// The name of an action, or a group such as `subscription.*`; it covers at least one action that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It covers no action that changes something; says what was probably meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pattern = Self(text.to_owned());
        if pattern.covered().next().is_some() {
            return Ok(pattern);
        }
        let names = CATALOG.iter().filter(|entry| entry.class != Class::Read).map(|entry| entry.name);
        let listed = || format!("actions that change something are {}", names.clone().collect::<Vec<_>>().join(", "));
        let meant = did_you_mean(text, names.clone()).unwrap_or_else(listed);
        Err(format!("`{text}` covers no action that changes something; {meant}"))
    }

    /// Whether it stands for an action.
    pub fn covers(&self, action: &str) -> bool {
        self.0.strip_suffix('*').map_or(self.0 == action, |group| action.starts_with(group))
    }

    /// The actions that it stands for and that change something.
    pub fn covered(&self) -> impl Iterator<Item = &'static str> {
        CATALOG.iter().filter(|entry| entry.class != Class::Read && self.covers(entry.name)).map(|entry| entry.name)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = CATALOG.iter().filter(|entry| entry.class != Class::Read).map(|entry| entry.name).collect();
        let group = |name: &&'static str| name.split_once('.').map(|(group, _)| format!("{group}.*"));
        let groups: BTreeSet<_> = names.iter().filter_map(group).collect();
        json_schema!({ "anyOf": [{ "enum": names }, { "type": "string", "pattern": "\\*$", "examples": groups }] })
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
