//! Other systems learn what happened, whatever dies in between: Quell before and after it announces, or the broker.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lapin::{
    Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicAckOptions, BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use quell_simulator::Options;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    broker::{Broker, shared_url},
    lab::Lab,
};

const NOTE: &str =
    "playbook: note\nmode: enforce\ntrigger: {alert: {match: {kind: noise}}}\nsteps: [{id: a, action: log, with: {message: x}}]\n";

/// What an alert that is answered makes known, in this order.
const OF_AN_ALERT: [&str; 4] = ["run.begun", "alert.decided", "step.ended", "run.ended"];

const PATIENCE: Duration = Duration::from_secs(45);

/// An installation that announces events, and another system that wants to hear them.
struct Heard {
    lab: Lab,
    exchange: String,
    url: String,
}

impl Heard {
    async fn at(url: &str) -> Self {
        let lab = Lab::on_broker(url, Options::default()).await;
        lab.playbook("note", NOTE);
        let exchange = format!("events-{}", Uuid::now_v7());
        lab.change_settings("bus: {", &format!("bus: {{events: {{exchange: {exchange}}}, "));
        let heard = Self { lab, exchange, url: url.to_owned() };
        let (_connection, channel) = heard.connect().await;
        let name = heard.exchange.as_str();
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(name.into(), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.into(), durable, FieldTable::default()).await.unwrap();
        channel.queue_bind(name.into(), name.into(), "#".into(), QueueBindOptions::default(), FieldTable::default()).await.unwrap();
        heard
    }

    async fn connect(&self) -> (Connection, Channel) {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    /// The events in the other system's queue, as they came, once there have been so many different ones and there are no more.
    async fn hears(&self, different: usize) -> Vec<Value> {
        let (_connection, channel) = self.connect().await;
        let (mut heard, begun) = (Vec::new(), Instant::now());
        loop {
            assert!(begun.elapsed() < PATIENCE, "heard {} of {different}: {heard:?}", ids(&heard).len());
            let Some(message) = channel.basic_get(self.exchange.as_str().into(), BasicGetOptions::default()).await.unwrap() else {
                if ids(&heard).len() >= different {
                    return heard;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let event: Value = serde_json::from_slice(&message.delivery.data).unwrap();
            let properties = &message.delivery.properties;
            assert_eq!(properties.message_id().as_ref().map(ToString::to_string).as_deref(), event["id"].as_str());
            assert_eq!((*properties.delivery_mode(), event["specversion"].as_str()), (Some(2), Some("1.0")));
            assert_eq!(event["type"], format!("quell.{}.v1", message.delivery.routing_key));
            message.delivery.ack(BasicAckOptions::default()).await.unwrap();
            heard.push(event);
        }
    }

    async fn send(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let now = jiff::Timestamp::now().to_string();
            let alert =
                json!({"id": format!("alert-{number}"), "source": "graph", "kind": "noise", "detected_at": now, "received_at": now});
            assert_eq!(self.lab.hook(&alert).await.unwrap().0, 202);
        }
    }
}

fn ids(events: &[Value]) -> BTreeSet<&str> {
    events.iter().map(|event| event["id"].as_str().unwrap()).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let kind =
        |event: &'_ Value| -> Option<&'static str> { OF_AN_ALERT.into_iter().find(|kind| event["type"] == format!("quell.{kind}.v1")) };
    events.iter().filter_map(kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_announced_wherever_quell_dies_and_a_repeat_has_the_same_id() {
    // After the commit and before the broker has it; after the broker has it and before that is noted.
    for (place, repeats) in [("announcing", false), ("announced", true)] {
        let heard = Heard::at(&shared_url()).await;
        let mut quell = heard.lab.start_armed(&[], &[("QUELL_CRASH_AT", place)]);
        heard.lab.ready(PATIENCE).await.unwrap();
        heard.send(0..1).await;
        let begun = Instant::now();
        while quell.ended().is_none() {
            assert!(begun.elapsed() < PATIENCE, "{place} was not reached\n{}", quell.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _quell = heard.lab.run().await;
        let store = heard.lab.store().await;
        let noted = async {
            while store.events_waiting().await.unwrap() > 0 || store.runs_in_progress().await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, noted).await.expect("nothing waits any more");
        let events = heard.hears(OF_AN_ALERT.len()).await;
        assert_eq!(events.len() > ids(&events).len(), repeats, "{place}: {events:?}");
        let mut seen: Vec<_> = events.iter().map(|event| (event["sequence"].as_str().unwrap(), event["id"].as_str().unwrap())).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), OF_AN_ALERT.len(), "{place}: a repeat is the same event");
        assert_eq!(kinds(&events).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(OF_AN_ALERT));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_that_is_killed_misses_no_event() {
    let mut broker = Broker::start().await;
    let heard = Heard::at(&broker.url()).await;
    let _quell = heard.lab.run().await;
    broker.settle().await;
    heard.send(0..5).await;
    broker.kill();
    // What people do meanwhile is announced when the broker is back.
    assert!(heard.lab.quell(&["stop-actions", "--reason", "a test"]).status.success());
    broker.start_again().await;
    heard.lab.ready(PATIENCE).await.unwrap();
    heard.send(5..8).await;
    let events = heard.hears(8 * OF_AN_ALERT.len() + 1).await;
    assert!(events.iter().any(|event| event["type"] == "quell.actions.stopped.v1" && event["data"]["reason"] == "a test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_of_events_that_cannot_be_used_keeps_no_alert_waiting() {
    let heard = Heard::at(&shared_url()).await;
    let other = format!("events-{}", Uuid::now_v7());
    let (_connection, channel) = heard.connect().await;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(other.as_str().into(), ExchangeKind::Fanout, durable, FieldTable::default()).await.unwrap();
    heard.lab.change_settings(&heard.exchange, &other);
    let quell = heard.lab.run().await;
    heard.send(0..3).await;
    let store = heard.lab.store().await;
    heard.lab.settled(&store, 3, PATIENCE).await;
    assert_eq!(store.events_waiting().await.unwrap(), 3 * 4);
    assert!(quell.log().contains("cannot be used as it is"), "the log says why");
}
