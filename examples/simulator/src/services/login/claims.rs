//! What a token says of itself: its claims, in the form of a JWT whose signature nobody but Microsoft could check.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Actor, Audience, application_object_id, person_object_id};
use crate::{
    options::{CLIENT_ID, TENANT_ID, USER},
    services::sinks::fresh_id,
    state::State,
    trouble::Trouble,
};

/// Whose token it is, and for how long.
pub(super) struct Subject<'a> {
    pub(super) audience: Audience,
    /// The service's name.
    pub(super) name: &'a str,
    pub(super) tenant: &'a str,
    pub(super) actor: Actor,
    pub(super) expires: Timestamp,
}

/// The text of a new token.
pub(super) fn token(state: &State, subject: &Subject<'_>, now: Timestamp) -> String {
    let mut claims = Map::from_iter([
        ("aud".to_owned(), json!(subject.name)),
        ("iss".to_owned(), json!(format!("https://sts.windows.net/{}/", subject.tenant))),
        ("tid".to_owned(), json!(tenant_id(subject.tenant))),
        ("appid".to_owned(), json!(CLIENT_ID)),
        ("iat".to_owned(), json!(now.as_second())),
        ("nbf".to_owned(), json!(now.as_second())),
        ("exp".to_owned(), json!(subject.expires.as_second())),
        ("uti".to_owned(), json!(fresh_id().simple().to_string())),
    ]);
    let granted = permissions(state, subject);
    if subject.actor == Actor::App {
        claims.insert("roles".to_owned(), json!(granted));
        claims.insert("oid".to_owned(), json!(application_object_id(tenant_id(subject.tenant))));
    } else {
        let factors = if state.has(Trouble::MfaMissing) { json!(["pwd"]) } else { json!(["pwd", "mfa"]) };
        claims.insert("scp".to_owned(), json!(granted.join(" ")));
        claims.insert("amr".to_owned(), factors);
        claims.insert("upn".to_owned(), json!(USER));
        claims.insert("oid".to_owned(), json!(person_object_id()));
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({ "typ": "JWT", "alg": "RS256", "kid": "simulated" }));
    format!("{head}.{}.{}", part(&Value::Object(claims)), URL_SAFE_NO_PAD.encode(fresh_id().as_bytes()))
}

/// A domain stands for the partner's tenant.
fn tenant_id(tenant: &str) -> &str {
    if tenant.contains('.') { TENANT_ID } else { tenant }
}

/// What administrators consented to.
fn permissions(state: &State, subject: &Subject<'_>) -> Vec<&'static str> {
    let is_own = tenant_id(subject.tenant) == TENANT_ID;
    match (subject.audience, is_own) {
        (Audience::Graph, true) if state.has(Trouble::AlertsUnreadable) => vec!["User.Read.All"],
        (Audience::Graph, true) if state.has(Trouble::AlertsUnchangeable) => vec!["PartnerSecurity.Read.All"],
        (Audience::Graph, true) => vec!["PartnerSecurity.ReadWrite.All"],
        (Audience::Graph, false) if state.has(Trouble::UsersUnreadable) => vec!["Domain.Read.All"],
        (Audience::Graph, false) => vec!["User.ReadWrite.All", "User.RevokeSessions.All", "IdentityRiskyUser.ReadWrite.All"],
        // An application's token for these names no permission: what it may do follows from roles.
        (Audience::PartnerCenter | Audience::Management | Audience::OldGraph, _) if subject.actor == Actor::App => Vec::new(),
        (Audience::PartnerCenter | Audience::Management | Audience::OldGraph, _) => vec!["user_impersonation"],
    }
}
