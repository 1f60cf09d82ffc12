//! What is written before a call: that nobody else works on its target, that limits leave room for it, and that it is about to be made.

use jiff::{SignedDuration, Timestamp};
use sqlx::AnyConnection;

use super::{Heed, Hold, Mark, Store, StoreError, approvals, holds, nodes, rollback, rows, rows::Flag, runs::write_step};
use crate::{
    failpoints,
    run::{AttemptRecord, RunId, StepRecord},
};

/// What is recorded before a call that must not be made twice.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Intent {
    pub run: RunId,
    pub step: StepRecord,
    pub attempt: AttemptRecord,
    pub guards: Vec<Guard>,
    /// Whether it only tells people, which the kill switch does not stop.
    pub tells: bool,
    /// Stands for what would be done, as people see it.
    pub hash: String,
    /// The steps that ask people about this one: each must have been told "yes" to exactly that.
    pub askers: Vec<String>,
    /// What holds mean for it; nothing where it can stop nobody's business.
    pub heed: Option<Heed>,
    /// The step whose work it undoes.
    pub undoes: Option<String>,
}

/// At most so many first attempts at an action within a while; checked and reserved together with the intent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Guard {
    /// The limit as it was written, for people.
    pub rule: String,
    /// The actions that count.
    pub actions: Vec<&'static str>,
    pub most: u32,
    pub per: SignedDuration,
    /// Counts only what is a part of this playbook, in whichever run.
    pub playbook: Option<String>,
    /// Whether people may let a step pass beyond it.
    pub asks: bool,
}

impl Guard {
    /// Whether it counts a step that is a part of these playbooks, joined by `/`.
    pub fn counts(&self, within: &str) -> bool {
        self.playbook.as_deref().is_none_or(|own| within.split('/').any(|playbook| playbook == own))
    }
}

/// Why an intent was not recorded. Nothing may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Another step works on the target, or nobody knows what another step did to it.
    Locked {
        /// The run of that step.
        by: String,
    },
    /// A guard's number is used up.
    Exceeded(Guard),
    /// People were asked about the step, and have not agreed to exactly this.
    Unapproved,
    /// A person wants what it would stop.
    OnHold(Box<Hold>),
    /// The run was ended or cancelled by somebody else.
    Ended,
    /// The journal was restored from a backup, and nobody has answered for it.
    Restored,
    /// The kill switch is thrown.
    Stopped {
        /// By whom.
        who: String,
        /// Why.
        reason: String,
    },
}

impl Store {
    /// Keeps others from a target before it is looked at, so that what is seen is still so when the call is made; durable when this
    /// returns. A lock that the step has already is no obstacle.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn lock(&self, run: RunId, step: String, target: String, now: Timestamp) -> Result<Option<Held>, StoreError> {
        let driver = self.driver();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let query = "SELECT 1 FROM run WHERE id = $1 AND ($2 IS NULL OR node = $2)";
                    let ours: Option<(i64,)> = sqlx::query_as(query).bind(&run.0).bind(driver).fetch_optional(&mut *connection).await?;
                    if ours.is_none() { Ok(Some(Held::Ended)) } else { lock(connection, (&run, &step), &target, now).await }
                })
            })
            .await
    }

    /// Records that a call is about to be made; durable when this returns. Unless it returns `None`, the call must not be made.
    ///
    /// # Errors
    /// The store cannot be written; the call must not be made.
    pub async fn intend(&self, intent: Intent) -> Result<Option<Held>, StoreError> {
        let mut judged_before = None;
        if failpoints::mistake("cap_outside_transaction") {
            let (intent, by) = (intent.clone(), self.by());
            match self.writer.write(move |connection| Box::pin(async move { judge(connection, &intent, &by).await })).await? {
                Ok(come) => judged_before = Some(come),
                Err(held) => return Ok(Some(held)),
            }
            // Long enough for another to be judged as well, however busy the machine is.
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        }
        let by = self.by();
        let recorded = self.writer.write(move |connection| {
            Box::pin(async move {
                let judged = match judged_before {
                    Some(come) => Ok(come),
                    None => judge(connection, &intent, &by).await?,
                };
                if judged.is_ok() {
                    write_step(connection, &intent.run, &intent.step, Some(&intent.attempt)).await?;
                    if !intent.tells {
                        sqlx::query("UPDATE mark SET intents = intents + 1").execute(connection).await?;
                    }
                }
                Ok(judged.map(|come| Come { intents: come.intents + i64::from(!intent.tells), ..come }))
            })
        });
        match recorded.await? {
            Ok(Come { id, intents }) => {
                // Between the commit and the call.
                self.mark.iter().for_each(|mark| mark.raise(&id, intents));
                Ok(None)
            }
            Err(Held::Restored) => self.notice_restore().await.map(|_| Some(Held::Restored)),
            Err(held) => Ok(Some(held)),
        }
    }

    fn by(&self) -> By {
        By { driver: self.driver(), mark: self.mark.clone() }
    }
}

/// Who is about to make a call.
struct By {
    driver: Option<String>,
    mark: Option<Mark>,
}

/// How far the journal has come.
struct Come {
    id: String,
    intents: i64,
}

/// What is known of a run before anything else is asked: who stopped all actions and why, and whether its steps ask people; how far the
/// journal has come, and whether it is known to be behind.
type Open = (Option<String>, Option<String>, Flag, String, i64, Option<i64>);

