//! Where secrets may be in a playbook: not in its text, and not where people or the journal would see them.

use std::collections::BTreeSet;

use super::{
    Body, Library, Playbook, Step,
    arguments::Arguments,
    codes,
    node::{Key, Kind, Node},
    reader::Reader,
    site::place_in_step,
};
use crate::{
    actions::Entry,
    problem::{Problem, Severity},
};

/// Headers that carry nothing but what gives access.
const SECRET_HEADERS: &[&str] = &["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// Where secrets stand in a step.
const SENT: [&[&str]; 3] = [&["with"], &["rollback"], &["verify"]];

/// How a secret is named.
const HELP: &str = "put it under `secrets` in quell.yaml, and write `${ secret(\"name\") }` in its place";

/// Reports headers that give access and name no secret of the settings, and what was meant to name one. An expression is no better than
/// the text: its value is what the journal keeps.
pub(super) fn check(reader: &mut Reader<'_>, entry: &Entry, with: Option<&Node>, arguments: Option<&Arguments>) {
    let Some(with) = with.filter(|_| entry.takes_secrets) else { return };
    report_forgotten(reader, with);
    for (key, _) in value_of(with, "headers").map(entries).unwrap_or_default() {
        let is_named = arguments.is_none_or(|arguments| arguments.has_secret(["headers", &key.name]));
        if !is_named && SECRET_HEADERS.iter().any(|header| key.name.eq_ignore_ascii_case(header)) {
            let message = format!("the header `{}` gives access, and the journal would keep and show it", key.name);
            reader.report_with_help(codes::SECRET, &key.span, message, Some(HELP.to_owned()));
        }
    }
}

/// Reports an action that undoes a step with the parameters of that, where those hold secrets: only their masks are recorded.
pub(super) fn check_undone(reader: &mut Reader<'_>, own: &Arguments, action: &Node) {
    if !own.secrets().is_empty() {
        let message = "the parameters of the step hold a secret, which is not recorded, so that nothing can be undone with them";
        reader.report_with_help(codes::SECRET_FLOWS, &action.span, message, Some("give `rollback` a `with` of its own".to_owned()));
    }
}

impl Playbook {
    /// The names of the secrets that it sends, with those of the playbooks that it calls.
    pub fn secrets(&self) -> BTreeSet<&str> {
        let own = self.every_step().into_iter().flat_map(of_step);
        own.chain(self.called.values().flat_map(|called| called.secrets())).collect()
    }
}

impl Library {
    /// Reports secrets that the settings do not have, each as grave as `check` says. Steps that name one would fail.
    pub fn check_secrets(&mut self, check: impl Fn(&str) -> Result<(), (Severity, String)>) {
        for playbook in &self.playbooks {
            let steps = playbook.every_step();
            for (step, name) in steps.iter().flat_map(|step| of_step(step).into_iter().map(move |name| (step, name))) {
                if let Err((severity, why)) = check(name) {
                    let named = format!("\"{name}\"");
                    let is_it = |text: &str| text.contains("secret") && text.contains(&named);
                    let place = place_in_step(playbook, &step.id, &SENT, &is_it);
                    let message = format!("step `{}` cannot be sent: {why}", step.id);
                    self.problems.push(Problem { severity, ..Problem::error(codes::UNKNOWN_REFERENCE, message, place) });
                }
            }
        }
    }
}

/// The names of the secrets that a step sends, with those of what undoes and what verifies it.
fn of_step(step: &Step) -> Vec<&str> {
    let own = if let Body::Action { with, .. } = &step.body { with.secrets() } else { Vec::new() };
    let undoing = step.rollback.iter().flat_map(|rollback| of_step(&rollback.step));
    let verifying = step.verify.iter().flat_map(|verify| verify.with.secrets());
    own.into_iter().chain(undoing).chain(verifying).collect()
}

/// Reports texts that name a secret and are none, for want of `${ }`: the service would be sent the words.
fn report_forgotten(reader: &mut Reader<'_>, node: &Node) {
    match &node.kind {
        Kind::Text(text) if text.trim_start().starts_with("secret(") => {
            let help = format!("write `${{ {} }}`", text.trim());
            reader.report_with_help(codes::SECRET_FLOWS, &node.span, "this names no secret, and would be sent as it is", Some(help));
        }
        Kind::Map(entries) => entries.iter().for_each(|(_, value)| report_forgotten(reader, value)),
        Kind::List(items) => items.iter().for_each(|item| report_forgotten(reader, item)),
        Kind::Text(_) | Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
    }
}

fn value_of<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    entries(node).iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
}

fn entries(node: &Node) -> &[(Key, Node)] {
    match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => &[],
    }
}
