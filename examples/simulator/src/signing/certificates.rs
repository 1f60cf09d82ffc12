//! The keys and certificates that stand in for Microsoft's. They are for tests: the private keys are public.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};

/// `rsa-sha256` needs an RSA key, which `ring` cannot generate: a fixed one.
const SIGNING_KEY: &str = include_str!("../../keys/signing.pk8.pem");
/// Fixed as well, so that a root written to a file is still the right one after a restart.
const ROOT_KEY: &str = include_str!("../../keys/root.pk8.pem");
const MICROSOFT: &str = "Microsoft Corporation";
const STRANGER: &str = "Example Corporation";
/// Name of the certificate file that Microsoft publishes, and of the host in it.
const SUBJECT: &str = "pcnotifications-dispatch.microsoft.com";

/// The good certificate, its root, and the bad variants; all leaves have the same key.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// What a receiver must trust.
    pub(crate) root_pem: String,
    /// Root of `wrong_issuer`: to show that trust in a root is not enough.
    pub(crate) stranger_root_pem: String,
    pub(crate) good: Vec<u8>,
    pub(crate) good_pem: String,
    pub(crate) expired: Vec<u8>,
    /// Same names, but of a root that nobody trusts.
    pub(crate) other_root: Vec<u8>,
    /// Issued by the good root to another organization.
    pub(crate) wrong_organization: Vec<u8>,
    /// Issued to Microsoft by another organization's root.
    pub(crate) wrong_issuer: Vec<u8>,
    key: RsaKeyPair,
}

impl Certificates {
    pub(crate) fn make() -> anyhow::Result<Self> {
        let leaf_key = KeyPair::from_pem(SIGNING_KEY).context("read signing key")?;
        let root = Root::new(MICROSOFT, KeyPair::from_pem(ROOT_KEY).context("read root key")?)?;
        let other = Root::new(MICROSOFT, KeyPair::generate().context("generate key")?)?;
        let stranger = Root::new(STRANGER, KeyPair::generate().context("generate key")?)?;
        let good = root.issue(MICROSOFT, &leaf_key, Validity::Present)?;
        Ok(Self {
            good_pem: pem(&good),
            expired: root.issue(MICROSOFT, &leaf_key, Validity::Past)?,
            other_root: other.issue(MICROSOFT, &leaf_key, Validity::Present)?,
            wrong_organization: root.issue(STRANGER, &leaf_key, Validity::Present)?,
            wrong_issuer: stranger.issue(MICROSOFT, &leaf_key, Validity::Present)?,
            key: RsaKeyPair::from_pkcs8(leaf_key.serialized_der()).map_err(|error| anyhow::anyhow!("read signing key: {error}"))?,
            root_pem: root.pem,
            stranger_root_pem: stranger.pem,
            good,
        })
    }

    /// RSA PKCS#1 v1.5 with SHA-256.
    pub(crate) fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|error| anyhow::anyhow!("sign event: {error}"))?;
        Ok(signature)
    }
}

struct Root {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

#[derive(Clone, Copy)]
enum Validity {
    Present,
    Past,
}

impl Root {
    fn new(organization: &str, key: KeyPair) -> anyhow::Result<Self> {
        let mut params = named(organization, "Quell Simulator Root (for tests only)");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).context("sign root")?;
        Ok(Self { pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    fn issue(&self, organization: &str, key: &KeyPair, validity: Validity) -> anyhow::Result<Vec<u8>> {
        let mut params = named(organization, SUBJECT);
        params.subject_alt_names = vec![rcgen::SanType::DnsName(SUBJECT.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        if let Validity::Past = validity {
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let certificate = params.signed_by(key, &self.issuer).context("sign certificate")?;
        Ok(certificate.der().to_vec())
    }
}

fn named(organization: &str, common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "US");
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    // Fixed, so that the root is the same in every run; the end of what UTCTime can say.
    params.not_after = date_time_ymd(2049, 12, 31);
    params
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
