//! What comes next in a run: a walk over the steps as written, and over what is recorded of them. Pure and total.
//!
//! Steps lie inside steps, so that a record is named by its path: `each[2]/tell` is the step `tell` for the third item of `each`.
//! Nothing is remembered between two walks but the records; a run therefore goes on after a restart from the middle of anything.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    ending_of,
    flow::{Flow, Open},
    frame::{Doing, Frame, Next},
    key_is_stale, later, stopped, trouble_of,
};
use crate::{
    approval::{ApprovalState, Decided, SILENT},
    duration::Span,
    failpoints,
    playbook::{Approval, Body, OnError, Playbook, Step},
    run::{RunRecord, RunState, StepRecord, StepState},
};

/// Which failed steps end a sequence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tolerance {
    /// A failed step ends the sequence unless it says that the run goes on.
    AsWritten,
    /// Every step is tried, whatever became of those before it.
    All,
}

/// What comes next, given what is recorded.
pub fn next<'p>(playbook: &'p Playbook, run: &RunRecord, steps: &[StepRecord], now: Timestamp) -> Next<'p> {
    let walk = Walk { records: records(steps), steps, now, resumed: run.resumed_at };
    let frame = Frame::outermost(playbook);
    let flow = match &run.ended_as {
        Some(ended) => walk.taken_up(&frame, ended, run.cancel),
        None if run.cancel => walk.cancelled(&frame, run.created_at),
        None => walk.playbook(&frame, run.created_at),
    };
    match flow {
        Ok(open) if !open.tasks.is_empty() => Next::Work(open.tasks, open.wait),
        Ok(open) => Next::Wait(open.wait.unwrap_or(now)),
        Err((state, reason)) => Next::End(state, reason),
    }
}

/// The step in trouble and what went wrong, for `on_error`: the first among the outermost steps of a playbook that was not let pass.
pub fn trouble<'a>(frame: &Frame<'_>, steps: &'a [StepRecord]) -> Option<&'a StepRecord> {
    frame.playbook.steps.iter().find_map(|step| {
        let record = steps.iter().find(|record| record.id.strip_prefix(&frame.base) == Some(&step.id))?;
        let is_trouble = record.state == StepState::Indeterminate || record.state == StepState::Failed && !goes_on(step);
        is_trouble.then_some(record)
    })
}

/// A recorded step as written, and the playbook that it is written in; nothing for a step that undoes another.
pub fn find<'p>(playbook: &'p Playbook, steps: &[StepRecord], path: &str) -> Option<(&'p Step, Frame<'p>)> {
    let walk = Walk { records: records(steps), steps, now: Timestamp::UNIX_EPOCH, resumed: None };
    let frame = walk.frame_of(&Frame::outermost(playbook), path)?;
    let step = own_id(&frame.base, path).and_then(|id| frame.playbook.step(id))?;
    Some((step, frame))
}

fn records(steps: &[StepRecord]) -> HashMap<&str, &StepRecord> {
    steps.iter().map(|record| (record.id.as_str(), record)).collect()
}

fn goes_on(step: &Step) -> bool {
    matches!(step.on_error, OnError::Continue | OnError::Instead(_))
}

pub(super) struct Walk<'r> {
    pub(super) records: HashMap<&'r str, &'r StepRecord>,
    pub(super) steps: &'r [StepRecord],
    pub(super) now: Timestamp,
    /// When a person let the run go on.
    resumed: Option<Timestamp>,
}

/// What a playbook has to do next, or how it ended.
pub(super) type Course<'p> = Result<Open<'p>, (RunState, String)>;

