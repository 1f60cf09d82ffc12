//! Connections: credentials and base URLs of outside systems, behind typed operations. A token never leaves this module.
//!
//! - [`microsoft`](self) is the one kind of connection: Graph's partner security alerts and Partner Center, with one sign-in.
//! - `failure` says what a failed attempt tells about the outside world; `ids` are identifiers that cannot be confused.

#[cfg(test)]
pub(crate) mod bench;
mod failure;
mod ids;
mod keep;
mod microsoft;

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::{
    failure::{Failure, FailureKind},
    ids::{CustomerId, EntitlementId, PlanId},
    microsoft::{
        ActivityQuery, Actor, AlertQuery, Answer, Audience, AzureEvent, AzureVersions, BrowserLogin, CertificateDates, CertificateFiles,
        Claims, ConsentAge, Consented, Customer, CustomerAccess, Deallocation, DeviceCode, Disk, Entitlement, EntitlementAt, Found,
        LoginState, Microsoft, MicrosoftConfig, Operation, Organization, Page, PlanUsage, Probed, Question, Registration, Relationship,
        RoleAssignment, RoleAssignmentId, SignedIn, Subscription, Suspension, TestEvent, Usage, User, UserName, VirtualMachine,
        VirtualMachineId,
    },
};

use self::keep::Keeper;
use crate::{lifecycle::Tasks, net::Net, store::Store};

/// Settings of one connection.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ConnectionConfig {
    /// A partner's tenant at Microsoft: Graph and Partner Center.
    Microsoft(MicrosoftConfig),
}

/// The connections by name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    by_name: BTreeMap<String, Arc<Microsoft>>,
    by_source: BTreeMap<String, String>,
}

/// A connection cannot be used as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("connection `{name}`: {why}")]
#[expect(missing_docs, reason = "the names say it")]
pub struct ConnectionError {
    pub name: String,
    pub why: String,
}

impl Connections {
    /// Builds every connection; contacts nobody. Sign-ins are tasks of the program, so that its end waits for them.
    ///
    /// # Errors
    /// Names every connection that cannot be used as configured.
    pub fn build(
        configs: &BTreeMap<String, ConnectionConfig>,
        net: &Net,
        store: &Store,
        tasks: &Tasks,
    ) -> Result<Self, Vec<ConnectionError>> {
        let keeper: Arc<dyn Keeper> = Arc::new(store.clone());
        let (mut connections, mut errors) = (Self::default(), Vec::new());
        for (name, config) in configs {
            let ConnectionConfig::Microsoft(config) = config;
            match Microsoft::build(name, config, net, &keeper, tasks) {
                Ok(built) => connections.insert(built),
                Err(why) => errors.push(ConnectionError { name: name.clone(), why }),
            }
        }
        if errors.is_empty() { Ok(connections) } else { Err(errors) }
    }

    /// Lets alerts of a source be worked on through a connection.
    ///
    /// # Errors
    /// [`ConnectionError`] when there is no such connection, or the source has another one already.
    pub fn assign(&mut self, source: &str, connection: &str) -> Result<(), ConnectionError> {
        if !self.by_name.contains_key(connection) {
            let why = format!("adapter `{source}` names it, and it is not configured; {}", self.known());
            return Err(ConnectionError { name: connection.to_owned(), why });
        }
        let assigned = self.by_source.entry(source.to_owned()).or_insert_with(|| connection.to_owned());
        if assigned != connection {
            let why = format!(
                "the source `{source}` has the connection `{assigned}` already, by another adapter; alerts of one source are worked on \
                 through one connection, so name the same in both or give them different sources"
            );
            return Err(ConnectionError { name: connection.to_owned(), why });
        }
        Ok(())
    }

    /// Whether nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The connection of that name.
    pub fn named(&self, name: &str) -> Option<Arc<Microsoft>> {
        self.by_name.get(name).cloned()
    }

    /// The connection that was assigned to an adapter.
    pub fn for_source(&self, source: &str) -> Option<Arc<Microsoft>> {
        self.named(self.by_source.get(source)?)
    }

