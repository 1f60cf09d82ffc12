//! The explanation for scripts: one document.

use serde_json::{Value, json};

use super::{Answer, Explained, output, text::step_at};
use crate::{
    duration::Span,
    engine::{
        foresight::{Appraisal, Call, Fate, Foreseen},
        guardrails::HeldBack,
    },
    playbook::Playbook,
    run::StepRecord,
};

pub(super) fn print(answer: &Answer) {
    let question = &answer.question;
    let explained: Vec<Value> = answer.explained.iter().map(describe).collect();
    output::print_json(&json!({
        "alert": question.alert, "number": question.past.as_ref().map(|past| past.number), "as_of": question.at,
        "playbooks": explained, "replays": question.past.as_ref().map(|past| &past.replays), "refused_files": answer.refused,
    }));
}

fn describe(it: &Explained) -> Value {
    let (verdict, why) = it.verdict();
    let differs =
        if let Appraisal::Differs { clause, value } = &it.appraisal { Some(json!({"clause": clause, "value": value})) } else { None };
    let held = it.held.as_ref().map(|held| json!({"window": held.rule, "detail": held.detail, "until": held.until}));
    let then = it.decided.as_ref().map(|(verdict, detail)| {
        let run = it.run.as_ref().map(|run| json!({"id": run.id, "state": run.state, "reason": run.reason}));
        json!({"verdict": verdict, "detail": detail, "run": run})
    });
    json!({
        "playbook": it.playbook.name, "path": it.playbook.path, "mode": it.playbook.mode, "verdict": verdict.replace(' ', "_"), "why": why,
        "differs": differs, "held": held, "plan": it.foreseen.as_ref().map(|foreseen| plan(&it.playbook, foreseen)), "then": then,
    })
}

fn plan(playbook: &Playbook, foreseen: &Foreseen) -> Value {
    let steps: Vec<Value> = foreseen.steps.iter().map(|record| step(playbook, record, foreseen)).collect();
    json!({
        "state": if foreseen.unclear.is_empty() { json!(foreseen.run.state) } else { Value::Null },
        "reason": foreseen.run.reason, "unclear": foreseen.limit(), "vars": foreseen.run.vars, "steps": steps,
    })
}

fn step(playbook: &Playbook, record: &StepRecord, foreseen: &Foreseen) -> Value {
    let call = foreseen.calls.iter().find(|call| call.step == record.id);
    let needs = foreseen.unclear.iter().find(|unclear| unclear.step == record.id).map(|unclear| &unclear.needs);
    let asks = foreseen.questions.iter().find(|(step, _)| *step == record.id).map(|(_, question)| question);
    let rollback = step_at(playbook, &record.id).and_then(|step| step.rollback.as_ref()).map(|rollback| {
        let after = rollback.after.map(|after| Span(after).to_string());
        json!({"action": rollback.step.body.word(), "expires": Span(rollback.expires).to_string(), "after": after})
    });
    json!({
        "step": record.id, "does": record.action, "state": record.state, "arguments": record.plan, "output": record.output,
        "error": record.error, "needs": needs, "asks": asks, "call": call.map(described), "rollback": rollback,
    })
}

fn described(call: &Call) -> Value {
    let fate = match call.fate {
        Fate::Made => "made",
        Fate::Held(_) => "held",
        Fate::Shadowed(_) => "shadowed",
    };
    let held = call.held().map(|HeldBack { rule, detail, .. }| json!({"rule": rule, "detail": detail}));
    json!({"class": call.class, "destructive": call.destructive, "fate": fate, "guardrail": held})
}
