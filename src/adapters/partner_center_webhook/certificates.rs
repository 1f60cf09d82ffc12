//! Fetches the certificates with which callbacks are signed. The sender names the address, so almost every address is refused.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use url::{Host, Url};

use crate::{
    adapters::hook::{Bucket, Rate},
    net::{Net, Request},
};

/// The certificates that senders may name.
pub(super) struct Certificates {
    prefixes: Vec<String>,
    net: Net,
    kept: Mutex<HashMap<String, Kept>>,
    fetches: Bucket,
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoCertificate {
    /// The address is not allowed, or there is no certificate: the request is not authentic.
    Refused(String),
    /// It cannot be fetched now: the request may be authentic and should come again.
    Unavailable(String),
}

#[derive(Clone)]
struct Kept {
    since: Instant,
    until: Instant,
    file: Result<Vec<u8>, NoCertificate>,
}

/// Certificates change by replacing the file at their address. A callback that the old one does not fit has it fetched again sooner.
const KEEP: Duration = Duration::from_hours(1);

/// What failed is not asked again at once, whoever insists.
const KEEP_FAILURE: Duration = Duration::from_secs(30);

/// One or two addresses are in use; more are guesses.
const MOST_KEPT: usize = 64;

/// A certificate has two kilobytes.
const MOST_BYTES: usize = 64 * 1024;

/// The sender of the callback is waiting too.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Strangers can make us fetch names that we do not know; not often.
const FETCHES: Rate = Rate::new(1, 10);

impl Certificates {
    /// Allows certificates directly below these addresses.
    ///
    /// # Errors
    /// An address is not of the form in which it can be compared.
    pub(super) fn new(prefixes: &[String], net: Net) -> anyhow::Result<Self> {
        anyhow::ensure!(!prefixes.is_empty(), "`certificate_urls` is empty; leave it out for the documented one");
        for prefix in prefixes {
            let normal = Url::parse(prefix).is_ok_and(|url| url.as_str() == prefix && is_plain(&url));
            anyhow::ensure!(normal, "`certificate_urls` has `{prefix}`; write it as `https://host/path/`, without port, query or user");
        }
        Ok(Self { prefixes: prefixes.to_vec(), net, kept: Mutex::default(), fetches: Bucket::new(FETCHES) })
    }

    /// The file at an address, from memory where possible.
    pub(super) async fn get(&self, address: &str, now: Instant) -> Result<Vec<u8>, NoCertificate> {
        let Some(url) = self.allowed(address) else {
            return Err(NoCertificate::Refused("the certificate's address is not allowed; no request was made".to_owned()));
        };
        let known = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned();
        if let Some(kept) = known.as_ref().filter(|kept| now < kept.until) {
            return kept.file.clone();
        }
        let good_before = known.and_then(|kept| kept.file.ok());
        if good_before.is_none() && self.fetches.take(now).is_err() {
            return Err(NoCertificate::Unavailable("too many unknown certificates were asked for".to_owned()));
        }
        // While it cannot be fetched, the one from before is used: its own dates and the chain are checked each time.
        let (file, keep) = match (self.fetch(url).await, good_before) {
            (Ok(file), _) => (Ok(file), KEEP),
            (Err(NoCertificate::Unavailable(_)), Some(before)) => (Ok(before), KEEP_FAILURE),
            (failure, _) => (failure, KEEP_FAILURE),
        };
        self.keep(address, Kept { since: now, until: now + keep, file: file.clone() }, now);
        file
    }

    /// Another file at an address whose file was found not to fit, if there is one now. Strangers can send what does not fit, so a
    /// fresh file is not asked for again.
    pub(super) async fn replaced(&self, address: &str, unfit: &[u8], now: Instant) -> Option<Vec<u8>> {
        let url = self.allowed(address)?;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()?;
        if let Some(newer) = kept.file.as_ref().ok().filter(|file| *file != unfit) {
            return Some(newer.clone());
        }
        if now < kept.since + KEEP_FAILURE || self.fetches.take(now).is_err() {
            return None;
        }
        let newer = self.fetch(url).await.ok();
        let renewed = match &newer {
            Some(file) => Kept { since: now, until: now + KEEP, file: Ok(file.clone()) },
            None => Kept { since: now, ..kept },
        };
        self.keep(address, renewed, now);
        newer.filter(|file| file != unfit)
    }

