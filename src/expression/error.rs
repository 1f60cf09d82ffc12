//! Why an expression cannot be used: a sentence, and the place inside its text.

use std::fmt;

use rhai::{EvalAltResult, LexError, ParseError, ParseErrorType, Position};

use super::{limits, masks, program::Kind, scope::Scope};
use crate::problem::did_you_mean;

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

    /// Whether it is that a secret stands where it would be shown or kept.
    pub fn is_of_secret(&self) -> bool {
        self.is_of_secret_elsewhere() || self.message == masks::INSIDE
    }

    /// Whether it is that a secret stands where none is taken at all.
    pub fn is_of_secret_elsewhere(&self) -> bool {
        self.message == masks::MISPLACED
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

    pub(super) fn from_parse(error: &ParseError, text: &str, names: &[&str], kind: Kind) -> Self {
        let place = Place::of(text, error.1);
        let message = match &*error.0 {
            ParseErrorType::VariableUndefined(name) => unknown_name(name, names),
            ParseErrorType::Reserved(word) => reserved_word(word, &place),
            ParseErrorType::BadInput(LexError::ImproperSymbol(word, _)) if is_word(word) => disabled_word(word, &place),
            ParseErrorType::PropertyExpected if !place.word.is_empty() => reserved_word(place.word, &place),
            ParseErrorType::AssignmentToConstant(name) => constant(name),
            ParseErrorType::ExprTooDeep => format!("{kind} is nested too deeply"),
            ParseErrorType::UnexpectedEOF => format!("{kind} ends too early"),
            // An operator that cannot stand there: the commonest is `=` for `==`, and `and` for `&&`.
            other => match (kind, place.word, place.rest.starts_with('=') && !place.rest.starts_with("==")) {
                (Kind::Expression, "", true) => "an expression changes nothing; `==` compares".to_owned(),
                (_, word, _) if foreign(word).is_some() => foreign(word).unwrap_or_default(),
                _ => sentence(&other.to_string()),
            },
        };
        Self::at(message, text, error.1)
    }

    pub(super) fn from_evaluation(error: &EvalAltResult, text: &str, scope: &Scope, kind: Kind) -> Self {
        Self::at(explain(error, text, scope, kind), text, error.position())
    }
}

/// What an evaluation's failure means, for the author of the text.
fn explain(error: &EvalAltResult, text: &str, scope: &Scope, kind: Kind) -> String {
    match error {
        EvalAltResult::ErrorPropertyNotFound(name, position) => missing_property(name, text, *position, scope),
        EvalAltResult::ErrorTooManyOperations(_) => format!("{kind} takes more than {} operations", limits::MOST_OPERATIONS),
        EvalAltResult::ErrorTerminated(excess, _) => format!("{kind} {excess}"),
        EvalAltResult::ErrorStackOverflow(_) => format!("functions call functions more than {} deep", limits::MOST_CALLS),
        EvalAltResult::ErrorTooManyVariables(_) => format!("{kind} has more than {} variables", limits::MOST_VARIABLES),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => format!("there is no function `{signature}`"),
        EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
        EvalAltResult::ErrorMismatchDataType(wanted, found, _) => format!("a {} is needed here, and this is a {found}", plain(wanted)),
        EvalAltResult::ErrorAssignmentToConstant(name, _) => constant(name),
        EvalAltResult::ErrorNonPureMethodCallOnConstant(method, _) => {
            format!("`{method}` would change a value that Quell gives; copy it into a variable with `let` first")
        }
        EvalAltResult::ErrorDotExpr(..) | EvalAltResult::ErrorIndexingType(..) => {
            format!("{}; a value that may be absent needs `?.` or `get(map, key, default)`", without_position(error))
        }
        // The function stands in another file: nothing in this text is what it asked for.
        EvalAltResult::ErrorInFunctionCall(name, _, inner, _) => format!("in the function `{name}`: {}", explain(inner, "", scope, kind)),
        _ => without_position(error),
    }
}

