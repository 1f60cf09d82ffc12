//! Whether a callback of Partner Center was signed by whom it should be: a pure function of bytes, certificates, rules and the time.

use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject};
use webpki::{EndEntityCert, KeyUsage, ring::RSA_PKCS1_2048_8192_SHA256};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, x509::X509Name};

/// Who may sign.
pub(super) struct Signers {
    /// Where every chain must end.
    pub(super) roots: Vec<TrustAnchor<'static>>,
    /// What may stand between a signer and a root, beside what comes with the signer.
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// Whose name the signer and its issuer must carry.
    pub(super) organization: String,
}

impl Signers {
    /// Checks that `signature` is over exactly this body, by a signer of ours, now. The file is DER or PEM; its first certificate
    /// is the signer's.
    ///
    /// # Errors
    /// Says what is wrong, for the log alone.
    pub(super) fn check(&self, file: &[u8], signature: &[u8], body: &[u8], now: Timestamp) -> Result<(), String> {
        let certificates = read(file)?;
        let (signer, sent_along) = certificates.split_first().ok_or("the certificate file is empty")?;
        self.check_organization(signer)?;
        let end_entity = EndEntityCert::try_from(signer).map_err(|error| format!("the certificate cannot be read: {error:?}"))?;
        let intermediates: Vec<_> = sent_along.iter().chain(&self.intermediates).cloned().collect();
        let seconds = u64::try_from(now.as_second()).map_err(|error| format!("the clock is before 1970: {error}"))?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        // The documented names are of hosts, so a certificate for something else, such as code, is not one of these.
        let usage = KeyUsage::server_auth();
        let chain = end_entity.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &self.roots, &intermediates, at, usage, None, None);
        chain.map_err(|error| format!("the certificate's chain is not good: {error:?}{}", advice(&error)))?;
        let is_over_body = end_entity.verify_signature(RSA_PKCS1_2048_8192_SHA256, body, signature);
        is_over_body.map_err(|error| format!("the signature is not over this body with this certificate: {error:?}"))
    }

    /// Anybody can have a certificate under a public root; only one organization's counts.
    fn check_organization(&self, signer: &CertificateDer<'_>) -> Result<(), String> {
        let (_, parsed) = X509Certificate::from_der(signer).map_err(|error| format!("the certificate cannot be read: {error}"))?;
        for (whose, name) in [("subject", parsed.subject()), ("issuer", parsed.issuer())] {
            if !self.is_ours(name) {
                return Err(format!("the certificate's {whose} is `{name}`, not of `{}`", self.organization));
            }
        }
        Ok(())
    }

    fn is_ours(&self, name: &X509Name<'_>) -> bool {
        let mut organizations = name.iter_organization();
        let is_ours = organizations.next().and_then(|it| it.as_str().ok()).is_some_and(|it| it == self.organization);
        is_ours && organizations.next().is_none()
    }
}

/// The signer's file holds no other certificate than its own.
fn advice(error: &webpki::Error) -> &'static str {
    match error {
        webpki::Error::UnknownIssuer => {
            "; put the certificate that issued it under `certificate_intermediates`, if a root of yours issued that"
        }
        // There are dozens of reasons, which speak for themselves.
        _ => "",
    }
}

/// The certificates of a file.
fn read(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    if file.starts_with(b"\x30") {
        return Ok(vec![CertificateDer::from(file.to_vec())]);
    }
    CertificateDer::pem_slice_iter(file)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate file is neither DER nor PEM: {error}"))
}