    /// Text against text: what follows an allowed address is one file name, so there is no room for another host, a user, a port,
    /// a query or a way up.
    fn allowed(&self, address: &str) -> Option<Url> {
        let name = self.prefixes.iter().find_map(|prefix| address.strip_prefix(prefix.as_str()))?;
        let stem = name.strip_suffix(".cer")?;
        let is_name = !stem.is_empty() && stem.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-'));
        let url = Url::parse(address).ok()?;
        (is_name && url.as_str() == address).then_some(url)
    }

    async fn fetch(&self, url: Url) -> Result<Vec<u8>, NoCertificate> {
        let reply = self.net.send(Request::get(url).timeout(TIMEOUT).at_most(MOST_BYTES)).await;
        let reply = reply.map_err(|error| NoCertificate::Unavailable(format!("fetch the certificate: {error}")))?;
        match reply.status {
            200 => Ok(reply.body),
            429 | 500.. => Err(NoCertificate::Unavailable(format!("the certificate's server answered {}", reply.status))),
            status => Err(NoCertificate::Refused(format!("the certificate's server answered {status}"))),
        }
    }

    fn keep(&self, address: &str, file: Kept, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, it| it.file.is_ok() && now < it.until);
        }
        if kept.len() < MOST_KEPT {
            kept.insert(address.to_owned(), file);
        }
    }
}

/// Encrypted, or on this machine: tests and the simulator serve certificates there.
fn is_plain(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    };
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && here);
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    scheme && bare && url.path().ends_with('/') && url.has_host()
}

#[cfg(test)]
mod tests {
    use quell_simulator::{Options, Simulator};

    use super::*;
    use crate::adapters::testing::Bench;

    #[tokio::test]
    async fn a_certificate_is_fetched_again_after_an_hour_and_kept_while_it_cannot_be() {
        let simulator = Simulator::start(Options::default()).await.unwrap();
        let bench = Bench::new().await;
        let certificates = Certificates::new(&[format!("{}/cert/", simulator.url())], bench.around.net.clone()).unwrap();
        let (address, begin) = (simulator.certificate_url(), Instant::now());
        let get = async |minutes| certificates.get(&address, begin + Duration::from_mins(minutes)).await;
        let first = get(0).await.unwrap();
        get(59).await.unwrap();
        assert_eq!(simulator.ledger().len(), 1);
        get(61).await.unwrap();
        assert_eq!(simulator.ledger().len(), 2);

        simulator.fault(serde_json::from_str(r#"{"kind": "status", "status": 503}"#).unwrap());
        assert_eq!(get(122).await.unwrap(), first);
        assert_eq!(get(122).await.unwrap(), first);
        assert_eq!(simulator.ledger().len(), 3, "not asked for at each callback");
        let unknown = certificates.get(&address.replace("pcnotifications", "other"), begin).await;
        assert!(matches!(unknown, Err(NoCertificate::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_certificate_that_was_replaced_is_fetched_as_soon_as_the_old_one_does_not_fit_but_not_at_each_callback() {
        let simulator = Simulator::start(Options::default()).await.unwrap();
        let bench = Bench::new().await;
        let certificates = Certificates::new(&[format!("{}/cert/", simulator.url())], bench.around.net.clone()).unwrap();
        let (address, begin) = (simulator.certificate_url(), Instant::now());
        simulator.fault(serde_json::from_str(r#"{"service": "cert", "kind": "status", "status": 200, "body": "the old one"}"#).unwrap());
        let old = certificates.get(&address, begin).await.unwrap();
        simulator.clear_faults();
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(certificates.replaced(&address, &old, after(10)).await, None);
        assert_eq!(simulator.ledger().len(), 1);
        let new = certificates.replaced(&address, &old, after(31)).await.unwrap();
        assert_eq!(certificates.get(&address, after(32)).await.unwrap(), new);
        assert_eq!(certificates.replaced(&address, &old, after(33)).await, Some(new.clone()), "who still has the old one");
        assert_eq!(certificates.replaced(&address, &new, after(34)).await, None);
        assert_eq!(simulator.ledger().len(), 2);
    }
}
