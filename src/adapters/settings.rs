//! Kinds of settings that several adapters have: names, durations, paths of webhooks. Each is checked where it is read.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    connections::{Connections, Microsoft},
    duration::Span,
};

/// How often something is fetched. Not more often than each second: no source likes that, and no alert needs it.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(transparent)]
pub(super) struct Every(#[schemars(with = "Span")] pub(super) Duration);

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Span(every) = Span::deserialize(deserializer)?;
        let at_least = Duration::from_secs(1);
        if every < at_least { Err(D::Error::custom(format!("{every:?} is too often; at least 1s"))) } else { Ok(Self(every)) }
    }
}

/// A name, if it can be a metric's label and part of an address.
pub(super) fn checked_name(name: String) -> Result<String, String> {
    let usable = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(usable) {
        return Err(format!("`{name}` is not a name; use 1 to 64 of `a-z A-Z 0-9 _ - .`"));
    }
    Ok(name)
}

/// The path of a webhook, if it cannot collide with a page and has only characters that stand for themselves.
///
/// The path may hold a secret, so no error shows it.
pub(super) fn checked_path(path: &str) -> anyhow::Result<String> {
    let usable = |it: char| it.is_ascii_alphanumeric() || matches!(it, '/' | '_' | '-' | '.' | '~');
    let below_hooks = path.strip_prefix("/hooks/").is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/'));
    anyhow::ensure!(below_hooks, "`path` must begin with `/hooks/` and go on, e.g. `/hooks/siem`");
    anyhow::ensure!(
        path.chars().all(usable) && !path.contains("//") && !path.contains(".."),
        "`path` may only hold `a-z A-Z 0-9 / _ - . ~`"
    );
    Ok(path.to_owned())
}

/// The connection of that name.
pub(super) fn connection(name: &str, connections: &Connections) -> anyhow::Result<Arc<Microsoft>> {
    connections.named(name).ok_or_else(|| anyhow::anyhow!("`connection` is `{name}`, which is not under `connections:`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_hooks_and_literal() {
        assert!(checked_path("/hooks/partner-center/k7p2").is_ok());
        for wrong in ["/", "/hooks/", "/hooks/{id}", "/metrics", "/hooks/../metrics", "/hooks/a//b", "/hooks/a?b"] {
            assert!(checked_path(wrong).is_err(), "{wrong}");
        }
    }
}
