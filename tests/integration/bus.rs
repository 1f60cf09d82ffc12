//! What every bus promises, asked of each of them.

use std::{sync::Arc, time::Duration};

use quell::{
    bus::{
        Bus, Consumer, Delivery, Message,
        embedded::EmbeddedBus,
        rabbitmq::{Letter, PostError, Postbox, RabbitMq, Settings},
    },
    lifecycle::Tasks,
    secret::Secret,
    store::Store,
};
use uuid::Uuid;

use crate::support::{
    broker::{Broker, shared_url},
    tcp_proxy::{Network, TcpProxy},
};

/// A bus and a store of its own.
pub(crate) struct Setup {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) store: Store,
    pub(crate) store_url: String,
    pub(crate) tasks: Tasks,
    _folder: tempfile::TempDir,
}

async fn setup(bus: impl FnOnce(&Store, &Tasks) -> Arc<dyn Bus>) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::default();
    let store_url = format!("sqlite:{}", folder.path().join("quell.db").display());
    let store = Store::open(&store_url, &tasks, None).await.unwrap();
    Setup { bus: bus(&store, &tasks), store, store_url, tasks, _folder: folder }
}

pub(crate) async fn embedded() -> Setup {
    setup(|store, _| Arc::new(EmbeddedBus::new(store.clone()))).await
}

fn settings() -> Settings {
    let name = format!("contract-{}", Uuid::now_v7());
    Settings {
        url: Secret::new(shared_url()),
        exchange: name.clone(),
        queue: name.clone(),
        dead_exchange: format!("{name}-dead"),
        dead_queue: format!("{name}-dead"),
        ..Settings::default()
    }
}

async fn rabbitmq_with(settings: Settings) -> Setup {
    let setup = setup(|_, tasks| Arc::new(RabbitMq::start(settings, tasks).unwrap())).await;
    until_publishing(setup.bus.as_ref()).await;
    setup
}

pub(crate) async fn rabbitmq() -> Setup {
    rabbitmq_with(settings()).await
}

async fn until_publishing(bus: &dyn Bus) {
    let up = async {
        while !bus.health().await.publishing {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), up).await.expect("a connection to the broker");
}

/// Somebody else at the same broker.
async fn administrator() -> (lapin::Connection, lapin::Channel) {
    let connection = lapin::Connection::connect(&shared_url(), lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

fn message(number: usize) -> Message {
    Message { key: format!("key-{number}"), body: format!("body {number}").into_bytes() }
}

/// Receives exactly so many.
async fn receive(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(10), consumer.next(count - received.len())).await;
        received.extend(next.expect("a delivery in time").unwrap());
    }
    received
}

async fn nothing_comes(consumer: &mut Box<dyn Consumer>) -> bool {
    tokio::time::timeout(Duration::from_millis(700), consumer.next(10)).await.is_err()
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.body.clone()).unwrap()).collect()
}

async fn in_order_and_whole(setup: Setup) {
    for number in 0..50 {
        setup.bus.publish(message(number)).await.unwrap();
    }
    let mut consumer = setup.bus.consume().await.unwrap();
    let received = receive(&mut consumer, 50).await;
    assert_eq!(bodies(&received), (0..50).map(|number| format!("body {number}")).collect::<Vec<_>>());
    consumer.ack(received.iter().map(|delivery| delivery.receipt).collect()).await.unwrap();
    assert!(nothing_comes(&mut consumer).await);
    drop(consumer);
}

async fn what_is_not_acknowledged_comes_again(setup: Setup) {
    for number in 0..6 {
        setup.bus.publish(message(number)).await.unwrap();
    }
    let mut consumer = setup.bus.consume().await.unwrap();
    let received = receive(&mut consumer, 6).await;
    // The first two and the fifth: with and without a gap.
    let answered = [0, 1, 4].map(|at: usize| received[at].receipt);
    consumer.ack(answered.to_vec()).await.unwrap();
    drop(consumer);
    let mut consumer = setup.bus.consume().await.unwrap();
    let again = receive(&mut consumer, 3).await;
    let mut seen = bodies(&again);
    seen.sort();
    assert_eq!(seen, ["body 2", "body 3", "body 5"]);
    consumer.ack(again.iter().map(|delivery| delivery.receipt).collect()).await.unwrap();
    assert!(nothing_comes(&mut consumer).await);
}

async fn what_is_published_while_consuming_comes(setup: Setup) {
    let mut consumer = setup.bus.consume().await.unwrap();
    assert!(nothing_comes(&mut consumer).await);
    let any_bytes = Message { key: "a key\n with é and \0".to_owned(), body: vec![0, 255, 10, 0] };
    setup.bus.publish(any_bytes.clone()).await.unwrap();
    let received = receive(&mut consumer, 1).await;
    assert_eq!(received[0].body, any_bytes.body);
    assert_eq!(received[0].dead, None);
}