    /// The connection, when there is exactly one.
    ///
    /// # Errors
    /// A sentence that names those that there are.
    pub fn only(&self) -> Result<Arc<Microsoft>, String> {
        let mut all = self.by_name.values();
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(Arc::clone(only)),
            (None, _) => Err("no connection to Microsoft is configured; add one under `connections`".to_owned()),
            (Some(_), Some(_)) => Err(format!("there are several connections, so name one; {}", self.known())),
        }
    }

    /// The connection that a step names, else that of the alert's source, else the only one.
    ///
    /// # Errors
    /// Rejected, with the names that there are.
    pub fn choose(&self, name: Option<&str>, source: &str) -> Result<Arc<Microsoft>, Failure> {
        match name {
            Some(name) => self.named(name).ok_or_else(|| Failure::rejected(format!("there is no connection `{name}`; {}", self.known()))),
            None => self.for_source(source).map_or_else(|| self.only().map_err(Failure::rejected), Ok),
        }
    }

    pub(crate) fn insert(&mut self, connection: Microsoft) {
        self.by_name.insert(connection.name().to_owned(), Arc::new(connection));
    }

    fn known(&self) -> String {
        let names: Vec<_> = self.names().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { "none is configured".to_owned() } else { format!("configured: {}", names.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn microsoft() -> Value {
        json!({ "type": "microsoft", "tenant_id": "contoso.com", "client_id": "c", "client_secret": "canary" })
    }

    fn connections(names: &[&str]) -> Connections {
        let keeper: Arc<dyn Keeper> = Arc::new(bench::Memory::default());
        let ConnectionConfig::Microsoft(config) = serde_json::from_value(microsoft()).unwrap();
        let mut connections = Connections::default();
        for name in names {
            connections.insert(Microsoft::build(name, &config, &bench::net(), &keeper, &Tasks::default()).unwrap());
        }
        connections
    }

    #[test]
    fn settings_are_strict_and_do_not_show_secrets() {
        let mut typo = microsoft();
        typo["tenant"] = "x".into();
        let mut other = microsoft();
        other["type"] = "google".into();
        for (settings, named) in [(typo, "`tenant`"), (other, "`google`")] {
            let error = serde_json::from_value::<ConnectionConfig>(settings).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("canary"), "{error}");
        }
        let config: ConnectionConfig = serde_json::from_value(microsoft()).unwrap();
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let keeper: Arc<dyn Keeper> = Arc::new(bench::Memory::default());
        for (key, value) in [
            ("tenant_id", "../x"),
            ("tenant_id", ""),
            ("graph_url", "graph"),
            ("azure_url", "azure"),
            ("login_url", "ftp://x"),
            ("partner_center_url", "https://x/?a"),
        ] {
            let mut settings = microsoft();
            settings[key] = value.into();
            let ConnectionConfig::Microsoft(config) = serde_json::from_value(settings).unwrap();
            let error = Microsoft::build("a", &config, &bench::net(), &keeper, &Tasks::default()).unwrap_err();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
    }

    #[test]
    fn a_step_reaches_the_connection_that_is_meant() {
        let mut two = connections(&["contoso", "fabrikam"]);
        two.assign("graph", "fabrikam").unwrap();
        let chosen = |name, source| two.choose(name, source).map(|it| it.name().to_owned()).map_err(|it| it.message);
        assert_eq!(chosen(Some("contoso"), "graph").unwrap(), "contoso");
        assert_eq!(chosen(None, "graph").unwrap(), "fabrikam");
        assert!(chosen(None, "siem").unwrap_err().contains("`contoso`, `fabrikam`"));
        assert!(chosen(Some("nobody"), "graph").unwrap_err().contains("`nobody`"));
        assert_eq!(connections(&["contoso"]).choose(None, "siem").unwrap().name(), "contoso");
        assert!(connections(&[]).only().unwrap_err().contains("add one"));
        assert!(two.assign("graph", "nobody").is_err());
    }

    #[test]
    fn a_source_has_one_connection_whichever_of_its_adapters_comes_last() {
        let mut two = connections(&["contoso", "fabrikam"]);
        two.assign("graph", "contoso").unwrap();
        two.assign("graph", "contoso").unwrap();
        let refused = two.assign("graph", "fabrikam").unwrap_err().to_string();
        assert!(refused.contains("`fabrikam`") && refused.contains("has the connection `contoso` already"), "{refused}");
        assert_eq!(two.for_source("graph").unwrap().name(), "contoso");
    }
}
