//! Free ports on the loopback address, and waiting until somebody answers there.
//!
//! The kernel would hand out a free port too, but from the range it also uses for outgoing connections: while a server
//! is down, a reconnecting client could be given the server's own port and end up connected to itself.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below the first port that Linux uses for outgoing connections (32768), above what common services use.
const FIRST: u16 = 20_000;
const COUNT: u64 = 12_000;

/// A port that nobody listens on now. Random, so that tests running side by side rarely meet.
pub fn free_port() -> u16 {
    loop {
        let random = RandomState::new().hash_one(std::process::id());
        let port = FIRST + u16::try_from(random % COUNT).expect("COUNT fits a port");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
