//! One attempt at a step: what must be known and written down before the call, the call itself, and what it came to.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Driven, Driver, LetGo, Noted, Spot,
    consent::{Consent, Unready},
    masked::{Masked, masked},
};
use crate::{
    actions::{self, Context, Done, Entry, Failure, FailureKind, Observed, Perform, Prepared, ReadBack},
    duration::Span,
    engine::{
        KillSwitch, Stopped,
        guardrails::{self, Case, HeldBack},
        machine::{self, Moment},
        plan,
    },
    failpoints,
    playbook::{Arguments, Body, Step, Verify},
    run::{AttemptOutcome, AttemptRecord, Class, Mode, RunId, StepRecord, StepState},
    store::{CallTime, Guard, Held, Intent},
};

/// How often a step looks whether the actions are resumed, or its target is free.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// Whoever changed what people agreed to has recorded it by then.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(1);

impl Driver {
    pub(super) async fn attempt(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord) -> Result<(), LetGo> {
        let now = self.now();
        let (entry, action) = match self.prepare(spot, &record) {
            Ok(prepared) => prepared,
            Err(failure) => return self.fail(it, spot, record, failure.message).await,
        };
        record.class = spot.step.class(action.class());
        if it.begun.mode == Mode::Shadow && !failpoints::mistake("shadow_acts") && record.class != Class::Read {
            record.state = StepState::Shadowed;
            record.ended_at = Some(now);
            return self.commit(it, spot, record, None).await;
        }
        let consent = match self.consent(it, spot, &record, &*action).await? {
            Ok(consent) => consent,
            // To ask again would give back its target, which may be changing at this moment.
            Err(_unready) if record.uncertain => {
                return self
                    .fail(it, spot, record, "what people agreed to cannot be found any more, so it is not sent again".to_owned())
                    .await;
            }
            Err(unready) => return self.wait_for_people(it, spot, record, unready).await,
        };
        if record.class == Class::Read {
            record.attempts += 1;
            return self.perform(it, spot, (record, now, CallTime::UNBOUNDED), &*action).await;
        }
        if let Some(stopped) = self.stopped(entry) {
            return self.wait_for_resumption(it, spot, record, &stopped).await;
        }
        if let Err(held) = self.judge(it, spot, (entry, &record.plan), (&consent, now)) {
            return self.hold_or_ask(it, spot, (record, consent), held).await;
        }
        if record.class != Class::Idempotent && (record.precondition.is_none() || failpoints::mistake("fresh_precondition")) {
            if let Some(by) = self.lock(it, &record, &*action, now).await? {
                return self.wait_for_target(it, spot, record, &by).await;
            }
            failpoints::crash("target_locked");
            match self.within(spot.step, action.observe(&it.context(&record, &Value::Null, &self.services))).await {
                Ok(Observed::Ready(seen)) => record.precondition = Some(seen),
                Ok(Observed::AlreadyDone(output)) => {
                    machine::already_done(&mut record, output, self.now());
                    return self.commit(it, spot, record, None).await;
                }
                Err(failure) => {
                    record.attempts += 1;
                    let attempt = ended(&record, now, Some(&failure), self.now());
                    machine::after_attempt(&mut record, &spot.step.retry, Err(not_done(failure)), self.moment());
                    return self.commit(it, spot, record, Some(attempt)).await;
                }
            }
        }
        if let Some(by) = self.overtaken(it, spot, &record).await? {
            let why = format!("not undone: run {by} has changed the same since, and this run does not overrule it");
            return self.fail(it, spot, record, why).await;
        }
        // An idempotent action does not look before it acts; it tells afterwards what it found.
        record.precondition.get_or_insert_default();
        failpoints::crash("observed");
        self.intend(it, spot, (record, consent, entry), &*action).await
    }

    /// Keeps others from the target before it is looked at; returns the run that has it already.
    async fn lock(&self, it: &Driven, record: &StepRecord, action: &dyn Perform, now: Timestamp) -> Result<Option<String>, LetGo> {
        let Some(target) = self.target(action, it.context(record, &Value::Null, &self.services)) else { return Ok(None) };
        match self.store.lock(it.begun.id.clone(), record.id.clone(), target, now).await? {
            Some(Held::Locked { by }) => Ok(Some(by)),
            Some(Held::Ended) => Err(LetGo::Taken),
            Some(Held::Exceeded(_) | Held::Unapproved | Held::OnHold(_) | Held::Restored | Held::Stopped { .. }) | None => Ok(None),
        }
    }

