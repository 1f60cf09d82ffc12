//! Tests: the playbooks that come with Quell, and folders of playbooks.

use std::{cell::LazyCell, fs, path::Path};

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-03-02T04:11:09Z";

fn shipped() -> Library {
    Library::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks"))
}

fn alert(kind: &str, change: &Value) -> Value {
    let mut alert = json!({
        "id": "a-1", "source": "graph", "kind": kind, "severity": "high", "confidence": "high", "status": "active", "title": "T", "description": "D",
        "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002", "resources": [], "detected_at": "2026-03-02T04:11:09Z",
        "received_at": "2026-03-02T04:12:00Z", "revision": "0", "is_test": false, "details": {}, "raw": null,
    });
    for (key, value) in change.as_object().unwrap() {
        alert[key] = value.clone();
    }
    alert
}

fn scope(alert: &Value) -> Scope {
    let mut scope = Scope::new("2026-03-02T04:11:09Z".parse().unwrap());
    scope.set("alert", alert);
    scope
}

fn answering(library: &Library, alert: &Value, is_revision: bool) -> Vec<String> {
    let mut lazy = LazyCell::new(|| scope(alert));
    let matching = library
        .playbooks
        .iter()
        .filter(|it| it.trigger.alert().is_some_and(|trigger| trigger.evaluate(alert, is_revision, &mut lazy) == Verdict::Matches));
    // These look at many alerts at once, back on one that was answered, or besides.
    let answers =
        |name: &String| !["tell-alert-storm", "watch-after-containment", "alarm-unanswered", "collect-evidence"].contains(&name.as_str());
    matching.map(|it| it.name.clone()).filter(answers).collect()
}

#[test]
fn the_shipped_playbooks_have_no_problems() {
    let library = shipped();
    let shown: Vec<String> = library.problems.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    assert!(library.playbooks.len() >= 7);
    for playbook in &library.playbooks {
        let file = playbook.path.file_stem().unwrap().to_str().unwrap();
        assert_eq!(playbook.name, file, "a playbook is found by its name");
        assert!(!playbook.description.is_empty() && !playbook.owner.is_empty(), "{file}");
    }
}

#[test]
fn every_alert_is_answered_by_one_shipped_playbook_and_where_it_is_contained_by_one_that_tells_besides() {
    let library = shipped();
    assert_eq!(answering(&library, &alert("crypto_mining", &json!({})), false), ["contain-crypto-mining", "tell-crypto-mining"]);
    assert_eq!(library.get("tell-crypto-mining").unwrap().mode, Mode::Enforce);
    for (kind, change, is_revision, names) in [
        ("anomalous_resource_consumption", json!({}), false, &["triage-anomalous-compute"][..]),
        ("anomalous_vm_deployment", json!({}), false, &["hold-anomalous-compute", "triage-anomalous-compute"]),
        ("anomalous_batch_deployment", json!({}), false, &["hold-anomalous-compute", "triage-anomalous-compute"]),
        ("anomalous_machine_learning_deployment", json!({}), false, &["hold-anomalous-compute", "triage-anomalous-compute"]),
        ("anomalous_container_deployment", json!({}), false, &["hold-anomalous-compute", "triage-anomalous-compute"]),
        ("suspicious_arm_operations", json!({}), false, &["page-suspicious-operations"]),
        ("service_health_advisory", json!({}), false, &["tell-service-advisory"]),
        ("quota_increase", json!({}), false, &["note-quota-increase"]),
        ("usage_threshold", json!({}), false, &["tell-budget-threshold"]),
        ("granular_admin_relationship_terminated", json!({}), false, &["tell-access-lost"]),
        ("something_new", json!({}), false, &["tell-unknown-kind"]),
        ("crypto_mining", json!({"is_test": true}), false, &["test-alert"]),
        ("something_new", json!({"is_test": true}), false, &["test-alert"]),
        ("crypto_mining", json!({"status": "resolved"}), true, &["close-resolved-elsewhere"]),
    ] {
        assert_eq!(answering(&library, &alert(kind, &change), is_revision), names, "{kind} {change}");
    }
    assert!(answering(&library, &alert("crypto_mining", &json!({"severity": "critical"})), true).is_empty());
}

