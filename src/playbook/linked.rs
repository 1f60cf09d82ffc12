//! Tests: playbooks that call others, what is frozen of them, and what the site says to them.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{actions::Pattern, problem::Problem};

const CONTAIN: &str = "playbook: contain\ntrigger: {manual: {inputs: {who: text, times: {type: integer, default: 1}}}}\nvars: {twice: '${inputs.times * 2}'}\nsteps: [{id: s, script: inputs.who}]\noutput: {said: '${steps.s.output}'}\n";

fn caller(name: &str, step: &str) -> String {
    format!("playbook: {name}\ntrigger: {{alert: {{match: {{kind: noise}}}}}}\nsteps:\n  - {{id: c, {step}}}\n")
}

fn load(files: &[(&str, &str)]) -> Library {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut library = Library::load(folder.path());
    library.check_tables([]);
    library
}

/// Each problem as `code file:line:column message; help`.
fn said(library: &Library) -> Vec<String> {
    let of = |it: &Problem| {
        let file = it.place.path.file_name().unwrap().display().to_string();
        let help = it.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        format!("{} {file}:{}:{} {}{help}", it.code, it.place.line, it.place.column, it.message)
    };
    library.problems.iter().map(of).collect()
}

#[test]
fn a_call_is_planned_with_the_inputs_and_variables_of_the_called_playbook() {
    let library = load(&[("contain.yaml", CONTAIN), ("a.yaml", &caller("a", "playbook: contain, inputs: {who: \"${alert.id}\"}"))]);
    assert_eq!(said(&library), Vec::<String>::new());
    let playbook = library.get("a").unwrap();
    let mut scope = Scope::new("2026-03-02T04:11:09Z".parse().unwrap());
    scope.set("alert", &json!({"id": "a-1"}));
    let planned = playbook.step("c").unwrap().plan(playbook, &mut scope, "2026-03-02T04:11:09Z".parse().unwrap()).unwrap();
    assert_eq!(planned, Planned::Call { inputs: json!({"who": "a-1", "times": 1}), vars: json!({"twice": 2}) });
}

