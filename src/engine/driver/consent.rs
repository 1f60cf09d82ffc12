//! What people must have said before a step is taken: looked up in the journal, and asked for where it is missing.

use jiff::Timestamp;
use serde_json::Value;

use super::{Driven, Driver, LetGo, Noted, Spot};
use crate::{
    actions::{Entry, Perform, Rendered},
    approval::{Approval, ApprovalId, ApprovalState, Choice, Escalated, OnTimeout, Planned, Question},
    duration::Span,
    engine::{
        consent::{self, Standing},
        guardrails::HeldBack,
        machine, plan,
    },
    playbook::Body,
    run::{Mode, StepRecord, StepState},
    store::waits_for,
};

/// The word of people, as far as a step needs it.
pub(super) struct Consent {
    /// The step as people see it.
    pub(super) planned: Planned,
    /// The steps that asked for it.
    pub(super) askers: Vec<String>,
    /// When people agreed to it, if anybody was asked.
    pub(super) approved_at: Option<Timestamp>,
}

/// Why a step is not taken now.
pub(super) enum Unready {
    /// People are asked, or are being asked: it waits for them.
    Ask(Box<Approval>),
    Waits(ApprovalId, Timestamp),
    /// They did not agree.
    Refused(Box<Approval>),
    /// It cannot be asked for.
    Held(HeldBack),
}

impl Driver {
    /// The word of people that a step needs, or why it is not taken now.
    pub(super) async fn consent(
        &self,
        it: &Driven,
        spot: Spot<'_>,
        record: &StepRecord,
        action: &dyn Perform,
    ) -> Result<Result<Consent, Unready>, LetGo> {
        let planned = Planned {
            step: record.id.clone(),
            action: record.action.clone(),
            with: record.plan.clone(),
            // What it is before anybody has looked: that is what people saw.
            target: self.target(action, it.context(record, &Value::Null, &self.services)),
            unknown: None,
        };
        let asked = consent::asked(spot.step, spot.frame, &it.recorded.lock().await.steps);
        let mut askers = match asked {
            Ok(askers) => askers,
            Err(detail) => return Ok(Err(Unready::Held(HeldBack { rule: "approval", detail, asks: false }))),
        };
        // The site asks in the name of the step itself, and leaves its mark there.
        if record.output.get("approval").is_some() {
            askers.push(record.id.clone());
        }
        let mut approved_at = None;
        let mut given = Vec::new();
        for asker in askers {
            match self.standing(it, &asker, (&planned, record)).await? {
                Standing::Given(at) => {
                    approved_at = approved_at.max(Some(at));
                    given.push(asker);
                }
                // It waited for the answer to another question.
                Standing::Ask(1) if asker == record.id => {}
                Standing::Waits(id, until) => return Ok(Err(Unready::Waits(id, until))),
                Standing::Refused(approval) => {
                    // That the time was over is counted where it was noted.
                    if approval.state == ApprovalState::Rejected {
                        self.signals.approval_closed(approval.state);
                    }
                    return Ok(Err(Unready::Refused(approval)));
                }
                Standing::Ask(round) => return self.ask_again(it, spot, (&asker, round, &planned)).await.map(Err),
                Standing::Over(_) | Standing::Restless => {
                    let detail = format!("people were asked {} times, and the plan changed each time", consent::MOST_ROUNDS);
                    return Ok(Err(Unready::Held(HeldBack { rule: "approval", detail, asks: false })));
                }
            }
        }
        if record.state == StepState::Waiting && approved_at.is_some() {
            self.signals.approval_closed(ApprovalState::Approved);
        }
        Ok(Ok(Consent { planned, askers: given, approved_at }))
    }