impl Walk<'_> {
    /// A playbook as a whole: its steps, and what follows when they get into trouble.
    pub(super) fn playbook<'p>(&self, frame: &Frame<'p>, begun: Timestamp) -> Course<'p> {
        let playbook = frame.playbook;
        let begun = self.resumed.map_or(begun, |resumed| begun.max(resumed));
        let is_overdue = self.now.duration_since(begun) >= Span(playbook.timeout).signed();
        let (state, reason, undo) = match self.sequence(&playbook.steps, frame, Tolerance::AsWritten) {
            Flow::Through => return Err(self.ending(frame, RunState::Done, String::new())),
            Flow::Stopped(state, reason) => return Err(self.ending(frame, state, reason)),
            Flow::Trouble(record, step) => (ending_of(&record), trouble_of(&record), self.asks_to_undo(frame, &record, step)),
            Flow::Open(open) if !is_overdue => return Ok(open.until(later(begun, Span(playbook.timeout).signed()))),
            Flow::Open(open) => match open.drained() {
                Some(open) => return Ok(open),
                None => (RunState::Failed, format!("the run did not end within {:?}", playbook.timeout), false),
            },
        };
        if undo && let Some(open) = self.undo(frame) {
            return Ok(open);
        }
        if let Flow::Open(open) = self.sequence(&playbook.on_error, frame, Tolerance::All) {
            return Ok(open);
        }
        Err(self.ending(frame, state, reason))
    }

    /// How a playbook ends: as it says, unless one of its steps is in doubt. Whatever else is known, a person must look at that.
    fn ending(&self, frame: &Frame<'_>, state: RunState, reason: String) -> (RunState, String) {
        let inside = |record: &&StepRecord| record.id.starts_with(&frame.base);
        match self.steps.iter().filter(inside).find(|record| record.state == StepState::Indeterminate) {
            Some(doubtful) if !failpoints::mistake("doubt_is_forgotten") => (RunState::Indeterminate, trouble_of(doubtful)),
            Some(_) | None => (state, reason),
        }
    }

    /// Nothing new begins; what may be under way is seen to its end, also where something is being undone or people are being told.
    fn cancelled<'p>(&self, frame: &Frame<'p>, begun: Timestamp) -> Course<'p> {
        let open = self.playbook(frame, begun)?.drained();
        open.ok_or_else(|| self.ending(frame, RunState::Cancelled, "it was cancelled".to_owned()))
    }

    /// The outermost frame of the playbook in which a recorded step is written: that of `frame`, or one that it calls.
    pub(super) fn frame_of<'p>(&self, frame: &Frame<'p>, path: &str) -> Option<Frame<'p>> {
        let mut found = Frame { prefix: frame.base.clone(), items: Vec::new(), ..frame.clone() };
        let around = path.strip_prefix(&frame.base)?.rsplit_once('/').map_or("", |(around, _)| around);
        let mut at = frame.base.clone();
        for part in around.split_terminator('/') {
            let call = at.clone() + part;
            at = format!("{call}/");
            if is_item(part) {
                continue;
            }
            let Body::Call { playbook: name, .. } = &found.playbook.step(part)?.body else { return None };
            let record = self.records.get(call.as_str())?;
            found = found.called(found.playbook.called(name)?, record);
        }
        Some(found)
    }

    pub(super) fn sequence<'p>(&self, sequence: &'p [Step], frame: &Frame<'p>, tolerance: Tolerance) -> Flow<'p> {
        for step in sequence {
            let Some(record) = self.records.get(frame.path(step).as_str()).copied() else { return Open::task(step, frame, Doing::Plan) };
            let due = record.due_at.filter(|due| *due > self.now);
            let task = |doing: fn(StepRecord) -> Doing| Open::task(step, frame, doing(record.clone()));
            match (record.state, due) {
                (StepState::Retrying, Some(due)) => return Open::wait(due, record.uncertain),
                (StepState::Verifying | StepState::Confirming, Some(due)) => return Open::wait(due, true),
                // However long it was kept from its next attempt: by a pause, a kill switch, or because the program was down.
                (StepState::Retrying, None) if key_is_stale(record, self.now) => {
                    return Open::look(step, frame, record, StepState::Verifying);
                }
                (StepState::Planned | StepState::Retrying, _) => return task(Doing::Attempt),
                (StepState::Executing, _) => return task(Doing::Interrupted),
                (StepState::Verifying | StepState::Confirming, None) => return task(Doing::Look),
                (StepState::Waiting, Some(due)) if record.output.is_null() || is_action(step) => return Open::wait(due, false),
                // People have answered what it waited for, or their time is over: the attempt finds out.
                (StepState::Waiting, _) if is_action(step) => return task(Doing::Attempt),
                (StepState::Waiting, _) => return Open::task(step, frame, Doing::Close(waited(step, record, self.now))),
                (StepState::Running, _) => return self.inside(step, record, frame),
                (StepState::Succeeded, _) => {
                    if let Some((state, reason)) = after(step, record, frame.playbook) {
                        return Flow::Stopped(state, reason);
                    }
                }
                (StepState::Skipped | StepState::Shadowed, _) => {}
                (StepState::Failed, _) if tolerance == Tolerance::All || goes_on(step) => {}
                (StepState::Failed, _) if let Some((state, reason)) = disagreed(record) => return Flow::Stopped(state, reason),
                (StepState::Indeterminate, _) if tolerance == Tolerance::All => {}
                (StepState::Failed | StepState::Indeterminate, _) => return Flow::Trouble(Box::new(record.clone()), step),
            }
        }
        Flow::Through
    }
}

