//! Spans of time as people write them: `500ms`, `30s`, `5m`, `2h`, `30d`.

use std::{borrow::Cow, fmt, time::Duration};

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time in a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span(pub Duration);

/// The units, longest first.
const UNITS: &[(&str, u64)] = &[("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];

/// Ten years: longer is a slip of the pen.
const LONGEST_MILLISECONDS: u64 = 3_650 * 86_400_000;

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["30s", "5m", "2h", "30d"] })
    }
}

impl Span {
    /// Reads a number with a unit.
    ///
    /// # Errors
    /// Says what a span looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a span of time; write a whole number with a unit, such as `500ms`, `30s`, `5m`, `2h` or `30d`");
        let (number, unit) =
            UNITS.iter().find_map(|(unit, size)| text.strip_suffix(unit).map(|number| (number, *size))).ok_or_else(wrong)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        match milliseconds {
            Some(milliseconds) if milliseconds <= LONGEST_MILLISECONDS => Ok(Self(Duration::from_millis(milliseconds))),
            Some(_) | None => Err(format!("`{text}` is longer than ten years")),
        }
    }

    /// The same for arithmetic with times.
    pub fn signed(self) -> SignedDuration {
        SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let by_size = ["d", "h", "m", "s", "ms"].iter().filter_map(|name| UNITS.iter().find(|(unit, _)| unit == name));
        for (unit, size) in by_size {
            if milliseconds.is_multiple_of(u128::from(*size)) && milliseconds >= u128::from(*size) {
                return write!(f, "{}{unit}", milliseconds / u128::from(*size));
            }
        }
        write!(f, "{milliseconds}ms")
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_they_are_written() {
        for (text, milliseconds) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("30d", 2_592_000_000)] {
            let span = Span::parse(text).unwrap();
            assert_eq!(span.0, Duration::from_millis(milliseconds));
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_span_is_explained() {
        for text in ["", "5", "m", "-5m", "1.5h", "5 m", "5min", "99999999999999999999d", "5000d"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }
}
