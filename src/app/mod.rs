//! The program put together: from settings to [`parts`] to what runs. Building may fail and says why; what runs is told to stop.

pub mod check;
pub mod parts;

mod folder;
mod journal;
mod reload;
mod restore;

pub use folder::Look;
pub use restore::After;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::watch;

use self::{
    journal::Journal,
    parts::{Ground, Parts, Unusable, faults_alone},
    reload::{Handle, Reloader},
};
use crate::{
    actions::{Services, World},
    adapters::{Feed, Hook, Task},
    bus::{
        Bus,
        embedded::EmbeddedBus,
        rabbitmq::{Announcer, Postbox, RabbitMq},
    },
    config::Config,
    engine::{Acting, Engine, KillSwitch, outbox::Relay},
    lifecycle::{Stop, Tasks},
    playbook::{Library, Shelf},
    store::{Act, Lock, Store},
    telemetry::{Metrics, signals::Signals},
    web::{Approvals, Behind, Readiness, Runs, Web},
};

/// A program that runs.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// Its journal.
    pub store: Store,
    /// What it counts.
    pub metrics: Metrics,
    tasks: Tasks,
    _lock: Option<Lock>,
}

/// Whether the parts that alerts flow through work.
#[derive(Debug, Clone, Copy, Default)]
struct Health {
    store: bool,
    bus: bool,
    consuming: bool,
}

/// Most calls end within their own limit of fifteen seconds, and a container is killed after thirty. What takes longer is found again.
const PATIENCE: Duration = Duration::from_secs(20);

/// In rounds of [`LOOK_EVERY`].
const PROBE_STORE_EVERY: u32 = 5;

/// Parts report on themselves this often; a probe that is older than a few of these is not worth much.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl App {
    /// Builds every part, then starts them.
    ///
    /// # Errors
    /// Says which part could not be built and what to do; [`Unusable`] when it is for the settings alone.
    pub async fn start(config: &Config, acting: Acting, after: After) -> anyhow::Result<Self> {
        let faults = faults_alone(config);
        if !faults.is_empty() {
            return Err(Unusable(faults).into());
        }
        let lock = Lock::take(config.store.url.expose())?;
        let tasks = Tasks::default();
        let metrics = Metrics::new()?;
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        metrics.process_start.set(seconds(Timestamp::now()));
        let signals = Signals::new(metrics.clone());
        let store = Store::open(&config.store, &tasks, Some(signals.clone())).await?.join(config.store.lease.0, &tasks).await?;
        let store = if acting == Acting::AsWritten { restore::answered(store, config, after).await? } else { store };
        // Taken before anything is started: it would end a program that is not yet ready for it.
        let hangup = reload::hangup();
        let (reloader, playbooks) = Reloader::load(config.playbooks.clone(), store.clone(), signals.clone());
        let library = reloader.shelf().current();
        let bus = open_bus(config, &store, &tasks)?;
        let ground = Ground { store: store.clone(), bus: Arc::clone(&bus), library: &library, signals: signals.clone(), tasks: &tasks };
        let Parts { net, connections, channels, adapters } = Parts::build(config, &ground)?;
        let readiness = watch::Sender::new(Health::default());
        let (mut hooks, mut sources) = (Vec::new(), Vec::new());
        for adapter in adapters {
            hooks.extend(adapter.hook);
            sources.push((adapter.task, adapter.feed));
        }
        let approvals = Approvals { store: store.clone(), people: Arc::new(config.users.clone()) };
        let behind = behind(hooks, metrics.clone(), readiness.subscribe(), (playbooks, approvals, reloader.shelf().clone()));
        let web = Web::bind(&config.web, behind).await?;
        let address = web.address();

        let (postbox, secrets) = (Postbox::of(&config.bus), config.secrets.clone());
        let services = Arc::new(Services { net, connections, channels, postbox, secrets });
        // A dry run tells nobody, and what an acting program has to tell is not for it to tell.
        if acting == Acting::AsWritten {
            tasks.spawn_vital("outbox", relay(config, &store, (&services, &signals), &tasks).run(tasks.stop()));
        }
        let switch = KillSwitch::at(&config.guardrails.stop_file);
        let journal = Journal { store: store.clone(), switch: switch.clone(), metrics: metrics.clone(), signals: signals.clone() };
        let engine = Engine {
            store: store.clone(),
            bus: Arc::clone(&bus),
            shelf: reloader.shelf().clone(),
            services,
            stage: Arc::new(World),
            guardrails: Arc::new(config.guardrails.clone()),
            kill_switch: Some(switch),
            approvals: Arc::new(config.approvals.clone()),
            acting,
            signals,
        };
        store.audit(start_of(&library, acting)).await?;
        engine.start(&tasks).await?;
        tasks.spawn("journal", journal.watch(tasks.stop()));
        tasks.spawn("health", watch_health(bus, store.clone(), metrics.clone(), readiness, tasks.stop()));
        tasks.spawn_vital("reloader", reloader.run(hangup, tasks.stop()));
        tasks.spawn("web", web.run(tasks.stop()));
        listen(sources, &tasks);
        Ok(Self { address, store, metrics, tasks, _lock: lock })
    }

    /// Waits until a part has failed that nothing works without.
    pub async fn failed(&self) {
        self.tasks.stop().requested().await;
    }

    /// Whether a part has failed that nothing works without.
    pub fn has_failed(&self) -> bool {
        self.tasks.have_failed()
    }

    /// Ends every part in order; says whether all ended in time. What was under way is found again at the next start.
    pub async fn end(self) -> bool {
        let Self { store, tasks, .. } = self;
        // The store's writer ends when nobody can write any more.
        drop(store);
        tasks.end(PATIENCE).await
    }
}