async fn many_publish_at_once(setup: Setup) {
    let published = (0..200).map(|number| setup.bus.publish(message(number)));
    assert!(futures_util::future::join_all(published).await.iter().all(Result::is_ok));
    let mut consumer = setup.bus.consume().await.unwrap();
    let mut seen = bodies(&receive(&mut consumer, 200).await);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 200);
}

async fn health_tells_the_length(setup: Setup) {
    setup.bus.publish(message(1)).await.unwrap();
    for _ in 0..100 {
        let health = setup.bus.health().await;
        assert!(health.publishing);
        if health.depth == Some(1) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the length of the queue was never told");
}

on_both_buses!(
    in_order_and_whole,
    what_is_not_acknowledged_comes_again,
    what_is_published_while_consuming_comes,
    many_publish_at_once,
    health_tells_the_length,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_queue_takes_is_an_error() {
    let settings = settings();
    let setup = rabbitmq_with(settings.clone()).await;
    let (_connection, channel) = administrator().await;
    let (queue, exchange) = (settings.queue.as_str(), settings.exchange.as_str());
    channel.queue_unbind(queue.into(), exchange.into(), "#".into(), lapin::types::FieldTable::default()).await.unwrap();
    let error = setup.bus.publish(message(1)).await.unwrap_err().to_string();
    assert!(error.contains("no queue is bound"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_keeps_what_it_confirmed() {
    let setup = rabbitmq_with(Settings { max_length_bytes: 20_000, ..settings() }).await;
    let mut confirmed = Vec::new();
    let refusal = loop {
        let number = confirmed.len();
        let body = format!("{number} {}", "x".repeat(1_000));
        match setup.bus.publish(Message { key: number.to_string(), body: body.clone().into_bytes() }).await {
            Ok(()) => confirmed.push(body),
            Err(error) => break error.to_string(),
        }
        assert!(confirmed.len() < 1_000, "the queue took more than it may hold");
    };
    assert!(refusal.contains("may be full"), "{refusal}");
    let mut consumer = setup.bus.consume().await.unwrap();
    let received = receive(&mut consumer, confirmed.len()).await;
    assert_eq!(bodies(&received), confirmed);
    consumer.ack(received.iter().map(|delivery| delivery.receipt).collect()).await.unwrap();
    // What was refused may be sent again once there is room.
    for _ in 0..100 {
        if setup.bus.publish(message(1)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the queue never took a message again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_made_anew_by_publisher_and_consumer() {
    let shared = shared_url();
    let proxy = TcpProxy::start(url::Url::parse(&shared).unwrap().port().unwrap_or(5672)).await;
    let setup = rabbitmq_with(Settings { url: Secret::new(proxy.url_through(&shared)), ..settings() }).await;
    let mut consumer = setup.bus.consume().await.unwrap();
    setup.bus.publish(message(0)).await.unwrap();
    let received = receive(&mut consumer, 1).await;
    consumer.ack(vec![received[0].receipt]).await.unwrap();

    let connections = proxy.connections();
    proxy.set(Network::Refuse).await;
    let lost = tokio::time::timeout(Duration::from_secs(10), consumer.next(10)).await.expect("the loss is noticed");
    assert!(lost.is_err(), "{lost:?}");
    assert!(setup.bus.publish(message(1)).await.is_err() && setup.bus.consume().await.is_err());
    proxy.set(Network::Pass).await;
    until_publishing(setup.bus.as_ref()).await;
    for number in 2..5 {
        setup.bus.publish(message(number)).await.unwrap();
    }
    let mut consumer = setup.bus.consume().await.unwrap();
    assert_eq!(bodies(&receive(&mut consumer, 3).await), ["body 2", "body 3", "body 4"]);
    assert!(proxy.connections() >= connections + 2, "publisher and consumer each connected again");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_declare_off_a_missing_or_different_queue_is_refused_by_name() {
    let settings = Settings { declare: false, ..settings() };
    let tasks = Tasks::default();
    let bus = RabbitMq::start(settings.clone(), &tasks).unwrap();
    let error = bus.connected(Duration::from_secs(3)).await.unwrap_err();
    assert!(error.contains(&settings.dead_exchange) && error.contains("is not there"), "{error}");
    let error = bus.consume().await.err().unwrap().to_string();
    assert!(error.contains("is not there"), "{error}");

    // Somebody else declares it with another limit.
    let setup = rabbitmq_with(Settings { declare: true, delivery_limit: 5, ..settings.clone() }).await;
    let error = bus.consume().await.err().unwrap().to_string();
    assert!(error.contains("x-delivery-limit") && error.contains(&settings.queue), "{error}");

    // A queue for the dead that would itself drop what is delivered too often.
    let (connection, channel) = administrator().await;
    let other = Settings { dead_queue: format!("{}-other", settings.dead_queue), delivery_limit: 5, ..settings.clone() };
    let durable = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
    let mut quorum = lapin::types::FieldTable::default();
    quorum.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    channel.queue_declare(other.dead_queue.as_str().into(), durable, quorum).await.unwrap();
    let error = RabbitMq::start(other.clone(), &tasks).unwrap().consume().await.err().unwrap().to_string();
    assert!(error.contains("x-delivery-limit") && error.contains(&other.dead_queue), "{error}");
    drop(connection);

    // And with the same one it is used as it is.
    let same = RabbitMq::start(Settings { delivery_limit: 5, ..settings }, &tasks).unwrap();
    same.connected(Duration::from_secs(10)).await.unwrap();
    assert!(same.consume().await.is_ok());
    drop(setup);
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_users_who_may_not_declare_use_what_an_administrator_declared() {
    let broker = Broker::start().await;
    let administrator = Settings { url: Secret::new(broker.url()), ..settings() };
    let modest = Settings { url: Secret::new(broker.user_who_may_not_declare()), ..administrator.clone() };
    let tasks = Tasks::default();

    let declaring = RabbitMq::start(modest.clone(), &tasks).unwrap();
    let error = declaring.connected(Duration::from_secs(3)).await.unwrap_err();
    assert!(error.contains("ACCESS_REFUSED") && error.contains("set `bus.declare` to false"), "{error}");

    let declared = RabbitMq::start(administrator, &tasks).unwrap();
    declared.connected(Duration::from_secs(20)).await.unwrap();
    let using = RabbitMq::start(Settings { declare: false, ..modest }, &tasks).unwrap();
    using.connected(Duration::from_secs(20)).await.unwrap();
    using.publish(message(1)).await.unwrap();
    let mut consumer = using.consume().await.unwrap();
    assert_eq!(bodies(&receive(&mut consumer, 1).await), ["body 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_gives_up_on_comes_marked_as_dead() {
    let settings = Settings { delivery_limit: 1, ..settings() };
    let setup = rabbitmq_with(settings.clone()).await;
    setup.bus.publish(message(1)).await.unwrap();
    for _ in 0..2 {
        let mut consumer = setup.bus.consume().await.unwrap();
        receive(&mut consumer, 1).await;
        drop(consumer);
    }
    let mut consumer = setup.bus.consume().await.unwrap();
    let dead = receive(&mut consumer, 1).await;
    assert!(dead[0].dead.as_deref().unwrap().contains("delivery_limit"), "{dead:?}");
    assert_eq!(dead[0].body, b"body 1");
    consumer.ack(vec![dead[0].receipt]).await.unwrap();
    assert!(nothing_comes(&mut consumer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_closed_port_are_said_without_the_password() {
    for url in ["amqp://guest:not-the-secret@127.0.0.1:1/%2f".to_owned(), shared_url().replace("guest:guest", "guest:not-the-secret")] {
        let tasks = Tasks::default();
        let bus = RabbitMq::start(Settings { url: Secret::new(url), ..settings() }, &tasks).unwrap();
        let error = bus.connected(Duration::from_secs(3)).await.unwrap_err();
        assert!(error.contains("127.0.0.1") && !error.contains("not-the-secret"), "{error}");
        assert!(bus.publish(message(1)).await.is_err());
    }
}

#[tokio::test]
async fn a_message_to_others_is_taken_by_a_queue_or_refused() {
    let others = settings();
    let theirs = rabbitmq_with(others.clone()).await;
    let mut consumer = theirs.bus.consume().await.unwrap();
    let postbox = Postbox::of(&settings());
    let letter = |exchange: &str, routing_key: &str| Letter {
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        id: Uuid::now_v7().to_string(),
        content_type: "application/json",
        body: b"{\"a\": 1}".to_vec(),
    };
    for (exchange, key) in [(others.exchange.as_str(), "any"), ("", others.queue.as_str())] {
        postbox.post(&letter(exchange, key)).await.unwrap();
        let taken = tokio::time::timeout(Duration::from_secs(10), consumer.next(10)).await.unwrap().unwrap();
        assert_eq!(taken.iter().map(|it| it.body.as_slice()).collect::<Vec<_>>(), [b"{\"a\": 1}".as_slice()]);
    }
    for (exchange, key, why) in [("nothing-of-that-name", "k", "cannot be used"), ("", "nothing-of-that-name", "no queue takes")] {
        let refused = postbox.post(&letter(exchange, key)).await.unwrap_err();
        assert!(matches!(&refused, PostError::Refused(it) if it.contains(why)), "{refused}");
    }
    let refused = Postbox::of(&others).post(&letter(&others.exchange, "any")).await.unwrap_err();
    assert!(matches!(&refused, PostError::Refused(it) if it.contains("Quell's own")), "{refused}");
}
