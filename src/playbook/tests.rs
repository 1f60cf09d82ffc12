//! Tests: what is wrong with a playbook and where, and what a good one decides.

use std::{cell::LazyCell, path::Path};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    expression::{Sandbox, Table, Tables},
    problem::Problem,
    retry::Backoff,
};

const GOOD: &str = r#"playbook: contain-mining
description: Stops it.
owner: secops
mode: enforce
trigger:
  alert:
    match:
      source: [graph, partner_center]
      kind: crypto_mining
      severity: {at_least: medium}
      details.estimated_cost: {gte: 100}
    when: alert.confidence == "high" || alert.details.estimated_cost >= 200.0
dedup: {key: "${alert.subscription_id}/${alert.kind}", window: 12h}
timeout: 2h
vars:
  who: '${ lookup("customers", alert.customer_tenant_id) ?? #{tier: "unknown"} }'
  tier: ${ vars.who.tier }
steps:
  - id: sub
    action: subscription.get
    with: {customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}"}
    timeout: 10s
    retry: {max_attempts: 3, delay: 1s, backoff: linear, max_delay: 5s}
  - id: not_needed
    if: steps.sub.output.status != "active"
    stop: {outcome: no_action, reason: "already ${steps.sub.output.status}"}
  - id: tell
    action: notify
    with:
      channels: [slack:secops]
      text: |
        Tier ${vars.tier} in ${run.id}
    on_error: continue
on_error:
  - {id: page, action: notify, with: {channels: [email:oncall], text: "${run.playbook} failed at ${error.step}: ${error.message}"}}
"#;

fn sandbox() -> Sandbox {
    let mut table = Table::default();
    table.insert("t-1", [("tier", "gold")]);
    let mut tables = Tables::default();
    tables.insert("customers", table);
    Sandbox::with_tables(tables)
}

pub(super) fn parse(text: &str) -> Result<(Playbook, Vec<Problem>), Vec<Problem>> {
    Playbook::parse(&sandbox(), Path::new("p.yaml"), text)
}

fn good() -> Playbook {
    parse(GOOD).unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

/// Each problem as `code line:column message; help`.
pub(super) fn problems(text: &str) -> Vec<String> {
    let problems = match parse(text) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    let help = |it: &Problem| it.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    problems.iter().map(|it| format!("{} {}:{} {}{}", it.code, it.place.line, it.place.column, it.message, help(it))).collect()
}

fn alert() -> Value {
    json!({
        "id": "a-1", "source": "graph", "kind": "crypto_mining", "severity": "high", "confidence": "low", "status": "active",
        "customer_tenant_id": "t-1", "subscription_id": "s-1", "details": {"estimated_cost": 250, "ip": "10.0.0.1"},
        "resources": ["/vm/a", "/vm/b"], "is_test": false,
    })
}

fn scope() -> Scope {
    let mut scope = Scope::new("2026-03-02T04:11:09Z".parse().unwrap());
    scope.set("alert", &alert());
    scope
}

fn verdict(match_and_when: &str, alert: &Value) -> Verdict {
    let text = format!("playbook: a\ntrigger: {{alert: {match_and_when}}}\nsteps: [{{id: s, stop: {{outcome: done, reason: x}}}}]\n");
    let playbook = parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}")).0;
    playbook.trigger.alert().unwrap().evaluate(alert, false, &mut LazyCell::new(scope))
}

#[test]
fn a_good_playbook_is_read_as_written() {
    let playbook = good();
    assert_eq!((playbook.name.as_str(), playbook.mode, playbook.timeout), ("contain-mining", Mode::Enforce, Duration::from_hours(2)));
    assert_eq!(playbook.dedup.as_ref().unwrap().window, Duration::from_hours(12));
    assert_eq!(playbook.trigger.alert().unwrap().clauses.len(), 4);
    let step = playbook.step("sub").unwrap();
    assert_eq!((step.timeout, step.retry.max_attempts, step.retry.backoff), (Duration::from_secs(10), 3, Backoff::Linear));
    assert!(matches!(playbook.step("tell").unwrap().on_error, OnError::Continue));
    assert!(playbook.step("page").is_some() && playbook.step("other").is_none());
    assert_eq!(playbook.hash.len(), 64);
    assert_eq!(&*playbook.text, GOOD);
}

