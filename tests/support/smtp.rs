//! A real SMTP server (Debian's `python3-aiosmtpd`) that keeps what it receives as files.
//!
//! Not a mail relay: it accepts every sender and recipient on the loopback address and delivers nowhere.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{io::Read, thread};

use tempfile::TempDir;

use super::ports::free_port;

/// Python on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Receives mail until it is dropped. Wait for mail with [`SmtpServer::wait_for_mails`].
pub struct SmtpServer {
    folder: TempDir,
    port: u16,
    process: Child,
}

/// One received message as it came over the wire. `X-MailFrom` and `X-RcptTo` among its headers are the envelope.
#[derive(Debug, Clone)]
pub struct Mail {
    pub source: String,
}

impl SmtpServer {
    /// Starts the server on a free port and waits for its greeting.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("quell-mail-").tempdir().expect("make a folder for mail");
        let port = free_port();
        let process = Command::new(python())
            .args(["-m", "aiosmtpd", "--nosetuid", "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .args(["--class", "aiosmtpd.handlers.Mailbox"])
            .arg(folder.path().join("maildir"))
            .stdin(Stdio::null())
            .spawn()
            .expect("start python3");
        let mut server = Self { folder, port, process };
        server.wait_for_greeting();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What has arrived so far, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        let arrived: PathBuf = self.folder.path().join("maildir/new");
        let mut files: Vec<_> = fs::read_dir(arrived).into_iter().flatten().flatten().collect();
        // A maildir name begins with the second of arrival and counts up within the process.
        files.sort_by_key(|file| (file.metadata().and_then(|data| data.modified()).ok(), file.file_name()));
        files.iter().map(|file| Mail::parse(&fs::read(file.path()).expect("read a mail"))).collect()
    }

    /// Waits until at least `count` mails have arrived; panics with what did arrive when `limit` has passed.
    pub async fn wait_for_mails(&self, count: usize, limit: Duration) -> Vec<Mail> {
        let begun = Instant::now();
        loop {
            let mails = self.mails();
            if mails.len() >= count {
                return mails;
            }
            assert!(begun.elapsed() < limit, "{} of {count} mails after {limit:?}: {mails:#?}", mails.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn wait_for_greeting(&mut self) {
        let begun = Instant::now();
        while !greets(self.port) {
            let ended = self.process.try_wait().expect("look after the mail server");
            assert!(ended.is_none(), "the mail server ended: {ended:?}; is `python3-aiosmtpd` installed?");
            assert!(begun.elapsed() < START_LIMIT, "no mail server within {START_LIMIT:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        // Already gone is just as well, and a panic in a destructor would hide the test's own.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Mail {
    fn parse(bytes: &[u8]) -> Self {
        Self { source: String::from_utf8_lossy(bytes).replace("\r\n", "\n") }
    }

    /// The value of a header, with folded lines joined; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.source.split_once("\n\n")?;
        let unfolded = head.replace("\n ", " ").replace("\n\t", " ");
        let mut lines = unfolded.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }

    /// Everything after the headers, still in its transfer encoding.
    pub fn body(&self) -> &str {
        self.source.split_once("\n\n").map_or("", |(_, body)| body)
    }
}

/// Debian's modules belong to Debian's interpreter, which need not be the first in `PATH`.
fn python() -> PathBuf {
    let debian = PathBuf::from("/usr/bin/python3");
    std::env::var_os("QUELL_TEST_PYTHON").map_or(debian, PathBuf::from)
}

fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut code = [0; 3];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok() && stream.read_exact(&mut code).is_ok() && code == *b"220"
}
