//! Why an expression cannot be used: a sentence, and the place inside its text.

use std::fmt;

use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

use super::{sandbox, scope::Scope};
use crate::problem::nearest;

/// What is wrong with an expression, before or while it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// A sentence without a full stop.
    pub message: String,
    /// The line inside the expression's text, from 1; 0 when the whole is meant.
    pub line: usize,
    /// The column in characters, from 1; 0 when the whole is meant.
    pub column: usize,
    /// The byte inside the text at which the fault begins; 0 when the whole is meant.
    pub offset: usize,
}

impl std::error::Error for ExpressionError {}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ExpressionError {
    /// An error about the whole text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), line: 0, column: 0, offset: 0 }
    }

    /// An error at a byte of the text.
    pub(super) fn at_offset(message: impl Into<String>, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { message: message.into(), line, column, offset: before.len() }
    }

    fn at(message: impl Into<String>, text: &str, position: Position) -> Self {
        match offset_of(text, position) {
            Some(offset) => Self::at_offset(message, text, offset),
            None => Self::new(message),
        }
    }

    /// The same error, told for a larger text in which the expression starts at `start`.
    pub(super) fn moved(self, text: &str, start: usize) -> Self {
        Self::at_offset(self.message, text, start + self.offset)
    }

    pub(super) fn from_parse(error: &ParseError, text: &str, names: &[&str]) -> Self {
        let message = match &*error.0 {
            ParseErrorType::VariableUndefined(name) => unknown_name(name, names),
            ParseErrorType::ExprTooDeep => "the expression is nested too deeply".to_owned(),
            ParseErrorType::UnexpectedEOF => "the expression ends too early".to_owned(),
            other => sentence(&other.to_string()),
        };
        Self::at(message, text, error.1)
    }

    pub(super) fn from_evaluation(error: &EvalAltResult, text: &str, scope: &Scope) -> Self {
        Self::at(explain(error, text, scope), text, error.position())
    }
}

/// What an evaluation's failure means, for the author of the expression.
fn explain(error: &EvalAltResult, text: &str, scope: &Scope) -> String {
    match error {
        EvalAltResult::ErrorPropertyNotFound(name, position) => missing_property(name, text, *position, scope),
        EvalAltResult::ErrorTooManyOperations(_) => format!("the expression takes more than {} operations", sandbox::MOST_OPERATIONS),
        EvalAltResult::ErrorTerminated(..) => format!("the expression takes longer than {} ms", sandbox::LONGEST.as_millis()),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => format!("there is no function `{signature}`"),
        EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
        EvalAltResult::ErrorMismatchDataType(wanted, found, _) => format!("a {} is needed here, and this is a {found}", plain(wanted)),
        EvalAltResult::ErrorDotExpr(..) | EvalAltResult::ErrorIndexingType(..) => {
            format!("{}; a value that may be absent needs `?.` or `get(map, key, default)`", without_position(error))
        }
        EvalAltResult::ErrorInFunctionCall(name, _, inner, _) => format!("in the function `{name}`: {}", without_position(inner)),
        _ => without_position(error),
    }
}

/// `alert.severty`: finds the map that was asked, by the path written before the name, and the nearest of its keys.
fn missing_property(name: &str, text: &str, position: Position, scope: &Scope) -> String {
    let before = offset_of(text, position).and_then(|at| text.get(..at)).unwrap_or_default().trim_end();
    let asked = before.trim_end_matches(['.', '[', '?', '"', '\'']);
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == '.' || c == '?';
    let path = asked.get(asked.rfind(|c| !is_path(c)).map_or(0, |at| at + 1)..).unwrap_or_default().replace('?', "");
    let keys = scope.keys(&path);
    let whose = if path.is_empty() { "the value".to_owned() } else { format!("`{path}`") };
    let meant = nearest(name, keys.iter().map(String::as_str)).map(|it| format!("; did you mean `{it}`?"));
    format!("{whose} has no `{name}`{}", meant.unwrap_or_default())
}

fn unknown_name(name: &str, names: &[&str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(meant) => format!("unknown name `{name}`; did you mean `{meant}`?"),
        None => format!("unknown name `{name}`; the names here are {}", listed(names)),
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

fn without_position(error: &EvalAltResult) -> String {
    let text = error.to_string();
    sentence(text.split(" (line ").next().unwrap_or(&text))
}

/// Rhai's texts start with a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn plain(type_name: &str) -> &str {
    type_name.trim_start_matches("&mut ").trim_start_matches('&')
}

fn offset_of(text: &str, position: Position) -> Option<usize> {
    let line = position.line()?;
    let column = position.position().unwrap_or(1);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let within: usize = text.get(start..)?.chars().take(column - 1).map(char::len_utf8).sum();
    Some(start + within)
}
