//! What the tests of adapters share: a bus that can refuse, and surroundings made with it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderName, Request, Response},
};
use quell_simulator::Simulator;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{AdapterConfig, Hook, Surroundings, Task, build};
use crate::{
    alert::Alert,
    bus::{BoxFuture, Bus, Consumer, Health, Lost, Message, PublishError},
    connections::Connections,
    expression::Sandbox,
    lifecycle::Tasks,
    net::{Net, NetConfig},
    store::Store,
    telemetry::{Metrics, signals::Signals},
};

/// Keeps what is published, or refuses it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    messages: Mutex<Vec<Message>>,
    pub(crate) refuses: AtomicBool,
}

impl Bus for Kept {
    fn publish(&self, message: Message) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            if self.refuses.load(Ordering::Relaxed) {
                return Err(PublishError::Unavailable("the broker is away".to_owned()));
            }
            self.messages.lock().unwrap().push(message);
            Ok(())
        })
    }

    fn consume(&self) -> BoxFuture<'_, Result<Box<dyn Consumer>, Lost>> {
        Box::pin(async { Err(Lost("this bus only takes".to_owned())) })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async { Health::default() })
    }
}

impl Kept {
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    pub(crate) fn alerts(&self) -> Vec<Alert> {
        self.messages().iter().filter_map(|it| Alert::from_event(&it.body).ok()).collect()
    }

    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }
}

/// Surroundings of which everything but the bus is real.
pub(crate) struct Bench {
    pub(crate) around: Surroundings,
    pub(crate) bus: Arc<Kept>,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let bus = Arc::new(Kept::default());
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("quell.db").display());
        let net = NetConfig { allow: vec!["127.0.0.1".to_owned()], ..NetConfig::default() };
        let around = Surroundings {
            bus: Arc::<Kept>::clone(&bus),
            store: Store::open(&url, &Tasks::default(), None).await.unwrap(),
            connections: Connections::default(),
            net: Net::new(&net).unwrap(),
            sandbox: Sandbox::new(),
            signals: Signals::new(Metrics::new().unwrap()),
        };
        Self { around, bus, folder }
    }

    /// With the connection `contoso` to a simulator of Microsoft's services.
    pub(crate) async fn with(simulator: &Simulator) -> Self {
        Self::signed_in(simulator, None).await
    }

    /// With that connection, on behalf of a person.
    pub(crate) async fn consented(simulator: &Simulator) -> Self {
        Self::signed_in(simulator, Some(simulator.refresh_token())).await
    }

    async fn signed_in(simulator: &Simulator, refresh_token: Option<String>) -> Self {
        let mut bench = Self::new().await;
        let settings = json!({"contoso": {
            "type": "microsoft", "tenant_id": simulator.tenant_id(), "client_id": simulator.client_id(),
            "client_secret": simulator.client_secret(), "graph_url": simulator.graph_url(),
            "partner_center_url": simulator.partner_center_url(), "login_url": simulator.login_url(), "refresh_token": refresh_token,
        }});
        let configs = serde_json::from_value(settings).unwrap();
        bench.around.connections = Connections::build(&configs, &bench.around.net, &bench.around.store, &Tasks::default()).unwrap();
        bench
    }

    /// A metric's value, as it is written.
    pub(crate) fn metric(&self, line: &str) -> Option<String> {
        let text = String::from_utf8(self.around.signals.0.render().unwrap()).unwrap();
        text.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(' ').map(str::to_owned))
    }
}

/// The one hook of these settings.
pub(crate) fn hook(settings: Value, around: &Surroundings) -> Hook {
    let config: AdapterConfig = serde_json::from_value(settings).unwrap();
    build(&[config], around).unwrap().remove(0).hook.unwrap()
}

/// The one task of these settings.
pub(crate) fn task(settings: Value, around: &Surroundings) -> Task {
    let config: AdapterConfig = serde_json::from_value(settings).unwrap();
    build(&[config], around).unwrap().remove(0).task.unwrap()
}

/// Posts a body to a hook; gives the status, the answer and one header of it.
pub(crate) async fn post(hook: &Hook, headers: &[(&str, &str)], body: impl Into<Body>) -> (u16, Value, Response<()>) {
    let mut request = Request::post(&hook.path).header("content-type", "application/json").body(body.into()).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let (head, body) = hook.answer(request).await.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap(), Response::from_parts(head, ()))
}

/// Serves a router on this machine; gives its address.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(Tasks::default().spawn("test server", async move { axum::serve(listener, router).await }));
    address
}

/// Serves a hook alone; gives its address.
pub(crate) async fn serve_hook(hook: Hook) -> String {
    serve(Router::new().fallback(async move |request: axum::extract::Request| hook.answer(request).await)).await + "/"
}
