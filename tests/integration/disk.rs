//! A disk that is full, or fails, for a while: senders are told to come back, nothing is done that is not written down, and when there is room
//! again work goes on, without anybody's help.

use std::{
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    equation::Equation,
    spine::{CONTAIN, crypto_alert, customer_with},
    support::lab::{Lab, Quell},
};

/// Every write to the disk fails as long as this is there.
struct Failing(Child);

impl Failing {
    /// Begins; returns when writes fail.
    async fn begin(lab: &Lab, quell: &Quell, error: &str) -> Self {
        let inject = format!("inject=pwrite64,fsync,fdatasync,ftruncate:error={error}");
        let (trace, id) = (lab.path("trace"), quell.id().to_string());
        let strace = Command::new("strace").args(["-f", "-qq", "-p", &id, "-e", &inject, "-o"]).arg(&trace).spawn().expect("start strace");
        let it = Self(strace);
        let begun = Instant::now();
        // A journal that cannot be written is found out by writing.
        while lab.get("/readyz").await.expect("an answer").0 != 503 {
            assert!(begun.elapsed() < Duration::from_mins(1), "nobody tells that the journal cannot be written");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        it
    }

    /// It lets go of the program, which then runs as before.
    fn end(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().expect("run kill");
        assert!(asked.success());
        self.0.wait().expect("wait for strace");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_survived() {
    survived("ENOSPC").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_is_told_and_survived() {
    survived("EIO").await;
}

async fn survived(error: &str) {
    let lab = Lab::embedded().await;
    lab.playbook("contain", CONTAIN);
    let mut quell = lab.run().await;
    let alerts: Vec<_> = (0..3).map(|number| about(&lab, number)).collect();
    // The first is under way while the disk fills up.
    assert_eq!(lab.hook(&alerts[0]).await.expect("an answer").0, 202);
    let failing = Failing::begin(&lab, &quell, error).await;
    let before = lab.simulator.counts();
    let (code, body) = lab.hook(&alerts[1]).await.expect("an answer");
    assert!(code == 503 && body.contains("send it again later"), "{code} {body}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (after, written) = (lab.simulator.counts(), before);
    assert_eq!((after.cancelled, after.suspended), (written.cancelled, written.suspended), "nothing is begun that cannot be written down");
    failing.end();

    lab.ready(Duration::from_mins(1)).await.expect("it is ready again by itself");
    for alert in &alerts[1..] {
        assert_eq!(lab.hook(alert).await.expect("an answer").0, 202);
    }
    let store = lab.store().await;
    let found = lab.settled(&store, alerts.len(), Duration::from_mins(2)).await;
    let ids: Vec<_> = alerts.iter().map(|alert| alert["id"].as_str().expect("an id").to_owned()).collect();
    let equation = Equation::of(&lab.simulator, &ids, &found);
    equation.holds().expect("the equation");
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended), (3, 3), "{equation}");
    assert_eq!(quell.ended(), None, "it runs still");
}

/// An alert about a customer of its own.
fn about(lab: &Lab, number: usize) -> Value {
    let fitting = lab.simulator.world().into_iter().enumerate().filter(|(_, customer)| customer.plan.entitlements.len() == 1);
    let customers: Vec<_> = fitting.map(|(at, _)| at).collect();
    assert_eq!(customers[0], customer_with(&lab.simulator, 1));
    crypto_alert(&lab.simulator, customers[number]).1
}
