//! Tests: steps inside of steps, and whatever order the outside answers in.

use std::fs;

use proptest::prelude::*;

use super::{
    tests::{after, described, record, run, start},
    *,
};
use crate::{
    actions::{Done, Failure, FailureKind},
    engine::plan::{self, Sight},
    playbook::{Library, Playbook},
    retry::RetryPolicy,
    run::{Decided, Ending, Ruling, RunRecord, StepRecord},
};

const TREE: &str = "
playbook: p
mode: enforce
timeout: 1h
trigger: {alert: {match: {kind: x}}}
steps:
  - id: which
    switch:
      - {if: alert.kind == \"x\", steps: [{id: yes, action: log, with: {message: a}, rollback: {action: log, with: {message: undo}}}]}
      - else: [{id: no, action: log, with: {message: b}}]
  - id: each
    foreach: [1, 2, 3]
    as: number
    max_parallel: 2
    steps:
      - {id: one, action: log, with: {message: \"${number}\"}, rollback: {action: log}}
      - {id: two, action: log, with: {message: \"${steps.one.status}\"}, on_error: rollback}
  - id: both
    parallel:
      left: [{id: l, action: log, with: {message: l}}]
      right: [{id: r, action: log, with: {message: r}}, {id: rr, action: log, with: {message: r}}]
    join: any
  - id: pause
    wait: {for: 10m}
  - id: other
    playbook: called
    inputs: {n: 1}
  - id: last
    action: log
    with: {message: \"${steps.other.output.n}\"}
on_error:
  - {id: page, action: log, with: {message: \"${error.step}\"}}
";

const CALLED: &str = "
playbook: called
trigger: {manual: {inputs: {n: integer}}}
steps:
  - {id: inner, action: log, with: {message: \"${inputs.n}\"}, rollback: {action: log, with: {message: undo}}}
  - {id: enough, if: inputs.n > 5, stop: {outcome: no_action, reason: enough}}
output: {n: \"${inputs.n}\"}
";

fn tree() -> Playbook {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), TREE).unwrap();
    fs::write(folder.path().join("called.yaml"), CALLED).unwrap();
    let library = Library::load(folder.path());
    assert!(library.problems.is_empty(), "{:?}", library.problems);
    Playbook::clone(library.get("p").unwrap())
}

fn running(id: &str, plan: Value) -> StepRecord {
    StepRecord { plan, ..record(id, Class::Read, StepState::Running) }
}

fn of(state: StepState, id: &str) -> StepRecord {
    StepRecord { first_intent_at: Some(start()), precondition: Some(Value::Null), ..record(id, Class::Unsafe, state) }
}

#[test]
fn what_comes_next_inside_a_step_follows_from_what_is_recorded_there() {
    use StepState::{Executing, Failed, Indeterminate, Retrying, Skipped, Succeeded};
    let items = || running("each", serde_json::json!({"items": [1, 2, 3]}));
    let before = || vec![of(Succeeded, "which"), of(Succeeded, "yes")];
    let listed = || [before(), vec![items()]].concat();
    let parallel = || [before(), vec![of(Succeeded, "each"), running("both", Value::Null)]].concat();
    let waited = || [before(), vec![of(Succeeded, "each"), of(Succeeded, "both")]].concat();
    let called =
        || [waited(), vec![of(Succeeded, "pause"), running("other", serde_json::json!({"inputs": {"n": 1}, "vars": {}}))]].concat();
    let uncertain = |id: &str| StepRecord { uncertain: true, due_at: Some(after(60)), ..of(Retrying, id) };
    let cases: Vec<(Vec<StepRecord>, i64, &str)> = vec![
        (vec![running("which", serde_json::json!({"case": 0}))], 0, "plan yes"),
        (vec![running("which", serde_json::json!({"case": null}))], 0, "plan no"),
        (vec![running("which", serde_json::json!({"case": 0})), of(Succeeded, "yes")], 0, "close as succeeded which"),
        (vec![running("which", serde_json::json!({"case": 0})), of(Failed, "yes")], 0, "close as failed which"),
        (vec![running("which", serde_json::json!({"case": 0})), of(Indeterminate, "yes")], 0, "close as indeterminate which"),
        // Two items at once, and the third when one of them has ended.
        (listed(), 0, "plan each[0]/one, plan each[1]/one"),
        (
            [listed(), vec![of(Executing, "each[0]/one"), of(Succeeded, "each[1]/one")]].concat(),
            0,
            "interrupted each[0]/one, plan each[1]/two",
        ),
        (
            [listed(), vec![of(Executing, "each[0]/one"), of(Succeeded, "each[1]/one"), of(Skipped, "each[1]/two")]].concat(),
            0,
            "interrupted each[0]/one, plan each[2]/one",
        ),
        // One that failed ends the list, but not what has begun.
        ([listed(), vec![of(Failed, "each[0]/one"), of(Succeeded, "each[1]/one")]].concat(), 0, "plan each[1]/two"),
        ([listed(), vec![of(Failed, "each[0]/one"), of(Failed, "each[1]/one")]].concat(), 0, "close as failed each"),
        ([listed(), vec![of(Failed, "each[0]/one"), of(Indeterminate, "each[1]/one")]].concat(), 0, "close as indeterminate each"),
        // One branch is enough; of the other only what may be happening is seen to its end.
        (parallel(), 0, "plan l, plan r"),
        ([parallel(), vec![of(Succeeded, "l")]].concat(), 0, "close as succeeded both"),
        ([parallel(), vec![of(Succeeded, "l"), of(Executing, "r")]].concat(), 0, "interrupted r"),
        ([parallel(), vec![of(Succeeded, "l"), uncertain("r")]].concat(), 0, "wait 60"),
        ([parallel(), vec![of(Succeeded, "l"), of(Indeterminate, "r")]].concat(), 0, "close as indeterminate both"),
        ([parallel(), vec![of(Failed, "l"), of(Succeeded, "r")]].concat(), 0, "plan rr"),
        ([parallel(), vec![of(Failed, "l"), of(Failed, "r")]].concat(), 0, "close as failed both"),
        (waited(), 0, "plan pause"),
        ([waited(), vec![StepRecord { due_at: Some(after(600)), ..of(StepState::Waiting, "pause") }]].concat(), 5, "wait 600"),
        (
            [waited(), vec![StepRecord { due_at: Some(after(600)), ..of(StepState::Waiting, "pause") }]].concat(),
            600,
            "close as succeeded pause",
        ),
        (called(), 0, "plan other/inner"),
        ([called(), vec![of(Succeeded, "other/inner"), of(Skipped, "other/enough")]].concat(), 0, "return other"),
        ([called(), vec![of(Failed, "other/inner")]].concat(), 0, "close as failed other"),
        ([called(), vec![of(Indeterminate, "other/inner")]].concat(), 0, "close as indeterminate other"),
        // Time ran out in the middle of a list: what may be happening there is seen to its end first.
        ([listed(), vec![of(Executing, "each[0]/one")]].concat(), 3_600, "interrupted each[0]/one"),
        ([listed(), vec![of(Succeeded, "each[0]/one")]].concat(), 3_600, "plan page"),
    ];
    let playbook = tree();
    for (records, at, expected) in cases {
        let shown: Vec<_> = records.iter().map(|it| format!("{} {}", it.id, it.state)).collect();
        assert_eq!(described(&next(&playbook, &run(), &records, after(at))), expected, "{shown:?} at {at}");
    }
}

#[test]
fn what_was_done_is_undone_the_last_first_where_a_step_inside_asks_for_it() {
    use StepState::{Failed, Succeeded};
    let playbook = tree();
    let mut records =
        vec![of(Succeeded, "which"), of(Succeeded, "yes"), of(Failed, "each"), of(Succeeded, "each[0]/one"), of(Failed, "each[0]/two")];
    for expected in ["plan each[0]/one.rollback", "plan yes.rollback", "plan page"] {
        assert_eq!(described(&next(&playbook, &run(), &records, start())), expected);
        records.push(of(Succeeded, expected.trim_start_matches("plan ")));
    }
    assert!(described(&next(&playbook, &run(), &records, start())).starts_with("end failed step `each`"));
    // Without that, and where something is in doubt, nothing is undone.
    for (id, state) in [("each[0]/one", Failed), ("each[0]/two", StepState::Indeterminate)] {
        let last = if state == Failed { Failed } else { StepState::Indeterminate };
        let records = [of(Succeeded, "which"), of(Succeeded, "yes"), of(last, "each"), of(state, id)];
        assert_eq!(described(&next(&playbook, &run(), &records, start())), "plan page", "{id}");
    }
}

#[test]
fn what_was_so_already_and_what_is_too_old_is_not_undone_and_what_was_begun_in_time_is_seen_to_its_end() {
    use StepState::{Failed, Succeeded, Verifying};
    let text = "playbook: p\ntrigger: {alert: {}}\nsteps:\n  - {id: one, action: log, with: {message: x}, rollback: {action: log, expires: 10m}}\n  - {id: two, action: log, with: {message: x}, on_error: rollback}\n";
    let playbook = Playbook::parse(&crate::expression::Sandbox::new(), std::path::Path::new("p.yaml"), text).unwrap().0;
    let asked = |steps: &[StepRecord], at: i64| described(&next(&playbook, &run(), steps, after(at)));
    let done = StepRecord { ended_at: Some(start()), ..of(Succeeded, "one") };
    let two = of(Failed, "two");
    assert_eq!(asked(&[done.clone(), two.clone()], 600), "plan one.rollback");
    assert!(asked(&[done.clone(), two.clone()], 601).starts_with("end failed"));
    let verifying = of(Verifying, "one.rollback");
    assert_eq!(asked(&[done.clone(), two.clone(), verifying], 601), "look one.rollback");
    for by_others in [
        StepRecord { first_intent_at: None, precondition: None, ..done.clone() },
        // Between two attempts, of which the first did nothing.
        StepRecord { precondition: None, attempts: 1, ..done },
    ] {
        assert!(asked(&[by_others, two.clone()], 1).starts_with("end failed"), "somebody else had done it");
    }
}

#[test]
fn the_trouble_is_the_outermost_step_that_was_not_let_pass() {
    use StepState::{Failed, Succeeded};
    let playbook = tree();
    let steps = [of(Succeeded, "both"), of(Failed, "l"), of(Failed, "last")];
    let found = |steps: &[StepRecord]| trouble(&Frame::outermost(&playbook), steps).map(|step| step.id.clone());
    assert_eq!(found(&steps), Some("last".to_owned()));
    assert_eq!(found(&steps[..2]), None);
}

#[test]
fn what_stands_in_for_the_output_of_a_failed_step_may_say_why_it_failed() {
    let text = "playbook: p\ntrigger: {alert: {}}\nsteps:\n  - {id: one, action: log, with: {message: x}, on_error: {output: \"${error.step}: ${error.message}\"}}\n";
    let playbook = Playbook::parse(&crate::expression::Sandbox::new(), std::path::Path::new("p.yaml"), text).unwrap().0;
    let mut failed = StepRecord { error: Some("busy".to_owned()), ..of(StepState::Failed, "one") };
    let (run, alert) = (run(), serde_json::json!({}));
    let sight = Sight { alert: &alert, alerts: &Value::Null, run: &run, steps: &[] };
    plan::fall_back(&playbook.steps[0], &Frame::outermost(&playbook), &mut failed, sight, start());
    assert_eq!(failed.output, "one: busy");
}

#[test]
fn what_a_called_playbook_did_is_undone_by_its_own_steps() {
    use StepState::{Failed, Succeeded};
    let text = "playbook: p\ntrigger: {alert: {}}\nsteps:\n  - {id: other, playbook: called, inputs: {n: 1}}\n  - {id: inner, action: log, with: {message: x}, on_error: rollback}\n";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    fs::write(folder.path().join("called.yaml"), CALLED).unwrap();
    let library = Library::load(folder.path());
    let plan = serde_json::json!({"inputs": {"n": 1}, "vars": {}});
    let call = StepRecord { plan, ..of(Succeeded, "other") };
    let records = [call, of(Succeeded, "other/inner"), of(Failed, "inner")];
    assert_eq!(described(&next(library.get("p").unwrap(), &run(), &records, start())), "plan other/inner.rollback");
}

#[test]
fn a_run_that_is_cancelled_ends_when_nothing_of_it_is_under_way_wherever_that_is() {
    use StepState::{Executing, Failed, Indeterminate, Planned, Succeeded};
    let playbook = tree();
    let cancelled = RunRecord { cancel: true, ..run() };
    let each = || vec![of(Succeeded, "which"), of(Succeeded, "yes"), running("each", serde_json::json!({"items": [1, 2]}))];
    for (more, expected) in [
        (vec![], "end cancelled it was cancelled"),
        (vec![of(Planned, "each[0]/one")], "end cancelled it was cancelled"),
        (vec![of(Executing, "each[1]/one")], "interrupted each[1]/one"),
        (vec![of(Indeterminate, "each[1]/one")], "end indeterminate step `each[1]/one`: no reason is recorded"),
    ] {
        assert_eq!(described(&next(&playbook, &cancelled, &[each(), more].concat(), start())), expected);
    }
    let undoing =
        [of(Succeeded, "which"), of(Succeeded, "yes"), of(Failed, "each"), of(Failed, "each[0]/two"), of(Executing, "yes.rollback")];
    assert_eq!(described(&next(&playbook, &cancelled, &undoing, start())), "interrupted yes.rollback");
    let telling = [of(Failed, "which"), of(Executing, "page")];
    assert_eq!(described(&next(&playbook, &cancelled, &telling, start())), "interrupted page");
}

#[test]
fn a_run_in_which_something_is_in_doubt_never_ends_as_if_it_were_not() {
    use StepState::{Indeterminate, Succeeded};
    let text = "playbook: p\ntrigger: {alert: {}}\nsteps:\n  - id: both\n    parallel:\n      left: [{id: l, action: log, with: {message: l}}]\n      right: [{id: r, stop: {outcome: done, reason: enough}}]\n";
    let playbook = Playbook::parse(&crate::expression::Sandbox::new(), std::path::Path::new("p.yaml"), text).unwrap().0;
    let stopped = StepRecord { output: stop_output(StopOutcome::Done, "enough"), ..of(Succeeded, "r") };
    let records = [running("both", Value::Null), of(Indeterminate, "l"), stopped];
    assert_eq!(described(&next(&playbook, &run(), &records, start())), "close as indeterminate both");
}

/// Plays a run to its end: each time one of the things to do is done, and the dice say which and how it goes.
fn play(playbook: &Playbook, dice: &[u8]) -> (RunState, Vec<StepRecord>) {
    play_on(playbook, (run(), Vec::new()), dice)
}

fn play_on(playbook: &Playbook, (mut run, mut steps): (RunRecord, Vec<StepRecord>), dice: &[u8]) -> (RunState, Vec<StepRecord>) {
    let mut thrown = dice.iter().copied();
    let mut throw = move || thrown.next().unwrap_or(0);
    let alert = serde_json::json!({"kind": "x"});
    let mut now = start();
    for _ in 0..2_000 {
        now += SignedDuration::from_secs(1);
        run.cancel |= throw() == 255;
        let tasks = match next(playbook, &run, &steps, now) {
            Next::End(state, _) => return (state, steps),
            Next::Wait(until) => {
                now = now.max(until);
                continue;
            }
            Next::Work(tasks, _) => tasks,
        };
        let task = &tasks[usize::from(throw()) % tasks.len()];
        let sight = Sight { alert: &alert, alerts: &Value::Null, run: &run, steps: &steps };
        let at = Moment { now, jitter: 0.5 };
        let ended = |mut record: StepRecord, die: u8| {
            record.class = Class::Unsafe;
            record.attempts += 1;
            let failed = |kind| Err(Failure::new(kind, "x"));
            let result = match die % 8 {
                1 => failed(FailureKind::Rejected),
                2 => failed(FailureKind::NotDone),
                3 => failed(FailureKind::Unknown),
                _ => Ok(Done::Now(Value::Null)),
            };
            after_attempt(&mut record, &RetryPolicy::default(), result, at);
            record
        };
        let record = match &task.doing {
            Doing::Plan => plan::plan(task.step, &task.frame, sight, now),
            // Now and then the program dies between the intent and the answer.
            Doing::Attempt(record) if throw() % 4 == 1 => {
                StepRecord { state: StepState::Executing, first_intent_at: Some(now), ..record.clone() }
            }
            Doing::Attempt(record) => ended(record.clone(), throw()),
            Doing::Interrupted(record) => {
                let mut record = StepRecord { class: Class::Unsafe, ..record.clone() };
                after_attempt(&mut record, &RetryPolicy::default(), Err(interruption()), at);
                record
            }
            Doing::Look(record) => panic!("nothing here is looked at: {record:?}"),
            Doing::Close(record) => record.clone(),
            Doing::Return(record) => plan::give_back(task.step, &task.frame, record.clone(), sight, now),
        };
        match steps.iter_mut().find(|step| step.id == record.id) {
            Some(step) => {
                assert!(!step.state.is_final(), "`{}` had ended as {} and is {} again", step.id, step.state, record.state);
                *step = record;
            }
            None => steps.push(record),
        }
        // As through the store.
        steps = serde_json::from_value(serde_json::to_value(&steps).unwrap()).unwrap();
    }
    panic!("the run never ends: {steps:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens_a_run_ends_and_says_what_it_knows(dice in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (state, steps) = play(&tree(), &dice);
        let is_doubtful = steps.iter().any(|step| step.state == StepState::Indeterminate);
        prop_assert_eq!(is_doubtful, state == RunState::Indeterminate, "{:#?}", steps);
        prop_assert!(steps.iter().all(|step| step.state != StepState::Executing), "something is under way in a run that ended");
        prop_assert!(state.is_final());
        if state == RunState::Done {
            let ended = |id: &str| steps.iter().any(|step| step.id == id && step.state == StepState::Succeeded);
            prop_assert!(["which", "each", "both", "pause", "other", "last"].into_iter().all(ended), "{:#?}", steps);
        }
    }

    #[test]
    fn whatever_a_run_did_undoing_it_changes_nothing_else_and_ends(
        dice in proptest::collection::vec(any::<u8>(), 0..120),
        more in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let playbook = tree();
        let (state, mut steps) = play(&playbook, &dice);
        if state == RunState::Indeterminate {
            return Ok(());
        }
        for step in steps.iter_mut().filter(|step| step.has_acted() && !step.id.contains(".rollback")) {
            let decided = Decided { ruling: Ruling::Undo, round: 1, who: String::new(), reason: String::new(), at: start() };
            step.decided = Some(decided);
        }
        let taken_up = RunRecord { ended_as: Some(Ending { state, reason: String::new() }), ..run() };
        let (ended, after) = play_on(&playbook, (taken_up, steps.clone()), &more);
        prop_assert_eq!(&after[..steps.len()], &steps[..], "what had ended is changed");
        let undoing = &after[steps.len()..];
        prop_assert!(undoing.iter().all(|step| step.id.ends_with(".rollback") && step.state.is_final()), "{:#?}", undoing);
        let is_doubtful = undoing.iter().any(|step| step.state == StepState::Indeterminate);
        let otherwise = if is_doubtful { RunState::Indeterminate } else { RunState::Failed };
        prop_assert!(ended == state || ended == otherwise);
        prop_assert_eq!(is_doubtful, ended == RunState::Indeterminate);
    }
}
