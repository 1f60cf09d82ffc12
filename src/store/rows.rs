//! Reads the values of a row back into words.

use jiff::Timestamp;
use serde_json::Value;

use super::StoreError;

pub(super) fn time(microseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds).map_err(|error| corrupt("a time", error.to_string()))
}

pub(super) fn json(text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt("a document", error.to_string()))
}

pub(super) fn word<T>(what: &str, text: &str, parse: fn(&str) -> Option<T>) -> Result<T, StoreError> {
    parse(text).ok_or_else(|| corrupt(what, format!("`{text}` is not a word that is known")))
}

pub(super) fn corrupt(what: &str, why: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: what.to_owned(), why: why.into() }
}
