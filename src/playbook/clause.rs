//! One line of `match`: a field of the alert and what it must be.

use std::{borrow::Cow, mem::discriminant, sync::Arc};

use serde_json::Value;

use super::{
    codes,
    fields::{self, Holds},
    node::{Kind, Node},
    reader::{Reader, listed},
};
use crate::problem::did_you_mean;
use crate::{
    alert::Severity,
    expression::{Pattern, is_in_range},
};

/// A condition on one field that needs no script.
#[derive(Debug, Clone)]
pub struct Clause {
    /// The field, dotted where it lies inside another.
    pub field: String,
    /// The field's names, from the alert inwards.
    path: Box<[Box<str>]>,
    pub(super) test: Test,
    text: String,
}

/// What a field must be.
#[derive(Debug, Clone)]
pub(super) enum Test {
    AnyOf(Vec<Value>),
    Not(Vec<Value>),
    Prefix(Vec<String>),
    Suffix(Vec<String>),
    Contains(Vec<String>),
    Regex(Arc<Pattern>),
    Number(Bound, f64),
    Exists(bool),
    Cidr(Vec<String>),
    AtLeast(Severity),
}

/// On which side of a limit a number must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Whether a clause holds for an alert.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Holding {
    Yes,
    /// With the value that was found.
    No(String),
    /// The alert's value is of a kind that the clause cannot judge.
    Unclear(String),
}

const OPERATORS: &[&str] =
    &["any_of", "not", "prefix", "suffix", "contains", "regex", "gt", "gte", "lt", "lte", "exists", "cidr", "at_least"];

/// Of more values than these, each is not worth a look of its own at the alert.
const MOST_PARTS: usize = 16;

impl Clause {
    /// Reads one entry of `match`, which may hold several operators and so become several clauses.
    pub(super) fn read(reader: &mut Reader<'_>, field: &str, node: &Node) -> Vec<Self> {
        let root = field.split('.').next().unwrap_or(field);
        let holds = fields::holds(root).unwrap_or(Holds::Anything);
        let clause = |test, text| Self { field: field.to_owned(), path: field.split('.').map(Into::into).collect(), test, text };
        report_capitals(reader, field, node);
        if let Kind::Map(entries) = &node.kind {
            let mut clauses = Vec::new();
            for (operator, operand) in entries {
                if OPERATORS.contains(&operator.name.as_str()) {
                    let test = Test::read(reader, &operator.name, operand, holds);
                    clauses.extend(test.map(|test| clause(test, format!("{field}: {{{}: {}}}", operator.name, operand.to_value()))));
                } else {
                    let help = did_you_mean(&operator.name, OPERATORS.iter().copied())
                        .unwrap_or_else(|| format!("operators are {}", listed(OPERATORS)));
                    reader.report_with_help(codes::OPERATOR, &operator.span, format!("unknown operator `{}`", operator.name), Some(help));
                    reader.offer_fix(&operator.name, OPERATORS);
                }
            }
            return clauses;
        }
        let values = values(reader, node, holds);
        values.map(|it| clause(Test::AnyOf(it), format!("{field}: {}", node.to_value()))).into_iter().collect()
    }

    /// As it was written, on one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The values of which the field must be one, for a clause that says no more than that.
    pub(super) fn any_of(&self) -> Option<&[Value]> {
        if let Test::AnyOf(values) = &self.test { Some(values) } else { None }
    }

    /// As many clauses with one value each, of which one is plainly false where it is; for a `not` of few values. Others are one.
    pub(super) fn parts(&self) -> Vec<Self> {
        let Test::Not(values) = &self.test else { return vec![self.clone()] };
        // Of values of several kinds the first that cannot be compared decides.
        let are_alike = values.windows(2).all(|it| matches!(it, [left, right] if discriminant(left) == discriminant(right)));
        if !are_alike || values.len() > MOST_PARTS {
            return vec![self.clone()];
        }
        let part = |value: &Value| Self {
            test: Test::Not(vec![value.clone()]),
            text: format!("{}: {{not: {value}}}", self.field),
            ..self.clone()
        };
        values.iter().map(part).collect()
    }

    /// What the field must be: what an index is built on.
    pub(super) fn test(&self) -> &Test {
        &self.test
    }

    /// Whether it holds. Where the field is a list, one item that fits is enough, and `not` wants none.
    pub(super) fn judge(&self, alert: &Value) -> Holding {
        let found = self.found(alert);
        let shown = || found.map_or_else(|| "nothing".to_owned(), |it| it.to_string().chars().take(200).collect());
        match self.outcome(found) {
            Ok(true) => Holding::Yes,
            Ok(false) => Holding::No(shown()),
            Err(reason) => Holding::Unclear(format!("`{}` in `match`: {reason}", self.field)),
        }
    }

    /// Whether it plainly does not hold, for those who need not say why.
    pub(super) fn is_false(&self, alert: &Value) -> bool {
        self.outcome(self.found(alert)) == Ok(false)
    }

