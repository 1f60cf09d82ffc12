//! A network between Quell and the other side, and between Quell and its broker, that resets connections after any number of bytes, falls silent,
//! and hangs up: the equation holds, as the ledger behind the network has it.

use std::time::{Duration, Instant};

use quell_simulator::Options;
use serde_json::Value;

use crate::{
    equation::Equation,
    spine::{CONTAIN, crypto_alert},
    support::{
        broker::shared_url,
        lab::Lab,
        long::{is_long, seed},
        tcp_proxy::{Network, TcpProxy},
    },
};

/// More than any request or answer here has, so that the end of an exchange is hit as well.
const LONGEST: usize = 6_000;

/// About each one there is one alert.
const CUSTOMERS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn between_quell_and_the_other_side_may_cut_anything_anywhere() {
    for round in 0..rounds() {
        let lab = Lab::new("url: embedded", options()).await;
        let address = url::Url::parse(&lab.simulator.graph_url()).expect("a URL");
        let proxy = TcpProxy::start(address.port().expect("a port")).await;
        lab.change_settings(&format!("127.0.0.1:{}", address.port().expect("a port")), &proxy.address().to_string());
        survive(lab, &proxy, round).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_quell_and_its_broker_may_cut_anything_anywhere() {
    for round in 0..rounds() {
        let broker = url::Url::parse(&shared_url()).expect("a URL");
        let proxy = TcpProxy::start(broker.port().unwrap_or(5672)).await;
        let lab = Lab::on_broker(&proxy.url_through(&shared_url()), options()).await;
        survive(lab, &proxy, round).await;
    }
}

fn rounds() -> u64 {
    if is_long() { 20 } else { 1 }
}

fn options() -> Options {
    Options { customers: CUSTOMERS, cancel_delay: Duration::from_millis(200), ..Options::default() }
}

#[expect(clippy::print_stderr, reason = "with the seed a failure can be repeated")]
async fn survive(lab: Lab, proxy: &TcpProxy, round: u64) {
    let seed = seed();
    eprintln!("seed: QUELL_TEST_SEED={seed}, round {round}");
    let mut dice = fastrand::Rng::with_seed(seed.wrapping_add(round));
    // Attempts that follow each other soon, and more of them than the network spoils in a row.
    let patient = CONTAIN.lines().map(|line| match line.trim_start().strip_prefix("action: ") {
        Some(_) => format!("{line}\n    retry: {{delay: 200ms, max_delay: 1s, max_attempts: 20}}\n"),
        None => format!("{line}\n"),
    });
    lab.playbook("contain", &patient.collect::<String>());
    let quell = lab.run().await;
    let alerts: Vec<_> = (0..CUSTOMERS).map(|customer| crypto_alert(&lab.simulator, customer).1).collect();
    let connections = proxy.connections();
    for alert in &alerts {
        // It is spoilt in one way, whole for a moment, and spoilt again.
        let spoilt = if dice.u8(..4) == 0 { Network::BlackHole } else { Network::ResetAfter(dice.usize(..LONGEST)) };
        proxy.set(spoilt).await;
        let sent = send(&lab, alert, proxy);
        let (_, ()) = tokio::join!(sent, async {
            tokio::time::sleep(Duration::from_millis(dice.u64(20..400))).await;
            proxy.cut();
            proxy.set(Network::Pass).await;
        });
        tokio::time::sleep(Duration::from_millis(dice.u64(..200))).await;
    }
    let store = lab.store().await;
    let found = lab.settled(&store, alerts.len(), Duration::from_mins(2)).await;
    let ids: Vec<_> = alerts.iter().map(|alert| alert["id"].as_str().expect("an id").to_owned()).collect();
    let equation = Equation::of(&lab.simulator, &ids, &found);
    eprintln!("{} connections; {equation}", proxy.connections() - connections);
    equation.holds().expect("the equation");
    // Plans with more than one Azure subscription are not suspended.
    let cancelled = lab.simulator.counts().cancelled;
    assert!(cancelled * 10 >= alerts.len() * 9, "{cancelled} of {}: it would come out even if nothing were done", alerts.len());
    assert!(proxy.connections() - connections > 5, "it was cut");
    drop(quell);
}

/// As senders do: again, until it is taken.
async fn send(lab: &Lab, alert: &Value, proxy: &TcpProxy) {
    let begun = Instant::now();
    while !matches!(lab.hook(alert).await, Ok((202, _))) {
        assert!(begun.elapsed() < Duration::from_mins(1), "never taken; {} connections", proxy.connections());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
