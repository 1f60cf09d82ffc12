//! Approvals: opened with the step that asks, voted on by people, and decided once. What a vote decides is a pure rule; here it is made so,
//! in one transaction with what it changes.

use jiff::Timestamp;
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{Act, Store, StoreError, audit, events, outbox, rows};
use crate::{
    approval::{self, Approval, ApprovalId, ApprovalState, Ballot, Choice, Counted, Decided, Refused, SILENT, Vote},
    news::Outlet,
    run::{RunId, StepRecord},
};

/// Which approvals to list.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ApprovalFilter {
    /// Only those that people may vote on.
    pub open: bool,
    pub run: Option<RunId>,
    /// The first characters of its identifier.
    pub start: Option<String>,
    pub most: i64,
}

/// Why an approval is closed.
#[derive(Debug, Clone, Copy)]
enum Closing<'a> {
    /// People decided so, for this reason.
    Votes(ApprovalState, &'a str),
    /// Its time was over, and this is what silence means.
    Silence(ApprovalState),
    /// It counts no more.
    Void(&'a str),
}

impl Closing<'_> {
    fn state(self) -> ApprovalState {
        match self {
            Self::Votes(state, _) | Self::Silence(state) => state,
            Self::Void(_) => ApprovalState::Void,
        }
    }

    fn outcome(&self) -> &str {
        match self {
            Self::Votes(_, reason) | Self::Void(reason) => reason,
            Self::Silence(_) => SILENT,
        }
    }
}

impl Store {
    /// The approvals that a filter lets through, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn approvals(&self, filter: &ApprovalFilter) -> Result<Vec<Approval>, StoreError> {
        let query = "SELECT * FROM approval WHERE (NOT $1 OR state = 'open') AND ($2 IS NULL OR run = $2)
                       AND ($3 IS NULL OR substr(id, 1, length($3)) = $3)
                     ORDER BY opened_at DESC, id DESC LIMIT $4";
        let found = sqlx::query(query)
            .bind(filter.open)
            .bind(filter.run.as_ref().map(|run| run.0.as_str()))
            .bind(&filter.start)
            .bind(if filter.most == 0 { i64::MAX } else { filter.most })
            .fetch_all(&self.readers)
            .await?;
        let mut reader = self.readers.acquire().await?;
        let mut approvals = Vec::with_capacity(found.len());
        for row in &found {
            let approval = read(row)?;
            let votes = votes(&mut reader, &approval.id).await?;
            approvals.push(Approval { votes, ..approval });
        }
        Ok(approvals)
    }

    /// One approval.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn approval(&self, id: &ApprovalId) -> Result<Option<Approval>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        Ok(load(&mut reader, id).await?)
    }

    /// What a step of a run asked, the first round first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn rounds(&self, run: &RunId, asker: &str) -> Result<Vec<Approval>, StoreError> {
        let query = "SELECT * FROM approval WHERE run = $1 AND asker = $2 ORDER BY round";
        let found = sqlx::query(query).bind(&run.0).bind(asker).fetch_all(&self.readers).await?;
        found.iter().map(read).collect()
    }

    /// How many approvals wait for people.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn approvals_pending(&self) -> Result<i64, StoreError> {
        let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM approval WHERE state = 'open'").fetch_one(&self.readers).await?;
        Ok(count)
    }

    /// Casts a vote; durable, with what it decides, when this returns.
    ///
    /// # Errors
    /// The store cannot be written; the vote was not cast. [`Refused`] says why it does not count.
    pub async fn vote(&self, id: &ApprovalId, ballot: Ballot) -> Result<Result<Counted, Refused>, StoreError> {
        let (id, now, outlet) = (id.clone(), self.clock.now(), self.outlet.clone());
        self.writer.write(move |connection| Box::pin(async move { vote(connection, &id, &ballot, (&outlet, now)).await })).await
    }

    /// Decides an approval whatever the rules say: for trying playbooks, where a test is everybody. Says whether it was open.
    ///
    /// # Errors
    /// The store cannot be written; nothing was decided.
    pub async fn answer(&self, id: &ApprovalId, person: &str, choice: Choice, reason: &str) -> Result<bool, StoreError> {
        let (id, now, outlet) = (id.clone(), self.clock.now(), self.outlet.clone());
        let (person, reason) = (person.to_owned(), reason.to_owned());
        self.writer
            .write(move |connection| Box::pin(async move { answer(connection, &id, (&person, choice, &reason), (&outlet, now)).await }))
            .await
    }

    /// Takes note that the time of an approval is over, if it is open still. Says how it stands.
    ///
    /// # Errors
    /// The store cannot be written; it is open still.
    pub async fn expire(&self, id: &ApprovalId) -> Result<Option<Approval>, StoreError> {
        let (id, now, outlet) = (id.clone(), self.clock.now(), self.outlet.clone());
        self.writer.write(move |connection| Box::pin(async move { expire(connection, &id, (&outlet, now)).await })).await
    }

    /// Who began a run by hand; they do not decide about it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn requesters(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
        let query = "SELECT person FROM requester WHERE run = $1 ORDER BY person";
        let found: Vec<(String,)> = sqlx::query_as(query).bind(&run.0).fetch_all(&self.readers).await?;
        Ok(found.into_iter().map(|(person,)| person).collect())
    }
}

