//! How the sender of a generic webhook shows who it is. Every comparison with a secret takes the same time for every guess.

use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::{SignedDuration, Timestamp};
use ring::{hmac, rand::SystemRandom};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapters::hook::{Delivered, Refusal},
    duration::Span,
    secret::Secret,
};

/// How a sender is recognised. Nobody is trusted by omission: `none` must be written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Auth {
    /// Everybody who knows the path.
    None,
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// `Authorization: Basic …`.
    Basic(Basic),
    /// A header with the HMAC-SHA-256 of the body.
    HmacSha256(HmacSha256),
    /// The Standard Webhooks scheme, version 1.
    StandardWebhooks(StandardWebhooks),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Basic {
    /// The sender's name.
    user: String,
    /// What only the sender knows.
    password: Secret,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HmacSha256 {
    /// The header that carries the signature.
    header: String,
    /// What the sender signs with.
    secret: Secret,
    /// What stands before the signature, e.g. `sha256=`.
    #[serde(default)]
    prefix: String,
    /// How the signature is written.
    #[serde(default)]
    encoding: Encoding,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encoding {
    /// What most senders use.
    #[default]
    Hex,
    /// Shorter.
    Base64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StandardWebhooks {
    /// `whsec_` and base64.
    secret: Secret,
    /// How far the sender's clock may be off; the scheme recommends five minutes.
    #[serde(default = "five_minutes")]
    tolerance: Span,
}

/// Recognises a sender; made from [`Auth`] with its secrets ready for use.
pub(super) enum Guard {
    Open,
    /// The whole `Authorization` header after its scheme.
    Credential {
        scheme: &'static str,
        challenge: &'static str,
        expected: Expected,
    },
    Signature {
        header: String,
        prefix: String,
        encoding: Encoding,
        key: hmac::Key,
    },
    Standard {
        key: hmac::Key,
        tolerance: SignedDuration,
    },
}

/// A secret text, kept as a keyed digest so that comparing it does not tell how much of a guess is right, or how long it should be.
pub(super) struct Expected {
    key: hmac::Key,
    tag: hmac::Tag,
}

const SIGNATURE_CHALLENGE: &str = "Signature realm=\"quell\"";

impl Auth {
    /// # Errors
    /// Names the setting that cannot be used.
    pub(super) fn guard(&self) -> anyhow::Result<Guard> {
        Ok(match self {
            Self::None => Guard::Open,
            Self::Bearer(secret) => {
                anyhow::ensure!(!secret.expose().is_empty(), "`auth.bearer` is empty");
                Guard::Credential { scheme: "bearer", challenge: "Bearer realm=\"quell\"", expected: Expected::new(secret.expose())? }
            }
            Self::Basic(Basic { user, password }) => {
                anyhow::ensure!(!password.expose().is_empty(), "`auth.basic.password` is empty");
                let credential = BASE64.encode(format!("{user}:{}", password.expose()));
                Guard::Credential { scheme: "basic", challenge: "Basic realm=\"quell\"", expected: Expected::new(&credential)? }
            }
            Self::HmacSha256(HmacSha256 { header, secret, prefix, encoding }) => {
                anyhow::ensure!(!secret.expose().is_empty(), "`auth.hmac_sha256.secret` is empty");
                let named = axum::http::HeaderName::try_from(header.as_str());
                anyhow::ensure!(named.is_ok(), "`auth.hmac_sha256.header` is `{header}`, which is not the name of a header");
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
                Guard::Signature { header: header.clone(), prefix: prefix.clone(), encoding: *encoding, key }
            }
            Self::StandardWebhooks(StandardWebhooks { secret, tolerance }) => {
                let key = secret.expose().strip_prefix("whsec_").and_then(|it| BASE64.decode(it).ok()).filter(|it| !it.is_empty());
                let key = key.ok_or_else(|| anyhow::anyhow!("`auth.standard_webhooks.secret` is not `whsec_` and base64"))?;
                Guard::Standard { key: hmac::Key::new(hmac::HMAC_SHA256, &key), tolerance: tolerance.signed() }
            }
        })
    }
}

impl Guard {
    /// Recognises the sender, or refuses. Returns the sender's identifier of the message, where the scheme has one.
    pub(super) fn check(&self, delivered: &Delivered) -> Result<Option<String>, Refusal> {
        match self {
            Self::Open => Ok(None),
            Self::Credential { scheme, challenge, expected } => {
                let refused = |detail: &str| Refusal::unauthorized(challenge, detail);
                let presented = text(&delivered.headers, "authorization").ok_or_else(|| refused("no `Authorization`"))?;
                let (presented_scheme, presented) = presented.split_once(' ').ok_or_else(|| refused("no scheme in `Authorization`"))?;
                if !presented_scheme.eq_ignore_ascii_case(scheme) {
                    return Err(refused("another scheme in `Authorization`"));
                }
                if expected.is(presented.trim()) { Ok(None) } else { Err(refused("a wrong credential in `Authorization`")) }
            }
            Self::Signature { header, prefix, encoding, key } => {
                let refused = |detail: String| Refusal::unauthorized(SIGNATURE_CHALLENGE, detail);
                let presented = text(&delivered.headers, header).ok_or_else(|| refused(format!("no `{header}`")))?;
                let signature = presented.strip_prefix(prefix.as_str()).and_then(|it| encoding.decode(it));
                let signature = signature.ok_or_else(|| refused(format!("no signature can be read from `{header}`")))?;
                match hmac::verify(key, &delivered.body, &signature) {
                    Ok(()) => Ok(None),
                    Err(ring::error::Unspecified) => {
                        Err(refused(format!("the signature in `{header}` is not over this body with this secret")))
                    }
                }
            }
            Self::Standard { key, tolerance } => standard(key, *tolerance, delivered).map(Some),
        }
    }
}

/// The signed text is `{id}.{timestamp}.{body}`, so neither of the first two may hold a full stop.
fn standard(key: &hmac::Key, tolerance: SignedDuration, delivered: &Delivered) -> Result<String, Refusal> {
    let refused = |detail: &str| Refusal::unauthorized(SIGNATURE_CHALLENGE, detail);
    let header = |name: &str| text(&delivered.headers, name).ok_or_else(|| refused(&format!("no `{name}`")));
    let (id, timestamp, signatures) = (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    for (name, value) in [("webhook-id", id), ("webhook-timestamp", timestamp)] {
        if value.is_empty() || value.len() > 256 || value.contains('.') {
            return Err(Refusal::bad_request("bad_header", format!("`{name}` is empty, longer than 256 characters or holds a full stop")));
        }
    }
    let sent = timestamp.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let sent = sent.ok_or_else(|| refused("`webhook-timestamp` is not a time"))?;
    if delivered.now.duration_since(sent).abs() > tolerance {
        return Err(refused("`webhook-timestamp` is too far from now; is one of the clocks wrong?"));
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &delivered.body].concat();
    let mut presented = signatures.split(' ').filter_map(|it| BASE64.decode(it.strip_prefix("v1,")?).ok());
    if presented.any(|signature| hmac::verify(key, &signed, &signature).is_ok()) {
        Ok(id.to_owned())
    } else {
        Err(refused("no signature in `webhook-signature` is over this message with this secret"))
    }
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Hex => {
                let digits: Option<Vec<u8>> = text.chars().map(|it| u8::try_from(it.to_digit(16)?).ok()).collect();
                let pairs = digits.filter(|digits| digits.len() % 2 == 0)?;
                pairs.chunks_exact(2).map(|pair| Some(pair.first()? << 4 | pair.last()?)).collect()
            }
        }
    }
}

impl Expected {
    fn new(secret: &str) -> anyhow::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|ring::error::Unspecified| anyhow::anyhow!("the system has no random numbers"))?;
        let tag = hmac::sign(&key, secret.as_bytes());
        Ok(Self { key, tag })
    }

    fn is(&self, presented: &str) -> bool {
        hmac::verify(&self.key, presented.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn five_minutes() -> Span {
    Span(std::time::Duration::from_mins(5))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BODY: &str = r#"{"id":"a-1"}"#;

    fn check(auth: serde_json::Value, headers: &[(&'static str, String)], body: &str) -> Result<Option<String>, u16> {
        let guard = serde_json::from_value::<Auth>(auth).unwrap().guard().unwrap();
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let now = Timestamp::from_second(1_000_000).unwrap();
        guard.check(&Delivered { headers, body: body.to_owned().into(), now }).map_err(|refusal| refusal.status.as_u16())
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    #[test]
    fn a_bearer_token_is_the_whole_token() {
        let with = |value: &str| check(json!({"bearer": "s3cret"}), &[("authorization", value.to_owned())], BODY);
        assert_eq!([with("Bearer s3cret"), with("bearer s3cret")], [Ok(None), Ok(None)]);
        for wrong in ["Bearer s3cre", "Bearer s3cret2", "Bearer", "Bearer ", "Basic s3cret", "s3cret"] {
            assert_eq!(with(wrong), Err(401), "{wrong}");
        }
        assert_eq!(check(json!({"bearer": "s3cret"}), &[], BODY), Err(401));
    }

    #[test]
    fn basic_is_user_and_password() {
        let with = |text: &str| {
            check(json!({"basic": {"user": "u", "password": "p:w"}}), &[("authorization", format!("Basic {}", BASE64.encode(text)))], BODY)
        };
        assert_eq!(with("u:p:w"), Ok(None));
        assert_eq!([with("u:"), with("U:p:w"), with("")], [Err(401), Err(401), Err(401)]);
    }

    #[test]
    fn a_signature_is_over_the_raw_bytes() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"k");
        let tag = hmac::sign(&key, BODY.as_bytes());
        let auth = json!({"hmac_sha256": {"header": "X-Hub-Signature-256", "secret": "k", "prefix": "sha256="}});
        let with = |value: String, body: &str| check(auth.clone(), &[("x-hub-signature-256", value)], body);
        assert_eq!(with(format!("sha256={}", hex(tag.as_ref())), BODY), Ok(None));
        assert_eq!(with(format!("sha256={}", hex(tag.as_ref()).to_uppercase()), BODY), Ok(None));
        assert_eq!(with(format!("sha256={}", hex(tag.as_ref())), r#"{"id": "a-1"}"#), Err(401));
        for wrong in [
            hex(tag.as_ref()),
            "sha256=".to_owned(),
            "sha256=0".to_owned(),
            format!("sha256={}", hex(&tag.as_ref()[..31])),
            "sha256=+f".to_owned(),
        ] {
            assert_eq!(with(wrong.clone(), BODY), Err(401), "{wrong}");
        }
        let auth = json!({"hmac_sha256": {"header": "x-sig", "secret": "k", "encoding": "base64"}});
        assert_eq!(check(auth, &[("x-sig", BASE64.encode(tag.as_ref()))], BODY), Ok(None));
    }

    #[test]
    fn standard_webhooks_holds_to_its_rules() {
        let auth = json!({"standard_webhooks": {"secret": format!("whsec_{}", BASE64.encode(b"key"))}});
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        let signed = |id: &str, at: &str| format!("v1,{}", BASE64.encode(hmac::sign(&key, format!("{id}.{at}.{BODY}").as_bytes())));
        let with = |id: &str, at: &str, signature: String| {
            let headers = [("webhook-id", id.to_owned()), ("webhook-timestamp", at.to_owned()), ("webhook-signature", signature)];
            check(auth.clone(), &headers, BODY)
        };
        assert_eq!(with("m1", "1000000", signed("m1", "1000000")), Ok(Some("m1".to_owned())));
        assert_eq!(with("m1", "1000000", format!("v1a,x v1,AAAA {}", signed("m1", "1000000"))), Ok(Some("m1".to_owned())));
        assert_eq!(with("m1", "1000300", signed("m1", "1000300")), Ok(Some("m1".to_owned())));
        assert_eq!(with("m1", "1000301", signed("m1", "1000301")), Err(401));
        assert_eq!(with("m1", "999699", signed("m1", "999699")), Err(401));
        assert_eq!(with("m2", "1000000", signed("m1", "1000000")), Err(401));
        assert_eq!(with("m.1", "1000000", signed("m.1", "1000000")), Err(400));
        assert_eq!(with(&"m".repeat(257), "1000000", String::from("v1,")), Err(400));
        assert_eq!(with("m1", "soon", signed("m1", "soon")), Err(401));
    }

    #[test]
    fn unusable_secrets_are_refused_at_the_start() {
        for auth in [
            json!({"bearer": ""}),
            json!({"standard_webhooks": {"secret": "abc"}}),
            json!({"hmac_sha256": {"header": "a b", "secret": "k"}}),
        ] {
            assert!(serde_json::from_value::<Auth>(auth).unwrap().guard().is_err());
        }
    }
}
