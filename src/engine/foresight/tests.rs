use std::path::Path;

use serde_json::json;

use super::*;
use crate::{
    expression::Sandbox,
    run::{Mode, RunId, StepState},
    store::HoldCause,
};

const NOW: &str = "2026-03-02T04:20:00Z";

fn parsed(steps: &str) -> Playbook {
    let text = format!(
        "playbook: p\nmode: enforce\ntrigger: {{alert: {{match: {{kind: x}}}}}}\nsteps:\n{}",
        steps.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    );
    Playbook::parse(&Sandbox::new(), Path::new("p.yaml"), &text).unwrap_or_else(|problems| panic!("{problems:?}")).0
}

fn run(mode: Mode) -> RunRecord {
    let now = NOW.parse().unwrap();
    RunRecord {
        id: RunId("r".to_owned()),
        alert: Some(1),
        inputs: json!({}),
        playbook: "p".to_owned(),
        playbook_hash: "h".to_owned(),
        mode,
        vars: json!({}),
        state: RunState::Ready,
        reason: String::new(),
        created_at: now,
        due_at: now,
        ended_at: None,
        resumed_at: None,
        ended_as: None,
        cancel: false,
        replay: None,
    }
}

fn alert() -> Alert {
    let time = "2026-03-02T04:11:09Z";
    let fields = json!({"id": "a", "source": "s", "kind": "x", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002", "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "detected_at": time, "received_at": time});
    serde_json::from_value(fields).unwrap()
}

struct Given {
    mode: Mode,
    guardrails: &'static str,
    answers: Vec<(&'static str, Answer)>,
    approvals: Approvals,
    site: &'static str,
    holds: Vec<Hold>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            guardrails: "without_approval: ['*']",
            answers: Vec::new(),
            approvals: Approvals::Approve,
            site: "{}",
            holds: Vec::new(),
        }
    }
}

impl Answers for Given {
    fn answer(&self, step: &StepRecord) -> Answer {
        self.answers.iter().find(|(action, _)| *action == step.action).map_or(Answer::Unknown, |(_, answer)| answer.clone())
    }
}

impl Given {
    fn foresee_with(&self, steps: &str, tally: &mut Tally) -> Foreseen {
        let (playbook, run, alert) = (parsed(steps), run(self.mode), alert());
        let seen = serde_json::to_value(&alert).unwrap();
        let alerts = json!([seen]);
        let guardrails: Guardrails = serde_yaml::from_str(self.guardrails).unwrap();
        let subject = Subject { playbook: &playbook, run: &run, alert: Some(&alert), seen: &seen, alerts: &alerts };
        let site: SiteApprovals = serde_yaml::from_str(self.site).unwrap();
        let outlook = Outlook { guardrails: &guardrails, site: &site, holds: &self.holds, answers: self, approvals: self.approvals };
        foresee(subject, outlook, tally)
    }

    fn foresee(&self, steps: &str) -> Foreseen {
        self.foresee_with(steps, &mut Tally::default())
    }
}

/// Each call with what becomes of it, the steps that are unclear, and the end.
fn told(foreseen: &Foreseen) -> String {
    let fate = |call: &Call| match &call.fate {
        Fate::Made => String::new(),
        Fate::Held(held) => format!(" held by {}", held.rule),
        Fate::Shadowed(None) => " shadowed".to_owned(),
        Fate::Shadowed(Some(held)) => format!(" shadowed, held by {}", held.rule),
    };
    let calls = foreseen.calls.iter().map(|call| format!("{}{}", call.step, fate(call)));
    let unclear = foreseen.unclear.iter().map(|unclear| format!("{}? for {}", unclear.step, unclear.needs));
    calls.chain(unclear).chain([foreseen.run.state.to_string()]).collect::<Vec<_>>().join(", ")
}

const READ: &str = "- {id: sub, action: subscription.get, with: {customer_tenant_id: 11111111-aaaa-4aaa-8aaa-000000000001, subscription_id: 22222222-bbbb-4bbb-8bbb-000000000002}}";
const SUSPEND: &str = "- {id: suspend, action: subscription.suspend, with: {customer_tenant_id: 11111111-aaaa-4aaa-8aaa-000000000001, subscription_id: 22222222-bbbb-4bbb-8bbb-000000000002}}";
const SAY: &str = "- {id: say, action: log, with: {message: hello}}";

