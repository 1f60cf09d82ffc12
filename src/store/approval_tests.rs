//! Tests: questions and votes in the journal, and what they let begin.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    tests::{Fixture, intent, new_run, on_both, step},
    window_tests::{answered, read},
    *,
};
use crate::{
    approval::{Approval, ApprovalId, ApprovalState, Ballot, Choice, Counted, Escalated, OnTimeout, Planned, Question, Refused},
    clock::Clock,
    people::Role,
    run::{RunId, RunRecord, RunState, StepRecord, StepState},
    window::Windows,
};

fn at(minutes: i64) -> Timestamp {
    window_tests::at(minutes * 60)
}

fn planned(step: &str, with: Value) -> Planned {
    Planned { step: step.to_owned(), action: "subscription.suspend".to_owned(), with, target: None, unknown: None }
}

fn question(run: &RunId, asker: &str, round: u32, plan: Vec<Planned>) -> Approval {
    let names = |name: &str| vec![name.to_owned()];
    let question = Question {
        playbook: "contain".to_owned(),
        title: "Suspend it?".to_owned(),
        why: String::new(),
        rule: None,
        plan,
        groups: names("leads"),
        escalate: vec![Escalated { at: at(30), groups: names("managers") }],
        quorum: 2,
        channels: names("log:default"),
        requesters: names("rita"),
        on_timeout: OnTimeout::Reject,
    };
    Approval::opened(run, (asker, round), question, (at(0), at(60)))
}

fn ballot(person: &str, choice: Choice, approval: &Approval) -> Ballot {
    let (person, hash) = (person.to_owned(), approval.hash.clone());
    Ballot {
        person,
        groups: vec!["leads".to_owned()],
        role: Role::Approver,
        choice,
        reason: "seen it".to_owned(),
        hash,
        via: "test".to_owned(),
    }
}

struct Asked {
    it: Fixture,
    store: Store,
    clock: Clock,
    run: RunRecord,
    approval: Approval,
}

/// A run that waits for people: its step `ask` asked about `suspend`.
async fn asked(it: Fixture) -> Asked {
    let clock = Clock::standing_at(at(0));
    let store = it.store.clone().dated_by(clock.clone());
    let id = answered(&store, "a", &Windows::default()).await.unwrap();
    let run = RunRecord { state: RunState::Waiting, due_at: at(60), ..read(&store, &id).await };
    let approval = question(&id, "ask", 1, vec![planned("suspend", json!({"subscription_id": "s"}))]);
    let (step, ask) = (Some(asking(60)), Some(Box::new(approval.clone())));
    store.record(Change { step, ask, ..Change::of(run.clone()) }).await.unwrap();
    Asked { it, store, clock, run, approval }
}

fn asking(due: i64) -> StepRecord {
    let (id, action) = ("ask".to_owned(), "approval".to_owned());
    StepRecord { id, action, target: None, first_intent_at: None, due_at: Some(at(due)), ..step(StepState::Waiting, "") }
}

impl Asked {
    async fn vote(&self, person: &str, choice: Choice) -> Result<Counted, Refused> {
        self.store.vote(&self.approval.id, ballot(person, choice, &self.approval)).await.unwrap()
    }

    async fn state(&self) -> ApprovalState {
        self.store.approval(&self.approval.id).await.unwrap().unwrap().state
    }

    async fn output(&self) -> Value {
        let timeline = self.store.timeline(&self.run.id).await.unwrap().unwrap();
        timeline.steps.iter().find(|step| step.id == "ask").unwrap().output.clone()
    }

    /// Whether the run is due now.
    async fn is_due(&self) -> bool {
        self.store.due_runs(self.clock.now(), None, 10).await.unwrap() == [self.run.id.clone()]
    }

    /// Who did what, and how the question stood then.
    async fn audited(&self) -> Vec<(String, String, Value)> {
        let entries = self.store.audited(0, 10).await.unwrap();
        entries.into_iter().map(|entry| (entry.who, entry.what, entry.detail["state"].clone())).collect()
    }

    async fn kinds(&self) -> Vec<&'static str> {
        self.store.take_outgoing(10).await.unwrap().into_iter().map(|message| message.news.kind()).collect()
    }
}

