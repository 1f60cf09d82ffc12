//! Access tokens: one for each service, kept until shortly before they expire, and asked for by one caller at a time.
//!
//! A failure here never leaves it open whether the caller's request was executed: that was not sent yet. A sign-in that was begun is finished
//! even when its caller gives up, because the refresh token that comes of it must not be lost.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

use super::{
    super::{CustomerId, Failure, FailureKind, keep::Keeper},
    Base, CustomerAccess, MicrosoftConfig,
    consent::{Consent, Dated},
    credential::Credential,
    text,
};
use crate::{
    lifecycle::Tasks,
    net::{Net, NetError, Reply, Request, Url},
    secret::Secret,
};

/// The service that a token is for, and whose tenant it is good in: the partner's where no customer is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience<'a> {
    /// Graph, for the partner's alerts.
    Graph,
    /// Partner Center.
    PartnerCenter,
    /// Graph, for the users of a customer.
    CustomerGraph(&'a CustomerId),
    /// Azure's management interface, for what a customer has there.
    Azure(&'a CustomerId),
}

pub(super) struct Tokens {
    graph: Slot,
    partner_center: Slot,
    /// By tenant and scope.
    customers: std::sync::Mutex<BTreeMap<(CustomerId, String), Slot>>,
    customer_access: CustomerAccess,
    azure_scope: String,
    login: Base,
    tenant: String,
    sign_in: Arc<SignIn>,
    tasks: Tasks,
}

/// How a token is asked for.
struct SignIn {
    net: Net,
    client_id: String,
    credential: Credential,
    consent: Option<Consent>,
}

/// The tokens for one service. Its lock is held while a token is asked for, so that many callers cause one request.
#[derive(Clone)]
struct Slot {
    errand: Errand,
    held: Arc<Mutex<Held>>,
}

/// What is asked for, where and on whose behalf.
#[derive(Clone)]
struct Errand {
    endpoint: Url,
    scope: String,
    actor: Actor,
    /// In whose tenant, if not in the partner's own.
    customer: Option<CustomerId>,
}

/// On whose behalf a token acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The application's own.
    Application,
    /// Of the person who consented.
    Person,
}

#[derive(Default)]
struct Held {
    access: Option<Access>,
    /// The last time that asking failed, and why.
    failed: Option<(Instant, Failure)>,
}

#[derive(Clone)]
struct Access {
    token: Secret,
    renew_at: Instant,
}

/// Early enough that a call under way does not meet the expiry, and that clocks may differ.
const EARLY: Duration = Duration::from_mins(5);

/// The fields of a form that nobody may see.
const SECRETS: &[&str] = &["client_secret", "client_assertion", "refresh_token", "device_code", "code", "code_verifier"];

/// What a token without a stated lifetime is trusted for.
const SHORTEST_LIFETIME: Duration = Duration::from_mins(1);

/// Graph services whose tokens are for themselves: those of the national clouds.
const NATIONAL_GRAPHS: &[&str] = &["graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn"];

/// Azure's management interfaces whose tokens are for themselves: those of the national clouds.
const NATIONAL_AZURES: &[&str] = &["management.usgovcloudapi.net", "management.chinacloudapi.cn"];

/// Two tokens for each of a large partner's customers that are worked on within the hour.
const MOST_CUSTOMER_TOKENS: usize = 2_000;

impl Audience<'_> {
    /// What people call the service.
    pub fn service(self) -> &'static str {
        match self {
            Self::Graph | Self::CustomerGraph(_) => "Graph",
            Self::PartnerCenter => "Partner Center",
            Self::Azure(_) => "Azure",
        }
    }
}

