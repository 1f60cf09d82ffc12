//! Tests: what stands at the edge of a period, and the times of schedules.

use std::{fs, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{pipeline::Job, report::Report, *};
use crate::{
    alert::Alert,
    clock::Clock,
    engine::{
        Guardrails, SiteApprovals,
        foresight::{self, Answer, Answers, Approvals, Outlook, Subject, Tally},
        schedules,
    },
    lifecycle::Tasks,
    run::StepRecord,
    store::{Arrival, Begun, Change, Received, Store},
};

fn at(text: &str) -> Timestamp {
    format!("2026-03-02T{text}:00Z").parse().unwrap()
}

/// A journal into which alerts of one subscription came at these times.
async fn journal(times: &[&str]) -> Store {
    let clock = Clock::standing_at(at("00:00"));
    let store = Store::open("sqlite::memory:", &Tasks::default(), None).await.unwrap().dated_by(clock.clone());
    for time in times {
        clock.advance_to(at(time));
        let alert = json!({
            "id": time, "source": "s", "kind": "mining", "title": "t", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002",
            "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "detected_at": at(time), "received_at": at(time),
        });
        let alert: Alert = serde_json::from_value(alert).unwrap();
        store.take_in(vec![Arrival::Alert(Box::new(Received { event: alert.to_event(), alert }))]).await.unwrap();
    }
    clock.advance_to(at("23:00"));
    store
}

fn library(text: &str) -> Arc<Library> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    let library = Library::load(folder.path());
    assert_eq!(library.refused(), 0, "{:?}", library.problems);
    Arc::new(library)
}

async fn replayed(store: &Store, library: &Arc<Library>, (since, until): (&str, &str)) -> Report {
    let job = Job {
        library: Arc::clone(library),
        guardrails: Arc::new(serde_json::from_value::<Guardrails>(json!({"without_approval": ["*"]})).unwrap()),
        site: Arc::new(SiteApprovals::default()),
        holds: Arc::from([]),
        approvals: Approvals::Approve,
        within: While { since: at(since), until: at(until) },
    };
    pipeline::run(store, job).await.unwrap()
}

#[tokio::test]
async fn windows_and_limits_hold_at_the_beginning_what_came_before_the_period() {
    let store = journal(&["09:30", "09:50", "10:10", "10:20"]).await;
    let note = "steps: [{id: a, action: log, with: {message: x}}]";
    for (windows, held, runs) in [
        ("dedup: {key: a, window: 1h}", "dedup", 0),
        ("threshold: {key: a, count: 3, within: 1h}", "", 2),
        ("throttle: {key: a, max: 3, per: 1h}", "throttle", 1),
        ("dedup: {key: a, window: 5m}", "", 2),
        // The first run began at 09:35, so that the next one begins at 10:35, for the alert of 09:50.
        ("group: {by: [subscription_id], wait: 5m, interval: 1h}", "joined", 0),
    ] {
        let library = library(&format!("playbook: p\nmode: enforce\ntrigger: {{alert: {{match: {{kind: mining}}}}}}\n{windows}\n{note}\n"));
        let report = replayed(&store, &library, ("10:00", "11:00")).await;
        let counts = &report.playbooks["p"];
        assert_eq!((report.alerts, counts.matched, counts.runs), (2, 2, runs), "{windows}");
        let by_window = counts.held.get(held).copied().unwrap_or_default();
        assert_eq!(by_window + counts.joined, 2 - runs, "{windows}: {:?}", counts.held);
    }

    let suspend = "{id: s, action: subscription.suspend, with: {customer_tenant_id: '${alert.customer_tenant_id}', subscription_id: '${alert.subscription_id}'}}";
    let limited = format!(
        "playbook: p\nmode: enforce\ntrigger: {{alert: {{match: {{kind: mining}}}}}}\n\
         guardrails: [{{action: 'subscription.*', max: 3, per: 1h}}]\nsteps: [{suspend}]\n"
    );
    let report = replayed(&store, &library(&limited), ("10:00", "11:00")).await;
    assert_eq!((report.playbooks["p"].destructive, report.playbooks["p"].failed), (1, 1));
}

const HOURLY: &str = "playbook: p\nmode: enforce\ntrigger: {schedule: {cron: '0 * * * *'}}\nsteps:\n  \
    - {id: look, action: subscription.get, with: {customer_tenant_id: 11111111-aaaa-4aaa-8aaa-000000000001, subscription_id: 22222222-bbbb-4bbb-8bbb-000000000002}}\n  \
    - {id: quiet, if: steps.look.output.status == 'active', stop: {outcome: no_action, reason: active}}\n  \
    - {id: tell, action: notify, with: {channels: ['log:default'], text: 'it is off at ${inputs.scheduled_at}'}}\n";

