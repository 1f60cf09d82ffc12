//! The part of `$filter` that makes sense for alerts: comparisons joined by `and`.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Properties that may be compared for equality.
const TEXTS: &[&str] = &["status", "customerTenantId", "subscriptionId", "severity"];
/// The property that may also be compared by order.
const TIME: &str = "detectedDateTime";

/// A parsed filter; an empty one accepts everything.
#[derive(Debug)]
pub(super) struct Filter(Vec<Condition>);

#[derive(Debug)]
enum Condition {
    Text { property: String, value: String },
    Time { operator: Operator, value: Timestamp },
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Filter {
    /// Errs with a sentence for the client.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let words = words(text)?;
        if words.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let conditions = words.split(|word| *word == Word::Bare("and".to_owned()));
        conditions.map(condition).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn accepts(&self, alert: &Map<String, Value>) -> bool {
        self.0.iter().all(|condition| condition.holds(alert))
    }
}

impl Condition {
    fn holds(&self, alert: &Map<String, Value>) -> bool {
        let text = |name: &str| alert.get(name).and_then(Value::as_str).unwrap_or_default();
        match self {
            Self::Text { property, value } => text(property).eq_ignore_ascii_case(value),
            Self::Time { operator, value } => {
                let detected: Result<Timestamp, _> = text(TIME).parse();
                detected.is_ok_and(|detected| operator.holds(detected, *value))
            }
        }
    }
}

impl Operator {
    fn holds(self, left: Timestamp, right: Timestamp) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Bare(String),
    Quoted(String),
}

fn condition(words: &[Word]) -> Result<Condition, String> {
    let [Word::Bare(property), Word::Bare(operator), value] = words else {
        return Err("Syntax error in '$filter': expected 'property operator value'.".to_owned());
    };
    let operator = match operator.as_str() {
        "eq" => Operator::Equal,
        "gt" => Operator::Greater,
        "ge" => Operator::GreaterOrEqual,
        "lt" => Operator::Less,
        "le" => Operator::LessOrEqual,
        other => {
            return Err(format!("The operator '{other}' is not supported in '$filter'."));
        }
    };
    match (property.as_str(), operator, value) {
        (TIME, _, Word::Bare(text)) => {
            let value = text.parse().map_err(|_not_a_time| format!("'{text}' is not a date and time."))?;
            Ok(Condition::Time { operator, value })
        }
        (name, Operator::Equal, Word::Quoted(value)) if TEXTS.contains(&name) => {
            Ok(Condition::Text { property: name.to_owned(), value: value.clone() })
        }
        (name, ..) => Err(format!("This comparison of '{name}' is not supported in '$filter'.")),
    }
}

/// Splits at spaces; a quoted text is one word.
fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, tail) = if let Some(after) = rest.strip_prefix('\'') {
            quoted(after)?
        } else {
            let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            (Word::Bare(word.to_owned()), tail)
        };
        words.push(word);
        rest = tail.trim_start();
    }
    Ok(words)
}

/// Reads to the closing quote and returns what follows it; two quotes inside are one.
fn quoted(text: &str) -> Result<(Word, &str), String> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (part, tail) = rest.split_once('\'').ok_or("Unterminated string in '$filter'.")?;
        value.push_str(part);
        let Some(more) = tail.strip_prefix('\'') else {
            return Ok((Word::Quoted(value), tail));
        };
        value.push('\'');
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_joined_by_and_must_all_hold() {
        let alert = serde_json::json!({
            "status": "active", "severity": "high", "detectedDateTime": "2026-03-02T04:11:09.5Z",
        });
        let alert = alert.as_object().unwrap();
        let table = [
            ("", true),
            ("status eq 'active'", true),
            ("status eq 'resolved'", false),
            ("status eq 'active' and severity eq 'low'", false),
            ("detectedDateTime ge 2026-03-02T00:00:00Z and status eq 'active'", true),
            ("detectedDateTime gt 2026-03-03T00:00:00Z", false),
        ];
        for (text, expected) in table {
            assert_eq!(Filter::parse(text).unwrap().accepts(alert), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let table = [
            "status eq active",
            "status eq 'active' or severity eq 'low'",
            "displayName eq 'x'",
            "status ge 'active'",
            "contains(status, 'a')",
            "status eq 'active",
            "detectedDateTime ge yesterday",
        ];
        for text in table {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
    }
}
