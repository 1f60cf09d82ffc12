//! An address on this machine to which a browser is sent back, for the time of one sign-in.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Waits for a browser.
pub(super) struct Loopback(TcpListener);

/// A request that a browser made, to be answered.
pub(super) struct Visit {
    /// Path and query.
    pub(super) target: String,
    stream: TcpStream,
}

/// What a browser sends at once; the code in it is long.
const LONGEST_HEAD: usize = 16 * 1024;

/// A browser opens connections in advance, on which nothing may come.
const PATIENCE: Duration = Duration::from_secs(5);

impl Loopback {
    /// Listens at that port, or at a free one if it is 0.
    pub(super) async fn open(port: u16) -> io::Result<Self> {
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map(Self)
    }

    pub(super) fn port(&self) -> io::Result<u16> {
        self.0.local_addr().map(|address| address.port())
    }

    /// The next request that can be read.
    pub(super) async fn next(&self) -> io::Result<Visit> {
        loop {
            let (mut stream, _) = self.0.accept().await?;
            let head = timeout(PATIENCE, head(&mut stream)).await.unwrap_or_default();
            if let Some(target) = head.as_deref().and_then(target) {
                return Ok(Visit { target: target.to_owned(), stream });
            }
        }
    }
}

impl Visit {
    /// Says something to the person. A browser that has gone is no error.
    pub(super) async fn answer(mut self, status: &str, said: &str) {
        let body = format!("<!DOCTYPE html><meta charset=utf-8><title>Quell</title><p>{said}</p>");
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        drop(self.stream.write_all(format!("{head}{body}").as_bytes()).await);
        drop(self.stream.shutdown().await);
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    while bytes.len() < LONGEST_HEAD {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend(chunk.iter().take(read));
        if bytes.windows(4).any(|it| it == b"\r\n\r\n") {
            return String::from_utf8(bytes).ok();
        }
    }
    None
}

fn target(head: &str) -> Option<&str> {
    head.strip_prefix("GET ")?.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_read_and_what_is_none_is_passed_over() {
        let loopback = Loopback::open(0).await.unwrap();
        let port = loopback.port().unwrap();
        let connect = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        drop(connect().await);
        connect().await.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut browser = connect().await;
        browser.write_all(b"GET /?code=c&state=s HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let visit = loopback.next().await.unwrap();
        assert_eq!(visit.target, "/?code=c&state=s");
        visit.answer("200 OK", "done").await;
        let mut answer = String::new();
        browser.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("<p>done</p>"), "{answer}");
    }
}
