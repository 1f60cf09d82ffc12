//! The handle on a running simulator: where it listens, what it saw, and what a test may do to it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::{
    callback,
    cloud::Cloud,
    core::Core,
    fault::Fault,
    ledger::{Counts, Effect, Entry},
    options::{CLIENT_ID, CLIENT_SECRET, Options, TENANT_ID},
    seed::AlertSeed,
    server,
    services::{
        graph::alerts::{self, Change},
        login::{self, Decision, refresh_token},
        partner_center::{reactivate_entitlement, set_plan_status},
    },
    signing::Event,
    smtp,
    trouble::Trouble,
    world::{Customer, PlanStatus},
};

/// Short beside any network call, and no load.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running simulator. Clones share it; it ends with `stop` or with the runtime.
#[derive(Debug, Clone)]
pub struct Simulator {
    core: Arc<Core>,
    smtp: SocketAddr,
}

impl Simulator {
    /// Binds both ports on the loopback address and starts to serve. Fails when a port is taken or the ledger file
    /// cannot be opened.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let http = bind(options.host, options.port).await?;
        let mail = bind(options.host, options.smtp_port).await?;
        let smtp = mail.local_addr().context("read mail address")?;
        let address = http.local_addr().context("read address")?;
        let url = options.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let core = Core::new(options, url)?;
        core.tasks.spawn(server::run(Arc::clone(&core), http));
        core.tasks.spawn(smtp::run(Arc::clone(&core), mail));
        Ok(Self { core, smtp })
    }

    /// Base URL, without a trailing slash.
    pub fn url(&self) -> String {
        self.core.site.url.clone()
    }

    /// Where the mail server listens.
    pub fn smtp_address(&self) -> SocketAddr {
        self.smtp
    }

    /// Authority of the sign-in; a client appends `/{tenant}/oauth2/v2.0/token`.
    pub fn login_url(&self) -> String {
        self.base("login")
    }

    /// A client appends the version, `/beta` or `/v1.0`.
    pub fn graph_url(&self) -> String {
        self.base("graph")
    }

    /// A client appends `/v1/…` or `/webhooks/v1/…`.
    pub fn partner_center_url(&self) -> String {
        self.base("partner-center")
    }

    /// A client appends `/subscriptions/…`.
    pub fn azure_url(&self) -> String {
        self.base("azure")
    }

    /// Usable as an incoming webhook; a client appends `/api/chat.postMessage` for the Web API.
    pub fn slack_url(&self) -> String {
        self.base("slack")
    }

    /// Usable as an incoming webhook.
    pub fn teams_url(&self) -> String {
        self.base("teams")
    }

    /// A client appends `/v2/enqueue`.
    pub fn pagerduty_url(&self) -> String {
        self.base("pagerduty")
    }

    /// Tenant of the partner.
    pub fn tenant_id(&self) -> String {
        TENANT_ID.to_owned()
    }

    /// The application that may sign in.
    pub fn client_id(&self) -> String {
        CLIENT_ID.to_owned()
    }

    /// The application's object id in a tenant, which its tokens for that tenant name.
    pub fn application_object_id(&self, tenant: &str) -> String {
        login::application_object_id(tenant)
    }

    /// The object id of the person of the refresh token, which tokens on behalf of that person name.
    pub fn person_object_id(&self) -> String {
        login::person_object_id()
    }

    /// Its secret.
    pub fn client_secret(&self) -> String {
        CLIENT_SECRET.to_owned()
    }

    /// A refresh token that is always the same; rotated ones are good as well, even after a restart.
    pub fn refresh_token(&self) -> String {
        refresh_token(0)
    }

    /// The customers as they are now.
    pub fn world(&self) -> Vec<Customer> {
        self.core.state(Timestamp::now()).customers.clone()
    }

    /// What a customer has in its own tenant, as it is now.
    pub fn cloud(&self, tenant: &str) -> Option<Cloud> {
        let now = Timestamp::now();
        self.core.state(now).cloud_mut(tenant, now).cloned()
    }

    /// Lets Microsoft find something; returns the alert's id. Announces it to the registered webhook if so configured.
    pub fn add_alert(&self, alert: AlertSeed) -> String {
        let now = Timestamp::now();
        let (id, callback) = alerts::add(&mut self.core.state(now), alert, now);
        if let Some(callback) = callback {
            self.core.send(callback);
        }
        id
    }

    /// Changes an alert behind Quell's back, as a person in the portal would; whether that changed anything.
    pub fn set_alert_status(&self, id: &str, status: &str, reason: Option<&str>) -> bool {
        let now = Timestamp::now();
        let change = Change { status: status.to_owned(), reason: reason.map(str::to_owned) };
        alerts::set_status(&mut self.core.state(now), id, &change, now)
    }

    /// The alert as Graph would show it.
    pub fn alert(&self, id: &str) -> Option<Value> {
        let state = self.core.state(Timestamp::now());
        state.alerts.get(id).cloned().map(Value::Object)
    }

    /// A person makes an Azure plan or an Azure subscription active again, which the ledger records as `operator`;
    /// whether it was not active.
    pub fn reactivate(&self, id: &str) -> bool {
        let now = Timestamp::now();
        let mut state = self.core.state(now);
        let owner = state.customers.iter_mut().find_map(|customer| {
            let is_plan = customer.plan.id.eq_ignore_ascii_case(id);
            let is_ours = is_plan || customer.plan.entitlement_mut(id).is_some();
            is_ours.then(|| (customer.tenant_id.clone(), is_plan))
        });
        let Some((customer, is_plan)) = owner else {
            return false;
        };
        let (kind, is_new) = if is_plan {
            let is_new = set_plan_status(&mut state, &customer, PlanStatus::Active, now);
            ("subscription.reactivated", is_new)
        } else {
            let is_new = reactivate_entitlement(&mut state, now, &customer, id);
            ("entitlement.reactivated", is_new)
        };
        let effect = Effect::new(kind, id).repeated(!is_new);
        state.ledger.append(operator_entry(id, effect, now));
        is_new
    }

    /// Every entry so far.
    pub fn ledger(&self) -> Vec<Entry> {
        self.core.state(Timestamp::now()).ledger.entries().to_vec()
    }

    /// The entries that carry such an effect, applied or found done.
    pub fn effects(&self, kind: &str) -> Vec<Entry> {
        let mut entries = self.ledger();
        entries.retain(|entry| entry.effect.as_ref().is_some_and(|effect| effect.kind == kind));
        entries
    }

    /// Waits until an effect was applied at least so often, and returns its entries. Errs when it was not in time.
    pub async fn wait_for(&self, kind: &str, times: usize, patience: Duration) -> anyhow::Result<Vec<Entry>> {
        let deadline = Instant::now() + patience;
        loop {
            let mut entries = self.effects(kind);
            entries.retain(|entry| entry.applied);
            if entries.len() >= times {
                return Ok(entries);
            }
            if Instant::now() >= deadline {
                bail!("{} of {times} `{kind}` within {patience:?}", entries.len());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// How often each effect was applied.
    pub fn counts(&self) -> Counts {
        self.core.state(Timestamp::now()).ledger.counts()
    }

    /// Adds a rule after those in force.
    pub fn fault(&self, fault: Fault) {
        self.core.state(Timestamp::now()).faults.push(fault);
    }

    /// Removes all rules.
    pub fn clear_faults(&self) {
        self.core.state(Timestamp::now()).faults.clear();
    }

    /// Makes every access token issued so far invalid.
    pub fn expire_tokens(&self) {
        self.core.state(Timestamp::now()).tokens.expire_all();
    }

    /// Makes every refresh token invalid until `renew_consent`.
    pub fn revoke_refresh_tokens(&self) {
        self.core.state(Timestamp::now()).tokens.revoke_refresh_tokens();
    }

    /// Makes refresh tokens valid again, as a new consent does.
    pub fn renew_consent(&self) {
        self.core.state(Timestamp::now()).tokens.renew_consent();
    }

    /// Something is wrong from now on that a person has to put right.
    pub fn trouble(&self, trouble: Trouble) {
        self.core.state(Timestamp::now()).troubles.insert(trouble);
    }

    /// Everything is put right.
    pub fn clear_troubles(&self) {
        self.core.state(Timestamp::now()).troubles.clear();
    }

    /// The person enters every device code that waits, and signs in; how many there were.
    pub fn approve_devices(&self) -> usize {
        let now = Timestamp::now();
        self.core.state(now).devices.decide(Decision::Approved, now)
    }

    /// The person enters every device code that waits, and says no; how many there were.
    pub fn decline_devices(&self) -> usize {
        let now = Timestamp::now();
        self.core.state(now).devices.decide(Decision::Declined, now)
    }

    /// Every device code is over its time.
    pub fn expire_devices(&self) {
        let now = Timestamp::now();
        self.core.state(now).devices.expire(now);
    }

    /// Signs an event and posts it once to a URL; returns the status of the answer. Errs when none came.
    pub async fn deliver_webhook(&self, url: &str, event: Event) -> anyhow::Result<u16> {
        callback::deliver(&self.core, url, &event).await
    }

    /// What a receiver of callbacks must trust. The same in every run.
    pub fn root_certificate_pem(&self) -> String {
        self.core.site.certificates.root_pem.clone()
    }

    /// Root of `/cert/wrong-issuer.cer`: with it trusted, only a check of the issuer's organization refuses that one.
    pub fn stranger_root_certificate_pem(&self) -> String {
        self.core.site.certificates.stranger_root_pem.clone()
    }

    /// Where the good certificate is; the variants are in the same folder.
    pub fn certificate_url(&self) -> String {
        callback::certificate_url(&self.core.site.url)
    }

    /// Closes every connection and waits until that is done. Later calls of clones still read the ledger.
    pub async fn stop(self) {
        self.core.tasks.stop().await;
    }

    fn base(&self, service: &str) -> String {
        format!("{}/{service}", self.core.site.url)
    }

    /// For the admin interface, which offers the same as this handle.
    pub(crate) fn of(core: &Arc<Core>) -> Self {
        Self { core: Arc::clone(core), smtp: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
    }
}

async fn bind(host: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((host, port));
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("bind {address}"))
}

fn operator_entry(id: &str, effect: Effect, now: Timestamp) -> Entry {
    Entry {
        seq: 0,
        at: now,
        service: "operator".to_owned(),
        method: "REACTIVATE".to_owned(),
        path: id.to_owned(),
        request_id: None,
        correlation_id: None,
        if_match: None,
        body_sha256: server::sha256(b""),
        body: None,
        status: 200,
        applied: false,
        answered: true,
        effect: Some(effect),
    }
}
