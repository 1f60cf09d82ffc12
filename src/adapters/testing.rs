//! What the tests of adapters share: a bus that can refuse, and surroundings made with it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    body::Body,
    http::{Request, Response},
};
use serde_json::Value;

use super::{AdapterConfig, Hook, Surroundings, Task, build};
use crate::{
    alert::Alert,
    bus::{BoxFuture, Bus, Consumer, Health, Lost, Message, PublishError},
    connections::Connections,
    expression::Sandbox,
    net::{Net, NetConfig},
    store::Store,
    telemetry::{Metrics, signals::Signals},
};

/// Keeps what is published, or refuses it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    messages: Mutex<Vec<Message>>,
    pub(super) refuses: AtomicBool,
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

    fn health(&self) -> Health {
        Health::default()
    }
}

impl Kept {
    pub(super) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    pub(super) fn alerts(&self) -> Vec<Alert> {
        self.messages().iter().filter_map(|it| Alert::from_event(&it.body).ok()).collect()
    }

    pub(super) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }
}

pub(super) fn surroundings() -> Surroundings {
    around(Arc::new(Kept::default()))
}

pub(super) fn around(bus: Arc<Kept>) -> Surroundings {
    Surroundings {
        bus,
        store: Store::default(),
        connections: Connections::default(),
        net: Net::new(&NetConfig::default()).unwrap(),
        sandbox: Sandbox::stub(),
        signals: Signals::new(Metrics::new().unwrap()),
    }
}

/// The one hook of these settings.
pub(super) fn hook(settings: Value, around: &Surroundings) -> Hook {
    let config: AdapterConfig = serde_json::from_value(settings).unwrap();
    build(&[config], around).unwrap().remove(0).hook.unwrap()
}

/// The one task of these settings.
pub(super) fn task(settings: Value, around: &Surroundings) -> Task {
    let config: AdapterConfig = serde_json::from_value(settings).unwrap();
    build(&[config], around).unwrap().remove(0).task.unwrap()
}

/// Posts a body to a hook; gives the status, the answer and one header of it.
pub(super) async fn post(hook: &Hook, headers: &[(&str, &str)], body: impl Into<Body>) -> (u16, Value, Response<()>) {
    let mut request = Request::post(&hook.path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) = hook.answer(request.body(body.into()).unwrap()).await.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap(), Response::from_parts(head, ()))
}
