//! A private PostgreSQL that a test may kill and start again, and a schema of its own on the one that is shared.
//!
//! Only `tests/support/postgres`, the script that starts it, knows how to keep it apart from a database of the machine.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tempfile::TempDir;
use tokio::time::sleep;
use url::Url;
use uuid::Uuid;

use super::ports::free_port;

/// Ten times the usual start, of which making the first data is most.
const START_LIMIT: Duration = Duration::from_mins(1);

/// An empty schema on the database that `tests/run` started for every test that leaves it alive: a URL that leads into it.
pub async fn shared_schema() -> String {
    let server = std::env::var("QUELL_TEST_DATABASE_URL")
        .expect("`QUELL_TEST_DATABASE_URL` is not set: start the tests with `tests/run`, or set it to the URL of a PostgreSQL");
    let name = format!("quell_test_{}", Uuid::now_v7().simple());
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&server).await.expect("connect to the database");
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut connection).await.expect("make a schema");
    let mut url = Url::parse(&server).expect("a URL");
    url.query_pairs_mut().append_pair("options", &format!("-c search_path={name}"));
    url.into()
}

/// One server. Dropping it kills it and removes its files.
pub struct Postgres {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Postgres {
    /// Starts a server with no data and waits until it accepts a client.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("quell-postgres-").tempdir().expect("make a folder for the database");
        // The server works for another user, who must reach its data.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("open the folder");
        let mut it = Self { folder, port: free_port(), server: None };
        it.start_again().await;
        it
    }

    /// The URL of its database; stays the same over restarts.
    pub fn url(&self) -> String {
        format!("postgres://quell@127.0.0.1:{}/postgres", self.port)
    }

    /// A crash: the server is gone when this returns, without a word to its clients. Its files stay as they were.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("the database is running");
        server.kill().expect("kill the database");
        server.wait().expect("wait for the killed database");
    }

    /// Starts it after [`Postgres::kill`], with the same data, and waits until it accepts a client.
    pub async fn start_again(&mut self) {
        let (begun, url) = (Instant::now(), self.url());
        sqlx::any::install_default_drivers();
        loop {
            let server = self.server.insert(script(self.folder.path(), self.port));
            // Until the helpers of a killed server have noticed, a new one refuses to start.
            while server.try_wait().expect("look after the database").is_none() {
                if AnyConnection::connect(&url).await.is_ok() {
                    return;
                }
                assert!(begun.elapsed() < START_LIMIT, "no connection within {START_LIMIT:?}\n{}", self.last_words());
                sleep(Duration::from_millis(50)).await;
            }
            assert!(begun.elapsed() < START_LIMIT, "the database ends by itself\n{}", self.last_words());
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the database's last words\n{}", self.last_words());
        }
        if let Some(server) = &mut self.server {
            // Already gone is just as well, and a panic in a destructor would hide the test's own.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// The script replaces itself by the server, so the child is the server.
fn script(folder: &Path, port: u16) -> Child {
    let output = || File::options().create(true).append(true).open(folder.join("output")).expect("open the database's output");
    Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/postgres"))
        .arg(folder)
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .spawn()
        .expect("start `tests/support/postgres`")
}
