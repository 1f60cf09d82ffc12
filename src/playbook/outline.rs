//! The steps of a file before they are read: which there are, and what lies inside what. An expression is then checked against all of them.

use super::{
    codes,
    node::{Key, Kind, Node},
    reader::Reader,
};
use crate::actions;

/// A playbook that needs more steps is two.
const MOST_STEPS: usize = 100;

/// Deeper nesting is read by nobody; the inner steps are a playbook of their own.
pub(super) const DEEPEST: usize = 8;

/// All steps, in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) steps: Vec<Outlined>,
    /// The first of those under the playbook's `on_error`.
    first_after: usize,
}

/// One step.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says something else of the step")]
pub(super) struct Outlined {
    pub(super) id: String,
    /// Where its id stands.
    pub(super) start: usize,
    /// The steps around it, innermost last, by their place in the outline.
    around: Vec<usize>,
    holds: Inside,
    /// Whether it may not have run although the run went past it: it has a condition, or the run goes on when it fails.
    is_open: bool,
    /// Whether it performs an action; other steps have none of their own.
    pub(super) acts: bool,
    /// Whether that action is destructive.
    pub(super) is_destructive: bool,
    is_stop: bool,
}

/// What becomes of the steps inside a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// All of them are taken.
    All,
    /// Some of them are taken.
    Some,
    /// They are taken once for every item, and are not seen from outside.
    Each,
}

impl Outline {
    /// Finds the steps, and reports where there are too many, where they lie too deep, and which share their id.
    pub(super) fn of(reader: &mut Reader<'_>, steps: &[Node], after: &[Node]) -> Self {
        let mut outline = Self::default();
        outline.add(reader, steps, &mut Vec::new());
        outline.first_after = outline.steps.len();
        outline.add(reader, after, &mut Vec::new());
        outline
    }

    fn add(&mut self, reader: &mut Reader<'_>, nodes: &[Node], around: &mut Vec<usize>) {
        if let (true, Some(first)) = (around.len() == DEEPEST, nodes.first()) {
            let help = "call the inner steps as a playbook of their own".to_owned();
            reader.report_with_help(codes::RANGE, &first.place(), format!("steps lie at most {DEEPEST} deep"), Some(help));
            return;
        }
        for node in nodes {
            if self.steps.len() == MOST_STEPS {
                reader.report(codes::RANGE, &node.place(), format!("a playbook has at most {MOST_STEPS} steps"));
            }
            self.report_duplicate(reader, node);
            let at = self.steps.len();
            self.steps.push(Outlined::of(node, around.clone()));
            around.push(at);
            for inner in sequences(node) {
                self.add(reader, inner, around);
            }
            around.pop();
        }
    }

    fn report_duplicate(&self, reader: &mut Reader<'_>, node: &Node) {
        let Some(id) = node.entry("id") else { return };
        if let Kind::Text(text) = &id.kind
            && self.get(text).is_some()
        {
            reader.report(codes::DUPLICATE_STEP, &id.span, format!("there is a step `{text}` already"));
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Outlined> {
        self.position(id).and_then(|at| self.steps.get(at))
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.id == id)
    }

    /// The innermost `foreach` around a step.
    pub(super) fn each_around(&self, id: &str) -> Option<&str> {
        let around = self.get(id)?.around.iter().rev().filter_map(|at| self.steps.get(*at));
        around.into_iter().find(|step| step.holds == Inside::Each).map(|step| step.id.as_str())
    }

    /// What can be seen once a step has been passed: itself and what is inside, each with whether it has run for certain.
    pub(super) fn seen_after(&self, id: &str) -> Vec<(&str, bool)> {
        let Some(at) = self.position(id) else { return Vec::new() };
        self.steps.iter().enumerate().skip(at).filter_map(|(index, step)| Some((step.id.as_str(), self.certainty(at, index)?))).collect()
    }

    /// Whether a step has run for certain, once the step at `passed` was passed; nothing where it cannot be seen then.
    fn certainty(&self, passed: usize, index: usize) -> Option<bool> {
        let step = self.steps.get(index)?;
        let belongs = index == passed || step.around.contains(&passed);
        let outer = || step.around.iter().skip_while(|at| **at != passed).filter_map(|at| self.steps.get(*at));
        let is_seen = belongs && outer().all(|outer| outer.holds != Inside::Each);
        is_seen.then(|| !step.is_open && outer().all(|outer| !outer.is_open && outer.holds == Inside::All))
    }

    /// What can be seen when the playbook has ended, by its last step or by a `stop`.
    pub(super) fn seen_at_the_end(&self) -> Vec<(&str, bool)> {
        let outermost = self.steps.iter().take(self.first_after).filter(|step| step.around.is_empty());
        let first_stop = self.steps.iter().position(|step| step.is_stop).unwrap_or(self.steps.len());
        let seen = outermost.flat_map(|step| self.seen_after(&step.id));
        seen.map(|(id, is_certain)| (id, is_certain && self.position(id).is_some_and(|at| at < first_stop))).collect()
    }
}

impl Outlined {
    fn of(node: &Node, around: Vec<usize>) -> Self {
        let text = |name: &str| node.entry(name).and_then(Node::as_text);
        let holds = if node.entry("foreach").is_some() {
            Inside::Each
        } else if node.entry("parallel").is_some() && node.entry("join").is_none_or(|it| it.as_text() == Some("all")) {
            Inside::All
        } else {
            Inside::Some
        };
        Self {
            id: text("id").unwrap_or_default().to_owned(),
            start: node.entry("id").map_or(0, |id| id.span.start),
            around,
            holds,
            is_open: node.entry("if").is_some() || text("on_error") == Some("continue"),
            acts: node.entry("action").is_some(),
            is_destructive: text("action").and_then(actions::find).is_some_and(|entry| entry.destructive),
            is_stop: node.entry("stop").is_some(),
        }
    }
}

/// The sequences of steps inside a step.
fn sequences(node: &Node) -> Vec<&[Node]> {
    let mut found: Vec<&Node> = Vec::new();
    if let Some(Node { kind: Kind::List(cases), .. }) = node.entry("switch") {
        found.extend(cases.iter().filter_map(|case| case.entry("steps").or_else(|| case.entry("else"))));
    }
    if let Some(Node { kind: Kind::Map(branches), .. }) = node.entry("parallel") {
        found.extend(branches.iter().map(|(_, steps): &(Key, Node)| steps));
    }
    if node.entry("foreach").is_some() {
        found.extend(node.entry("steps"));
    }
    found.into_iter().filter_map(|it| if let Kind::List(items) = &it.kind { Some(&**items) } else { None }).collect()
}

/// A step whose `stop` has no condition: nothing after it is taken.
pub(super) fn ends_all(node: &Node) -> bool {
    node.entry("stop").is_some() && node.entry("if").is_none_or(|it| matches!(it.kind, Kind::Bool(true)))
}
