//! Who may vote on a question, and what a vote decides. Pure: the time is an argument, and what people are is known beforehand.

use jiff::Timestamp;

use super::{Approval, ApprovalState, Choice, Vote};
use crate::people::{People, Role};

/// A vote that is about to be cast.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Ballot {
    pub person: String,
    /// The groups that the person is a member of.
    pub groups: Vec<String>,
    pub role: Role,
    pub choice: Choice,
    pub reason: String,
    /// The plan that the person saw.
    pub hash: String,
    /// How the person came.
    pub via: String,
}

/// What a vote that counts leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// More people must agree.
    Waits {
        /// So many.
        missing: u32,
    },
    /// It is decided: [`ApprovalState::Approved`] or [`ApprovalState::Rejected`].
    Decided(ApprovalState),
}

/// Why a vote does not count. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such question.
    #[error("there is no such approval")]
    Unknown,
    /// It is decided or void already.
    #[error("it is {0} already, and nothing changes that")]
    Closed(ApprovalState),
    /// Its time is over, although nobody has taken note of that yet.
    #[error("its time was over at {0}")]
    Late(Timestamp),
    /// The run that asks ends.
    #[error("the run that asks is ending, so that there is nothing to decide any more")]
    RunEnds,
    /// What the person saw is not what would be done.
    #[error("the plan is not the one with the hash `{seen}`; look at it again, it is now `{now}`")]
    Changed {
        /// What the person saw.
        seen: String,
        /// What would be done.
        now: String,
    },
    /// Whoever asks does not answer.
    #[error("`{0}` began the run or wrote its alert, and so does not decide about it")]
    Requester(String),
    /// The person only looks.
    #[error("`{person}` has the role {role}, and voting needs approver or more")]
    Role {
        /// Who.
        person: String,
        /// As what.
        role: Role,
    },
    /// The person is in none of the groups.
    #[error("`{person}` is in none of the groups that are asked: {groups}")]
    Foreign {
        /// Who.
        person: String,
        /// The groups that may vote now.
        groups: String,
    },
    /// The person said so before.
    #[error("`{person}` said `{choice}` at {at} already; a person counts once")]
    Again {
        /// Who.
        person: String,
        /// What they said.
        choice: Choice,
        /// When.
        at: Timestamp,
    },
    /// Whoever stops something says why.
    #[error("a rejection needs a reason: the people whose plan it stops read it")]
    NoReason,
    /// A reason is a sentence or two.
    #[error("the reason has {0} characters, over {LONGEST_REASON}")]
    LongReason(usize),
}

/// More is a report, and belongs elsewhere.
pub const LONGEST_REASON: usize = 1_000;

impl Approval {
    fn is_requester(&self, person: &str) -> bool {
        self.question.requesters.iter().any(|requester| requester.eq_ignore_ascii_case(person))
    }

    /// Those who may vote now: members of the groups that are asked, but not who asked.
    pub fn may_vote<'p>(&self, people: &'p People, now: Timestamp) -> Vec<&'p str> {
        let able = people.approvers(&self.groups_at(now));
        able.into_iter().filter(|name| !self.is_requester(name)).collect()
    }
}

impl Counted {
    /// What it leads to, in a word.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Waits { .. } => "waits",
            Self::Decided(state) => state.as_str(),
        }
    }

    /// How many more must agree.
    pub fn missing(&self) -> u32 {
        match self {
            Self::Waits { missing } => *missing,
            Self::Decided(_) => 0,
        }
    }
}

/// What a vote leads to.
///
/// The order of the questions matters to whoever asks: what is over is said to everybody, what is in the plan only to those who may decide.
///
/// # Errors
/// [`Refused`] says why it does not count.
pub fn judge(approval: &Approval, ballot: &Ballot, now: Timestamp) -> Result<Counted, Refused> {
    if approval.state != ApprovalState::Open {
        return Err(Refused::Closed(approval.state));
    }
    if now >= approval.expires_at {
        return Err(Refused::Late(approval.expires_at));
    }
    let person = &ballot.person;
    if !ballot.role.may_vote() {
        return Err(Refused::Role { person: person.clone(), role: ballot.role });
    }
    if approval.is_requester(person) {
        return Err(Refused::Requester(person.clone()));
    }
    let asked = approval.groups_at(now);
    if !asked.iter().any(|group| ballot.groups.iter().any(|own| own == group)) {
        return Err(Refused::Foreign { person: person.clone(), groups: asked.join(", ") });
    }
    if ballot.hash != approval.hash {
        return Err(Refused::Changed { seen: ballot.hash.clone(), now: approval.hash.clone() });
    }
    let length = ballot.reason.chars().count();
    if length > LONGEST_REASON {
        return Err(Refused::LongReason(length));
    }
    match ballot.choice {
        Choice::Reject if ballot.reason.trim().is_empty() => Err(Refused::NoReason),
        // One who knows better is enough, and may have agreed before.
        Choice::Reject => Ok(Counted::Decided(ApprovalState::Rejected)),
        Choice::Approve => count(approval, person),
    }
}