async fn what_enough_people_say_is_recorded_with_what_it_decides(it: Fixture) {
    let it = asked(it).await;
    it.clock.advance_to(at(10));
    assert_eq!(it.store.approvals_pending().await.unwrap(), 1);
    assert_eq!(it.vote("ann", Choice::Approve).await, Ok(Counted::Waits { missing: 1 }));
    assert!(it.output().await.is_null() && !it.is_due().await, "one of two decides nothing");
    assert!(matches!(it.vote("ann", Choice::Approve).await, Err(Refused::Again { .. })), "a person counts once");
    assert_eq!(it.vote("bob", Choice::Approve).await, Ok(Counted::Decided(ApprovalState::Approved)));
    assert_eq!(it.output().await, json!({"decision": "approved", "by": ["ann", "bob"], "reason": "seen it"}));
    assert!(it.is_due().await, "the run goes on at once");
    for (person, choice) in [("cid", Choice::Approve), ("ann", Choice::Reject)] {
        assert_eq!(it.vote(person, choice).await, Err(Refused::Closed(ApprovalState::Approved)), "nothing changes what is decided");
    }
    let timeline = it.store.timeline(&it.run.id).await.unwrap().unwrap();
    let votes = &timeline.approvals[0].votes;
    assert_eq!(votes.iter().map(|vote| (vote.person.as_str(), vote.via.as_str())).collect::<Vec<_>>(), [("ann", "test"), ("bob", "test")]);
    assert_eq!((it.store.approvals_pending().await.unwrap(), votes[0].hash.clone()), (0, it.approval.hash.clone()));
}

async fn one_who_does_not_agree_decides_alone_also_after_having_agreed(it: Fixture) {
    let it = asked(it).await;
    it.vote("ann", Choice::Approve).await.unwrap();
    assert_eq!(it.vote("ann", Choice::Reject).await, Ok(Counted::Decided(ApprovalState::Rejected)));
    assert_eq!(it.output().await, json!({"decision": "rejected", "by": ["ann"], "reason": "seen it"}));
}

async fn a_vote_that_does_not_count_changes_nothing(it: Fixture) {
    let it = asked(it).await;
    let other = Ballot { hash: "other".to_owned(), ..ballot("ann", Choice::Approve, &it.approval) };
    let refused = it.store.vote(&it.approval.id, other).await.unwrap();
    assert!(matches!(refused, Err(Refused::Changed { .. })), "{refused:?}");
    assert!(matches!(it.vote("rita", Choice::Approve).await, Err(Refused::Requester(_))));
    let unknown = it.store.vote(&ApprovalId("x".to_owned()), ballot("ann", Choice::Approve, &it.approval)).await.unwrap();
    assert_eq!(unknown, Err(Refused::Unknown));
    it.clock.advance_to(at(60));
    assert_eq!(it.vote("ann", Choice::Reject).await, Err(Refused::Late(at(60))));
    assert!(it.store.approval(&it.approval.id).await.unwrap().unwrap().votes.is_empty());
}

async fn a_run_that_is_cancelled_asks_nobody_any_more(it: Fixture) {
    let it = asked(it).await;
    it.store.cancel(&it.run.id, "eve").await.unwrap();
    assert_eq!(it.vote("ann", Choice::Approve).await, Err(Refused::RunEnds));
    let ended = RunRecord { state: RunState::Cancelled, ended_at: Some(at(1)), ..it.run.clone() };
    it.store.record(Change::of(ended)).await.unwrap();
    assert_eq!(it.vote("ann", Choice::Approve).await, Err(Refused::Closed(ApprovalState::Void)));
    assert_eq!(it.audited().await[1], ("quell".to_owned(), "approval.void".to_owned(), json!("void")));
}

async fn an_answer_in_time_stands_although_the_driver_did_not_see_it(it: Fixture) {
    let it = asked(it).await;
    it.clock.advance_to(at(59));
    it.vote("ann", Choice::Reject).await.unwrap();
    // A driver that did not see the answer closes the step at its time.
    let expired = StepRecord { state: StepState::Succeeded, output: json!({"decision": "expired"}), ..asking(60) };
    let change = Change { step: Some(expired), ..Change::of(it.run.clone()) };
    assert_eq!(it.store.record(change).await.unwrap(), Standing::Touched);
    assert_eq!((it.state().await, it.output().await["decision"].clone()), (ApprovalState::Rejected, json!("rejected")));
}