#[test]
fn a_call_that_cannot_be_made_refuses_the_playbook_that_makes_it() {
    for (step, expected) in [
        ("playbook: contian", "P0036 a.yaml:4:23 there is no playbook `contian`; did you mean `contain`?"),
        ("playbook: other", "P0036 a.yaml:4:23 the playbook `other` is not made to be called"),
        ("playbook: broken", "P0036 a.yaml:4:23 the playbook `broken` cannot be used itself"),
        ("playbook: a", "P0036 a.yaml:4:23 a call of `a` would never end: a calls a"),
        ("playbook: contain", "P0036 a.yaml:4:23 the playbook `contain` needs the input `who`"),
        (
            "playbook: contain, inputs: {who: x, tmes: 2}",
            "P0036 a.yaml:4:49 the playbook `contain` has no input `tmes`; did you mean `times`?",
        ),
        (
            "playbook: contain, inputs: {who: x, times: often}",
            "P0036 a.yaml:4:56 the input `times` is a whole number, and this is `\"often\"`",
        ),
    ] {
        let other = caller("other", "script: 1 + 1");
        let files = [
            ("a.yaml", caller("a", step)),
            ("contain.yaml", CONTAIN.to_owned()),
            ("other.yaml", other),
            ("broken.yaml", "playbook: broken\n".to_owned()),
        ];
        let library = load(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
        assert!(said(&library).iter().any(|it| it.starts_with(expected)), "{step}: {:#?}", said(&library));
        assert!(library.get("a").is_none() && library.get("contain").is_some());
    }
}

#[test]
fn a_circle_of_calls_is_refused_with_all_that_are_in_it() {
    let manual = |name: &str, calls: &str| format!("playbook: {name}\ntrigger: {{manual: {{}}}}\nsteps: [{{id: c, playbook: {calls}}}]\n");
    let library =
        load(&[("one.yaml", &manual("one", "two")), ("two.yaml", &manual("two", "one")), ("three.yaml", &manual("three", "one"))]);
    assert!(library.playbooks.is_empty());
    assert!(
        said(&library).iter().any(|it| it.contains("a call of `one` would never end: one calls two calls one")),
        "{:#?}",
        said(&library)
    );
}

#[test]
fn what_a_playbook_calls_is_frozen_with_it() {
    let lib = "fn shout(text) { text.upper() }";
    let a = caller("a", "playbook: b");
    let b = "playbook: b\ntrigger: {manual: {}}\nsteps: [{id: c, playbook: contain, inputs: {who: '${shout(\"x\")}'}}]\n";
    let library = load(&[("a.yaml", &a), ("b.yaml", b), ("contain.yaml", CONTAIN), ("lib/x.rhai", lib)]);
    assert_eq!(said(&library), Vec::<String>::new());
    let playbook = library.get("a").unwrap();
    let around: Value = serde_json::from_str(&playbook.around).unwrap();
    assert_eq!(around, json!({"lib": [lib], "playbooks": {"b": b, "contain": CONTAIN}}));
    let again = Library::default().compile(&playbook.path, &playbook.text, &playbook.around).unwrap();
    assert_eq!((&again.hash, &again.around), (&playbook.hash, &playbook.around));
    assert!(again.called("b").unwrap().called("contain").is_some());
    let alone = load(&[("contain.yaml", CONTAIN)]);
    assert_eq!(&*alone.get("contain").unwrap().around, "{}");
    assert!(Library::default().compile(Path::new("a"), &playbook.text, "{}").is_err());
    assert!(Library::default().compile(Path::new("a"), &playbook.text, "{").is_err());
}

#[test]
fn a_table_that_nobody_reads_is_a_warning_on_it() {
    let reads = caller("a", "script: 'lookup(\"people\", \"1\")?.name ?? \"\"'");
    let library = load(&[("a.yaml", &reads), ("tables/people.csv", "id,name\n1,ann\n"), ("tables/peopl.csv", "id,name\n1,ann\n")]);
    assert_eq!(
        said(&library),
        ["P0034 peopl.csv:0:0 nothing reads the table `peopl`; read it with `lookup(\"peopl\", key)`, or take the file away"]
    );
}

#[test]
fn only_an_expression_reads_a_table_and_neither_a_comment_nor_a_word() {
    let table = (
        "tables/people.csv",
        "id,name
1,ann
",
    );
    let other = (
        "tables/other.csv",
        "id,name
1,ann
",
    );
    let reads_other = "script: 'lookup(\"other\", \"1\")?.name ?? \"\"'";
    let in_lib = "fn name_of(id) { lookup(\"people\", id)?.name ?? \"\" }\n";
    let in_passing = "fn name_in(table, id) { lookup(table, id)?.name ?? \"\" } // for \"people\"\n";
    for (step, lib, is_used) in [
        (reads_other.to_owned(), "", false),
        (format!("{reads_other} # lookup(\"people\", 1)"), "", false),
        ("action: log, with: {message: '\"people\" ${lookup(\"other\", \"1\")?.name ?? \"people\"}'}".to_owned(), "", false),
        (format!("if: '/* \"people\" */ true', {reads_other}"), "// lookup(\"people\", 1)\n", false),
        (reads_other.to_owned(), in_passing, false),
        (reads_other.to_owned(), in_lib, true),
        ("script: 'name_in(\"people\", \"1\") + lookup(\"other\", \"1\")?.name'".to_owned(), in_passing, true),
        (format!("if: 'lookup(\"people\", alert.id) != ()', {reads_other}"), "", true),
    ] {
        let text = format!(
            "playbook: a\ntrigger: {{alert: {{match: {{kind: noise}}}}}}\nsteps:\n  - {{id: c, {}}}\n",
            step.split(" #").next().unwrap()
        );
        let text = if step.contains('#') { format!("# {step}\n{text}") } else { text };
        let library = load(&[("a.yaml", &text), table, other, ("lib/x.rhai", lib)]);
        let told = said(&library);
        assert_eq!(told.iter().all(|it| !it.contains("P0034")), is_used, "{step}\n{lib}\n{told:#?}");
        assert_eq!(told.len(), usize::from(!is_used), "{told:#?}");
    }
    let broken = load(&[("a.yaml", "playbook: a\n"), table]);
    assert!(!said(&broken).iter().any(|it| it.contains("P0034")), "what cannot be read may read it");
}

#[test]
fn what_the_site_does_not_have_is_shown_where_the_step_names_it() {
    let text = "playbook: a # tells slack:soc and uses \"key\"\ndescription: For slack:soc\nmode: enforce\n\
                trigger: {alert: {match: {kind: noise}}}\nsteps:\n\
                \x20 - {id: x, action: http.request, with: {url: 'https://soc.example/', method: POST, body: {id: tell, channels: [slack:soc], key: '\"key\"'}}}\n\
                \x20 - id: tell\n    action: notify\n    with: {title: slack:soc, text: x, channels: [slack:ok, slack:soc]}\n\
                \x20 - {id: post, action: http.request, with: {url: 'https://soc.example/', method: POST, headers: {Authorization: 'Bearer ${secret(\"key\")}'}}}\n";
    let mut library = load(&[("a.yaml", text)]);
    library.check_channels(|channel| if channel == "slack:ok" { Ok(()) } else { Err("no such channel".to_owned()) });
    library.check_secrets(|_| Err((crate::problem::Severity::Error, "no such secret".to_owned())));
    let told = said(&library);
    assert!(told.iter().any(|it| it.starts_with("P0026 a.yaml:9:60 step `tell`")), "{told:#?}");
    assert!(told.iter().any(|it| it.starts_with("P0013 a.yaml:10:113") && it.contains("step `post`")), "{told:#?}");
}

#[test]
fn a_step_that_works_in_a_tenant_which_its_connection_may_not_enter_is_a_warning() {
    let disks = |more: &str| {
        format!(
            "{{id: d, action: azure.unattached_disks, with: {{customer_tenant_id: '${{alert.customer_tenant_id}}', subscription_id: '${{alert.subscription_id}}'{more}}}}}"
        )
    };
    let text = |step: &str| format!("playbook: a\ntrigger: {{alert: {{match: {{kind: noise}}}}}}\nsteps:\n  - {step}\n");
    let warnings = |text: &str| {
        let mut library = load(&[("a.yaml", text)]);
        library.check_connections(|name| if name == Some("fabrikam") { Ok(()) } else { Err(format!("{name:?} may not")) });
        said(&library)
    };
    let one = warnings(&text(&disks("")));
    assert!(
        one.len() == 1 && one[0].starts_with("P0039 a.yaml:4:5 step `d` can never use `azure.unattached_disks`: None may not"),
        "{one:?}"
    );
    let named = warnings(&text(&disks(", connection: contoso")));
    assert!(named.len() == 1 && named[0].contains("Some(\"contoso\") may not"), "{named:?}");
    assert_eq!(warnings(&text(&disks(", connection: fabrikam"))), Vec::<String>::new());
    let get = "{id: s, action: subscription.get, with: {customer_tenant_id: '${alert.customer_tenant_id}', subscription_id: '${alert.subscription_id}'}}";
    assert_eq!(warnings(&text(get)), Vec::<String>::new());
}

#[test]
fn a_playbook_for_every_alert_that_calls_a_destructive_one_is_a_warning() {
    let suspend = "action: subscription.suspend, with: {customer_tenant_id: 11111111-aaaa-4aaa-8aaa-000000000001, subscription_id: 22222222-bbbb-4bbb-8bbb-000000000002}";
    let called = format!("playbook: b\ntrigger: {{manual: {{}}}}\nsteps: [{{id: s, {suspend}}}]\n");
    let calls = caller("a", "playbook: b").replace("kind: noise", "is_test: false");
    let library = load(&[("a.yaml", &calls), ("b.yaml", &called)]);
    assert_eq!(said(&library), ["P0019 a.yaml:2:1 every alert triggers this playbook, which uses `subscription.suspend` through `b`"]);
}

#[test]
fn a_destructive_step_without_people_or_limits_before_it_is_a_warning() {
    let text = |top: &str, before: &str| {
        let suspend = "{id: suspend, action: subscription.suspend, with: {customer_tenant_id: 11111111-aaaa-4aaa-8aaa-000000000001, subscription_id: 22222222-bbbb-4bbb-8bbb-000000000002}}";
        format!("playbook: a\nmode: enforce\n{top}trigger: {{alert: {{match: {{kind: noise}}}}}}\nsteps:\n{before}  - {suspend}\n")
    };
    let warnings = |text: &str, allowed: bool, limits: &[(Pattern, u32, Duration)]| {
        let mut library = load(&[("a.yaml", text)]);
        library.check_guardrails(|_action| allowed, limits);
        said(&library)
    };
    let hour = Duration::from_hours(1);
    let expected = "P0030 a.yaml:5:10 the step `suspend` uses `subscription.suspend`, and neither an approval nor a guardrail is before it";
    let site = |max: u32| [(Pattern::parse("subscription.suspend").unwrap(), max, hour)];
    assert!(warnings(&text("", ""), true, &[])[0].starts_with(expected), "{:?}", warnings(&text("", ""), true, &[]));
    // The site does not permit it, or counts it.
    assert_eq!(warnings(&text("", ""), false, &[]), Vec::<String>::new());
    assert_eq!(warnings(&text("", ""), true, &site(5)), Vec::<String>::new());
    let ask = "  - {id: ask, approval: {title: x, for_steps: [suspend], groups: [g], channels: [c], on_timeout: reject}}\n";
    assert_eq!(warnings(&text("", ask), true, &[]), Vec::<String>::new());
    let own = text("guardrails: [{action: subscription.*, max: 5, per: 1h}]\n", "");
    assert_eq!(warnings(&own, true, &[]), Vec::<String>::new());
    assert_eq!(warnings(&own, false, &site(5)), Vec::<String>::new());
    let looser = "P0031 a.yaml:3:23 the limit for `subscription.*` is looser than the site's, which is 4 for `subscription.suspend`";
    assert!(warnings(&own, false, &site(4))[0].starts_with(looser), "{:?}", warnings(&own, false, &site(4)));
}
