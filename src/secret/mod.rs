//! Secrets: texts that are never shown, logged or stored, the references by which settings name them, and those that playbooks may send
//! ([`Secrets`]).

mod named;

use std::{borrow::Cow, fmt};

pub use self::named::{MASK, Secrets};

use ring::hmac;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Visitor},
};

/// A text that prints as `***`, wherever it is printed, and is wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

/// Anything shorter is no secret, and looking for it would blot out ordinary words.
pub const SHORTEST: usize = 6;

/// What a text can refer to, as editors offer it.
const REFERENCES: [&str; 2] = ["${env:NAME}", "${file:/path}"];

/// A setting that may refer to the environment (`${env:NAME}`) or a file (`${file:/path}`); it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Text(pub String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself. Lend it to the one call that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether a guess is right. It takes the same time for every guess, so that it does not tell how much of one is right.
    pub fn is(&self, guess: &str) -> bool {
        // Comparing digests leaves nothing to measure but the guess's own length; the key is of no importance.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[]);
        let expected = hmac::sign(&key, self.expose().as_bytes());
        hmac::verify(&key, guess.as_bytes(), expected.as_ref()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unshown::default()).map(Self::new)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unshown::default()).map(Self)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": REFERENCES })
    }
}

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": REFERENCES })
    }
}

impl Text {
    /// Reads a text that is one reference and nothing else.
    fn referred<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unshown { is_only_referred: true }).map(Self)
    }
}

/// Reads a text with its references, and shows nothing of it in an error.
///
/// It asks for anything rather than for a text: who is asked for a text and has a number shows the number when refusing.
#[derive(Default)]
struct Unshown {
    /// Whether the text must be one reference and nothing else.
    is_only_referred: bool,
}

impl Unshown {
    /// A number has lost its zeros and its form by now, so that it cannot be made the text again that somebody wrote.
    fn unquoted<E: Error>() -> E {
        E::custom("it is to be a text, and reads as a number or a boolean: put it in quotes")
    }
}

impl Visitor<'_> for Unshown {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        let is_one = || text.strip_prefix("${").and_then(|rest| rest.find('}')).is_some_and(|end| end + 3 == text.len());
        if self.is_only_referred && !is_one() {
            return Err(E::custom("a secret stands outside of the settings: write `${env:NAME}` or `${file:/path}` alone"));
        }
        resolve(text).map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<String, E> {
        Err(Self::unquoted())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<String, E> {
        Err(Self::unquoted())
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<String, E> {
        Err(Self::unquoted())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<String, E> {
        Err(Self::unquoted())
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<String, E> {
        Err(Self::unquoted())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<String, E> {
        Err(Self::unquoted())
    }
}

/// Replaces every `${env:NAME}` and `${file:PATH}` in a text; a file's trailing line break is left out.
fn resolve(text: &str) -> Result<String, String> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once("${") {
        resolved.push_str(before);
        let Some((reference, after)) = reference.split_once('}') else {
            // What follows may be the rest of the secret.
            return Err("a reference that begins with `${` has no `}`; write `${env:NAME}` or `${file:/path}`".to_owned());
        };
        resolved.push_str(&look_up(reference)?);
        rest = after;
    }
    resolved.push_str(rest);
    Ok(resolved)
}

fn look_up(reference: &str) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("env", name)) => environment(name).ok_or_else(|| format!("the environment has no `{name}`; set it, or use `${{file:…}}`")),
        Some(("file", path)) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => Err(format!("read the secret file `{path}`: {error}")),
        },
        // It may be a secret that happens to hold these characters.
        Some(_) | None => Err("what stands in `${…}` is not a reference; use `${env:NAME}` or `${file:/path}`".to_owned()),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place where a setting refers to the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_guess_is_right_only_as_a_whole() {
        let secret = Secret::new("hunter2");
        assert!(secret.is("hunter2"));
        for guess in ["", "hunter", "hunter22", "Hunter2"] {
            assert!(!secret.is(guess), "{guess}");
        }
    }

    #[test]
    fn references_are_replaced_and_faults_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let path = file.path().display();
        assert_eq!(resolve(&format!("a-${{file:{path}}}-b")).unwrap(), "a-s3cret-b");
        assert_eq!(resolve("plain").unwrap(), "plain");
        assert!(resolve("${env:QUELL_NO_SUCH}").unwrap_err().contains("QUELL_NO_SUCH"));
        assert!(resolve("${vault:x}").unwrap_err().contains("is not a reference"));
        assert!(resolve("${env:X").unwrap_err().contains("has no `}`"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_showing_it() {
        for (json, reason) in [
            (r#""amqp://u:hunter2${env:QUELL_X@h""#, "has no `}`"),
            (r#""amqp://u:${hunter2}@h""#, "is not a reference"),
            (r#""hunter2${env:QUELL_NO_SUCH}""#, "`QUELL_NO_SUCH`"),
            ("8675309", "in quotes"),
            ("-8675309", "in quotes"),
            ("86753.09", "in quotes"),
            ("true", "in quotes"),
            (r#"["hunter2"]"#, "a text"),
        ] {
            let errors = [serde_json::from_str::<Secret>(json).unwrap_err(), serde_json::from_str::<Text>(json).unwrap_err()];
            for error in errors.map(|error| error.to_string()) {
                assert!(error.contains(reason), "{error} should mention {reason}");
                assert!(!error.contains("hunter2") && !error.contains("867") && !error.contains("true"), "{error}");
            }
        }
    }
}
