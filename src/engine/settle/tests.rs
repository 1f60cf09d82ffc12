use std::fs;

use serde_json::json;

use super::*;
use crate::{
    engine::machine::{
        Next, next,
        tests::{after, record, run},
    },
    playbook::Library,
    run::Class,
};

const NESTED: &str = "
playbook: p
mode: enforce
trigger: {alert: {match: {kind: x}}}
steps:
  - id: which
    switch:
      - if: alert.kind == \"x\"
        steps:
          - id: both
            parallel:
              left: [{id: l, action: log, with: {message: l}, on_error: {output: {instead: true}}}]
              right: [{id: each, foreach: [1, 2], as: it, steps: [{id: one, action: log, with: {message: a}}]}]
            join: all
  - {id: last, action: log, with: {message: b}}
";

fn nested() -> Playbook {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), NESTED).unwrap();
    let library = Library::load(folder.path());
    assert!(library.problems.is_empty(), "{:?}", library.problems);
    Playbook::clone(library.get("p").unwrap())
}

fn doubtful(id: &str, plan: Value) -> StepRecord {
    StepRecord { plan, error: Some("no answer".to_owned()), ..record(id, Class::Unsafe, StepState::Indeterminate) }
}

/// Everything around `l`, and that itself, is in doubt; the other branch has ended well.
fn records() -> Vec<StepRecord> {
    vec![
        doubtful("which", json!({"case": 0})),
        doubtful("both", Value::Null),
        doubtful("l", json!({"message": "l"})),
        StepRecord { plan: json!({"items": []}), ..record("each", Class::Read, StepState::Succeeded) },
    ]
}

fn settled(steps: &[StepRecord], finding: &Finding) -> Vec<StepRecord> {
    let playbook = nested();
    let doubtful = in_doubt(&playbook, steps);
    let run = run();
    let sight = Sight { alert: &json!({"kind": "x"}), alerts: &json!([]), run: &run, steps };
    let changed = settle(&playbook, sight, (doubtful[0], finding), ("mina", "the portal shows it"), after(60));
    steps.iter().map(|step| changed.iter().find(|it| it.id == step.id).unwrap_or(step).clone()).collect()
}

#[test]
fn a_person_decides_about_the_innermost_step_and_not_about_those_around_it() {
    let ids = |steps: &[StepRecord]| in_doubt(&nested(), steps).iter().map(|it| it.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&records()), ["l"]);
    let mut both = records();
    both[3].state = StepState::Indeterminate;
    both.push(doubtful("each[0]/one", Value::Null));
    assert_eq!(ids(&both), ["l", "each[0]/one"]);
    assert!(ids(&[record("l", Class::Unsafe, StepState::Failed)]).is_empty());
}

#[test]
fn a_step_in_the_middle_of_which_its_run_was_given_up_is_in_doubt_as_well() {
    let executing = StepRecord { attempts: 1, ..record("last", Class::Unsafe, StepState::Executing) };
    let steps = [record("which", Class::Read, StepState::Succeeded), executing];
    assert_eq!(in_doubt(&nested(), &steps).iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["last"]);
}

#[test]
fn what_happened_has_succeeded_and_the_steps_around_it_go_on_until_the_run_is_through() {
    let playbook = nested();
    let steps = settled(&records(), &Finding::Happened(Value::Null));
    let states: Vec<_> = steps.iter().map(|step| (step.id.as_str(), step.state)).collect();
    assert_eq!(
        states,
        [("which", StepState::Running), ("both", StepState::Running), ("l", StepState::Succeeded), ("each", StepState::Succeeded)]
    );
    assert_eq!(steps[2].output, json!({"settled": "happened", "by": "mina", "reason": "the portal shows it"}));
    // The branches are through, which is recorded next.
    let Next::Work(tasks, _) = next(&playbook, &run(), &steps, after(60)) else { panic!("nothing to do") };
    assert_eq!(tasks.iter().map(machine::Task::path).collect::<Vec<_>>(), ["both"]);
}

#[test]
fn what_did_not_happen_has_failed_with_what_its_author_wrote_for_that() {
    let steps = settled(&records(), &Finding::DidNot);
    assert_eq!((steps[2].state, &steps[2].output), (StepState::Failed, &json!({"instead": true})));
    assert_eq!(steps[2].error.as_deref(), Some("it did not happen: mina found that out: the portal shows it"));
    assert!(!steps[2].uncertain);
}

#[test]
fn a_person_can_say_what_came_back() {
    let steps = settled(&records(), &Finding::Happened(json!({"number": 7})));
    assert_eq!(steps[2].output, json!({"number": 7}));
}