impl Tokens {
    pub(super) fn build(name: &str, config: &MicrosoftConfig, net: &Net, keeper: &Arc<dyn Keeper>, tasks: &Tasks) -> Result<Self, String> {
        let tenant = config.tenant_id.0.as_str();
        let is_name = !tenant.is_empty() && tenant.chars().all(|it| it.is_ascii_alphanumeric() || it == '-' || it == '.');
        if !is_name || tenant.starts_with('.') {
            return Err(format!("`tenant_id` is `{tenant}`, and must be a GUID or a domain"));
        }
        let login = Base::parse("login_url", &config.login_url)?;
        let acts_for_person = config.login || config.refresh_token.is_some();
        if config.customer_access == CustomerAccess::Person && !acts_for_person {
            return Err("`customer_access: person` needs a `refresh_token`, or `login: true` and `quell login`".to_owned());
        }
        let credential = Credential::build(config)?;
        let consent = acts_for_person.then(|| Consent::new(name, config, &credential, keeper)).transpose()?;
        let own = |scope: String, actor| {
            let endpoint = login.with([tenant, "oauth2", "v2.0", "token"]);
            Slot { errand: Errand { endpoint, scope, actor, customer: None }, held: Arc::default() }
        };
        let partner_center_actor = if consent.is_some() { Actor::Person } else { Actor::Application };
        let graph_scope = scope(&Base::parse("graph_url", &config.graph_url)?, NATIONAL_GRAPHS, "graph.microsoft.com");
        Ok(Self {
            graph: own(graph_scope, Actor::Application),
            partner_center: own("https://api.partnercenter.microsoft.com/.default".to_owned(), partner_center_actor),
            customers: std::sync::Mutex::default(),
            customer_access: config.customer_access,
            azure_scope: scope(&Base::parse("azure_url", &config.azure_url)?, NATIONAL_AZURES, "management.azure.com"),
            tenant: tenant.to_owned(),
            login,
            sign_in: Arc::new(SignIn { net: net.clone(), client_id: config.client_id.0.clone(), credential, consent }),
            tasks: tasks.clone(),
        })
    }

    /// Whether customers' tenants are entered on behalf of a person.
    pub(super) fn enters_for_a_person(&self) -> bool {
        self.customer_access == CustomerAccess::Person
    }

    /// A token that is good for some minutes more.
    pub(super) async fn access(&self, audience: Audience<'_>) -> Result<Secret, Failure> {
        self.get(audience, |held| Instant::now() < held.renew_at).await
    }

    /// Another token than one that was not accepted; somebody else may have renewed it meanwhile.
    pub(super) async fn renew(&self, audience: Audience<'_>, refused: &Secret) -> Result<Secret, Failure> {
        self.get(audience, |held| held.token.expose() != refused.expose()).await
    }

    async fn get(&self, audience: Audience<'_>, is_good: impl Fn(&Access) -> bool) -> Result<Secret, Failure> {
        let slot = self.slot(audience)?;
        let came = Instant::now();
        let held = Arc::clone(&slot.held).lock_owned().await;
        if let Some(access) = held.access.as_ref().filter(|access| is_good(access)) {
            return Ok(access.token.clone());
        }
        // Who waited while another asked in vain would only ask in vain as well, one after the other.
        if let Some((_, failure)) = held.failed.as_ref().filter(|(when, _)| *when >= came) {
            return Err(failure.clone());
        }
        // The caller may give up at any moment, at its time limit or when the program ends; the task is waited for.
        let asking = Arc::clone(&self.sign_in).fill(held, slot.errand);
        let asked = self.tasks.spawn("sign in", asking).await;
        asked.unwrap_or_else(|error| Err(Failure::new(FailureKind::NotDone, format!("sign in at Microsoft: {error}"))))
    }

    /// On whose behalf the tokens for a service act.
    pub(super) fn actor(&self, audience: Audience<'_>) -> Result<Actor, Failure> {
        Ok(self.slot(audience)?.errand.actor)
    }

    /// The certificate with which the application proves who it is, if it does.
    pub(super) fn credential(&self) -> &Credential {
        &self.sign_in.credential
    }

    /// The consent of a person, where the settings want one.
    pub(super) fn consent(&self) -> Option<&Consent> {
        self.sign_in.consent.as_ref()
    }

    /// Asks the sign-in of the partner's own tenant: `token`, or another of its endpoints.
    pub(super) async fn ask_own(&self, endpoint: &str, grant: &[(&str, &str)]) -> Result<Reply, Failure> {
        self.sign_in.send(&self.own_endpoint(endpoint), grant).await
    }

