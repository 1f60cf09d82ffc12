//! Several programs on one journal. Each is a node with a lease, which it renews by the clock of the database; a run is driven by the node
//! that claimed it, and only that node can record what becomes of it. When a lease is over, others claim its runs and take its duties.
//!
//! A node is a new one each time that the program starts, so its name is the fence: what a node that was thought dead writes about a run
//! that it lost changes no row. A journal in SQLite has one program, by its lock, and needs no leases: there every answer is "yes".

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sqlx::{AnyConnection, AnyPool};
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    Store, StoreError,
    lease::{CallTime, quiet, usable},
};
use crate::{
    clock::uptime,
    failpoints,
    lifecycle::{Stop, Tasks},
    run::{Mode, RunId},
};

/// This program among those that share the journal.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: String,
    lease: Duration,
    /// Milliseconds of [`uptime`] at which the last renewal that succeeded was begun.
    renewed: AtomicU64,
}

/// Rows of nodes that ended so long ago are of no interest any more.
const FORGET_AFTER: Duration = Duration::from_hours(24);

impl Node {
    /// Whether it may begin something that only the holder of a lease may.
    ///
    /// Counted from before the renewal was asked for, by a clock that nobody sets and that goes on while the process is stopped and the
    /// machine sleeps.
    fn is_alive_at(&self, uptime: Duration) -> bool {
        let renewed = Duration::from_millis(self.renewed.load(Ordering::Acquire));
        uptime.saturating_sub(renewed) < usable(self.lease)
    }

    fn is_alive(&self) -> bool {
        self.is_alive_at(uptime())
    }
}

impl Store {
    /// Makes this program a node, if the journal is one that several may share. It is one until the last copy of this store is gone.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn join(mut self, lease: Duration, tasks: &Tasks) -> Result<Self, StoreError> {
        let Some(heart) = self.heart.take() else { return Ok(self) };
        let node = Arc::new(Node { id: Uuid::now_v7().to_string(), lease, renewed: AtomicU64::default() });
        renew(&heart, &node).await?;
        info!(node = node.id, "this program is node {}", node.id);
        tasks.spawn_vital("lease", keep_alive(heart, (node.id.clone(), lease / 3), Arc::downgrade(&node), tasks.stop()));
        self.node = Some(node);
        Ok(self)
    }

    /// Whether this program may begin something that one does for all: its lease is not over, and will not be in a moment.
    pub fn is_alive(&self) -> bool {
        self.node.as_ref().is_none_or(|node| node.is_alive())
    }

    /// The time of a call whose intent is about to be recorded. It begins now.
    pub fn call_time(&self) -> CallTime {
        let is_fenced = self.is_shared() && !failpoints::mistake("no_fence");
        if is_fenced { CallTime::from(uptime()) } else { CallTime::UNBOUNDED }
    }

    /// Whether other programs work on the same journal, or may.
    pub fn is_shared(&self) -> bool {
        self.node.is_some()
    }

    /// What marks a run as driven by this program.
    pub(super) fn driver(&self) -> Option<String> {
        self.node.as_ref().map(|node| node.id.clone())
    }

    /// Takes runs that have something to do, longest due first, so that nobody else drives them; those that this program has already are
    /// among them. All modes, or only one.
    ///
    /// # Errors
    /// The store cannot be written; nothing was taken.
    pub async fn claim_due(&self, now: Timestamp, only: Option<Mode>, most: i64) -> Result<Vec<RunId>, StoreError> {
        let Some(node) = &self.node else { return self.due_runs(now, only, most).await };
        if !node.is_alive() {
            return Ok(Vec::new());
        }
        let claim = Claim { node: Arc::clone(node), now: now.as_microsecond(), only: only.map(Mode::as_str), most };
        // Most of the time there is nothing, and a look costs no commit.
        if most > 0 && !claim.run(FREE, &mut *self.readers.acquire().await?).await?.is_empty() {
            self.writer.write(move |connection| Box::pin(async move { claim.run(TAKE, connection).await })).await?;
        }
        let ours = "SELECT id FROM run WHERE node = $1 AND state IN ('ready', 'waiting') AND due_at <= $2 AND ($3 IS NULL OR mode = $3)
                    ORDER BY due_at, id";
        let (now, only) = (now.as_microsecond(), only.map(Mode::as_str));
        let claimed: Vec<(String,)> = sqlx::query_as(ours).bind(&node.id).bind(now).bind(only).fetch_all(&self.readers).await?;
        Ok(claimed.into_iter().map(|(id,)| RunId(id)).collect())
    }

    /// Whether a duty is this program's, that one does for all: to poll a source, to begin what a schedule says. Takes it if nobody has it.
    ///
    /// # Errors
    /// The store cannot be read or written; the duty is not to be done.
    pub async fn has_duty(&self, name: &str) -> Result<bool, StoreError> {
        let Some(node) = &self.node else { return Ok(true) };
        if !node.is_alive() {
            return Ok(false);
        }
        let query = "SELECT duty.node FROM duty JOIN node ON node.id = duty.node WHERE duty.name = $1 AND until > now_us()";
        let owner: Option<(String,)> = sqlx::query_as(query).bind(name).fetch_optional(&self.readers).await?;
        if let Some((owner,)) = owner {
            return Ok(owner == node.id);
        }
        let query = "INSERT INTO duty (name, node) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET node = excluded.node
                     WHERE NOT EXISTS (SELECT 1 FROM node WHERE node.id = duty.node AND until > now_us())";
        let (duty, id) = (name.to_owned(), node.id.clone());
        let taken = self.writer.write(move |connection| {
            Box::pin(async move { sqlx::query(query).bind(duty).bind(id).execute(connection).await.map(|done| done.rows_affected() == 1) })
        });
        let taken = taken.await?;
        if taken {
            info!(duty = name, "this node does `{name}` for all from now on");
        }
        Ok(taken)
    }
}