async fn lock(
    connection: &mut AnyConnection,
    (run, step): (&RunId, &str),
    target: &str,
    now: Timestamp,
) -> Result<Option<Held>, sqlx::Error> {
    // A run that has ended has given back its locks, and takes no more.
    let query = "INSERT INTO target_lock (target, run, step, since) SELECT $1, $2, $3, $4
                 WHERE EXISTS (SELECT 1 FROM run WHERE id = $2 AND state IN ('ready', 'waiting')) ON CONFLICT (target) DO NOTHING";
    let target = rows::key(target);
    sqlx::query(query).bind(&target).bind(&run.0).bind(step).bind(now.as_microsecond()).execute(&mut *connection).await?;
    let query = "SELECT run, step FROM target_lock WHERE target = $1";
    let held: Option<(String, String)> = sqlx::query_as(query).bind(&target).fetch_optional(connection).await?;
    let Some((holder, holding)) = held else { return Ok(Some(Held::Ended)) };
    let is_ours = (holder.as_str(), holding.as_str()) == (run.0.as_str(), step);
    Ok(if is_ours || failpoints::mistake("no_target_lock") { None } else { Some(Held::Locked { by: holder }) })
}

/// How far the journal has come, or what speaks against the intent; takes its lock if nothing does.
async fn judge(connection: &mut AnyConnection, intent: &Intent, by: &By) -> Result<Result<Come, Held>, sqlx::Error> {
    // What may have happened already is seen to its end; of a cancelled run nothing else begins.
    let query = "SELECT stopped.who, stopped.reason, EXISTS (SELECT 1 FROM approval WHERE approval.run = $1),
                        mark.id, mark.intents, mark.behind_since
                 FROM run JOIN mark ON mark.one = 1 LEFT JOIN stopped ON NOT $3
                 WHERE run.id = $1 AND state IN ('ready', 'waiting') AND (NOT cancel OR $2) AND ($4 IS NULL OR node = $4)";
    let open: Option<Open> = sqlx::query_as(query)
        .bind(&intent.run.0)
        .bind(intent.step.uncertain)
        .bind(intent.tells)
        .bind(&by.driver)
        .fetch_optional(&mut *connection)
        .await?;
    // A node whose lease is over may have lost the run by the time it sends.
    if let Some(driver) = &by.driver
        && !nodes::lease_holds(connection, driver).await?
    {
        return Ok(Err(Held::Ended));
    }
    let Some((stopped_by, reason, Flag(asks), id, intents, behind)) = open else { return Ok(Err(Held::Ended)) };
    if let Some(who) = stopped_by {
        return Ok(Err(Held::Stopped { who, reason: reason.unwrap_or_default() }));
    }
    let is_behind = behind.is_some() || by.mark.as_ref().is_some_and(|mark| mark.is_behind(&id, intents));
    if is_behind && !intent.tells {
        return Ok(Err(Held::Restored));
    }
    Ok(match refusal(connection, intent, asks).await? {
        Some(held) => Err(held),
        None => Ok(Come { id, intents }),
    })
}

/// What people, holds, the target's lock and limits have against it.
async fn refusal(connection: &mut AnyConnection, intent: &Intent, asks: bool) -> Result<Option<Held>, sqlx::Error> {
    // A look at the target may have failed before, so that this need not be attempt number one.
    let is_first = intent.step.first_intent_at == Some(intent.attempt.intent_at);
    if is_first && (asks || !intent.askers.is_empty()) {
        let spot = (&intent.run, intent.step.id.as_str());
        if approvals::unapproved(connection, spot, &intent.hash, &intent.askers).await? {
            return Ok(Some(Held::Unapproved));
        }
    }
    if let Some(undone) = intent.undoes.as_ref().filter(|_| !intent.step.uncertain)
        && rollback::is_kept(connection, &intent.run, undone).await?
    {
        give_back(connection, intent).await?;
        return Ok(Some(Held::Ended));
    }
    if let Some(held) = holds::against(connection, intent).await? {
        return Ok(Some(held));
    }
    if let Some(target) = &intent.step.target {
        let held = lock(connection, (&intent.run, &intent.step.id), target, intent.attempt.intent_at).await?;
        if held.is_some() {
            return Ok(held);
        }
    }
    for guard in intent.guards.iter().filter(|_| is_first) {
        if used(connection, guard, intent.attempt.intent_at).await? >= i64::from(guard.most) {
            give_back(connection, intent).await?;
            return Ok(Some(Held::Exceeded(guard.clone())));
        }
    }
    Ok(None)
}

/// What is not begun keeps nobody from its target.
async fn give_back(connection: &mut AnyConnection, intent: &Intent) -> Result<(), sqlx::Error> {
    let query = "DELETE FROM target_lock WHERE run = $1 AND step = $2";
    sqlx::query(query).bind(&intent.run.0).bind(&intent.step.id).execute(connection).await.map(|_| ())
}

/// How many steps were first attempted within the guard's while.
///
/// A clock that was set back does not open the while again: what lies in the future counts as well.
async fn used(connection: &mut AnyConnection, guard: &Guard, now: Timestamp) -> Result<i64, sqlx::Error> {
    let since = now.as_microsecond().saturating_sub(i64::try_from(guard.per.as_micros()).unwrap_or(i64::MAX));
    let query = "SELECT count(*) FROM step WHERE action IN (SELECT value FROM json_each($1)) AND first_intent_at > $2
                   AND ($3 IS NULL OR instr('/' || within || '/', '/' || $3 || '/') > 0)";
    let actions = serde_json::json!(guard.actions).to_string();
    let (count,): (i64,) = sqlx::query_as(query).bind(actions).bind(since).bind(&guard.playbook).fetch_one(connection).await?;
    Ok(count)
}
