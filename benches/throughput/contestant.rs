//! Who is measured: a process that consumes alerts and causes one effect for each, and what it took.

use std::{
    fmt, fs,
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use quell::{
    alert::Alert,
    bus::{
        Bus, Message,
        rabbitmq::{RabbitMq, Settings},
    },
    lifecycle::Tasks,
    secret::Secret,
};
use serde::Serialize;
use serde_json::json;

use crate::{sink::Sink, support::ports::free_port};

/// What a contestant writes to its log when it consumes; Quell says so already.
pub const CONSUMING: &str = "alerts are consumed";

/// Ten times what anything here needs on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is recorded after the last effect is part of the work.
const SETTLES: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Contestant {
    /// No journal: consume, one POST, acknowledge.
    Floor,
    /// `quell run`, with one GET for each alert: class `read`.
    QuellRead,
    /// `quell run`, with one POST for each alert: class `unsafe`, whose intent is committed first.
    QuellUnsafe,
}

/// What one round took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Took {
    pub alerts_per_second: f64,
    pub cpu_seconds_per_1000: f64,
    pub peak_megabytes: f64,
}

impl Contestant {
    pub const ALL: [Self; 3] = [Self::Floor, Self::QuellRead, Self::QuellUnsafe];

    /// One round: fills a fresh queue, starts the process, and waits for the last effect.
    pub async fn compete(self, broker: &str, alerts: usize) -> Took {
        let settings = fresh_queue(broker);
        fill(&settings, alerts).await;
        let sink = Sink::start(alerts).await;
        let folder = tempfile::tempdir().expect("make a folder");
        let log = folder.path().join("log");
        let output = File::create(&log).expect("make the log");
        let mut command = match self {
            Self::Floor => floor(&settings, &sink),
            Self::QuellRead => quell(&settings, &sink, folder.path(), "GET"),
            Self::QuellUnsafe => quell(&settings, &sink, folder.path(), "POST"),
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn().expect("start the contestant");
        let process = Process(child);
        let begun = consuming(&log).await;
        let cpu_before = process.cpu();
        let took = sink.complete(PATIENCE).await.duration_since(begun);
        tokio::time::sleep(SETTLES).await;
        let repeated = sink.repeated();
        assert_eq!(repeated, 0, "{self} repeated {repeated} effects");
        Took {
            alerts_per_second: alerts as f64 / took.as_secs_f64(),
            cpu_seconds_per_1000: (process.cpu() - cpu_before) * 1000.0 / alerts as f64,
            peak_megabytes: process.peak_megabytes(),
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Floor => "floor",
            Self::QuellRead => "quell, read",
            Self::QuellUnsafe => "quell, unsafe",
        })
    }
}

fn fresh_queue(broker: &str) -> Settings {
    let name = format!("throughput-{}", uuid::Uuid::now_v7());
    Settings {
        url: Secret::new(broker),
        exchange: name.clone(),
        dead_exchange: format!("{name}-dead"),
        dead_queue: format!("{name}-dead"),
        queue: name,
        ..Settings::default()
    }
}

/// Puts the alerts there as Quell's own adapters do, through a durable queue with confirmations.
async fn fill(settings: &Settings, alerts: usize) {
    let tasks = Tasks::default();
    let bus = RabbitMq::start(settings.clone(), &tasks).expect("use the broker");
    bus.connected(PATIENCE).await.expect("connect to the broker");
    let published = stream::iter(0..alerts).map(|number| bus.publish(message(number))).buffer_unordered(256);
    published.for_each(async |published| published.expect("publish")).await;
    tasks.end(PATIENCE).await;
}

/// About as large as what Microsoft sends.
fn message(number: usize) -> Message {
    let now = jiff::Timestamp::now();
    let details = json!({"estimated_cost": 240.5, "region": "westeurope", "virtual_machines": 40, "confirmed": true});
    let alert: Alert = serde_json::from_value(json!({
        "id": number.to_string(), "source": "graph", "kind": "crypto_mining", "severity": "high", "confidence": "high",
        "title": "Mining pool traffic", "description": "Virtual machines in this subscription talk to a known mining pool.",
        "customer_tenant_id": uuid::Uuid::now_v7(), "subscription_id": uuid::Uuid::now_v7(),
        "resources": (0..8).map(|at| format!("/subscriptions/{number}/resourceGroups/pool/virtualMachines/miner-{at}")).collect::<Vec<_>>(),
        "detected_at": now, "received_at": now, "details": details, "raw": {"body": "x".repeat(800)},
    }))
    .expect("an alert");
    Message { key: alert.dedup_key(), body: alert.to_event() }
}

fn floor(settings: &Settings, sink: &Sink) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("know the program"));
    command.args(["floor", settings.url.expose(), &settings.queue, &format!("http://{}", sink.address)]);
    command
}

fn quell(settings: &Settings, sink: &Sink, folder: &Path, method: &str) -> Command {
    let Settings { url, exchange, queue, dead_exchange, dead_queue, .. } = settings;
    let configuration = format!(
        "bus: {{url: '{}', exchange: {exchange}, queue: {queue}, dead_exchange: {dead_exchange}, dead_queue: {dead_queue}}}\n\
         store: {{url: 'sqlite:quell.db'}}\nplaybooks: playbooks\nweb: {{listen: '127.0.0.1:{}'}}\nnet: {{allow: ['127.0.0.1']}}\n",
        url.expose(),
        free_port(),
    );
    let playbook = format!(
        "playbook: effect\nmode: enforce\n\
         trigger: {{alert: {{match: {{kind: crypto_mining, severity: {{at_least: medium}}}}, when: 'alert.confidence == \"high\"'}}}}\n\
         steps: [{{id: effect, action: http.request, with: {{method: {method}, url: 'http://{}/${{alert.id}}'}}}}]\n",
        sink.address,
    );
    fs::write(folder.join("quell.yaml"), configuration).expect("write the settings");
    fs::create_dir(folder.join("playbooks")).expect("make a folder");
    fs::write(folder.join("playbooks/effect.yaml"), playbook).expect("write the playbook");
    let mut command = Command::new(env!("CARGO_BIN_EXE_quell"));
    command.arg("run").current_dir(folder);
    command
}

/// The moment from which on alerts are consumed.
async fn consuming(log: &Path) -> Instant {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if text.contains(CONSUMING) {
            return Instant::now();
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is consumed:\n{text}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A child that does not outlive its round.
struct Process(Child);

impl Process {
    /// The seconds of processor time that it has used (proc(5): fields 14 and 15, counted from after the name).
    fn cpu(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("the contestant still runs");
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().expect("a number")).sum();
        // Linux counts in hundredths of a second for every program on every architecture (`USER_HZ`).
        ticks / 100.0
    }

    fn peak_megabytes(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("the contestant still runs");
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak of memory");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is just as well.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
