//! Tests of the trials themselves: a test that should fail fails, and says why.

use std::fs;

use tempfile::TempDir;

use super::*;

const PLAYBOOK: &str = "\
playbook: contain
mode: shadow
trigger: {alert: {match: {kind: mining}, when: alert.severity != \"low\"}}
dedup: {key: \"${alert.subscription_id}\", window: 1h}
steps:
  - id: look
    action: subscription.get
    with: {customer_tenant_id: \"${alert.customer_tenant_id}\", subscription_id: \"${alert.subscription_id}\"}
  - id: stopped
    if: steps.look.output.status != \"active\"
    stop: {outcome: no_action, reason: \"it is ${steps.look.output.status} already\"}
  - id: suspend
    action: subscription.suspend
    with: {customer_tenant_id: \"${alert.customer_tenant_id}\", subscription_id: \"${alert.subscription_id}\"}
  - id: tell
    action: notify
    with: {channels: [\"slack:secops\"], title: Stopped, text: \"the subscription ${alert.subscription_id}\"}
    on_error: continue
";

const DEFAULTS: &str = "\
defaults:
  alert: {kind: mining, subscription_id: 22222222-bbbb-4bbb-8bbb-000000000002}
  guardrails: {without_approval: [subscription.suspend]}
  mocks: {look: {output: {status: active}}}
tests:
";

/// A folder with the playbook above and these tests.
fn folder(tests: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("contain.yaml"), PLAYBOOK).unwrap();
    fs::write(folder.path().join("contain.test.yaml"), format!("{DEFAULTS}{tests}")).unwrap();
    folder
}

#[tokio::test]
async fn tests_in_a_linked_folder_are_tried_as_its_playbooks_are() {
    let (home, elsewhere) = (tempfile::tempdir().unwrap(), folder("  - {name: t, expect: {outcome: done}}\n"));
    std::os::unix::fs::symlink(elsewhere.path(), home.path().join("linked")).unwrap();
    let suite = Suite::load(home.path()).unwrap();
    assert_eq!(suite.run(&Chosen::default()).await.unwrap().tried.len(), 1);
}

async fn tried(tests: &str) -> Report {
    let suite = Suite::load(folder(tests).path()).unwrap();
    assert!(suite.problems.is_empty(), "{tests}\n{:?}", suite.problems);
    suite.run(&Chosen::default()).await.unwrap()
}

/// The differences of a file with one test.
async fn differences(test: &str) -> String {
    let report = tried(&format!("  - {{name: t, {test}}}\n")).await;
    report.tried[0].differences.join("\n")
}

const ALL_CALLS: &str = "calls: [{step: suspend, action: subscription.suspend}, {step: tell, action: notify}]";

#[tokio::test]
async fn an_expectation_is_met_or_its_difference_is_told() {
    for (test, why) in [
        ("expect: {outcome: done}", ""),
        ("expect: {outcome: failed}", "expected failed, and it was done"),
        ("alert: {severity: low}, expect: {outcome: done}", "it was no_match"),
        ("expect: {runs: 2}", "expected 2, and there were 1"),
        ("mocks: {look: {output: {status: suspended}}}, expect: {outcome: no_action, reason: it is suspended already}", ""),
        ("mocks: {look: {output: {status: suspended}}}, expect: {reason: it is deleted}", "it is suspended already"),
        ("expect: {calls: [{step: suspend}, {step: tell, with: {title: Stopped}}]}", ""),
        ("expect: {calls: [{step: suspend}]}", "+ tell notify"),
        ("expect: {calls: [{step: tell}, {step: suspend}]}", "- suspend"),
        ("expect: {calls: [{step: suspend, times: 2}, {step: tell}]}", "- suspend"),
        ("expect: {calls: [{step: suspend}, {step: tell, with: {title: Other}}]}", "- tell"),
        ("expect: {never_calls: [entitlement.cancel, 'http.*']}", ""),
        ("expect: {never_calls: [subscription.suspend]}", "`subscription.suspend` was called"),
        ("expect: {never_calls: ['subscription.*']}", "`subscription.*` was called"),
        ("mocks: {look: {output: {status: off}}}, expect: {steps: {stopped: succeeded, tell: not_taken}}", ""),
        ("expect: {steps: {stopped: succeeded}}", "`stopped` should be succeeded, and is skipped"),
        ("expect: {steps: {tell: not_taken}}", "`tell` should be not_taken"),
        ("expect: {outputs: {look: {status: active}}}", ""),
        ("expect: {outputs: {look: {status: deleted}}}", "- {\"status\":\"deleted\"}"),
        ("expect: {notifications: [{channel: 'slack:secops', text: the subscription 2222}]}", ""),
        ("expect: {notifications: [{channel: 'slack:other', text: the}]}", "- slack:other"),
        ("expect: {notifications: []}", "expected none"),
        ("guardrails: {}, expect: {guardrails: [approval], outcome: failed}", ""),
        ("expect: {guardrails: [approval]}", "expected {\"approval\"}"),
        ("guardrails: {}, expect: {guardrails: []}", "held back by {\"approval\"}"),
        ("alert: {severity: low}, expect: {outcome: no_match, explanation: 'alert.severity = low'}", ""),
        ("alert: {severity: low}, expect: {explanation: 'kind: mining'}", "is not in"),
        ("mocks: {look: {error: rejected, message: no}}, expect: {outcome: failed, steps: {look: failed}}", ""),
        ("crash: {after_call: stopped}, expect: {outcome: done}", "the step `stopped` made no call"),
        ("mode: shadow, expect: {calls: [], steps: {suspend: shadowed}}", ""),
    ] {
        let differences = differences(test).await;
        assert_eq!(differences.is_empty(), why.is_empty(), "{test}\n{differences}");
        assert!(differences.contains(why), "{test}\n{differences}");
    }
}

#[tokio::test]
async fn what_is_read_must_be_said() {
    let folder = folder("");
    let tests = "tests:\n  - {name: t, alert: {kind: mining}, expect: {outcome: failed}}\n";
    fs::write(folder.path().join("contain.test.yaml"), tests).unwrap();
    let report = Suite::load(folder.path()).unwrap().run(&Chosen::default()).await.unwrap();
    let shown = report.tried[0].differences.join("\n");
    assert!(shown.contains("the step `look` reads with `subscription.get`") && shown.contains("mocks: {look:"), "{shown}");
}

#[tokio::test]
async fn a_program_that_dies_after_a_call_repeats_only_what_may_be_repeated() {
    for (test, why) in [
        // The target shows that it happened.
        ("after_call: suspend", "[{step: suspend}, {step: tell}]"),
        ("before_call: suspend", "[{step: suspend}, {step: tell}]"),
        // Nobody can see whether people were told, and to tell them twice does no harm.
        ("after_call: tell", "[{step: suspend}, {step: tell, times: 2}]"),
        ("before_call: tell", "[{step: suspend}, {step: tell}]"),
    ] {
        let differences = differences(&format!("crash: {{{test}}}, expect: {{outcome: done, calls: {why}}}")).await;
        assert!(differences.is_empty(), "{test}\n{differences}");
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_looked_at_and_time_passes_only_on_the_clock() {
    for test in [
        format!("mocks: {{suspend: {{error: unknown, applied: true}}}}, expect: {{outcome: done, {ALL_CALLS}}}"),
        format!("mocks: {{suspend: {{delay: 5m}}}}, expect: {{outcome: done, {ALL_CALLS}}}"),
        "mocks: {suspend: [{error: unknown}, {output: {plan_status: suspended}}]}, \
         expect: {outcome: done, calls: [{step: suspend, times: 2}, {step: tell}], outputs: {suspend: {plan_status: suspended}}}"
            .to_owned(),
        "mocks: {suspend: {error: conflict}}, expect: {outcome: failed, calls: [{step: suspend}]}".to_owned(),
        "mocks: {tell: [{error: not_done}, {error: not_done}, {}]}, expect: {calls: [{step: suspend}, {step: tell, times: 3}]}".to_owned(),
        "repeat: {times: 3, every: 31m}, expect: {runs: 2}".to_owned(),
        "repeat: {times: 3, every: 31m}, advance: 40m, expect: {runs: 1, explanation: held}".to_owned(),
        "alerts: [{}, {after: 2h, revision: true, alert: {severity: critical}}], expect: {runs: 1, explanation: a later change}".to_owned(),
    ] {
        let differences = differences(&test).await;
        assert!(differences.is_empty(), "{test}\n{differences}");
    }
}

#[tokio::test]
async fn a_step_is_looked_for_where_its_playbook_says() {
    let verify = "  - id: suspend\n    verify: {action: subscription.get, with: {customer_tenant_id: \"${alert.customer_tenant_id}\", \
                  subscription_id: \"${alert.subscription_id}\"}, reached: output.status == \"suspended\"}\n";
    for (test, is_met) in [
        // It is asked until it shows, and the call is made once.
        (
            "suspend.verify: [{output: {status: active}}, {output: {status: suspended}}]}, expect: {outcome: done, calls: [{step: suspend}, {step: tell}]}",
            true,
        ),
        ("subscription.get: {output: {status: suspended}}}, expect: {outcome: done, calls: [{step: suspend}, {step: tell}]}", true),
        // What never shows is no proof that it did not happen.
        ("suspend.verify: {output: {status: active}}}, expect: {outcome: indeterminate, calls: [{step: suspend}]}", true),
        ("suspend.verify: {output: {sttus: active}}}, expect: {outcome: indeterminate, calls: [{step: suspend}]}", true),
        ("suspend.verify: {output: {status: active}}}, expect: {outcome: done}", false),
    ] {
        let folder = folder(&format!("  - {{name: t, mocks: {{suspend: {{error: unknown, applied: true}}, {test}}}\n"));
        fs::write(folder.path().join("contain.yaml"), PLAYBOOK.replace("  - id: suspend\n", verify)).unwrap();
        let suite = Suite::load(folder.path()).unwrap();
        assert_eq!(suite.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
        let differences = suite.run(&Chosen::default()).await.unwrap().tried[0].differences.join("\n");
        assert_eq!(differences.is_empty(), is_met, "{test}\n{differences}");
    }
}

#[tokio::test]
async fn what_varies_is_tried_in_every_combination() {
    let report = tried("  - {name: t, vary: {confidence: [low, high], severity: [high, critical]}, expect: {outcome: done}}\n").await;
    let names: Vec<&str> = report.tried.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names.len(), 4);
    assert_eq!(names[0], "t (confidence low, severity high)");
    assert_eq!(report.failed(), 0);
}

#[tokio::test]
async fn what_no_test_touches_is_named_with_its_line() {
    let report = tried("  - {name: t, expect: {outcome: done}}\n").await;
    let coverage = &report.coverage[0];
    assert_eq!((coverage.steps.touched, coverage.steps.all, coverage.branches.touched, coverage.branches.all), (3, 4, 2, 4));
    assert_eq!(coverage.steps.missing, ["`stopped` was never taken, line 9"]);
    assert_eq!(coverage.branches.missing, ["`when` was never false, line 3", "`if` of `stopped` was never true, line 9"]);
    assert_eq!(coverage.percent(), 62);
}

#[tokio::test]
async fn a_change_survives_where_no_test_notices_it() {
    let weak = "  - {name: t, expect: {outcome: done}}\n";
    let strong = format!(
        "  - {{name: a, expect: {{outcome: done, {ALL_CALLS}, steps: {{stopped: skipped}}}}}}\n  \
         - {{name: b, mocks: {{look: {{output: {{status: deleted}}}}}}, expect: {{outcome: no_action}}}}\n  \
         - {{name: c, mocks: {{tell: {{error: rejected}}}}, expect: {{outcome: done}}}}\n  \
         - {{name: d, alert: {{severity: low}}, expect: {{outcome: no_match}}}}\n  \
         - {{name: e, alert: {{kind: other}}, expect: {{outcome: no_match}}}}\n"
    );
    let survivors = async |tests: &str| {
        let (survivors, all) = Suite::load(folder(tests).path()).unwrap().mutate(&Chosen::default(), |_, _| {}).await.unwrap();
        assert_eq!(all, 8);
        survivors.into_iter().map(|it| format!("{}:{} {}", it.playbook, it.line, it.what)).collect::<Vec<_>>()
    };
    assert_eq!(
        survivors(weak).await,
        [
            "contain:3 `kind` of `match` dropped",
            "contain:9 step `stopped` dropped",
            "contain:12 step `suspend` dropped",
            "contain:15 `on_error: continue` of `tell` removed",
            "contain:15 step `tell` dropped",
        ]
    );
    assert_eq!(survivors(&strong).await, Vec::<String>::new());
    let other = Chosen { filter: Some("another: playbook".to_owned()), ..Chosen::default() };
    let (survivors, all) = Suite::load(folder(weak).path()).unwrap().mutate(&other, |_, _| {}).await.unwrap();
    assert_eq!((survivors.len(), all), (0, 0), "a playbook of which no test is chosen is not changed");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_and_machines_can_read_it() {
    let tests = "  - {name: \"a <test> & \\\"more\\\"\", expect: {outcome: failed}}\n  - {name: b, expect: {outcome: done}}\n";
    let suite = Suite::load(folder(tests).path()).unwrap();
    let chosen = Chosen { seed: 7, ..Chosen::default() };
    let (one, other) = (suite.run(&chosen).await.unwrap(), suite.run(&chosen).await.unwrap());
    let shown = |report: &Report| report.tried.iter().map(|it| (it.name.clone(), it.differences.clone())).collect::<Vec<_>>();
    assert_eq!(shown(&one), shown(&other));
    let junit = one.to_junit();
    assert!(junit.contains("tests=\"2\" failures=\"1\"") && junit.contains("name=\"a &lt;test&gt; &amp; &quot;more&quot;\""), "{junit}");
    assert!(junit.contains("<failure message=\"outcome: expected failed, and it was done\">"), "{junit}");
    assert_eq!(one.to_json()["failed"], 1);
    let some = suite.run(&Chosen { filter: Some("contain: b".to_owned()), seed: 0 }).await.unwrap();
    assert_eq!(some.tried.len(), 1);
}

#[test]
fn a_name_that_is_not_there_is_a_problem() {
    for (test, why) in [
        ("mocks: {suspnd: {}}, expect: {runs: 1}", "`mocks`: there is no step and no action `suspnd`; did you mean `suspend`?"),
        ("lookups: {customer: {}}, expect: {runs: 1}", "there is no table `customer`"),
        ("crash: {after_call: suspendd}, expect: {runs: 1}", "`crash`: there is no step `suspendd`"),
        ("approvals: {tell: approved}, expect: {runs: 1}", "`approvals`: there is no step `tell`"),
        ("rollback: {tell: 1h}, expect: {runs: 1}", "`rollback`: there is no step `tell`"),
        ("keep: {suspend: 1h}, expect: {runs: 1}", "`keep`: there is no step `suspend`"),
        ("expect: {steps: {tel: failed}}", "did you mean `tell`?"),
        ("expect: {calls: [{action: notifi}]}", "did you mean `notify`?"),
        ("expect: {never_calls: [subscription.suspnd]}", "did you mean `subscription.suspend`?"),
        ("expect: {never_calls: ['subscriptions.*']}", "`subscriptions.*`"),
    ] {
        let suite = Suite::load(folder(&format!("  - {{name: t, {test}}}\n")).path()).unwrap();
        let shown: Vec<String> = suite.problems.iter().map(ToString::to_string).collect();
        assert!(shown.len() == 1 && shown[0].contains(why) && shown[0].contains("contain.test.yaml:6:"), "{test}\n{shown:?}");
    }
}

#[test]
fn a_file_of_tests_without_a_playbook_is_a_problem() {
    let folder = folder("  - {name: t, expect: {outcome: done}}\n");
    fs::write(folder.path().join("other.test.yaml"), "tests: []\n").unwrap();
    fs::write(folder.path().join("bad.test.yaml"), "playbook: contain\ntests:\n  - {name: t, alert: {severty: high}, expect: {runs: 1}}\n")
        .unwrap();
    let suite = Suite::load(folder.path()).unwrap();
    let shown: Vec<String> = suite.problems.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].contains("bad.test.yaml:3:") && shown[0].contains("severty"), "{shown:?}");
    assert!(shown[1].contains("there is no playbook `other`"), "{shown:?}");
}

#[tokio::test]
async fn a_secret_is_made_up_or_stated_and_shows_as_its_name() {
    let playbook = "playbook: post\ntrigger: {manual: {}}\nsteps:\n  - id: post\n    action: http.request\n    \
                    with: {method: POST, url: 'https://soc.example/', headers: {Authorization: 'Bearer ${secret(\"key\")}'}}\n";
    let call = "calls: [{step: post, with: {headers: {Authorization: 'Bearer secret(\"key\")'}}}]";
    let tests = format!(
        "tests:\n  - {{name: made up, inputs: {{}}, expect: {{{call}}}}}\n  \
         - {{name: stated, inputs: {{}}, secrets: {{key: canary-value}}, mocks: {{post: {{output: {{echo: canary-value}}}}}}, \
         expect: {{{call}, outputs: {{post: {{echo: '***'}}}}}}}}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("post.yaml"), playbook).unwrap();
    fs::write(folder.path().join("post.test.yaml"), tests).unwrap();
    let suite = Suite::load(folder.path()).unwrap();
    assert!(suite.problems.is_empty(), "{:?}", suite.problems);
    let report = suite.run(&Chosen::default()).await.unwrap();
    let differences: Vec<_> = report.tried.iter().flat_map(|it| &it.differences).collect();
    assert!(differences.is_empty() && report.tried.len() == 2, "{differences:?}");

    for (secrets, part) in [("{kye: canary-value}", "did you mean `key`?"), ("{key: abc}", "fewer than 6 bytes")] {
        let tests = format!("tests:\n  - {{name: t, inputs: {{}}, secrets: {secrets}, expect: {{outcome: done}}}}\n");
        fs::write(folder.path().join("post.test.yaml"), tests).unwrap();
        let problems = Suite::load(folder.path()).unwrap().problems;
        assert!(problems.iter().any(|it| it.message.contains(part)), "{problems:?}");
    }
}

const SCHEDULED: &str = "\
playbook: digest
timeout: 3d
trigger: {schedule: {cron: \"0 7 * * 1-5\", timezone: Europe/Berlin, catch_up: CATCH_UP}}
vars: {thursday: \"${ if inputs.scheduled_at.contains(`-05T`) { 1 / 0 } else { 1 } }\"}
concurrency: {key: digest, strategy: STRATEGY}
steps:
  - {id: rest, wait: {for: REST}}
  - {id: tell, action: notify, with: {channels: [\"slack:secops\"], text: \"it is ${inputs.scheduled_at}\"}}
";

/// The differences of one test of a playbook that a schedule begins, or why it cannot be tried.
async fn ticking((catch_up, strategy): (&str, &str), rest: &str, test: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let playbook = SCHEDULED.replace("CATCH_UP", catch_up).replace("STRATEGY", strategy).replace("REST", rest);
    fs::write(folder.path().join("digest.yaml"), playbook).unwrap();
    fs::write(folder.path().join("digest.test.yaml"), format!("tests:\n  - {{name: t, {test}}}\n")).unwrap();
    let suite = Suite::load(folder.path()).unwrap();
    let mut shown: Vec<String> = suite.problems.iter().map(ToString::to_string).collect();
    let report = suite.run(&Chosen::default()).await.unwrap();
    shown.extend(report.tried.into_iter().flat_map(|it| it.differences));
    shown.join("\n")
}

#[tokio::test]
async fn a_schedule_begins_a_run_at_each_of_its_times_that_a_test_comes_to() {
    // 2026-03-02 is a Monday; in Berlin it is an hour later until the clocks change on the 29th, and then two.
    let told = |times: &[&str]| {
        let calls: Vec<String> = times.iter().map(|time| format!("{{step: tell, with: {{text: 'it is {time}'}}}}")).collect();
        format!("expect: {{outcome: done, runs: {}, calls: [{}]}}", times.len(), calls.join(", "))
    };
    let monday = "2026-03-02T06:00:00Z";
    for test in [
        format!("at: 2026-03-02T06:00:00Z, {}", told(&[monday])),
        format!("at: 2026-03-02T06:00:00Z, advance: 1h, {}", told(&[monday])),
        format!("at: 2026-03-02T05:00:00Z, advance: 61m, {}", told(&[monday])),
        format!("at: 2026-03-02T05:00:00Z, advance: 26h, {}", told(&[monday, "2026-03-03T06:00:00Z"])),
        format!("at: 2026-03-27T07:00:00Z, advance: 4d, {}", told(&["2026-03-30T05:00:00Z", "2026-03-31T05:00:00Z"])),
        "at: 2026-03-02T06:00:01Z, advance: 1h, expect: {runs: 0}".to_owned(),
        "at: 2026-03-02T06:00:00Z, advance: 25h, mode: disabled, expect: {runs: 0}".to_owned(),
    ] {
        assert_eq!(ticking(("last", "skip"), "1s", &test).await, "", "{test}");
    }
}

#[tokio::test]
async fn a_time_that_is_held_or_whose_expression_fails_is_told() {
    let two = "at: 2026-03-02T06:00:00Z, advance: 30h";
    let held = format!("{two}, expect: {{runs: 1, explanation: concurrency, outcome: done}}");
    assert_eq!(ticking(("last", "skip"), "26h", &held).await, "");
    let failed = "at: 2026-03-05T06:00:00Z, expect: {outcome: error, explanation: division by zero}";
    assert_eq!(ticking(("last", "skip"), "1s", failed).await, "");
}

#[tokio::test]
async fn what_a_schedule_misses_while_the_program_is_down_is_caught_up_as_it_says() {
    let test = |runs: usize| format!("at: 2026-03-09T05:30:00Z, down: {{after: 0s, lasts: 73h}}, advance: 74h, expect: {{runs: {runs}}}");
    for (catch_up, runs) in [("skip", 0), ("last", 1), ("all", 4)] {
        assert_eq!(ticking((catch_up, "queue"), "1s", &test(runs)).await, "", "{catch_up}");
    }
    let late = "at: 2026-03-09T05:30:00Z, down: {after: 10m, lasts: 2h}, advance: 3h, \
                expect: {runs: 1, calls: [{step: tell, with: {text: 'it is 2026-03-09T06:00:00Z'}}]}";
    assert_eq!(ticking(("last", "skip"), "1s", late).await, "");
}

#[tokio::test]
async fn a_test_that_begins_a_scheduled_playbook_otherwise_is_a_problem() {
    for (test, why) in [
        ("at: 2026-03-02T06:01:00Z, expect: {runs: 1}", "is no time of the schedule, the next is 2026-03-03T06:00:00Z"),
        ("expect: {runs: 1}", "is no time of the schedule, the next is 2026-03-02T06:00:00Z"),
        ("alert: {kind: x}, expect: {runs: 1}", "a schedule begins this playbook"),
        ("inputs: {}, at: 2026-03-02T06:00:00Z, expect: {runs: 1}", "a schedule begins this playbook"),
        ("at: 2026-03-02T06:00:00Z, repeat: {times: 2}, expect: {runs: 2}", "a schedule begins this playbook"),
        ("at: 2026-03-02T06:00:00Z, down: {lasts: 1h}, expect: {runs: 1}", "no `advance`"),
        ("at: 2026-03-02T06:00:00Z, down: {lasts: 2h}, advance: 1h, expect: {runs: 1}", "does not end within `advance`"),
        ("at: 2026-03-02T06:00:00Z, advance: 2000d, expect: {runs: 1}", "more than 1000 times within `advance`"),
    ] {
        let shown = ticking(("last", "skip"), "1s", test).await;
        assert!(shown.contains(why) && shown.contains("digest.test.yaml:2:"), "{test}\n{shown}");
    }
}
