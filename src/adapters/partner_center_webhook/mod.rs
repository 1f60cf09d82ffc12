//! `partner_center_webhook`: takes Partner Center's callbacks. A callback is only a hint: what it hints at is read from Graph.
//!
//! Its signature does not say for whom it is, so one that was made for another partner is good here too; it may make us look,
//! and nothing else.

mod certificates;
mod proof;
mod signature;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::Context;
use axum::http::StatusCode;
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;

use self::{
    certificates::{Certificates, NoCertificate},
    proof::{CHALLENGE, Proof},
    signature::Signers,
};
use super::{
    Callbacks, Member, Part, Surroundings,
    hook::{DEFAULT_MAX_BODY, Delivered, Hook, Limits, Rate, Receiver, Refusal, Taken, parse},
    inlet::Inlet,
    microsoft,
    review::Review,
    settings::{checked_path, connection},
    task::Trouble,
};
use crate::{
    alert::{Alert, id_from_bytes},
    bus::{BoxFuture, Message},
    connections::{AlertQuery, Failure, Microsoft},
    secret::Text,
};

/// Take Partner Center's callbacks about fraud.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PartnerCenterWebhook {
    /// Where it listens; make a part of it hard to guess.
    path: Text,
    /// Which connection of type `microsoft` alerts are read through.
    connection: String,
    /// Events that become alerts as they are, beside fraud, of which the alerts are read from Graph, and tests: for instance
    /// `usagerecords-thresholdExceeded` or `granular-admin-relationship-terminated`. Their kind is their name in snake case. They
    /// may have been meant for another partner, so such an alert names no customer and its confidence is low.
    #[serde(default)]
    events: Vec<String>,
    /// Below which addresses the signing certificates are.
    #[serde(default = "documented_urls")]
    certificate_urls: Vec<String>,
    /// PEM files with the roots that chains must end at; without it, those of the system.
    certificate_roots: Option<Files>,
    /// PEM files with certificates between the signing one and a root.
    #[serde(default)]
    certificate_intermediates: Files,
    /// Whose name the signing certificate and its issuer carry.
    #[serde(default = "microsoft_corporation")]
    organization: String,
    /// How many requests are taken.
    #[serde(default)]
    rate: Rate,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Files {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

struct Taker {
    certificates: Certificates,
    signers: Signers,
    microsoft: Arc<Microsoft>,
    /// In lower case.
    events: Vec<String>,
    inlet: Inlet,
    review: Review,
}

/// It says that there are alerts of a subscription.
const FRAUD: &str = "azure-fraud-event-detected";

/// It is sent because somebody asked for it.
const TEST: &str = "test-created";

/// A subscription has a handful of alerts; but Graph may refuse to filter, and then these are the pages of all customers.
const MOST_PAGES: usize = 1_000;

impl Member for PartnerCenterWebhook {
    const TYPE: &'static str = "partner_center_webhook";
    const SUMMARY: &'static str = "Take Partner Center's callbacks about fraud";
    const EXAMPLE: &'static str = r#"{"path": "/hooks/partner-center/k7p2", "connection": "contoso"}"#;

    fn connection(&self) -> Option<&str> {
        Some(&self.connection)
    }

    fn callbacks(&self) -> Option<Callbacks> {
        let events = [FRAUD, TEST].iter().map(|&event| event.to_owned()).chain(self.events.iter().cloned());
        Some(Callbacks { path: self.path.0.clone(), events: events.collect() })
    }

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        let path = checked_path(&self.path.0)?;
        let taker = Taker {
            certificates: Certificates::new(&self.certificate_urls, around.net.clone())?,
            signers: Signers {
                roots: self.roots()?,
                intermediates: self.certificate_intermediates.certificates().context("`certificate_intermediates`")?,
                organization: self.organization.clone(),
            },
            microsoft: connection(&self.connection, &around.connections)?,
            events: self.events.iter().map(|event| event.to_lowercase()).collect(),
            inlet: inlet.clone(),
            review: Review::new(&inlet, around),
        };
        let limits = Limits { max_body: DEFAULT_MAX_BODY, rate: self.rate };
        Ok(Part::Hook(Hook::new(path, inlet, limits, taker)))
    }
}

