//! Playbooks changed in one place each, to see whether their tests notice. What no test notices, nobody has asked for. Pure.

use super::coverage::{line_of_key, line_of_step};
use crate::playbook::{Body, OnError, Playbook, Step, Trigger};

/// One change of a playbook.
#[derive(Debug, Clone)]
pub(super) struct Mutant {
    /// The line of what is changed; 0 where the text does not tell.
    pub(super) line: usize,
    /// What is changed, for people.
    pub(super) what: String,
    change: Change,
}

#[derive(Debug, Clone)]
enum Change {
    NegateWhen,
    DropClause(usize),
    NegateIf(String),
    NegateCase(String, usize),
    DropStep(String),
    FailOnError(String),
    DropReturn(String),
}

/// Every change that is tried of a playbook.
pub(super) fn mutants(playbook: &Playbook) -> Vec<Mutant> {
    let mut mutants = of_trigger(playbook);
    for step in playbook.every_step() {
        let line = line_of_step(&playbook.text, &step.id);
        let mut add = |what: String, change: Change| mutants.push(Mutant { line, what, change });
        let id = || step.id.clone();
        if step.condition.is_some() {
            add(format!("condition of `{}` negated", step.id), Change::NegateIf(id()));
        }
        if let Body::Switch { cases, .. } = &step.body {
            for case in 0..cases.len() {
                add(format!("case {} of `{}` negated", case + 1, step.id), Change::NegateCase(id(), case));
            }
        }
        if matches!(step.on_error, OnError::Continue) {
            add(format!("`on_error: continue` of `{}` removed", step.id), Change::FailOnError(id()));
        }
        if step.rollback.as_ref().is_some_and(|rollback| rollback.after.is_some()) {
            add(format!("`after` of the rollback of `{}` removed", step.id), Change::DropReturn(id()));
        }
        add(format!("step `{}` dropped", step.id), Change::DropStep(id()));
    }
    mutants
}

fn of_trigger(playbook: &Playbook) -> Vec<Mutant> {
    let Some(trigger) = playbook.trigger.alert() else { return Vec::new() };
    let text = &playbook.text;
    let clauses = trigger.clauses.iter().enumerate().map(|(at, clause)| Mutant {
        line: line_of_key(text, &clause.field),
        what: format!("`{}` of `match` dropped", clause.field),
        change: Change::DropClause(at),
    });
    let when = trigger.when.as_ref().map(|_| Mutant {
        line: line_of_key(text, "when"),
        what: "`when` negated".to_owned(),
        change: Change::NegateWhen,
    });
    clauses.chain(when).collect()
}

impl Mutant {
    /// Changes a playbook.
    pub(super) fn apply(&self, playbook: &mut Playbook) {
        match (&self.change, &mut playbook.trigger) {
            (Change::NegateWhen, Trigger::Alert(trigger)) => trigger.when = trigger.when.take().map(|when| when.negated()),
            (Change::DropClause(at), Trigger::Alert(trigger)) if *at < trigger.clauses.len() => drop(trigger.clauses.remove(*at)),
            (Change::NegateWhen | Change::DropClause(_), _) => {}
            (Change::DropStep(id), _) => {
                drop_step(&mut playbook.steps, id);
                drop_step(&mut playbook.on_error, id);
            }
            (Change::NegateIf(id) | Change::NegateCase(id, _) | Change::FailOnError(id) | Change::DropReturn(id), _) => {
                let step = find(&mut playbook.steps, id).or_else(|| find(&mut playbook.on_error, id));
                if let Some(step) = step {
                    self.apply_to(step);
                }
            }
        }
    }

    fn apply_to(&self, step: &mut Step) {
        match (&self.change, &mut step.body) {
            (Change::NegateIf(_), _) => step.condition = step.condition.take().map(|condition| condition.negated()),
            (Change::NegateCase(_, at), Body::Switch { cases, .. }) => {
                if let Some(case) = cases.get_mut(*at) {
                    case.condition = case.condition.negated();
                }
            }
            (Change::FailOnError(_), _) => step.on_error = OnError::Fail,
            (Change::DropReturn(_), _) => {
                if let Some(rollback) = &mut step.rollback {
                    rollback.after = None;
                }
            }
            (Change::NegateCase(..) | Change::NegateWhen | Change::DropClause(_) | Change::DropStep(_), _) => {}
        }
    }
}

/// The sequences of steps inside a step.
fn inside(step: &mut Step) -> Vec<&mut Vec<Step>> {
    match &mut step.body {
        Body::Switch { cases, otherwise } => cases.iter_mut().map(|case| &mut case.steps).chain([otherwise]).collect(),
        Body::Foreach { steps, .. } => vec![steps],
        Body::Parallel { branches, .. } => branches.iter_mut().map(|(_, steps)| steps).collect(),
        Body::Action { .. } | Body::Stop { .. } | Body::Script(_) | Body::Wait(_) | Body::Call { .. } | Body::Approval(_) => Vec::new(),
    }
}

fn find<'a>(steps: &'a mut [Step], id: &str) -> Option<&'a mut Step> {
    for step in steps {
        if step.id == id {
            return Some(step);
        }
        if let Some(found) = inside(step).into_iter().find_map(|steps| find(steps, id)) {
            return Some(found);
        }
    }
    None
}

fn drop_step(steps: &mut Vec<Step>, id: &str) {
    steps.retain(|step| step.id != id);
    for step in steps {
        for steps in inside(step) {
            drop_step(steps, id);
        }
    }
}
