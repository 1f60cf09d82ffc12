//! What the intake promises on every bus, with a real store: commit first, then acknowledge; set aside what is no alert; wait while the
//! store cannot be written.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use quell::{
    actions::{Services, World},
    bus::{Message, rabbitmq::Postbox},
    channels::Channels,
    connections::Connections,
    engine::{Acting, Engine, Guardrails},
    net::{Net, NetConfig},
    playbook::{Library, Shelf},
    secret::Secrets,
    store::AlertFilter,
    telemetry::{Metrics, signals::Signals},
};
use serde_json::json;
use sqlx::Connection;

use crate::bus::{Setup, embedded, rabbitmq};

/// Longer than the store waits for a lock, so that a commit has failed by then.
const LONGER_THAN_A_LOCK_IS_WAITED_FOR: Duration = Duration::from_secs(8);

impl Setup {
    async fn start_engine(&self) {
        drop(rustls::crypto::ring::default_provider().install_default());
        let net = Net::new(&NetConfig::default()).unwrap();
        let channels = Channels::build(&std::collections::BTreeMap::new(), &net).unwrap();
        let engine = Engine {
            store: self.store.clone(),
            bus: Arc::clone(&self.bus),
            shelf: Shelf::new(Arc::new(Library::default())),
            services: Arc::new(Services {
                net,
                connections: Connections::default(),
                channels,
                postbox: Postbox::default(),
                secrets: Secrets::default(),
            }),
            stage: Arc::new(World),
            guardrails: Arc::new(Guardrails::default()),
            kill_switch: None,
            approvals: Arc::default(),
            acting: Acting::AsWritten,
            signals: Signals::new(Metrics::new().unwrap()),
        };
        engine.start(&self.tasks).await.unwrap();
    }

    /// Publishes alerts at once; gives the ids of those that were confirmed.
    async fn publish(&self, ids: std::ops::Range<usize>) -> BTreeSet<String> {
        let published = ids.map(async |number| {
            let (id, now) = (format!("alert-{number}"), jiff::Timestamp::now().to_string());
            let alert = json!({"id": id, "source": "siem", "kind": "noise", "detected_at": now, "received_at": now});
            let alert: quell::alert::Alert = serde_json::from_value(alert).unwrap();
            let confirmed = self.bus.publish(Message { key: alert.dedup_key(), body: alert.to_event() }).await;
            confirmed.is_ok().then_some(id)
        });
        futures_util::future::join_all(published).await.into_iter().flatten().collect()
    }

    async fn stored(&self) -> BTreeSet<String> {
        self.store.alerts(&AlertFilter::default()).await.unwrap().into_iter().map(|row| row.id).collect()
    }

    async fn until_stored(&self, ids: &BTreeSet<String>) {
        for _ in 0..300 {
            if self.stored().await.is_superset(ids) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("lost: {:?}", ids.difference(&self.stored().await).collect::<Vec<_>>());
    }

    /// Waits until so many messages wait on the bus: those that were delivered and not acknowledged are not among them.
    async fn until_waiting(&self, messages: i64) {
        let mut last = None;
        for _ in 0..150 {
            last = self.bus.health().await.depth;
            if last == Some(messages) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{last:?} messages wait, not {messages}");
    }

    /// Another program writes to the database for as long as the connection lives.
    async fn hold_the_store(&self) -> sqlx::SqliteConnection {
        let mut other = sqlx::SqliteConnection::connect(&self.store_url).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        other
    }
}

async fn what_is_no_alert_is_set_aside_once_with_its_bytes(setup: Setup) {
    let bodies = [&b"no alert"[..], b"\xff\x00\n", b"{\"specversion\": \"1.0\"}"];
    for body in bodies {
        setup.bus.publish(Message { key: "x".to_owned(), body: body.to_vec() }).await.unwrap();
    }
    setup.start_engine().await;
    let good = setup.publish(0..1).await;
    setup.until_stored(&good).await;
    setup.until_waiting(0).await;
    // Time enough for a message that was given back to come again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let set_aside = setup.store.quarantine(false, 10).await.unwrap();
    let mut kept: Vec<_> = set_aside.iter().map(|row| (row.reason.as_str(), row.body.as_slice())).collect();
    kept.sort_unstable();
    let mut expected = bodies.map(|body| ("malformed", body));
    expected.sort_unstable();
    assert_eq!(kept, expected);
}

async fn nothing_is_consumed_while_the_store_cannot_be_written(setup: Setup) {
    let ids = setup.publish(0..5).await;
    assert_eq!(ids.len(), 5);
    let other = setup.hold_the_store().await;
    setup.start_engine().await;
    tokio::time::sleep(LONGER_THAN_A_LOCK_IS_WAITED_FOR).await;
    setup.until_waiting(5).await;
    assert!(setup.stored().await.is_empty());
    other.close().await.unwrap();
    setup.until_stored(&ids).await;
    setup.until_waiting(0).await;
}

async fn what_could_not_be_committed_is_not_acknowledged_and_comes_again(setup: Setup) {
    setup.start_engine().await;
    let mut ids = setup.publish(0..5).await;
    setup.until_stored(&ids).await;
    let other = setup.hold_the_store().await;
    // On the embedded bus the senders are told to come back; a broker takes the alerts and keeps them.
    let confirmed = setup.publish(5..10).await;
    tokio::time::sleep(LONGER_THAN_A_LOCK_IS_WAITED_FOR).await;
    setup.until_waiting(i64::try_from(confirmed.len()).unwrap()).await;
    assert_eq!(setup.stored().await, ids);
    other.close().await.unwrap();
    ids.extend(confirmed);
    setup.until_stored(&ids).await;
    ids.extend(setup.publish(5..10).await);
    assert_eq!(ids.len(), 10, "senders are heard again");
    setup.until_stored(&ids).await;
    setup.until_waiting(0).await;
    assert_eq!(setup.stored().await, ids);
}

on_both_buses!(
    what_is_no_alert_is_set_aside_once_with_its_bytes,
    nothing_is_consumed_while_the_store_cannot_be_written,
    what_could_not_be_committed_is_not_acknowledged_and_comes_again,
);
