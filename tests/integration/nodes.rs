//! Two nodes on one RabbitMQ and one PostgreSQL: they share the work, and the death of one, of the database or a long sleep does no harm.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use quell::run::RunState;
use quell_simulator::{Fault, FaultKind};

use crate::{
    load,
    spine::{CONTAIN, crypto_alert},
    support::{
        broker::shared_url,
        lab::{Lab, client},
        long::is_long,
        postgres::{Postgres, shared_schema},
    },
};

async fn lab(customers: usize, journal: &str) -> Lab {
    load::prepared(Lab::on_broker(&shared_url(), load::options(customers)).await.with_journal_in(journal))
}

/// How many runs a node has ended.
async fn ended_by(port: u16) -> u64 {
    let reply = client().get(format!("http://127.0.0.1:{port}/metrics")).send().await.expect("ask for metrics");
    let text = reply.text().await.expect("metrics");
    let lines = text.lines().filter(|line| line.starts_with("quell_runs_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_the_work_and_what_a_dead_one_left_is_done_within_its_lease() {
    let lab = lab(60, &shared_schema().await).await;
    let load = load::load(&lab.simulator, 2_000);
    fs::write(lab.path("load.jsonl"), load.lines.join("\n")).expect("write the load");
    let first = lab.run().await;
    let (_second, port) = lab.run_another().await;
    let mut sending = lab.command(&["send", "--raw", "load.jsonl"]).stdout(Stdio::null()).spawn().expect("start quell send");
    let begun = Instant::now();
    let (mut by_first, mut by_second) = (0, 0);
    while by_first < 100 || by_second < 100 {
        assert!(begun.elapsed() < Duration::from_mins(1), "{by_first} and {by_second}: one of them does it all");
        tokio::time::sleep(Duration::from_millis(50)).await;
        (by_first, by_second) = (ended_by(lab.port).await, ended_by(port).await);
    }
    first.kill();
    assert!(sending.wait().expect("wait for quell send").success());
    let store = lab.store().await;
    let found = lab.settled(&store, load.ids.len(), Duration::from_mins(3)).await;
    load::holds(&lab, &store, &load, &found, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_slept_past_its_lease_overrules_no_person_when_it_wakes() {
    let lab = Lab::on_broker(&shared_url(), load::options(1)).await.with_journal_in(&shared_schema().await);
    lab.playbook("contain", CONTAIN);
    let slow = Fault {
        method: Some("PATCH".to_owned()),
        path: Some("/subscriptions/".to_owned()),
        ..Fault::always(FaultKind::DelayAnswer { milliseconds: 60_000 })
    };
    lab.simulator.fault(Fault { times: Some(1), ..slow });
    let sleeper = lab.run().await;
    let (_, document) = crypto_alert(&lab.simulator, 0);
    lab.hook(&document).await.expect("send an alert");
    lab.simulator.wait_for("subscription.suspended", 1, Duration::from_secs(30)).await.expect("the request arrives");
    sleeper.signal("STOP");
    let plan = lab.simulator.world()[0].plan.id.clone();
    assert!(lab.simulator.reactivate(&plan), "a person makes it active again");

    let (_other, _) = lab.run_another().await;
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, Duration::from_mins(1)).await;
    assert_eq!(runs[0].run.state, RunState::Indeterminate, "{:#?}", runs[0]);
    sleeper.signal("CONT");
    // Its call is over by its own time limit, its lease is renewed, and it has looked for work several times.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let suspended = lab.simulator.effects("subscription.suspended");
    assert_eq!(suspended.len(), 1, "{suspended:#?}");
    assert_eq!(serde_json::to_value(lab.simulator.world()[0].plan.status).expect("a word"), "active");
    let after = lab.settled(&store, 1, Duration::from_secs(5)).await.1;
    assert_eq!(serde_json::to_value(&after).expect("JSON"), serde_json::to_value(&runs).expect("JSON"), "it wrote something");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_database_under_load_loses_nothing_and_everything_goes_on_by_itself() {
    let mut database = Postgres::start().await;
    let lab = lab(60, &database.url()).await;
    let kills = if is_long() { 200 } else { 20 };
    let load = load::load(&lab.simulator, 100 * kills);
    let _first = lab.run().await;
    let _second = lab.run_another().await;
    for piece in load.lines.chunks(load.lines.len().div_ceil(kills)) {
        fs::write(lab.path("load.jsonl"), piece.join("\n")).expect("write the load");
        let mut sending = lab.command(&["send", "--raw", "load.jsonl"]).stdout(Stdio::null()).spawn().expect("start quell send");
        tokio::time::sleep(Duration::from_millis(fastrand::u64(300..1_500))).await;
        database.kill();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..2_000))).await;
        database.start_again().await;
        assert!(sending.wait().expect("wait for quell send").success());
    }
    let store = lab.store().await;
    let found = lab.settled(&store, load.ids.len(), Duration::from_mins(3)).await;
    load::holds(&lab, &store, &load, &found, kills).await;
}
