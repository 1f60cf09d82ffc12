//! The proof that an application holds the key of its certificate, sent in place of a secret: a JWT that it signed itself.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    digest::{SHA256, digest},
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm},
};
use serde_json::Value;

use super::error;
use crate::{answer::Answer, options::CLIENT_ID, state::State, trouble::Trouble};

/// Whether the application proved who it is.
pub(super) fn check(state: &State, assertion: &str, tenant: Option<&str>) -> Result<(), Answer> {
    let parts: Vec<_> = assertion.split('.').filter(|part| !part.is_empty()).collect();
    let [head, claims, signature] = parts.as_slice() else {
        return Err(error(401, "invalid_client", 50_027, "The client assertion is not a JWT."));
    };
    if state.has(Trouble::CertificateUnknown) {
        let text = "Client assertion contains an invalid signature. The key was not found by its thumbprint.";
        return Err(error(401, "invalid_client", 700_027, text));
    }
    let Some(pem) = &state.site.options.client_certificate else { return Ok(()) };
    let endpoint = tenant.map(|tenant| format!("{}/login/{tenant}/oauth2/v2.0/token", state.site.url));
    let proven = prove(pem, (head, claims, signature), endpoint.as_deref());
    proven.ok_or_else(|| error(401, "invalid_client", 700_027, "Client assertion contains an invalid signature or claims."))
}

fn prove(pem: &str, (head, claims, signature): (&str, &str, &str), endpoint: Option<&str>) -> Option<()> {
    let certificate: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let certificate = STANDARD.decode(certificate).ok()?;
    let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let (header, body) = (read(head)?, read(claims)?);
    let algorithm: &dyn VerificationAlgorithm = match header.get("alg")?.as_str()? {
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        _ => return None,
    };
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate));
    let is_ours = header.get("x5t#S256")?.as_str()? == thumbprint;
    let is_from = |name: &str| body.get(name).and_then(Value::as_str) == Some(CLIENT_ID);
    let is_here = endpoint.is_none_or(|endpoint| body.get("aud").and_then(Value::as_str) == Some(endpoint));
    let lives = body.get("exp")?.as_i64()? > jiff::Timestamp::now().as_second() && body.get("jti").is_some();
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
    let key = UnparsedPublicKey::new(algorithm, parsed.public_key().subject_public_key.data.as_ref());
    key.verify(format!("{head}.{claims}").as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    (is_ours && is_from("iss") && is_from("sub") && is_here && lives).then_some(())
}
