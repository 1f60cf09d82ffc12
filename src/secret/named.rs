//! The secrets that playbooks may send, by name. Their values are lent to one call at a time, and masked wherever an answer repeats them.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

use super::{REFERENCES, SHORTEST, Secret, Text};
use crate::problem::did_you_mean;

/// The `secrets` of the settings. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Inside>);

#[derive(Default)]
struct Inside {
    values: BTreeMap<String, Secret>,
    /// Every spelling in which an answer may repeat one, the longest first, so that no part of a longer one is left.
    spellings: Vec<Secret>,
}

/// What stands where a secret was repeated.
pub const MASK: &str = "***";

impl Secrets {
    /// Secrets with these values.
    ///
    /// # Errors
    /// A name that no playbook can write, or a value that is too short to be looked for in answers.
    pub fn of(values: impl IntoIterator<Item = (String, Secret)>) -> Result<Self, String> {
        let values: BTreeMap<String, Secret> = values.into_iter().collect();
        for (name, value) in &values {
            if !is_name(name) {
                return Err("the name of a secret has small letters, digits, `_` and `-`, and begins with a letter".to_owned());
            }
            if value.expose().len() < SHORTEST {
                let why = "anything shorter could not be told from ordinary words in an answer that repeats it";
                return Err(format!("the secret `{name}` has fewer than {SHORTEST} bytes; {why}"));
            }
        }
        let mut spellings: Vec<String> = values.values().flat_map(|value| spellings(value.expose())).collect();
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        Ok(Self(Arc::new(Inside { values, spellings: spellings.into_iter().map(Secret::new).collect() })))
    }

    /// The secret of that name.
    ///
    /// # Errors
    /// There is none; says what was probably meant.
    pub fn find(&self, name: &str) -> Result<&Secret, String> {
        let names = || self.0.values.keys().map(String::as_str);
        let known = || names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        self.0.values.get(name).ok_or_else(|| {
            let none = || if self.is_empty() { "the settings have none".to_owned() } else { format!("there is {}", known()) };
            format!("there is no secret `{name}`; {}", did_you_mean(name, names()).unwrap_or_else(none))
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.values.is_empty()
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &Secret> {
        self.0.values.values()
    }

    /// A text with [`MASK`] where it repeats a secret.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = Cow::Borrowed(text);
        for spelling in self.0.spellings.iter().map(Secret::expose) {
            if masked.contains(spelling) {
                masked = Cow::Owned(masked.replace(spelling, MASK));
            }
        }
        masked
    }

    /// A value with [`MASK`] in every text, key and number of it that repeats a secret.
    pub fn mask_value(&self, value: Value) -> Value {
        if self.0.spellings.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.mask(&text).into_owned()),
            Value::Number(number) => match self.mask(&number.to_string()) {
                Cow::Borrowed(_) => Value::Number(number),
                Cow::Owned(masked) => Value::String(masked),
            },
            Value::Array(items) => items.into_iter().map(|item| self.mask_value(item)).collect(),
            Value::Object(entries) => {
                let masked = entries.into_iter().map(|(key, value)| (self.mask(&key).into_owned(), self.mask_value(value)));
                Value::Object(masked.collect::<Map<_, _>>())
            }
            other @ (Value::Null | Value::Bool(_)) => other,
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0.values).finish()
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, Reference>::deserialize(deserializer)?;
        Self::of(values.into_iter().map(|(name, Reference(secret))| (name, secret))).map_err(D::Error::custom)
    }
}

impl JsonSchema for Secrets {
    fn schema_name() -> Cow<'static, str> {
        "Secrets".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z][a-z0-9_-]*$" },
            "additionalProperties": {
                "type": "string", "pattern": "^\\$\\{(env|file):[^}]*\\}$", "examples": REFERENCES,
                "description": "Where the secret is: `${env:NAME}` or `${file:/path}`, and nothing else",
            },
        })
    }
}

/// A secret that a setting refers to and does not hold itself.
struct Reference(Secret);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(resolved) = Text::referred(deserializer)?;
        Ok(Self(Secret::new(resolved)))
    }
}

