//! Tests: every construct of the language is read as it is written, and what is wrong with one is said at its place.

use serde_json::{Value, json};

use super::{
    tests::{parse, problems},
    *,
};

/// Each construct at least once.
pub(super) const EVERYTHING: &str = r#"playbook: everything
mode: enforce
trigger: {alert: {match: {kind: crypto_mining}}}
group: {by: [customer_tenant_id], wait: 10s, interval: 1h}
throttle: {key: "${alert.kind}", max: 20, per: 1h}
threshold: {key: "${alert.subscription_id}", count: 3, within: 10m}
concurrency: {key: "${alert.subscription_id}", max: 2, strategy: cancel_running}
guardrails:
  - {action: "subscription.*", max: 3, per: 1h, on_exceed: require_approval}
vars: {level: "${alert.severity}"}
steps:
  - id: sub
    action: subscription.get
    with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: s-1}
  - id: choose
    switch:
      - if: vars.level == "high"
        steps:
          - {id: high, script: '#{score: 9}'}
      - else:
          - {id: low, script: 1 + 1}
  - id: each
    foreach: ${ alert.resources }
    as: resource
    max_parallel: 4
    steps:
      - {id: note, action: log, with: {message: "${resource} of ${steps.sub.output.name}"}}
  - id: both
    parallel:
      left: [{id: one, script: 'steps.high?.output?.score ?? 0'}]
      right: [{id: two, wait: {for: 10m}}]
    join: any
  - {id: later, wait: {until: '"2026-03-02T05:00:00Z"'}}
  - id: ask
    approval:
      title: Suspend ${steps.sub.output.name}?
      for_steps: [suspend]
      groups: [leads]
      quorum: 2
      channels: [slack:secops, "email:${vars.level}"]
      timeout: 2h
      on_timeout: reject
      escalate: [{after: 30m, groups: [duty-managers]}]
  - id: suspend
    action: subscription.suspend
    with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${steps.sub.output.id}"}
    rollback: {action: subscription.get, expires: 30d}
    verify:
      action: subscription.get
      with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: s-1}
      reached: output.status == "suspended"
    on_error: rollback
  - {id: ring, playbook: call-people, inputs: {who: "${vars.level}", times: 2}, on_error: {output: {rung: false}}}
on_error:
  - {id: page, action: log, with: {message: "${error.step}: ${alerts.len()} alerts"}}
output: {name: "${steps.sub.output.name}", each: "${steps.each.output}"}
"#;

const NOW: &str = "2026-03-02T04:11:09Z";

