//! Killed inside everything that steps can stand in, and inside windows and schedules: at every commit, and around every call.
//!
//! A scene is played again and again, and dies one commit later each time, until it is through before it dies.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp, Unit};
use quell::run::RunState;

use super::{
    Aftermath, Ordeal, all_hold, marks,
    scenes::{ALERT, Marker, alerts, playbook},
};

/// A small playbook, what comes to it, and what must be seen of it.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub(super) playbooks: fn(Marker) -> Vec<(&'static str, String)>,
    pub(super) alerts: usize,
    /// The marks that must be there when nothing is in doubt.
    pub(super) marks: &'static [&'static str],
    /// Marks that may be there.
    pub(super) perhaps: &'static [&'static str],
    /// Each first mark comes before its second one.
    pub(super) order: &'static [(&'static str, &'static str)],
    pub(super) ends: RunState,
    /// What else must hold.
    pub(super) also: fn(&Aftermath) -> Result<(), String>,
}

pub(super) const SCENE: Scene =
    Scene { playbooks: |_| Vec::new(), alerts: 1, marks: &[], perhaps: &[], order: &[], ends: RunState::Done, also: |_| Ok(()) };

/// No scene commits more often; a larger number is a scene that never comes to rest.
const MOST_DEATHS: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn a_foreach_does_each_step_of_each_item_once() {
    play(Scene {
        playbooks: |it| {
            let steps = [it.step("first-${it}"), it.step("second-${it}")].join(", ");
            vec![(
                "each",
                playbook(
                    "each",
                    "",
                    &[format!("{{id: each, foreach: [a, b, c], as: it, max_parallel: 2, steps: [{steps}]}}"), it.step("last")],
                ),
            )]
        },
        marks: &["first-a", "second-a", "first-b", "second-b", "first-c", "second-c", "last"],
        order: &[
            ("first-a", "second-a"),
            ("first-b", "second-b"),
            ("first-c", "second-c"),
            ("second-a", "last"),
            ("second-b", "last"),
            ("second-c", "last"),
        ],
        ..SCENE
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_branches_of_a_parallel_go_on_where_they_were() {
    play(Scene {
        playbooks: |it| {
            let both = format!(
                "{{id: both, join: all, parallel: {{left: [{}, {}], right: [{}, {}]}}}}",
                it.step("one"),
                it.step("two"),
                it.step("three"),
                it.step("four")
            );
            vec![("both", playbook("both", "", &[both, it.step("last")]))]
        },
        marks: &["one", "two", "three", "four", "last"],
        order: &[("one", "two"), ("three", "four"), ("two", "last"), ("four", "last")],
        ..SCENE
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_branch_of_a_parallel_is_enough_and_doubt_is_not_forgotten() {
    play(ANY).await;
}

const ANY: Scene = Scene {
    playbooks: |it| {
        let slow = format!("{{id: a_while, wait: {{for: 1s}}}}, {}", it.step("slow"));
        let any = format!("{{id: any, join: any, parallel: {{left: [{}], right: [{slow}]}}}}", it.step("quick"));
        vec![("any", playbook("any", "", &[any, it.step("last")]))]
    },
    marks: &["quick", "last"],
    perhaps: &["slow"],
    order: &[("quick", "last")],
    ..SCENE
};

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_neither_cut_short_nor_begun_again() {
    play(Scene {
        playbooks: |it| {
            let steps = [it.step("before"), "{id: a_while, wait: {for: 1500ms}}".to_owned(), it.step("after")];
            vec![("wait", playbook("wait", "", &steps))]
        },
        marks: &["before", "after"],
        order: &[("before", "after")],
        also: |after| {
            for wait in after.found.1.iter().flat_map(|run| &run.steps).filter(|step| step.id == "a_while") {
                let waited = wait.ended_at.map(|ended| ended.duration_since(wait.started_at));
                // It was over long before, if it was begun again it took twice as long.
                if waited.is_none_or(|waited| waited < SignedDuration::from_millis(1_500) || waited > SignedDuration::from_millis(2_900)) {
                    return Err(format!("waited {waited:?}"));
                }
            }
            Ok(())
        },
        ..SCENE
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_called_playbook_goes_on_inside() {
    play(Scene {
        playbooks: |it| {
            let steps = ["in-1", "then-2"].map(|name| format!("  - {}\n", it.about(name, "${inputs.who}"))).concat();
            let inner =
                format!("playbook: inner\nmode: enforce\ntrigger: {{manual: {{inputs: {{who: {{type: text}}}}}}}}\nsteps:\n{steps}");
            let call = r#"{id: other, playbook: inner, inputs: {who: "${alert.id}"}}"#.to_owned();
            vec![("inner", inner), ("outer", playbook("outer", "", &[it.step("before"), call, it.step("after")]))]
        },
        marks: &["before", "in-1", "then-2", "after"],
        order: &[("before", "in-1"), ("in-1", "then-2"), ("then-2", "after")],
        ..SCENE
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_undoes_each_step_once_and_the_last_first() {
    play(Scene {
        playbooks: |it| {
            let undone = |name: &str| {
                let action = it.action(name, ALERT);
                let undo = it.action(&format!("undo_{name}"), ALERT).replace("retry: {delay: 100ms}, ", "");
                format!("{{id: {name}, {action}, rollback: {{{undo}}}}}")
            };
            let fails = r#"{id: fails, action: http.request, with: {url: "SLACK/nowhere", expect: [418]}, retry: {max_attempts: 1}, on_error: rollback}"#;
            vec![("undo", playbook("undo", "", &[undone("one"), undone("two"), fails.to_owned()]))]
        },
        marks: &["one", "two", "undo_one", "undo_two"],
        order: &[("one", "two"), ("two", "undo_two"), ("undo_two", "undo_one")],
        ends: RunState::Failed,
        ..SCENE
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_tells_once_of_all_its_alerts() {
    let mut trials = sweeps(GROUP, GROUP.playbooks);
    trials.push(sweep_of(GROUP, GROUP.playbooks, ("group_closed", Marker::Unsafe)));
    all_hold(trials).await;
}

pub(super) const GROUP: Scene = Scene {
    playbooks: |it| {
        let group = "group: {by: [customer_tenant_id], wait: 1s, interval: 1s}";
        vec![("tell", playbook("tell", group, &[it.step("told-${alerts.len()}")]))]
    },
    alerts: 4,
    also: |after| {
        let runs = &after.found.1;
        let gathered: usize = runs.iter().map(|run| run.alerts.len()).sum();
        let told: BTreeMap<String, usize> = marks(&after.lab).into_iter().collect();
        for run in runs {
            let name = format!("told-{}", run.alerts.len());
            let same = runs.iter().filter(|other| other.alerts.len() == run.alerts.len());
            let (in_doubt, sure): (Vec<_>, Vec<_>) = same.partition(|run| run.run.state == RunState::Indeterminate);
            let most = sure.len() + in_doubt.len() + after.died.unwrap_or_default();
            let times = told.get(&name).copied().unwrap_or_default();
            if !(sure.len()..=most).contains(&times) {
                return Err(format!("group: {} runs of {} alerts, told {told:?}", sure.len() + in_doubt.len(), run.alerts.len()));
            }
        }
        if gathered != 4 {
            return Err(format!("group: {gathered} of 4 alerts were gathered"));
        }
        Ok(())
    },
    ..SCENE
};

#[tokio::test(flavor = "multi_thread")]
async fn windows_let_no_more_and_no_fewer_through_than_without_a_death() {
    let two = Scene { alerts: 5, also: |after| runs_are(after, 2), ..SCENE };
    play_under(two, "throttle: {key: all, max: 2, per: 1h}").await;
    play_under(two, "threshold: {key: all, count: 4, within: 10m}").await;
    let one = Scene { also: |after| runs_are(after, 1), ..two };
    play_under(one, "dedup: {key: all, window: 1h}").await;
}

pub(super) fn runs_are(after: &Aftermath, expected: usize) -> Result<(), String> {
    let begun = after.found.1.len();
    if begun == expected { Ok(()) } else { Err(format!("windows: {begun} runs began, not {expected}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_queue_take_their_turns_one_after_the_other() {
    play(QUEUE).await;
}

const QUEUE: Scene = Scene {
    playbooks: |it| {
        let head = "concurrency: {key: one, max: 1, strategy: queue}";
        let steps = [it.step("in-${alert.id}"), "{id: a_while, wait: {for: 100ms}}".to_owned(), it.step("out-${alert.id}")];
        vec![("turns", playbook("turns", head, &steps))]
    },
    alerts: 3,
    also: |after| {
        let mut spans: Vec<_> = after.found.1.iter().filter_map(|run| Some((run.steps.first()?.started_at, run.run.ended_at?))).collect();
        spans.sort();
        let overlaps = spans.windows(2).filter(|pair| pair[1].0 < pair[0].1).count();
        let stages: BTreeMap<_, _> = marks(&after.lab).into_iter().collect();
        let in_doubt = after.found.1.iter().filter(|run| run.run.state == RunState::Indeterminate).count();
        if overlaps > 0 || spans.len() != 3 || stages.len() + 2 * in_doubt < 6 {
            return Err(format!("{overlaps} turns overlap; {stages:?}"));
        }
        Ok(())
    },
    ..SCENE
};

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_makes_up_for_each_missed_time_once() {
    all_hold(
        [Marker::Unsafe, Marker::Notice]
            .into_iter()
            .flat_map(|marker| {
                let points = ["committed", "ticks_due", "ticks_begun", "recorded", "intent_written", "answered"];
                points.map(|point| sweep(point, move |at| (marker, schedule(marker, Some(at), None)), &missed_once).boxed())
            })
            .collect(),
    )
    .await;
}

/// Three hours were missed when it starts.
pub(super) fn schedule(marker: Marker, crash_at: Option<String>, mistake: Option<&'static str>) -> Ordeal {
    let step = marker.about("tick", "${inputs.scheduled_at}");
    let text =
        format!("playbook: hourly\nmode: enforce\ntrigger: {{schedule: {{cron: \"0 * * * *\", catch_up: all}}}}\nsteps:\n  - {step}\n");
    Ordeal {
        playbooks: vec![("hourly", text)],
        before: Some(Box::new(|lab| {
            async move {
                let last = this_hour() - SignedDuration::from_hours(3);
                lab.store().await.advance_schedule("hourly", "0 * * * * UTC", last, Vec::new()).await.expect("set the schedule");
            }
            .boxed()
        })),
        runs: 3,
        crash_at,
        mistake,
        ..Ordeal::default()
    }
}

pub(super) fn missed_once(after: &Aftermath) -> Result<(), String> {
    let at: Vec<_> = after.found.1.iter().filter_map(|run| run.run.inputs["scheduled_at"].as_str()?.parse::<Timestamp>().ok()).collect();
    let distinct: BTreeSet<_> = at.iter().collect();
    let first = this_hour() - SignedDuration::from_hours(3);
    let expected = [1, 2, 3].map(|hour| first + SignedDuration::from_hours(hour));
    if at.len() != distinct.len() || !expected.iter().all(|hour| distinct.contains(hour)) {
        return Err(format!("ticks: began for {at:?}, and not once for each of {expected:?}"));
    }
    Ok(())
}

fn this_hour() -> Timestamp {
    Timestamp::now().round(jiff::TimestampRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Trunc)).expect("an hour")
}

/// Plays a scene that has one step under a window.
async fn play_under(scene: Scene, head: &'static str) {
    let trials = sweeps(scene, move |marker| vec![("once", playbook("once", head, &[marker.step("seen-${alert.id}")]))]);
    all_hold(trials).await;
}

pub(super) async fn play(scene: Scene) {
    all_hold(sweeps(scene, scene.playbooks)).await;
}

/// One sweep for each place: before and after a commit, and around a call.
fn sweeps(
    scene: Scene,
    playbooks: impl Fn(Marker) -> Vec<(&'static str, String)> + Copy + Send + Sync + 'static,
) -> Vec<BoxFuture<'static, Result<usize, String>>> {
    let at_commits = [("committed", Marker::Unsafe), ("committing", Marker::Notice)];
    let at_calls = ["intent_written", "answered"].into_iter().flat_map(|point| [(point, Marker::Unsafe), (point, Marker::Notice)]);
    at_commits.into_iter().chain(at_calls).map(|place| sweep_of(scene, playbooks, place)).collect()
}

fn sweep_of(
    scene: Scene,
    playbooks: impl Fn(Marker) -> Vec<(&'static str, String)> + Copy + Send + Sync + 'static,
    (point, marker): (&'static str, Marker),
) -> BoxFuture<'static, Result<usize, String>> {
    let ordeal = move |at| (marker, staged(scene, playbooks(marker), at));
    async move { sweep(point, ordeal, &move |after: &Aftermath| judge(scene, marker, after)).await }.boxed()
}

pub(super) fn staged(scene: Scene, playbooks: Vec<(&'static str, String)>, crash_at: String) -> Ordeal {
    Ordeal { playbooks, alerts: Some(Box::new(alerts(scene.alerts))), crash_at: Some(crash_at), ..Ordeal::default() }
}

/// Dies at the first time that a place is reached, then at the second, until the scene is over before.
pub(super) async fn sweep(
    point: &'static str,
    ordeal: impl Fn(String) -> (Marker, Ordeal),
    judge: &(dyn Fn(&Aftermath) -> Result<(), String> + Sync),
) -> Result<usize, String> {
    for deaths in 0..MOST_DEATHS {
        let at = format!("{point}:{}", deaths + 1);
        let (marker, ordeal) = ordeal(at.clone());
        let name = ordeal.playbooks.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
        let wrong = |why: String| format!("{name} with {marker:?} at {at}: {why}");
        let after = ordeal.undergo().await.map_err(wrong)?;
        after.equation.holds().map_err(wrong)?;
        // What died with its call under way is in doubt only if nobody can look at it.
        let explained = if marker == Marker::Unsafe { after.died.unwrap_or_default() } else { 0 };
        if after.equation.indeterminate > explained {
            return Err(wrong(format!("{} runs in doubt, {explained} explained", after.equation.indeterminate)));
        }
        judge(&after).map_err(wrong)?;
        if after.died.is_none() {
            return if deaths > 0 { Ok(deaths) } else { Err(wrong("it was never reached".to_owned())) };
        }
    }
    Err(format!("{point}: reached {MOST_DEATHS} times"))
}

pub(super) fn judge(scene: Scene, marker: Marker, after: &Aftermath) -> Result<(), String> {
    let runs = &after.found.1;
    let expected = |state| state == scene.ends || state == RunState::Indeterminate;
    if let Some(run) = runs.iter().find(|run| !expected(run.run.state)) {
        return Err(format!("{run:#?}"));
    }
    (scene.also)(after)?;
    let marks = marks(&after.lab);
    let at = |name: &str| marks.iter().position(|(mark, _)| mark == name);
    let most = if marker == Marker::Unsafe { 1 } else { 1 + after.died.unwrap_or_default() };
    let in_doubt = runs.iter().any(|run| run.run.state == RunState::Indeterminate);
    let missing: Vec<_> = scene.marks.iter().filter(|mark| at(mark).is_none()).collect();
    let listed = !scene.marks.is_empty();
    let strange = marks.iter().filter(|(mark, _)| listed && !scene.marks.contains(&&**mark) && !scene.perhaps.contains(&&**mark)).count();
    let too_often = marks.iter().filter(|(mark, times)| *times > most && !mark.starts_with("told")).count();
    // In doubt, an any-join may have gone on without the step that the others come after.
    let wrong_order = scene.order.iter().any(|(first, then)| match (at(first), at(then)) {
        (Some(first), Some(then)) => then < first,
        (None, Some(_)) => !in_doubt,
        (_, None) => false,
    });
    if (missing.is_empty() || in_doubt) && strange + too_often == 0 && !wrong_order {
        return Ok(());
    }
    Err(format!("floor: marks {marks:?}, missing {missing:?}"))
}
