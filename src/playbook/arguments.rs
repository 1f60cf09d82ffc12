//! Values in a playbook whose texts may hold `${ }`: parameters of actions, and variables.

use serde_json::{Map, Value};

use super::{
    node::{Kind, Node},
    reader::Reader,
    visible::Visible,
};
use crate::expression::{Expression, ExpressionError, Scope, Template};

/// A value with expressions in it.
#[derive(Debug, Clone)]
pub struct Arguments(Part);

#[derive(Debug, Clone)]
enum Part {
    Constant(Value),
    Template(Template),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Arguments {
    /// No parameters at all.
    pub(super) fn none() -> Self {
        Self(Part::Constant(Value::Object(Map::new())))
    }

    pub(super) fn read(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Self> {
        Part::read(reader, node, visible).map(Self)
    }

    /// The value, with all expressions evaluated.
    ///
    /// # Errors
    /// Of the first expression that fails; the message starts with the parameter's name.
    pub fn render(&self, scope: &mut Scope) -> Result<Value, ExpressionError> {
        self.0.render(scope)
    }

    /// The value, if it holds no expression.
    pub fn constant(&self) -> Option<&Value> {
        match &self.0 {
            Part::Constant(value) => Some(value),
            Part::Template(_) | Part::List(_) | Part::Map(_) => None,
        }
    }

    /// The texts without expressions in it, where it is a list.
    pub(super) fn constant_items(&self) -> Vec<&str> {
        self.0.constant_items()
    }

    /// What [`Arguments::render`] gave, with the secrets in the place of their masks.
    ///
    /// # Errors
    /// Of the first secret that `value` does not know.
    pub fn reveal<'s>(&self, rendered: Value, value: &dyn Fn(&str) -> Result<&'s str, String>) -> Result<Value, String> {
        self.0.reveal(rendered, value)
    }

    /// The names of the secrets in it.
    pub fn secrets(&self) -> Vec<&str> {
        self.0.templates().into_iter().flat_map(|template| template.secrets().map(|(name, _)| name)).collect()
    }

    /// Whether a secret stands in the value under a key inside of another.
    pub(super) fn has_secret(&self, path: [&str; 2]) -> bool {
        path.iter()
            .try_fold(&self.0, |part, key| part.get(key))
            .is_some_and(|part| part.templates().iter().any(|it| it.secrets().next().is_some()))
    }

    /// The expressions in it.
    pub fn expressions(&self) -> Vec<&Expression> {
        self.0.templates().into_iter().flat_map(Template::expressions).map(|(expression, _)| expression).collect()
    }

    /// The text under a key, if it is written out.
    pub(super) fn constant_text(&self, key: &str) -> Option<&str> {
        match &self.0 {
            Part::Constant(value) => value.get(key)?.as_str(),
            Part::Map(entries) => entries.iter().find(|(name, _)| name == key)?.1.constant()?.as_str(),
            Part::Template(_) | Part::List(_) => None,
        }
    }

    /// The texts without expressions in the list under a key.
    pub(super) fn constant_texts(&self, key: &str) -> Vec<&str> {
        match &self.0 {
            Part::Constant(value) => value.get(key).map(texts).unwrap_or_default(),
            Part::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, part)| part.constant_items()).unwrap_or_default(),
            Part::Template(_) | Part::List(_) => Vec::new(),
        }
    }
}

impl Part {
    fn read(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Self> {
        let part = match &node.kind {
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => Self::Constant(node.to_value()),
            Kind::Text(_) => {
                let template = reader.template(node, "the text", visible)?;
                if template.is_constant() { Self::Constant(Value::String(template.literal())) } else { Self::Template(template) }
            }
            Kind::List(items) => {
                let parts: Vec<Self> = items.iter().filter_map(|item| Self::read(reader, item, visible)).collect();
                if parts.len() < items.len() {
                    return None;
                }
                Self::List(parts)
            }
            Kind::Map(entries) => {
                let read = |(key, value): &(super::node::Key, Node)| Some((key.name.clone(), Self::read(reader, value, visible)?));
                let parts: Vec<(String, Self)> = entries.iter().filter_map(read).collect();
                if parts.len() < entries.len() {
                    return None;
                }
                Self::Map(parts)
            }
        };
        Some(part.folded())
    }

    /// A list or map of constants is a constant.
    fn folded(self) -> Self {
        match self {
            Self::List(parts) if parts.iter().all(Self::is_constant) => {
                Self::Constant(parts.iter().filter_map(Self::constant).cloned().collect())
            }
            Self::Map(parts) if parts.iter().all(|(_, part)| part.is_constant()) => Self::Constant(Value::Object(
                parts.iter().filter_map(|(key, part)| Some((key.clone(), part.constant()?.clone()))).collect(),
            )),
            other @ (Self::Constant(_) | Self::Template(_) | Self::List(_) | Self::Map(_)) => other,
        }
    }

    fn constant_items(&self) -> Vec<&str> {
        match self {
            Self::Constant(value) => texts(value),
            Self::List(parts) => parts.iter().filter_map(Self::constant).filter_map(Value::as_str).collect(),
            Self::Template(_) | Self::Map(_) => Vec::new(),
        }
    }

    fn constant(&self) -> Option<&Value> {
        if let Self::Constant(value) = self { Some(value) } else { None }
    }

    fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::Template(template) => vec![template],
            Self::List(parts) => parts.iter().flat_map(Self::templates).collect(),
            Self::Map(parts) => parts.iter().flat_map(|(_, part)| part.templates()).collect(),
        }
    }

    fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(parts) => parts.iter().find(|(name, _)| name == key).map(|(_, part)| part),
            Self::Constant(_) | Self::Template(_) | Self::List(_) => None,
        }
    }

    /// Where nothing stands for a secret, the value is as it was rendered, whatever it holds.
    fn reveal<'s>(&self, rendered: Value, value: &dyn Fn(&str) -> Result<&'s str, String>) -> Result<Value, String> {
        match (self, rendered) {
            (Self::Template(template), Value::String(text)) => template.reveal(&text, value).map(Value::String),
            (Self::List(parts), Value::Array(items)) => parts.iter().zip(items).map(|(part, item)| part.reveal(item, value)).collect(),
            (Self::Map(parts), Value::Object(mut entries)) => {
                for (key, part) in parts {
                    if let Some(entry) = entries.get_mut(key) {
                        *entry = part.reveal(entry.take(), value)?;
                    }
                }
                Ok(Value::Object(entries))
            }
            (_, rendered) => Ok(rendered),
        }
    }

    fn is_constant(&self) -> bool {
        self.constant().is_some()
    }

    fn render(&self, scope: &mut Scope) -> Result<Value, ExpressionError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Template(template) => template.render(scope),
            Self::List(parts) => parts.iter().map(|part| part.render(scope)).collect(),
            Self::Map(parts) => {
                let mut fields = Map::new();
                for (key, part) in parts {
                    let value = part.render(scope).map_err(|error| ExpressionError { message: format!("`{key}`: {error}"), ..error })?;
                    fields.insert(key.clone(), value);
                }
                Ok(Value::Object(fields))
            }
        }
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