#[test]
fn every_step_of_a_shipped_playbook_can_be_planned() {
    let output = json!({
        "status": "active", "name": "Prod", "plan_id": "44444444-dddd-4ddd-8ddd-000000000004", "entitlement_id": "22222222-bbbb-4bbb-8bbb-000000000002", "plan_status": "active", "plan_name": "Azure plan",
        "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "others_active": [],
        "count": 1, "callers": ["mallory@fabrikam.example"],
    });
    let library = shipped();
    // Those with steps inside of steps are held to their tests by `quell test`.
    let is_flat = |it: &&Arc<Playbook>| it.every_step().iter().all(|step| matches!(step.body, Body::Action { .. } | Body::Stop { .. }));
    for playbook in library.playbooks.iter().filter(is_flat).filter(|it| it.trigger.alert().is_some()) {
        let mut scope = scope(&alert("any", &json!({})));
        playbook.render_vars(&mut scope).unwrap_or_else(|error| panic!("{}: {error}", playbook.name));
        let outcome = json!({"output": output, "status": "succeeded", "error": null});
        let steps = playbook.steps.iter().map(|step| (step.id.clone(), outcome.clone())).collect();
        scope.set("steps", &Value::Object(steps));
        scope.set("run", &json!({"id": "r-1", "playbook": playbook.name}));
        scope.set("error", &json!({"step": "x", "message": "m"}));
        for step in playbook.every_step() {
            let planned = step
                .plan(playbook, &mut scope, NOW.parse().unwrap())
                .unwrap_or_else(|error| panic!("{} {}: {error}", playbook.name, step.id));
            if let (Planned::Act(with), Body::Action { entry, .. }) = (planned, &step.body) {
                let prepared = entry.prepare(with);
                assert!(prepared.is_ok(), "{} {}: {}", playbook.name, step.id, prepared.err().unwrap());
            }
        }
    }
}

#[test]
fn only_alerts_about_the_same_subscription_keep_each_other_from_being_answered() {
    let key = |playbook: &Playbook, change: &Value| {
        let dedup = playbook.dedup.as_ref().unwrap();
        dedup.key.render_text(&mut scope(&alert("any", change))).unwrap_or_else(|error| panic!("{}: {error}", playbook.name))
    };
    let library = shipped();
    let named = library
        .playbooks
        .iter()
        .filter(|it| it.dedup.is_some() && !["close-resolved-elsewhere", "alarm-unanswered"].contains(&it.name.as_str()));
    for playbook in named {
        assert_eq!(key(playbook, &json!({"id": "1"})), key(playbook, &json!({"id": "2"})), "{}", playbook.name);
        assert_ne!(
            key(playbook, &json!({})),
            key(playbook, &json!({"customer_tenant_id": "", "subscription_id": ""})),
            "{}",
            playbook.name
        );
        let nameless = |id: &str, source: &str| json!({"id": id, "source": source, "customer_tenant_id": "", "subscription_id": ""});
        for (one, other) in [(nameless("1", "siem"), nameless("2", "siem")), (nameless("1", "siem"), nameless("1", "graph"))] {
            assert_ne!(key(playbook, &one), key(playbook, &other), "{}", playbook.name);
        }
    }
}

#[test]
fn an_uncertain_miner_is_a_persons_decision() {
    let library = shipped();
    let playbook = library.get("contain-crypto-mining").unwrap();
    for change in [json!({"confidence": "low"}), json!({"subscription_id": ""})] {
        let mut scope = scope(&alert("crypto_mining", &change));
        playbook.render_vars(&mut scope).unwrap();
        assert!(matches!(playbook.step("ask").unwrap().plan(playbook, &mut scope, NOW.parse().unwrap()).unwrap(), Planned::Act(_)));
        assert!(matches!(
            playbook.step("uncertain").unwrap().plan(playbook, &mut scope, NOW.parse().unwrap()).unwrap(),
            Planned::Stop { outcome: StopOutcome::NoAction, .. }
        ));
    }
}

