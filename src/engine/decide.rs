//! What is to be done about an alert: which playbooks match it, and with which variables and windows their runs begin. Pure.

use std::{cell::LazyCell, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    alert::Alert,
    expression::{ExpressionError, Scope, Template},
    playbook::{Library, Playbook, Verdict as Match},
    run::RunId,
    store::{Decision, NewRun, Verdict},
    window::{self, Windows},
};

/// The decision about one alert.
pub fn decide(library: &Library, (number, is_revision): (i64, bool), alert: &Alert, now: Timestamp) -> Decision {
    // An alert has string keys and finite numbers, so this cannot fail.
    let seen = serde_json::to_value(alert).unwrap_or_default();
    // Most alerts meet no playbook that asks a script, and need no scope.
    let mut scope = LazyCell::new(|| scope(&seen, now));
    let mut verdicts = Vec::new();
    for playbook in library.candidates(&seen) {
        let Some(trigger) = playbook.trigger.alert() else { continue };
        match trigger.evaluate(&seen, is_revision, &mut scope) {
            Match::Differs { .. } => {}
            Match::Failed(detail) => verdicts.push(failed(playbook, detail)),
            Match::Matches => verdicts.push(match answer(playbook, number, &seen, &mut scope) {
                Ok(run) => Verdict::Run(Box::new(run)),
                Err(error) => failed(playbook, error.to_string()),
            }),
        }
    }
    Decision { alert: number, verdicts }
}

/// A run that no alert begins, as its playbook is now.
///
/// # Errors
/// Its variables or the key of a window cannot be computed.
pub fn start(playbook: &Playbook, occasion: String, inputs: Value, now: Timestamp) -> Result<NewRun, ExpressionError> {
    let mut scope = Scope::new(now);
    scope.set("inputs", &inputs);
    new_run(playbook, (None, occasion), inputs, || &mut scope)
}

fn failed(playbook: &Playbook, detail: String) -> Verdict {
    Verdict::Error { playbook: playbook.name.clone(), hash: playbook.hash.clone(), detail }
}

fn scope(alert: &Value, now: Timestamp) -> Scope {
    let mut scope = Scope::new(now);
    scope.set("alert", alert);
    scope
}

/// The scope is that of the alert, made once for all playbooks, and only if one of them asks for it.
fn answer<F: FnOnce() -> Scope>(
    playbook: &Playbook,
    number: i64,
    alert: &Value,
    scope: &mut LazyCell<Scope, F>,
) -> Result<NewRun, ExpressionError> {
    let word = if playbook.group.is_some() { "group" } else { "alert" };
    let inputs = Value::Object(Map::new());
    let run = new_run(playbook, (Some(number), format!("{word}:{number}")), inputs, || LazyCell::force_mut(scope))?;
    let group = playbook.group.as_ref();
    let group = group.map(|group| window::Group { key: group_key(&group.by, alert), wait: group.wait, interval: group.interval });
    Ok(NewRun { windows: Windows { group, ..run.windows }, ..run })
}

fn new_run<'s>(
    playbook: &Playbook,
    (alert, occasion): (Option<i64>, String),
    inputs: Value,
    scope: impl FnOnce() -> &'s mut Scope,
) -> Result<NewRun, ExpressionError> {
    let has_keys =
        playbook.dedup.is_some() || playbook.throttle.is_some() || playbook.threshold.is_some() || playbook.concurrency.is_some();
    let (vars, windows) = if has_keys || !playbook.vars.is_empty() {
        let scope = scope();
        // Other playbooks' variables may be in it, and none of this one's expressions is compiled to read them.
        (playbook.render_vars(scope)?, windows(playbook, scope)?)
    } else {
        (Value::Object(Map::new()), Windows::default())
    };
    Ok(NewRun {
        id: RunId::new(),
        alert,
        occasion,
        playbook: playbook.name.clone(),
        playbook_hash: playbook.hash.clone(),
        playbook_text: Arc::clone(&playbook.text),
        playbook_around: Arc::clone(&playbook.around),
        mode: playbook.mode,
        inputs,
        vars,
        windows,
        replay: None,
    })
}

/// The windows of a playbook but the group, which only alerts have, with their keys.
fn windows(playbook: &Playbook, scope: &mut Scope) -> Result<Windows, ExpressionError> {
    let mut windows = Windows::default();
    let mut key = |name: &str, template: &Template| {
        template.render_text(scope).map_err(|error| ExpressionError { message: format!("`{name}.key`: {error}"), ..error })
    };
    if let Some(it) = &playbook.threshold {
        windows.threshold = Some(window::Threshold { key: key("threshold", &it.key)?, count: it.count, within: it.within });
    }
    if let Some(it) = &playbook.dedup {
        windows.dedup = Some(window::Dedup { key: key("dedup", &it.key)?, window: it.window });
    }
    if let Some(it) = &playbook.throttle {
        windows.throttle = Some(window::Throttle { key: key("throttle", &it.key)?, max: it.max, per: it.per });
    }
    if let Some(it) = &playbook.concurrency {
        windows.concurrency = Some(window::Concurrency { key: key("concurrency", &it.key)?, max: it.max, strategy: it.strategy });
    }
    Ok(windows)
}

