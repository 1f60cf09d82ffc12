//! The adapter that reads another program's queue, on a real broker: nothing is acknowledged before it is on our bus, nothing is lost.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use quell_simulator::Options;
use serde_json::json;
use uuid::Uuid;

use crate::support::{broker::shared_url, lab::Lab};

/// A queue of somebody else's.
struct Foreign {
    channel: Channel,
    queue: String,
    _connection: Connection,
}

impl Foreign {
    async fn new() -> Self {
        let connection = Connection::connect(&shared_url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let foreign = Self { channel, queue: format!("soc-{}", Uuid::now_v7()), _connection: connection };
        foreign.declare().await;
        foreign
    }

    async fn declare(&self) {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(self.queue.as_str().into(), durable, FieldTable::default()).await.unwrap();
    }

    async fn send(&self, body: &[u8]) {
        self.send_as(body, BasicProperties::default()).await;
    }

    async fn send_as(&self, body: &[u8], properties: BasicProperties) {
        let (options, properties) = (BasicPublishOptions::default(), properties.with_delivery_mode(2));
        self.channel.basic_publish("".into(), self.queue.as_str().into(), options, body, properties).await.unwrap();
    }

    /// How many messages wait, those that are under way not counted.
    async fn waiting(&self) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(self.queue.as_str().into(), passive, FieldTable::default()).await.unwrap().message_count()
    }

    async fn delete(&self) {
        self.channel.queue_delete(self.queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }
}

async fn lab(foreign: &Foreign) -> Lab {
    let lab = Lab::new("url: embedded", Options::default()).await;
    let adapter = format!(
        "- {{name: soc_bus, type: amqp, url: '{}', queue: {}, prefetch: 5, map: {{id: body.id, kind: body.rule}}}}",
        shared_url(),
        foreign.queue
    );
    lab.change_settings("adapters:\n", &format!("adapters:\n  {adapter}\n"));
    lab
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not in time: {what}");
}

fn ids(lab: &Lab) -> Vec<String> {
    let rows = lab.json(&["alerts", "list", "--source", "soc_bus", "--limit", "100"]);
    let mut ids: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn expected(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("m-{number:03}")).collect()
}

async fn send(foreign: &Foreign, numbers: std::ops::Range<usize>) {
    for id in expected(numbers) {
        foreign.send(json!({"id": id, "rule": "intrusion"}).to_string().as_bytes()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_becomes_one_alert_over_a_death_and_what_is_none_is_set_aside() {
    let foreign = Foreign::new().await;
    let lab = lab(&foreign).await;
    // It dies with messages on its own bus that the other broker still holds as not acknowledged.
    send(&foreign, 0..20).await;
    let mut dying = lab.start_armed(&[], &[("QUELL_CRASH_AT", "feed_published:2")]);
    until("it is dead", async || dying.ended().is_some()).await;
    let quell = lab.run().await;
    send(&foreign, 20..40).await;
    foreign.send(b"\xff is no JSON").await;
    foreign.send(br#"{"id": "without a rule"}"#).await;
    until("all are in the journal", async || ids(&lab) == expected(0..40)).await;
    until("two are in the quarantine", async || lab.json(&["quarantine", "list"]).as_array().unwrap().len() == 2).await;
    drop(quell);
    until("all are acknowledged", async || foreign.waiting().await == 0).await;
    foreign.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_the_same_body_are_told_apart_by_what_their_sender_calls_them() {
    let foreign = Foreign::new().await;
    let lab = lab(&foreign).await;
    lab.change_settings("id: body.id, ", "");
    let quell = lab.run().await;
    let body = json!({"rule": "intrusion"}).to_string().into_bytes();
    for name in ["m-1", "m-2", "m-1"] {
        foreign.send_as(&body, BasicProperties::default().with_message_id(name.into())).await;
    }
    for tenant in ["contoso", "fabrikam", "contoso"] {
        let mut headers = FieldTable::default();
        headers.insert("tenant".into(), AMQPValue::LongString(tenant.into()));
        foreign.send_as(&body, BasicProperties::default().with_headers(headers)).await;
    }
    let deliveries = || {
        let rows = lab.json(&["alerts", "list", "--source", "soc_bus"]);
        let mut deliveries: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["deliveries"].as_i64().unwrap()).collect();
        deliveries.sort_unstable();
        deliveries
    };
    until("each is there, and repeats are counted", async || deliveries() == [1, 1, 2, 2]).await;
    drop(quell);
    foreign.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_and_made_again_is_read_again() {
    let foreign = Foreign::new().await;
    let lab = lab(&foreign).await;
    let quell = lab.run().await;
    send(&foreign, 0..1).await;
    until("the first is there", async || ids(&lab) == expected(0..1)).await;
    foreign.delete().await;
    until("its end is told", async || quell.log().contains("soc_bus is not connected")).await;
    foreign.declare().await;
    send(&foreign, 1..2).await;
    until("the second is there", async || ids(&lab) == expected(0..2)).await;
    foreign.delete().await;
}
