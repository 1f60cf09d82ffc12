//! A network that can fail: a loopback TCP proxy whose behaviour a test switches while connections are open.
//!
//! It moves bytes and knows no protocol. It fails as networks do (silence, resets, refusal, delay); it never alters bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::ports::free_port;

/// What happens to bytes from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Bytes pass.
    Pass,
    /// Connections are accepted and stay open, and nothing passes: a firewall that drops, a cable pulled out.
    /// Bytes sent meanwhile are kept and pass later, as TCP would resend them.
    BlackHole,
    /// Nobody listens, and what was open is cut: the server's process is gone.
    Refuse,
    /// Each connection passes so many bytes, both ways together, and is then reset in the middle of whatever it carries.
    ResetAfter(usize),
    /// Every piece of bytes waits this long before it passes, one after another: high latency and low throughput.
    Delay(Duration),
}

/// Passes connections on to one address until it is dropped.
pub struct TcpProxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    /// Counts the cuts; each connection ends when the number changes.
    cuts: watch::Sender<u64>,
    opened: Arc<AtomicU64>,
    /// Whether the listener accepts connections: tells when a switch has taken effect.
    accepting: watch::Receiver<bool>,
    listener: JoinHandle<()>,
}

impl TcpProxy {
    /// Listens on a free loopback port and passes each connection on to `127.0.0.1:port`.
    pub async fn start(port: u16) -> Self {
        let (network, network_seen) = watch::channel(Network::Pass);
        let (cuts, cuts_seen) = watch::channel(0);
        let opened = Arc::new(AtomicU64::new(0));
        let (accepting_told, accepting) = watch::channel(true);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let first = TcpListener::bind(address).await.expect("bind the proxy");
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let signals = Signals { network: network_seen, cuts: cuts_seen, accepting: accepting_told, opened: Arc::clone(&opened) };
        let listener = tokio::spawn(listen(first, upstream, signals));
        Self { address, network, cuts, opened, accepting, listener }
    }

    /// Where clients connect to; stays the same while the proxy refuses.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `url` with its port replaced by the proxy's.
    pub fn url_through(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).expect("a URL");
        url.set_port(Some(self.address.port())).expect("a URL with a host");
        url.to_string()
    }

    /// Switches the behaviour for open and for new connections; it has taken effect when this returns.
    pub async fn set(&self, network: Network) {
        self.network.send_replace(network);
        let accepts = network != Network::Refuse;
        self.accepting.clone().wait_for(|accepting| *accepting == accepts).await.expect("the proxy is running");
    }

    /// Ends every open connection now. New ones are treated as before.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    /// How many connections were accepted so far: how often did the client reconnect?
    pub fn connections(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        // The listener owns the connections' tasks: they end with it.
        self.listener.abort();
    }
}

/// The listener's ends of what the proxy shares with it.
struct Signals {
    network: watch::Receiver<Network>,
    cuts: watch::Receiver<u64>,
    accepting: watch::Sender<bool>,
    opened: Arc<AtomicU64>,
}

async fn listen(first: TcpListener, upstream: SocketAddr, mut signals: Signals) {
    let address = first.local_addr().expect("a bound listener");
    let mut listener = first;
    loop {
        accept_until_refusing(&listener, upstream, &signals).await;
        // Closing the socket is what makes the kernel refuse.
        drop(listener);
        signals.accepting.send_replace(false);
        if signals.network.wait_for(|now| *now != Network::Refuse).await.is_err() {
            return;
        }
        listener = TcpListener::bind(address).await.expect("bind the proxy's port again");
        signals.accepting.send_replace(true);
    }
}

/// The connections live as long as this call: returning, or being aborted, cuts them.
async fn accept_until_refusing(listener: &TcpListener, upstream: SocketAddr, signals: &Signals) {
    let mut network = signals.network.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = network.wait_for(|now| *now == Network::Refuse) => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                signals.opened.fetch_add(1, Ordering::Relaxed);
                connections.spawn(connection(client, upstream, signals.network.clone(), signals.cuts.clone()));
            }
        }
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, network: watch::Receiver<Network>, mut cuts: watch::Receiver<u64>) {
    cuts.borrow_and_update();
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let passed = AtomicUsize::new(0);
    let both = async {
        let there = Way { from: client_read, to: server_write, passed: &passed };
        let back = Way { from: server_read, to: client_write, passed: &passed };
        // The first that is reset ends both; one that has only ended leaves the other going.
        tokio::try_join!(there.carry(network.clone()), back.carry(network.clone()))
    };
    tokio::select! {
        _ = cuts.changed() => {}
        _ = both => {}
    }
}

/// One direction of a connection.
struct Way<'c> {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    /// Bytes of both directions.
    passed: &'c AtomicUsize,
}

impl Way<'_> {
    /// Until its reader ends or its writer fails; then the other side is told.
    async fn carry(mut self, mut network: watch::Receiver<Network>) -> Result<(), Reset> {
        let mut bytes = vec![0; 64 * 1024];
        // A side that has gone away is told of by ending the other.
        while let Ok(length @ 1..) = self.from.read(&mut bytes).await {
            let Ok(now) = network.wait_for(|now| *now != Network::BlackHole).await.map(|now| *now) else { return Ok(()) };
            if let Network::Delay(delay) = now {
                tokio::time::sleep(delay).await;
            }
            let before = self.passed.fetch_add(length, Ordering::Relaxed);
            let left = if let Network::ResetAfter(most) = now { most.saturating_sub(before) } else { length };
            if self.to.write_all(&bytes[..length.min(left)]).await.is_err() {
                return Ok(());
            }
            if left < length {
                return self.reset();
            }
        }
        // Already gone is just as well.
        let _ = self.to.shutdown().await;
        Ok(())
    }

    /// Both ends are told at once that what was on the way is gone, instead of that all was said.
    fn reset(self) -> Result<(), Reset> {
        for stream in [self.from.as_ref(), self.to.as_ref()] {
            let _ = stream.set_zero_linger();
        }
        // Otherwise it would say first, politely, that all was said.
        self.to.forget();
        Err(Reset)
    }
}

/// A connection was reset.
struct Reset;
