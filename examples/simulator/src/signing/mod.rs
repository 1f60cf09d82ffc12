//! Callbacks as Partner Center signs them, and the ways in which a test may spoil one.
//!
//! `certificates` makes the keys and certificates; this file makes events and signatures over them.

mod certificates;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use certificates::Certificates;

/// An event to sign and deliver. `Event::default()` is a `test-created` without faults.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Event {
    /// `{resource}-{action}`, such as `azure-fraud-event-detected`.
    pub name: String,
    /// What the receiver is told to look at.
    pub resource_uri: Option<String>,
    /// Left out of the body when absent, as Microsoft does for fraud events.
    pub resource_name: Option<String>,
    /// Where the audit record is said to be.
    pub audit_uri: Option<String>,
    /// `ResourceChangeUtcDate` as text; the present time when absent.
    pub date: Option<String>,
    /// Sign and send exactly this text instead of the fields above.
    pub raw_body: Option<String>,
    /// The header that carries the signature.
    pub placement: Placement,
    /// Text of the algorithm header; the signature itself is always RSA PKCS#1 v1.5 with SHA-256.
    pub algorithm: String,
    /// Text of the certificate header; the simulator's good certificate when absent.
    pub certificate_url: Option<String>,
    /// What to spoil.
    pub tamper: Tamper,
    /// Headers to add, after and in place of the usual ones; an empty value removes the header.
    pub headers: Vec<(String, String)>,
}

/// Which header carries the signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// `Authorization: Signature …`.
    #[default]
    Authorization,
    /// `x-ms-signature: Signature …`.
    MsSignature,
    /// `x-ms-signature: …` without the scheme.
    MsSignatureBare,
}

/// What is spoiled after signing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tamper {
    /// Nothing.
    #[default]
    Nothing,
    /// One digit of the body differs from what was signed; it is still a good event to whoever does not verify.
    Body,
    /// One byte of the signature is wrong.
    Signature,
    /// A byte order mark is put before the body, which was signed without it.
    ByteOrderMark,
    /// No signature, no certificate, no algorithm header.
    Unsigned,
}

/// A request ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct SignedEvent {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            name: "test-created".to_owned(),
            resource_uri: None,
            resource_name: None,
            audit_uri: None,
            date: None,
            raw_body: None,
            placement: Placement::Authorization,
            algorithm: "rsa-sha256".to_owned(),
            certificate_url: None,
            tamper: Tamper::Nothing,
            headers: Vec::new(),
        }
    }
}

impl Event {
    /// The event that announces alerts on an Azure subscription. It carries no alert id, as at Microsoft.
    pub fn fraud(subscription_id: &str) -> Self {
        let query = format!("SubscriptionId={subscription_id}&EventStatus=Active");
        let base = "https://api.partnercenter.microsoft.com/v1/fraudEvents";
        Self { name: "azure-fraud-event-detected".to_owned(), resource_uri: Some(format!("{base}?{query}")), ..Self::default() }
    }

    /// Signs the event; `good_certificate` is announced unless the event names another.
    pub(crate) fn sign(&self, certificates: &Certificates, good_certificate: &str, now: Timestamp) -> anyhow::Result<SignedEvent> {
        let mut body = self.body(now).into_bytes();
        let mut signature = certificates.sign(&body)?;
        match self.tamper {
            Tamper::Nothing | Tamper::Unsigned => {}
            Tamper::Body => change_digit(&mut body),
            Tamper::Signature => flip_middle(&mut signature),
            Tamper::ByteOrderMark => body = [b"\xef\xbb\xbf".as_slice(), &body].concat(),
        }
        let certificate = self.certificate_url.as_deref().unwrap_or(good_certificate);
        Ok(SignedEvent { headers: self.all_headers(&STANDARD.encode(signature), certificate), body })
    }

    fn body(&self, now: Timestamp) -> String {
        if let Some(text) = &self.raw_body {
            return text.clone();
        }
        let mut fields = Map::new();
        fields.insert("EventName".to_owned(), self.name.as_str().into());
        fields.insert("ResourceUri".to_owned(), self.resource_uri.clone().into());
        if let Some(name) = &self.resource_name {
            fields.insert("ResourceName".to_owned(), name.as_str().into());
        }
        fields.insert("AuditUri".to_owned(), self.audit_uri.clone().into());
        let date = self.date.clone().unwrap_or_else(|| event_date(now));
        fields.insert("ResourceChangeUtcDate".to_owned(), date.into());
        Value::Object(fields).to_string()
    }

    fn all_headers(&self, signature: &str, certificate: &str) -> Vec<(String, String)> {
        let mut headers = vec![("Content-Type", "application/json".to_owned())];
        if self.tamper != Tamper::Unsigned {
            headers.push(match self.placement {
                Placement::Authorization => ("Authorization", format!("Signature {signature}")),
                Placement::MsSignature => ("x-ms-signature", format!("Signature {signature}")),
                Placement::MsSignatureBare => ("x-ms-signature", signature.to_owned()),
            });
            headers.push(("x-ms-certificate-url", certificate.to_owned()));
            headers.push(("x-ms-signature-algorithm", self.algorithm.clone()));
        }
        headers.retain(|(name, _)| !self.overrides(name));
        let usual = headers.into_iter().map(|(name, value)| (name.to_owned(), value));
        let added = self.headers.iter().filter(|(_, value)| !value.is_empty());
        usual.chain(added.cloned()).collect()
    }

    fn overrides(&self, header: &str) -> bool {
        let mut names = self.headers.iter().map(|(name, _)| name);
        names.any(|name| name.eq_ignore_ascii_case(header))
    }
}

/// Seven fractional digits and a numeric offset, as .NET writes it.
fn event_date(now: Timestamp) -> String {
    format!("{now:.7}").replace('Z', "+00:00")
}

/// The last digit becomes another one, so that the text stays well-formed.
fn change_digit(body: &mut [u8]) {
    let last = body.iter().rposition(u8::is_ascii_digit);
    match last.and_then(|at| body.get_mut(at)) {
        Some(digit) => *digit ^= 1,
        None => flip_middle(body),
    }
}

fn flip_middle(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
}