#[test]
fn a_folder_is_loaded_with_its_functions_and_tables() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let playbook = |name: &str, reason: &str| {
        format!("playbook: {name}\ntrigger: {{alert: {{}}}}\nsteps: [{{id: s, stop: {{outcome: done, reason: '{reason}'}}}}]\n")
    };
    write("b.yaml", &playbook("b", r#"${ shout(lookup("people", "1").name) }"#));
    write("deep/er/a.yml", &playbook("a", "x"));
    write("deep/twice.yaml", &playbook("b", "x"));
    write("broken.yaml", "playbook: [");
    write("_draft.yaml", "nonsense: [");
    write("a.test.yaml", "nonsense: [");
    write("notes.txt", "nonsense: [");
    write("lib/text.rhai", "fn shout(text) { text.upper() + \"!\" }");
    write("lib/broken.rhai", "fn shout(text) {\n  text +\n}");
    write("tables/people.csv", "id,name\n1,ann\n");
    write("tables/twice.csv", "id,name\n1,ann\n1,bob\n");

    let library = Library::load(folder.path());
    assert_eq!(library.playbooks.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let planned = library.get("b").unwrap().steps[0].plan(library.get("b").unwrap(), &mut scope(&json!({})), NOW.parse().unwrap()).unwrap();
    assert_eq!(planned, Planned::Stop { outcome: StopOutcome::Done, reason: "ANN!".to_owned() });
    let problem = |it: &crate::problem::Problem| {
        format!("{} {}:{} {}", it.code, it.place.path.file_name().unwrap().display(), it.place.line, it.message)
    };
    let problems: Vec<String> = library.problems.iter().map(problem).collect();
    for (problem, expected) in problems.iter().zip([
        "P0023 twice.csv:3 the key `1` is there twice",
        "P0024 broken.rhai:3 ",
        "P0001 broken.yaml:",
        "P0021 twice.yaml:1 the playbook `b` is in",
    ]) {
        assert!(problem.starts_with(expected), "{problems:#?}");
    }
    assert_eq!(problems.len(), 4, "{problems:#?}");
    assert!(library.problems.iter().all(|it| library.sources.contains_key(&it.place.path)));
}

#[test]
fn a_folder_that_is_not_there_is_a_problem_and_not_an_end() {
    let library = Library::load(Path::new("/nonexistent/playbooks"));
    assert!(library.playbooks.is_empty());
    assert_eq!(library.problems[0].code, "P0022");
}

#[test]
fn the_functions_of_a_folder_are_frozen_with_the_text_that_a_run_started_with() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lib")).unwrap();
    let today = |word: &str| {
        fs::write(folder.path().join("lib/word.rhai"), format!("fn word() {{ \"{word}\" }}")).unwrap();
        let text = "playbook: a\ntrigger: {alert: {}}\nsteps: [{id: s, stop: {outcome: done, reason: '${word()}'}}]\n";
        fs::write(folder.path().join("a.yaml"), text).unwrap();
        Library::load(folder.path())
    };
    let says = |playbook: &Playbook| playbook.steps[0].plan(playbook, &mut scope(&json!({})), NOW.parse().unwrap()).unwrap();
    let before = Arc::clone(today("before").get("a").unwrap());
    let library = today("after");
    let frozen = library.compile(&before.path, &before.text, &before.around).unwrap();
    let said = |word: &str| Planned::Stop { outcome: StopOutcome::Done, reason: word.to_owned() };
    assert_eq!((says(&frozen), says(library.get("a").unwrap())), (said("before"), said("after")));
    assert_eq!(frozen.hash, before.hash);
    assert_ne!(frozen.hash, library.get("a").unwrap().hash);
}

#[test]
fn a_run_goes_on_with_the_text_it_started_with() {
    let library = shipped();
    let playbook = library.get("test-alert").unwrap();
    let again = library.compile(&playbook.path, &playbook.text, &playbook.around).unwrap();
    assert_eq!(again.hash, playbook.hash);
}
