//! Ranges of addresses, and which of them are the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that share their first `prefix` bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    network: IpAddr,
    prefix: u32,
}

/// Whether an address is on the public internet. An IPv4 address inside an IPv6 one is judged as itself.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => !NOT_PUBLIC_V4.iter().any(|range| range.contains(v4)),
        IpAddr::V6(v6) if NAT64.contains(v6.into()) => {
            let [.., a, b, c, d] = v6.octets();
            is_public(IpAddr::from([a, b, c, d]))
        }
        v6 @ IpAddr::V6(_) => GLOBAL_V6.contains(v6) && !NOT_PUBLIC_V6.iter().any(|range| range.contains(v6)),
    }
}

impl Range {
    /// Reads `address/bits`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (network, prefix) = text.split_once('/')?;
        let network: IpAddr = network.parse().ok()?;
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits)?;
        Some(Self { network, prefix })
    }

    const fn v4(network: [u8; 4], prefix: u32) -> Self {
        let [a, b, c, d] = network;
        Self { network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(first: [u16; 3], prefix: u32) -> Self {
        let [a, b, c] = first;
        Self { network: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), prefix }
    }

    /// One address.
    pub(super) fn one(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { network: address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether the address is among them.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// IPv4 that is not the public internet, after the IANA registry of special-purpose addresses.
const NOT_PUBLIC_V4: &[Range] = &[
    Range::v4([0, 0, 0, 0], 8),
    Range::v4([10, 0, 0, 0], 8),
    Range::v4([100, 64, 0, 0], 10),
    Range::v4([127, 0, 0, 0], 8),
    // Azure's own virtual address towards its machines.
    Range::v4([168, 63, 129, 16], 32),
    // Link-local, and the metadata services of the clouds.
    Range::v4([169, 254, 0, 0], 16),
    Range::v4([172, 16, 0, 0], 12),
    Range::v4([192, 0, 0, 0], 24),
    Range::v4([192, 0, 2, 0], 24),
    Range::v4([192, 88, 99, 0], 24),
    Range::v4([192, 168, 0, 0], 16),
    Range::v4([198, 18, 0, 0], 15),
    Range::v4([198, 51, 100, 0], 24),
    Range::v4([203, 0, 113, 0], 24),
    // Multicast, reserved, broadcast.
    Range::v4([224, 0, 0, 0], 3),
];

/// The public part of IPv6.
const GLOBAL_V6: Range = Range::v6([0x2000, 0, 0], 3);

/// What of it is special after all: protocol assignments with Teredo, documentation, 6to4.
const NOT_PUBLIC_V6: &[Range] =
    &[Range::v6([0x2001, 0, 0], 23), Range::v6([0x2001, 0xdb8, 0], 32), Range::v6([0x2002, 0, 0], 16), Range::v6([0x3fff, 0, 0], 20)];

/// Where a network without IPv4 shows the IPv4 internet.
const NAT64: Range = Range::v6([0x64, 0xff9b, 0], 96);