    async fn standing(&self, it: &Driven, asker: &str, (planned, record): (&Planned, &StepRecord)) -> Result<Standing, LetGo> {
        let has_begun = record.first_intent_at.is_some();
        let mut rounds = self.store.rounds(&it.begun.id, asker).await?;
        let mut standing = consent::standing(&rounds, planned, has_begun, self.now());
        if let Standing::Over(id) = &standing {
            let closed = self.store.expire(id).await?;
            if let (Some(last), Some(closed)) = (rounds.last_mut(), closed) {
                self.signals.approval_closed(closed.state);
                *last = closed;
            }
            standing = consent::standing(&rounds, planned, has_begun, self.now());
        }
        if let Standing::Refused(refused) = &standing {
            // The rounds are read without the votes.
            let whole = self.store.approval(&refused.id).await?;
            standing = Standing::Refused(whole.map_or_else(|| refused.clone(), Box::new));
        }
        Ok(standing)
    }

    /// An `approval` step begins: people are asked, unless the run only records what it would do.
    pub(super) async fn open(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord) -> Result<(), LetGo> {
        if it.begun.mode == Mode::Shadow {
            plan::assume(&mut record, self.now());
            return self.commit(it, spot, record, None).await;
        }
        let plan = self.plan_of(it, spot).await;
        let ask = self.question(it, spot, (&record.id, 1, plan), (record.plan.clone(), String::new())).await?;
        self.signals.approval_opened(&it.begun.id, &it.begun.playbook, &record.id);
        self.note(it, spot, record, Noted { ask: Some(Box::new(ask)), ..Noted::default() }).await
    }

    /// The same question with the plan as it is now, and why.
    async fn ask_again(&self, it: &Driven, spot: Spot<'_>, (asker, round, planned): (&str, u32, &Planned)) -> Result<Unready, LetGo> {
        let (around, id) = asker.split_at(asker.rfind('/').map_or(0, |at| at + 1));
        let Some(step) = spot.frame.playbook.step(id).filter(|step| matches!(step.body, Body::Approval(_))) else {
            // Only the site asks in the name of another step, and what it asked about does not change.
            let detail = format!("what `{}` would do is not what people agreed to", planned.step);
            return Ok(Unready::Held(HeldBack { rule: "approval", detail, asks: false }));
        };
        let inside = around.strip_prefix(&spot.frame.base).unwrap_or(around);
        let items = spot.frame.items.iter().take(inside.matches(']').count()).cloned().collect();
        let frame = machine::Frame { prefix: around.to_owned(), items, ..spot.frame.clone() };
        let asking = Spot { step, frame: &frame };
        let question = it.recorded.lock().await.steps.iter().find(|record| record.id == asker).map(|record| record.plan.clone());
        let mut plan = self.plan_of(it, asking).await;
        // What the step does now is known, whatever the others will do.
        match plan.iter_mut().find(|other| other.step == planned.step) {
            Some(own) => own.clone_from(planned),
            None => plan.push(planned.clone()),
        }
        let why = format!("what `{}` would do is not what was agreed to", planned.step);
        let approval = self.question(it, asking, (asker, round, plan), (question.unwrap_or_default(), why)).await?;
        Ok(Unready::Ask(Box::new(approval)))
    }

    /// The site asks about a step that a guardrail holds back; nothing if it asks nobody.
    pub(super) async fn ask_for_site(
        &self,
        it: &Driven,
        record: &StepRecord,
        (planned, held): (Planned, &HeldBack),
    ) -> Result<Option<Approval>, LetGo> {
        let site = &self.approvals;
        let has_begun = record.uncertain || record.first_intent_at.is_some();
        if !site.asks() || !held.asks || has_begun {
            return Ok(None);
        }
        let round = self.store.rounds(&it.begun.id, &record.id).await?.last().map_or(1, |last| last.round + 1);
        if round > consent::MOST_ROUNDS {
            return Ok(None);
        }
        let question = Question {
            playbook: it.begun.playbook.clone(),
            title: format!("{}: may `{}` do `{}`?", it.begun.playbook, record.id, record.action),
            why: held.detail.clone(),
            rule: Some(held.rule.to_owned()),
            plan: vec![planned],
            groups: site.groups.clone(),
            escalate: Vec::new(),
            quorum: site.quorum,
            channels: site.channels.clone(),
            requesters: self.requesters(it).await?,
            on_timeout: OnTimeout::Reject,
        };
        let expires_at = machine::later(self.now(), site.timeout.signed());
        Ok(Some(Approval::opened(&it.begun.id, (&record.id, round), question, (self.now(), expires_at))))
    }

