//! Which addresses may be reached. A name is resolved here and connected to what was checked, so that it cannot change between.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::range::{Range, is_public};

/// Holds the exceptions that a person has set; without them only public addresses over `https` are reached.
#[derive(Debug)]
pub(super) struct Guard(Arc<[Exception]>);

/// All addresses of a name are out of reach.
#[derive(Debug)]
pub(super) struct Forbidden(String);

#[derive(Debug, PartialEq)]
struct Exception {
    target: Target,
    port: Option<u16>,
}

#[derive(Debug, PartialEq)]
enum Target {
    Name(String),
    Addresses(Range),
}

impl Guard {
    /// Reads the exceptions: `host`, `host:port`, `address`, `address:port` or `address/bits`.
    pub(super) fn parse(allow: &[String]) -> Result<Self, String> {
        let exceptions = allow.iter().map(|entry| {
            Exception::parse(entry).ok_or_else(|| {
                format!("`{entry}` in `allow` is not a host, an address or a range; write e.g. `proxy.example:8080` or `10.1.0.0/16`")
            })
        });
        Ok(Self(exceptions.collect::<Result<_, _>>()?))
    }

    /// Whether a request to that URL may begin; a name's addresses are checked when it is resolved.
    pub(super) fn admit(&self, url: &Url) -> Result<(), String> {
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            other => return Err(format!("`{other}` is not a scheme for requests; use `https`")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL must not hold a user name or password; use a header".to_owned());
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let is_excepted = match url.host() {
            None => return Err("the URL names no host".to_owned()),
            Some(Host::Domain(name)) => self.admit_name(name, port)?,
            Some(Host::Ipv4(address)) => self.admit_address(address.into(), port)?,
            Some(Host::Ipv6(address)) => self.admit_address(address.into(), port)?,
        };
        if is_plain && !is_excepted {
            return Err("plain `http` is used only with hosts listed under `net.allow`; use `https`".to_owned());
        }
        Ok(())
    }

    fn admit_name(&self, name: &str, port: u16) -> Result<bool, String> {
        let mut named = self.0.iter().filter(|it| it.is_named(name)).peekable();
        if named.peek().is_none() {
            return Ok(false);
        }
        if named.any(|it| it.has_port(port)) {
            return Ok(true);
        }
        Err(format!("`{name}` is listed under `net.allow` with another port than {port}"))
    }

    fn admit_address(&self, address: IpAddr, port: u16) -> Result<bool, String> {
        if self.0.iter().any(|it| it.covers(address) && it.has_port(port)) {
            return Ok(true);
        }
        if is_public(address) {
            return Ok(false);
        }
        Err("the address is private; list it under `net.allow` if it shall be reached".to_owned())
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let exceptions = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str();
            let is_named = exceptions.iter().any(|it| it.is_named(name));
            let is_allowed =
                |address: IpAddr| is_named || is_public(address) || exceptions.iter().any(|it| it.port.is_none() && it.covers(address));
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found.iter().copied().filter(|it| is_allowed(it.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(Forbidden(name.to_owned()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` resolves to a private address; list it under `net.allow` if it shall be reached", self.0)
    }
}

impl std::error::Error for Forbidden {}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        if entry.contains('/') {
            return Some(Self { target: Target::Addresses(Range::parse(entry)?), port: None });
        }
        if let Ok(address) = entry.parse() {
            return Some(Self { target: Target::Addresses(Range::one(address)), port: None });
        }
        if let Ok(address) = entry.parse::<SocketAddr>() {
            return Some(Self { target: Target::Addresses(Range::one(address.ip())), port: Some(address.port()) });
        }
        let (name, port) = match entry.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let Host::Domain(name) = Host::parse(name).ok()? else { return None };
        Some(Self { target: Target::Name(plain(&name)), port })
    }

    fn is_named(&self, name: &str) -> bool {
        match &self.target {
            Target::Name(it) => *it == plain(name),
            Target::Addresses(_) => false,
        }
    }

    fn covers(&self, address: IpAddr) -> bool {
        match &self.target {
            Target::Name(_) => false,
            Target::Addresses(range) => range.contains(address.to_canonical()),
        }
    }

    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|it| it == port)
    }
}

/// A host name as it is compared: in lower case, without the dot of the root.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str]) -> Guard {
        Guard::parse(&allow.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn admits(guard: &Guard, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| guard.admit(&url).is_ok())
    }

    #[test]
    fn every_spelling_of_a_private_address_is_refused() {
        let nobody = guard(&[]);
        for host in [
            "127.0.0.1",
            "127.1",
            "0.0.0.0",
            "0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "2852039166",
            "0251.0376.0251.0376",
            "169.254.169.254.",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[::127.0.0.1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[ff02::1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:7f00:1::]",
            "[2001::1]",
        ] {
            assert!(!admits(&nobody, &format!("https://{host}/")), "{host}");
        }
        for host in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]", "[64:ff9b::808:808]", "graph.microsoft.com"] {
            assert!(admits(&nobody, &format!("https://{host}/")), "{host}");
        }
    }

    #[test]
    fn only_https_without_a_user_is_used_unless_the_host_is_listed() {
        let some = guard(&["proxy.example:8080", "127.0.0.1", "10.1.0.0/16", "10.2.0.1:81", "[::1]:9000"]);
        for url in [
            "http://proxy.example:8080/",
            "https://PROXY.example.:8080/",
            "http://127.0.0.1:4/",
            "http://[::ffff:127.0.0.1]/",
            "https://10.1.2.3/",
            "http://10.2.0.1:81/",
            "http://[::1]:9000/",
            "https://other.example/",
        ] {
            assert!(admits(&some, url), "{url}");
        }
        for url in [
            "http://other.example/",
            "ftp://proxy.example:8080/",
            "file:///etc/passwd",
            "https://proxy.example/",
            "http://10.2.0.1:80/",
            "http://[::1]:9001/",
            "https://user@other.example/",
            "https://:pw@other.example/",
            "https://127.0.0.2/",
            "https://10.3.0.1/",
        ] {
            assert!(!admits(&some, url), "{url}");
        }
    }

    #[test]
    fn a_wrong_exception_is_named() {
        for entry in ["10.0.0.0/33", "a b", "host:port", "", "http://x/"] {
            assert!(Guard::parse(&[entry.to_owned()]).unwrap_err().contains(&format!("`{entry}`")), "{entry}");
        }
    }
}