/// Opens an approval, unless it is there already; earlier rounds of the same question are void from then on.
pub(super) async fn open(connection: &mut AnyConnection, approval: &Approval, outlet: &Outlet) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO approval (id, run, asker, round, hash, question, state, outcome, opened_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, 'open', '', $7, $8) ON CONFLICT (id) DO NOTHING";
    let inserted = sqlx::query(query)
        .bind(&approval.id.0)
        .bind(&approval.run.0)
        .bind(&approval.asker)
        .bind(i64::from(approval.round))
        .bind(&approval.hash)
        .bind(serde_json::json!(approval.question).to_string())
        .bind(approval.opened_at.as_microsecond())
        .bind(approval.expires_at.as_microsecond())
        .execute(&mut *connection)
        .await?;
    if inserted.rows_affected() == 0 {
        return Ok(());
    }
    for planned in &approval.question.plan {
        let query = "INSERT INTO approval_step (approval, step, hash) VALUES ($1, $2, $3) ON CONFLICT (approval, step) DO NOTHING";
        sqlx::query(query).bind(&approval.id.0).bind(&planned.step).bind(planned.hash()).execute(&mut *connection).await?;
    }
    let query = "SELECT id FROM approval WHERE run = $1 AND asker = $2 AND round < $3 AND state IN ('open', 'approved')";
    let earlier: Vec<(String,)> = sqlx::query_as(query)
        .bind(&approval.run.0)
        .bind(&approval.asker)
        .bind(i64::from(approval.round))
        .fetch_all(&mut *connection)
        .await?;
    for (id,) in earlier {
        // The new question says so to the same people.
        let why = Closing::Void("the plan changed, and is asked about again");
        close(connection, &ApprovalId(id), why, (outlet, approval.opened_at)).await?;
    }
    events::asked(connection, approval, (outlet, approval.opened_at)).await?;
    outbox::ask(connection, approval).await
}

/// Closes what a run asked and nobody needs to answer any more.
pub(super) async fn close_all(connection: &mut AnyConnection, run: &RunId, to: (&Outlet, Timestamp)) -> Result<(), sqlx::Error> {
    let query = "SELECT id FROM approval WHERE run = $1 AND state = 'open'";
    let open: Vec<(String,)> = sqlx::query_as(query).bind(&run.0).fetch_all(&mut *connection).await?;
    for (id,) in open {
        let id = ApprovalId(id);
        close(connection, &id, Closing::Void("its run has ended"), to).await?;
        outbox::tell_decided(connection, &id, ApprovalState::Void, to.1).await?;
    }
    Ok(())
}