impl PartnerCenterWebhook {
    fn roots(&self) -> anyhow::Result<Vec<TrustAnchor<'static>>> {
        let certificates = match &self.certificate_roots {
            Some(files) => files.certificates().context("`certificate_roots`")?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        // The system's store may hold roots too old to be understood; it is enough that some are.
        let roots = certificates.iter().filter_map(|it| webpki::anchor_from_trusted_cert(it).ok().map(|it| it.to_owned()));
        let roots: Vec<_> = roots.collect();
        anyhow::ensure!(!roots.is_empty(), "`certificate_roots`: there is none; name a PEM file, or install the system's CA certificates");
        Ok(roots)
    }
}

impl Receiver for Taker {
    fn authenticate<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<Option<String>, Refusal>> {
        Box::pin(async {
            let refused = |detail: String| Refusal::unauthorized(CHALLENGE, detail);
            let proof = Proof::read(&delivered.headers)?;
            let certificate = match self.certificates.get(proof.certificate_url, Instant::now()).await {
                Ok(certificate) => certificate,
                Err(NoCertificate::Refused(detail)) => return Err(refused(detail)),
                Err(NoCertificate::Unavailable(detail)) => return Err(Refusal::unavailable(detail)),
            };
            let check = |certificate: &[u8]| self.signers.check(certificate, &proof.signature, &delivered.body, delivered.now);
            let Err(detail) = check(&certificate) else { return Ok(None) };
            // It may have been replaced at its address since it was fetched.
            match self.certificates.replaced(proof.certificate_url, &certificate, Instant::now()).await {
                Some(newer) => check(&newer).map(|()| None).map_err(refused),
                None => Err(refused(detail)),
            }
        })
    }

    fn accept<'a>(&'a self, delivered: &'a Delivered, _message_id: Option<&'a str>) -> BoxFuture<'a, Result<Taken, Refusal>> {
        Box::pin(self.take(delivered))
    }
}