/// Whether the lease of a driver holds, by the clock of the database: asked in the transaction of an intent.
pub(super) async fn lease_holds(connection: &mut AnyConnection, driver: &str) -> Result<bool, sqlx::Error> {
    let query = "SELECT 1 FROM node WHERE id = $1 AND until > now_us()";
    let found: Option<(i64,)> = sqlx::query_as(query).bind(driver).fetch_optional(connection).await?;
    Ok(found.is_some())
}

/// What a node asks for.
struct Claim {
    node: Arc<Node>,
    now: i64,
    only: Option<&'static str>,
    most: i64,
}

/// Runs that nobody drives. Of a node that has died, a call may be under way still: such a run is free only when that has come to an end,
/// and is then gone on with as after a crash.
const FREE: &str = "
    SELECT id FROM run AS due
    WHERE state IN ('ready', 'waiting') AND due_at <= $2 AND ($3 IS NULL OR mode = $3) AND due.node IS DISTINCT FROM $1
      AND NOT EXISTS (
          SELECT 1 FROM node WHERE node.id = due.node AND until > now_us()
              - CASE WHEN EXISTS (SELECT 1 FROM step WHERE step.run = due.id AND step.state = 'executing') THEN $5 ELSE 0 END)
    ORDER BY due_at, id LIMIT $4";
const TAKE: &str = "
    UPDATE run SET node = $1 WHERE id IN (
        SELECT id FROM run AS due
        WHERE state IN ('ready', 'waiting') AND due_at <= $2 AND ($3 IS NULL OR mode = $3) AND due.node IS DISTINCT FROM $1
          AND NOT EXISTS (
              SELECT 1 FROM node WHERE node.id = due.node AND until > now_us()
                  - CASE WHEN EXISTS (SELECT 1 FROM step WHERE step.run = due.id AND step.state = 'executing') THEN $5 ELSE 0 END)
        ORDER BY due_at, id LIMIT $4)
    RETURNING id";

impl Claim {
    async fn run(&self, query: &'static str, connection: &mut AnyConnection) -> Result<Vec<(String,)>, sqlx::Error> {
        sqlx::query_as(query)
            .bind(&self.node.id)
            .bind(self.now)
            .bind(self.only)
            .bind(self.most)
            .bind(micros(quiet(self.node.lease)))
            .fetch_all(connection)
            .await
    }
}

/// Renews the lease until the last copy of the store is gone; then gives it back, so that others need not wait for its end.
async fn keep_alive(heart: AnyPool, (id, every): (String, Duration), node: Weak<Node>, stop: Stop) {
    let (mut renewed, mut is_lost) = (Instant::now(), false);
    loop {
        if stop.is_requested() {
            // What is under way is recorded first; that is a matter of seconds, and the end of it is looked for often.
            tokio::time::sleep(every.min(Duration::from_millis(50))).await;
        } else {
            stop.sleep(every).await;
        }
        let Some(node) = node.upgrade() else { break };
        if renewed.elapsed() < every {
            continue;
        }
        renewed = Instant::now();
        let failed = !matches!(tokio::time::timeout(every, renew(&heart, &node)).await, Ok(Ok(())));
        if failed && !is_lost {
            warn!(node = id, "the lease of this node cannot be renewed; it begins nothing until it can");
        }
        is_lost = failed;
    }
    if let Err(error) = leave(&heart, &id).await {
        warn!(node = id, %error, "this node could not give its lease back, so others wait for its end");
    }
}

async fn renew(heart: &AnyPool, node: &Node) -> Result<(), sqlx::Error> {
    let asked = u64::try_from(uptime().as_millis()).unwrap_or(u64::MAX);
    let query = "INSERT INTO node (id, name, started_at, until) VALUES ($1, $2, now_us(), now_us() + $3)
                 ON CONFLICT (id) DO UPDATE SET until = excluded.until";
    sqlx::query(query).bind(&node.id).bind(name()).bind(micros(node.lease)).execute(heart).await?;
    node.renewed.store(asked, Ordering::Release);
    Ok(())
}

/// Its time is over at once. A call that it left under way is waited for, as that of a node that died.
async fn leave(heart: &AnyPool, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE node SET until = least(until, now_us()) WHERE id = $1").bind(id).execute(heart).await?;
    sqlx::query("DELETE FROM node WHERE until < now_us() - $1").bind(micros(FORGET_AFTER)).execute(heart).await.map(|_| ())
}

fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_slept_with_its_machine_has_lost_its_lease_when_it_wakes() {
        let now = uptime();
        let renewed = AtomicU64::new(u64::try_from(now.as_millis()).unwrap());
        let node = Node { id: "a".to_owned(), lease: Duration::from_secs(15), renewed };
        assert!(node.is_alive() && node.is_alive_at(now + Duration::from_secs(9)));
        assert!(!node.is_alive_at(now + Duration::from_secs(10)), "within the rest, what it began can be recorded");
        assert!(!node.is_alive_at(now + Duration::from_hours(8)));
    }
}
