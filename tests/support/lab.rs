//! A whole installation for one test: the simulator, a folder with settings and playbooks, and real `quell` processes.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use quell::{
    lifecycle::Tasks,
    store::{AlertFilter, AlertRow, RunFilter, Store, Timeline},
};
use quell_simulator::{Options, Simulator};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use super::ports::free_port;

/// The secret that the generic webhook of a lab asks for.
pub const TOKEN: &str = "a-token-that-only-the-test-knows";

/// Ten times what a debug build needs to start on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// An installation.
pub struct Lab {
    pub simulator: Simulator,
    pub folder: TempDir,
    pub port: u16,
    /// Where its journal is.
    pub journal: String,
}

/// A `quell run` that this test started; ended when dropped.
pub struct Quell {
    child: Child,
    log: PathBuf,
}

impl Lab {
    /// An installation on the embedded bus.
    pub async fn embedded() -> Self {
        Self::new("url: embedded", Options::default()).await
    }

    /// An installation on a broker, with names of its own there.
    pub async fn on_broker(url: &str, options: Options) -> Self {
        let name = format!("quell-test-{}", Uuid::now_v7());
        let bus = format!("url: '{url}', exchange: {name}, queue: {name}, dead_exchange: {name}-dead, dead_queue: {name}-dead");
        Self::new(&bus, options).await
    }

    /// An installation with those settings of the bus.
    pub async fn new(bus: &str, options: Options) -> Self {
        let simulator = Simulator::start(options).await.expect("start the simulator");
        let folder = tempfile::tempdir().expect("make a folder");
        let journal = format!("sqlite:{}", folder.path().join("quell.db").display());
        let lab = Self { simulator, folder, port: free_port(), journal };
        fs::create_dir(lab.path("playbooks")).expect("make the folder of playbooks");
        fs::write(lab.path("root.pem"), lab.simulator.root_certificate_pem()).expect("write the root certificate");
        fs::write(lab.path("quell.yaml"), lab.settings(bus)).expect("write the settings");
        lab
    }

    /// A file of the installation.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a playbook there.
    pub fn playbook(&self, name: &str, text: &str) {
        fs::write(self.path("playbooks").join(format!("{name}.yaml")), text).expect("write a playbook");
    }

    /// Puts the playbooks there that Quell is shipped with.
    pub fn shipped_playbooks(&self) {
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks"), &self.path("playbooks"));
    }

    /// Adds to the settings.
    pub fn add_settings(&self, text: &str) {
        let settings = fs::read_to_string(self.path("quell.yaml")).expect("read the settings");
        fs::write(self.path("quell.yaml"), format!("{settings}\n{text}\n")).expect("write the settings");
    }

    /// Changes the settings.
    pub fn change_settings(&self, from: &str, to: &str) {
        let settings = fs::read_to_string(self.path("quell.yaml")).expect("read the settings");
        assert!(settings.contains(from), "the settings have no `{from}`");
        fs::write(self.path("quell.yaml"), settings.replace(from, to)).expect("write the settings");
    }

