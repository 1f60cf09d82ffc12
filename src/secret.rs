//! Secrets: texts that are never shown, logged or stored, and the references by which settings name them.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// A text that prints as `***`, wherever it is printed, and is wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

/// A setting that may refer to the environment (`${env:NAME}`) or a file (`${file:/path}`); it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        resolve(&text).map(Self::new).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        resolve(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Replaces every `${env:NAME}` and `${file:PATH}` in a text; a file's trailing line break is left out.
fn resolve(text: &str) -> Result<String, String> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once("${") {
        resolved.push_str(before);
        let Some((reference, after)) = reference.split_once('}') else {
            return Err(format!("`${{` without `}}` in `{text}`"));
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
        _ => Err(format!("`${{{reference}}}` is not a reference; use `${{env:NAME}}` or `${{file:/path}}`")),
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
    fn references_are_replaced_and_faults_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let path = file.path().display();
        assert_eq!(resolve(&format!("a-${{file:{path}}}-b")).unwrap(), "a-s3cret-b");
        assert_eq!(resolve("plain").unwrap(), "plain");
        assert!(resolve("${env:QUELL_NO_SUCH}").unwrap_err().contains("QUELL_NO_SUCH"));
        assert!(resolve("${vault:x}").unwrap_err().contains("is not a reference"));
        assert!(resolve("${env:X").unwrap_err().contains("without"));
    }
}