    fn found<'v>(&self, alert: &'v Value) -> Option<&'v Value> {
        self.path.iter().try_fold(alert, |value, part| value.get(&**part)).filter(|it| !it.is_null())
    }

    fn outcome(&self, found: Option<&Value>) -> Result<bool, String> {
        match (&self.test, found) {
            (Test::Exists(wanted), _) => Ok(found.is_some() == *wanted),
            (Test::Not(_), None) => Ok(true),
            (_, None) => Ok(false),
            (Test::Not(values), Some(value)) => any(value, |it| is_any_of(it, values)).map(|it| !it),
            (test, Some(value)) => any(value, |it| test.fits(it)),
        }
    }
}

impl Bound {
    pub(super) fn holds(self, it: f64, limit: f64) -> bool {
        match self {
            Self::Above => it > limit,
            Self::AtLeast => it >= limit,
            Self::Below => it < limit,
            Self::AtMost => it <= limit,
        }
    }
}

impl Test {
    /// Whether it looks into a text.
    pub(super) fn is_of_texts(&self) -> bool {
        match self {
            Self::Prefix(_) | Self::Suffix(_) | Self::Contains(_) | Self::Regex(_) | Self::Cidr(_) => true,
            Self::AnyOf(_) | Self::Not(_) | Self::Number(..) | Self::Exists(_) | Self::AtLeast(_) => false,
        }
    }

    fn read(reader: &mut Reader<'_>, operator: &str, operand: &Node, holds: Holds) -> Option<Self> {
        match operator {
            "any_of" => values(reader, operand, holds).map(Self::AnyOf),
            "not" => values(reader, operand, holds).map(Self::Not),
            "prefix" => texts(reader, operand, operator).map(Self::Prefix),
            "suffix" => texts(reader, operand, operator).map(Self::Suffix),
            "contains" => texts(reader, operand, operator).map(Self::Contains),
            "regex" => regex(reader, operand).map(|it| Self::Regex(Arc::new(it))),
            "gt" => number(reader, operand, operator).map(|it| Self::Number(Bound::Above, it)),
            "gte" => number(reader, operand, operator).map(|it| Self::Number(Bound::AtLeast, it)),
            "lt" => number(reader, operand, operator).map(|it| Self::Number(Bound::Below, it)),
            "lte" => number(reader, operand, operator).map(|it| Self::Number(Bound::AtMost, it)),
            "exists" => reader.boolean(operand, "`exists`").map(Self::Exists),
            "cidr" => ranges(reader, operand).map(Self::Cidr),
            _ => at_least(reader, operand, holds).map(Self::AtLeast),
        }
    }

    fn fits(&self, value: &Value) -> Result<bool, String> {
        match self {
            Self::AnyOf(values) => is_any_of(value, values),
            Self::Not(values) => is_any_of(value, values).map(|it| !it),
            Self::Prefix(texts) => text(value).map(|it| texts.iter().any(|text| it.starts_with(text))),
            Self::Suffix(texts) => text(value).map(|it| texts.iter().any(|text| it.ends_with(text))),
            Self::Contains(texts) => text(value).map(|it| texts.iter().any(|text| it.contains(text))),
            Self::Regex(regex) => text(value).and_then(|it| regex.is_match(&it)),
            Self::Number(bound, limit) => {
                let it = value.as_f64().ok_or_else(|| format!("{value} is no number, and cannot be compared with {limit}"))?;
                Ok(bound.holds(it, *limit))
            }
            Self::Exists(wanted) => Ok(*wanted),
            Self::Cidr(ranges) => {
                let address = text(value)?;
                ranges.iter().try_fold(false, |found, range| Ok(found || is_in_range(&address, range)?))
            }
            Self::AtLeast(level) => {
                let word = text(value)?;
                fields::rank(&word).map(|it| it >= *level).ok_or_else(|| format!("`{word}` is no severity"))
            }
        }
    }
}

