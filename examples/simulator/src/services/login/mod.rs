//! Microsoft's sign-in: issues access tokens, rotates refresh tokens, and says what a presented token is good for.
//!
//! `claims` is what a token says of itself, `device` the sign-in with a code, `authorize` that in a browser, `assertion` the proof of a certificate in place of a secret.

mod assertion;
mod authorize;
mod claims;
mod device;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    answer::Answer,
    call::Call,
    ledger::Effect,
    options::{CLIENT_ID, CLIENT_SECRET, TENANT_ID},
    services::sinks::fresh_id,
    state::State,
    trouble::Trouble,
};

pub(crate) use authorize::Codes;
pub(crate) use device::{Decision, Devices};

/// Marks the refresh tokens of this program, so that they survive its restart.
const NAMESPACE: Uuid = Uuid::from_u128(0x7e57_ab1e_0000_4000_8000_0000_0000_0bad);

/// The service that a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Graph,
    PartnerCenter,
    Management,
    /// `https://graph.windows.net`, which Partner Center no longer takes.
    OldGraph,
}

/// On whose behalf a token acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    App,
    /// The application for a person; some of Partner Center wants it.
    User,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) audience: Audience,
    pub(crate) tenant: String,
    pub(crate) actor: Actor,
    expires: Timestamp,
}

/// Issued tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    access: BTreeMap<String, Token>,
    newest_refresh: u64,
    /// Refresh tokens below this number are dead.
    oldest_valid: u64,
}

impl Tokens {
    /// The token, unless it is unknown or expired.
    pub(crate) fn find(&self, text: &str, now: Timestamp) -> Option<&Token> {
        self.access.get(text).filter(|token| token.expires > now)
    }

    /// Kills every access token, as an expiry before its time would.
    pub(crate) fn expire_all(&mut self) {
        self.access.clear();
    }

    /// An administrator revokes the sessions: only a new consent helps, which here is `renew_consent`.
    pub(crate) fn revoke_refresh_tokens(&mut self) {
        self.oldest_valid = u64::MAX;
    }

    /// A person signs in again; the fixed refresh token and all later ones are good.
    pub(crate) fn renew_consent(&mut self) {
        self.oldest_valid = 0;
    }

    fn accepts_refresh(&self, text: &str) -> bool {
        let parts: Vec<_> = text.split('.').collect();
        let [_, number, _] = parts.as_slice() else {
            return false;
        };
        let number = number.parse().ok();
        number.is_some_and(|number| number >= self.oldest_valid && refresh_token(number) == text)
    }

    fn rotate(&mut self, now: Timestamp) -> String {
        // The time keeps the numbers of a restarted simulator apart from those it gave before.
        let now = u64::try_from(now.as_millisecond()).unwrap_or_default();
        self.newest_refresh = now.max(self.newest_refresh + 1);
        refresh_token(self.newest_refresh)
    }
}

/// The refresh token with a number. Number 0 is the one that the operator was given.
pub(crate) fn refresh_token(number: u64) -> String {
    let proof = Uuid::new_v5(&NAMESPACE, number.to_string().as_bytes());
    format!("1.{number}.{}", proof.simple())
}

pub(crate) fn answer(state: &mut State, call: &Call) -> Answer {
    let rest = call.rest();
    let (tenant, version) = match rest.as_slice() {
        [tenant, "oauth2", "v2.0", "token"] => (*tenant, Version::Two),
        [tenant, "oauth2", "token"] => (*tenant, Version::One),
        [_, "oauth2", "v2.0", "authorize"] => return authorize::answer(state, call),
        [_, "oauth2", "v2.0", "devicecode"] if call.method == "POST" => return device::begin(state, &Form(&call.form()), call.now),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => return described(state, tenant),
        ["device"] => return Answer::html(200, "<!DOCTYPE html><title>Sign in</title><p>Here a person would enter the code."),
        _ => return Answer::empty(404),
    };
    if call.method != "POST" {
        return error(400, "invalid_request", 900_561, "The endpoint only accepts POST requests.");
    }
    let form = call.form();
    sign_in(state, tenant, version, &Form(&form), call.now).unwrap_or_else(|refused| refused)
}

