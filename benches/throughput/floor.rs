//! The floor: what it costs to take a message from the broker, send one request and acknowledge it, and nothing else.
//!
//! It keeps nothing: killed at the wrong moment it repeats an effect, and it cannot say what it did.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::sync::Semaphore;

/// As many as Quell lets be under way.
const AT_ONCE: usize = 64;

/// As Quell's own default.
const PREFETCH: u16 = 200;

/// Works until it is killed.
pub async fn run(broker: &str, queue: &str, sink: &str) {
    let connection = Connection::connect(broker, ConnectionProperties::default()).await.expect("connect to the broker");
    let channel = connection.create_channel().await.expect("open a channel");
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.expect("set the prefetch");
    let consumer = channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = consumer.await.expect("subscribe");
    eprintln!("{}", super::contestant::CONSUMING);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(15)).build().expect("make a client");
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.expect("receive");
        let place = Arc::clone(&places).acquire_owned().await.expect("a place");
        let (client, sink) = (client.clone(), sink.to_owned());
        tokio::spawn(async move {
            let event: serde_json::Value = serde_json::from_slice(&delivery.data).expect("JSON");
            let id = event["data"]["id"].as_str().expect("an id").to_owned();
            let reply = client.post(format!("{sink}/{id}")).body(id).send().await.expect("send a request");
            assert!(reply.status().is_success());
            reply.bytes().await.expect("read the answer");
            delivery.ack(BasicAckOptions::default()).await.expect("acknowledge");
            drop(place);
        });
    }
}