/// The driver closes the step that asked, because its time is over: so is the approval.
pub(super) async fn close_step(
    connection: &mut AnyConnection,
    run: &RunId,
    step: &StepRecord,
    to: (&Outlet, Timestamp),
) -> Result<(), sqlx::Error> {
    let query = "SELECT id FROM approval WHERE run = $1 AND asker = $2 AND state = 'open'";
    let open: Vec<(String,)> = sqlx::query_as(query).bind(&run.0).bind(&step.id).fetch_all(&mut *connection).await?;
    let why = match Decided::decision_in(&step.output) {
        Some(ApprovalState::Approved) => Closing::Silence(ApprovalState::Approved),
        Some(ApprovalState::Open | ApprovalState::Rejected | ApprovalState::Expired | ApprovalState::Void) => {
            Closing::Silence(ApprovalState::Expired)
        }
        None => Closing::Void("its step was given up"),
    };
    for (id,) in open {
        let id = ApprovalId(id);
        close(connection, &id, why, to).await?;
        outbox::tell_decided(connection, &id, why.state(), to.1).await?;
    }
    Ok(())
}

/// Why nothing may begin although its driver thinks so: a step that people were asked about needs an approved plan that is exactly this.
pub(super) async fn unapproved(
    connection: &mut AnyConnection,
    (run, step): (&RunId, &str),
    hash: &str,
    askers: &[String],
) -> Result<bool, sqlx::Error> {
    let query =
        "SELECT approval.asker, CAST(max(CASE WHEN approval.state = 'approved' AND approval_step.hash = $3 THEN 1 ELSE 0 END) AS BIGINT)
                 FROM approval JOIN approval_step ON approval_step.approval = approval.id
                 WHERE approval.run = $1 AND approval_step.step = $2 GROUP BY approval.asker";
    let asked: Vec<(String, i64)> = sqlx::query_as(query).bind(&run.0).bind(step).bind(hash).fetch_all(connection).await?;
    let is_given = |asker: &String| asked.iter().any(|(other, given)| other == asker && *given == 1);
    Ok(asked.iter().any(|(_, given)| *given == 0) || !askers.iter().all(is_given))
}

async fn vote(
    connection: &mut AnyConnection,
    id: &ApprovalId,
    ballot: &Ballot,
    (outlet, now): (&Outlet, Timestamp),
) -> Result<Result<Counted, Refused>, sqlx::Error> {
    let Some(approval) = load(connection, id).await? else { return Ok(Err(Refused::Unknown)) };
    let counted = match approval::judge(&approval, ballot, now) {
        Ok(counted) => counted,
        Err(refused) => return Ok(Err(refused)),
    };
    let query = "SELECT 1 FROM run WHERE id = $1 AND NOT cancel AND state IN ('ready', 'waiting')";
    let is_open: Option<(i64,)> = sqlx::query_as(query).bind(&approval.run.0).fetch_optional(&mut *connection).await?;
    if is_open.is_none() {
        return Ok(Err(Refused::RunEnds));
    }
    let vote = Vote {
        person: ballot.person.clone(),
        choice: ballot.choice,
        reason: ballot.reason.trim().to_owned(),
        at: now,
        hash: ballot.hash.clone(),
        via: ballot.via.clone(),
    };
    write_vote(connection, id, &vote).await?;
    audit::write(connection, &act(&approval, &vote), now).await?;
    if let Counted::Decided(state) = counted {
        decide(connection, id, Closing::Votes(state, &vote.reason), (outlet, now)).await?;
    }
    Ok(Ok(counted))
}

