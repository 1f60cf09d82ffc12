//! The world in which effects happen: the smallest HTTP server that counts them, so that it is not what is measured.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::Notify};

/// Counts `/NUMBER` for every number below a limit.
pub struct Sink {
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

struct Counts {
    each: Vec<AtomicU32>,
    different: AtomicUsize,
    complete: Notify,
}

impl Sink {
    /// Listens on a free port until the program ends.
    pub async fn start(numbers: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listen");
        let address = listener.local_addr().expect("know the address");
        let each = (0..numbers).map(|_| AtomicU32::new(0)).collect();
        let counts = Arc::new(Counts { each, different: AtomicUsize::new(0), complete: Notify::new() });
        let counting = Arc::clone(&counts);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept a connection");
                stream.set_nodelay(true).expect("set an option of a socket");
                let counts = Arc::clone(&counting);
                let service = service_fn(move |request| std::future::ready(Ok::<_, Infallible>(answer(&request, &counts))));
                // It ends with an error when a contestant is killed.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, counts }
    }

    /// Waits until every number was seen; the moment of the last one.
    pub async fn complete(&self, patience: Duration) -> Instant {
        let all = tokio::time::timeout(patience, self.counts.complete.notified()).await;
        let (different, wanted) = (self.counts.different.load(Ordering::SeqCst), self.counts.each.len());
        assert!(all.is_ok(), "{different} of {wanted} effects after {patience:?}");
        Instant::now()
    }

    /// How many effects happened more than once.
    pub fn repeated(&self) -> usize {
        self.counts.each.iter().filter(|count| count.load(Ordering::SeqCst) > 1).count()
    }
}

fn answer(request: &Request<Incoming>, counts: &Counts) -> Response<String> {
    let number = request.uri().path().trim_start_matches('/').parse::<usize>().ok();
    if let Some(count) = number.and_then(|number| counts.each.get(number))
        && count.fetch_add(1, Ordering::SeqCst) == 0
        && counts.different.fetch_add(1, Ordering::SeqCst) + 1 == counts.each.len()
    {
        counts.complete.notify_one();
    }
    Response::new("{}".to_owned())
}