    fn settings(&self, bus: &str) -> String {
        let it = &self.simulator;
        format!(
            r#"bus: {{{bus}}}
store: {{url: "{journal}"}}
playbooks: {playbooks}
web: {{listen: "127.0.0.1:{port}"}}
net: {{allow: ["127.0.0.1"]}}
telemetry: {{log: "debug,lapin=off,async_rs=off,hyper=off,reqwest=off,h2=off,rustls=off,sqlx=warn"}}
guardrails: {{without_approval: ["subscription.*", "entitlement.*"]}}
connections:
  contoso:
    type: microsoft
    tenant_id: {tenant}
    client_id: {client}
    client_secret: {secret}
    refresh_token: {refresh}
    login_url: {login}
    graph_url: {graph}
    partner_center_url: {partner_center}
adapters:
  - {{name: siem, type: webhook, path: /hooks/siem, auth: {{bearer: {TOKEN}}}, source: graph}}
  - {{name: partner_center, type: partner_center_webhook, path: /hooks/partner-center/k7p2, connection: contoso, source: graph,
     certificate_urls: ["{certificates}"], certificate_roots: {root}}}
channels:
  "slack:secops": {{url: "{slack}/services/secops"}}
  "teams:soc": {{url: "{teams}/workflows/soc"}}
  "email:oncall": {{smtp: "smtp://{smtp}", from: "quell@partner.example", to: ["oncall@partner.example"]}}
"#,
            journal = self.journal,
            playbooks = self.path("playbooks").display(),
            port = self.port,
            tenant = it.tenant_id(),
            client = it.client_id(),
            secret = it.client_secret(),
            refresh = it.refresh_token(),
            login = it.login_url(),
            graph = it.graph_url(),
            partner_center = it.partner_center_url(),
            certificates = it.certificate_url().rsplit_once('/').expect("a path").0.to_owned() + "/",
            root = self.path("root.pem").display(),
            slack = it.slack_url(),
            teams = it.teams_url(),
            smtp = it.smtp_address(),
        )
    }

    /// Keeps the journal in a PostgreSQL, with leases of three seconds.
    pub fn with_journal_in(mut self, url: &str) -> Self {
        self.change_settings(&format!("url: \"{}\"", self.journal), &format!("lease: 3s, url: \"{url}\""));
        url.clone_into(&mut self.journal);
        self
    }

