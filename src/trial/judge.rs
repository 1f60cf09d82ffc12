//! Whether what came of a scenario is what its test expects; each difference as text for people. Pure.

use serde_json::Value;

use super::{
    format::{Call, Ended, Expect, NotTaken, Notification, OneOrMany, Outcome},
    play::Played,
    world::{Made, id_of},
};
use crate::run::StepRecord;

/// Everything that is not as expected; nothing when the test passes.
pub(super) fn differences(expect: &Expect, played: &Played) -> Vec<String> {
    let mut found = played.faults.clone();
    found.extend(expect.outcome.as_ref().and_then(|outcome| outcome_differs(outcome, played)));
    if let Some(part) = &expect.reason {
        let reasons: Vec<&str> = played.runs.iter().map(|(run, _)| run.reason.as_str()).collect();
        found.extend(misses("reason", part, &reasons));
    }
    if let Some(part) = &expect.explanation {
        let explanations: Vec<&str> = played.explanations.iter().map(String::as_str).collect();
        found.extend(misses("explanation", part, &explanations));
    }
    if let Some(count) = expect.runs.filter(|count| *count != played.runs.len()) {
        found.push(format!("runs: expected {count}, and there were {}", played.runs.len()));
    }
    if let Some(calls) = &expect.calls {
        found.extend(calls_differ(calls, &played.calls));
    }
    for name in &expect.never_calls {
        let made = played.calls.iter().find(|made| is_named(made, name));
        found.extend(made.map(|made| format!("never_calls: `{name}` was called: {}", shown(made, &made.with))));
    }
    let steps = played.runs.last().map(|(_, steps)| steps.as_slice()).unwrap_or_default();
    for (id, wanted) in &expect.steps {
        found.extend(step_differs(id, *wanted, steps));
    }
    for (id, wanted) in &expect.outputs {
        let output = step(steps, id).map_or(&Value::Null, |step| &step.output);
        if !contains(output, wanted) {
            found.push(format!("outputs: `{id}`\n  - {wanted}\n  + {output}"));
        }
    }
    if let Some(notifications) = &expect.notifications {
        found.extend(notifications_differ(notifications, &played.calls));
    }
    if let Some(rules) = expect.guardrails.as_ref().filter(|rules| **rules != played.guardrails) {
        found.push(format!("guardrails: expected {rules:?}, and steps were held back by {:?}", played.guardrails));
    }
    found
}

/// Whether a value has everything that another one asks for.
fn contains(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(fields), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| fields.get(name).is_some_and(|value| contains(value, wanted)))
        }
        (Value::Array(items), Value::Array(wanted)) => {
            items.len() == wanted.len() && items.iter().zip(wanted).all(|(value, wanted)| contains(value, wanted))
        }
        (value, wanted) => value == wanted,
    }
}

fn outcome_differs(wanted: &OneOrMany<Outcome>, played: &Played) -> Option<String> {
    let runs: Vec<&str> = played.runs.iter().map(|(run, _)| run.state.as_str()).collect();
    let found = if runs.is_empty() { played.alerts.iter().map(String::as_str).collect() } else { runs };
    let wanted: Vec<&str> = wanted.0.iter().map(|outcome| outcome.as_str()).collect();
    let fits = match &*wanted {
        // One word stands for every run.
        [only] => !found.is_empty() && found.iter().all(|it| it == only),
        many => *many == found,
    };
    if fits {
        return None;
    }
    let mut text = format!(
        "outcome: expected {}, and it was {}",
        wanted.join(", "),
        if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
    );
    let why = played.runs.iter().map(|(run, _)| run.reason.as_str()).chain(played.explanations.iter().map(String::as_str));
    for why in why.filter(|why| !why.is_empty()) {
        text.push_str("\n    ");
        text.push_str(why);
    }
    Some(text)
}

fn misses(what: &str, part: &str, texts: &[&str]) -> Option<String> {
    let plain = |text: &str| text.replace('"', "");
    if texts.iter().any(|text| plain(text).contains(&plain(part))) {
        return None;
    }
    let found = if texts.is_empty() { "nothing".to_owned() } else { texts.join("\n    ") };
    Some(format!("{what}: `{part}` is not in\n    {found}"))
}

fn step<'a>(steps: &'a [StepRecord], id: &str) -> Option<&'a StepRecord> {
    steps.iter().find(|step| step.id == id).or_else(|| steps.iter().find(|step| id_of(&step.id) == id))
}

fn step_differs(id: &str, wanted: Ended, steps: &[StepRecord]) -> Option<String> {
    let found = step(steps, id);
    let (fits, wanted) = match wanted {
        Ended::Never(NotTaken::NotTaken) => (found.is_none(), "not_taken"),
        Ended::So(state) => (found.is_some_and(|step| step.state == state), state.as_str()),
    };
    let why = found.and_then(|step| step.error.as_deref()).map(|error| format!(": {error}")).unwrap_or_default();
    (!fits).then(|| format!("steps: `{id}` should be {wanted}, and is {}{why}", found.map_or("not_taken", |step| step.state.as_str())))
}

