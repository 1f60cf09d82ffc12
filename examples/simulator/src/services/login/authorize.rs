//! The sign-in in a browser: the person says yes at once, and the browser is sent back with a code (PKCE, RFC 7636).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};

use super::{Form, error};
use crate::{answer::Answer, call::Call, options::CLIENT_ID, services::sinks::fresh_id, state::State};

/// Codes that were given and not redeemed: the challenge and the address of each.
#[derive(Debug, Default)]
pub(crate) struct Codes(BTreeMap<String, (String, String)>);

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    let parameter = |name: &str| call.parameter(name).unwrap_or_default().to_owned();
    let redirect = parameter("redirect_uri");
    if parameter("client_id") != CLIENT_ID || !redirect.starts_with("http://localhost") {
        return error(400, "invalid_request", 50_011, "The redirect URI does not match those of the application.");
    }
    if parameter("code_challenge_method") != "S256" || parameter("response_type") != "code" {
        return error(400, "invalid_request", 900_144, "The request lacks a parameter.");
    }
    let code = fresh_id().simple().to_string();
    let location = format!("{redirect}/?code={code}&state={}", parameter("state"));
    state.codes.0.insert(code, (parameter("code_challenge"), redirect));
    Answer::empty(302).header("Location", &location)
}

/// Whether who redeems a code is who asked for it; then it is used up.
pub(super) fn redeem(state: &mut State, form: &Form<'_>) -> Result<(), Answer> {
    let Some((challenge, redirect)) = state.codes.0.get(form.get("code")) else {
        return Err(error(400, "invalid_grant", 70_008, "The code has expired or was used before."));
    };
    let proof = URL_SAFE_NO_PAD.encode(digest(&SHA256, form.get("code_verifier").as_bytes()));
    if *challenge != proof || redirect != form.get("redirect_uri") {
        return Err(error(400, "invalid_grant", 501_481, "The code_verifier does not match the code_challenge."));
    }
    state.codes.0.remove(form.get("code"));
    Ok(())
}