    /// Starts a further `quell run` on the same bus and journal, and waits until alerts flow; returns its port as well.
    pub async fn run_another(&self) -> (Quell, u16) {
        let port = free_port();
        let quell = self.start_armed(&[], &[("QUELL_WEB__LISTEN", &format!("127.0.0.1:{port}"))]);
        let begun = Instant::now();
        loop {
            let answer = client().get(format!("http://127.0.0.1:{port}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return (quell, port);
            }
            assert!(begun.elapsed() < START_LIMIT, "another quell is not ready\n{}", quell.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The command line of this installation.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quell"));
        command.arg("--config").arg(self.path("quell.yaml")).args(arguments).current_dir(self.folder.path());
        // The simulator lets nothing work on that was not answered.
        command.env("QUELL_SOONER", "2000");
        command
    }

    /// Runs a command to its end.
    pub fn quell(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("run quell")
    }

    /// Runs a command that must succeed, and reads what it printed as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.quell(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Starts `quell run` and waits until alerts flow.
    pub async fn run(&self) -> Quell {
        self.run_with(&[]).await
    }

    /// Starts `quell run` with more arguments and waits until alerts flow.
    pub async fn run_with(&self, arguments: &[&str]) -> Quell {
        let quell = self.start_with(arguments);
        self.ready(START_LIMIT).await.unwrap_or_else(|reason| panic!("quell is not ready: {reason}\n{}", quell.log()));
        quell
    }

    /// Starts `quell run` and does not wait.
    pub fn start(&self) -> Quell {
        self.start_with(&[])
    }

    /// Starts `quell run` with what `strace` does to its calls of the system, and does not wait. One worker, so that they come in much the same
    /// order each time. `strace` looks on from beside it: the child is the program, and `strace` ends with it.
    pub fn start_traced(&self, inject: &str) -> Quell {
        let trace = self.path("trace");
        let quell = self.command(&["run"]);
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "--seccomp-bpf", "-e", inject, "-o"]).arg(trace).arg(quell.get_program()).args(quell.get_args());
        self.spawn(command.env("TOKIO_WORKER_THREADS", "1").current_dir(self.folder.path()))
    }

    /// Starts `quell run` on another port than the settings say, and does not wait.
    pub fn start_at(&self, port: u16) -> Quell {
        self.start_armed(&[], &[("QUELL_WEB__LISTEN", &format!("127.0.0.1:{port}"))])
    }

    fn start_with(&self, arguments: &[&str]) -> Quell {
        self.start_armed(arguments, &[])
    }

    /// Starts `quell run` with variables that `src/failpoints.rs` knows, and does not wait.
    pub fn start_armed(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Quell {
        self.spawn(self.command(&[&["run"], arguments].concat()).envs(variables.iter().copied()))
    }

    fn spawn(&self, command: &mut Command) -> Quell {
        let log = self.path("quell.log");
        let file = fs::File::options().create(true).append(true).open(&log).expect("open the log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("start quell run");
        Quell { child, log }
    }

    /// Waits until somebody takes connections there, which is just before work begins.
    pub async fn listens_at(&self, port: u16) {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begun.elapsed() < START_LIMIT, "nobody listens");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(&self, patience: Duration) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let answer = self.get("/readyz").await;
            match answer {
                Ok((200, _)) => return Ok(()),
                other if begun.elapsed() > patience => return Err(format!("{other:?}")),
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The address of a path of the installation.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Asks the web.
    pub async fn get(&self, path: &str) -> Result<(u16, String), reqwest::Error> {
        let reply = client().get(self.url(path)).send().await?;
        Ok((reply.status().as_u16(), reply.text().await?))
    }

    /// Sends an alert to the generic webhook.
    pub async fn hook(&self, alert: &Value) -> Result<(u16, String), reqwest::Error> {
        let request = client().post(self.url("/hooks/siem")).bearer_auth(TOKEN).header("content-type", "application/json");
        let reply = request.body(alert.to_string()).send().await?;
        Ok((reply.status().as_u16(), reply.text().await?))
    }

    /// The journal, beside the process that writes it.
    pub async fn store(&self) -> Store {
        Store::open(&self.journal, &Tasks::default(), None).await.expect("open the store")
    }

    /// Waits until so many alerts are decided about and every run has ended, but for those that wait for hours; returns what there is.
    pub async fn settled(&self, store: &Store, alerts: usize, patience: Duration) -> (Vec<AlertRow>, Vec<Timeline>) {
        let begun = Instant::now();
        loop {
            let rows = store.alerts(&AlertFilter::default()).await.expect("list alerts");
            let open =
                store.open_runs().await.expect("list runs").iter().filter(|(_, playbook)| !PATIENT.contains(&playbook.as_str())).count();
            let undecided = rows.iter().filter(|row| row.outcome == "received").count();
            if rows.len() >= alerts && undecided == 0 && open == 0 {
                return (rows, timelines(store).await);
            }
            let log = fs::read_to_string(self.path("quell.log")).unwrap_or_default();
            let tail = log.lines().rev().take(30).collect::<Vec<_>>().join("\n");
            assert!(
                begun.elapsed() < patience,
                "{} of {alerts} alerts, {undecided} undecided, {open} runs open after {patience:?}\n{tail}",
                rows.len()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Shipped playbooks that look again after a day.
const PATIENT: &[&str] = &["alarm-unanswered", "watch-after-containment"];

/// Every run with its steps.
pub async fn timelines(store: &Store) -> Vec<Timeline> {
    let mut timelines = Vec::new();
    for run in store.runs(&RunFilter::default()).await.expect("list runs") {
        timelines.extend(store.timeline(&run.id).await.expect("read a run"));
    }
    timelines
}

impl Quell {
    /// SIGKILL: a crash.
    pub fn kill(mut self) {
        self.child.kill().expect("kill quell");
        self.child.wait().expect("wait for quell");
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The signal that ended it, if it has ended; 0 if it ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("ask quell");
        status.map(|status| status.signal().unwrap_or_default())
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().expect("wait for quell")
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().expect("run kill");
        assert!(sent.success());
    }

    /// Whether somebody stopped it, as the kernel has it; a name may hold spaces and ends with a bracket.
    pub fn stands_still(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("read what the kernel says");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// The end of what it wrote.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Quell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the last words of quell\n{}", self.log());
        }
        // Already gone is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of the tests' own: they are the outside.
pub fn client() -> reqwest::Client {
    // Whoever installed a provider before installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("make a client")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("make a folder");
    for entry in fs::read_dir(from).expect("read a folder") {
        let path = entry.expect("read a folder").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copy a file");
        }
    }
}
