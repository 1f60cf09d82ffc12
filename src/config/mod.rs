//! The settings: `quell.yaml`, with `QUELL_…` variables above it ([`variables`]). Read once, at the start.
//!
//! What is wrong is told as a whole ([`mod@faults`]), with the places that [`source`] knows. What can be set, editors know from [`schema`].

mod faults;
mod schema;
mod source;
mod variables;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use self::{faults::faults, variables::Layered};
pub use self::{
    faults::{Fault, sentences},
    schema::json_schema,
    source::Source,
};
use crate::{
    adapters::AdapterConfig, bus::rabbitmq, connections::ConnectionConfig, engine::Guardrails, engine::SiteApprovals, net::NetConfig,
    news::Language, news::Outlet, news::Tell, people::People, secret::Secrets, store::StoreConfig, telemetry::logs::LogFormat,
    web::WebConfig,
};

/// Everything that can be set. Without a file everything has its default, which runs on one machine and reaches nothing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Quell settings")]
pub struct Config {
    /// What carries alerts: `embedded`, or a broker.
    pub bus: rabbitmq::Settings,
    /// Where the journal is.
    pub store: StoreConfig,
    /// Where alerts come from.
    #[schemars(schema_with = "schema::adapters")]
    pub adapters: Vec<AdapterConfig>,
    /// Outside systems and the credentials for them.
    pub connections: BTreeMap<String, ConnectionConfig>,
    /// Where to notify.
    #[schemars(schema_with = "schema::channels")]
    pub channels: BTreeMap<String, Value>,
    /// What playbooks may send as `secret("name")`, each as `${env:NAME}` or `${file:/path}`.
    pub secrets: Secrets,
    /// The site's limits.
    pub guardrails: Guardrails,
    /// Whom the site asks where a guardrail wants a person's word.
    pub approvals: SiteApprovals,
    /// The people who may look at approvals and answer them.
    pub users: People,
    /// The folder of playbooks.
    pub playbooks: PathBuf,
    /// The listener.
    pub web: WebConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
    /// What outgoing calls may reach.
    pub net: NetConfig,
    /// The text that this was read from.
    #[serde(skip)]
    pub source: Source,
}

/// How the program reports on itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Which log lines are written, e.g. `info,quell=debug`.
    pub log: String,
    /// Their form.
    pub format: LogFormat,
    /// Who is told of what a person should know without having asked.
    pub tell: Vec<Tell>,
    /// In which language these messages, and those about approvals, are written.
    pub language: Language,
}

/// Everything for which the settings cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}", sentences(.0))]
pub struct ConfigError(pub Vec<Fault>);

/// The file that is used when it is there and no other is named.
pub const DEFAULT_FILE: &str = "quell.yaml";

/// The first words of settings.
const SECTIONS: &[&str] = &[
    "bus",
    "store",
    "adapters",
    "connections",
    "channels",
    "secrets",
    "guardrails",
    "approvals",
    "users",
    "playbooks",
    "web",
    "telemetry",
    "net",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            bus: rabbitmq::Settings::default(),
            store: StoreConfig::default(),
            adapters: Vec::new(),
            connections: BTreeMap::new(),
            channels: BTreeMap::new(),
            secrets: Secrets::default(),
            guardrails: Guardrails::default(),
            approvals: SiteApprovals::default(),
            users: People::default(),
            playbooks: PathBuf::from("playbooks"),
            web: WebConfig::default(),
            telemetry: TelemetryConfig::default(),
            net: NetConfig::default(),
            source: Source::default(),
        }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        // The broker's client logs each reconnection several times; ours is enough.
        Self { log: "info,lapin=off,async_rs=off".to_owned(), format: LogFormat::Auto, tell: Vec::new(), language: Language::En }
    }
}

impl Config {
    /// Where news and events go.
    pub fn outlet(&self) -> Outlet {
        Outlet::new(&self.telemetry.tell, self.bus.events.is_some())
    }