/// The expected calls, each as often as it is to be made, beside those that were made.
fn calls_differ(wanted: &[Call], made: &[Made]) -> Option<String> {
    let wanted: Vec<&Call> = wanted.iter().flat_map(|call| std::iter::repeat_n(call, call.times.unwrap_or(1))).collect();
    let made: Vec<&Made> = made.iter().filter(|made| made.changes).collect();
    let fits = |call: &Call, made: &Made| {
        let is_it = call.step.as_ref().is_none_or(|step| *step == made.step || step == id_of(&made.step));
        is_it
            && call.action.as_ref().is_none_or(|action| action == made.action)
            && call.with.as_ref().is_none_or(|with| contains(&made.with, with))
    };
    if wanted.len() == made.len() && wanted.iter().zip(&made).all(|(call, made)| fits(call, made)) {
        return None;
    }
    let mut text = "calls (- expected, + made):".to_owned();
    let (mut at, mut rest) = (0, made.as_slice());
    for call in &wanted {
        // What was made before the next expected call was made too much; if that never comes, it is missing.
        let Some(found) = rest.iter().position(|made| fits(call, made)) else {
            text.push_str("\n  - ");
            text.push_str(&asked(call));
            continue;
        };
        for (nth, made) in rest.iter().take(found + 1).enumerate() {
            text.push_str(if nth == found { "\n    " } else { "\n  + " });
            text.push_str(&shown(made, &relevant(made, call)));
        }
        rest = rest.get(found + 1..).unwrap_or_default();
        at += 1;
    }
    let last = wanted.get(at).or_else(|| wanted.last());
    for made in rest {
        let with = last.map_or_else(|| made.with.clone(), |call| relevant(made, call));
        text.push_str("\n  + ");
        text.push_str(&shown(made, &with));
    }
    Some(text)
}

/// The parameters that an expectation speaks of; all, where it speaks of none.
fn relevant(made: &Made, call: &Call) -> Value {
    match (&made.with, &call.with) {
        (Value::Object(with), Some(Value::Object(wanted))) => {
            let part: serde_json::Map<String, Value> =
                with.iter().filter(|(name, _)| wanted.contains_key(*name)).map(|(name, value)| (name.clone(), value.clone())).collect();
            Value::Object(if part.is_empty() { with.clone() } else { part })
        }
        (with, _) => with.clone(),
    }
}

fn asked(call: &Call) -> String {
    let with = call.with.as_ref().map(|with| format!(" {with}")).unwrap_or_default();
    format!("{} {}{with}", call.step.as_deref().unwrap_or("any step:"), call.action.as_deref().unwrap_or_default())
}

fn shown(made: &Made, with: &Value) -> String {
    let with: String = with.to_string().chars().take(300).collect();
    format!("{} {} {with} at {}", made.step, made.action, made.at)
}

fn is_named(made: &Made, name: &str) -> bool {
    let group = name.strip_suffix(".*").is_some_and(|group| made.action.strip_prefix(group).is_some_and(|rest| rest.starts_with('.')));
    group || made.action == name || made.step == name || id_of(&made.step) == name
}

fn notifications_differ(wanted: &[Notification], made: &[Made]) -> Option<String> {
    let sent: Vec<(&str, String)> = made.iter().filter(|made| made.action == "notify").flat_map(messages).collect();
    if wanted.is_empty() {
        return (!sent.is_empty()).then(|| format!("notifications: expected none, and there were {}", listed(&sent)));
    }
    let fits = |wanted: &Notification| sent.iter().any(|(channel, text)| *channel == wanted.channel && text.contains(&wanted.text));
    let missing: Vec<String> = wanted.iter().filter(|it| !fits(it)).map(|it| format!("\n  - {}: {}", it.channel, it.text)).collect();
    (!missing.is_empty()).then(|| format!("notifications:{}{}", missing.concat(), listed(&sent)))
}

fn messages(made: &Made) -> Vec<(&str, String)> {
    let text = |name: &str| made.with.get(name).and_then(Value::as_str).unwrap_or_default();
    let message = format!("{}\n{}", text("title"), text("text"));
    let channels = made.with.get("channels").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    channels.iter().filter_map(Value::as_str).map(|channel| (channel, message.clone())).collect()
}

fn listed(sent: &[(&str, String)]) -> String {
    let lines: Vec<String> =
        sent.iter().map(|(channel, text)| format!("\n  + {channel}: {}", text.trim().replace('\n', "\n      "))).collect();
    lines.concat()
}