fn count(approval: &Approval, person: &str) -> Result<Counted, Refused> {
    if let Some(Vote { choice, at, .. }) = approval.votes.iter().find(|vote| vote.person.eq_ignore_ascii_case(person)) {
        return Err(Refused::Again { person: person.to_owned(), choice: *choice, at: *at });
    }
    let agreed = u32::try_from(approval.voters(Choice::Approve).len()).unwrap_or(u32::MAX).saturating_add(1);
    let missing = approval.question.quorum.saturating_sub(agreed);
    Ok(if missing == 0 { Counted::Decided(ApprovalState::Approved) } else { Counted::Waits { missing } })
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_mins(minutes)
    }

    fn question(quorum: u32) -> Approval {
        let names = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let question = Question {
            playbook: "p".to_owned(),
            title: "Suspend it?".to_owned(),
            why: String::new(),
            rule: None,
            plan: Vec::new(),
            groups: names(&["leads"]),
            escalate: vec![Escalated { at: at(30), groups: names(&["managers"]) }],
            quorum,
            channels: Vec::new(),
            requesters: names(&["rita"]),
            on_timeout: OnTimeout::Reject,
        };
        Approval { hash: "h".to_owned(), ..Approval::opened(&RunId("r".to_owned()), ("ask", 1), question, (at(0), at(60))) }
    }

    fn ballot(person: &str, group: &str, choice: Choice) -> Ballot {
        let (reason, hash) = (if choice == Choice::Reject { "not now" } else { "" }, "h");
        let texts = [person, group, reason, hash].map(ToOwned::to_owned);
        let [person, group, reason, hash] = texts;
        Ballot { person, groups: vec![group], role: Role::Approver, choice, reason, hash, via: "test".to_owned() }
    }

    fn vote(person: &str) -> Vote {
        let (reason, hash, via) = (String::new(), "h".to_owned(), "test".to_owned());
        Vote { person: person.to_owned(), choice: Choice::Approve, reason, at: at(1), hash, via }
    }

    const APPROVED: Result<Counted, Refused> = Ok(Counted::Decided(ApprovalState::Approved));
    const REJECTED: Result<Counted, Refused> = Ok(Counted::Decided(ApprovalState::Rejected));

    #[test]
    fn enough_members_who_agree_approve_and_one_who_does_not_rejects() {
        use Choice::{Approve, Reject};
        let with = |quorum, votes: &[&str]| Approval { votes: votes.iter().map(|it| vote(it)).collect(), ..question(quorum) };
        for (approval, ballot, expected) in [
            (with(1, &[]), ballot("ann", "leads", Approve), APPROVED),
            (with(2, &[]), ballot("ann", "leads", Approve), Ok(Counted::Waits { missing: 1 })),
            (with(3, &["bob"]), ballot("ann", "leads", Approve), Ok(Counted::Waits { missing: 1 })),
            (with(2, &["bob"]), ballot("ann", "leads", Approve), APPROVED),
            (with(2, &["bob"]), ballot("ann", "leads", Reject), REJECTED),
            (with(3, &[]), ballot("ann", "leads", Reject), REJECTED),
            // Who agreed may think better of it as long as nothing is decided.
            (with(2, &["ann"]), ballot("ann", "leads", Reject), REJECTED),
        ] {
            assert_eq!(judge(&approval, &ballot, at(10)), expected, "{ballot:?}");
        }
    }

    #[test]
    fn a_vote_counts_once_in_time_for_what_was_seen_by_somebody_who_was_asked() {
        use Choice::{Approve, Reject};
        let ann = || ballot("ann", "leads", Approve);
        let again = Refused::Again { person: "Ann".to_owned(), choice: Approve, at: at(1) };
        let changed = Refused::Changed { seen: "g".to_owned(), now: "h".to_owned() };
        let foreign = |person: &str, groups: &str| Refused::Foreign { person: person.to_owned(), groups: groups.to_owned() };
        let ended = |state| Approval { state, ..question(1) };
        let voted = Approval { votes: vec![vote("ann")], ..question(2) };
        for (approval, ballot, minute, expected) in [
            (ended(ApprovalState::Approved), ann(), 1, Refused::Closed(ApprovalState::Approved)),
            (ended(ApprovalState::Rejected), ann(), 1, Refused::Closed(ApprovalState::Rejected)),
            (ended(ApprovalState::Expired), ann(), 1, Refused::Closed(ApprovalState::Expired)),
            (ended(ApprovalState::Void), ann(), 1, Refused::Closed(ApprovalState::Void)),
            (question(1), ann(), 60, Refused::Late(at(60))),
            (question(1), ballot("Rita", "leads", Approve), 1, Refused::Requester("Rita".to_owned())),
            (question(1), ballot("rita", "leads", Reject), 1, Refused::Requester("rita".to_owned())),
            (question(1), ballot("max", "managers", Approve), 29, foreign("max", "leads")),
            (question(1), ballot("eve", "guests", Approve), 31, foreign("eve", "leads, managers")),
            (question(1), Ballot { role: Role::Viewer, ..ann() }, 1, Refused::Role { person: "ann".to_owned(), role: Role::Viewer }),
            (question(1), Ballot { hash: "g".to_owned(), ..ann() }, 1, changed),
            (voted, ballot("Ann", "leads", Approve), 2, again),
            (question(1), Ballot { reason: "  ".to_owned(), ..ballot("ann", "leads", Reject) }, 1, Refused::NoReason),
            (question(1), Ballot { reason: "x".repeat(1_001), ..ann() }, 1, Refused::LongReason(1_001)),
        ] {
            assert_eq!(judge(&approval, &ballot, at(minute)), Err(expected), "{ballot:?} at {minute}");
        }
        assert_eq!(judge(&question(1), &ballot("max", "managers", Approve), at(30)), APPROVED, "asked since then");
    }
}
