use std::path::Path;

use gen_lsp_types::Contents;

use super::*;
use crate::{app::check::Checked, lsp::hover::hover, playbook::Library};

/// The text without its bar, and where that stood.
fn at_bar(text: &str) -> (String, usize) {
    (text.replace('‸', ""), text.find('‸').unwrap())
}

fn form(path: &str) -> Form {
    match path {
        "quell.yaml" => Form::Settings,
        _ if path.ends_with(".test.yaml") => Form::Tests,
        _ => Form::Playbook,
    }
}

/// What is offered at the bar.
fn offered(text: &str) -> Vec<String> {
    offered_in("a.yaml", text, &Checked::default())
}

fn offered_in(path: &str, text: &str, checked: &Checked) -> Vec<String> {
    let (text, offset) = at_bar(text);
    complete(&Place::new((Path::new(path), form(path)), &text, offset, checked)).into_iter().map(|it| it.label).collect()
}

/// The line after the first choice that begins so was taken.
fn taken(text: &str, label: &str) -> String {
    taken_in("a.yaml", text, label)
}

fn taken_in(path: &str, text: &str, label: &str) -> String {
    let (text, offset) = at_bar(text);
    let items = complete(&Place::new((Path::new(path), form(path)), &text, offset, &Checked::default()));
    let Some(CompletionItemTextEdit::TextEdit(edit)) = items.into_iter().find(|it| it.label == label).unwrap().text_edit else { panic!() };
    let mut changed = text.clone();
    changed.replace_range(position::offset(&text, edit.range.start)..position::offset(&text, edit.range.end), &edit.new_text);
    changed.lines().last().unwrap().to_owned()
}

fn hovered(text: &str) -> Option<String> {
    hovered_in("a.yaml", text)
}

fn hovered_in(path: &str, text: &str) -> Option<String> {
    let (text, offset) = at_bar(text);
    let place = (Path::new(path), form(path));
    let Contents::MarkupContent(about) = hover(&Place::new(place, &text, offset, &Checked::default()))?.contents else { panic!() };
    Some(about.value)
}

#[test]
fn keys_are_those_of_the_place_without_those_that_are_there() {
    let top = offered("playbook: a\n‸");
    assert!(["trigger", "steps", "mode", "vars"].iter().all(|it| top.iter().any(|key| key == it)), "{top:?}");
    assert!(!top.contains(&"playbook".to_owned()));
    assert_eq!(offered("trigger:\n  ‸"), ["alert", "manual", "schedule"]);
    assert!(offered("trigger:\n  alert: {}\n  ‸").is_empty(), "a trigger has one kind");
    let step = offered("steps:\n  - id: a\n    action: log\n    ‸");
    assert!(step.contains(&"with".to_owned()) && !step.contains(&"script".to_owned()), "a step does one thing: {step:?}");
    assert_eq!(offered("steps:\n  - id: a\n    switch:\n      - else: []\n        ‸"), Vec::<String>::new());
}

#[test]
fn parameters_are_those_of_the_action_beside_them() {
    let log = offered("steps:\n  - id: a\n    action: log\n    with:\n      ‸");
    assert!(log.contains(&"message".to_owned()), "{log:?}");
    let notify = offered("steps: [{id: a, action: notify, with: {text: x, ‸}}]");
    assert!(notify.contains(&"channels".to_owned()) && !notify.contains(&"text".to_owned()), "{notify:?}");
    let undo = offered("steps:\n  - id: a\n    rollback:\n      with: {‸}\n      action: subscription.reactivate");
    assert!(undo.contains(&"subscription_id".to_owned()), "{undo:?}");
    assert!(offered("steps:\n  - id: a\n    with:\n      ‸").is_empty(), "no action, no parameters");
}

#[test]
fn values_are_those_that_the_key_takes() {
    assert_eq!(offered("mode: ‸"), ["disabled", "shadow", "enforce"]);
    assert!(offered("steps:\n  - id: a\n    action: sub‸").contains(&"subscription.suspend".to_owned()));
    let match_of = |line: &str| offered(&format!("trigger:\n  alert:\n    match:\n      {line}"));
    assert!(match_of("‸").contains(&"customer_tenant_id".to_owned()));
    assert_eq!(match_of("severity: ‸"), ["informational", "low", "medium", "high", "critical"]);
    assert!(match_of("severity: {‸}").contains(&"at_least".to_owned()));
    assert_eq!(match_of("severity: {at_least: ‸}"), ["informational", "low", "medium", "high", "critical"]);
    assert_eq!(match_of("severity: [high, ‸]"), ["informational", "low", "medium", "high", "critical"]);
    assert!(match_of("kind: ‸").contains(&"crypto_mining".to_owned()));
    assert_eq!(match_of("is_test: ‸"), ["true", "false"]);
    assert!(offered("timeout: ‸").contains(&"5m".to_owned()));
    assert!(offered("mode: sh # en‸").is_empty(), "a comment is nobody's value");
}