#[test]
fn what_reads_an_unknown_answer_cannot_be_foreseen_and_the_rest_can() {
    for (then, expected) in [
        ("- {id: say, action: log, with: {message: '${steps.sub.output.status}'}}", "sub, say? for sub, done"),
        // A default is no answer.
        ("- {id: say, action: log, with: {message: '${get(steps.sub.output, \"status\", \"unknown\")}'}}", "sub, say? for sub, done"),
        ("- {id: end, if: steps.sub.output.status == \"x\", stop: {outcome: done, reason: r}}", "sub, end? for sub, done"),
        // Where the condition is false whatever the answer is, nothing hangs on it.
        ("- {id: say, if: 'false', action: log, with: {message: '${steps.sub.output.status}'}}", "sub, done"),
        (SAY, "sub, say, done"),
        // What follows from what is unclear is unclear, too.
        (
            "- {id: name, script: steps.sub.output.name}\n- {id: say, action: log, with: {message: '${steps.name.output}'}}",
            "sub, name? for sub, say? for name, done",
        ),
        (
            "- {id: each, foreach: '${steps.sub.output.list}', as: it, steps: [{id: say, action: log, with: {message: a}}]}",
            "sub, each? for sub, done",
        ),
    ] {
        assert_eq!(told(&Given::default().foresee(&format!("{READ}\n{then}"))), expected, "{then}");
    }
}

#[test]
fn answers_lead_on() {
    let given = |answer| Given { answers: vec![("subscription.get", answer)], ..Given::default() };
    let steps =
        format!("{READ}\n- {{id: end, if: steps.sub.output.status != \"active\", stop: {{outcome: no_action, reason: r}}}}\n{SUSPEND}");
    assert_eq!(told(&given(Answer::Output(json!({"status": "active"}))).foresee(&steps)), "sub, suspend, done");
    assert_eq!(told(&given(Answer::Output(json!({"status": "deleted"}))).foresee(&steps)), "sub, no_action");
    assert_eq!(told(&given(Answer::Failed("gone".to_owned())).foresee(&steps)), "sub, failed");
    // A wrong playbook is a failure, not something unknown.
    let foreseen = given(Answer::Output(json!({}))).foresee(&steps);
    assert!(foreseen.fails() && foreseen.limit().is_none(), "{}", told(&foreseen));
}

#[test]
fn guardrails_and_approvals_are_asked_as_the_driver_asks_them() {
    let ask = "- {id: ask, approval: {title: Sure?, for_steps: [suspend], groups: [leads], channels: ['slack:x'], timeout: 4h, on_timeout: reject}}";
    let asked = format!("{ask}\n{SUSPEND}");
    for (guardrails, approvals, steps, expected) in [
        ("{}", Approvals::Approve, SUSPEND, "suspend held by approval, failed"),
        ("{}", Approvals::Approve, &asked, "suspend, done"),
        ("{}", Approvals::Reject, &asked, "rejected"),
        (
            "{without_approval: ['*'], protected: [22222222-BBBB-4bbb-8bbb-000000000002]}",
            Approvals::Approve,
            SUSPEND,
            "suspend held by protected, failed",
        ),
        ("{without_approval: ['*'], max_alert_age: 1m}", Approvals::Approve, SUSPEND, "suspend held by freshness, failed"),
    ] {
        let foreseen = Given { guardrails, approvals, ..Given::default() }.foresee(steps);
        assert_eq!(told(&foreseen), expected, "{guardrails}");
        assert_eq!(foreseen.questions.len(), usize::from(steps == asked));
    }
}

#[test]
fn what_is_on_hold_at_that_time_is_not_stopped_unless_people_agree() {
    let (since, until) = ("2026-03-02T03:00:00Z", "2026-03-03T03:00:00Z");
    let on_hold = |since: &str, site| {
        let target = "{22222222-BBBB-4bbb-8bbb-000000000002}".to_owned();
        let (who, reason) = ("mina".to_owned(), "a drill".to_owned());
        let (since, until) = (since.parse().unwrap(), until.parse().unwrap());
        let hold = Hold { number: 1, target, cause: HoldCause::Marked, who, reason, since, until, undone: None, released: None };
        told(&Given { holds: vec![hold], site, ..Given::default() }.foresee(&format!("{READ}\n{SUSPEND}")))
    };
    assert_eq!(on_hold(since, "{}"), "sub, suspend held by hold, failed");
    assert_eq!(on_hold(since, "{groups: [leads], channels: ['log:default']}"), "sub, suspend, done");
    assert_eq!(on_hold("2026-03-02T05:00:00Z", "{}"), "sub, suspend, done", "it was placed later");
}