fn constant(name: &str) -> String {
    let whose = if name.is_empty() { "this value".to_owned() } else { format!("`{name}`") };
    format!("{whose} cannot be changed; copy it into a variable with `let` first")
}

/// The word at a place, and what stands around it.
struct Place<'a> {
    /// Without blanks at its end.
    before: &'a str,
    word: &'a str,
    /// From the place on.
    rest: &'a str,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, position: Position) -> Self {
        let at = offset_of(text, position).unwrap_or(text.len());
        let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        Self { before: before.trim_end(), word: rest.get(..end).unwrap_or_default(), rest }
    }

    /// What follows the word.
    fn after(&self) -> &str {
        self.rest.get(self.word.len()..).unwrap_or_default().trim_start()
    }
}

/// `alert.module`: rhai keeps words for itself, also where they can only be the name of a field.
fn reserved_word(word: &str, place: &Place<'_>) -> String {
    if place.after().starts_with('(') {
        return format!("`{word}` is a reserved word of rhai and no function");
    }
    if let Some(before) = place.before.strip_suffix('.') {
        let (before, question) = before.strip_suffix('?').map_or((before, ""), |it| (it, "?"));
        return format!("`{word}` is a reserved word of rhai; write `{}{question}[\"{word}\"]`", path_at_end(before));
    }
    if let Some(sentence) = foreign(word) {
        return sentence;
    }
    if is_word(word) && place.after().starts_with(':') {
        return format!("`{word}` is a reserved word of rhai; write `\"{word}\": …`");
    }
    if is_word(word) { format!("`{word}` is a reserved word of rhai and no name") } else { format!("`{word}` means nothing here") }
}

fn disabled_word(word: &str, place: &Place<'_>) -> String {
    if place.before.ends_with('.') && !place.after().starts_with('(') {
        return reserved_word(word, place);
    }
    format!("`{word}` is not allowed: nothing here makes code, or reaches outside")
}

/// The words of other languages.
fn foreign(word: &str) -> Option<String> {
    let here = match word {
        "null" | "nil" | "None" | "NULL" | "Null" | "none" | "undefined" | "void" => {
            return Some(format!("rhai has no `{word}`; write `()` for nothing, or ask `is_null(x)`"));
        }
        "True" | "TRUE" => "true",
        "False" | "FALSE" => "false",
        "and" | "AND" => "&&",
        "or" | "OR" => "||",
        "not" | "NOT" => "!",
        "elif" | "elsif" => "else if",
        "var" => "let",
        _ => return None,
    };
    Some(format!("rhai has no `{word}`; write `{here}`"))
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// `alert.severty`: finds the map that was asked, by the path written before the name, and the nearest of its keys.
fn missing_property(name: &str, text: &str, position: Position, scope: &Scope) -> String {
    let before = offset_of(text, position).and_then(|at| text.get(..at)).unwrap_or_default().trim_end();
    let asked = before.trim_end_matches(['.', '[', '?', '"', '\'']);
    let path = path_at_end(asked).replace('?', "");
    let keys = scope.keys(&path);
    let whose = if path.is_empty() { "the value".to_owned() } else { format!("`{path}`") };
    let meant = did_you_mean(name, keys.iter().map(String::as_str)).map(|it| format!("; {it}"));
    format!("{whose} has no `{name}`{}", meant.unwrap_or_default())
}

/// The dotted path with which a text ends.
fn path_at_end(text: &str) -> &str {
    let start = text.char_indices().rev().take_while(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '.' | '?')).last();
    text.get(start.map_or(text.len(), |(at, _)| at)..).unwrap_or_default()
}

fn unknown_name(name: &str, names: &[&str]) -> String {
    if let Some(sentence) = foreign(name) {
        return sentence;
    }
    match did_you_mean(name, names.iter().copied()) {
        Some(meant) => format!("unknown name `{name}`; {meant}"),
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