    /// Records why a step is not taken now.
    pub(super) async fn wait_for_people(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord, unready: Unready) -> Result<(), LetGo> {
        match unready {
            Unready::Ask(ask) => {
                self.signals.approval_opened(&it.begun.id, &it.begun.playbook, &record.id);
                machine::wait_for_people(&mut record, waits_for(&ask.id), ask.expires_at);
                self.note(it, spot, record, Noted { ask: Some(ask), ..Noted::default() }).await
            }
            Unready::Waits(id, until) => {
                machine::wait_for_people(&mut record, waits_for(&id), until);
                self.commit(it, spot, record, None).await
            }
            Unready::Refused(approval) => {
                let why = match approval.state {
                    ApprovalState::Expired => format!("expired: {}", approval.outcome),
                    ApprovalState::Open | ApprovalState::Approved | ApprovalState::Rejected | ApprovalState::Void => {
                        format!("rejected by {}: {}", approval.voters(Choice::Reject).join(", "), approval.outcome)
                    }
                };
                machine::disagree(&mut record, &approval.output(), &why, self.now());
                self.commit(it, spot, record, None).await
            }
            Unready::Held(held) => self.hold(it, spot, record, held).await,
        }
    }

    async fn plan_of(&self, it: &Driven, spot: Spot<'_>) -> Vec<Planned> {
        let recorded = it.recorded.lock().await;
        let target = |entry: &'static Entry, path: &str, with: &Value| {
            let action = self.stage.prepare(entry, path, Rendered::without_secrets(with.clone())).ok()?;
            let record = StepRecord { id: path.to_owned(), ..plan::blank(spot.step, spot.frame, it.sight(&recorded), self.now()) };
            self.target(&*action, it.context(&record, &Value::Null, &self.services))
        };
        consent::plan_of(spot.step, spot.frame, it.sight(&recorded), self.now(), &target)
    }

    async fn question(
        &self,
        it: &Driven,
        spot: Spot<'_>,
        (asker, round, plan): (&str, u32, Vec<Planned>),
        (rendered, why): (Value, String),
    ) -> Result<Approval, LetGo> {
        let now = self.now();
        let Body::Approval(approval) = &spot.step.body else { return Err(LetGo::ForNow) };
        let escalate =
            approval.escalate.iter().map(|it| Escalated { at: machine::later(now, Span(it.after).signed()), groups: it.groups.clone() });
        let question = Question {
            playbook: it.begun.playbook.clone(),
            title: rendered.get("title").and_then(Value::as_str).unwrap_or(asker).to_owned(),
            why,
            rule: None,
            plan,
            groups: approval.groups.clone(),
            escalate: escalate.collect(),
            quorum: approval.quorum,
            channels: rendered.get("channels").cloned().and_then(|it| serde_json::from_value(it).ok()).unwrap_or_default(),
            requesters: self.requesters(it).await?,
            on_timeout: approval.on_timeout,
        };
        Ok(Approval::opened(&it.begun.id, (asker, round), question, (now, machine::later(now, Span(approval.timeout).signed()))))
    }

    /// Who began the run, and who wrote its alerts by hand.
    async fn requesters(&self, it: &Driven) -> Result<Vec<String>, LetGo> {
        let mut requesters = self.store.requesters(&it.begun.id).await?;
        requesters.extend(it.senders.iter().cloned());
        requesters.sort();
        requesters.dedup();
        Ok(requesters)
    }
}
