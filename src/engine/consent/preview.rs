//! The plan that people are shown: what the steps that an `approval` names would do, rendered from what is known now. Pure.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    actions::Entry,
    approval::Planned,
    engine::{
        machine::Frame,
        plan::{self, Sight},
    },
    playbook::{Body, Playbook, Step},
};

/// What an `approval` step asks about, as it would be done now. `target` says what an action with these arguments works on.
pub fn plan_of(
    asker: &Step,
    frame: &Frame<'_>,
    sight: Sight<'_>,
    now: Timestamp,
    target: &dyn Fn(&'static Entry, &str, &Value) -> Option<String>,
) -> Vec<Planned> {
    let Body::Approval(approval) = &asker.body else { return Vec::new() };
    let mut look = Look { asker: &asker.id, wanted: &approval.for_steps, sight, now, target, found: Vec::new() };
    let playbook = frame.playbook;
    match innermost(playbook, frame) {
        Some(steps) => look.through(steps, frame),
        None => [&playbook.steps, &playbook.on_error].into_iter().for_each(|steps| look.through(steps, frame)),
    }
    look.found
}

struct Look<'a> {
    asker: &'a str,
    wanted: &'a [String],
    sight: Sight<'a>,
    now: Timestamp,
    target: &'a dyn Fn(&'static Entry, &str, &Value) -> Option<String>,
    found: Vec<Planned>,
}

impl Look<'_> {
    fn through<'p>(&mut self, steps: &'p [Step], frame: &Frame<'p>) {
        for step in steps {
            if self.wanted.contains(&step.id) {
                self.found.extend(self.planned(step, frame));
            }
            let names_inner = step.and_inner().iter().skip(1).any(|inner| self.wanted.contains(&inner.id));
            if !names_inner {
                continue;
            }
            match &step.body {
                Body::Foreach { items, name, steps, .. } => {
                    let rendered = items.render(&mut plan::scope(frame, self.sight, self.now)).ok();
                    let items = rendered.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                    for (at, item) in items.iter().enumerate() {
                        let mut inner = Frame { prefix: format!("{}[{at}]/", frame.path(step)), ..frame.clone() };
                        inner.items.push((name, item.clone()));
                        self.through(steps, &inner);
                    }
                }
                other => other.sequences().into_iter().for_each(|inner| self.through(inner, frame)),
            }
        }
    }

    /// A step as it would be taken now; nothing if it would not.
    fn planned(&self, step: &Step, frame: &Frame<'_>) -> Option<Planned> {
        let Body::Action { entry, with, .. } = &step.body else { return None };
        let blank = Planned { step: frame.path(step), action: step.body.word().to_owned(), with: Value::Null, target: None, unknown: None };
        let unknown = |why: String| Some(Planned { unknown: Some(why), ..blank.clone() });
        let mut scope = plan::scope(frame, self.sight, self.now);
        // A condition on the answer has none yet.
        if let Some(condition) = step.condition.as_ref().filter(|_| !step.asks(self.asker)) {
            match condition.boolean(&mut scope) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return unknown(format!("whether it is taken is not known yet: {error}")),
            }
        }
        match with.render(&mut scope) {
            Ok(with) => {
                let target = (self.target)(entry, &blank.step, &with);
                Some(Planned { with, target, ..blank })
            }
            Err(error) => unknown(format!("its arguments are not known yet: {error}")),
        }
    }
}

/// The steps of the innermost list around a frame.
fn innermost<'p>(playbook: &'p Playbook, frame: &Frame<'_>) -> Option<&'p [Step]> {
    let inside = frame.prefix.strip_prefix(&frame.base)?.trim_end_matches('/');
    let list = inside.rsplit('/').next().and_then(|part| part.split('[').next()).filter(|id| !id.is_empty())?;
    if let Body::Foreach { steps, .. } = &playbook.step(list)?.body { Some(steps) } else { None }
}
