//! How an application proves who it is: with a secret, or by signing a statement with the key of a certificate that is registered for it.

use std::{fmt, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::MicrosoftConfig;
use crate::{net::Url, secret::Secret};

/// Where the application's certificate and its key are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate as PEM, as it is registered for the application.
    pub file: PathBuf,
    /// Its RSA key as PEM, which nobody else may read.
    pub key: PathBuf,
}

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CertificateDates {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What proves who the application is.
pub(super) enum Credential {
    Secret(Secret),
    Certificate(Box<Certificate>),
}

/// A certificate with its key.
pub(super) struct Certificate {
    key: RsaKeyPair,
    /// The key as it stands in its file, from which a seal may be made.
    key_bytes: Vec<u8>,
    thumbprint: String,
    dates: CertificateDates,
}

/// Longer than a request takes, and much shorter than the statement would be worth stealing for.
const LIFETIME_SECONDS: i64 = 300;

impl Credential {
    /// Reads what the settings name.
    pub(super) fn build(config: &MicrosoftConfig) -> Result<Self, String> {
        match (&config.client_secret, &config.certificate) {
            (Some(secret), None) => Ok(Self::Secret(secret.clone())),
            (None, Some(files)) => Certificate::read(files).map(|it| Self::Certificate(Box::new(it))),
            (None, None) => Err("it has neither a `client_secret` nor a `certificate`; Microsoft wants one of them".to_owned()),
            (Some(_), Some(_)) => Err("it has a `client_secret` and a `certificate`; take one of them out".to_owned()),
        }
    }

    /// The fields of a form that prove who asks, at that address.
    pub(super) fn proof(&self, client_id: &str, endpoint: &Url, now: Timestamp) -> Result<Vec<(&'static str, String)>, String> {
        Ok(match self {
            Self::Secret(secret) => vec![("client_secret", secret.expose().to_owned())],
            Self::Certificate(certificate) => vec![
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
                ("client_assertion", certificate.assertion(client_id, endpoint, now)?),
            ],
        })
    }

    /// What a seal can be made from.
    pub(super) fn material(&self) -> &[u8] {
        match self {
            Self::Secret(secret) => secret.expose().as_bytes(),
            Self::Certificate(certificate) => &certificate.key_bytes,
        }
    }

    /// The dates of the certificate, if it is one.
    pub(super) fn dates(&self) -> Option<CertificateDates> {
        match self {
            Self::Secret(_) => None,
            Self::Certificate(certificate) => Some(certificate.dates),
        }
    }
}

impl Certificate {
    fn read(files: &CertificateFiles) -> Result<Self, String> {
        let unreadable =
            |what: &str, path: &PathBuf, why: &dyn fmt::Display| format!("`certificate.{what}`: read `{}`: {why}", path.display());
        let certificate = CertificateDer::from_pem_file(&files.file).map_err(|error| unreadable("file", &files.file, &error))?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unreadable("key", &files.key, &error))?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(unreadable("key", &files.key, &"it is no RSA key, and Microsoft takes no other")),
        };
        let pair = pair.map_err(|error| unreadable("key", &files.key, &format!("it is no RSA key of 2048 bits or more: {error}")))?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|error| unreadable("file", &files.file, &error.to_string()))?;
        if parsed.public_key().subject_public_key.data.as_ref() != pair.public_key().as_ref() {
            return Err(format!("`certificate.key`: `{}` is not the key of `{}`", files.key.display(), files.file.display()));
        }
        let time = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        Ok(Self {
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate)),
            dates: CertificateDates {
                from: time(parsed.validity().not_before.timestamp()),
                until: time(parsed.validity().not_after.timestamp()),
            },
            key: pair,
            key_bytes: key.secret_der().to_vec(),
        })
    }

    /// A statement for that address alone, good for some minutes, signed with the key.
    fn assertion(&self, client_id: &str, endpoint: &Url, now: Timestamp) -> Result<String, String> {
        let second = now.as_second();
        let head = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": endpoint.as_str(),
            "iss": client_id,
            "sub": client_id,
            "jti": Uuid::now_v7().to_string(),
            "nbf": second,
            "iat": second,
            "exp": second + LIFETIME_SECONDS,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&head), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let signed = self.key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
        signed.ok().ok_or("sign with the key of the certificate: it cannot be used")?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Arc};

    use quell_simulator::Options;

    use super::*;
    use crate::connections::{Audience, bench};

    /// `ring` makes no RSA keys; the simulator has one.
    const KEY: &str = include_str!("../../../examples/simulator/keys/signing.pk8.pem");

    fn files(folder: &Path, key: &str) -> (String, CertificateFiles) {
        let pair = rcgen::KeyPair::from_pem(KEY).unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap().pem();
        let files = CertificateFiles { file: folder.join("app.pem"), key: folder.join("app.key") };
        fs::write(&files.file, &certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        (certificate, files)
    }

    #[tokio::test]
    async fn a_certificate_signs_in_where_it_is_registered_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, files) = files(folder.path(), KEY);
        for (registered, refused) in [(certificate, false), (rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert.pem(), true)] {
            let simulator = bench::simulator(Options { client_certificate: Some(registered), ..Options::default() }).await;
            let token = Some(Secret::new(simulator.refresh_token()));
            let config = MicrosoftConfig {
                client_secret: None,
                certificate: Some(files.clone()),
                refresh_token: token,
                ..bench::config(&simulator)
            };
            let microsoft = bench::connect(&config, Arc::default());
            for audience in [Audience::Graph, Audience::PartnerCenter] {
                let signed_in = microsoft.signed_in(audience).await;
                assert_eq!(signed_in.is_err(), refused, "{signed_in:?}");
            }
        }
    }

    #[test]
    fn files_that_do_not_fit_are_refused_with_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (key, expected) in [("", "app.key"), (elliptic.as_str(), "RSA")] {
            let (_, files) = files(folder.path(), key);
            let error = Certificate::read(&files).err().unwrap();
            assert!(error.contains("`certificate.key`") && error.contains(expected), "{error}");
        }
        let (_, files) = files(folder.path(), KEY);
        fs::write(&files.file, rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert.pem()).unwrap();
        assert!(Certificate::read(&files).err().unwrap().contains("is not the key of"));
        fs::remove_file(&files.file).unwrap();
        assert!(Certificate::read(&files).err().unwrap().contains("`certificate.file`"));
    }
}