/// What everybody may know of a tenant.
fn described(state: &State, tenant: &str) -> Answer {
    let is_known =
        tenant == TENANT_ID || tenant.contains('.') || state.customers.iter().any(|it| it.tenant_id.eq_ignore_ascii_case(tenant));
    if !is_known {
        return error(400, "invalid_tenant", 90_002, "Tenant was not found.");
    }
    let issuer = format!("{}/login/{tenant}", state.site.url);
    let body = json!({
        "issuer": format!("{issuer}/v2.0"),
        "token_endpoint": format!("{issuer}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{issuer}/oauth2/v2.0/devicecode"),
    });
    Answer::json(200, &body)
}

/// An error in the documented shape.
pub(crate) fn error(status: u16, error: &str, code: u32, text: &str) -> Answer {
    let trace = fresh_id().to_string();
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {text} Trace ID: {trace}"),
        "error_codes": [code],
        "timestamp": Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        "trace_id": trace,
        "correlation_id": fresh_id().to_string(),
    });
    Answer::json(status, &body)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

struct Form<'a>(&'a [(String, String)]);

impl<'a> Form<'a> {
    fn get(&self, name: &str) -> &'a str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

/// Both `Result` sides are answers; the error side is a refusal.
fn sign_in(state: &mut State, tenant: &str, version: Version, form: &Form<'_>, now: Timestamp) -> Result<Answer, Answer> {
    if Uuid::parse_str(tenant).is_err() && !tenant.contains('.') {
        return Err(error(400, "invalid_request", 90_002, "Tenant not found."));
    }
    check_client(state, form, Some(tenant))?;
    check_access(state, tenant)?;
    let mut agreed = None;
    let actor = match form.get("grant_type") {
        "urn:ietf:params:oauth:grant-type:device_code" => {
            agreed = Some(device::redeem(state, form.get("device_code"), now)?);
            Actor::User
        }
        "authorization_code" => {
            authorize::redeem(state, form)?;
            Actor::User
        }
        "client_credentials" => Actor::App,
        "refresh_token" if state.tokens.accepts_refresh(form.get("refresh_token")) => Actor::User,
        "refresh_token" => {
            let text = "The refresh token has expired or was revoked.";
            return Err(error(400, "invalid_grant", 700_082, text));
        }
        _ => {
            let text = "The request did not name a supported grant type.";
            return Err(error(400, "unsupported_grant_type", 70_003, text));
        }
    };
    let wanted = match version {
        Version::One => form.get("resource"),
        Version::Two => agreed.as_deref().unwrap_or_else(|| form.get("scope")),
    };
    let Some((audience, name)) = audience(&state.site.url, wanted) else {
        let text = "The resource principal was not found in the tenant.";
        return Err(error(400, "invalid_resource", 500_011, text));
    };
    if audience == Audience::PartnerCenter && actor == Actor::User && state.has(Trouble::PartnerCenterMissing) {
        let text = "The user or administrator has not consented to use the application with this resource.";
        return Err(error(400, "invalid_grant", 65_001, text));
    }
    let lifetime = state.site.options.token_lifetime;
    let expires = now + SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
    let token = Token { audience, tenant: tenant.to_owned(), actor, expires };
    let text = claims::token(state, &claims::Subject { audience, name, tenant, actor, expires }, now);
    state.tokens.access.insert(text.clone(), token);
    let refresh = (actor == Actor::User).then(|| state.tokens.rotate(now));
    let body = token_body(version, &text, refresh, (lifetime.as_secs(), now, name));
    let answer = Answer::json(200, &body).header("Cache-Control", "no-store");
    Ok(answer.effect(Effect::new("token.issued", name)))
}

/// The object id of the application in a tenant: another in each.
pub(crate) fn application_object_id(tenant: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("application/{}", tenant.to_lowercase()).as_bytes()).to_string()
}

/// The object id of the person of the refresh token: the same wherever the person works.
pub(crate) fn person_object_id() -> String {
    Uuid::new_v5(&NAMESPACE, b"person").to_string()
}

