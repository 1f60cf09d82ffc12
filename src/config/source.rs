//! The text of the settings, and where in it something is wrong.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

use serde_json::{Value, json};

use super::{faults::Fault, options};
use crate::{
    playbook::node::{self, Kind, Node},
    problem::Place,
};

/// The text of the settings, with the places of their keys. Nothing where there is no file.
#[derive(Clone, Default)]
pub struct Source {
    path: PathBuf,
    text: Arc<str>,
    root: Option<Arc<Node>>,
}

impl Source {
    /// Reads a text.
    ///
    /// # Errors
    /// It is not YAML.
    pub(super) fn read(path: &str, text: &str) -> Result<Self, Fault> {
        let source = Self { path: PathBuf::from(path), text: Arc::from(text), root: None };
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(source);
        }
        match node::read(text, options()) {
            Ok(root) => Ok(Self { root: Some(Arc::new(root)), ..source }),
            Err(broken) => Err(Fault { place: Some(Place::in_text(path, text, broken.span)), message: broken.message }),
        }
    }

    /// What it holds; no settings where it holds nothing.
    pub(super) fn to_value(&self) -> Value {
        self.root.as_ref().map_or_else(|| json!({}), |root| root.to_value())
    }

    /// Something wrong with a setting; with a part of it, where the sentence names one.
    pub fn fault(&self, setting: &[&str], message: impl Into<String>) -> Fault {
        let message = message.into();
        Fault { place: self.place(setting, &message), message }
    }

    /// As near as what is in the file lies to what is meant.
    fn place(&self, setting: &[&str], message: &str) -> Option<Place> {
        let root = self.root.as_deref()?;
        let (mut span, node) = below(root, setting.iter().copied()).map_or((None, root), |(span, node)| (Some(span), node));
        let mut named = message.split('`').skip(1).step_by(2);
        if let Some((part, _)) = named.find_map(|name| below(node, name.split('.'))) {
            span = Some(part);
        }
        Some(span.map_or_else(|| Place::file(&self.path), |span| Place::in_text(&self.path, &self.text, span)))
    }
}

/// What lies below a value at the end of a path, or as far along it as there is something.
fn below<'n, 'p>(node: &'n Node, path: impl Iterator<Item = &'p str>) -> Option<(Range<usize>, &'n Node)> {
    let mut found: Option<(Range<usize>, &Node)> = None;
    for name in path {
        let Some(next) = child(found.as_ref().map_or(node, |(_, node)| node), name) else { break };
        found = Some(next);
    }
    found
}

/// The value under a key, or the item of that number or `name`.
fn child<'n>(node: &'n Node, name: &str) -> Option<(Range<usize>, &'n Node)> {
    match &node.kind {
        Kind::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(key, value)| (key.span.clone(), value)),
        Kind::List(items) => {
            let named = || items.iter().find(|item| item.entry("name").and_then(Node::as_text) == Some(name));
            let item = name.parse().ok().and_then(|at: usize| items.get(at)).or_else(named)?;
            Some((item.place(), item))
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => None,
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.path).finish()
    }
}