/// A vote as the audit log tells it.
fn act(approval: &Approval, vote: &Vote) -> Act {
    let what = match vote.choice {
        Choice::Approve => "approval.approve",
        Choice::Reject => "approval.reject",
    };
    let detail = serde_json::json!({"run": approval.run, "step": approval.asker, "hash": vote.hash, "reason": vote.reason});
    Act { who: format!("{} ({})", vote.person, vote.via), what, subject: format!("approval {}", approval.id), detail }
}

async fn answer(
    connection: &mut AnyConnection,
    id: &ApprovalId,
    (person, choice, reason): (&str, Choice, &str),
    (outlet, now): (&Outlet, Timestamp),
) -> Result<bool, sqlx::Error> {
    let Some(approval) = load(connection, id).await?.filter(|it| it.state == ApprovalState::Open && it.expires_at > now) else {
        return Ok(false);
    };
    let (person, reason) = (person.to_owned(), reason.to_owned());
    let vote = Vote { person, choice, reason: reason.clone(), at: now, hash: approval.hash, via: "test".to_owned() };
    write_vote(connection, id, &vote).await?;
    let state = match choice {
        Choice::Approve => ApprovalState::Approved,
        Choice::Reject => ApprovalState::Rejected,
    };
    decide(connection, id, Closing::Votes(state, &reason), (outlet, now)).await?;
    Ok(true)
}

async fn expire(
    connection: &mut AnyConnection,
    id: &ApprovalId,
    (outlet, now): (&Outlet, Timestamp),
) -> Result<Option<Approval>, sqlx::Error> {
    let found = load(connection, id).await?;
    let Some(approval) = found.as_ref().filter(|it| it.state == ApprovalState::Open && it.expires_at <= now) else { return Ok(found) };
    let state = approval.question.on_timeout.decision();
    decide(connection, id, Closing::Silence(state), (outlet, now)).await?;
    load(connection, id).await
}

async fn write_vote(connection: &mut AnyConnection, id: &ApprovalId, vote: &Vote) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO vote (approval, person, choice, reason, at, hash, via) VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (approval, person) DO UPDATE SET choice = excluded.choice, reason = excluded.reason, at = excluded.at,
                     hash = excluded.hash, via = excluded.via";
    sqlx::query(query)
        .bind(&id.0)
        .bind(&vote.person)
        .bind(vote.choice.as_str())
        .bind(&vote.reason)
        .bind(vote.at.as_microsecond())
        .bind(&vote.hash)
        .bind(&vote.via)
        .execute(connection)
        .await
        .map(|_| ())
}

/// Decides an approval, gives the step that asked its answer, and lets those that wait for it look again.
async fn decide(
    connection: &mut AnyConnection,
    id: &ApprovalId,
    why: Closing<'_>,
    (outlet, now): (&Outlet, Timestamp),
) -> Result<(), sqlx::Error> {
    close(connection, id, why, (outlet, now)).await?;
    outbox::tell_decided(connection, id, why.state(), now).await?;
    let Some(approval) = load(connection, id).await? else { return Ok(()) };
    let (run, now) = (&approval.run.0, now.as_microsecond());
    let query = "UPDATE step SET output = $3 WHERE run = $1 AND id = $2 AND action = 'approval' AND state = 'waiting' AND output = 'null'";
    sqlx::query(query).bind(run).bind(&approval.asker).bind(approval.output().to_string()).execute(&mut *connection).await?;
    let query = "UPDATE step SET due_at = $2 WHERE run = $1 AND state = 'waiting' AND action <> 'approval' AND output = $3";
    sqlx::query(query).bind(run).bind(now).bind(waits_for(id).to_string()).execute(&mut *connection).await?;
    let query = "UPDATE run SET touched = TRUE, due_at = CASE WHEN due_at < $2 THEN due_at ELSE $2 END
                 WHERE id = $1 AND state IN ('ready', 'waiting')";
    sqlx::query(query).bind(run).bind(now).execute(connection).await.map(|_| ())
}

