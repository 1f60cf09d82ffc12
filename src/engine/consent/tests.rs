use std::path::Path;

use serde_json::json;

use super::*;
use crate::{
    approval::{OnTimeout, Question, hash_of},
    engine::{machine, plan::Sight},
    expression::Sandbox,
    playbook::Playbook,
    run::{Class, RunId, RunRecord},
};

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_mins(minutes)
}

fn parsed(steps: &str) -> Playbook {
    let text = format!("playbook: p\nmode: enforce\ntrigger: {{alert: {{}}}}\nsteps:\n{steps}");
    Playbook::parse(&Sandbox::new(), Path::new("p.yaml"), &text).unwrap_or_else(|problems| panic!("{problems:?}")).0
}

fn record(id: &str, state: StepState, output: Value) -> StepRecord {
    StepRecord { action: "approval".to_owned(), output, ..machine::tests::record(id, Class::Read, state) }
}

fn said(id: &str, decision: &str) -> StepRecord {
    record(id, StepState::Succeeded, json!({ "decision": decision }))
}

/// An approval whose questions are as short as can be.
fn ask(id: &str, for_steps: &str) -> String {
    format!(
        "{{id: {id}, approval: {{title: t, for_steps: [{for_steps}], groups: [leads], channels: ['log:default'], on_timeout: reject}}}}"
    )
}

const SAY: &str = "{id: say, action: log, with: {message: x}}";

#[test]
fn a_step_needs_the_yes_of_everybody_who_is_to_be_asked_about_it() {
    let playbook = parsed(&format!("  - {}\n  - {}\n  - {SAY}\n", ask("one", "say"), ask("two", "say")));
    let frame = Frame::outermost(&playbook);
    let of = |steps: &[StepRecord]| asked(playbook.step("say").unwrap(), &frame, steps);
    let skipped = || record("one", StepState::Skipped, Value::Null);
    for (steps, expected) in [
        (vec![], None),
        (vec![said("one", "approved")], None),
        (vec![said("one", "approved"), said("two", "rejected")], None),
        (vec![said("one", "expired"), said("two", "approved")], None),
        (vec![record("one", StepState::Waiting, json!({"decision": "approved"})), said("two", "approved")], None),
        (vec![record("one", StepState::Failed, Value::Null), said("two", "approved")], None),
        (vec![said("one", "approved"), said("two", "approved")], Some(vec!["one", "two"])),
        // Its author wrote that then nobody needs to be asked.
        (vec![skipped(), said("two", "approved")], Some(vec!["two"])),
        (vec![skipped(), record("two", StepState::Skipped, Value::Null)], Some(vec![])),
    ] {
        let shown: Vec<_> = steps.iter().map(|it| format!("{} {} {}", it.id, it.state, it.output)).collect();
        let found = of(&steps).ok();
        assert_eq!(found, expected.map(|it| it.into_iter().map(ToOwned::to_owned).collect()), "{shown:?}");
    }
    assert!(of(&[]).unwrap_err().contains("the approval `one` for this step was not given"));
}

#[test]
fn an_approval_that_the_run_went_past_binds_nobody() {
    let cases = format!("  - id: which\n    switch:\n      - {{if: 'true', steps: [{}]}}\n  - {SAY}\n", ask("one", "say"));
    let playbook = parsed(&cases);
    let frame = Frame::outermost(&playbook);
    let which = |case: Value, state| StepRecord { plan: json!({ "case": case }), ..record("which", state, Value::Null) };
    let of = |steps: &[StepRecord]| asked(playbook.step("say").unwrap(), &frame, steps).is_ok();
    assert!(of(&[which(json!(null), StepState::Succeeded)]), "the other case was taken");
    assert!(of(&[which(json!(null), StepState::Skipped)]));
    assert!(!of(&[which(json!(0), StepState::Succeeded)]), "this case was taken, and nobody was asked");
    assert!(!of(&[]), "it may come still");
}

#[test]
fn an_approval_in_a_list_is_for_its_own_item() {
    let playbook =
        parsed(&format!("  - id: each\n    foreach: [1, 2]\n    as: it\n    steps:\n      - {}\n      - {SAY}\n", ask("one", "say")));
    let step = playbook.step("say").unwrap();
    let frame = |item: usize| Frame { prefix: format!("each[{item}]/"), ..Frame::outermost(&playbook) };
    let steps = [said("each[0]/one", "approved"), said("each[1]/one", "rejected")];
    assert_eq!(asked(step, &frame(0), &steps), Ok(vec!["each[0]/one".to_owned()]));
    assert!(asked(step, &frame(1), &steps).is_err());
}

fn seen(playbook: &Playbook, asker: &str, prefix: &str, steps: &[StepRecord]) -> Vec<(String, Value, Option<String>)> {
    let run = RunRecord { inputs: json!({}), created_at: at(0), ..machine::tests::run() };
    let alert = json!({"id": "a"});
    let sight = Sight { alert: &alert, alerts: &Value::Null, run: &run, steps };
    let items = if prefix.is_empty() { vec![] } else { vec![("it", json!("own"))] };
    let frame = Frame { prefix: prefix.to_owned(), items, ..Frame::outermost(playbook) };
    let plan = plan_of(playbook.step(asker).unwrap(), &frame, sight, at(0), &|entry, _, _| Some(format!("target of {}", entry.name)));
    assert!(plan.iter().all(|it| it.unknown.is_some() || it.target.is_some()));
    plan.into_iter().map(|it| (it.step, it.with, it.unknown)).collect()
}

