//! One run, played: what the driver does, with known answers in place of calls.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answer, Approvals, Call, Fate, Foreseen, Outlook, Subject, Tally, Unclear, needs::Unknown};
use crate::{
    actions::{self, Done, Entry, Failure},
    approval::{ApprovalState, Decided},
    engine::{
        consent,
        guardrails::{self, Case, HeldBack},
        machine::{self, Doing, Frame, Moment, Next, Task},
        plan::{self, Sight},
    },
    playbook::{Body, Step},
    run::{Class, Mode, RunState, StepRecord, StepState},
};

/// More than any playbook needs; a run that asks for more goes round in circles.
const MOST_ROUNDS: usize = 10_000;

struct Play<'a> {
    subject: Subject<'a>,
    outlook: Outlook<'a>,
    tally: &'a mut Tally,
    now: Timestamp,
    unknown: Unknown,
    foreseen: Foreseen,
}

pub(super) fn play(subject: Subject<'_>, outlook: Outlook<'_>, tally: &mut Tally) -> Foreseen {
    let foreseen = Foreseen { run: subject.run.clone(), steps: Vec::new(), calls: Vec::new(), questions: Vec::new(), unclear: Vec::new() };
    let now = subject.run.created_at;
    let mut play = Play { subject, outlook, tally, now, unknown: Unknown::default(), foreseen };
    let (state, reason) = play.finish();
    play.foreseen.run.state = state;
    play.foreseen.run.reason = reason;
    play.foreseen.run.ended_at = Some(play.now);
    play.foreseen
}