/// Whether a value fits, or one of its items where it is a list.
fn any(value: &Value, fits: impl Fn(&Value) -> Result<bool, String>) -> Result<bool, String> {
    let Value::Array(items) = value else { return fits(value) };
    for item in items {
        if fits(item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_any_of(value: &Value, wanted: &[Value]) -> Result<bool, String> {
    for it in wanted {
        match (value, it) {
            (Value::String(found), Value::String(wanted)) if found == wanted => return Ok(true),
            (Value::Bool(found), Value::Bool(wanted)) if found == wanted => return Ok(true),
            (Value::Number(found), Value::Number(wanted)) if found.as_f64() == wanted.as_f64() => return Ok(true),
            (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Number(_), Value::Number(_)) => {}
            (found, wanted) => return Err(format!("{found} cannot be compared with {wanted}")),
        }
    }
    Ok(false)
}

fn text(value: &Value) -> Result<Cow<'_, str>, String> {
    value.as_str().map(Cow::Borrowed).ok_or_else(|| format!("{value} is no text"))
}

/// The scalars of a scalar or list, each of a kind that the field can have.
fn values(reader: &mut Reader<'_>, node: &Node, holds: Holds) -> Option<Vec<Value>> {
    let one = std::slice::from_ref(node);
    let items = if let Kind::List(items) = &node.kind { items } else { one };
    if is_empty(reader, node) {
        return None;
    }
    let values: Vec<Value> = items.iter().filter_map(|item| value(reader, item, holds)).collect();
    (values.len() == items.len()).then_some(values)
}

/// Whether a list holds nothing, which is reported.
fn is_empty(reader: &mut Reader<'_>, node: &Node) -> bool {
    let is_empty = matches!(&node.kind, Kind::List(items) if items.is_empty());
    if is_empty {
        reader.report(codes::OPERATOR, &node.span, "an empty list matches nothing");
    }
    is_empty
}

fn value(reader: &mut Reader<'_>, node: &Node, holds: Holds) -> Option<Value> {
    match (holds, &node.kind) {
        (Holds::Word(words), Kind::Text(_)) => {
            let words: Vec<(&str, &str)> = words.iter().map(|it| (*it, *it)).collect();
            reader.word(node, "the field", &words).map(Value::from)
        }
        (Holds::Text | Holds::Texts, Kind::Text(_))
        | (Holds::Flag, Kind::Bool(_))
        | (Holds::Anything, Kind::Text(_) | Kind::Bool(_) | Kind::Number(_)) => Some(node.to_value()),
        (Holds::Text | Holds::Texts | Holds::Word(_) | Holds::Flag | Holds::Anything, _) => {
            let wanted = match holds {
                Holds::Text | Holds::Texts | Holds::Word(_) => "a text",
                Holds::Flag => "true or false",
                Holds::Anything => "a text, a number, or true or false",
            };
            reader.report(codes::WRONG_TYPE, &node.place(), format!("the field is compared with {wanted}, and this is {}", node.what()));
            None
        }
    }
}

/// Alerts arrive with their kind in small letters, so a kind with a capital letter would never match.
fn report_capitals(reader: &mut Reader<'_>, field: &str, node: &Node) {
    match &node.kind {
        Kind::Text(text) if field == "kind" && text.chars().any(char::is_uppercase) => {
            let help = "kinds are written in small letters, as `crypto_mining`".to_owned();
            reader.report_with_help(codes::WORD, &node.span, format!("no alert has the kind `{text}`"), Some(help));
        }
        Kind::List(items) => items.iter().for_each(|item| report_capitals(reader, field, item)),
        Kind::Map(entries) => {
            for (operator, operand) in entries.iter().filter(|(operator, _)| operator.name != "regex") {
                // An unknown operator is a problem of its own.
                if OPERATORS.contains(&operator.name.as_str()) {
                    report_capitals(reader, field, operand);
                }
            }
        }
        Kind::Text(_) | Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
    }
}

fn texts(reader: &mut Reader<'_>, node: &Node, operator: &str) -> Option<Vec<String>> {
    let one = std::slice::from_ref(node);
    let items = if let Kind::List(items) = &node.kind { items } else { one };
    if is_empty(reader, node) {
        return None;
    }
    let what = format!("`{operator}`");
    items.iter().map(|item| reader.text(item, &what).map(ToOwned::to_owned)).collect()
}

fn number(reader: &mut Reader<'_>, node: &Node, operator: &str) -> Option<f64> {
    if let Kind::Number(number) = &node.kind {
        return number.as_f64();
    }
    reader.report(codes::OPERATOR, &node.place(), format!("`{operator}` compares numbers, and this is {}", node.what()));
    None
}

fn regex(reader: &mut Reader<'_>, node: &Node) -> Option<Pattern> {
    let pattern = reader.text(node, "`regex`")?;
    match Pattern::compile(pattern) {
        Ok(regex) => Some(regex),
        Err(reason) => {
            reader.report(codes::OPERATOR, &node.span, reason);
            None
        }
    }
}

fn ranges(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<String>> {
    let ranges = texts(reader, node, "cidr")?;
    for range in &ranges {
        let address = range.split('/').next().unwrap_or_default();
        if let Err(reason) = is_in_range(address, range) {
            reader.report(codes::OPERATOR, &node.place(), reason);
            return None;
        }
    }
    Some(ranges)
}

fn at_least(reader: &mut Reader<'_>, node: &Node, holds: Holds) -> Option<Severity> {
    let (Holds::Word(_) | Holds::Anything) = holds else {
        reader.report(codes::OPERATOR, &node.place(), "`at_least` works on `severity` and `confidence`");
        return None;
    };
    let words: Vec<(&str, Severity)> = Severity::ALL.iter().map(|it| (it.as_str(), *it)).collect();
    reader.word(node, "`at_least`", &words)
}
