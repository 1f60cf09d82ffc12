//! Who asks: a person of the settings, by the token that a request shows.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    adapters::Refusal,
    people::{People, User},
    secret::Secret,
    store::StoreError,
};

/// The scheme in RFC 6750.
const CHALLENGE: &str = "Bearer realm=\"quell\"";

/// The person whose token a request shows.
///
/// # Errors
/// Nobody has that token.
pub(super) fn person<'p>(people: &'p People, headers: &HeaderMap) -> Result<(&'p str, &'p User), Refusal> {
    let found = bearer(headers).and_then(|token| people.by_token(token));
    found.ok_or_else(|| unauthorized("send `Authorization: Bearer …` with the token of one of `users`"))
}

/// The person whose token a request shows, whose role allows to decide what is done.
///
/// # Errors
/// Nobody has that token, or the role is another; `does` says what it is needed for.
pub(super) fn operator<'p>(people: &'p People, headers: &HeaderMap, does: &str) -> Result<&'p str, Refusal> {
    let (name, User { role, .. }) = person(people, headers)?;
    if role.may_operate() {
        return Ok(name);
    }
    let why = format!("your role is `{role}`, and only an `operator` or `admin` {does}");
    Err(Refusal::new(StatusCode::FORBIDDEN, "role", why, "ask somebody whose role allows it"))
}

/// What was asked for does not fit how things stand.
pub(super) fn conflict(code: &'static str, why: String, help: &'static str) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, code, why, help)
}

/// Whether a request shows a token that belongs to nobody in particular.
pub(super) fn is_bearer(headers: &HeaderMap, token: &Secret) -> bool {
    bearer(headers).is_some_and(|guess| token.is(guess))
}

pub(super) fn unauthorized(help: &'static str) -> Refusal {
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", "the request is not authenticated", help);
    refusal.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE))
}

/// What changes something is not done by a look.
pub(super) async fn only_post() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this changes something", "use `POST`")
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
pub(super) fn unavailable(error: StoreError) -> Refusal {
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the store cannot be used now", "ask again later");
    Refusal { detail: Some(error.to_string()), ..refusal }
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
