//! Reads steps: what is common to all of them, and which kind each is.

use super::{action, check_identifier, control, question};
use crate::{
    playbook::{
        Body, OnError, Step,
        arguments::Arguments,
        codes,
        node::{Kind, Node},
        outline::{self, DEEPEST},
        reader::{Fields, Reader, listed},
        visible::Visible,
    },
    retry::RetryPolicy,
};

/// What a step can do, each with the keys that belong to it.
pub(in crate::playbook) const KINDS: &[(&str, &[&str])] = &[
    ("action", &["with", "timeout", "retry", "on_error", "rollback", "verify"]),
    ("stop", &[]),
    ("switch", &["on_error"]),
    ("foreach", &["as", "max_parallel", "steps", "on_error"]),
    ("parallel", &["join", "on_error"]),
    ("script", &["on_error"]),
    ("wait", &["on_error"]),
    ("playbook", &["inputs", "on_error"]),
    ("approval", &["on_error"]),
];

const KEYS: &[&str] = &[
    "id",
    "if",
    "action",
    "with",
    "stop",
    "timeout",
    "retry",
    "on_error",
    "approval",
    "switch",
    "foreach",
    "as",
    "max_parallel",
    "steps",
    "parallel",
    "join",
    "script",
    "wait",
    "playbook",
    "inputs",
    "rollback",
    "verify",
];

/// Reads steps one after the other: each sees those before it, and what sees the sequence afterwards sees all of them.
pub(in crate::playbook) fn sequence(reader: &mut Reader<'_>, nodes: &[Node], visible: &mut Visible) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut is_over = false;
    for node in nodes {
        if is_over {
            let help = "give the `stop` before it a condition, or take this step out".to_owned();
            reader.warn_with_help(codes::UNREACHABLE, &node.place(), "this step is never taken: the run has stopped before it", help);
        }
        steps.extend(read(reader, node, visible));
        if let Some(id) = node.entry("id").and_then(Node::as_text) {
            visible.pass(id);
        }
        // A run that goes past a `stop` has its condition answered.
        if let (Some(_), Some(condition)) = (node.entry("stop"), node.entry("if").and_then(Node::as_text)) {
            visible.ask(condition);
        }
        is_over = outline::ends_all(node);
    }
    steps
}

fn read(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Step> {
    let fields = reader.fields(node, "a step", KEYS)?;
    let id = fields.require(reader, "id", "the step").and_then(|it| read_id(reader, it));
    let condition = fields.get("if").and_then(|it| reader.condition(it, "`if`", visible));
    let mut inside = visible.clone();
    if let Some(it) = fields.get("if") {
        warn_of_never(reader, it);
        inside.ask(it.as_text().unwrap_or_default());
    }
    let kind = kind_of(reader, &fields)?;
    let on_error = fields.get("on_error").filter(|_| kind != "stop").and_then(|it| read_on_error(reader, it, kind, &inside));
    // The others have none of their own: a step inside has its time, and its retries.
    let (timeout, retry) = if kind == "action" { action::effort(reader, &fields) } else { (action::TIMEOUT, RetryPolicy::default()) };
    let body = read_body(reader, &fields, kind, &inside);
    let (rollback, verify) = if let ("action", Some(Body::Action { with, .. })) = (kind, &body) {
        let id = id.as_deref().unwrap_or_default();
        (action::rollback(reader, &fields, (id, with), &inside), action::verify(reader, &fields, &inside))
    } else {
        (None, None)
    };
    Some(Step { id: id?, condition, body: body?, retry, timeout, on_error: on_error.unwrap_or(OnError::Fail), rollback, verify })
}

/// The one thing that the step does.
fn kind_of(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<&'static str> {
    let found: Vec<_> = KINDS.iter().filter(|(kind, _)| fields.get(kind).is_some()).collect();
    let [(kind, companions)] = found.as_slice() else {
        let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        reader.report(codes::STEP_KIND, fields.place(), format!("a step has exactly one of {}", listed(&kinds)));
        return None;
    };
    let common = ["id", "if"];
    let others: Vec<&str> = KEYS.iter().copied().filter(|key| key != kind && !companions.contains(key) && !common.contains(key)).collect();
    for key in fields.keys_among(&others) {
        let article = if kind.starts_with('a') { "an" } else { "a" };
        reader.report(codes::STEP_KIND, &key.span, format!("{article} `{kind}` has no `{}`", key.name));
    }
    Some(kind)
}

fn read_body(reader: &mut Reader<'_>, fields: &Fields<'_>, kind: &str, visible: &Visible) -> Option<Body> {
    let node = fields.get(kind)?;
    // Reported by the outline already.
    if visible.depth >= DEEPEST {
        return None;
    }
    match kind {
        "action" => action::read(reader, fields, node, visible),
        "stop" => action::stop(reader, node, visible),
        "switch" => control::switch(reader, node, visible),
        "foreach" => control::foreach(reader, fields, node, visible),
        "parallel" => control::parallel(reader, fields, node, visible),
        "script" => reader.script(node, "`script`", visible).map(Body::Script),
        "wait" => control::wait(reader, node, visible),
        "playbook" => control::call(reader, fields, node, visible),
        _ => question::read(reader, node, visible),
    }
}

/// An id stands in expressions, as in `steps.ID.output`.
fn read_id(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let id = reader.text(node, "`id`")?;
    check_identifier(reader, id, &node.span, "an id").then(|| id.to_owned())
}

fn read_on_error(reader: &mut Reader<'_>, node: &Node, kind: &str, visible: &Visible) -> Option<OnError> {
    if kind == "approval" {
        // Nobody was asked, so nothing may follow that waited for an answer.
        let words = [("fail", false), ("rollback", true)];
        let undoes = reader.word(node, "`on_error` of an approval", &words)?;
        return Some(if undoes { OnError::Rollback } else { OnError::Fail });
    }
    if let Kind::Map(_) = &node.kind {
        let fields = reader.fields(node, "`on_error` of a step", &["output"])?;
        let output = fields.require(reader, "output", "`on_error`")?;
        return Arguments::read(reader, output, &visible.with("error")).map(OnError::Instead);
    }
    let words = [("fail", 0), ("continue", 1), ("rollback", 2)];
    Some(match reader.word(node, "`on_error` of a step", &words)? {
        0 => OnError::Fail,
        1 => OnError::Continue,
        _ => OnError::Rollback,
    })
}

/// A condition that is written as `false`: somebody switched the step off and forgot it.
pub(super) fn warn_of_never(reader: &mut Reader<'_>, node: &Node) {
    let is_never = matches!(&node.kind, Kind::Bool(false)) || node.as_text().is_some_and(|it| it.trim() == "false");
    if is_never {
        reader.warn(codes::UNREACHABLE, &node.span, "this is never taken: its condition is always false");
    }
}