#[test]
fn expressions_offer_what_can_be_read_and_called() {
    let steps = "vars: {who: x}\nsteps:\n  - {id: first, action: log}\n  - id: 둘째\n    if: ‸\n  - {id: later, action: log}";
    let at = |expression: &str| offered(&steps.replace('‸', expression));
    let bare = at("al‸");
    assert!(["alert", "steps", "at_least", "lookup"].iter().all(|it| bare.iter().any(|word| word == it)), "{bare:?}");
    assert!(!bare.contains(&"starts_with".to_owned()), "what is called on a value follows one");
    assert_eq!(at("steps.‸"), ["first"]);
    assert_eq!(at("steps.first.‸"), ["output", "status", "error"]);
    assert_eq!(at("vars.‸"), ["who"]);
    assert_eq!(at("run.‸"), ["id", "playbook"]);
    assert!(at("alert?.‸").contains(&"severity".to_owned()));
    assert!(at("alert.title.‸").contains(&"starts_with".to_owned()));
    assert!(offered("steps:\n  - {id: a, action: log, with: {message: \"🔥 ${alert.ti‸}\"}}").contains(&"title".to_owned()));
    assert!(offered("steps:\n  - id: a\n    script: |\n      let x = 1;\n      alert.‸\n").contains(&"title".to_owned()));
    assert!(!offered("steps:\n  - {id: a, action: log, with: {message: \"alert.‸\"}}").contains(&"title".to_owned()), "only text");
}

#[test]
fn the_word_that_is_typed_makes_way() {
    assert_eq!(taken("steps:\n  - id: a\n    act‸", "action"), "    action: ");
    assert_eq!(taken("mo‸dus: shadow", "mode"), "mode: shadow");
    assert_eq!(taken("mode: \"sh‸\"", "shadow"), "mode: \"shadow\"");
    assert_eq!(
        taken("steps:\n  - {id: a, action: log, with: {message: \"경보 🔥 ${alert.ti‸}\"}}", "title"),
        "  - {id: a, action: log, with: {message: \"경보 🔥 ${alert.title}\"}}"
    );
}

#[test]
fn names_are_those_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let called =
        "playbook: tell\ntrigger: {manual: {inputs: {who: text}}}\nsteps: [{id: say, action: log, with: {message: '${inputs.who}'}}]\n";
    std::fs::write(folder.path().join("tell.yaml"), called).unwrap();
    let checked = Checked { library: Library::load(folder.path()), ..Checked::default() };
    assert_eq!(checked.library.problems, []);
    assert_eq!(offered_in("a.yaml", "steps:\n  - id: a\n    playbook: ‸", &checked), ["tell"]);
    assert_eq!(offered_in("a.yaml", "steps:\n  - id: a\n    playbook: tell\n    inputs: {‸}", &checked), ["who"]);
    let test = |line: &str| offered_in("tell.test.yaml", &format!("tests:\n  - name: x\n{line}"), &checked);
    assert!(test("    ‸").contains(&"expect".to_owned()));
    assert_eq!(test("    expect: {steps: {‸}}"), ["say"]);
    assert!(test("    expect: {steps: {say: ‸}}").contains(&"succeeded".to_owned()));
    assert!(test("    expect: {outcome: ‸}").contains(&"no_match".to_owned()));
    assert_eq!(test("    inputs: {‸}"), ["who"]);
}

#[test]
fn hovering_tells_what_is_under_the_pointer() {
    let has = |text: &str, part: &str| {
        let about = hovered(text).unwrap_or_else(|| panic!("nothing on {text}"));
        assert!(about.contains(part), "{text}: {about}");
    };
    has("mo‸de: shadow", "Whether it acts");
    has("trigger: {alert: {match: {sever‸ity: high}}}", "How bad it is");
    has("steps:\n  - id: a\n    action: subscription.sus‸pend", "destructive");
    has("steps:\n  - id: a\n    action: notify\n    with: {chan‸nels: []}", "channels");
    has("steps:\n  - id: a\n    if: at_l‸east(alert.severity, \"high\")", "whether a severity");
    has("steps:\n  - id: a\n    if: at_least(alert.sev‸erity, \"high\")", "How bad it is");
    assert_eq!(hovered("steps:\n  - id: a\n    action: my‸self"), None);
    assert_eq!(hovered("# com‸ment"), None);
}

/// What is offered at the bar in settings.
fn offered_in_settings(text: &str) -> Vec<String> {
    offered_in("quell.yaml", text, &Checked::default())
}