    /// The address of one of the endpoints of the partner's own tenant.
    pub(super) fn own_endpoint(&self, endpoint: &str) -> Url {
        let mut url = self.partner_center.errand.endpoint.clone();
        // It has a path, which ends in `token`.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop().push(endpoint);
        }
        url
    }

    /// The application's identifier.
    pub(super) fn client_id(&self) -> &str {
        &self.sign_in.client_id
    }

    /// The scope of Partner Center, with which a refresh token comes.
    pub(super) fn lasting_scope(&self) -> String {
        format!("{} offline_access", self.partner_center.errand.scope)
    }

    /// What a refusal of the own tenant's sign-in means.
    pub(super) fn refused(&self, reply: &Reply) -> Failure {
        self.partner_center.errand.refused(reply)
    }

    /// What everybody may know of the partner's tenant.
    pub(super) fn description(&self) -> Url {
        self.login.with([self.tenant.as_str(), "v2.0", ".well-known", "openid-configuration"])
    }

    fn slot(&self, audience: Audience<'_>) -> Result<Slot, Failure> {
        match audience {
            Audience::Graph => Ok(self.graph.clone()),
            Audience::PartnerCenter => Ok(self.partner_center.clone()),
            Audience::CustomerGraph(customer) => self.in_tenant(customer, &self.graph.errand.scope),
            Audience::Azure(customer) => self.in_tenant(customer, &self.azure_scope),
        }
    }

    /// The slot of a customer's tenant, if the settings let this connection work there.
    fn in_tenant(&self, customer: &CustomerId, scope: &str) -> Result<Slot, Failure> {
        let actor = match self.customer_access {
            CustomerAccess::None => {
                let why = "the connection may not work inside customers' tenants; set its `customer_access` to `application` or `person`";
                return Err(Failure::rejected(why));
            }
            CustomerAccess::Application => Actor::Application,
            CustomerAccess::Person => Actor::Person,
        };
        let endpoint = self.login.with([customer.as_str(), "oauth2", "v2.0", "token"]);
        let errand = Errand { endpoint, scope: scope.to_owned(), actor, customer: Some(customer.clone()) };
        let mut customers = self.customers.lock().unwrap_or_else(PoisonError::into_inner);
        // What is forgotten is asked for again.
        if customers.len() >= MOST_CUSTOMER_TOKENS {
            customers.clear();
        }
        let slot = customers.entry((customer.clone(), scope.to_owned()));
        Ok(slot.or_insert_with(|| Slot { errand, held: Arc::default() }).clone())
    }
}

impl SignIn {
    /// Asks for a token and puts what came of it into its slot.
    async fn fill(self: Arc<Self>, mut held: OwnedMutexGuard<Held>, errand: Errand) -> Result<Secret, Failure> {
        let asked = self.ask(&errand).await;
        held.failed = asked.as_ref().err().map(|failure| (Instant::now(), failure.clone()));
        // Without a new token there is none: the old one was found wanting.
        held.access = asked.as_ref().ok().cloned();
        asked.map(|access| access.token)
    }

    async fn ask(&self, errand: &Errand) -> Result<Access, Failure> {
        let scope = errand.scope.as_str();
        let consent = self.consent.as_ref().filter(|_| errand.actor == Actor::Person);
        let Some(consent) = consent else {
            return access(&self.post(errand, &[("grant_type", "client_credentials"), ("scope", scope)]).await?);
        };
        let mut newest = consent.newest.lock().await;
        let refresh = consent.kept(&mut newest).await?;
        let body = match self.redeem(errand, &refresh).await {
            // A person may have consented anew since it was read, or another node has a later one.
            Err(failure) if failure.kind == FailureKind::Rejected => match consent.later(&mut newest, &refresh).await {
                Some(later) => self.redeem(errand, &later).await?,
                None => return Err(failure),
            },
            answered => answered?,
        };
        let rotated = text(&body, "refresh_token");
        if !rotated.is_empty() && rotated != refresh.token.expose() {
            // Before its access token is used: that may be the last that the old one gives.
            consent.replace(&mut newest, Secret::new(rotated), Timestamp::now()).await?;
        }
        access(&body)
    }

    /// What a refresh token gives.
    async fn redeem(&self, errand: &Errand, refresh: &Dated) -> Result<Value, Failure> {
        // Without `offline_access` no new refresh token is given.
        let scope = format!("{} offline_access", errand.scope);
        let grant = [("grant_type", "refresh_token"), ("refresh_token", refresh.token.expose()), ("scope", scope.as_str())];
        self.post(errand, &grant).await
    }

    /// Sends a form with the proof of who asks; what is answered if it is a success.
    async fn post(&self, errand: &Errand, grant: &[(&str, &str)]) -> Result<Value, Failure> {
        let reply = self.send(&errand.endpoint, grant).await?;
        if !reply.is_success() {
            return Err(errand.refused(&reply));
        }
        reply.json().map_err(not_signed_in)
    }

