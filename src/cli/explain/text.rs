//! The explanation for people: one line for each playbook, and under it what those that answer would do, step by step.

use serde_json::Value;

use super::{Answer, Explained, output};
use crate::{
    approval,
    duration::Span,
    engine::foresight::{Call, Fate, Foreseen},
    playbook::{Body, Playbook, Step},
    run::{Class, StepRecord, StepState},
};

pub(super) fn print(answer: &Answer) {
    let alert = &answer.question.alert;
    let number = answer.question.past.as_ref().map(|past| format!("#{} ", past.number)).unwrap_or_default();
    let facts = [
        ("alert", format!("{number}{}", alert.id)),
        ("source", alert.source.clone()),
        ("kind", format!("{}, severity {}, confidence {}", alert.kind, alert.severity, alert.confidence)),
        ("as of", output::time(answer.question.at)),
    ];
    output::print(&format!("{}\n", output::facts(facts)));
    let mut table = output::table(&["playbook", "mode", "verdict", "why", "then"]);
    for it in &answer.explained {
        let (word, why) = it.verdict();
        table.add_row([
            (&it.playbook.name).into(),
            it.playbook.mode.as_str().into(),
            output::state(word),
            output::short(&why, 160).into(),
            output::short(&then(it), 100).into(),
        ]);
    }
    output::print(&table.to_string());
    for run in answer.question.past.iter().flat_map(|past| &past.replays) {
        let who = run.replay.as_ref().map(|replay| format!("by {}: {}", replay.who, replay.reason)).unwrap_or_default();
        let ended = format!("run {} of {}: {} {}", run.id, run.playbook, run.state, run.reason);
        output::print(&output::short(&format!("replayed at {} {who}; {}", output::time(run.created_at), ended.trim_end()), 400));
    }
    for (it, foreseen) in answer.explained.iter().filter_map(|it| Some((it, it.foreseen.as_ref()?))) {
        print_plan(it, foreseen);
    }
    if answer.refused > 0 {
        output::print(&format!("\n{} files of playbooks cannot be used and are not explained; `quell check` says why", answer.refused));
    }
}

/// What was decided and done when the alert came.
fn then(it: &Explained) -> String {
    match (&it.run, &it.decided) {
        (Some(run), _) => format!("run {}: {} {}", run.id, run.state, run.reason),
        (None, Some((verdict, detail))) => format!("{verdict}: {detail}"),
        (None, None) => String::new(),
    }
}

fn print_plan(it: &Explained, foreseen: &Foreseen) {
    let unless = if it.held.is_some() { ", were it not held back" } else { "" };
    output::print(&format!("\n{} ({}) would do this{unless}:", it.playbook.name, it.playbook.mode));
    let mut table = output::table(&["step", "if", "does", "class", "arguments", "what"]);
    for record in &foreseen.steps {
        let step = step_at(&it.playbook, &record.id);
        let call = foreseen.calls.iter().find(|call| call.step == record.id);
        table.add_row([
            indented(&record.id),
            output::short(&condition(step, record), 60),
            record.action.clone(),
            call.map(|call| call.class.as_str().to_owned()).unwrap_or_default(),
            output::short(&shown(&record.plan), 160),
            output::short(&format!("{}{}", what(record, call, foreseen), undone(step, call)), 240),
        ]);
    }
    output::print(&table.to_string());
    output::print(&match foreseen.limit() {
        Some(limit) => format!("{limit}; what stands after it is what follows if the run goes on there"),
        None => format!("ends: {} {}", foreseen.run.state, output::short(&foreseen.run.reason, 200)).trim_end().to_owned(),
    });
}

fn what(record: &StepRecord, call: Option<&Call>, foreseen: &Foreseen) -> String {
    if let Some(unclear) = foreseen.unclear.iter().find(|unclear| unclear.step == record.id) {
        return format!("depends on the answer of `{}`", unclear.needs);
    }
    let question = foreseen.questions.iter().find(|(step, _)| *step == record.id).map(|(_, question)| asks(question));
    if let (Some(asks), Some(decision)) = (&question, approval::Decided::decision_in(&record.output)) {
        return format!("{asks}; taken to be {decision}");
    }
    let class = call.map(|call| (call.class, &call.fate));
    match (record.state, class) {
        (_, Some((_, Fate::Held(held)))) => format!("held back by the guardrail `{}`: {}", held.rule, held.detail),
        (_, Some((_, Fate::Shadowed(Some(held))))) => {
            format!("recorded only (shadow); `{}` would hold it back: {}", held.rule, held.detail)
        }
        (_, Some((_, Fate::Shadowed(None)))) => "recorded only (shadow)".to_owned(),
        (StepState::Failed, _) => format!("fails: {}", record.error.as_deref().unwrap_or_default()),
        (StepState::Skipped, _) => "skipped".to_owned(),
        (_, Some((Class::Read, _))) if record.output.is_null() => "reads; not asked now".to_owned(),
        (_, Some((Class::Read, _))) => format!("read: {}", shown(&record.output)),
        (_, Some((_, Fate::Made))) => match question {
            Some(asks) => format!("the site {asks}; taken to be approved, and is done"),
            None => "is done".to_owned(),
        },
        (_, None) => shown(&record.output),
    }
}

/// How what is done there is undone.
fn undone(step: Option<&Step>, call: Option<&Call>) -> String {
    let Some(rollback) = step.and_then(|step| step.rollback.as_ref()).filter(|_| call.is_some()) else { return String::new() };
    let by = rollback.step.body.word();
    match rollback.after {
        Some(after) => format!("; undone by itself after {} by `{by}`, unless a person keeps it", Span(after)),
        None => format!("; can be undone for {} by `{by}`", Span(rollback.expires)),
    }
}

/// Who would be asked.
fn asks(question: &Value) -> String {
    let groups = question.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let groups: Vec<_> = groups.iter().filter_map(Value::as_str).collect();
    let quorum = question.get("quorum").and_then(Value::as_u64).unwrap_or(1);
    if groups.is_empty() { "asks people".to_owned() } else { format!("asks {quorum} of {}", groups.join(", ")) }
}

fn condition(step: Option<&Step>, record: &StepRecord) -> String {
    let Some(condition) = step.and_then(|step| step.condition.as_ref()) else { return String::new() };
    let value = match (record.state, &record.error) {
        (StepState::Skipped, None) => "false",
        (StepState::Skipped, Some(_)) => "?",
        _ => "true",
    };
    format!("{value}: {}", condition.text().trim())
}

/// The step of a path, through the playbooks that are called on the way.
pub(super) fn step_at<'p>(playbook: &'p Playbook, path: &str) -> Option<&'p Step> {
    let (mut playbook, mut found) = (playbook, None);
    for part in path.split('/') {
        let step = playbook.step(part.split('[').next().unwrap_or(part))?;
        if let Body::Call { playbook: name, .. } = &step.body {
            playbook = playbook.called(name).map_or(playbook, |called| called);
        }
        found = Some(step);
    }
    found
}

/// A path as a line of a tree: the last part, as deep as it lies.
fn indented(path: &str) -> String {
    let depth = path.matches('/').count();
    let (around, name) = path.rsplit_once('/').unwrap_or(("", path));
    let item = around.rsplit_once('[').filter(|(_, rest)| rest.ends_with(']') && !rest.contains('/')).map(|(_, rest)| format!("[{rest} "));
    format!("{}{}{name}", "· ".repeat(depth), item.unwrap_or_default())
}

fn shown(value: &Value) -> String {
    if value.is_null() { String::new() } else { value.to_string() }
}
