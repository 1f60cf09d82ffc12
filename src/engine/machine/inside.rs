//! Steps with steps inside them: what these have to do next, and what becomes of the whole.

use serde_json::{Value, json};

use super::{
    doubt_of,
    flow::{Flow, Joined, Open, worse},
    frame::{Doing, Frame},
    trouble_of,
    walk::{Tolerance, Walk},
};
use crate::{
    playbook::{Body, Join, Step},
    run::{RunState, StepRecord, StepState},
};

impl Walk<'_> {
    /// A step whose inner steps are being taken: what they have to do, or how it ends.
    pub(super) fn inside<'p>(&self, step: &'p Step, record: &StepRecord, frame: &Frame<'p>) -> Flow<'p> {
        let close = |closed: StepRecord| Open::task(step, frame, Doing::Close(closed));
        match &step.body {
            Body::Switch { cases, otherwise } => {
                let case = record.plan.get("case").and_then(Value::as_u64).and_then(|at| cases.get(usize::try_from(at).ok()?));
                match self.sequence(case.map_or(otherwise, |case| &case.steps), frame, Tolerance::AsWritten) {
                    Flow::Through => close(self.succeeded(record, record.plan.clone())),
                    Flow::Trouble(inner, _) => close(self.failed(record, &inner, "")),
                    other @ (Flow::Open(_) | Flow::Stopped(..)) => other,
                }
            }
            Body::Foreach { name, max_parallel, steps, .. } => self.each((step, record), frame, (name, *max_parallel, steps)),
            Body::Parallel { branches, join } => self.branches((step, record), frame, (branches, *join)),
            Body::Call { playbook, .. } => self.call((step, record), frame, playbook),
            // Nothing lies inside these; a record that says otherwise is damaged.
            Body::Action { .. } | Body::Stop { .. } | Body::Script(_) | Body::Wait(_) | Body::Approval(_) => {
                close(self.broken(record, "the record of the step does not fit the playbook"))
            }
        }
    }

    fn each<'p>(
        &self,
        (step, record): (&'p Step, &StepRecord),
        frame: &Frame<'p>,
        (name, max_parallel, steps): (&'p String, u32, &'p [Step]),
    ) -> Flow<'p> {
        let items = record.plan.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let (mut open, mut open_items, mut trouble, mut stopped) = (Open::default(), 0_u32, None, None);
        for (at, item) in items.iter().enumerate() {
            let prefix = format!("{}[{at}]/", record.id);
            let has_begun = steps.first().is_some_and(|first| self.records.contains_key(format!("{prefix}{}", first.id).as_str()));
            // One that failed ends the list, but not what has begun.
            if !has_begun && (open_items >= max_parallel || trouble.is_some() || stopped.is_some()) {
                continue;
            }
            let mut inner = Frame { prefix, ..frame.clone() };
            inner.items.push((name, item.clone()));
            match self.sequence(steps, &inner, Tolerance::AsWritten) {
                Flow::Open(more) => {
                    open_items += 1;
                    open.add(more);
                }
                Flow::Through => {}
                Flow::Stopped(state, reason) => stopped = stopped.or(Some((state, reason))),
                Flow::Trouble(inner, _) => trouble = Some(worse(trouble, (inner, format!("item {}: ", at + 1)))),
            }
        }
        self.joined((step, record), frame, Joined { open, trouble, stopped, output: || self.outputs(record, items.len(), steps) })
    }

    /// For every item the outputs of its steps, by their ids.
    fn outputs(&self, record: &StepRecord, items: usize, steps: &[Step]) -> Value {
        let of_item = |at: usize| {
            let found =
                steps.iter().filter_map(|step| Some((step, self.records.get(format!("{}[{at}]/{}", record.id, step.id).as_str())?)));
            Value::Object(found.map(|(step, inner)| (step.id.clone(), inner.output.clone())).collect())
        };
        (0..items).map(of_item).collect()
    }

    fn branches<'p>(
        &self,
        (step, record): (&'p Step, &StepRecord),
        frame: &Frame<'p>,
        (branches, join): (&'p [(String, Vec<Step>)], Join),
    ) -> Flow<'p> {
        let (mut open, mut through, mut failed, mut trouble, mut stopped) = (Open::default(), 0_u32, 0_u32, None, None);
        let mut states = serde_json::Map::new();
        for (name, steps) in branches {
            let state = match self.sequence(steps, frame, Tolerance::AsWritten) {
                Flow::Open(more) => {
                    open.add(more);
                    "given_up"
                }
                Flow::Through => {
                    through += 1;
                    "succeeded"
                }
                Flow::Stopped(state, reason) => {
                    stopped = stopped.or(Some((state, reason)));
                    "stopped"
                }
                Flow::Trouble(inner, _) => {
                    failed += 1;
                    trouble = Some(worse(trouble, (inner, format!("branch `{name}`: "))));
                    "failed"
                }
            };
            states.insert(name.clone(), json!(state));
        }
        let all = u32::try_from(branches.len()).unwrap_or(u32::MAX);
        let wanted = match join {
            Join::All => all,
            Join::AtLeast(number) => number.min(all),
        };
        let is_doubtful = trouble.as_ref().is_some_and(|(inner, _)| inner.state == StepState::Indeterminate);
        if through >= wanted {
            open = open.drained().unwrap_or_default();
            trouble = trouble.filter(|_| is_doubtful);
        } else if all - failed >= wanted && !is_doubtful {
            trouble = None;
        }
        self.joined((step, record), frame, Joined { open, trouble, stopped, output: || Value::Object(states) })
    }

    fn joined<'p>(&self, (step, record): (&'p Step, &StepRecord), frame: &Frame<'p>, it: Joined<'p, impl FnOnce() -> Value>) -> Flow<'p> {
        let Joined { open, trouble, stopped, output } = it;
        let open = if stopped.is_some() { open.drained() } else { Some(open).filter(|open| !open.tasks.is_empty() || open.wait.is_some()) };
        let stopped = stopped.filter(|_| trouble.as_ref().is_none_or(|(inner, _)| inner.state != StepState::Indeterminate));
        match (open, stopped, trouble) {
            (Some(open), _, _) => Flow::Open(open),
            (None, Some((state, reason)), _) => Flow::Stopped(state, reason),
            (None, None, Some((inner, whose))) => Open::task(step, frame, Doing::Close(self.failed(record, &inner, &whose))),
            (None, None, None) => Open::task(step, frame, Doing::Close(self.succeeded(record, output()))),
        }
    }

    fn call<'p>(&self, (step, record): (&'p Step, &StepRecord), frame: &Frame<'p>, name: &str) -> Flow<'p> {
        let close = |closed: StepRecord| Open::task(step, frame, Doing::Close(closed));
        let Some(called) = frame.playbook.called(name) else {
            return close(self.broken(record, &format!("the playbook `{name}` is not there any more")));
        };
        match self.playbook(&frame.called(called, record), record.started_at) {
            Ok(open) => Flow::Open(open),
            Err((RunState::Done | RunState::NoAction, reason)) => {
                let state = StepRecord { error: Some(reason).filter(|it| !it.is_empty()), ..record.clone() };
                Open::task(step, frame, Doing::Return(state))
            }
            Err((RunState::Indeterminate, reason)) => close(self.ended(record, StepState::Indeterminate, Value::Null, Some(reason))),
            Err((_, reason)) => close(self.broken(record, &format!("the playbook `{name}`: {reason}"))),
        }
    }

    fn succeeded(&self, record: &StepRecord, output: Value) -> StepRecord {
        self.ended(record, StepState::Succeeded, output, None)
    }

    fn failed(&self, record: &StepRecord, inner: &StepRecord, whose: &str) -> StepRecord {
        let state = doubt_of(inner);
        self.ended(record, state, Value::Null, Some(format!("{whose}{}", trouble_of(inner))))
    }

    fn broken(&self, record: &StepRecord, why: &str) -> StepRecord {
        self.ended(record, StepState::Failed, Value::Null, Some(why.to_owned()))
    }

    fn ended(&self, record: &StepRecord, state: StepState, output: Value, error: Option<String>) -> StepRecord {
        StepRecord { state, output, error, due_at: None, ended_at: Some(self.now), ..record.clone() }
    }
}