fn everything() -> Playbook {
    parse(EVERYTHING).unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

fn with_steps(steps: &str) -> String {
    format!("playbook: a\ntrigger: {{alert: {{match: {{kind: noise}}}}}}\nsteps:\n{steps}")
}

#[test]
fn a_playbook_with_everything_is_read_as_written() {
    let it = everything();
    assert_eq!(problems(EVERYTHING), Vec::<String>::new());
    let group = it.group.as_ref().unwrap();
    assert_eq!((&*group.by, group.wait.as_secs(), group.interval.as_secs()), (&["customer_tenant_id".to_owned()][..], 10, 3600));
    assert_eq!(it.throttle.as_ref().map(|it| (it.max, it.per.as_secs())), Some((20, 3600)));
    assert_eq!(it.threshold.as_ref().map(|it| (it.count, it.within.as_secs())), Some((3, 600)));
    assert_eq!(it.concurrency.as_ref().map(|it| (it.max, it.strategy)), Some((2, Strategy::CancelRunning)));
    assert_eq!(it.guardrails.len(), 1);
    assert_eq!(it.guardrails[0].on_exceed, OnExceed::RequireApproval);
    let Body::Foreach { name, max_parallel, .. } = &it.step("each").unwrap().body else { panic!() };
    assert_eq!((name.as_str(), *max_parallel), ("resource", 4));
    let Body::Parallel { branches, join } = &it.step("both").unwrap().body else { panic!() };
    assert_eq!((branches[1].0.as_str(), *join), ("right", Join::AtLeast(1)));
    let Body::Approval(approval) = &it.step("ask").unwrap().body else { panic!() };
    assert_eq!((approval.quorum, approval.on_timeout, approval.escalate[0].after.as_secs()), (2, crate::approval::OnTimeout::Reject, 1800));
    let suspend = it.step("suspend").unwrap();
    assert!(matches!(suspend.on_error, OnError::Rollback));
    let rollback = suspend.rollback.as_ref().unwrap();
    assert_eq!((rollback.step.id.as_str(), rollback.step.body.word()), ("suspend.rollback", "subscription.get"));
    assert_eq!(suspend.verify.as_ref().unwrap().reached.text(), r#"output.status == "suspended""#);
    assert!(matches!(it.step("ring").unwrap().on_error, OnError::Instead(_)));
    assert!(it.output.is_some());
}

#[test]
fn each_construct_can_be_planned() {
    let it = everything();
    let mut scope = Scope::new(NOW.parse().unwrap());
    let alert = json!({"kind": "k", "severity": "high", "customer_tenant_id": "t", "subscription_id": "s", "resources": ["/a", "/b"]});
    scope.set("alert", &alert);
    let vars = it.render_vars(&mut scope).unwrap();
    assert_eq!(vars, json!({"level": "high"}));
    let output = json!({"id": "s-1", "name": "Prod", "score": 9});
    let outcome = json!({"output": output, "status": "succeeded", "error": ""});
    let steps = it.every_step().into_iter().map(|step| (step.id.clone(), outcome.clone())).collect();
    scope.set("steps", &Value::Object(steps));
    scope.set("resource", &json!("/a"));
    let mut plan = |id: &str| it.step(id).unwrap().plan(&it, &mut scope, NOW.parse().unwrap()).map_err(|error| error.to_string());
    assert_eq!(plan("choose"), Ok(Planned::Case(Some(0))));
    assert_eq!(plan("high"), Ok(Planned::Computed(json!({"score": 9}))));
    assert_eq!(plan("each"), Ok(Planned::Each(vec![json!("/a"), json!("/b")])));
    assert_eq!(plan("note"), Ok(Planned::Act(json!({"message": "/a of Prod"}))));
    assert_eq!(plan("both"), Ok(Planned::Branches));
    assert_eq!(plan("one"), Ok(Planned::Computed(json!(9))));
    assert_eq!(plan("two"), Ok(Planned::Until("2026-03-02T04:21:09Z".parse().unwrap())));
    assert_eq!(plan("later"), Ok(Planned::Until("2026-03-02T05:00:00Z".parse().unwrap())));
    let Ok(Planned::Ask { question, until }) = plan("ask") else { panic!() };
    assert_eq!((&question["title"], &question["channels"]), (&json!("Suspend Prod?"), &json!(["slack:secops", "email:high"])));
    assert_eq!(until, "2026-03-02T06:11:09Z".parse().unwrap());
    assert_eq!(plan("suspend"), Ok(Planned::Act(json!({"customer_tenant_id": "t", "subscription_id": "s-1"}))));
    assert_eq!(plan("ring"), Err("there is no playbook `call-people`".to_owned()), "it is not linked");
}

#[test]
fn a_schedule_fires_in_its_own_time() {
    let text = "playbook: a\ntrigger: {schedule: {cron: '0 7 * * 1-5', timezone: Europe/Berlin, catch_up: all}}\nsteps: [{id: s, stop: {outcome: done, reason: '${inputs.scheduled_at}'}}]\n";
    let (playbook, _) = parse(text).unwrap();
    let Trigger::Schedule(schedule) = &playbook.trigger else { panic!() };
    assert_eq!(schedule.catch_up, CatchUp::All);
    // The Friday before the clocks change, and the Monday after.
    assert_eq!(schedule.next_after("2026-03-27T06:00:00Z".parse().unwrap()), Some("2026-03-30T05:00:00Z".parse().unwrap()));
}

#[test]
fn a_manual_playbook_takes_what_it_says() {
    let text = "playbook: a\ntrigger: {manual: {inputs: {who: text, times: {type: integer, default: 2, description: How often.}}}}\nsteps: [{id: s, stop: {outcome: done, reason: '${inputs.who}'}}]\n";
    let (playbook, _) = parse(text).unwrap();
    assert_eq!(playbook.take_inputs(&json!({"who": "ann"})), Ok(json!({"who": "ann", "times": 2})));
    assert!(parse("playbook: a\ntrigger: {manual: }\nsteps: [{id: s, stop: {outcome: done, reason: x}}]\n").is_ok());
}

/// What replaces what in the playbook with everything, and what is then said.
pub(super) const MISTAKES: &[(&str, &str, &str)] = &[
    ("{by: [customer_tenant_id]", "{by: [customer]", "P0012 4:14 an alert has no `customer`"),
    ("{by: [customer_tenant_id]", "{by: []", "P0003 4:13 `by` is empty"),
    ("max: 20, per: 1h", "max: 0, per: 1h", "P0020 5:39 `max` must be a whole number from 1"),
    ("max: 20, per: 1h", "max: 20, per: 0s", "P0020 5:48 `per` is no time at all"),
    (", within: 10m", "", "P0003 6:12 `threshold` has no `within`"),
    ("strategy: cancel_running", "strategy: cancel", "P0015 7:66 `strategy` cannot be `cancel`; did you mean `cancel_running`?"),
    ("subscription.*", "subscription.get", "P0007 9:14 `subscription.get` covers no action that changes something"),
    ("on_exceed: require_approval", "on_exceed: ask", "P0015 9:60 `on_exceed` cannot be `ask`"),
    ("      - else:", "      - if: true\n        else:", "P0018 20:9 `else` has no `if`"),
    ("if: vars.level ==", "iff: vars.level ==", "P0002 17:9 unknown key `iff`; did you mean `if`?"),
    (
        "      - if: vars.level == \"high\"\n",
        "      - else: [{id: x, script: 1 + 1}]\n      - if: vars.level == \"high\"\n",
        "P0018 17:9 `else` is the last case",
    ),
    ("foreach: ${ alert.resources }", "foreach: alert.resources", "P0004 23:14 `foreach` must be a list, and is a text; write the items"),
    ("as: resource", "as: alert", "P0005 24:9 `alert` means something else here already; give the item another name with `as`"),
    ("${resource} of", "${item} of", "P0011 27:52 unknown name `item`"),
    ("max_parallel: 4", "max_parallel: 17", "P0020 25:19 `max_parallel` must be a whole number from 1 to 16"),
    ("steps.high?.output", "steps.two?.output", "P0013 30:39 the step `two` has not been taken here"),
    ("join: any", "join: 3", "P0020 32:11 `join` must be a whole number from 1 to 2, and is 3"),
    ("{until: '\"2026-03-02T05:00:00Z\"'}", "{}", "P0018 33:23 `wait` has exactly one of `for` and `until`"),
    (
        "'steps.high?.output?.score ?? 0'",
        "'steps.note.output'",
        "P0013 30:39 the step `note` runs once for every item of `each`, and cannot be read outside of it; `steps.each.output` is a list",
    ),
    ("for_steps: [suspend]", "for_steps: [supend]", "P0013 37:19 there is no step `supend`; did you mean `suspend`?"),
    ("for_steps: [suspend]", "for_steps: [sub]", "P0013 37:19 the step `sub` does not come after this approval"),
    ("groups: [leads]", "groups: []", "P0003 38:15 `groups` is empty"),
    ("      on_timeout: reject\n", "", "P0003 36:7 `approval` has no `on_timeout`"),
    ("on_timeout: reject", "on_timeout: approve", "P0015 42:19 `on_timeout` cannot be `approve`: the step `suspend` is destructive"),
    ("{after: 30m", "{after: 2h", "P0020 43:26 `after` is not before the `timeout` of the approval"),
    ("rollback: {action: subscription.get", "rollback: {action: log", "P0010 47:24 `log` does not take the parameters of the step"),
    ("      action: subscription.get\n", "      action: log\n", "P0015 49:15 `verify` only looks, and `log` does more"),
    ("reached: output.status", "reached: outptu.status", "P0011 51:16 unknown name `outptu`; did you mean `output`?"),
    ("  - {id: later, wait:", "  - {id: later, timeout: 1s, wait:", "P0018 33:17 a `wait` has no `timeout`"),
    ("on_error: {output: {rung: false}}", "on_error: {value: 1}", "P0002 53:92 unknown key `value`"),
    ("      escalate:", "      on_error: continue\n      escalate:", "P0002 43:7 unknown key `on_error`"),
    ("${error.step}: ${alerts.len()}", "${steps.note.output}", "P0013 55:54 the step `note` runs once for every item"),
    ("id: low", "id: sub", "P0006 21:18 there is a step `sub` already"),
    // Steps that may not have run.
    ("steps.high?.output?.score ?? 0", "steps.high.output.score", "P0028 30:39 the step `high` may not have run here"),
    ("name: \"${steps.sub.output.name}\"", "name: \"${steps.low.output.name}\"", "P0028 56:25 the step `low` may not have run here"),
    ("${error.step}:", "${steps.sub.output.name}:", "P0028 55:54 the step `sub` may not have run here"),
    ("  - {id: later,", "  - {id: end, stop: {outcome: done, reason: x}}\n  - {id: later,", "P0029 34:5 this step is never taken"),
    ("  - {id: later,", "  - {id: later, if: false,", "P0029 33:21 this is never taken"),
    ("{match: {kind: crypto_mining}}", "{match: {severity: {at_least: high, any_of: [low, medium]}}}", "P0033 3:27 no alert can ever fit"),
    ("{match: {kind: crypto_mining}}", "{match: {status: {not: [active, investigating, resolved]}}}", "P0033 3:27"),
    ("{match: {kind: crypto_mining}}", "{match: {details.cost: {gt: 5, lt: 5}}}", "P0033 3:27"),
    ("{match: {kind: crypto_mining}}", "{match: {kind: {any_of: [a], not: [a, b]}}}", "P0033 3:27"),
    ("{match: {kind: crypto_mining}}", "{match: {confidence: {at_least: critical}}}", "P0033 3:27"),
    ("{match: {kind: crypto_mining}}", "{match: {title: {exists: false, prefix: x}}}", "P0033 3:27"),
    ("trigger: {alert: {match: {kind: crypto_mining}}}", "trigger: {schedule: {cron: 0 7 30 2 *}}", "P0032 3:28 there is no moment"),
    (
        "trigger: {alert: {match: {kind: crypto_mining}}}",
        "trigger: {schedule: {cron: 0 7 * *}}",
        "P0015 3:28 `0 7 * *` is no schedule: it has 4 fields",
    ),
    (
        "trigger: {alert: {match: {kind: crypto_mining}}}",
        "trigger: {schedule: {cron: 0 7 * * *, timezone: Europe/Berlni}}",
        "P0015 3:49 there is no time zone `Europe/Berlni`; did you mean `Europe/Berlin`?",
    ),
    ("trigger: {alert: {match: {kind: crypto_mining}}}", "trigger: {}", "P0003 3:10 `trigger` has none of"),
    ("trigger: {alert: {match: {kind: crypto_mining}}}", "trigger: {alert: {}, manual: {}}", "P0018 3:10 `trigger` has exactly one of"),
    (
        "trigger: {alert: {match: {kind: crypto_mining}}}",
        "trigger: {manual: {}}",
        "P0002 5:1 `throttle` is about alerts, and no alert triggers",
    ),
    (
        "trigger: {alert: {match: {kind: crypto_mining}}}",
        "trigger: {manual: {}}",
        "P0011 10:18 unknown name `alert`; the names here are `inputs`",
    ),
    (
        "trigger: {alert: {match: {kind: crypto_mining}}}",
        "trigger: {manual: {inputs: {a: txt}}}",
        "P0015 3:32 the type of an input cannot be `txt`; did you mean `text`?",
    ),
    (
        "trigger: {alert: {match: {kind: crypto_mining}}}",
        "trigger: {manual: {inputs: {a: {type: list, default: 5}}}}",
        "P0004 3:54 `default` must be a list, and is a number",
    ),
    (
        "{kind: crypto_mining}}}\ngroup: {by: [customer_tenant_id], wait: 10s, interval: 1h}",
        "{kind: crypto_mining}}}",
        "P0011 54:63 unknown name `alerts`",
    ),
];

#[test]
fn a_mistake_in_a_construct_is_reported_with_its_place() {
    let mut wrong = Vec::new();
    for (from, to, expected) in MISTAKES {
        let text = EVERYTHING.replacen(from, to, 1);
        assert_ne!(text, EVERYTHING, "`{from}` is not in the playbook");
        let found = problems(&text);
        if !found.iter().any(|it| it.starts_with(expected)) {
            wrong.push(format!("{to}\n  expected {expected}\n  found {}", found.join("\n        ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn of_a_list_one_item_may_fit_one_operator_and_another_the_next() {
    let lines = "{match: {details.tags: {any_of: [prod], prefix: team-}, resources: {any_of: [a], suffix: b}}}";
    assert_eq!(problems(&EVERYTHING.replacen("{match: {kind: crypto_mining}}", lines, 1)), Vec::<String>::new());
}

#[test]
fn a_step_that_may_not_have_run_is_read_where_that_was_asked() {
    let look = "  - {id: look, if: alert.kind == \"a\", action: subscription.get, with: {customer_tenant_id: \"${alert.id}\", subscription_id: s}}\n";
    let reads = |more: &str| problems(&with_steps(&format!("{look}{more}")));
    let note =
        |condition: &str| reads(&format!("  - {{id: note, {condition}action: log, with: {{message: '${{steps.look.output.name}}'}}}}\n"));
    assert_eq!(note("").len(), 1);
    assert_eq!(note("if: steps.look.status == \"succeeded\", "), Vec::<String>::new());
    let inline = |expression: &str| reads(&format!("  - {{id: note, script: '{expression}'}}\n"));
    assert_eq!(inline(r#"if steps.look.status == "succeeded" { steps.look.output.name } else { "" }"#), Vec::<String>::new());
    assert_eq!(inline(r#"steps.look.output?.name ?? """#), Vec::<String>::new());
    let stop = "  - {id: end, if: steps.look.output == (), stop: {outcome: no_action, reason: x}}\n";
    assert_eq!(reads(&format!("{stop}  - {{id: note, script: steps.look.output.name}}\n")), Vec::<String>::new());
    let case = "  - {id: pick, switch: [{if: 'steps.look.status == \"succeeded\"', steps: [{id: n, script: steps.look.output.name}]}]}\n";
    assert_eq!(reads(case), Vec::<String>::new());
}

#[test]
fn all_branches_that_must_succeed_have_run_afterwards() {
    let text = |join: &str| {
        with_steps(&format!(
            "  - {{id: both, parallel: {{l: [{{id: a, script: 1 + 1}}], r: [{{id: b, script: 1 + 2}}]}}, join: {join}}}\n  - {{id: c, script: steps.a.output.x}}\n"
        ))
    };
    assert_eq!(problems(&text("all")), Vec::<String>::new());
    assert_eq!(problems(&text("1")).len(), 1);
}

#[test]
fn a_rollback_inside_a_list_takes_the_parameters_of_its_step() {
    let step = "{id: look, action: subscription.get, with: {customer_tenant_id: \"${alert.id}\", subscription_id: \"${item}\"}, rollback: {action: log, with: {message: x}}}";
    let found = problems(&with_steps(&format!("  - {{id: each, foreach: [a], steps: [{step}]}}\n")));
    assert!(found.len() == 1 && found[0].starts_with("P0018 4:") && found[0].contains("inside a `foreach`"), "{found:?}");
    assert_eq!(problems(&with_steps(&format!("  - {}\n", step.replace("${item}", "s")))), Vec::<String>::new());
}

#[test]
fn steps_lie_at_most_eight_deep() {
    let nested = |depth: usize| {
        let inner = (1..depth)
            .fold("{id: s0, script: 1 + 1}".to_owned(), |inner, at| format!("{{id: s{at}, switch: [{{if: 1 == 1, steps: [{inner}]}}]}}"));
        problems(&with_steps(&format!("  - {inner}\n")))
    };
    assert_eq!(nested(8), Vec::<String>::new());
    assert!(nested(9).iter().any(|it| it.contains("steps lie at most 8 deep")), "{:?}", nested(9));
}
