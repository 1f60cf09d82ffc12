//! Access tokens: one for each service, kept until shortly before they expire, and asked for by one caller at a time.
//!
//! A failure here never leaves it open whether the caller's request was executed: that was not sent yet. A sign-in that was begun is finished
//! even when its caller gives up, because the refresh token that comes of it must not be lost.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};
use tracing::warn;

use super::{
    super::{
        CustomerId, Failure, FailureKind,
        keep::{Keeper, Seal},
    },
    Base, CustomerAccess, MicrosoftConfig, text,
};
use crate::{
    lifecycle::Tasks,
    net::{Net, NetError, Reply, Request, Url},
    secret::Secret,
};

/// The service that a token is for, and whose tenant it is good in: the partner's where no customer is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience<'a> {
    Graph,
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
    sign_in: Arc<SignIn>,
    tasks: Tasks,
}

/// How a token is asked for.
struct SignIn {
    net: Net,
    client_id: String,
    client_secret: Secret,
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
#[derive(Clone, Copy, PartialEq, Eq)]
enum Actor {
    Application,
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

/// A person's consent: a refresh token that is replaced at every use.
struct Consent {
    /// Under which the token is kept in the store.
    name: String,
    configured: Secret,
    newest: Mutex<Newest>,
    seal: Seal,
    keeper: Arc<dyn Keeper>,
}

/// The newest refresh token, as far as it is known.
enum Newest {
    /// It is what the store holds, which was not read yet.
    Unread,
    /// The store holds it.
    Kept(Secret),
    /// The store could not take it: it is only here.
    Unkept(Secret),
}

/// Early enough that a call under way does not meet the expiry, and that clocks may differ.
const EARLY: Duration = Duration::from_mins(5);

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
    pub(super) fn service(self) -> &'static str {
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
        if config.customer_access == CustomerAccess::Person && config.refresh_token.is_none() {
            return Err("`customer_access: person` needs a `refresh_token`".to_owned());
        }
        let consent = config.refresh_token.as_ref().map(|token| Consent::new(name, token, config, keeper)).transpose()?;
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
            login,
            sign_in: Arc::new(SignIn {
                net: net.clone(),
                client_id: config.client_id.0.clone(),
                client_secret: config.client_secret.clone(),
                consent,
            }),
            tasks: tasks.clone(),
        })
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
        let client = [("client_id", self.client_id.as_str()), ("client_secret", self.client_secret.expose())];
        let Some(consent) = consent else {
            let body = self.post(errand, &[&client[..], &[("grant_type", "client_credentials"), ("scope", scope)]].concat()).await?;
            return access(&body);
        };
        let mut newest = consent.newest.lock().await;
        let refresh = consent.kept(&mut newest).await?;
        // Without `offline_access` no new refresh token is given.
        let scope = format!("{scope} offline_access");
        let grant = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose()), ("scope", scope.as_str())];
        let body = self.post(errand, &[&client[..], &grant].concat()).await?;
        let rotated = text(&body, "refresh_token");
        if !rotated.is_empty() && rotated != refresh.expose() {
            *newest = Newest::Unkept(Secret::new(rotated));
            // Before its access token is used: that may be the last that the old one gives.
            consent.kept(&mut newest).await?;
        }
        access(&body)
    }

    async fn post(&self, errand: &Errand, form: &[(&str, &str)]) -> Result<Value, Failure> {
        let not_signed_in = |error: NetError| match error {
            NetError::Refused(why) => Failure::rejected(format!("sign in at Microsoft: {why}")),
            NetError::NotSent(why) | NetError::Unknown(why) => Failure::new(FailureKind::NotDone, format!("sign in at Microsoft: {why}")),
        };
        let secrets =
            form.iter().filter(|(name, _)| matches!(*name, "client_secret" | "refresh_token")).map(|(_, value)| Secret::new(*value));
        let request = secrets.fold(Request::post(errand.endpoint.clone()).form(form), |request, secret| request.withhold(&secret));
        let reply = self.net.send(request).await.map_err(not_signed_in)?;
        if !reply.is_success() {
            return Err(errand.refused(&reply));
        }
        reply.json().map_err(not_signed_in)
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
                "the consent is no longer good; a person must sign in again with multi-factor and configure the new `refresh_token`"
            }
            "invalid_client" => "the client secret is wrong or has expired; create a new one and configure it",
            "unauthorized_client" if self.customer.is_some() => "the application is unknown in this tenant; consent to it there",
            "unauthorized_client" => "the application is unknown in this tenant; check `client_id` and `tenant_id`",
            _ => "check the connection's settings",
        }
    }
}

