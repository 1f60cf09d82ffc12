//! Which steps read the output of a step whose output is not known. Found in the texts of their expressions, so that a default such as
//! `get(steps.sub.output, "status", "unknown")` is not mistaken for an answer.

use std::collections::BTreeSet;

use crate::{
    engine::machine::Frame,
    expression::{Expression, chains},
    playbook::{Arguments, Body, Step, Wait},
};

/// The paths of the steps whose output is not known.
#[derive(Debug, Clone, Default)]
pub(super) struct Unknown(BTreeSet<String>);

impl Unknown {
    pub(super) fn insert(&mut self, path: &str) {
        self.0.insert(path.to_owned());
    }

    /// Whether there is one among the steps inside a step.
    pub(super) fn is_inside(&self, path: &str) -> bool {
        let starts = [format!("{path}/"), format!("{path}[")];
        starts.iter().any(|start| self.0.range(start.clone()..).next().is_some_and(|it| it.starts_with(start.as_str())))
    }

    /// The unknown step that the condition of a step reads.
    pub(super) fn of_condition(&self, step: &Step, frame: &Frame<'_>) -> Option<String> {
        self.read_by(step.condition.iter().map(Expression::text), &frame.base, &frame.prefix)
    }

    /// The unknown step that the rest of a step reads.
    pub(super) fn of_body(&self, step: &Step, frame: &Frame<'_>) -> Option<String> {
        // Most steps come before anything is unknown.
        if self.0.is_empty() { None } else { self.read_by(texts(&step.body).into_iter(), &frame.base, &frame.prefix) }
    }

    /// The unknown step that the output of a called playbook reads.
    pub(super) fn of_output(&self, output: &Arguments, base: &str) -> Option<String> {
        self.read_by(output.expressions().into_iter().map(Expression::text), base, base)
    }

    fn read_by<'e>(&self, mut texts: impl Iterator<Item = &'e str>, base: &str, prefix: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let is_seen = |path: &&String| {
            let around = path.get(..path.rfind('/').map_or(0, |at| at + 1)).unwrap_or_default();
            around.starts_with(base) && prefix.starts_with(around)
        };
        let seen: Vec<&String> = self.0.iter().filter(is_seen).collect();
        let reads = |text: &str, path: &str| {
            let id = path.rsplit('/').next().unwrap_or(path);
            chains(text).iter().any(|chain| match chain.path().as_slice() {
                // `steps[name]` may be any of them.
                ["steps"] => true,
                ["steps", read, ..] => *read == id,
                _ => false,
            })
        };
        texts.find_map(|text| seen.iter().find(|path| reads(text, path)).map(|path| (*path).clone()))
    }
}

/// The code in a step.
fn texts(body: &Body) -> Vec<&str> {
    let expressions: Vec<&Expression> = match body {
        Body::Action { with, .. } => with.expressions(),
        Body::Stop { reason, .. } => reason.expressions().map(|(it, _)| it).collect(),
        Body::Switch { cases, .. } => cases.iter().map(|case| &case.condition).collect(),
        Body::Foreach { items, .. } => items.expressions(),
        Body::Script(code) => return vec![code.text()],
        Body::Wait(Wait::Until(moment)) => vec![moment],
        Body::Call { inputs, .. } => inputs.expressions(),
        Body::Approval(approval) => approval.title.expressions().map(|(it, _)| it).chain(approval.channels.expressions()).collect(),
        Body::Parallel { .. } | Body::Wait(Wait::For(_)) => Vec::new(),
    };
    expressions.into_iter().map(Expression::text).collect()
}
