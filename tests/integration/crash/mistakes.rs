//! The product with one safeguard taken away: each mistake is noticed, and by which check is said here.
//!
//! The same trial without the mistake comes out even, so that it is the mistake that is noticed and nothing else.

use std::{process::Command, time::Duration};

use futures_util::FutureExt;
use quell::run::{Class, RunState};
use quell_simulator::{Fault, FaultKind};

use super::{
    Aftermath, Ordeal, all_hold,
    nested::{GROUP, missed_once, runs_are, schedule, staged},
    points::{APPLIED, death},
    scenes::{Marker, act, alerts, known_alert, playbook},
};

/// A mistake that a hurried change could make.
struct Mistake {
    /// As `src/failpoints.rs` knows it.
    name: &'static str,
    /// The check that notices, as its complaint begins.
    noticed_as: &'static str,
    trial: fn() -> Ordeal,
    /// What must hold besides the equation.
    also: fn(&Aftermath) -> Result<(), String>,
}

const fn mistake(name: &'static str, noticed_as: &'static str, trial: fn() -> Ordeal) -> Mistake {
    Mistake { name, noticed_as, trial, also: |_| Ok(()) }
}

const MISTAKES: [Mistake; 21] = [
    // Taking in.
    mistake("ack_before_commit", "lost", || patient(12, death(Class::Unsafe, "delivered"))),
    mistake("answer_unconfirmed", "lost", || {
        let nobody = "url: 'amqp://guest:guest@127.0.0.1:1/%2f'".to_owned();
        patient(4, Ordeal { bus: Some(nobody), crash_at: None, ..death(Class::Unsafe, "") })
    }),
    mistake("forget_seen", "doubled", || death(Class::Unsafe, "taken_in")),
    Mistake { also: quarantined, ..mistake("drop_malformed", "lost", malformed) },
    // Before a call.
    mistake("skip_intent", "doubled", || death(Class::Unsafe, "answered")),
    mistake("no_target_lock", "doubled", rivals),
    Mistake { also: |after| at_most(1, after), ..mistake("cap_outside_transaction", "limits", capped) },
    Mistake {
        also: |after| at_most(0, after),
        ..mistake("no_approval", "limits", || Ordeal {
            settings: vec![(r#"["subscription.*", "entitlement.*"]"#, "[]".to_owned())],
            ..alive(Class::Keyed)
        })
    },
    Mistake { also: second_is_held, ..mistake("no_holds", "doubled", wanted_again) },
    mistake("shadow_acts", "unplanned", || {
        let mut ordeal = alive(Class::Unsafe);
        ordeal.playbooks[0].1 = ordeal.playbooks[0].1.replace("mode: enforce", "mode: shadow");
        ordeal
    }),
    // What an outcome means.
    mistake("new_request_id", "unplanned", || death(Class::Keyed, "answered:2")),
    mistake("fresh_precondition", "doubled", overruled),
    mistake("repeat_unsafe", "doubled", || death(Class::Unsafe, "answered")),
    mistake("interrupted_is_not_done", "doubled", || death(Class::Unsafe, "answered")),
    mistake("timeout_is_not_done", "doubled", too_late),
    Mistake { also: all_done, ..mistake("accepted_is_done", "floor", || alive(Class::Verified)) },
    mistake("doubt_is_forgotten", "misjudged", in_doubt_on_error),
    mistake("doubt_unlocks", "doubled", || {
        let mut ordeal = overruled();
        ordeal.playbooks[0].1 = ordeal.playbooks[0].1.replace("\nsteps:", "timeout: 14s\nsteps:");
        Ordeal { alerts: Some(Box::new(two_about_the_same)), ..ordeal }
    }),
    // Windows and timers.
    Mistake {
        also: GROUP.also,
        ..mistake("group_stays_open", "group", || {
            let slow = Fault { service: Some("slack".to_owned()), ..Fault::once(FaultKind::DelayAnswer { milliseconds: 2_500 }) };
            let pace = Duration::from_millis(1_500);
            Ordeal { crash_at: None, faults: vec![slow], pace, ..staged(GROUP, (GROUP.playbooks)(Marker::Unsafe), String::new()) }
        })
    },
    Mistake {
        also: |after| runs_are(after, 2),
        ..mistake("windows_forgotten", "windows", || {
            let text = playbook("once", "throttle: {key: all, max: 2, per: 1h}", &[Marker::Unsafe.step("seen")]);
            Ordeal { playbooks: vec![("once", text)], alerts: Some(Box::new(alerts(5))), ..Ordeal::default() }
        })
    },
    Mistake {
        also: missed_once,
        ..mistake("ticks_before_runs", "ticks", || patient(10, schedule(Marker::Unsafe, Some("ticks_kept".to_owned()), None)))
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_noticed_by_the_check_that_is_named_for_it() {
    all_hold(MISTAKES.iter().map(|it| notice(it).boxed()).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_mistakes_the_same_trials_come_out_even() {
    all_hold(MISTAKES.iter().map(|it| comes_out_even(it).boxed()).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_is_on_the_disk_and_without_that_it_is_noticed() {
    // The alert, the decision, the intent and the outcome are four commits.
    let synced = syncs(&[]).await;
    assert!(synced >= 4, "{synced} syncs for four commits: after a power failure there would be calls without an intent");
    let mistaken = syncs(&[("QUELL_MISTAKE", "synchronous_normal")]).await;
    assert!(mistaken < 4, "`synchronous_normal` was not noticed: {mistaken} syncs");
}

/// How often the disk was waited for while one alert was worked on, as the kernel saw it.
async fn syncs(variables: &[(&str, &str)]) -> usize {
    let lab = alive(Class::Unsafe).installation().await;
    let quell = lab.start_armed(&[], variables);
    lab.ready(Duration::from_secs(30)).await.expect("quell is ready");
    let trace = lab.path("trace");
    let id = quell.id().to_string();
    let watch = ["-f", "-qq", "-e", "trace=fsync,fdatasync", "-p", &id, "-o"];
    let mut strace = Command::new("strace").args(watch).arg(&trace).spawn().expect("start strace");
    // The file is there when it has attached.
    while !trace.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(lab.hook(&alerts(1)(&lab)[0]).await.expect("an answer").0, 202);
    lab.settled(&lab.store().await, 1, Duration::from_secs(30)).await;
    quell.kill();
    // It ends with what it watches.
    strace.wait().expect("wait for strace");
    std::fs::read_to_string(trace).expect("read the trace").matches("sync(").count()
}

#[expect(clippy::print_stderr, reason = "by which check each was noticed is what the test is for")]
async fn notice(it: &Mistake) -> Result<usize, String> {
    match outcome(it, Some(it.name)).await {
        Ok(deaths) => Err(format!("`{}` was not noticed, with {deaths} deaths", it.name)),
        Err(complaint) if complaint.starts_with(it.noticed_as) => {
            let said = complaint.lines().next().unwrap_or_default();
            eprintln!("`{}` was noticed as {said:.140}", it.name);
            Ok(1)
        }
        Err(other) => Err(format!("`{}` was noticed, but not as `{}`: {other}", it.name, it.noticed_as)),
    }
}

async fn comes_out_even(it: &Mistake) -> Result<usize, String> {
    outcome(it, None).await.map_err(|why| format!("without `{}`: {why}", it.name))
}

async fn outcome(it: &Mistake, mistake: Option<&'static str>) -> Result<usize, String> {
    let after = Ordeal { mistake, ..(it.trial)() }.undergo().await?;
    after.equation.holds()?;
    (it.also)(&after)?;
    Ok(usize::from(after.died.is_some()))
}

/// What is lost or stuck never comes to rest, so that waiting longer shows nothing more.
fn patient(seconds: u64, ordeal: Ordeal) -> Ordeal {
    Ordeal { patience: Some(Duration::from_secs(seconds)), ..ordeal }
}

/// Nobody dies.
fn alive(class: Class) -> Ordeal {
    Ordeal { crash_at: None, ..death(class, "") }
}

/// One message that is no alert stands before one that is.
fn malformed() -> Ordeal {
    Ordeal {
        before: Some(Box::new(|lab| {
            async move {
                std::fs::write(lab.path("load.jsonl"), "{\"this is\": \"no alert\"}\n").expect("write a message");
                assert!(lab.quell(&["send", "--raw", "load.jsonl"]).status.success());
            }
            .boxed()
        })),
        ..alive(Class::Unsafe)
    }
}

fn quarantined(after: &Aftermath) -> Result<(), String> {
    let shown = after.lab.json(&["quarantine", "list"]);
    match shown.as_array().map(Vec::len) {
        Some(1) => Ok(()),
        _ => Err(format!("lost: the message that is no alert is not in the quarantine: {shown}")),
    }
}

/// Two alerts about one subscription, and an answer to the first cancellation so slow that the second run comes to it on any machine.
fn rivals() -> Ordeal {
    let slow = Fault { path: Some("/cancel".to_owned()), ..Fault::always(FaultKind::Delay { milliseconds: 2_500 }) };
    Ordeal { alerts: Some(Box::new(two_about_the_same)), faults: vec![slow], ..alive(Class::Keyed) }
}

fn two_about_the_same(lab: &crate::support::lab::Lab) -> Vec<serde_json::Value> {
    let first = known_alert(lab).remove(0);
    let mut second = first.clone();
    second["id"] = "another".into();
    vec![first, second]
}

/// Six runs want at once what one may do.
fn capped() -> Ordeal {
    let head = "guardrails: [{action: http.request, max: 1, per: 1h, on_exceed: stop}]";
    let steps = ["{id: together, wait: {for: 1s}}".to_owned(), Marker::Unsafe.step("act")];
    Ordeal { playbooks: vec![("capped", playbook("capped", head, &steps))], alerts: Some(Box::new(alerts(6))), ..Ordeal::default() }
}

fn at_most(most: usize, after: &Aftermath) -> Result<(), String> {
    let effects = after.equation.effects;
    if effects <= most { Ok(()) } else { Err(format!("limits: {effects} effects, and {most} allowed")) }
}

/// The plan was suspended, the answer was lost, and a person made it active again before the restart.
fn overruled() -> Ordeal {
    Ordeal {
        meanwhile: Some(Box::new(|lab| {
            let suspended = lab.simulator.effects("subscription.suspended").pop().and_then(|entry| entry.effect);
            assert!(lab.simulator.reactivate(&suspended.expect("a suspension").target));
        })),
        ..death(Class::Verified, APPLIED)
    }
}

/// One run suspended the plan, a person made it active again, and a second alert comes about the same.
fn wanted_again() -> Ordeal {
    Ordeal {
        alerts: Some(Box::new(two_about_the_same)),
        // By then the first run has ended, even on a busy machine.
        pace: Duration::from_secs(12),
        ..Ordeal { crash_at: Some("acknowledged:2".to_owned()), killed_on: None, faults: Vec::new(), ..overruled() }
    }
}

fn second_is_held(after: &Aftermath) -> Result<(), String> {
    let reasons: Vec<_> = after.found.1.iter().map(|run| run.run.reason.as_str()).collect();
    let held = reasons.iter().filter(|reason| reason.contains("is on hold until")).count();
    if held == 1 { Ok(()) } else { Err(format!("limits: {held} runs are held back: {reasons:?}")) }
}

/// The other side acts at once and answers when nobody waits any more.
fn too_late() -> Ordeal {
    let late = Fault { service: Some("slack".to_owned()), ..Fault::once(FaultKind::DelayAnswer { milliseconds: 2_500 }) };
    let steps = act(Class::Unsafe)
        .iter()
        .map(|step| step.replace("{id: act,", "{id: act, timeout: 1s, retry: {delay: 100ms},"))
        .collect::<Vec<_>>();
    Ordeal { playbooks: vec![("act", playbook("act", "", &steps))], faults: vec![late], ..alive(Class::Unsafe) }
}

/// A run that fails anyway dies while it tells so.
fn in_doubt_on_error() -> Ordeal {
    let fails = r#"{id: fails, action: http.request, with: {url: "SLACK/nowhere", expect: [418]}, retry: {max_attempts: 1}}"#;
    let head = format!("on_error:\n  - {}", Marker::Unsafe.step("told"));
    let text = playbook("fails", &head, &[fails.to_owned()]);
    Ordeal { playbooks: vec![("fails", text)], ..death(Class::Unsafe, "intent_written") }
}

fn all_done(after: &Aftermath) -> Result<(), String> {
    let failed = after.found.1.iter().find(|run| run.run.state != RunState::Done);
    failed.map_or(Ok(()), |run| Err(format!("floor: the run is {:?}: {}", run.run.state, run.run.reason)))
}
