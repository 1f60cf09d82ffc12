//! Killed while what a run did is undone after its end: by itself, and because a person asked for it.

use futures_util::FutureExt;
use quell::run::RunState;

use super::{
    Aftermath, Ordeal, all_hold,
    nested::{SCENE, Scene, judge, play, sweep},
    scenes::{ALERT, Marker, playbook},
};
use crate::support::lab::Lab;

/// A step that leaves a mark, and is undone by one that leaves another.
fn undone(it: Marker, name: &str, about: &str, more: &str) -> String {
    let undo = it.action(&format!("undo_{name}"), about).replace("retry: {delay: 100ms}, ", "");
    format!("{{id: {name}, {}, rollback: {{{undo}{more}}}}}", it.action(name, about))
}

const UNDONE: Scene = Scene {
    marks: &["one", "two", "undo_one", "undo_two"],
    order: &[("one", "two"), ("two", "undo_two"), ("undo_two", "undo_one")],
    ..SCENE
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_undone_by_itself_is_undone_once_and_the_last_first() {
    play(Scene {
        playbooks: |it| {
            // So long that the run has ended before.
            let step = |name| undone(it, name, ALERT, ", after: 2s");
            vec![("return", playbook("return", "", &[step("one"), step("two")]))]
        },
        also: taken_up,
        ..UNDONE
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_undone_is_undone_once_and_the_last_first() {
    let scene = Scene { also: taken_up, ..UNDONE };
    let places = ["committing", "committed", "intent_written", "answered", "recorded"];
    let trials = places.into_iter().flat_map(|point| [(point, Marker::Unsafe), (point, Marker::Notice)]);
    let trials = trials.map(|(point, marker)| {
        async move { sweep(point, move |at| (marker, asked(marker, at)), &move |after: &Aftermath| judge(scene, marker, after)).await }
            .boxed()
    });
    all_hold(trials.collect()).await;
}

/// A run that has ended, and that a person has asked to undo while nothing ran; it is undone after the start.
fn asked(it: Marker, crash_at: String) -> Ordeal {
    let steps = ["one", "two"].map(|name| format!("  - {}\n", undone(it, name, "run", ""))).concat();
    let text = format!("playbook: undo\nmode: enforce\ntrigger: {{manual: {{}}}}\nsteps:\n{steps}");
    Ordeal {
        playbooks: vec![("undo", text)],
        before: Some(Box::new(|lab| ask(lab).boxed())),
        runs: 1,
        crash_at: Some(crash_at),
        ..Ordeal::default()
    }
}

async fn ask(lab: &Lab) {
    let quell = lab.run().await;
    assert!(lab.quell(&["runs", "start", "undo"]).status.success());
    let store = lab.store().await;
    lab.settled(&store, 0, super::PATIENCE).await;
    quell.terminate();
    let run = lab.json(&["runs", "list"])[0]["id"].as_str().expect("a run").to_owned();
    let answer = lab.json(&["runs", "rollback", &run, "--reason", "it was theirs"]);
    assert_eq!(answer["steps"], serde_json::json!(["two", "one"]), "{answer}");
}

/// Whether the run was taken up again, unless something of it was in doubt before.
fn taken_up(after: &Aftermath) -> Result<(), String> {
    let run = after.found.1.first().ok_or("no run")?;
    let is_doubtful = run.run.state == RunState::Indeterminate;
    let was_so = run.run.ended_as.as_ref().is_some_and(|ended| ended.state == RunState::Done);
    if is_doubtful || was_so { Ok(()) } else { Err(format!("it was not taken up: {run:#?}")) }
}
