//! A private `RabbitMQ` broker that a test may kill, stop, freeze and start again.
//!
//! It is the real server with a crash that is a real `SIGKILL`; only `tests/support/rabbitmq`, the script that starts it,
//! knows how to keep it apart from a broker of the machine. A start takes 4 to 7 seconds, so tests that never harm the
//! broker share the one that `tests/run` offers in `QUELL_TEST_AMQP_URL` (see [`shared_url`]).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::ports::free_port;

/// Ten times the usual start: a loaded machine is not a failed test.
const START_LIMIT: Duration = Duration::from_mins(1);
/// `RabbitMQ` closes its connections and syncs its journals first; usually that takes about a second.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// A start fails early when another process took one of the chosen ports in between.
const START_ATTEMPTS: usize = 3;

/// `RabbitMQ` 3.10 writes down which quorum queues it has about half a second after they are declared. A node killed sooner
/// starts again with the queue's data but without a leader for it, for ever: every `basic.consume` on it hangs for a
/// minute, then fails with 541. Measured: killed after 0.6 s always so, after 1 s never.
const SETTLE: Duration = Duration::from_secs(2);

/// The broker that `tests/run` started for every test that leaves it alive. Use your own exchange and queue names on it.
pub fn shared_url() -> String {
    std::env::var("QUELL_TEST_AMQP_URL")
        .expect("`QUELL_TEST_AMQP_URL` is not set: start the tests with `tests/run`, or set it to a broker's URL")
}

/// One `RabbitMQ` node and its name service. Dropping it kills both and removes their files.
pub struct Broker {
    folder: TempDir,
    ports: Ports,
    names: Child,
    node: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    epmd: u16,
    distribution: u16,
    amqp: u16,
}

impl Broker {
    /// Starts a broker on free ports with an empty data folder and waits until it accepts a client.
    pub async fn start() -> Self {
        for _ in 1..START_ATTEMPTS {
            let mut broker = Self::prepare();
            if broker.run_node().await.is_ok() {
                return broker;
            }
        }
        let mut broker = Self::prepare();
        broker.start_again().await;
        broker
    }

    /// `amqp://guest:guest@127.0.0.1:PORT/%2f`; stays the same over restarts.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// The port the broker listens on, to put a [`super::tcp_proxy::TcpProxy`] in front of it.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// Call this between declaring queues and [`Broker::kill`]: waits until the node has written down that they exist.
    /// Messages need no such wait, they are on disk when they are confirmed.
    pub async fn settle(&self) {
        sleep(SETTLE).await;
    }

    /// A crash: the node is gone, without a word to its clients, when this returns. Its files stay as they were.
    /// It must be long enough after queues were declared, see [`Broker::settle`].
    pub fn kill(&mut self) {
        let mut node = self.node.take().expect("broker is running");
        node.kill().expect("kill the broker");
        node.wait().expect("wait for the killed broker");
    }