#[test]
fn a_playbook_without_a_mode_does_not_act() {
    let (playbook, _) = parse("playbook: a\ntrigger: {alert: {}}\nsteps: [{id: s, stop: {outcome: done, reason: x}}]").unwrap();
    assert_eq!(playbook.mode, Mode::Shadow);
    assert!(!playbook.trigger.alert().unwrap().revisions);
}

#[test]
fn a_step_is_planned_from_what_is_known() {
    let playbook = good();
    let mut scope = scope();
    let vars = playbook.render_vars(&mut scope).unwrap();
    assert_eq!(vars, json!({"who": {"tier": "gold"}, "tier": "gold"}));
    scope.set("run", &json!({"id": "r-1", "playbook": "contain-mining"}));
    scope.set("steps", &json!({"sub": {"output": {"status": "active"}, "status": "succeeded", "error": null}}));
    let plan = |id: &str, scope: &mut Scope| {
        playbook.step(id).unwrap().plan(&playbook, scope, "2026-03-02T04:11:09Z".parse().unwrap()).map_err(|error| error.to_string())
    };
    assert_eq!(plan("sub", &mut scope), Ok(Planned::Act(json!({"customer_tenant_id": "t-1", "subscription_id": "s-1"}))));
    assert_eq!(plan("not_needed", &mut scope), Ok(Planned::Skip));
    assert_eq!(plan("tell", &mut scope), Ok(Planned::Act(json!({"channels": ["slack:secops"], "text": "Tier gold in r-1\n"}))));
    scope.set("steps", &json!({"sub": {"output": {"status": "suspended"}, "status": "succeeded", "error": null}}));
    let stop = Planned::Stop { outcome: StopOutcome::NoAction, reason: "already suspended".to_owned() };
    assert_eq!(plan("not_needed", &mut scope), Ok(stop));
    scope.set("steps", &json!({"sub": {"output": {"statuz": "active"}, "status": "succeeded", "error": null}}));
    let reason = "`if`: `steps.sub.output` has no `status`; did you mean `statuz`?";
    assert_eq!(plan("not_needed", &mut scope), Err(reason.to_owned()));
}

#[test]
fn every_clause_of_match_can_hold_and_be_false() {
    for (clause, holds) in [
        ("kind: crypto_mining", true),
        ("kind: [a, crypto_mining]", true),
        ("kind: other", false),
        ("kind: {not: other}", true),
        ("kind: {not: [other, crypto_mining]}", false),
        ("kind: {prefix: crypto}", true),
        ("kind: {suffix: [x, mining]}", true),
        ("kind: {contains: o_m}", true),
        ("kind: {regex: '^crypto_[a-z]+$'}", true),
        ("kind: {regex: '^mining'}", false),
        ("kind: {prefix: crypto, suffix: x}", false),
        ("details.estimated_cost: {gt: 249.5, lt: 251}", true),
        ("details.estimated_cost: {gte: 250, lte: 250}", true),
        ("details.estimated_cost: {gt: 250}", false),
        ("details.estimated_cost: 250.0", true),
        ("details.other: {gt: 1}", false),
        ("details.other: {exists: false}", true),
        ("details.ip: {exists: true}", true),
        ("details.other: {not: x}", true),
        ("details.ip: {cidr: [192.168.0.0/16, 10.0.0.0/8]}", true),
        ("details.ip: {cidr: 192.168.0.0/16}", false),
        ("severity: {at_least: medium}", true),
        ("severity: {at_least: critical}", false),
        ("confidence: {at_least: medium}", false),
        ("resources: /vm/b", true),
        ("resources: {not: /vm/b}", false),
        ("resources: {suffix: /c}", false),
        ("is_test: false", true),
        ("customer_name: {exists: false}", true),
    ] {
        let verdict = verdict(&format!("{{match: {{{clause}}}}}"), &alert());
        assert_eq!(verdict == Verdict::Matches, holds, "{clause}: {verdict:?}");
    }
}