/// Whether the application proves who it is, with its secret or with a certificate. Without a tenant, the audience of that proof is not looked at.
fn check_client(state: &State, form: &Form<'_>, tenant: Option<&str>) -> Result<(), Answer> {
    if form.get("client_id") != CLIENT_ID {
        let text = "The application was not found in the directory.";
        return Err(error(400, "unauthorized_client", 700_016, text));
    }
    if form.get("client_assertion_type").ends_with(":jwt-bearer") {
        return assertion::check(state, form.get("client_assertion"), tenant);
    }
    if state.has(Trouble::SecretExpired) {
        let text = "The provided client secret keys for app are expired.";
        return Err(error(401, "invalid_client", 7_000_222, text));
    }
    if form.get("client_secret") == CLIENT_SECRET {
        return Ok(());
    }
    let text = "Invalid client secret provided.";
    Err(error(401, "invalid_client", 7_000_215, text))
}

/// Whether the tenant lets the application or its person in.
fn check_access(state: &State, tenant: &str) -> Result<(), Answer> {
    let is_customer = state.customers.iter().any(|it| it.tenant_id.eq_ignore_ascii_case(tenant));
    let consent = |text: &str| Err(error(400, "invalid_grant", 65_001, text));
    if is_customer && state.has(Trouble::GdapMissing) {
        return consent("The user or administrator has not consented to use the application in this tenant.");
    }
    if !is_customer && state.has(Trouble::ConsentMissing) {
        return consent("The user or administrator has not consented to use the application.");
    }
    if state.has(Trouble::MfaWanted) {
        let text = "Due to a configuration change made by your administrator, you must use multi-factor authentication.";
        return Err(error(400, "invalid_grant", 50_076, text));
    }
    if state.has(Trouble::PolicyBlocks) {
        let text = "Access has been blocked by Conditional Access policies.";
        return Err(error(400, "interaction_required", 53_003, text));
    }
    let is_known = is_customer || tenant.contains('.') || tenant == TENANT_ID;
    if is_known { Ok(()) } else { Err(error(400, "invalid_request", 90_002, "Tenant was not found.")) }
}

fn token_body(version: Version, token: &str, refresh: Option<String>, (lifetime, now, audience): (u64, Timestamp, &str)) -> Value {
    let mut body = match version {
        Version::Two => json!({ "expires_in": lifetime, "ext_expires_in": lifetime }),
        // The old endpoint writes numbers as texts.
        Version::One => json!({
            "expires_in": lifetime.to_string(),
            "ext_expires_in": lifetime.to_string(),
            "expires_on": (now.as_second().unsigned_abs() + lifetime).to_string(),
            "not_before": now.as_second().to_string(),
            "resource": audience,
        }),
    };
    if let Some(fields) = body.as_object_mut() {
        fields.insert("token_type".to_owned(), "Bearer".into());
        fields.insert("access_token".to_owned(), token.into());
        if let Some(refresh) = refresh {
            fields.insert("scope".to_owned(), format!("{audience}/user_impersonation").into());
            fields.insert("refresh_token".to_owned(), refresh.into());
        }
    }
    body
}

/// Finds the service that a scope or resource names, under Microsoft's name or the simulator's own.
fn audience(site: &str, wanted: &str) -> Option<(Audience, &'static str)> {
    let extras = ["offline_access", "openid", "profile", "email"];
    let scope = wanted.split(' ').find(|it| !it.is_empty() && !extras.contains(it))?;
    let endings = ["/.default", "/user_impersonation"];
    let bare = endings.iter().find_map(|ending| scope.strip_suffix(ending)).unwrap_or(scope);
    let bare = bare.trim_end_matches('/');
    if let Some(own) = bare.strip_prefix(site) {
        return match own {
            "/graph" => Some((Audience::Graph, "https://graph.microsoft.com")),
            "/partner-center" => Some((Audience::PartnerCenter, "https://api.partnercenter.microsoft.com")),
            "/azure" | "/management" => Some((Audience::Management, "https://management.azure.com")),
            _ => None,
        };
    }
    let known = [
        (Audience::Graph, "https://graph.microsoft.com"),
        (Audience::PartnerCenter, "https://api.partnercenter.microsoft.com"),
        (Audience::Management, "https://management.azure.com"),
        (Audience::OldGraph, "https://graph.windows.net"),
    ];
    known.into_iter().find(|(_, name)| *name == bare)
}
