//! Finds lines of `match` that exclude each other.

use serde_json::{Map, Value};

use super::{
    clause::{Bound, Clause, Holding, Test},
    fields::{self, Holds},
};

/// No alert can fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Never;

/// Whether a field can fit all that is asked of it; where that cannot be told, it can.
pub(super) fn holds_together(field: &str, clauses: &[Clause]) -> Result<(), Never> {
    let root = field.split('.').next().unwrap_or(field);
    let is_list = fields::holds(root) == Some(Holds::Texts);
    let fits = |value: &Value| clauses.iter().all(|clause| !matches!(clause.judge(&alert(field, value)), Holding::No(_)));
    let possible: Option<Vec<Value>> = match fields::holds(root) {
        Some(Holds::Word(words)) => Some(words.iter().map(|it| Value::from(*it)).collect()),
        Some(Holds::Flag) => Some(vec![Value::Bool(false), Value::Bool(true)]),
        // Of a list, one item may fit one line and another item the next.
        Some(Holds::Texts) if clauses.iter().any(|clause| !matches!(clause.test, Test::AnyOf(_) | Test::Not(_))) => None,
        // Details may be a list as well. One of numbers with limits that exclude each other is nothing that anybody asks for.
        Some(Holds::Anything) if clauses.iter().any(|clause| clause.test.is_of_texts()) => None,
        Some(Holds::Text | Holds::Texts | Holds::Anything) | None => clauses.iter().find_map(Clause::any_of).map(<[Value]>::to_vec),
    };
    let is_impossible = possible.is_some_and(|values| !values.iter().any(fits));
    if is_impossible || (!is_list && (excludes_itself(clauses) || has_no_number(clauses))) { Err(Never) } else { Ok(()) }
}

/// A field that is not there fits nothing but `not`.
fn excludes_itself(clauses: &[Clause]) -> bool {
    let is_absent = clauses.iter().any(|clause| matches!(clause.test, Test::Exists(false)));
    is_absent && clauses.iter().any(|clause| !matches!(clause.test, Test::Exists(false) | Test::Not(_)))
}

/// Whether there is no number between the bounds.
fn has_no_number(clauses: &[Clause]) -> bool {
    let bounds: Vec<(Bound, f64)> = clauses
        .iter()
        .filter_map(|clause| if let Test::Number(bound, limit) = clause.test { Some((bound, limit)) } else { None })
        .collect();
    let excludes = |(low, from): (Bound, f64), (high, to): (Bound, f64)| match (low, high) {
        (Bound::AtLeast, Bound::AtMost) => from > to,
        (Bound::Above | Bound::AtLeast, Bound::Below | Bound::AtMost) => from >= to,
        (Bound::Above | Bound::AtLeast, Bound::Above | Bound::AtLeast) | (Bound::Below | Bound::AtMost, _) => false,
    };
    bounds.iter().any(|low| bounds.iter().any(|high| excludes(*low, *high)))
}

/// An alert that has only this field.
fn alert(field: &str, value: &Value) -> Value {
    field.rsplit('.').fold(value.clone(), |inner, part| Value::Object(Map::from_iter([(part.to_owned(), inner)])))
}
