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

    /// The expressions in it.
    pub fn expressions(&self) -> Vec<&Expression> {
        self.0.expressions()
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

    fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::Template(template) => template.expressions().map(|(expression, _)| expression).collect(),
            Self::List(parts) => parts.iter().flat_map(Self::expressions).collect(),
            Self::Map(parts) => parts.iter().flat_map(|(_, part)| part.expressions()).collect(),
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