    /// Reads the settings: the named file, else [`DEFAULT_FILE`] if it is there, else the defaults; then the variables.
    ///
    /// # Errors
    /// Says of everything that is wrong where it is, why, and what is known instead.
    pub fn load(file: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let found = file.or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()));
        let text = match found {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| ConfigError(vec![Fault { place: None, message: format!("read `{}`: {error}", path.display()) }]))?,
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
        let variables = variables::settings(variables)?;
        let source = Source::read(name, text).map_err(|fault| ConfigError(vec![fault]))?;
        let mut settings = Layered::from(source.to_value());
        for variable in &variables {
            settings.set(&variable.path, variable.text.clone());
        }
        match Self::deserialize(settings.clone()) {
            Ok(config) => Ok(Self { source, ..config }),
            Err(error) => Err(ConfigError(faults(&source, settings, &variables, &error))),
        }
    }
}

/// As the settings are read, and the variables that stand for more than a text.
fn options() -> serde_yaml::Options {
    // An excerpt of the file would show a secret beside the fault.
    serde_yaml::options! { strict_booleans: true, leading_zero_numbers_as_strings: true, with_snippet: false }
}

fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_yaml::Error> {
    serde_yaml::from_str_with_options(text, options())
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
        assert_eq!(config.store.url.expose(), "sqlite:data/quell.db");
    }

    #[test]
    fn a_variable_stands_above_the_file() {
        let file = "bus: {url: embedded, prefetch: 10}\nplaybooks: here\n";
        let config = parse(file, &[("QUELL_BUS__URL", "amqp://rabbit"), ("QUELL_BUS__DECLARE", "false"), ("PATH", "z")]);
        let config = config.unwrap();
        assert_eq!((config.bus.url.expose(), config.bus.prefetch, config.bus.declare), ("amqp://rabbit", 10, false));
        assert_eq!(config.playbooks, Path::new("here"));
        assert_eq!(parse("", &[("QUELL_PLAYBOOKS", "there")]).unwrap().playbooks, Path::new("there"));
    }

    #[test]
    fn a_misspelt_setting_is_refused_with_its_place() {
        let error = parse("bus:\n  urll: embedded\n", &[]).err().unwrap();
        assert_eq!(error, "quell.yaml:2:3: `bus.urll`: unknown field `urll`; did you mean `url`?");
        let error = parse("", &[("QUELL_BUSS__URL", "x")]).err().unwrap();
        assert!(error.contains("QUELL_BUSS__URL") && error.contains("did you mean `QUELL_BUS__…`"), "{error}");
        let error = parse("", &[("QUELL_BUS__URLL", "x")]).err().unwrap();
        assert!(error.contains("bus.urll"), "{error}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_its_place() {
        let file = "buss: {url: x, prefetch: 1}\nbus:\n  urll: x\n  prefetch: many\nadapters:\n  - {name: a, type: webhook, path: /hooks/a, auth: none, \
                    pth: x}\n  - name: b\n    type: poll\n  - {type: poll}\nconnections:\n  c: {type: microsoft, tenant_id: t, client_id: 7}\n\
                    secrets: {one: literal, two: '${env:QUELL_NO_SUCH}'}\nusers:\n  ann: {rolle: admin}\nnet: [x]\nweb: {listen: nowhere}\n";
        let error = parse(file, &[("QUELL_BUS__DECLARE", "perhaps")]).err().unwrap();
        let found: Vec<_> = error.split("\nerror: ").collect();
        let expected = [
            ("quell.yaml:6:58", "`adapters`: adapter `a`: unknown field `pth`"),
            ("quell.yaml:7:5", "adapter `b`: missing field `url`"),
            ("quell.yaml:9:5", "an adapter has no `name`"),
            ("quell.yaml:2:1", "`bus.declare`: invalid type: string \"perhaps\""),
            ("quell.yaml:4:3", "`bus.prefetch`: invalid type"),
            ("quell.yaml:3:3", "`bus.urll`: unknown field `urll`; did you mean `url`?"),
            ("quell.yaml:1:1", "`buss`: unknown field `buss`; did you mean `bus`?"),
            ("quell.yaml:11:3", "`connections.c`: it is to be a text"),
            ("quell.yaml:15:7", "`net`: it is to be a map of settings"),
            ("quell.yaml:12:11", "`secrets.one`: a secret stands outside of the settings"),
            ("quell.yaml:12:25", "`secrets.two`: the environment has no `QUELL_NO_SUCH`"),
            ("quell.yaml:14:9", "`users.ann`: unknown field `rolle`; did you mean `role`?"),
            ("quell.yaml:16:7", "`web.listen`: invalid socket address"),
        ];
        for (place, what) in expected {
            assert!(found.iter().any(|it| it.starts_with(&format!("{place}: ")) && it.contains(what)), "{place}: {what}\n{found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }

    #[test]
    fn a_variable_that_is_no_setting_is_left_alone() {
        let others = [
            ("QUELL_SERVICE_HOST", "10.0.0.1"),
            ("QUELL_PORT", "tcp://10.0.0.1:8080"),
            ("QUELL_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("QUELL_WEB_SERVICE_PORT", "8080"),
            ("QUELL_BUS_PASSWORD", "hunter2"),
            ("QUELL_WEB", "x"),
            ("QUELL_CONFIG", "x"),
            ("QUELL_SOMETHING__ELSE", "x"),
        ];
        assert!(parse("", &others).is_ok());
    }

    #[test]
    fn a_variable_is_read_as_its_setting_wants_it() {
        let secret = r#"{"t": 007} # "x""#;
        let config = parse(
            "connections: {contoso: {type: microsoft, tenant_id: t}}",
            &[
                ("QUELL_CONNECTIONS__CONTOSO__CLIENT_SECRET", "0123"),
                ("QUELL_CONNECTIONS__CONTOSO__CLIENT_ID", "8675309"),
                ("QUELL_BUS__URL", secret),
                ("QUELL_BUS__PREFETCH", "7"),
                ("QUELL_NET__ALLOW", "[10.0.0.0/8, '1']"),
                ("QUELL_NET__CERTIFICATE_AUTHORITY", ""),
                ("QUELL_TELEMETRY__FORMAT", "json"),
            ],
        )
        .unwrap();
        let ConnectionConfig::Microsoft(contoso) = &config.connections["contoso"];
        assert_eq!((contoso.client_secret.as_ref().unwrap().expose(), contoso.client_id.0.as_str()), ("0123", "8675309"));
        assert_eq!((config.bus.url.expose(), config.bus.prefetch), (secret, 7));
        assert_eq!((config.net.allow, config.net.certificate_authority), (vec!["10.0.0.0/8".to_owned(), "1".to_owned()], None));
        assert_eq!(config.telemetry.format, LogFormat::Json);
    }

    #[test]
    fn no_error_shows_a_secret() {
        let connection =
            |secret: &str| format!("connections:\n  c: {{type: microsoft, tenant_id: t, client_id: c, client_secret: {secret}}}\n");
        for (file, variables, reason) in [
            ("bus:\n  url: amqp://u:hunter2@h\n  urll: x\n".to_owned(), &[][..], "quell.yaml:3:3"),
            ("bus: {url: 'amqp://u:hunter2${env:QUELL_X@h'}".to_owned(), &[], "has no `}`"),
            ("bus: {url: 'amqp://u:${hunter2}@h'}".to_owned(), &[], "is not a reference"),
            ("bus: {url: 'amqp://u:hunter2@${env:QUELL_NO_SUCH}'}".to_owned(), &[], "QUELL_NO_SUCH"),
            ("bus: {url: 'amqp://u:hunter2@h', prefetch: [}".to_owned(), &[], "quell.yaml:1:"),
            (connection("8675309"), &[], "in quotes"),
            (connection("8675309.5"), &[], "in quotes"),
            (connection("867530986753098675309867530986753098675309"), &[], "in quotes"),
            (connection("86753098675309867530"), &[], "in quotes"),
            (connection("-8675309"), &[("QUELL_BUS__PREFETCH", "7")], "in quotes"),
            (connection("[hunter2]"), &[], "a text"),
            ("bus: {url: 'amqp://u:hunter2@h'}".to_owned(), &[("QUELL_BUS__PREFETCH", "x")], "bus.prefetch"),
            (String::new(), &[("QUELL_BUS__URL", "hunter2${")], "has no `}`"),
        ] {
            let error = parse(&file, variables).err().unwrap();
            assert!(error.contains(reason), "{error} should mention {reason}");
            assert!(!error.contains("hunter2") && !error.contains("8675309"), "{error}");
        }
    }

    #[test]
    fn a_secret_that_is_not_there_is_named() {
        let error = parse("bus: {url: 'amqp://u:${env:QUELL_NO_SUCH_SECRET}@h'}", &[]).err().unwrap();
        assert!(error.contains("QUELL_NO_SUCH_SECRET"), "{error}");
    }
}