impl Consent {
    fn new(name: &str, token: &Secret, config: &MicrosoftConfig, keeper: &Arc<dyn Keeper>) -> Result<Self, String> {
        Ok(Self {
            name: format!("refresh_token:{name}"),
            configured: token.clone(),
            newest: Mutex::new(Newest::Unread),
            seal: Seal::new(&config.client_secret, token)?,
            keeper: Arc::clone(keeper),
        })
    }

    /// The newest token, which the store holds when this succeeds: one that it could not take is handed to it again.
    async fn kept(&self, newest: &mut Newest) -> Result<Secret, Failure> {
        let token = match newest {
            Newest::Kept(token) => return Ok(token.clone()),
            Newest::Unread => self.load().await?,
            Newest::Unkept(token) => {
                self.keep(token).await?;
                token.clone()
            }
        };
        *newest = Newest::Kept(token.clone());
        Ok(token)
    }

    /// The newest token that was kept, else the configured one.
    async fn load(&self) -> Result<Secret, Failure> {
        let kept = self.keeper.kept(&self.name).await;
        let kept = kept.map_err(|error| Failure::new(FailureKind::NotDone, format!("read the kept refresh token: {error}")))?;
        let Some(bytes) = kept else {
            return Ok(self.configured.clone());
        };
        let opened = self.seal.open(&self.name, &bytes);
        if opened.is_none() {
            warn!(name = %self.name, "the kept refresh token was sealed with other credentials; the configured one is used");
        }
        Ok(opened.unwrap_or_else(|| self.configured.clone()))
    }

    async fn keep(&self, token: &Secret) -> Result<(), Failure> {
        let not_kept = |why: &str| Failure::new(FailureKind::NotDone, format!("keep the new refresh token: {why}"));
        let sealed = self.seal.seal(&self.name, token).ok_or_else(|| not_kept("it cannot be sealed"))?;
        self.keeper.keep(&self.name, &sealed).await.map_err(|error| not_kept(&error.to_string()))
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
    use crate::connections::bench::{self, Memory};

    #[tokio::test]
    async fn what_was_kept_is_used_until_another_token_is_configured() {
        let keeper: Arc<dyn Keeper> = Arc::new(Memory::default());
        let simulator = bench::simulator(quell_simulator::Options::default()).await;
        let consent = |configured: &str| Consent::new("a", &Secret::new(configured), &bench::config(&simulator), &keeper).unwrap();
        assert_eq!(consent("first").load().await.unwrap().expose(), "first");
        consent("first").keep(&Secret::new("rotated")).await.unwrap();
        assert_eq!(consent("first").load().await.unwrap().expose(), "rotated");
        assert_eq!(consent("second").load().await.unwrap().expose(), "second");
    }

    #[tokio::test]
    async fn a_token_that_could_not_be_kept_stays_in_memory_until_it_is() {
        let memory = Memory::broken();
        let keeper: Arc<dyn Keeper> = Arc::<Memory>::clone(&memory);
        let simulator = bench::simulator(quell_simulator::Options::default()).await;
        let consent = Consent::new("a", &Secret::new("first"), &bench::config(&simulator), &keeper).unwrap();
        let mut newest = Newest::Unkept(Secret::new("rotated"));
        assert_eq!(consent.kept(&mut newest).await.unwrap_err().kind, FailureKind::NotDone);
        memory.mend();
        assert_eq!(consent.kept(&mut newest).await.unwrap().expose(), "rotated");
        assert_eq!(consent.load().await.unwrap().expose(), "rotated");
    }

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