    /// What another run has done since to what a step would undo is not this run's to undo. Asked where nobody else can be at work on it.
    async fn overtaken(&self, it: &Driven, spot: Spot<'_>, record: &StepRecord) -> Result<Option<RunId>, LetGo> {
        match &spot.frame.undoes {
            Some(undone) if record.first_intent_at.is_none() => Ok(self.store.overtaken_by(&it.begun.id, undone).await?),
            Some(_) | None => Ok(None),
        }
    }

    /// Records the intent, and makes the call if nothing speaks against it.
    async fn intend(
        &self,
        it: &Driven,
        spot: Spot<'_>,
        (mut record, consent, entry): (StepRecord, Consent, &'static Entry),
        action: &dyn Perform,
    ) -> Result<(), LetGo> {
        let intent_at = self.now();
        let seen = record.precondition.clone().unwrap_or_default();
        // Only what was observed tells which plan an Azure subscription stands under.
        record.target = self.target(action, it.context(&record, &seen, &self.services));
        let touched = json!([record.plan, seen, record.target]);
        let guards = match self.judge(it, spot, (entry, &touched), (&consent, intent_at)) {
            Ok(guards) => guards,
            Err(held) => return self.hold_or_ask(it, spot, (record, consent), held).await,
        };
        let (hash, askers) = (consent.planned.hash(), consent.askers.clone());
        let before = record.clone();
        record.attempts += 1;
        record.state = StepState::Executing;
        record.first_intent_at = record.first_intent_at.or(Some(intent_at));
        let attempt =
            AttemptRecord { number: record.attempts, intent_at, outcome: None, http_status: None, message: String::new(), ended_at: None };
        let (held, time) = {
            // Nobody decides what becomes of the run between the last look at what it needs and the intent.
            let mut recorded = it.recorded.lock().await;
            if !recorded.needs(&it.playbook, &record.id, intent_at) {
                drop(recorded);
                return self.give_up(it, spot, before).await;
            }
            // Nothing is begun that may have to be cut short.
            if self.stop.is_requested() {
                return Err(LetGo::ForNow);
            }
            // As late as it can be; the store looks at its own part of the switch in the transaction.
            if let Some(stopped) = self.stopped(entry) {
                drop(recorded);
                return self.wait_for_resumption(it, spot, before, &stopped).await;
            }
            let (run, time) = (it.begun.id.clone(), self.store.call_time());
            let intent = Intent {
                run,
                step: record.clone(),
                attempt,
                guards,
                tells: entry.tells,
                hash,
                askers,
                heed: self.guardrails.heed(entry, record.class, consent.approved_at),
                undoes: spot.frame.undoes.as_ref().map(|undone| undone.id.clone()),
            };
            let held = self.record_intent(it, spot, intent).await?;
            failpoints::crash("intent_written");
            if held.is_none() {
                recorded.put(record.clone());
            }
            (held, time)
        };
        match held {
            None => self.perform(it, spot, (record, intent_at, time), action).await,
            Some(Held::Ended) => Err(LetGo::Taken),
            Some(Held::Exceeded(guard)) => self.hold_or_ask(it, spot, (before, consent), guardrails::exceeded(&guard)).await,
            Some(Held::OnHold(wanted)) => self.hold_or_ask(it, spot, (before, consent), guardrails::on_hold(&wanted)).await,
            Some(Held::Unapproved) => self.look_again(it, spot, before).await,
            Some(Held::Locked { by }) => self.wait_for_target(it, spot, before, &by).await,
            Some(Held::Restored) => self.wait_for_an_answer(it, spot, before).await,
            Some(Held::Stopped { who, reason }) => self.wait_for_resumption(it, spot, before, &Stopped { who, since: None, reason }).await,
        }
    }

    fn stopped(&self, entry: &Entry) -> Option<Stopped> {
        self.kill_switch.as_ref().filter(|_| !entry.tells).and_then(KillSwitch::thrown)
    }

    /// The kill switch is thrown: nothing failed, and nothing goes on. What is seen of the target will not be true any more by then.
    async fn wait_for_resumption(&self, it: &Driven, spot: Spot<'_>, record: StepRecord, stopped: &Stopped) -> Result<(), LetGo> {
        let Stopped { who, reason, .. } = stopped;
        let why = format!("waits: {who} stopped all actions{}{reason}", if reason.is_empty() { "" } else { ": " });
        if record.error.as_deref() != Some(&why) {
            self.signals.guardrail_held(&it.begun.id, &record.id, "stopped", &why);
        }
        self.hold_off(it, spot, record, (&why, LOOK_AGAIN)).await
    }

    /// The journal may not know what was done already, and nobody has answered for that yet.
    async fn wait_for_an_answer(&self, it: &Driven, spot: Spot<'_>, record: StepRecord) -> Result<(), LetGo> {
        const WHY: &str = "waits for `quell run --after-restore`, once: the journal was restored from a backup, and does not know what was \
                           done since; that reads back what was under way, and goes on";
        if record.error.as_deref() != Some(WHY) {
            self.signals.guardrail_held(&it.begun.id, &record.id, "restored", WHY);
        }
        self.hold_off(it, spot, record, (WHY, LOOK_AGAIN)).await
    }

    async fn hold_off(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord, (why, by): (&str, SignedDuration)) -> Result<(), LetGo> {
        machine::hold_off(&mut record, why, machine::later(self.now(), by));
        self.commit(it, spot, record, None).await
    }

    /// While the step was getting ready, the run came to an end or found another way: what was not begun is not begun.
    async fn give_up(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord) -> Result<(), LetGo> {
        record.error = Some("given up: the run does not need it any more".to_owned());
        // It stays as it was, for it has not ended in any way; that it is recorded gives back its target.
        self.commit(it, spot, record, None).await
    }

    /// Another step works on the target. What was seen of it will not be true any more when its turn comes.
    async fn wait_for_target(&self, it: &Driven, spot: Spot<'_>, record: StepRecord, by: &str) -> Result<(), LetGo> {
        let longest = Span(spot.frame.playbook.timeout).signed();
        if *by == it.begun.id.0 && it.recorded.lock().await.is_in_doubt() {
            return self
                .fail(it, spot, record, "another step of this run works on the same target, and nobody knows what it did".to_owned())
                .await;
        }
        if self.now().duration_since(record.started_at) > longest {
            return self.fail(it, spot, record, format!("run {by} works on the same target, and has not ended in time")).await;
        }
        self.hold_off(it, spot, record, (&format!("waits for run {by}, which works on the same target"), LOOK_AGAIN)).await
    }

    /// One call. Its intent is recorded already where the class asks for one.
    async fn perform(
        &self,
        it: &Driven,
        spot: Spot<'_>,
        (mut record, intent_at, time): (StepRecord, Timestamp, CallTime),
        action: &dyn Perform,
    ) -> Result<(), LetGo> {
        if record.class == Class::Read && !self.store.is_alive() {
            return Err(LetGo::Taken);
        }
        let precondition = record.precondition.clone().unwrap_or_default();
        let begun = Instant::now();
        // The process may have stood still since the intent: then the run is somebody else's by now, or will be.
        let result = if time.is_over() {
            Err(Failure::new(FailureKind::NotDone, "not sent: too much time passed while it was recorded that it was about to be"))
        } else {
            let context = it.context(&record, &precondition, &self.services);
            let call = self.within(spot.step, action.perform(&context));
            let late = || Err(Failure::new(FailureKind::Unknown, "no answer within the time that a call has where several nodes work"));
            time.hold(call).await.unwrap_or_else(late)
        };
        failpoints::crash("answered");
        self.signals.attempt_ended(&record.action, begun.elapsed());
        let mut attempt = ended(&record, intent_at, result.as_ref().err(), self.now());
        if matches!(result, Ok(Done::Accepted(_))) {
            attempt.outcome = Some(AttemptOutcome::Accepted);
        }
        if result.is_ok() && record.class != Class::Read {
            self.signals.acted(self.now().duration_since(it.received_at()).unsigned_abs());
        }
        if let (Ok(Done::Now(output)), Class::Read) = (&result, record.class) {
            self.notice(action.shows_at_work(output), intent_at).await?;
        }
        machine::after_attempt(&mut record, &spot.step.retry, result, self.moment());
        self.conclude(it, spot, (record, attempt)).await
    }

    /// Records what became of an attempt. If that fails, it is recorded when it can be.
    async fn conclude(&self, it: &Driven, spot: Spot<'_>, (record, attempt): (StepRecord, AttemptRecord)) -> Result<(), LetGo> {
        let concluded = self.commit(it, spot, record.clone(), Some(attempt.clone())).await;
        if let Err(LetGo::Store(_)) = concluded {
            it.unwritten.keep(record, attempt);
        }
        concluded
    }

    async fn record_intent(&self, it: &Driven, spot: Spot<'_>, intent: Intent) -> Result<Option<Held>, LetGo> {
        if failpoints::mistake("skip_intent") {
            return Ok(None);
        }
        let (record, intent_at) = (intent.step.clone(), intent.attempt.intent_at);
        let intended = self.store.intend(intent).await;
        if intended.is_err() {
            self.keep_unsent(it, spot, (record, intent_at));
        }
        Ok(intended?)
    }

    /// The journal did not confirm an intent, and may have it all the same. Then it is known that nothing was sent.
    fn keep_unsent(&self, it: &Driven, spot: Spot<'_>, (mut record, intent_at): (StepRecord, Timestamp)) {
        let unsent = Failure::new(FailureKind::NotDone, "not sent: it was not certain to be recorded that it was about to be");
        let attempt = ended(&record, intent_at, Some(&unsent), self.now());
        machine::after_attempt(&mut record, &spot.step.retry, Err(unsent), self.moment());
        it.unwritten.keep(record, attempt);
    }

    /// A look showed targets at work. If we had stopped one, a person has started it again.
    async fn notice(&self, at_work: Vec<String>, looked_at: Timestamp) -> Result<(), LetGo> {
        if !at_work.is_empty() {
            self.store.seen_at_work(at_work, self.guardrails.heed_of_stops(), looked_at).await?;
        }
        Ok(())
    }

    /// An attempt is recorded as under way, and is not. What became of it is known if this program made it; else it ended during it.
    pub(super) async fn interrupted(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord) -> Result<(), LetGo> {
        if let Some(known) = it.unwritten.take(&record) {
            return self.conclude(it, spot, known).await;
        }
        let intent_at = record.first_intent_at.unwrap_or(record.started_at);
        let attempt = ended(&record, intent_at, Some(&machine::interruption()), self.now());
        machine::after_attempt(&mut record, &spot.step.retry, Err(machine::interruption()), self.moment());
        self.commit(it, spot, record, Some(attempt)).await
    }

    pub(super) async fn look(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord) -> Result<(), LetGo> {
        let (_, action) = match self.prepare(spot, &record) {
            Ok(prepared) => prepared,
            Err(failure) => return self.fail(it, spot, record, failure.message).await,
        };
        let precondition = record.precondition.clone().unwrap_or_default();
        failpoints::crash("looking");
        if failpoints::mistake("fresh_precondition") {
            record.precondition = None;
            return self.attempt(it, spot, record).await;
        }
        let seen = match &spot.step.verify {
            Some(verify) => self.inquire(it, spot, &record, verify).await,
            None => self.within(spot.step, action.read_back(&it.context(&record, &precondition, &self.services))).await,
        };
        failpoints::crash("looked");
        machine::after_look(&mut record, &spot.step.retry, seen, self.moment());
        self.commit(it, spot, record, None).await
    }

    /// Looks where the author of the playbook said. What does not show yet may show later, and never proves that it did not happen.
    async fn inquire(&self, it: &Driven, spot: Spot<'_>, record: &StepRecord, verify: &Verify) -> Result<ReadBack, Failure> {
        let doubtful = |why: String| Ok(ReadBack::CannotTell(format!("`verify`: {why}")));
        let with = {
            let recorded = it.recorded.lock().await;
            plan::inquiry(verify, spot.frame, it.sight(&recorded), self.now())
        };
        let with = match with {
            Ok(with) => with,
            Err(error) => return doubtful(error.to_string()),
        };
        let action = match self.action(verify.entry, &format!("{}.verify", record.id), (&verify.with, &with)) {
            Ok(action) => action,
            Err(failure) => return doubtful(failure.message),
        };
        let output = match self.within(spot.step, action.perform(&it.context(record, &Value::Null, &self.services))).await? {
            Done::Now(output) | Done::Found(output) | Done::Accepted(output) => output,
        };
        let recorded = it.recorded.lock().await;
        match plan::is_reached(verify, spot.frame, &output, it.sight(&recorded), self.now()) {
            Ok(true) => Ok(ReadBack::Reached(output)),
            Ok(false) => doubtful("what it looks at does not show that the step happened".to_owned()),
            Err(error) => doubtful(error.to_string()),
        }
    }

    /// What people agreed to has changed since it was looked up, as when another step of the run met a changed plan.
    async fn look_again(&self, it: &Driven, spot: Spot<'_>, record: StepRecord) -> Result<(), LetGo> {
        let held = guardrails::unapproved();
        self.signals.guardrail_held(&it.begun.id, &record.id, held.rule, &held.detail);
        self.hold_off(it, spot, record, (&held.detail, ASK_AGAIN)).await
    }

    /// A guardrail holds a step back; where the site says so, people decide.
    async fn hold_or_ask(
        &self,
        it: &Driven,
        spot: Spot<'_>,
        (record, consent): (StepRecord, Consent),
        held: HeldBack,
    ) -> Result<(), LetGo> {
        let Some(ask) = self.ask_for_site(it, &record, (consent.planned, &held)).await? else {
            return self.hold(it, spot, record, held).await;
        };
        self.signals.guardrail_held(&it.begun.id, &record.id, held.rule, &held.detail);
        self.wait_for_people(it, spot, record, Unready::Ask(Box::new(ask))).await
    }

    pub(super) async fn hold(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord, held: HeldBack) -> Result<(), LetGo> {
        self.signals.guardrail_held(&it.begun.id, &record.id, held.rule, &held.detail);
        machine::refuse(&mut record, &format!("held back by a guardrail: {}", held.detail), self.now());
        self.note(it, spot, record, Noted { held: true, ..Noted::default() }).await
    }

    pub(super) async fn fail(&self, it: &Driven, spot: Spot<'_>, mut record: StepRecord, why: String) -> Result<(), LetGo> {
        machine::refuse(&mut record, &why, self.now());
        self.commit(it, spot, record, None).await
    }

    fn prepare(&self, spot: Spot<'_>, record: &StepRecord) -> Result<(&'static Entry, Prepared), Failure> {
        let (Some(entry), Body::Action { with, .. }) = (actions::find(&record.action), &spot.step.body) else {
            return Err(Failure::rejected(format!("there is no action `{}`", record.action)));
        };
        Ok((entry, self.action(entry, &record.id, (with, &record.plan))?))
    }

    /// An action with the parameters that were rendered from these arguments.
    fn action(&self, entry: &'static Entry, step: &str, (with, rendered): (&Arguments, &Value)) -> Result<Prepared, Failure> {
        let refused = |why: &str| Failure::rejected(format!("`with` of `{}`: {}", entry.name, self.services.secrets.mask(why)));
        let rendered = self.reveal(with, rendered).map_err(|failure| refused(&failure.message))?;
        self.stage.prepare(entry, step, rendered).map_err(|error| refused(&error.to_string()))
    }

    /// What a step locks. It is recorded, so it holds no secret either.
    pub(super) fn target(&self, action: &dyn Perform, context: Context<'_>) -> Option<String> {
        action.target(&context).map(|target| self.services.secrets.mask(&target).into_owned())
    }

    fn judge(
        &self,
        it: &Driven,
        spot: Spot<'_>,
        (entry, touched): (&Entry, &Value),
        (consent, now): (&Consent, Timestamp),
    ) -> Result<Vec<Guard>, HeldBack> {
        let playbooks: Vec<_> = spot.frame.playbooks().collect();
        let Consent { askers, approved_at, .. } = consent;
        let site_approved = askers.contains(&spot.frame.path(spot.step));
        let case = Case { playbooks: &playbooks, detected_at: it.detected_at(), approved_at: *approved_at, site_approved };
        self.guardrails.judge(entry, touched, case, now)
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now(), jitter: fastrand::f64() }
    }