    /// An orderly shutdown: clients are told, journals are synced.
    pub async fn stop(&mut self) {
        let mut node = self.node.take().expect("broker is running");
        signal(&node, "TERM");
        let begun = Instant::now();
        while node.try_wait().expect("wait for the stopping broker").is_none() {
            if begun.elapsed() > STOP_LIMIT {
                node.kill().expect("kill the broker");
                node.wait().expect("wait for the killed broker");
                panic!("the broker did not stop within {STOP_LIMIT:?}\n{}", self.last_words());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts the node after [`Broker::kill`] or [`Broker::stop`], with the same ports and the same data.
    pub async fn start_again(&mut self) {
        assert!(self.node.is_none(), "the broker is still running");
        if let Err(reason) = self.run_node().await {
            panic!("cannot start a broker: {reason}\n{}", self.last_words());
        }
    }

    /// The node stops working but its connections stay open, as with a hung machine: only a timeout notices.
    pub fn freeze(&self) {
        signal(self.node.as_ref().expect("broker is running"), "STOP");
    }

    /// Undoes [`Broker::freeze`].
    pub fn thaw(&self) {
        signal(self.node.as_ref().expect("broker is running"), "CONT");
    }

    /// The broker runs short of memory, and blocks whoever publishes.
    pub fn run_short(&self) {
        self.control(&["set_vm_memory_high_watermark", "absolute", "1"]);
    }

    /// Undoes [`Broker::run_short`].
    pub fn recover(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.8"]);
    }

    /// A user who may write and read everything and configure nothing; the URL to come in with.
    pub fn user_who_may_not_declare(&self) -> String {
        self.control(&["add_user", "modest", "modest"]);
        self.control(&["set_permissions", "-p", "/", "modest", "^$", ".*", ".*"]);
        self.url().replace("guest:guest", "modest:modest")
    }

    fn control(&self, command: &[&str]) {
        let Ports { epmd, distribution, amqp } = self.ports;
        let mut child = script(self.folder.path(), "ctl", &[epmd, distribution, amqp], command);
        let status = child.wait().expect("wait for `rabbitmqctl`");
        assert!(status.success(), "{command:?}: {status}\n{}", self.last_words());
    }

    fn prepare() -> Self {
        let folder = tempfile::Builder::new().prefix("quell-broker-").tempdir().expect("make a folder for the broker");
        let ports = Ports { epmd: free_port(), distribution: free_port(), amqp: free_port() };
        let names = script(folder.path(), "names", &[ports.epmd], &[]);
        Self { folder, ports, names, node: None }
    }

    async fn run_node(&mut self) -> Result<(), String> {
        let Ports { epmd, distribution, amqp } = self.ports;
        let node = self.node.insert(script(self.folder.path(), "server", &[epmd, distribution, amqp], &[]));
        let failure = match wait_until_ready(node, amqp).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if let Some(mut node) = self.node.take() {
            // It may have ended by itself: then there is nothing to kill.
            let _ = node.kill();
            let _ = node.wait();
        }
        Err(failure)
    }

    /// The ends of the node's log and of what it printed, for the message of a failed test.
    fn last_words(&self) -> String {
        let last = |name, lines| tail(&self.folder.path().join(name), lines);
        format!("{}\n{}", last("log/node.log", 25), last("output", 3))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the broker's last words\n{}", self.last_words());
        }
        for child in self.node.iter_mut().chain([&mut self.names]) {
            // Already gone is just as well, and a panic in a destructor would hide the test's own.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The script replaces itself by the program it starts, so the child is that program.
/// It stays in the test's process group: a runner that ends a hanging test by group ends its broker too.
fn script(folder: &Path, verb: &str, ports: &[u16], more: &[&str]) -> Child {
    let output = || File::options().create(true).append(true).open(folder.join("output")).expect("open the broker's output");
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/rabbitmq");
    Command::new(program)
        .arg(verb)
        .arg(folder)
        .args(ports.iter().map(u16::to_string))
        .args(more)
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .spawn()
        .expect("start `tests/support/rabbitmq`")
}

/// A listening port is not enough: the node opens it before every queue is recovered. A client that gets as far as an
/// open connection is what the tests will be.
async fn wait_until_ready(node: &mut Child, port: u16) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        if let Some(status) = ended(node) {
            return Err(format!("the node ended by itself: {status}"));
        }
        if timeout(Duration::from_secs(2), opens_connection(port)).await.unwrap_or(false) {
            return Ok(());
        }
        if begun.elapsed() > START_LIMIT {
            return Err(format!("no AMQP connection within {START_LIMIT:?}"));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn ended(node: &mut Child) -> Option<ExitStatus> {
    node.try_wait().expect("look after the broker")
}

/// Speaks AMQP 0-9-1 by hand up to `connection.open-ok`, so that the check does not depend on the client under test.
async fn opens_connection(port: u16) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await.ok()?;
        expect_method(&mut stream, 10).await?; // start
        // start-ok: no client properties, PLAIN, guest and guest, en_US.
        let start_ok = b"\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x0c\x00guest\x00guest\x05en_US";
        send_method(&mut stream, start_ok).await?;
        let tune = expect_method(&mut stream, 30).await?;
        let mut tune_ok = b"\x00\x0a\x00\x1f".to_vec();
        tune_ok.extend_from_slice(tune.get(4..)?); // whatever the broker proposes
        send_method(&mut stream, &tune_ok).await?;
        send_method(&mut stream, b"\x00\x0a\x00\x28\x01/\x00\x00").await?; // open the virtual host `/`
        expect_method(&mut stream, 41).await?; // open-ok
        send_method(&mut stream, b"\x00\x0a\x00\x32\x00\xc8\x00\x00\x00\x00\x00").await?; // close, 200
        expect_method(&mut stream, 51).await // close-ok
    };
    exchange.await.is_some()
}

/// Frame type 1 (method) on channel 0, the payload's length, the payload, the end mark.
async fn send_method(stream: &mut TcpStream, payload: &[u8]) -> Option<()> {
    let mut frame = vec![1, 0, 0];
    frame.extend_from_slice(&u32::try_from(payload.len()).ok()?.to_be_bytes());
    frame.extend_from_slice(payload);
    frame.push(0xce);
    stream.write_all(&frame).await.ok()
}

/// Reads one frame and returns its payload if it holds the given method of the class `connection` (10).
async fn expect_method(stream: &mut TcpStream, method: u16) -> Option<Vec<u8>> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes(head[3..7].try_into().ok()?);
    let mut payload = vec![0; usize::try_from(length).ok()? + 1];
    stream.read_exact(&mut payload).await.ok()?;
    payload.pop(); // the end mark
    let wanted = [0, 10, method.to_be_bytes()[0], method.to_be_bytes()[1]];
    (head[0] == 1 && payload.starts_with(&wanted)).then_some(payload)
}

/// The standard library can only kill, and every shell has a `kill`.
fn signal(child: &Child, name: &str) {
    let done = Command::new("sh").arg("-c").arg(format!("kill -s {name} {}", child.id())).status();
    assert!(done.expect("run `kill`").success(), "send SIG{name} to process {}", child.id());
}

fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
