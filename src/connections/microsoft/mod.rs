//! A partner's tenant at Microsoft: [`alerts`] in Graph and Azure plans in [`partner_center`], with the [`tokens`] for both; and, where the
//! settings allow it, the customers' own tenants: resources in [`azure`] and users in [`directory`], where what is our [`own`] is left alone.
//!
//! The operations are typed: who calls them names a customer and a plan, never a URL, and sees no token.

mod alerts;
mod azure;
mod browser;
mod claims;
mod consent;
mod credential;
mod customers;
mod directory;
mod login;
mod own;
mod partner_center;
mod probe;
mod recent;
mod refusal;
mod registration;
mod reports;
mod spending;
mod tokens;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub use self::{
    alerts::{AlertQuery, Page},
    azure::{
        ActivityQuery, AzureEvent, AzureVersions, Deallocation, Disk, Operation, RoleAssignment, RoleAssignmentId, VirtualMachine,
        VirtualMachineId,
    },
    browser::BrowserLogin,
    claims::Claims,
    consent::ConsentAge,
    credential::{CertificateDates, CertificateFiles},
    customers::{Customer, Organization, Relationship},
    directory::{User, UserName},
    login::{Consented, DeviceCode, LoginState},
    partner_center::{Entitlement, EntitlementAt, Found, Subscription, Suspension},
    probe::{Answer, Probed, Question, SignedIn},
    registration::{Registration, TestEvent},
    spending::{PlanUsage, Usage},
    tokens::{Actor, Audience},
};

use self::{recent::Recent, refusal::Refusal, tokens::Tokens};
use super::{Failure, FailureKind, keep::Keeper};
use crate::{
    lifecycle::Tasks,
    net::{Net, Reply, Request, Url},
    secret::{Secret, Text},
};

/// Settings of a connection to Microsoft.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MicrosoftConfig {
    /// The partner's own Entra tenant: its GUID or a domain.
    pub tenant_id: Text,
    /// The application that signs in.
    pub client_id: Text,
    /// The application's secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// In place of a secret: the certificate that is registered for the application, and its key.
    #[serde(default)]
    pub certificate: Option<CertificateFiles>,
    /// A refresh token of a person who consented with multi-factor sign-in; Partner Center is then used on that person's
    /// behalf. Without it, as the application itself.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// Whether a person consents with `quell login`, whose refresh token is kept in the journal; then no `refresh_token` is needed.
    #[serde(default)]
    pub login: bool,
    /// What seals the refresh token in the journal. Without it that is the application's secret or key, and whoever replaces these must have
    /// a person consent again.
    #[serde(default)]
    pub seal_key: Option<Secret>,
    /// Where Graph is; set it for a national cloud.
    #[serde(default = "graph_url")]
    pub graph_url: Text,
    /// Graph's version.
    #[serde(default = "graph_version")]
    pub graph_version: Text,
    /// Where Partner Center is.
    #[serde(default = "partner_center_url")]
    pub partner_center_url: Text,
    /// Where Azure's management interface is; set it for a national cloud.
    #[serde(default = "azure_url")]
    #[schemars(with = "String")]
    pub azure_url: Text,
    /// The versions in which Azure's interfaces are called.
    #[serde(default)]
    pub azure_versions: AzureVersions,
    /// Whether and how this connection works inside the tenants of customers: on their users and on what they have in Azure.
    #[serde(default)]
    pub customer_access: CustomerAccess,
    /// Where Microsoft's sign-in is.
    #[serde(default = "login_url")]
    pub login_url: Text,
}

/// How a connection works inside the tenants of customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CustomerAccess {
    /// Not at all. To stop a subscription in Partner Center needs no access to its tenant, and what is not needed is not taken.
    #[default]
    None,
    /// As the application, which each customer has consented to and given roles.
    Application,
    /// On behalf of the person who consented, with the roles that GDAP gives that person.
    Person,
}

/// A partner's tenant at Microsoft.
pub struct Microsoft {
    name: String,
    /// The partner's own, by its GUID or a domain.
    tenant: String,
    net: Net,
    tokens: Tokens,
    graph: Base,
    partner_center: Base,
    /// Graph in the version that is documented for users.
    directory: Base,
    azure: Base,
    azure_versions: AzureVersions,
    recent: Recent,
    webhooks: Base,
    /// Until when it asked to be left alone.
    quiet_until: Mutex<Option<Instant>>,
}

/// An `http` or `https` URL to which a path can be added.
#[derive(Debug, Clone)]
struct Base(Url);