#[test]
fn settings_offer_their_sections_and_keys() {
    let top = offered_in_settings("bus: {}\n‸");
    assert!(["adapters", "guardrails", "secrets"].iter().all(|it| top.iter().any(|key| key == it)), "{top:?}");
    assert!(!top.contains(&"bus".to_owned()) && !top.contains(&"steps".to_owned()), "{top:?}");
    assert_eq!(offered_in_settings("telemetry: {log: info, ‸}"), ["format", "language", "tell"]);
    assert_eq!(offered_in_settings("guardrails:\n  limits:\n    - action: log\n      max: 1\n      ‸"), ["on_exceed", "per"]);
    assert_eq!(offered_in_settings("users:\n  ann:\n    ‸"), ["groups", "role", "token"]);
    assert_eq!(offered_in_settings("channels:\n  ‸"), ["log:name", "email:name", "slack:name", "teams:name"]);
}

#[test]
fn what_a_type_has_is_offered_once_the_type_is_there() {
    let types = adapters::CATALOG.iter().map(|entry| entry.name).collect::<Vec<_>>();
    assert!(types.contains(&"partner_center_webhook"), "{types:?}");
    assert_eq!(offered_in_settings("adapters:\n  - name: a\n    type: ‸"), types);
    assert_eq!(offered_in_settings("adapters: [{type: ‸, name: a}]"), types);
    assert_eq!(offered_in_settings("adapters:\n  - name: a\n    type: web‸\n    path: x"), types, "also when another was there");
    let graph = offered_in_settings("adapters:\n  - name: a\n    type: graph_alerts\n    ‸");
    assert_eq!(graph, ["backfill", "connection", "every", "lookback", "review_after", "source"]);
    assert!(offered_in_settings("adapters:\n  - ‸").contains(&"type".to_owned()));
    let hook = "adapters:\n  - name: a\n    type: webhook\n    ";
    assert_eq!(offered_in_settings(&format!("{hook}auth: {{hmac_sha256: {{header: X, secret: y, ‸}}}}")), ["encoding", "prefix"]);
    assert!(offered_in_settings(&format!("{hook}map: {{id: body.id, ‸}}")).contains(&"severity".to_owned()));
    assert!(offered_in_settings(&format!("{hook}map: {{kind: ‸}}")).is_empty(), "an expression is no kind of alert");
    assert_eq!(offered_in_settings("channels:\n  email:x:\n    from: a\n    ‸"), ["allow", "smtp", "to"]);
    assert_eq!(offered_in_settings("connections: {c: {type: ‸}}"), ["microsoft"]);
}

#[test]
fn settings_offer_the_names_of_their_own_file() {
    let settings = "connections: {contoso: {}}\nchannels: {\"slack:soc\": {}}\nusers:\n  ann: {groups: [leads, duty]}\n";
    let with = |line: &str| offered_in_settings(&format!("{settings}{line}"));
    assert_eq!(with("adapters: [{name: g, type: graph_alerts, connection: ‸}]"), ["contoso"]);
    assert_eq!(with("approvals: {channels: [‸]}"), ["log:default", "slack:soc"]);
    assert_eq!(with("approvals: {groups: [‸]}"), ["duty", "leads"]);
    assert!(with("guardrails: {without_approval: [‸]}").contains(&"subscription.*".to_owned()));
    assert_eq!(with("telemetry: {format: ‸}"), ["auto", "text", "json"]);
}

#[test]
fn a_reference_is_quoted_because_of_its_brackets() {
    assert_eq!(taken_in("quell.yaml", "bus: {url: ‸}", "${env:NAME}"), "bus: {url: \"${env:NAME}\"}");
    assert_eq!(taken_in("quell.yaml", "bus:\n  url: \"‸\"", "${env:NAME}"), "  url: \"${env:NAME}\"");
}

#[test]
fn hovering_over_settings_tells_what_they_are_and_what_counts_without_them() {
    let has = |text: &str, part: &str| {
        let about = hovered_in("quell.yaml", text).unwrap_or_else(|| panic!("nothing on {text}"));
        assert!(about.contains(part), "{text}: {about}");
    };
    has("adap‸ters: []", "Where alerts come from");
    has("bus: {pre‸fetch: 7}", "If left out: `200`");
    has("adapters: [{name: a, type: po‸ll}]", "Fetch a list");
    has("adapters: [{name: a, type: poll, every‸: 5m}]", "How often");
    has("connections: {c: {type: micro‸soft}}", "Graph and Partner Center");
    has("channels:\n  slack:x:\n    u‸rl: x", "incoming webhook");
    has("guardrails: {without_approval: [subscription.sus‸pend]}", "destructive");
    assert_eq!(hovered_in("quell.yaml", "bus: {url: \"${env:NA‸ME}\"}"), None);
}