#[test]
fn people_see_the_arguments_as_they_are_rendered_now_and_what_cannot_be_known_yet() {
    let playbook = parsed(&format!(
        "  - {}\n  - {{id: known, action: log, with: {{message: '${{alert.id}}'}}}}\n\
         \x20 - {{id: out, if: 'alert.id == \"b\"', action: log, with: {{message: x}}}}\n\
         \x20 - {{id: answered, if: 'steps.one.output.decision == \"approved\"', action: log, with: {{message: y}}}}\n\
         \x20 - {{id: later, action: log, with: {{message: '${{steps.known.output.id}}'}}}}\n\
         \x20 - id: each\n    foreach: [1, 2]\n    as: it\n    steps: [{{id: inner, action: log, with: {{message: '${{it}}'}}}}]\n",
        ask("one", "known, out, answered, later, inner")
    ));
    let found = seen(&playbook, "one", "", &[]);
    let shown: Vec<_> = found.iter().map(|(step, with, unknown)| (step.as_str(), with["message"].clone(), unknown.is_some())).collect();
    let expected = [
        ("known", json!("a"), false),
        ("answered", json!("y"), false),
        ("later", json!(null), true),
        ("each[0]/inner", json!(1), false),
        ("each[1]/inner", json!(2), false),
    ];
    assert_eq!(shown, expected);
    assert!(found[2].2.as_ref().unwrap().contains("not known yet"));
}

#[test]
fn in_a_list_people_see_their_own_item_only() {
    let steps = format!("      - {}\n      - {{id: say, action: log, with: {{message: '${{it}}'}}}}\n", ask("one", "say"));
    let playbook = parsed(&format!("  - id: each\n    foreach: [1, 2]\n    as: it\n    steps:\n{steps}"));
    let found = seen(&playbook, "one", "each[1]/", &[]);
    assert_eq!(found, [("each[1]/say".to_owned(), json!({"message": "own"}), None)]);
}

fn planned(message: &str) -> Planned {
    let (step, action) = ("say".to_owned(), "log".to_owned());
    Planned { step, action, with: json!({ "message": message }), target: None, unknown: None }
}

fn round(number: u32, state: ApprovalState, message: &str) -> Approval {
    let plan = vec![planned(message)];
    let question = Question {
        playbook: "p".to_owned(),
        title: "t".to_owned(),
        why: String::new(),
        rule: None,
        plan,
        groups: Vec::new(),
        escalate: Vec::new(),
        quorum: 1,
        channels: Vec::new(),
        requesters: Vec::new(),
        on_timeout: OnTimeout::Reject,
    };
    Approval {
        id: ApprovalId(number.to_string()),
        run: RunId("r".to_owned()),
        asker: "one".to_owned(),
        round: number,
        hash: hash_of(&question.plan),
        question,
        state,
        outcome: String::new(),
        opened_at: at(0),
        expires_at: at(60),
        decided_at: (state != ApprovalState::Open).then(|| at(5)),
        votes: Vec::new(),
    }
}

#[test]
fn people_agreed_to_what_they_saw_and_are_asked_again_about_anything_else() {
    use ApprovalState::{Approved, Expired, Open, Rejected, Void};
    let id = |number: u32| ApprovalId(number.to_string());
    let given = Standing::Given(at(5));
    let none: Vec<(ApprovalState, &str)> = vec![];
    for (rounds, has_begun, minute, expected) in [
        (none, false, 10, Standing::Ask(1)),
        (vec![(Open, "x")], false, 10, Standing::Waits(id(1), at(60))),
        (vec![(Open, "x")], false, 60, Standing::Over(id(1))),
        (vec![(Approved, "x")], false, 10, given.clone()),
        (vec![(Approved, "other")], false, 10, Standing::Ask(2)),
        (vec![(Void, "other"), (Open, "x")], false, 10, Standing::Waits(id(2), at(60))),
        (vec![(Void, "other"), (Approved, "x")], false, 10, given.clone()),
        // The word of a void round counts only for what was begun under it.
        (vec![(Void, "x"), (Open, "other")], false, 10, Standing::Waits(id(2), at(60))),
        (vec![(Void, "x"), (Open, "other")], true, 10, given),
        (vec![(Void, "a"), (Void, "b"), (Approved, "c")], false, 10, Standing::Restless),
    ] {
        let all: Vec<_> = rounds.iter().zip(1..).map(|((state, message), number)| round(number, *state, message)).collect();
        assert_eq!(standing(&all, &planned("x"), has_begun, at(minute)), expected, "{rounds:?}");
    }
    for state in [Rejected, Expired] {
        let refused = round(1, state, "x");
        assert_eq!(standing(std::slice::from_ref(&refused), &planned("x"), false, at(10)), Standing::Refused(Box::new(refused)));
    }
}

#[test]
fn a_site_that_could_not_be_answered_is_refused() {
    let read = |text: &str| serde_yaml::from_str::<SiteApprovals>(text).map_err(|error| error.to_string());
    assert!(!SiteApprovals::default().asks() && SiteApprovals::default().fault().is_none());
    let site = read("{groups: [leads], channels: ['log:default']}").unwrap();
    assert!(site.asks() && site.fault().is_none() && site.quorum == 1);
    for (text, why) in [
        ("{groups: [leads]}", "`approvals.channels` is empty"),
        ("{channels: ['log:default']}", "`approvals.groups` is empty"),
        ("{groups: [leads], channels: ['log:default'], timeout: 0s}", "is nothing"),
    ] {
        assert!(read(text).unwrap().fault().unwrap().contains(why), "{text}");
    }
    assert!(read("{groups: [leads], quorum: 0}").unwrap_err().contains("at least 1"));
    assert!(read("{group: [leads]}").unwrap_err().contains("group"));
}