/// Whether a text can stand in `secret("…")`.
pub(super) fn is_name(text: &str) -> bool {
    let is_in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(is_in_name)
}

/// A value as it is, as JSON and errors write it, and as the parts of a URL do.
fn spellings(value: &str) -> Vec<String> {
    let json = Value::from(value).to_string();
    let json = json.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(&json);
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let path = form.replace('+', "%20");
    // As a URL holds it where it was written into its path or its query as it is.
    let url = url::Url::parse("http://host/").map(|mut url| {
        url.set_path(value);
        url.set_query(Some(value));
        [url.path().trim_start_matches('/').to_owned(), url.query().unwrap_or_default().to_owned()]
    });
    let escapes_in_small_letters = |text: &str| {
        let mut parts = text.split('%');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            let (code, rest) = part.split_at_checked(2).unwrap_or((part, ""));
            format!("{text}%{}{rest}", code.to_ascii_lowercase())
        })
    };
    let debug = format!("{value:?}");
    let debug = debug.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(&debug);
    let mut all = vec![value.to_owned(), json.to_owned(), json.replace('/', "\\/"), debug.to_owned(), form, path];
    all.extend(url.into_iter().flatten());
    all.extend(all.iter().filter(|it| it.contains('%')).map(|it| escapes_in_small_letters(it)).collect::<Vec<_>>());
    all.retain(|it| it.len() >= SHORTEST);
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secrets(values: &[(&str, &str)]) -> Result<Secrets, String> {
        Secrets::of(values.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))))
    }

    #[test]
    fn an_answer_that_repeats_a_secret_is_masked_in_every_spelling() {
        let secrets = secrets(&[("token", "canary/token \"7\""), ("pin", "86753099")]).unwrap();
        for text in [
            "Bearer canary/token \"7\"",
            r#"{\"t\": \"canary/token \"7\"\"}"#,
            r#"canary/token \"7\""#,
            "x?t=canary%2Ftoken+%227%22&b",
            "/canary%2Ftoken%20%227%22/",
            "/canary%2ftoken%20%227%22/",
            "http://host/canary/token%20%227%22",
            r#"canary\/token \"7\""#,
        ] {
            let masked = secrets.mask(text);
            assert!(masked.contains(MASK) && !masked.contains("canary"), "{masked}");
        }
        let value = json!({"a": ["canary/token \"7\""], "86753099": 86_753_099, "n": 7, "b": true, "none": null});
        assert_eq!(secrets.mask_value(value), json!({"a": ["***"], "***": "***", "n": 7, "b": true, "none": null}));
    }

    #[test]
    fn nothing_is_left_of_a_secret_that_begins_with_another() {
        let secrets = secrets(&[("a", "canary"), ("b", "canary-two")]).unwrap();
        assert_eq!(secrets.mask("canary-two canary"), "*** ***");
    }

    #[test]
    fn what_cannot_be_masked_or_written_is_refused() {
        assert!(secrets(&[("pin", "1234")]).unwrap_err().contains("`pin` has fewer than 6 bytes"));
        for name in ["", "Token", "a b", "a\"", "1a"] {
            assert!(secrets(&[(name, "canary-value")]).unwrap_err().contains("small letters"), "{name}");
        }
    }

    #[test]
    fn a_value_is_only_referred_to_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "canary-value\n").unwrap();
        let read = |text: String| serde_json::from_value::<Secrets>(json!({"token": text}));
        let secrets = read(format!("${{file:{}}}", file.path().display())).unwrap();
        assert_eq!(secrets.find("token").unwrap().expose(), "canary-value");
        assert_eq!(format!("{secrets:?}"), r#"{"token": ***}"#);
        for text in ["canary-value".to_owned(), format!("canary ${{file:{}}}", file.path().display()), String::new()] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("`${env:NAME}` or `${file:/path}` alone") && !error.contains("canary"), "{error}");
        }
        assert!(read("${env:QUELL_NO_SUCH}".to_owned()).unwrap_err().to_string().contains("QUELL_NO_SUCH"));
    }
}