async fn what_nobody_answers_expires_with_its_step(it: Fixture) {
    let it = asked(it).await;
    it.clock.advance_to(at(60));
    let expired = StepRecord { state: StepState::Succeeded, output: json!({"decision": "expired"}), ..asking(60) };
    let change = Change { step: Some(expired), ..Change::of(it.run.clone()) };
    assert_eq!(it.store.record(change).await.unwrap(), Standing::Ours);
    assert_eq!(it.state().await, ApprovalState::Expired);
    assert_eq!(it.audited().await, [("quell".to_owned(), "approval.expire".to_owned(), json!("expired"))]);
}

async fn two_who_vote_at_once_are_both_counted_and_decide_once(it: Fixture) {
    let it = asked(it).await;
    let other = it.it.another().await.dated_by(it.clock.clone());
    let (ann, bob) = (ballot("ann", Choice::Approve, &it.approval), ballot("bob", Choice::Approve, &it.approval));
    let (one, two) = tokio::join!(it.store.vote(&it.approval.id, ann), other.vote(&it.approval.id, bob));
    let counted = [one.unwrap().unwrap(), two.unwrap().unwrap()];
    assert!(
        counted.contains(&Counted::Waits { missing: 1 }) && counted.contains(&Counted::Decided(ApprovalState::Approved)),
        "{counted:?}"
    );
    let decided = tokio::join!(it.vote("cid", Choice::Reject), it.vote("dan", Choice::Approve));
    assert_eq!(decided, (Err(Refused::Closed(ApprovalState::Approved)), Err(Refused::Closed(ApprovalState::Approved))));
}

async fn no_intent_is_recorded_for_a_step_that_people_were_asked_about_and_did_not_agree_to_exactly(it: Fixture) {
    let it = asked(it).await;
    let seen = planned("suspend", json!({"subscription_id": "s"}));
    let other = planned("suspend", json!({"subscription_id": "t"}));
    let intend = |planned: &Planned, askers: &[&str]| {
        let askers = askers.iter().map(|it| (*it).to_owned()).collect();
        Intent { hash: planned.hash(), askers, ..intent(&it.run.id, "plan:1", vec![]) }
    };
    let try_to = |intent: Intent| async { it.store.intend(intent).await.unwrap() };
    assert_eq!(try_to(intend(&seen, &["ask"])).await, Some(Held::Unapproved), "they are being asked");
    assert_eq!(try_to(intend(&seen, &[])).await, Some(Held::Unapproved), "whatever its driver thinks");
    it.vote("ann", Choice::Approve).await.unwrap();
    it.vote("bob", Choice::Approve).await.unwrap();
    assert_eq!(try_to(intend(&other, &["ask"])).await, Some(Held::Unapproved), "they saw something else");
    assert_eq!(try_to(intend(&seen, &["ask", "other"])).await, Some(Held::Unapproved), "others must agree, too");
    // The same question about another plan makes the first one void.
    let again = question(&it.run.id, "ask", 2, vec![other.clone()]);
    let change = |ask: &Approval| Change { ask: Some(Box::new(ask.clone())), ..Change::of(it.run.clone()) };
    it.store.record(change(&again)).await.unwrap();
    assert_eq!(it.state().await, ApprovalState::Void);
    assert_eq!(try_to(intend(&seen, &["ask"])).await, Some(Held::Unapproved));
    for person in ["ann", "bob"] {
        it.store.vote(&again.id, ballot(person, Choice::Approve, &again)).await.unwrap().unwrap();
    }
    assert_eq!(try_to(intend(&other, &["ask"])).await, None);
    assert_eq!(it.store.rounds(&it.run.id, "ask").await.unwrap().iter().map(|it| it.round).collect::<Vec<_>>(), [1, 2]);
}

