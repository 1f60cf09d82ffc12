//! A node that stands still between its intent and its call, for longer than the others wait for it: whatever was decided meanwhile about
//! what it left, it sends nothing when it goes on. Without that fence it is noticed.

use std::time::Duration;

use quell::run::{Class, RunState};
use quell_simulator::Options;

use super::scenes::{act, alerts, playbook};
use crate::{
    equation::Equation,
    support::{lab::Lab, postgres::shared_schema},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_slept_between_its_intent_and_its_call_makes_no_call_when_it_wakes() {
    slept(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fence_a_node_that_slept_is_noticed_to_call_when_nobody_expects_it() {
    let noticed = slept(Some("no_fence")).await.expect_err("it is not noticed");
    assert!(noticed.starts_with("late: "), "{noticed}");
}

async fn slept(mistake: Option<&str>) -> Result<(), String> {
    let lab = Lab::new("url: embedded", Options::default()).await.with_journal_in(&shared_schema().await);
    lab.playbook("act", &playbook("act", "", &act(Class::Unsafe)).replace("SLACK", &lab.simulator.slack_url()));
    let variables: Vec<_> =
        [("QUELL_STAND_STILL_AT", "intent_written")].into_iter().chain(mistake.map(|it| ("QUELL_MISTAKE", it))).collect();
    let sleeper = lab.start_armed(&[], &variables);
    lab.ready(Duration::from_secs(30)).await?;
    let alert = alerts(1)(&lab).remove(0);
    // It may stand still before its answer is sent.
    drop(tokio::time::timeout(Duration::from_secs(5), lab.hook(&alert)).await);
    while !sleeper.stands_still() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let (_other, _) = lab.run_another().await;
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, Duration::from_mins(2)).await;
    assert_eq!(runs[0].run.state, RunState::Indeterminate, "{:#?}", runs[0]);
    // A person looks, and there is nothing.
    let run = runs[0].run.id.to_string();
    let settled = lab.quell(&["runs", "settle", &run, "--did-not", "--reason", "there is nothing", "--as", "mina"]);
    assert!(settled.status.success(), "{}", String::from_utf8_lossy(&settled.stderr));
    lab.settled(&store, 1, Duration::from_secs(30)).await;

    sleeper.signal("CONT");
    // It has a new lease by then, and has looked for work several times.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let found = lab.settled(&store, 1, Duration::from_secs(30)).await;
    let equation = Equation::of(&lab.simulator, alert["id"].as_str().map(str::to_owned).iter(), &found);
    if equation.effects > 0 {
        return Err(format!("late: {} effects, after a person had found that there was none", equation.effects));
    }
    equation.holds()
}