struct Said(&'static str);

impl Answers for Said {
    fn answer(&self, step: &StepRecord) -> Answer {
        Answer::Output(if step.action == "subscription.get" { json!({"status": self.0}) } else { json!({}) })
    }
}

/// Records a run of that time as it went when the subscription had that status.
async fn record(store: &Store, library: &Library, time: &str, status: &'static str) {
    let playbook = library.get("p").unwrap();
    let new = schedules::run_at(playbook, at(time), at(time)).unwrap();
    assert_eq!(store.begin(new.clone()).await.unwrap(), Begun::New);
    let run = foresight::run_of(&new, None, at(time));
    let subject = Subject { playbook, run: &run, alert: None, seen: &Value::Null, alerts: &json!([]) };
    let (guardrails, site) = (Guardrails::default(), SiteApprovals::default());
    let outlook = Outlook { guardrails: &guardrails, site: &site, holds: &[], answers: &Said(status), approvals: Approvals::Approve };
    let done = foresight::foresee(subject, outlook, &mut Tally::default());
    for step in done.steps {
        store.record(Change { step: Some(step), ..Change::of(run.clone()) }).await.unwrap();
    }
    store.record(Change::of(done.run)).await.unwrap();
}

#[tokio::test]
async fn each_time_of_a_schedule_is_replayed_with_what_was_read_then() {
    let (store, library) = (journal(&["08:30", "10:30"]).await, library(&HOURLY.replace("'active'", "\"active\"")));
    record(&store, &library, "09:00", "active").await;
    record(&store, &library, "10:00", "suspended").await;
    record(&store, &library, "13:00", "active").await;
    let report = replayed(&store, &library, ("09:00", "12:00")).await;
    let counts = &report.playbooks["p"];
    // Of 11:00 nothing is recorded: it is told as a gain, and what it would read is not known.
    assert_eq!((report.alerts, report.times, counts.matched, counts.runs, counts.was.runs), (1, 3, 3, 3, 2));
    assert_eq!((counts.notifications, counts.was.notifications, counts.unclear), (2, 1, 1));
    let differences = &report.differences;
    assert_eq!(
        (differences.gain_time.count, differences.lose_time.count, differences.unclear.count, differences.gain_run.count),
        (1, 0, 1, 0)
    );
    let gained = &differences.gain_time.shown[0];
    assert_eq!((gained.alert, gained.time), (None, Some(at("11:00"))));
    assert!(text::line(gained).starts_with("2026-03-02T11:00:00Z p"), "{}", text::line(gained));
}

#[tokio::test]
async fn a_time_that_is_held_or_gone_or_fails_is_told() {
    let store = journal(&[]).await;
    let hourly = library(&HOURLY.replace("'active'", "\"active\""));
    for time in ["09:00", "10:00", "11:00"] {
        record(&store, &hourly, time, "active").await;
    }
    let every_two = HOURLY.replace("'active'", "\"active\"").replace("0 * * * *", "0 */2 * * *");
    let report = replayed(&store, &library(&every_two), ("09:00", "12:00")).await;
    assert_eq!((report.times, report.playbooks["p"].runs, report.differences.lose_time.count), (3, 1, 2));
    let rest = "playbook: p\nmode: enforce\ntrigger: {schedule: {cron: '0 * * * *'}}\nconcurrency: {key: a, strategy: skip}\n\
                steps: [{id: rest, wait: {for: 200m}}]\n";
    let report = replayed(&store, &library(rest), ("10:00", "12:00")).await;
    // That of 08:00 is still open, although it is not counted.
    assert_eq!((report.playbooks["p"].runs, report.playbooks["p"].held["concurrency"]), (0, 2));
    let broken = "playbook: p\nmode: enforce\ntrigger: {schedule: {cron: '0 * * * *'}}\nvars: {x: '${1 / inputs.scheduled_at.len() * 0 + [1][4]}'}\n\
                  steps: [{id: a, action: log, with: {message: x}}]\n";
    let report = replayed(&store, &library(broken), ("09:00", "12:00")).await;
    assert_eq!((report.playbooks["p"].errors, report.differences.newly_failing.count), (3, 3));
}

#[test]
fn moments_are_times_days_and_how_long_ago() {
    assert_eq!(moment("2026-03-02T04:11:09Z").unwrap().to_string(), "2026-03-02T04:11:09Z");
    assert!(moment("2026-03-02").is_ok());
    let hour = Timestamp::now().duration_since(moment("1h").unwrap()).as_secs_f64().round();
    assert!((3600.0..3660.0).contains(&hour), "{hour}");
    assert!(moment("yesterday").unwrap_err().contains("`60d`"));
}