async fn a_step_that_waits_for_another_steps_question_is_due_when_it_is_decided(it: Fixture) {
    let it = asked(it).await;
    let waiting = StepRecord {
        id: "suspend".to_owned(),
        output: waits_for(&it.approval.id),
        first_intent_at: None,
        due_at: Some(at(60)),
        ..step(StepState::Waiting, "")
    };
    it.store.record(Change { step: Some(waiting), ..Change::of(it.run.clone()) }).await.unwrap();
    assert!(it.vote("ann", Choice::Reject).await.is_ok());
    let timeline = it.store.timeline(&it.run.id).await.unwrap().unwrap();
    assert_eq!(timeline.steps.iter().find(|step| step.id == "suspend").unwrap().due_at, Some(at(0)));
}

async fn messages_are_kept_until_they_are_delivered_and_those_that_nobody_needs_are_not_sent(it: Fixture) {
    let it = asked(it).await;
    let taken = it.store.take_outgoing(10).await.unwrap();
    assert_eq!(
        taken.iter().map(|it| (it.news.kind(), it.channel.as_str(), it.attempts)).collect::<Vec<_>>(),
        [("approval_opened", "log:default", 0)]
    );
    assert!(it.kinds().await.is_empty(), "whoever takes one has it for a while");
    it.clock.advance_to(at(3));
    let again = it.store.take_outgoing(10).await.unwrap();
    assert_eq!((again[0].id.as_str(), again[0].attempts), (taken[0].id.as_str(), 1), "a repeat has the same name");
    let busy = Fate::Again { at: at(5), why: "busy".to_owned() };
    it.store.outgoing_sent(vec![(again[0].id.clone(), busy)]).await.unwrap();
    it.clock.advance_to(at(5));
    let third = it.store.take_outgoing(10).await.unwrap();
    it.store.outgoing_sent(vec![(third[0].id.clone(), Fate::Delivered)]).await.unwrap();
    it.clock.advance_to(at(30));
    assert_eq!(it.kinds().await, ["approval_escalated"], "the second group is asked");
    it.store
        .vote(&it.approval.id, Ballot { groups: vec!["managers".to_owned()], ..ballot("max", Choice::Reject, &it.approval) })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(it.kinds().await, ["approval_decided"]);
    let early = question(&it.run.id, "other", 1, vec![]);
    let change = Change { ask: Some(Box::new(early.clone())), ..Change::of(it.run.clone()) };
    it.store.record(change).await.unwrap();
    it.store.answer(&early.id, "ann", Choice::Approve, "").await.unwrap();
    assert!(it.kinds().await.is_empty(), "who was not asked is not told how it ended");
}

async fn who_began_a_run_by_hand_is_remembered(it: Fixture) {
    let run = new_run("daily");
    let id = run.id.clone();
    assert_eq!(it.store.begin_by(run.clone(), "rita", "rita (command line)").await.unwrap(), Begun::New);
    assert_eq!(it.store.begin_by(run, "eve", "eve (command line)").await.unwrap(), Begun::Known);
    assert_eq!(it.store.requesters(&id).await.unwrap(), ["rita"]);
}

async fn the_time_of_a_question_is_over_once(it: Fixture) {
    let it = asked(it).await;
    assert_eq!(it.store.expire(&it.approval.id).await.unwrap().unwrap().state, ApprovalState::Open);
    it.clock.advance_to(at(60));
    assert_eq!(it.store.expire(&it.approval.id).await.unwrap().unwrap().state, ApprovalState::Expired);
    assert_eq!(it.output().await["decision"], "expired");
    assert_eq!(it.audited().await.len(), 1, "and is in the log once");
    assert!(it.it.store.expire(&ApprovalId("x".to_owned())).await.unwrap().is_none());
}

on_both! {
    what_enough_people_say_is_recorded_with_what_it_decides,
    one_who_does_not_agree_decides_alone_also_after_having_agreed,
    a_vote_that_does_not_count_changes_nothing,
    a_run_that_is_cancelled_asks_nobody_any_more,
    an_answer_in_time_stands_although_the_driver_did_not_see_it,
    what_nobody_answers_expires_with_its_step,
    two_who_vote_at_once_are_both_counted_and_decide_once,
    no_intent_is_recorded_for_a_step_that_people_were_asked_about_and_did_not_agree_to_exactly,
    a_step_that_waits_for_another_steps_question_is_due_when_it_is_decided,
    messages_are_kept_until_they_are_delivered_and_those_that_nobody_needs_are_not_sent,
    who_began_a_run_by_hand_is_remembered,
    the_time_of_a_question_is_over_once,
}