impl Play<'_> {
    fn finish(&mut self) -> (RunState, String) {
        for _ in 0..MOST_ROUNDS {
            match machine::next(self.subject.playbook, &self.foreseen.run, &self.foreseen.steps, self.now) {
                Next::Work(tasks, _) => tasks.into_iter().for_each(|task| self.take(task)),
                Next::Wait(until) => self.now = self.now.max(until),
                Next::End(state, reason) => return (state, reason),
            }
        }
        (RunState::Failed, format!("after {MOST_ROUNDS} rounds there is still something to do"))
    }

    fn take(&mut self, task: Task<'_>) {
        let Task { step, frame, doing } = task;
        match doing {
            Doing::Plan => self.plan(step, &frame),
            Doing::Attempt(record) => self.attempt(step, &frame, record),
            Doing::Close(record) => {
                if self.unknown.is_inside(&record.id) {
                    self.unknown.insert(&record.id);
                }
                self.commit(step, &frame, record);
            }
            Doing::Return(record) => self.give_back(step, &frame, record),
            // Every answer here is final, so nothing is ever in doubt.
            Doing::Interrupted(mut record) | Doing::Look(mut record) => {
                machine::refuse(&mut record, "its outcome cannot be foreseen", self.now);
                self.commit(step, &frame, record);
            }
        }
    }

    fn plan(&mut self, step: &Step, frame: &Frame<'_>) {
        let record = plan::plan(step, frame, self.sight(), self.now);
        // Where its condition is plainly false, it does not matter what the rest reads.
        let is_out = record.state == StepState::Skipped && step.condition.is_some();
        let needs = self.unknown.of_condition(step, frame);
        match needs.or_else(|| if is_out { None } else { self.unknown.of_body(step, frame) }) {
            Some(needs) => self.pass_over(step, record, needs),
            None if record.state == StepState::Waiting && matches!(step.body, Body::Approval(_)) => self.ask(record),
            None if record.state == StepState::Planned => self.put(record),
            None => self.commit(step, frame, record),
        }
    }

    /// A step that cannot be foreseen is gone past, as if it were not there; people are taken to be asked.
    fn pass_over(&mut self, step: &Step, record: StepRecord, needs: String) {
        self.unknown.insert(&record.id);
        let error = Some(format!("depends on the answer of `{needs}`"));
        self.foreseen.unclear.push(Unclear { step: record.id.clone(), needs });
        let record = StepRecord { error: None, due_at: None, plan: Value::Null, ..record };
        if matches!(step.body, Body::Approval(_)) {
            return self.ask(StepRecord { state: StepState::Waiting, ended_at: None, ..record });
        }
        self.put(StepRecord { state: StepState::Skipped, output: Value::Null, error, ended_at: Some(self.now), ..record });
    }

    fn ask(&mut self, mut record: StepRecord) {
        let decision = match self.outlook.approvals {
            Approvals::Approve => ApprovalState::Approved,
            Approvals::Reject => ApprovalState::Rejected,
        };
        record.output = Decided::by_nobody(decision, "assumed").output();
        self.foreseen.questions.push((record.id.clone(), record.plan.clone()));
        self.put(record);
    }

    fn attempt(&mut self, step: &Step, frame: &Frame<'_>, mut record: StepRecord) {
        let (entry, class) = match prepared(step, &record) {
            Ok(prepared) => prepared,
            Err(why) => return self.refuse(step, frame, (record, &why)),
        };
        record.class = class;
        if class == Class::Read {
            self.note(entry, &record, Fate::Made);
            return self.answer(step, frame, record);
        }
        let held = self.held(entry, step, frame, &record);
        let held = held.and_then(|held| self.ask_site(entry, frame, &record, held));
        if self.foreseen.run.mode == Mode::Shadow {
            self.note(entry, &record, Fate::Shadowed(held));
            record.state = StepState::Shadowed;
            record.ended_at = Some(self.now);
            return self.commit(step, frame, record);
        }
        if let Some(held) = held {
            let why = format!("held back by a guardrail: {}", held.detail);
            self.note(entry, &record, Fate::Held(held));
            return self.refuse(step, frame, (record, &why));
        }
        self.note(entry, &record, Fate::Made);
        record.first_intent_at = record.first_intent_at.or(Some(self.now));
        record.precondition.get_or_insert_default();
        self.answer(step, frame, record);
    }

    /// The guardrail that holds a step back; what is not held back is counted, unless the playbook is in shadow mode.
    fn held(&mut self, entry: &Entry, step: &Step, frame: &Frame<'_>, record: &StepRecord) -> Option<HeldBack> {
        match consent::asked(step, frame, &self.foreseen.steps) {
            Ok(askers) => self.judged(entry, frame, record, (!askers.is_empty()).then_some(self.now)),
            Err(detail) => Some(HeldBack { rule: "approval", detail, asks: false }),
        }
    }

    fn judged(&mut self, entry: &Entry, frame: &Frame<'_>, record: &StepRecord, approved_at: Option<Timestamp>) -> Option<HeldBack> {
        let detected_at = self.subject.alert.map_or(self.subject.run.created_at, |alert| alert.detected_at);
        let playbooks: Vec<_> = frame.playbooks().collect();
        let case = Case { playbooks: &playbooks, detected_at, approved_at, site_approved: false };
        if entry.destructive
            && let Some(hold) = self.outlook.holds.iter().find(|hold| hold.binds(&record.plan, approved_at, self.now))
        {
            return Some(guardrails::on_hold(hold));
        }
        match self.outlook.guardrails.judge(entry, &record.plan, case, self.now) {
            Err(held) => Some(held),
            Ok(_) if self.foreseen.run.mode == Mode::Shadow => None,
            Ok(guards) => self.tally.reserve(&guards, entry.name, &record.within, self.now).map(guardrails::exceeded),
        }
    }

    /// Where the site asks about what a guardrail holds back, people are taken to answer.
    fn ask_site(&mut self, entry: &Entry, frame: &Frame<'_>, record: &StepRecord, held: HeldBack) -> Option<HeldBack> {
        let site = self.outlook.site;
        if !held.asks || !site.asks() || self.foreseen.run.mode == Mode::Shadow {
            return Some(held);
        }
        let question = json!({
            "title": format!("may `{}` do `{}`?", record.id, record.action), "why": held.detail, "for_steps": [record.id],
            "groups": site.groups, "quorum": site.quorum, "channels": site.channels,
        });
        self.foreseen.questions.push((record.id.clone(), question));
        match self.outlook.approvals {
            Approvals::Approve => self.judged(entry, frame, record, Some(self.now)),
            Approvals::Reject => Some(HeldBack { detail: format!("{}; people are asked, and taken to say no", held.detail), ..held }),
        }
    }

    fn answer(&mut self, step: &Step, frame: &Frame<'_>, mut record: StepRecord) {
        record.attempts += 1;
        let result = match self.outlook.answers.answer(&record) {
            Answer::Output(output) => Ok(Done::Now(output)),
            Answer::Failed(why) => Err(Failure::rejected(why)),
            Answer::Unknown => {
                self.unknown.insert(&record.id);
                Ok(Done::Now(Value::Null))
            }
        };
        machine::after_attempt(&mut record, &step.retry, result, Moment { now: self.now, jitter: 0.0 });
        self.commit(step, frame, record);
    }

    fn give_back(&mut self, step: &Step, frame: &Frame<'_>, record: StepRecord) {
        let called = if let Body::Call { playbook, .. } = &step.body { frame.playbook.called(playbook) } else { None };
        let output = called.and_then(|called| called.output.as_ref());
        let needs = output.and_then(|output| self.unknown.of_output(output, &format!("{}/", record.id)));
        let mut record = plan::give_back(step, frame, record, self.sight(), self.now);
        if needs.is_some() {
            self.unknown.insert(&record.id);
            record = StepRecord { state: StepState::Succeeded, output: Value::Null, error: None, ..record };
        }
        self.commit(step, frame, record);
    }

    fn refuse(&mut self, step: &Step, frame: &Frame<'_>, (mut record, why): (StepRecord, &str)) {
        machine::refuse(&mut record, why, self.now);
        self.commit(step, frame, record);
    }

    fn note(&mut self, entry: &Entry, record: &StepRecord, fate: Fate) {
        let (step, with) = (record.id.clone(), record.plan.clone());
        self.foreseen.calls.push(Call { step, action: entry.name, class: record.class, destructive: entry.destructive, with, fate });
    }

    fn commit(&mut self, step: &Step, frame: &Frame<'_>, mut record: StepRecord) {
        plan::fall_back(step, frame, &mut record, self.sight(), self.now);
        self.put(record);
    }

    fn put(&mut self, record: StepRecord) {
        match self.foreseen.steps.iter_mut().find(|step| step.id == record.id) {
            Some(step) => *step = record,
            None => self.foreseen.steps.push(record),
        }
    }

    fn sight(&self) -> Sight<'_> {
        Sight { alert: self.subject.seen, alerts: self.subject.alerts, run: &self.foreseen.run, steps: &self.foreseen.steps }
    }
}

/// The action of a step and its class, as the driver finds them.
fn prepared(step: &Step, record: &StepRecord) -> Result<(&'static Entry, Class), String> {
    let entry = actions::find(&record.action).ok_or_else(|| format!("there is no action `{}`", record.action))?;
    let action = entry.prepare(record.plan.clone()).map_err(|error| format!("`with` of `{}`: {error}", record.action))?;
    Ok((entry, step.class(action.class())))
}