impl Taker {
    async fn take(&self, delivered: &Delivered) -> Result<Taken, Refusal> {
        // The signature is over the bytes; a mark of their order before them is part of those, but not of the document.
        let text = delivered.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&delivered.body);
        let event = parse(text, 32).map_err(|fault| Refusal::bad_request("bad_json", fault))?;
        let Value::Object(event) = event else {
            return Err(Refusal::bad_request("not_an_event", "the body is not a JSON object"));
        };
        let Some(name) = field(&event, "EventName") else {
            return Err(Refusal::bad_request("not_an_event", "`EventName` is missing or not a text"));
        };
        match name.to_lowercase().as_str() {
            FRAUD => self.look(&event, delivered.now).await,
            TEST => self.test(&event, delivered).await,
            other if self.events.iter().any(|wanted| wanted == other) => self.tell(name, &event, delivered).await,
            // There are dozens of events, and new ones come without notice; whoever asked for them wants them to succeed.
            _ => Ok(Taken { status: StatusCode::OK, body: json!({"ignored": name}) }),
        }
    }

    /// Reads the alerts of the subscription that the event hints at.
    async fn look(&self, event: &Map<String, Value>, now: Timestamp) -> Result<Taken, Refusal> {
        let subscription = field(event, "ResourceUri").and_then(subscription_in);
        let subscription = subscription.ok_or_else(|| Refusal::bad_request("no_subscription", "`ResourceUri` names no subscription"))?;
        let unavailable = |failure: Failure| Refusal::unavailable(format!("read the alerts of subscription {subscription}: {failure}"));
        let alerts = self.alerts(&subscription).await.map_err(unavailable)?;
        if alerts.is_empty() {
            // The event may be faster than the list. If it was made for another partner, we are asked again in vain, which is harmless.
            return Err(Refusal::unavailable(format!("Graph lists no alert of subscription {subscription} yet")));
        }
        let (mut read, mut messages) = (Vec::new(), Vec::new());
        for raw in &alerts {
            let alert = microsoft::alert(raw, &self.inlet.source, now).and_then(|alert| alert.checked().map_err(|it| it.to_string()));
            match alert {
                Ok(alert) => read.push(alert),
                Err(reason) => messages.push(self.inlet.pack_unreadable(raw, &reason)),
            }
        }
        // An event about a new alert of the subscription is no reason to act on an old one that waits for a person.
        let read = self.review.sift(read, now).await.map_err(|Trouble { message, .. }| Refusal::unavailable(message))?;
        let ids: Vec<_> = read.iter().map(|alert| alert.id.clone()).collect();
        for alert in read {
            let packed = self.inlet.pack(alert, now);
            messages.push(packed.map_err(|malformed| Refusal::bad_request("not_an_alert", malformed.to_string()))?);
        }
        self.publish(messages).await?;
        Ok(Taken::alerts(StatusCode::OK, &ids, true))
    }

    async fn alerts(&self, subscription: &str) -> Result<Vec<Value>, Failure> {
        let query = AlertQuery { subscription_id: Some(subscription.to_owned()), ..AlertQuery::default() };
        let mut page = self.microsoft.list_alerts(&query).await?;
        let mut alerts = page.alerts;
        let mut pages = 1;
        while let Some(next) = page.next {
            if pages == MOST_PAGES {
                return Err(Failure::rejected(format!("Graph lists more than {MOST_PAGES} pages")));
            }
            page = self.microsoft.next_page(&next).await?;
            alerts.append(&mut page.alerts);
            pages += 1;
        }
        // Whether the service filters is not documented.
        let is_of_it =
            |raw: &Value| raw.get("subscriptionId").and_then(Value::as_str).is_some_and(|it| it.eq_ignore_ascii_case(subscription));
        alerts.retain(is_of_it);
        Ok(alerts)
    }

    /// A test that the partner asked for becomes an alert, so that it can be followed all the way.
    async fn test(&self, event: &Map<String, Value>, delivered: &Delivered) -> Result<Taken, Refusal> {
        let correlation = field(event, "ResourceUri").and_then(|uri| Uuid::try_parse(uri.rsplit('/').next()?).ok());
        let fields = json!({"kind": "test", "is_test": true, "title": "Test event of Partner Center"});
        self.pass(fields, correlation.map(|id| id.to_string()), event, delivered).await
    }

    /// An event that the site wants to hear of. What it names is in `raw` alone, so that no playbook acts on it unread.
    async fn tell(&self, name: &str, event: &Map<String, Value>, delivered: &Delivered) -> Result<Taken, Refusal> {
        let fields = json!({"kind": microsoft::snake_case(name), "confidence": "low", "title": format!("Partner Center tells of {name}")});
        self.pass(fields, None, event, delivered).await
    }

    async fn pass(
        &self,
        mut fields: Value,
        id: Option<String>,
        event: &Map<String, Value>,
        delivered: &Delivered,
    ) -> Result<Taken, Refusal> {
        // The same event sent again has the same bytes.
        let id = id.unwrap_or_else(|| id_from_bytes(&self.inlet.source, &delivered.body));
        let detected_at = field(event, "ResourceChangeUtcDate").and_then(|it| it.parse().ok()).unwrap_or(delivered.now);
        let common = json!({
            "id": id, "source": self.inlet.source, "severity": "informational", "detected_at": detected_at,
            "received_at": delivered.now, "raw": event,
        });
        if let (Some(fields), Value::Object(common)) = (fields.as_object_mut(), common) {
            fields.extend(common);
        }
        let alert: Alert = serde_json::from_value(fields).map_err(|error| Refusal::bad_request("not_an_event", error.to_string()))?;
        let message = self.inlet.pack(alert, delivered.now);
        self.publish(vec![message.map_err(|malformed| Refusal::bad_request("not_an_event", malformed.to_string()))?]).await?;
        Ok(Taken::alerts(StatusCode::OK, &[id], false))
    }

    async fn publish(&self, messages: Vec<Message>) -> Result<(), Refusal> {
        self.inlet.publish(messages).await.map_err(|error| Refusal::unavailable(error.to_string()))
    }
}

/// The subscription in the address's query. Nothing else of the address is used, and it is never fetched.
fn subscription_in(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    let mut named = url.query_pairs().filter(|(name, _)| name.eq_ignore_ascii_case("subscriptionid"));
    let (_, subscription) = named.next()?;
    let is_one = named.next().is_none() && subscription.len() == 36;
    Uuid::try_parse(&subscription).ok().filter(|_| is_one).map(|it| it.to_string())
}

/// Events are documented in one spelling of names and come in others.
fn field<'a>(event: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    event.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1.as_str()
}

impl Files {
    fn certificates(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let paths = match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        };
        let mut certificates = Vec::new();
        for path in paths {
            let text = std::fs::read(path).with_context(|| format!("read `{}`", path.display()))?;
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
            let found = found.with_context(|| format!("read `{}` as PEM", path.display()))?;
            anyhow::ensure!(!found.is_empty(), "`{}` holds no certificate in PEM form", path.display());
            certificates.extend(found);
        }
        Ok(certificates)
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// The only address in Microsoft's documentation. Anybody can have another account at the same provider.
fn documented_urls() -> Vec<String> {
    vec!["https://3psostorageacct.blob.core.windows.net/cert/".to_owned()]
}

fn microsoft_corporation() -> String {
    "Microsoft Corporation".to_owned()
}
