//! Reads JSON more strictly than usual: a key that comes twice and too deep a nesting are refused.
//!
//! Readers that keep either the first or the last of two equal keys can be told two different stories with one body.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads one JSON document.
///
/// # Errors
/// Says what is wrong, with line and column.
pub(in crate::adapters) fn parse(bytes: &[u8], max_depth: usize) -> Result<Value, String> {
    // An identifier beyond what numbers hold exactly would be another one afterwards, so digits are kept or refused by the reader of
    // the field; here only what is not JSON at all is refused.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Nested(max_depth).deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// A value that may be so many levels deep.
#[derive(Clone, Copy)]
struct Nested(usize);

impl Nested {
    fn inside<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` comes twice")));
            }
            map.insert(key, entries.next_value_seed(inside)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_json_is_refused_with_its_place() {
        let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
        for (text, reason) in [
            (r#"{"a": 1, "b": {"c": 2, "c": 3}}"#, "the key `c` comes twice at line 1 column 26"),
            (r#"{"a": 1"#, "line 1 column 7"),
            ("{}\n{}", "line 2 column 1"),
            ("NaN", "line 1 column 1"),
            ("1e999", "out of range"),
            (r#""\ud800""#, "line 1 column"),
            ("\u{feff}{}", "line 1 column 1"),
            (&deep, "nested too deeply at line 1 column"),
            ("", "EOF"),
        ] {
            let fault = parse(text.as_bytes(), 32).unwrap_err();
            assert!(fault.contains(reason), "{text}: {fault} should mention {reason}");
        }
        assert!(parse(b"\"\xff\"", 32).is_err());
    }

    #[test]
    fn plain_json_is_read() {
        let text = r#"{"a":[1,-2,2.5,null,true,"x"],"b":{"":"\u0000"}}"#;
        assert_eq!(parse(text.as_bytes(), 3).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }
}
