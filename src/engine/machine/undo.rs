//! What was done is undone: because a step that fails asks for it, or because somebody asks for it after the run has ended.

use jiff::Timestamp;

use super::{
    flow::{Flow, Open},
    frame::Frame,
    later, trouble_of,
    walk::{Course, Tolerance, Walk, own_id},
};
use crate::{
    duration::Span,
    playbook::{OnError, Rollback, Step},
    run::{Ending, RunState, StepRecord, StepState},
};

/// A step that did something is undone by itself where its author says so, and only what it did itself.
pub fn set_return(step: &Step, record: &mut StepRecord) {
    let after = step.rollback.as_ref().and_then(|rollback| rollback.after).filter(|_| record.has_acted());
    record.returns_at = after.and_then(|after| Some(later(record.ended_at?, Span(after).signed())));
}

/// Until when what a step did can be undone.
pub fn until(rollback: &Rollback, record: &StepRecord, now: Timestamp) -> Timestamp {
    later(record.ended_at.unwrap_or(now), Span(rollback.expires).signed())
}

/// What became of the steps that are to be undone.
#[derive(Default)]
struct Undone {
    names: Vec<String>,
    not: Vec<String>,
    doubtful: Option<String>,
}

impl Walk<'_> {
    /// Whether a step that failed, or one inside it that did, asks that earlier ones are undone. What is in doubt undoes nothing.
    pub(super) fn asks_to_undo(&self, frame: &Frame<'_>, record: &StepRecord, step: &Step) -> bool {
        let asks = |step: &Step| matches!(step.on_error, OnError::Rollback);
        let has_failed = |id: &str| {
            let failed = self.steps.iter().filter(|record| record.state == StepState::Failed);
            failed.filter_map(|record| own_id(&frame.base, &record.id)).any(|failed| failed == id)
        };
        record.state == StepState::Failed && step.and_inner().into_iter().any(|step| asks(step) && has_failed(&step.id))
    }

    /// What earlier steps did is undone, the last first, each whatever became of the others. What was so already is not theirs to undo, and
    /// what a person said stays, stays.
    pub(super) fn undo<'p>(&self, frame: &Frame<'p>) -> Option<Open<'p>> {
        for record in self.steps.iter().rev().filter(|record| record.has_acted() && record.kept().is_none()) {
            let Some((rollback, frame)) = self.undoing(frame, record) else { continue };
            let has_begun = self.records.contains_key(frame.path(&rollback.step).as_str());
            // What was begun in time is seen to its end.
            if !has_begun && self.now > until(rollback, record, self.now) {
                continue;
            }
            if let Flow::Open(open) = self.sequence(std::slice::from_ref(&*rollback.step), &frame, Tolerance::All) {
                return Some(open);
            }
        }
        None
    }

    /// A run that had ended and was taken up again: what somebody decided about is undone, the last first, each whatever became of the
    /// others, and nothing else of it goes on. Then it has ended as before, unless something could not be undone.
    pub(super) fn taken_up<'p>(&self, frame: &Frame<'p>, ended: &Ending, is_cancelled: bool) -> Course<'p> {
        let mut undone = Undone::default();
        for record in self.steps.iter().rev().filter(|record| record.undo_round().is_some()) {
            let Some((rollback, frame)) = self.undoing(frame, record) else {
                undone.not.push(format!("step `{}` is not undone: the playbook does not say how", record.id));
                continue;
            };
            let path = frame.path(&rollback.step);
            let until = until(rollback, record, self.now);
            let refused = match self.records.contains_key(path.as_str()) {
                true => None,
                false if is_cancelled => Some("that was cancelled".to_owned()),
                false => (self.now > until).then(|| format!("that was possible until {until}")),
            };
            if let Some(why) = refused {
                undone.not.push(format!("step `{}` is not undone: {why}", record.id));
                continue;
            }
            match self.sequence(std::slice::from_ref(&*rollback.step), &frame, Tolerance::All) {
                Flow::Open(open) if !is_cancelled => return Ok(open),
                Flow::Open(open) => match open.drained() {
                    Some(open) => return Ok(open),
                    None => undone.not.push(format!("step `{}` is not undone: that was cancelled", record.id)),
                },
                Flow::Through | Flow::Stopped(..) | Flow::Trouble(..) => undone.note(record, self.records.get(path.as_str()).copied()),
            }
        }
        Err(undone.ending(ended))
    }

    /// How a recorded step is undone, and where the step that does it stands.
    fn undoing<'p>(&self, frame: &Frame<'p>, record: &StepRecord) -> Option<(&'p Rollback, Frame<'p>)> {
        let frame = self.frame_of(frame, &record.id)?;
        let written = own_id(&frame.base, &record.id).and_then(|id| frame.playbook.step(id))?;
        Some((written.rollback.as_ref()?, Frame { undoes: Some(Box::new(record.clone())), ..frame }))
    }
}

impl Undone {
    fn note(&mut self, record: &StepRecord, undoing: Option<&StepRecord>) {
        match undoing {
            Some(undoing) if undoing.state == StepState::Succeeded => self.names.push(record.id.clone()),
            Some(undoing) if undoing.state == StepState::Indeterminate => self.doubtful = Some(trouble_of(undoing)),
            Some(undoing) => self.not.push(trouble_of(undoing)),
            None => {}
        }
    }

    fn ending(self, ended: &Ending) -> (RunState, String) {
        let joined = |more: String| if ended.reason.is_empty() { more } else { format!("{}; {more}", ended.reason) };
        match (self.doubtful, self.not.is_empty()) {
            (Some(doubtful), _) => (RunState::Indeterminate, doubtful),
            (None, false) => (RunState::Failed, joined(self.not.join("; "))),
            (None, true) => (ended.state, joined(format!("rolled back: {}", self.names.join(", ")))),
        }
    }
}
