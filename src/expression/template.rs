//! Texts with `${ rhai }` in them.

use std::sync::Arc;

use serde_json::Value;

use super::{Expression, ExpressionError, Sandbox, Scope};

/// A compiled text with expressions in it. A text that is one whole `${ }` keeps the type of its value.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Arc<[Part]>,
    text: Arc<str>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Value {
        expression: Expression,
        /// Where the expression stands in the template.
        start: usize,
    },
}

impl Template {
    pub(super) fn compile(sandbox: &Sandbox, text: &str, names: &[&str]) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|it| !it.is_empty()) {
            if let Some(escaped) = rest.strip_prefix("$${") {
                literal.push_str("${");
                at = text.len() - escaped.len();
            } else if let Some(inside) = rest.strip_prefix("${") {
                let start = text.len() - inside.len();
                let Some(length) = length_of_expression(inside) else {
                    return Err(ExpressionError::at_offset("this `${` has no `}`; a literal `${` is written `$${`", text, at));
                };
                let source = inside.get(..length).unwrap_or_default();
                let expression = sandbox.expression(source, names).map_err(|error| error.moved(text, start))?;
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Value { expression, start });
                at = start + length + 1;
            } else {
                let next = rest.chars().next().unwrap_or_default();
                literal.push(next);
                at += next.len_utf8();
            }
        }
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts: parts.into(), text: text.into() })
    }

    /// The text with its values; for a text that is one whole `${ }`, the value itself.
    ///
    /// # Errors
    /// Says what went wrong and where in the text. Nothing (`()`) is no part of a text: half an address is worse than none.
    pub fn render(&self, scope: &mut Scope) -> Result<Value, ExpressionError> {
        match &*self.parts {
            [Part::Text(text)] => Ok(Value::String(text.clone())),
            [Part::Value { expression, start }] => expression.value(scope).map_err(|error| error.moved(&self.text, *start)),
            parts => self.join(parts, scope).map(Value::String),
        }
    }

    /// The text with its values.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_text(&self, scope: &mut Scope) -> Result<String, ExpressionError> {
        self.join(&self.parts, scope)
    }

    /// Whether there is no expression in it.
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The text outside of its expressions, with `$${` read as `${`: all of it where there are none.
    pub fn literal(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None });
        texts.collect()
    }

    /// Whether it is one whole `${ }`, whose value may be of any type.
    pub fn is_whole(&self) -> bool {
        matches!(&*self.parts, [Part::Value { .. }])
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The expressions in it, each with the byte at which it stands.
    pub fn expressions(&self) -> impl Iterator<Item = (&Expression, usize)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value { expression, start } => Some((expression, *start)),
        })
    }

    fn join(&self, parts: &[Part], scope: &mut Scope) -> Result<String, ExpressionError> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Value { expression, start } => {
                    let place = |error: ExpressionError| error.moved(&self.text, *start);
                    match expression.value(scope).map_err(place)? {
                        Value::String(value) => text.push_str(&value),
                        Value::Null => {
                            let message =
                                format!("`{0}` is nothing, which is no part of a text; write `{0} ?? \"…\"`", expression.text().trim());
                            return Err(place(ExpressionError::new(message)));
                        }
                        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                            text.push_str(&other.to_string());
                        }
                    }
                }
            }
        }
        Ok(text)
    }
}

/// How many bytes stand before the `}` that ends an expression: braces inside it, and those in its strings, do not.
fn length_of_expression(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        if let Some(open) = quote {
            if !is_escaped && letter == open {
                quote = None;
            }
            is_escaped = !is_escaped && letter == '\\';
            continue;
        }
        match letter {
            '"' | '\'' | '`' => quote = Some(letter),
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}
