//! Texts with `${ rhai }` in them.

use std::sync::Arc;

use serde_json::Value;

use super::{Expression, ExpressionError, Sandbox, Scope, masks};

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
    /// A secret, which is put in when the text is used: until then its mask stands there.
    Secret {
        name: String,
        /// Where its name stands in the template.
        start: usize,
    },
}

/// Whether a text may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    Taken,
    Refused,
}

impl Template {
    pub(super) fn compile(sandbox: &Sandbox, text: &str, names: &[&str], secrets: Secrets) -> Result<Self, ExpressionError> {
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
                let part = match masks::secret(source).filter(|_| secrets == Secrets::Taken) {
                    Some(name) => Part::Secret { name, start },
                    None => Part::Value {
                        expression: sandbox.expression(source, names).map_err(|error| told(error, secrets).moved(text, start))?,
                        start,
                    },
                };
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(part);
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

    /// The secrets in it, in order, each with the byte at which it stands.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, usize)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) | Part::Value { .. } => None,
            Part::Secret { name, start } => Some((name.as_str(), *start)),
        })
    }

    /// What [`Template::render`] gave, with the secrets in the place of their masks.
    ///
    /// # Errors
    /// Of the first secret that `value` does not know; or the text is not one that this template gave.
    pub fn reveal<'s>(&self, rendered: &str, mut value: impl FnMut(&str) -> Result<&'s str, String>) -> Result<String, String> {
        let mut revealed = String::new();
        let mut rest = rendered;
        for (name, _) in self.secrets() {
            let (before, after) = rest.split_once(&masks::mask(name)).ok_or_else(|| format!("no place is left for the secret `{name}`"))?;
            revealed.push_str(before);
            revealed.push_str(value(name)?);
            rest = after;
        }
        revealed.push_str(rest);
        Ok(revealed)
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
            Part::Text(_) | Part::Secret { .. } => None,
            Part::Value { expression, start } => Some((expression, *start)),
        })
    }

    fn join(&self, parts: &[Part], scope: &mut Scope) -> Result<String, ExpressionError> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Secret { name, .. } => text.push_str(&masks::mask(name)),
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
        // Data that looks like a mask would be given the secret that stands beside it.
        match self.secrets().count() {
            0 => Ok(text),
            secrets if masks::count(&text) == secrets => Ok(text),
            _ => Err(ExpressionError::new(masks::AMBIGUOUS)),
        }
    }
}

/// Where secrets are taken, one that is a part of an expression is only written wrongly.
fn told(error: ExpressionError, secrets: Secrets) -> ExpressionError {
    match secrets {
        Secrets::Taken if error.is_of_secret() => ExpressionError { message: masks::INSIDE.to_owned(), ..error },
        Secrets::Taken | Secrets::Refused => error,
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
