//! Settings from `QUELL_…` variables, laid over those of the file. What a variable's text means is for the setting to say that it
//! stands for: where a text is wanted it is taken as it is, where a number or a list is wanted it is read as YAML.

use std::collections::BTreeMap;

use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Visitor,
        value::{MapAccessDeserializer, MapDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Value};

use super::{ConfigError, SECTIONS, faults::Fault, yaml};
use crate::problem::nearest;

/// A setting that a variable stands for.
pub(super) struct Variable {
    /// Its section, and the keys below it.
    pub(super) path: Vec<String>,
    pub(super) text: String,
}

/// Settings of the file with variables above them.
#[derive(Clone)]
pub(super) enum Layered {
    Map(BTreeMap<String, Self>),
    /// Anything else, as the file has it.
    File(Value),
    /// As a variable has it.
    Variable(String),
}

/// The section that is a single value, so that its variable needs no key.
const SINGLE: &str = "playbooks";

/// The settings among the variables: a section, two underscores, a key.
///
/// Other names with our prefix belong to others: a cluster, for one, adds `QUELL_PORT` and the like for a service called `quell`.
pub(super) fn settings(variables: impl Iterator<Item = (String, String)>) -> Result<Vec<Variable>, ConfigError> {
    let mut found = Vec::new();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix("QUELL_").map(str::to_lowercase) else { continue };
        let (section, has_key) = rest.split_once("__").map_or((rest.as_str(), false), |(section, _)| (section, true));
        if !has_key && section != SINGLE {
            continue;
        }
        if SECTIONS.contains(&section) {
            let path = rest.split("__").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            found.push(Variable { path, text });
        } else if let Some(meant) = nearest(section, SECTIONS.iter().copied()) {
            let advice = format!("did you mean `QUELL_{}__…`, as in `{meant}`?", meant.to_uppercase());
            let message = format!("the variable `{name}` stands for no setting; {advice}");
            return Err(ConfigError(vec![Fault { place: None, message }]));
        }
    }
    Ok(found)
}

impl Layered {
    /// Puts a variable above what is there.
    pub(super) fn set(&mut self, path: &[String], text: String) {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::Variable(text);
            return;
        };
        let mut entries = match std::mem::replace(self, Self::File(Value::Null)) {
            Self::Map(entries) => entries,
            Self::File(_) | Self::Variable(_) => BTreeMap::new(),
        };
        entries.entry(first.clone()).or_insert(Self::File(Value::Null)).set(rest, text);
        *self = Self::Map(entries);
    }

    /// Each entry of each section as settings of its own, with its section and its key or number. No setting needs another to be read.
    pub(super) fn parts(self) -> Vec<(Vec<String>, Self)> {
        let Self::Map(sections) = self else { return Vec::new() };
        let mut parts = Vec::new();
        for (section, content) in sections {
            for (key, entry) in content.entries(&section) {
                let settings = Self::Map(BTreeMap::from([(section.clone(), entry)]));
                parts.push((std::iter::once(section.clone()).chain(key).collect(), settings));
            }
        }
        parts
    }

    /// The content of a section with one entry at a time; as it is, where it has none.
    fn entries(self, section: &str) -> Vec<(Option<String>, Self)> {
        match self {
            Self::Map(entries) if SECTIONS.contains(&section) => {
                entries.into_iter().map(|(key, entry)| (Some(key.clone()), Self::Map(BTreeMap::from([(key, entry)])))).collect()
            }
            Self::File(Value::Array(items)) => {
                items.into_iter().enumerate().map(|(at, item)| (Some(at.to_string()), Self::File(Value::Array(vec![item])))).collect()
            }
            content @ (Self::Map(_) | Self::File(_) | Self::Variable(_)) => vec![(None, content)],
        }
    }

    /// For where something else than a text is wanted.
    fn read(self) -> Self {
        match self {
            Self::Variable(text) => Self::File(yaml(&text).unwrap_or(Value::String(text))),
            Self::File(_) | Self::Map(_) => self,
        }
    }
}

impl From<Value> for Layered {
    fn from(value: Value) -> Self {
        match value {
            Value::Object(entries) => Self::Map(entries.into_iter().map(|(key, value)| (key, Self::from(value))).collect()),
            other => Self::File(other),
        }
    }
}

impl IntoDeserializer<'_, Error> for Layered {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Reads a variable's text before it goes on as everything else does.
macro_rules! not_a_text {
    ($($method:ident)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.read().deserialize_any(visitor)
        })+
    };
}

impl<'de> Deserializer<'de> for Layered {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Map(entries) => visitor.visit_map(MapDeserializer::new(entries.into_iter())),
            Self::File(value) => value.deserialize_any(visitor),
            Self::Variable(text) => visitor.visit_string(text),
        }
    }

    not_a_text! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_seq deserialize_map deserialize_unit
    }

    forward_to_deserialize_any! { char str string bytes byte_buf identifier }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::File(Value::Null) => visitor.visit_none(),
            Self::Variable(text) if text.is_empty() => visitor.visit_none(),
            Self::File(_) | Self::Variable(_) | Self::Map(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match self.read() {
            map @ (Self::Map(_) | Self::File(Value::Object(_))) => map.deserialize_any(visitor),
            // Also a list: it would be taken for the values in the order of the program.
            Self::File(_) | Self::Variable(_) => Err(Error::custom("it is to be a map of settings")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Map(entries) => {
                MapAccessDeserializer::new(MapDeserializer::new(entries.into_iter())).deserialize_enum(name, variants, visitor)
            }
            Self::File(value) => value.deserialize_enum(name, variants, visitor),
            Self::Variable(text) => Value::String(text).deserialize_enum(name, variants, visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}