#[test]
fn a_playbook_that_does_not_run_says_why() {
    let differs = |clause: &str, value: &str| Verdict::Differs { clause: clause.to_owned(), value: value.to_owned() };
    assert_eq!(verdict("{match: {kind: [a, b]}}", &alert()), differs(r#"kind: ["a","b"]"#, r#""crypto_mining""#));
    assert_eq!(verdict("{match: {details.x: {gt: 1}}}", &alert()), differs("details.x: {gt: 1}", "nothing"));
    let value = r#"alert.confidence = "low", alert.details.estimated_cost = 250"#;
    let when = r#"alert.confidence == "high" && alert.details.estimated_cost > 1"#;
    assert_eq!(verdict(&format!("{{when: '{when}'}}"), &alert()), differs(&format!("when: {when}"), value));
    let changed = good().trigger.alert().unwrap().evaluate(&alert(), true, &mut LazyCell::new(scope));
    assert_eq!(changed, differs("revisions: false", "a later change of a known alert"));
}

#[test]
fn what_cannot_be_compared_is_an_error_and_not_a_no() {
    let failed = |verdict: Verdict| if let Verdict::Failed(reason) = verdict { reason } else { format!("{verdict:?}") };
    assert_eq!(
        failed(verdict("{match: {details.ip: {gt: 5}}}", &alert())),
        r#"`details.ip` in `match`: "10.0.0.1" is no number, and cannot be compared with 5"#
    );
    assert_eq!(
        failed(verdict("{match: {details.estimated_cost: '250'}}", &alert())),
        r#"`details.estimated_cost` in `match`: 250 cannot be compared with "250""#
    );
    assert_eq!(failed(verdict("{when: alert.details.cost > 5}", &alert())), "`when`: `alert.details` has no `cost`");
    // A clause that is plainly false decides before one that cannot be judged.
    assert!(matches!(verdict("{match: {details.ip: {gt: 5}, kind: other}}", &alert()), Verdict::Differs { .. }));
}

#[test]
fn a_script_is_not_prepared_for_alerts_that_match_excludes() {
    let mut scope = LazyCell::new(|| panic!("no scope is needed"));
    let other = json!({"kind": "other", "source": "graph"});
    assert!(matches!(good().trigger.alert().unwrap().evaluate(&other, false, &mut scope), Verdict::Differs { .. }));
}

/// What replaces what in the good playbook, and what is then said.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("owner: secops", "owner: [", "P0001 5:8 while parsing a flow"),
    ("owner: secops", "playbook: twice", "P0001 3:1 the key `playbook` is there twice"),
    ("owner: secops", "ownr: secops", "P0002 3:1 unknown key `ownr`; did you mean `owner`?"),
    ("playbook: contain-mining\n", "", "P0003 1:1 the file has no `playbook`"),
    ("owner: secops", "owner: 5", "P0004 3:8 `owner` must be a text, and is a number"),
    ("playbook: contain-mining", "playbook: Contain Mining", "P0005 1:11 `Contain Mining` cannot be a playbook's name"),
    ("id: not_needed", "id: not-needed", "P0005 24:9 `not-needed` cannot be an id"),
    ("id: not_needed", "id: sub", "P0006 24:9 there is a step `sub` already"),
    ("id: page", "id: tell", "P0006 35:10 there is a step `tell` already"),
    (
        "action: subscription.get",
        "action: subscription.gt",
        "P0007 20:13 unknown action `subscription.gt`; did you mean `subscription.get`?",
    ),
    ("channels: [slack:secops]", "chanels: [slack:secops]", "P0008 30:7 `notify` has no parameter `chanels`; did you mean `channels`?"),
    ("channels: [slack:secops]\n", "title: x\n", "P0009 28:13 `notify` needs the parameter `channels`"),
    ("channels: [slack:secops]", "channels: slack:secops", "P0010 30:17 `channels` must be a list, and is the text `slack:secops`"),
    ("channels: [slack:secops]", "channels: [5]", "P0010 30:18 `channels` must be a text, and is a number"),
    ("alert.confidence ==", "alert.confidence =", "P0011 12:28"),
    (r#"if: steps.sub.output.status != "active""#, r#"if: ${steps.sub.output.status != "active"}"#, "P0011 25:9 `if` stands in `${ }`"),
    ("alert.confidence ==", "alrt.confidence ==", "P0011 12:11 unknown name `alrt`; did you mean `alert`?"),
    ("alert.confidence ==", "steps.confidence ==", "P0011 12:11 unknown name `steps`; the names here are `alert`"),
    ("in ${run.id}", "in ${error.step}", "P0011 32:32 unknown name `error`"),
    ("in ${run.id}", "in ${run.id", "P0011 32:30 this `${` has no `}`"),
    (
        "tier: ${ vars.who.tier }",
        "tier: ${ #{a: 1}.a }",
        "P0011 17:9 this `${` has no `}`; a literal `${` is written `$${`; ` #` begins a comment in YAML, so",
    ),
    ("alert.confidence ==", "alert.confidnce ==", "P0012 12:17 an alert has no `confidnce`; did you mean `confidence`?"),
    ("      severity:", "      severty:", "P0012 10:7 an alert has no `severty`; did you mean `severity`?"),
    ("${vars.tier}", "${vars.teir}", "P0013 32:21 there is no variable `teir` here; did you mean `tier`?"),
    ("${ vars.who.tier }", "${ vars.tier }", "P0013 17:17 there is no variable `tier` here"),
    ("if: steps.sub.output", "if: steps.sbu.output", "P0013 25:15 there is no step `sbu`"),
    ("if: steps.sub.output", "if: steps.tell.output", "P0013 25:15 the step `tell` has not been taken here"),
    ("if: steps.sub.output", "if: steps.sub.outptu", "P0013 25:19 a step has no `outptu`; did you mean `output`?"),
    ("${run.playbook}", "${run.playbok}", "P0013 35:78 a run has no `playbok`; did you mean `playbook`?"),
    ("${error.step}", "${error.stp}", "P0013 35:106 an error has no `stp`; did you mean `step`?"),
    (r#"lookup("customers""#, r#"lookup("custmers""#, "P0013 16:19 there is no lookup table `custmers`; did you mean `customers`?"),
    ("window: 12h", "window: 12 hours", "P0014 13:64 `window` is not a duration: `12 hours`"),
    ("kind: crypto_mining", "kind: [CryptoMining]", "P0015 9:14 no alert has the kind `CryptoMining`; kinds are written in small letters"),
    ("mode: enforce", "mode: enforced", "P0015 4:7 `mode` cannot be `enforced`; did you mean `enforce`?"),
    ("at_least: medium", "at_least: medum", "P0015 10:28 `at_least` cannot be `medum`; did you mean `medium`?"),
    ("outcome: no_action", "outcome: noaction", "P0015 26:21 `outcome` cannot be `noaction`; did you mean `no_action`?"),
    ("at_least: medium", "atleast: medium", "P0016 10:18 unknown operator `atleast`; did you mean `at_least`?"),
    ("{gte: 100}", "{gte: much}", "P0016 11:37 `gte` compares numbers, and this is a text"),
    ("kind: crypto_mining", "kind: {regex: '('}", "P0016 9:21 the regular expression `(` is wrong: unclosed group"),
    ("kind: crypto_mining", "kind: {cidr: 10.0.0.0/40}", "P0016 9:20 `10.0.0.0/40` is not a range"),
    ("kind: crypto_mining", "kind: {at_least: high}", "P0016 9:24 `at_least` works on"),
    ("kind: crypto_mining", "kind: []", "P0016 9:13 an empty list matches nothing"),
    ("kind: crypto_mining", "kind: 5", "P0004 9:13 the field is compared with a text, and this is a number"),
    ("    action: notify\n", "", "P0018 27:5 a step has exactly one of `action`, `stop`, `switch`"),
    ("    if: steps.sub.output", "    with: {}\n    if: steps.sub.output", "P0018 25:5 a `stop` has no `with`"),
    ("max_attempts: 3", "max_attempts: 0", "P0020 23:27 `max_attempts` must be a whole number from 1 to 20, and is 0"),
    ("timeout: 10s", "timeout: 0s", "P0020 22:14 `timeout` is no time at all"),
    ("timeout: 10s", "timeout: 2h", "P0020 22:14 `timeout` is `2h`, over the longest of `10m`"),
    (r#"lookup("customers""#, r#"lokup("customers""#, "P0025 16:12 there is no function `lokup`; did you mean `lookup`?"),
    (
        "on_error: continue",
        "on_error: ignore",
        "P0015 33:15 `on_error` of a step cannot be `ignore`; it is one of `fail`, `continue`, `rollback`",
    ),
];

#[test]
fn a_mistake_is_reported_with_its_place_and_what_was_meant() {
    let mut wrong = Vec::new();
    for (from, to, expected) in MISTAKES {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "`{from}` is not in the playbook");
        let found = problems(&text);
        if !found.iter().any(|it| it.starts_with(expected)) {
            wrong.push(format!("{to}\n  expected {expected}\n  found {}", found.join("\n        ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let text =
        GOOD.replace("mode: enforce", "mode: on").replace("alert.confidence", "alert.confidnce").replace("action: notify", "action: notfy");
    let codes: Vec<String> = problems(&text).iter().filter_map(|it| it.split(' ').next().map(ToOwned::to_owned)).collect();
    assert_eq!(codes, ["P0015", "P0012", "P0007", "P0007"]);
}

#[test]
fn a_destructive_playbook_for_every_alert_is_a_warning() {
    let text = "playbook: a\ntrigger: {alert: {}}\nsteps:\n  - id: s\n    action: subscription.suspend\n    with: {customer_tenant_id: \"${alert.customer_tenant_id}\", subscription_id: \"${alert.subscription_id}\"}\n";
    assert_eq!(problems(text), ["P0019 2:1 every alert triggers this playbook, which uses `subscription.suspend`"]);
    assert!(parse(text).is_ok());
}

#[test]
fn a_header_that_gives_access_is_refused() {
    let headers = |headers: &str| {
        let step = format!("{{id: s, action: http.request, with: {{url: 'https://x.example', headers: {{{headers}}}}}}}");
        problems(&format!("playbook: a\ntrigger: {{alert: {{match: {{kind: noise}}}}}}\nsteps:\n  - {step}\n"))
    };
    for header in ["Authorization: Bearer x", "authorization: '${alert.id}'", "COOKIE: a=b", "X-Api-Key: k", "Proxy-Authorization: k"] {
        let found = headers(&format!("Accept: text/plain, {header}"));
        assert!(found.len() == 1 && found[0].starts_with("P0027 4:") && found[0].contains("put it under `secrets`"), "{found:?}");
    }
    for header in ["X-Trace: '${alert.id}'", "Authorization: 'Bearer ${secret(\"key\")}'", "cookie: '${ secret(\"key\") }'"] {
        assert_eq!(headers(&format!("Accept: text/plain, {header}")), Vec::<String>::new());
    }
    // A secret somewhere else in the step gives no access.
    assert_eq!(headers("Authorization: k, X-A: '${secret(\"key\")}'").len(), 1);
    let beside = headers("Authorization: '${secret(\"a\") + secret(\"b\")}'");
    assert!(beside.len() == 1 && beside[0].starts_with("P0035 4:"), "{beside:?}");
}

#[test]
fn every_code_has_a_meaning_and_a_test() {
    let elsewhere = [
        "P0019", "P0021", "P0022", "P0023", "P0024", "P0026", "P0027", "P0030", "P0031", "P0034", "P0035", "P0036", "P0037", "P0038",
        "P0039",
    ];
    for Code { id: code, meaning, .. } in CODES {
        assert!(!meaning.is_empty());
        let is_tested =
            MISTAKES.iter().chain(language::MISTAKES).any(|(_, _, expected)| expected.starts_with(*code)) || elsewhere.contains(code);
        assert!(is_tested, "{code} has no test");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,400}") {
        drop(parse(&text));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(parse(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn no_damage_to_a_playbook_makes_the_parser_panic(
        (seed, at) in prop_oneof![(Just(GOOD), 0..GOOD.len()), (Just(language::EVERYTHING), 0..language::EVERYTHING.len())],
        length in 0_usize..20,
        with in "[ -~\n\t{}\\[\\]:&*!|>'\"%@`$ü]{0,8}",
    ) {
        let mut bytes = seed.as_bytes().to_vec();
        bytes.splice(at..(at + length).min(seed.len()), with.bytes());
        let text = String::from_utf8_lossy(&bytes);
        if let Err(problems) = parse(&text) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                drop(problem.render(&text, false));
            }
        }
    }
}
