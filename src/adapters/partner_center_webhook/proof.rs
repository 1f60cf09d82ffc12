//! How a callback shows who sent it: its headers, read and not yet believed.

use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::adapters::hook::Refusal;

/// How a callback shows who sent it.
pub(super) struct Proof<'a> {
    pub(super) certificate_url: &'a str,
    pub(super) signature: Vec<u8>,
}

/// What a 401 asks for.
pub(super) const CHALLENGE: &str = "Signature realm=\"quell\"";

impl<'a> Proof<'a> {
    /// Reads what must be there, and refuses what does not agree with itself.
    pub(super) fn read(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        for name in ["authorization", "x-ms-signature", "x-ms-certificate-url", "x-ms-signature-algorithm"] {
            // Whoever reads the first of two may be before whoever reads the last.
            if headers.get_all(name).iter().nth(1).is_some() {
                return Err(Refusal::bad_request("ambiguous_header", format!("`{name}` is there more than once")));
            }
        }
        let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
        let refused = |detail: &str| Refusal::unauthorized(CHALLENGE, detail);
        let in_authorization = text("authorization").and_then(after_scheme);
        let in_own_header = text("x-ms-signature").map(|value| after_scheme(value).unwrap_or(value));
        let signature = match (in_authorization, in_own_header) {
            (Some(one), Some(other)) if one != other => return Err(refused("two different signatures")),
            (_, Some(signature)) | (Some(signature), None) => signature,
            (None, None) => return Err(refused("no signature")),
        };
        let required =
            |name: &'static str| text(name).ok_or_else(|| Refusal::bad_request("missing_header", format!("`{name}` is missing")));
        let certificate_url = required("x-ms-certificate-url")?;
        if !required("x-ms-signature-algorithm")?.eq_ignore_ascii_case("rsa-sha256") {
            return Err(refused("the algorithm is not `rsa-sha256`"));
        }
        let signature = BASE64.decode(signature.trim()).ok().filter(|it| !it.is_empty());
        Ok(Self { certificate_url, signature: signature.ok_or_else(|| refused("the signature is not base64"))? })
    }
}

fn after_scheme(value: &str) -> Option<&str> {
    let (scheme, signature) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("signature").then_some(signature.trim())
}
