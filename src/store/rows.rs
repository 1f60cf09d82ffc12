//! Reads the values of a row back into words.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{
    Any, Decode, Row, Type,
    any::{AnyRow, AnyTypeInfo, AnyValueRef},
    error::BoxDynError,
};

use super::StoreError;
use crate::digest::sha256;

pub(super) fn time(microseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds).map_err(|error| corrupt("a time", error.to_string()))
}

pub(super) fn json(text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt("a document", error.to_string()))
}

/// A value that is kept as a document, and need not be there.
pub(super) fn document<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(text).map_err(|error| corrupt(column, error.to_string()))).transpose()
}

pub(super) fn word<T>(what: &str, text: &str, parse: fn(&str) -> Option<T>) -> Result<T, StoreError> {
    parse(text).ok_or_else(|| corrupt(what, format!("`{text}` is not a word that is known")))
}

pub(super) fn corrupt(what: &str, why: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: what.to_owned(), why: why.into() }
}

/// A text from outside: PostgreSQL keeps none with the character 0 in it.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// PostgreSQL has no index over more than 2,704 bytes, and a key may have others beside it.
const LONGEST_KEY: usize = 1_000;

/// A text from outside that something is found by; a long one is kept as its hash.
pub(super) fn key(key: &str) -> String {
    if key.len() > LONGEST_KEY { sha256(key) } else { text(key) }
}

/// What is true or false: SQLite has numbers for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl Type<Any> for Flag {
    fn type_info() -> AnyTypeInfo {
        <bool as Type<Any>>::type_info()
    }

    fn compatible(found: &AnyTypeInfo) -> bool {
        <bool as Type<Any>>::compatible(found) || <i64 as Type<Any>>::compatible(found)
    }
}

impl<'r> Decode<'r, Any> for Flag {
    fn decode(value: AnyValueRef<'r>) -> Result<Self, BoxDynError> {
        let number = <i64 as Decode<'r, Any>>::decode(value.clone()).map(|number| number != 0);
        number.or_else(|_not_a_number| <bool as Decode<'r, Any>>::decode(value)).map(Self)
    }
}

pub(super) fn flag(row: &AnyRow, column: &str) -> Result<bool, sqlx::Error> {
    row.try_get(column).map(|Flag(it)| it)
}

/// A number that is narrower in memory than in the database.
pub(super) fn number<T: TryFrom<i64>>(row: &AnyRow, column: &str) -> Result<T, StoreError> {
    let wide: i64 = row.try_get(column)?;
    T::try_from(wide).map_err(|_too_large| corrupt(column, format!("`{wide}` is out of range")))
}
