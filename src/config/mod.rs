//! The settings: `quell.yaml`, with `QUELL_…` variables above it. Read once, at the start.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    adapters::AdapterConfig, bus::rabbitmq, connections::ConnectionConfig, engine::Guardrails, net::NetConfig, problem::nearest,
    telemetry::logs::LogFormat, web::WebConfig,
};

/// Everything that can be set. Without a file everything has its default, which runs on one machine and reaches nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What carries alerts: `embedded`, or a broker.
    pub bus: rabbitmq::Settings,
    /// Where the journal is.
    pub store: StoreConfig,
    /// Where alerts come from.
    pub adapters: Vec<AdapterConfig>,
    /// Outside systems and the credentials for them.
    pub connections: BTreeMap<String, ConnectionConfig>,
    /// Where to notify.
    pub channels: BTreeMap<String, Value>,
    /// The site's limits.
    pub guardrails: Guardrails,
    /// The folder of playbooks.
    pub playbooks: PathBuf,
    /// The listener.
    pub web: WebConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
    /// What outgoing calls may reach.
    pub net: NetConfig,
}

/// Where the journal is.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:PATH`.
    pub url: String,
}

/// How the program reports on itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Which log lines are written, e.g. `info,quell=debug`.
    pub log: String,
    /// Their form.
    pub format: LogFormat,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// The file that is used when it is there and no other is named.
pub const DEFAULT_FILE: &str = "quell.yaml";

/// The first words of settings; a variable `QUELL_WORD…` stands for a setting only when WORD is one of them.
const SECTIONS: &[&str] = &["bus", "store", "adapters", "connections", "channels", "guardrails", "playbooks", "web", "telemetry", "net"];

/// Variables with our prefix that are no settings: for the command line, and for the project's own tests.
const OTHER_VARIABLES: &[&str] = &["QUELL_CONFIG", "QUELL_TEST_", "QUELL_LONG"];

impl Default for Config {
    fn default() -> Self {
        Self {
            bus: rabbitmq::Settings::default(),
            store: StoreConfig::default(),
            adapters: Vec::new(),
            connections: BTreeMap::new(),
            channels: BTreeMap::new(),
            guardrails: Guardrails::default(),
            playbooks: PathBuf::from("playbooks"),
            web: WebConfig::default(),
            telemetry: TelemetryConfig::default(),
            net: NetConfig::default(),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: "sqlite:data/quell.db".to_owned() }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        // The broker's client logs each reconnection several times; ours is enough.
        Self { log: "info,lapin=off,async_rs=off".to_owned(), format: LogFormat::Auto }
    }
}

impl Config {
    /// Reads the settings: the named file, else [`DEFAULT_FILE`] if it is there, else the defaults; then the variables.
    ///
    /// # Errors
    /// Says which file, line, key or variable is wrong, why, and what is known instead.
    pub fn load(file: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let found = file.or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()));
        let text = match found {
            Some(path) => std::fs::read_to_string(path).map_err(|error| ConfigError(format!("read `{}`: {error}", path.display())))?,
            None => String::new(),
        };
        let name = found.map_or_else(|| DEFAULT_FILE.to_owned(), |path| path.display().to_string());
        Self::parse(&text, &name, variables)
    }

    /// Reads the settings from a text.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn parse(text: &str, name: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let in_file = |error: &dyn std::fmt::Display| ConfigError(format!("in `{name}`: {error}"));
        let overrides = overrides(variables)?;
        let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if overrides.is_empty() {
            return if is_empty { Ok(Self::default()) } else { yaml(text).map_err(|error| in_file(&error)) };
        }
        let mut settings: Value = if is_empty { Value::Null } else { yaml(text).map_err(|error| in_file(&error))? };
        for (path, value) in &overrides {
            set(&mut settings, path, value.clone());
        }
        let names = overrides.iter().map(|(path, _)| path.join(".")).collect::<Vec<_>>().join("`, `");
        serde_json::from_value(settings).map_err(|error| ConfigError(format!("in `{name}` with the variables for `{names}`: {error}")))
    }
}

fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_yaml::Error> {
    let options = serde_yaml::options! { strict_booleans: true };
    serde_yaml::from_str_with_options(text, options)
}

/// The settings among the variables: the path of each and its value.
fn overrides(variables: impl Iterator<Item = (String, String)>) -> Result<Vec<(Vec<String>, Value)>, ConfigError> {
    let mut found = Vec::new();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix("QUELL_") else { continue };
        if OTHER_VARIABLES.iter().any(|other| name.starts_with(other)) {
            continue;
        }
        let rest = rest.to_lowercase();
        let Some(section) = SECTIONS.iter().find(|section| rest == **section || rest.starts_with(&format!("{section}_"))) else {
            let first = rest.split('_').next().unwrap_or_default();
            let known = nearest(first, SECTIONS.iter().copied()).map_or_else(|| SECTIONS.join("`, `"), str::to_owned);
            return Err(ConfigError(format!("the variable `{name}` stands for no setting; settings begin with `{known}`")));
        };
        let below = rest.strip_prefix(section).unwrap_or_default().trim_start_matches('_');
        let path = std::iter::once(*section).chain(below.split("__").filter(|part| !part.is_empty())).map(str::to_owned).collect();
        // A value is read as YAML, so that numbers, booleans and lists keep their kind.
        let value = yaml(&text).unwrap_or_else(|_| Value::String(text.clone()));
        found.push((path, value));
    }
    Ok(found)
}

fn set(settings: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *settings = value;
        return;
    };
    if !settings.is_object() {
        *settings = Value::Object(Map::new());
    }
    if let Value::Object(fields) = settings {
        set(fields.entry(first.as_str()).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::parse(text, "quell.yaml", variables).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_is_enough() {
        let config = parse("", &[]).unwrap();
        assert_eq!(config.bus.url.expose(), "embedded");
        assert_eq!(config.store.url, "sqlite:data/quell.db");
    }

    #[test]
    fn a_variable_stands_above_the_file() {
        let file = "bus: {url: embedded, prefetch: 10}\nplaybooks: here\n";
        let config =
            parse(file, &[("QUELL_BUS_URL", "amqp://rabbit"), ("QUELL_BUS__DECLARE", "false"), ("QUELL_TEST_X", "y"), ("PATH", "z")]);
        let config = config.unwrap();
        assert_eq!((config.bus.url.expose(), config.bus.prefetch, config.bus.declare), ("amqp://rabbit", 10, false));
        assert_eq!(config.playbooks, Path::new("here"));
        assert_eq!(parse("", &[("QUELL_PLAYBOOKS", "there")]).unwrap().playbooks, Path::new("there"));
    }

    #[test]
    fn a_misspelt_setting_is_refused_with_its_place() {
        let error = parse("bus:\n  urll: embedded\n", &[]).err().unwrap();
        assert!(error.contains("quell.yaml") && error.contains("urll") && error.contains("line 2"), "{error}");
        let error = parse("", &[("QUELL_BUSS_URL", "x")]).err().unwrap();
        assert!(error.contains("QUELL_BUSS_URL") && error.contains("`bus`"), "{error}");
        let error = parse("", &[("QUELL_BUS__URLL", "x")]).err().unwrap();
        assert!(error.contains("bus.urll"), "{error}");
    }

    #[test]
    fn a_secret_that_is_not_there_is_named() {
        let error = parse("bus: {url: 'amqp://u:${env:QUELL_NO_SUCH_SECRET}@h'}", &[]).err().unwrap();
        assert!(error.contains("QUELL_NO_SUCH_SECRET"), "{error}");
    }
}