    /// Sends a form with the proof of who asks.
    async fn send(&self, endpoint: &Url, grant: &[(&str, &str)]) -> Result<Reply, Failure> {
        let proof = self.credential.proof(&self.client_id, endpoint, Timestamp::now()).map_err(Failure::rejected)?;
        let proof = proof.iter().map(|(name, value)| (*name, value.as_str()));
        let form: Vec<_> = [("client_id", self.client_id.as_str())].into_iter().chain(proof).chain(grant.iter().copied()).collect();
        let secrets = form.iter().filter(|(name, _)| SECRETS.contains(name)).map(|(_, value)| Secret::new(*value));
        let request = secrets.fold(Request::post(endpoint.clone()).form(&form), |request, secret| request.withhold(&secret));
        self.net.send(request).await.map_err(not_signed_in)
    }
}

fn not_signed_in(error: NetError) -> Failure {
    match error {
        NetError::Refused(why) => Failure::rejected(format!("sign in at Microsoft: {why}")),
        NetError::NotSent(why) | NetError::Unknown(why) => Failure::new(FailureKind::NotDone, format!("sign in at Microsoft: {why}")),
    }
}

impl Errand {
    /// Why there is no token, and what a person must do if waiting does not help.
    fn refused(&self, reply: &Reply) -> Failure {
        let body = reply.json().unwrap_or_default();
        let code = text(&body, "error");
        // The first sentence names the fault; the rest are identifiers of the request.
        let described: String = text(&body, "error_description").chars().take_while(|it| !it.is_control()).take(300).collect();
        let described = described.split(" Trace ID:").next().unwrap_or_default();
        let is_passing = matches!(reply.status, 408 | 429 | 500..) || code == "temporarily_unavailable";
        let (kind, advice) =
            if is_passing { (FailureKind::NotDone, "it may work later") } else { (FailureKind::Rejected, self.advice(code)) };
        let place = self.customer.as_ref().map_or_else(String::new, |it| format!(", in the customer's tenant `{it}`"));
        let message = format!("sign in at Microsoft{place}: answered {} {code}: {described}; {advice}", reply.status);
        Failure { kind, ..Failure::from_status(reply, message) }
    }

    fn advice(&self, code: &str) -> &'static str {
        match code {
            "invalid_grant" | "interaction_required" | "consent_required" if self.customer.is_some() => {
                "the consent does not reach this customer or is no longer good; see that a GDAP relationship gives the person a role there, \
                 else a person must sign in again with multi-factor and configure the new `refresh_token`"
            }
            "invalid_grant" | "interaction_required" | "consent_required" => {
                "the consent is no longer good; a person must sign in again with multi-factor: `quell login`, or configure the new `refresh_token`"
            }
            "invalid_client" => {
                "the client secret is wrong or has expired, or the certificate is not registered; create a new one and configure it"
            }
            "unauthorized_client" if self.customer.is_some() => "the application is unknown in this tenant; consent to it there",
            "unauthorized_client" => "the application is unknown in this tenant; check `client_id` and `tenant_id`",
            _ => "check the connection's settings",
        }
    }
}

/// Tokens of a national cloud are for its own services; all others, a test's as well, are for the global ones.
fn scope(base: &Base, national: &[&str], global: &str) -> String {
    let host = base.0.host_str().filter(|host| national.contains(host)).unwrap_or(global);
    format!("https://{host}/.default")
}

fn access(body: &Value) -> Result<Access, Failure> {
    let token = text(body, "access_token");
    if token.is_empty() {
        return Err(Failure::new(FailureKind::NotDone, "sign in at Microsoft: the answer holds no token"));
    }
    // The older endpoint writes the number as a text.
    let seconds = body.get("expires_in").and_then(|it| it.as_u64().or_else(|| it.as_str()?.parse().ok()));
    let lifetime = seconds.map_or(SHORTEST_LIFETIME, Duration::from_secs);
    // A day is longer than any token that is issued, and keeps the sum in bounds.
    let lifetime = lifetime.min(Duration::from_hours(24));
    // A token that lives shorter than ten minutes is renewed at half of its life.
    let renew_at = Instant::now() + lifetime - EARLY.min(lifetime / 2);
    Ok(Access { token: Secret::new(token), renew_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_renewed_some_minutes_before_it_expires() {
        let lives = |seconds: Value| {
            let access = access(&serde_json::json!({ "access_token": "t", "expires_in": seconds })).unwrap();
            (access.renew_at - Instant::now()).as_millis().div_ceil(1000)
        };
        assert_eq!(lives(3599.into()), 3299);
        assert_eq!(lives("3599".into()), 3299);
        assert_eq!(lives(120.into()), 60);
        assert_eq!(lives(Value::Null), 30);
        assert_eq!(lives(u64::MAX.into()), 86_100);
        assert!(access(&serde_json::json!({ "token_type": "Bearer" })).is_err());
    }
}