/// Sends what leaves.
fn relay(config: &Config, store: &Store, (services, signals): (&Arc<Services>, &Signals), tasks: &Tasks) -> Relay {
    Relay {
        store: store.clone(),
        services: Arc::clone(services),
        announcer: Announcer::start(&config.bus, tasks),
        language: config.telemetry.language,
        signals: signals.clone(),
    }
}

/// Lets adapters fetch and receive.
fn listen(sources: Vec<(Option<Task>, Option<Feed>)>, tasks: &Tasks) {
    for (poll, feed) in sources {
        if let Some(poll) = poll {
            tasks.spawn("poll", poll.run(tasks.stop()));
        }
        if let Some(feed) = feed {
            tasks.spawn("feed", feed.run(tasks.stop()));
        }
    }
}

/// What came into use with the start.
fn start_of(library: &Library, acting: Acting) -> Act {
    let detail = serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "dry_run": acting == Acting::DryRun});
    Act { who: "quell".to_owned(), what: "quell.start", subject: format!("playbooks {}", library.hash()), detail }
}

/// The bus that the settings name.
///
/// # Errors
/// The URL cannot be used.
pub fn open_bus(config: &Config, store: &Store, tasks: &Tasks) -> anyhow::Result<Arc<dyn Bus>> {
    if config.bus.is_embedded() {
        return Ok(Arc::new(EmbeddedBus::new(store.clone())));
    }
    let bus = RabbitMq::start(config.bus.clone(), tasks).map_err(anyhow::Error::msg)?;
    Ok(Arc::new(bus))
}

/// What the web shows and passes on.
fn behind(
    hooks: Vec<Hook>,
    metrics: Metrics,
    health: watch::Receiver<Health>,
    (playbooks, approvals, shelf): (Handle, Approvals, Shelf),
) -> Behind {
    let Handle { state, reload } = playbooks;
    let ready = move || {
        let Health { store, bus, consuming } = *health.borrow();
        Readiness { bus, store, consuming, playbooks: state.borrow().clone() }
    };
    let runs = Runs { store: approvals.store.clone(), people: Arc::clone(&approvals.people), shelf };
    Behind { hooks, metrics, ready: Arc::new(ready), reload, approvals, runs }
}

async fn watch_health(bus: Arc<dyn Bus>, store: Store, metrics: Metrics, readiness: watch::Sender<Health>, stop: Stop) {
    let mut rounds = 0_u32;
    let mut writable = false;
    loop {
        // Whether the journal can be written is only known by writing, which costs a commit.
        if rounds.is_multiple_of(PROBE_STORE_EVERY) {
            writable = store.probe().await.is_ok();
        }
        rounds = rounds.wrapping_add(1);
        let health = bus.health().await;
        metrics.bus_queue_depth.set(health.depth.unwrap_or_default());
        let consuming = metrics.bus_connected.get() == 1;
        readiness.send_replace(Health { store: writable, bus: health.publishing, consuming });
        if !stop.sleep(LOOK_EVERY).await {
            return;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts seconds in floating point; a microsecond more or less does not matter")]
fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}