/// The one place where an approval is closed: by people, by time, by a changed plan, or because its run has ended. What no person did is
/// audited here; a vote is where it is cast.
async fn close(
    connection: &mut AnyConnection,
    id: &ApprovalId,
    why: Closing<'_>,
    (outlet, now): (&Outlet, Timestamp),
) -> Result<(), sqlx::Error> {
    // What people agreed to stays on record, with why and when, although it is void now.
    let query = "UPDATE approval SET outcome = CASE WHEN state = 'approved' THEN outcome ELSE $3 END,
                                     decided_at = CASE WHEN state = 'approved' THEN decided_at ELSE $4 END, state = $2
                 WHERE id = $1 AND state IN ('open', 'approved')";
    let (state, outcome, at) = (why.state().as_str(), why.outcome(), now.as_microsecond());
    let closed = sqlx::query(query).bind(&id.0).bind(state).bind(outcome).bind(at).execute(&mut *connection).await?;
    let what = match why {
        Closing::Votes(..) => None,
        Closing::Silence(_) => Some("approval.expire"),
        Closing::Void(_) => Some("approval.void"),
    };
    if closed.rows_affected() == 0 || what.is_none() && !outlet.announces {
        return Ok(());
    }
    let Some(approval) = load(connection, id).await? else { return Ok(()) };
    events::asked(connection, &approval, (outlet, now)).await?;
    let Some(what) = what else { return Ok(()) };
    let detail =
        serde_json::json!({"run": approval.run, "step": approval.asker, "hash": approval.hash, "state": approval.state, "reason": outcome});
    audit::write(connection, &Act { who: "quell".to_owned(), what, subject: format!("approval {id}"), detail }, now).await
}

/// What a step has as its output while it waits for an approval that is not its own.
pub fn waits_for(id: &ApprovalId) -> serde_json::Value {
    serde_json::json!({ "approval": id })
}

/// Within a transaction, what cannot be read undoes it like every other failure.
pub(super) async fn load(connection: &mut AnyConnection, id: &ApprovalId) -> Result<Option<Approval>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM approval WHERE id = $1").bind(&id.0).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    let unreadable = |error: StoreError| sqlx::Error::Decode(Box::new(error));
    let approval = read(&row).map_err(unreadable)?;
    Ok(Some(Approval { votes: votes(connection, id).await.map_err(unreadable)?, ..approval }))
}

async fn votes(connection: &mut AnyConnection, id: &ApprovalId) -> Result<Vec<Vote>, StoreError> {
    let query = "SELECT * FROM vote WHERE approval = $1 ORDER BY at, person";
    let found = sqlx::query(query).bind(&id.0).fetch_all(connection).await?;
    let vote = |row: &AnyRow| {
        Ok(Vote {
            person: row.try_get("person")?,
            choice: rows::word("a vote", row.try_get("choice")?, Choice::parse)?,
            reason: row.try_get("reason")?,
            at: rows::time(row.try_get("at")?)?,
            hash: row.try_get("hash")?,
            via: row.try_get("via")?,
        })
    };
    found.iter().map(vote).collect()
}

fn read(row: &AnyRow) -> Result<Approval, StoreError> {
    let question: &str = row.try_get("question")?;
    let decided_at: Option<i64> = row.try_get("decided_at")?;
    Ok(Approval {
        id: ApprovalId(row.try_get("id")?),
        run: RunId(row.try_get("run")?),
        asker: row.try_get("asker")?,
        round: rows::number(row, "round")?,
        hash: row.try_get("hash")?,
        question: serde_json::from_str(question).map_err(|error| rows::corrupt("a question", error.to_string()))?,
        state: rows::word("an approval's state", row.try_get("state")?, ApprovalState::parse)?,
        outcome: row.try_get("outcome")?,
        opened_at: rows::time(row.try_get("opened_at")?)?,
        expires_at: rows::time(row.try_get("expires_at")?)?,
        decided_at: decided_at.map(rows::time).transpose()?,
        votes: Vec::new(),
    })
}