#[test]
fn limits_hold_over_many_runs() {
    let given =
        Given { guardrails: "{without_approval: ['*'], limits: [{action: 'subscription.*', max: 1, per: 1h}]}", ..Given::default() };
    let mut tally = Tally::default();
    assert_eq!(told(&given.foresee_with(SUSPEND, &mut tally)), "suspend, done");
    assert_eq!(told(&given.foresee_with(SUSPEND, &mut tally)), "suspend held by limit, failed");
    let later = format!("- {{id: rest, wait: {{for: 2h}}}}\n{SUSPEND}");
    assert_eq!(told(&given.foresee_with(&later, &mut tally)), "suspend, done", "time passes in thought");
}

#[test]
fn in_shadow_mode_calls_are_told_with_what_would_hold_them_back() {
    let given = |guardrails| Given { mode: Mode::Shadow, guardrails, ..Given::default() };
    assert_eq!(told(&given("without_approval: ['*']").foresee(&format!("{SUSPEND}\n{SAY}"))), "suspend shadowed, say shadowed, done");
    let foreseen = given("{}").foresee(SUSPEND);
    assert_eq!(told(&foreseen), "suspend shadowed, held by approval, done");
    assert_eq!(foreseen.steps[0].state, StepState::Shadowed);
}

#[test]
fn recorded_answers_are_given_again() {
    let record = |action: &str, class, state, plan: Value, output: Value| {
        let mut steps = Given::default().foresee(SAY).steps;
        let step = steps.remove(0);
        StepRecord { action: action.to_owned(), class, state, plan, output, error: Some("no".to_owned()), attempts: 1, ..step }
    };
    let steps = [
        record("subscription.get", Class::Read, StepState::Succeeded, json!({"id": 1}), json!("one")),
        record("subscription.get", Class::Read, StepState::Failed, json!({"id": 2}), Value::Null),
        record("log", Class::Idempotent, StepState::Succeeded, json!({"message": "a"}), json!("said")),
        record("notify", Class::Idempotent, StepState::Shadowed, json!({"text": "a"}), Value::Null),
    ];
    let answer = |action: &str, class, plan| Recorded(&steps).answer(&record(action, class, StepState::Planned, plan, Value::Null));
    assert_eq!(answer("subscription.get", Class::Read, json!({"id": 1})), Answer::Output(json!("one")));
    assert_eq!(answer("subscription.get", Class::Read, json!({"id": 2})), Answer::Failed("no".to_owned()));
    assert_eq!(answer("subscription.get", Class::Read, json!({"id": 3})), Answer::Output(json!("one")), "another read for the same alert");
    assert_eq!(answer("log", Class::Idempotent, json!({"message": "a"})), Answer::Output(json!("said")));
    assert_eq!(answer("log", Class::Idempotent, json!({"message": "b"})), Answer::Unknown, "another change is another thing");
    assert_eq!(answer("notify", Class::Idempotent, json!({"text": "a"})), Answer::Unknown, "what was only recorded was not answered");
}

#[test]
fn where_the_site_asks_people_are_taken_to_answer_and_a_step_that_a_playbook_asks_about_needs_its_own_yes() {
    let suspend = "- {id: suspend, action: subscription.suspend, with: {customer_tenant_id: \"${alert.customer_tenant_id}\", subscription_id: \"${alert.subscription_id}\"}}";
    let asking = |approvals, site| Given { guardrails: "{}", approvals, site, ..Given::default() };
    let site = "{groups: [leads], channels: ['log:default'], quorum: 2}";
    for (approvals, site, made, questions) in
        [(Approvals::Approve, site, true, 1), (Approvals::Reject, site, false, 1), (Approvals::Approve, "{}", false, 0)]
    {
        let foreseen = asking(approvals, site).foresee(suspend);
        let groups: Vec<_> = foreseen.questions.iter().map(|(step, question)| (step.as_str(), question["groups"].clone())).collect();
        assert_eq!((foreseen.calls[0].is_made(), groups.len()), (made, questions), "{approvals:?} {site}");
        assert!(groups.iter().all(|group| *group == ("suspend", json!(["leads"]))));
    }
    let rejected = "- {id: ask, approval: {title: t, for_steps: [say], groups: [g], channels: ['log:default'], on_timeout: reject}}\n\
                    - {id: say, if: 'steps.ask.output.decision != \"approved\"', action: log, with: {message: x}}";
    let foreseen = asking(Approvals::Reject, "{}").foresee(rejected);
    assert!(foreseen.calls.iter().all(|call| !call.is_made()), "without its yes it is not taken, whatever its condition says");
}
