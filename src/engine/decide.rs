//! What is to be done about an alert: which playbooks match it, and with which variables and windows their runs begin. Pure.

use std::{cell::LazyCell, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

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
            Match::Failed(detail) => verdicts.push(Verdict::Error { playbook: playbook.name.clone(), detail }),
            Match::Matches => verdicts.push(match answer(playbook, number, &seen, now) {
                Ok(run) => Verdict::Run(Box::new(run)),
                Err(error) => Verdict::Error { playbook: playbook.name.clone(), detail: error.to_string() },
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
    new_run(playbook, (None, occasion), inputs, &mut scope)
}

fn scope(alert: &Value, now: Timestamp) -> Scope {
    let mut scope = Scope::new(now);
    scope.set("alert", alert);
    scope
}

fn answer(playbook: &Playbook, number: i64, alert: &Value, now: Timestamp) -> Result<NewRun, ExpressionError> {
    let mut scope = scope(alert, now);
    let inputs = playbook.take_inputs(&Value::Null).map_err(ExpressionError::new)?;
    scope.set("inputs", &inputs);
    let word = if playbook.group.is_some() { "group" } else { "alert" };
    let run = new_run(playbook, (Some(number), format!("{word}:{number}")), inputs, &mut scope)?;
    let group = playbook.group.as_ref();
    let group = group.map(|group| window::Group { key: group_key(&group.by, alert), wait: group.wait, interval: group.interval });
    Ok(NewRun { windows: Windows { group, ..run.windows }, ..run })
}

fn new_run(
    playbook: &Playbook,
    (alert, occasion): (Option<i64>, String),
    inputs: Value,
    scope: &mut Scope,
) -> Result<NewRun, ExpressionError> {
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
        vars: playbook.render_vars(scope)?,
        windows: windows(playbook, scope)?,
    })
}

/// The windows of a playbook but the group, which only alerts have, with their keys. The scope must hold the variables.
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

    #[test]
    fn group_keys_differ_where_the_fields_do() {
        let by = ["customer_tenant_id".to_owned(), "details.user".to_owned()];
        let key = |customer: &str, user: Value| group_key(&by, &json!({"customer_tenant_id": customer, "details": {"user": user}}));
        assert_eq!(key("a", json!("b")), r#"["a","b"]"#);
        assert_ne!(key("a\",\"b", json!("c")), key("a", json!("b\",\"c")));
        assert_ne!(key("a", Value::Null), key("a", json!("null")));
        assert_eq!(group_key(&by, &json!({"customer_tenant_id": "a"})), key("a", Value::Null));
    }
}