    /// Gives a call up after the step's time limit; what it did is then not known. Whatever came back goes on without secrets.
    async fn within<T: Masked>(&self, step: &Step, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match tokio::time::timeout(step.timeout, call).await {
            Ok(result) => masked(result, &self.services.secrets),
            Err(_elapsed) if failpoints::mistake("timeout_is_not_done") => Err(Failure::new(FailureKind::NotDone, "no answer")),
            Err(_elapsed) => Err(Failure::new(FailureKind::Unknown, format!("no answer within {:?}", step.timeout))),
        }
    }
}

/// A look at the target changes nothing, so a failed one left nothing behind.
fn not_done(failure: Failure) -> Failure {
    let kind = match failure.kind {
        FailureKind::Rejected => FailureKind::Rejected,
        FailureKind::NotDone | FailureKind::Conflict | FailureKind::Unknown => FailureKind::NotDone,
    };
    Failure { kind, ..failure }
}

fn ended(record: &StepRecord, intent_at: Timestamp, failure: Option<&Failure>, now: Timestamp) -> AttemptRecord {
    let outcome = match failure.map(|failure| failure.kind) {
        None => AttemptOutcome::Ok,
        Some(FailureKind::NotDone | FailureKind::Conflict) => AttemptOutcome::NotDone,
        Some(FailureKind::Rejected) => AttemptOutcome::Rejected,
        Some(FailureKind::Unknown) => AttemptOutcome::Unknown,
    };
    AttemptRecord {
        number: record.attempts,
        intent_at,
        outcome: Some(outcome),
        http_status: failure.and_then(|failure| failure.http_status),
        message: failure.map(|failure| failure.message.clone()).unwrap_or_default(),
        ended_at: Some(now),
    }
}