impl Microsoft {
    pub(super) fn build(name: &str, config: &MicrosoftConfig, net: &Net, keeper: &Arc<dyn Keeper>, tasks: &Tasks) -> Result<Self, String> {
        let graph = Base::parse("graph_url", &config.graph_url)?;
        let partner_center = Base::parse("partner_center_url", &config.partner_center_url)?;
        Ok(Self {
            name: name.to_owned(),
            tenant: config.tenant_id.0.clone(),
            net: net.clone(),
            tokens: Tokens::build(name, config, net, keeper, tasks)?,
            graph: Base(graph.with([config.graph_version.0.as_str()])),
            directory: Base(graph.with(["v1.0"])),
            azure: Base::parse("azure_url", &config.azure_url)?,
            azure_versions: config.azure_versions.clone(),
            recent: Recent::default(),
            quiet_until: Mutex::default(),
            webhooks: Base(partner_center.with(["webhooks", "v1", "registration"])),
            partner_center: Base(partner_center.with(["v1"])),
        })
    }

    /// The name in the settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes that the tenant's services asked to be left alone. They count all calls of a tenant together, so what only looks waits too.
    pub fn leave_alone(&self, now: Instant, wait: Duration) {
        let mut until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(now.checked_add(wait));
    }

    /// How long it still wants to be left alone.
    pub fn wants_quiet(&self, now: Instant) -> Option<Duration> {
        let until = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.and_then(|until| until.checked_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Signs in to both services; changes nothing. For a check of the settings.
    ///
    /// # Errors
    /// Says what a person must do.
    pub async fn sign_in(&self) -> Result<(), Failure> {
        drop(self.tokens.access(Audience::Graph).await?);
        drop(self.tokens.access(Audience::PartnerCenter).await?);
        Ok(())
    }

    /// Sends a request with a token. A token that is not accepted is renewed once: a 401 says that nothing was executed.
    async fn call(&self, audience: Audience<'_>, request: Request) -> Result<Reply, Failure> {
        let token = self.tokens.access(audience).await?;
        let reply = self.net.send(request.clone().bearer(&token)).await?;
        if reply.status != 401 || refusal::lacks_multi_factor(&reply) {
            return Ok(reply);
        }
        let token = self.tokens.renew(audience, &token).await?;
        Ok(self.net.send(request.bearer(&token)).await?)
    }

    /// The document that a request answers with.
    async fn read(&self, audience: Audience<'_>, request: Request) -> Result<Value, Failure> {
        let reply = self.call(audience, request).await?;
        if !reply.is_success() {
            return Err(Refusal::read(&reply).into_failure(audience));
        }
        Ok(reply.json()?)
    }

    /// What a change is answered with, if anything.
    async fn write(&self, audience: Audience<'_>, request: Request) -> Result<Option<Value>, Failure> {
        let reply = self.call(audience, request).await?;
        if !reply.is_success() {
            return Err(Refusal::read(&reply).into_failure(audience));
        }
        document(audience, &reply)
    }
}

impl fmt::Debug for Microsoft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Microsoft `{}`", self.name)
    }
}

impl Base {
    fn parse(setting: &str, text: &Text) -> Result<Self, String> {
        let url = Url::parse(&text.0).map_err(|error| format!("`{setting}` is not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("`{setting}` must be an `https` URL without a query"));
        }
        Ok(Self(url))
    }

    /// The URL with more segments in its path, each percent-encoded.
    fn with<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        // `http` and `https` URLs have a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

/// The body of a success, if it has one. A web page is none: some proxy sent it, and nobody knows what happened behind it.
fn document(audience: Audience<'_>, reply: &Reply) -> Result<Option<Value>, Failure> {
    if reply.body.is_empty() {
        return Ok(None);
    }
    match reply.json()? {
        body @ Value::Object(_) => Ok(Some(body)),
        _ => Err(unreadable(audience, "the body is not an object")),
    }
}

/// An answer that is a success and yet not what was documented: nobody knows what it means.
fn unreadable(audience: Audience<'_>, why: &str) -> Failure {
    Failure::new(FailureKind::Unknown, format!("{} answered something else than documented: {why}", audience.service()))
}

/// A member of an object, whatever its case: Microsoft's requests are shown in another than its answers.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = value.as_object()?;
    fields.get(name).or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    field(value, name).and_then(Value::as_str).unwrap_or_default()
}

fn graph_url() -> Text {
    Text("https://graph.microsoft.com".to_owned())
}

/// Partner security alerts are offered in no other version yet.
fn graph_version() -> Text {
    Text("beta".to_owned())
}

fn partner_center_url() -> Text {
    Text("https://api.partnercenter.microsoft.com".to_owned())
}

fn azure_url() -> Text {
    Text("https://management.azure.com".to_owned())
}

fn login_url() -> Text {
    Text("https://login.microsoftonline.com".to_owned())
}