/// The id of a step that a playbook's own text has, by its path; nothing for a step of a playbook that it calls.
pub(super) fn own_id<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    let inside = path.strip_prefix(base)?;
    let (around, id) = inside.rsplit_once('/').unwrap_or(("", inside));
    around.split_terminator('/').all(is_item).then_some(id)
}

/// Whether a part of a path stands for an item of a list, as `each[2]` does; what else has steps inside it is a call.
fn is_item(part: &str) -> bool {
    part.ends_with(']')
}

/// A step whose time has come: a `wait` is over, an approval was answered or nobody answered it.
fn waited(step: &Step, record: &StepRecord, now: Timestamp) -> StepRecord {
    let mut record = StepRecord { state: StepState::Succeeded, due_at: None, ended_at: Some(now), ..record.clone() };
    if let (Body::Approval(approval), true) = (&step.body, record.output.is_null()) {
        record.output = Decided::by_nobody(approval.on_timeout.decision(), SILENT).output();
    }
    record
}

fn is_action(step: &Step) -> bool {
    matches!(step.body, Body::Action { .. })
}

/// How the run ends when people did not agree to a step that waited for them. What never began has no answer from the outside as its output.
fn disagreed(record: &StepRecord) -> Option<(RunState, String)> {
    let answer = record.output.get("approval").filter(|_| record.first_intent_at.is_none())?;
    Some((without_a_yes(Decided::decision_in(answer)?), trouble_of(record)))
}

/// Whether a step that succeeded ends its playbook.
fn after(step: &Step, record: &StepRecord, playbook: &Playbook) -> Option<(RunState, String)> {
    match &step.body {
        Body::Stop { .. } => Some(stopped(record)),
        Body::Approval(approval) => refused(step, approval, record, playbook),
        Body::Action { .. }
        | Body::Switch { .. }
        | Body::Foreach { .. }
        | Body::Parallel { .. }
        | Body::Script(_)
        | Body::Wait(_)
        | Body::Call { .. } => None,
    }
}

/// Without a "yes" the run ends, unless the author handles that in the conditions of the steps that were asked about.
fn refused(step: &Step, approval: &Approval, record: &StepRecord, playbook: &Playbook) -> Option<(RunState, String)> {
    let decision = Decided::decision_in(&record.output).unwrap_or(ApprovalState::Rejected);
    if decision == ApprovalState::Approved
        || approval.for_steps.iter().all(|id| playbook.step(id).is_some_and(|asked| asked.asks(&step.id)))
    {
        return None;
    }
    let reason = Decided::reason_in(&record.output);
    let separator = if reason.is_empty() { "" } else { ": " };
    Some((without_a_yes(decision), format!("step `{}`: {decision}{separator}{reason}", step.id)))
}

/// How a run ends that was not told "yes".
fn without_a_yes(decision: ApprovalState) -> RunState {
    match decision {
        ApprovalState::Expired => RunState::Expired,
        ApprovalState::Open | ApprovalState::Approved | ApprovalState::Rejected | ApprovalState::Void => RunState::Rejected,
    }
}