/// The values of the fields, written so that no two different lists of them read alike.
fn group_key(fields: &[String], alert: &Value) -> String {
    let value = |path: &String| path.split('.').try_fold(alert, |value, part| value.get(part)).cloned().unwrap_or_default();
    Value::Array(fields.iter().map(value).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WINDOWED: &str = r#"
playbook: contain
trigger: {alert: {match: {kind: mining}}}
mode: shadow
dedup: {key: "${alert.subscription_id}/${alert.kind}", window: 24h}
group: {by: [customer_tenant_id], wait: 30s, interval: 10m}
throttle: {key: "${alert.customer_tenant_id}", max: 20, per: 1h}
threshold: {key: "${alert.source}", count: 5, within: 10m}
concurrency: {key: "all", max: 1, strategy: queue}
steps: [{id: end, stop: {outcome: done, reason: over}}]
"#;

    fn playbook(text: &str) -> Playbook {
        Playbook::parse(&crate::expression::Sandbox::default(), std::path::Path::new("p.yaml"), text).unwrap().0
    }

    fn alert(id: &str) -> Alert {
        serde_json::from_value(json!({
            "id": id, "source": "graph", "kind": "mining", "customer_tenant_id": "t", "subscription_id": "s",
            "detected_at": "2026-03-02T04:11:09Z", "received_at": "2026-03-02T04:12:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn a_run_asks_for_every_window_of_its_playbook_with_the_alerts_keys() {
        let seen = serde_json::to_value(alert("a")).unwrap();
        let run = answer(&playbook(WINDOWED), 7, &seen, &mut LazyCell::new(|| scope(&seen, Timestamp::UNIX_EPOCH))).unwrap();
        assert_eq!((run.alert, run.occasion.as_str(), run.inputs), (Some(7), "group:7", json!({})));
        let windows = run.windows;
        assert_eq!(windows.dedup.map(|it| it.key).as_deref(), Some("s/mining"));
        assert_eq!(windows.group.map(|it| it.key).as_deref(), Some("[\"t\"]"));
        assert_eq!(windows.throttle.map(|it| (it.key, it.max)), Some(("t".to_owned(), 20)));
        assert_eq!(windows.threshold.map(|it| (it.key, it.count)), Some(("graph".to_owned(), 5)));
        assert_eq!(windows.concurrency.map(|it| (it.key, it.max)), Some(("all".to_owned(), 1)));
    }

    #[test]
    fn a_run_without_windows_asks_for_nothing() {
        let text = "playbook: note\ntrigger: {alert: {match: {kind: mining}}}\nsteps: [{id: end, stop: {outcome: done, reason: over}}]\n";
        let seen = serde_json::to_value(alert("a")).unwrap();
        let run = answer(&playbook(text), 7, &seen, &mut LazyCell::new(|| scope(&seen, Timestamp::UNIX_EPOCH))).unwrap();
        assert!(run.windows.is_empty());
        assert_eq!(run.occasion, "alert:7");
    }

    #[test]
    fn a_run_that_no_alert_begins_has_its_inputs_and_no_group() {
        let text = "playbook: daily\ntrigger: {schedule: {cron: '0 7 * * *'}}\nvars: {at: '${inputs.scheduled_at}'}\n\
                    concurrency: {key: one, max: 1, strategy: skip}\nsteps: [{id: end, stop: {outcome: done, reason: over}}]\n";
        let inputs = json!({"scheduled_at": "2026-03-02T07:00:00Z"});
        let run = start(&playbook(text), "tick:x".to_owned(), inputs.clone(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((run.alert, run.inputs, run.vars), (None, inputs, json!({"at": "2026-03-02T07:00:00Z"})));
        assert_eq!((run.windows.concurrency.map(|it| it.key).as_deref(), run.windows.group), (Some("one"), None));
    }

    #[test]
    fn group_keys_differ_where_the_fields_do() {
        let by = ["customer_tenant_id".to_owned(), "details.user".to_owned()];
        let key = |customer: &str, user: Value| group_key(&by, &json!({"customer_tenant_id": customer, "details": {"user": user}}));
        assert_eq!(key("a", json!("b")), r#"["a","b"]"#);
        assert_ne!(key("a\",\"b", json!("c")), key("a", json!("b\",\"c")));
        assert_ne!(key("a", Value::Null), key("a", json!("null")));
        assert_eq!(group_key(&by, &json!({"customer_tenant_id": "a"})), key("a", Value::Null));
    }

    #[test]
    fn an_alert_is_converted_for_scripts_once_and_only_where_one_asks() {
        let parse = playbook;
        let steps = "steps: [{id: s, stop: {outcome: done, reason: r}}]\n";
        let plain = parse(&format!("playbook: plain\ntrigger: {{alert: {{}}}}\n{steps}"));
        let asking =
            |name: &str| parse(&format!("playbook: {name}\ntrigger: {{alert: {{}}}}\nvars: {{{name}: \"${{alert.kind}}\"}}\n{steps}"));
        let (alert, now) = (json!({"kind": "k"}), Timestamp::UNIX_EPOCH);
        let made = std::cell::Cell::new(0);
        let mut once = LazyCell::new(|| {
            made.set(made.get() + 1);
            scope(&alert, now)
        });
        assert_eq!(answer(&plain, 1, &alert, &mut once).unwrap().vars, json!({}));
        assert_eq!(made.get(), 0);
        for name in ["one", "two"] {
            assert_eq!(answer(&asking(name), 1, &alert, &mut once).unwrap().vars, json!({name: "k"}));
        }
        assert_eq!(made.get(), 1);
    }
}
