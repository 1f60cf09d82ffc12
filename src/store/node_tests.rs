//! Several nodes on one PostgreSQL: who drives a run, who may record what becomes of it, and who does what one does for all.

use sqlx::AssertSqlSafe;

use super::{
    tests::{Fixture, arrival, intent, new_run, on_a_server, step},
    *,
};
use crate::run::{RunId, RunRecord, RunState, StepState};

/// So long that no lease is renewed while a test looks.
const LEASE: Duration = Duration::from_mins(1);

struct Two {
    it: Fixture,
    a: Store,
    b: Store,
    _tasks: Tasks,
}

async fn two() -> Two {
    let it = on_a_server().await;
    let tasks = Tasks::default();
    let (a, b) = (it.another().await.join(LEASE, &tasks).await.unwrap(), it.another().await.join(LEASE, &tasks).await.unwrap());
    Two { it, a, b, _tasks: tasks }
}

impl Two {
    async fn begun(&self) -> RunId {
        let run = new_run("contain");
        self.it.store.begin(run.clone()).await.unwrap();
        run.id
    }

    /// As if a node had last renewed its lease so long ago that it has been over for a while.
    async fn over_since(&self, node: &Store, past: Duration) {
        let (id, past) = (node.driver().unwrap(), past.as_micros());
        let statement = format!("UPDATE node SET until = now_us() - {past} WHERE id = '{id}'");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.it.store.readers).await.unwrap();
    }

    async fn change(&self, run: &RunId, state: RunState) -> Change {
        let run = RunRecord { state, ..self.it.store.timeline(run).await.unwrap().unwrap().run };
        Change::of(run)
    }
}

async fn claimed(store: &Store) -> Vec<RunId> {
    store.claim_due(store.clock().now(), None, 100).await.unwrap()
}

mod on_postgres {
    use super::*;

    #[tokio::test]
    async fn each_run_is_claimed_by_one_node() {
        let it = two().await;
        for _ in 0..40 {
            it.begun().await;
        }
        let claim = |store: &Store| {
            let store = store.clone();
            async move { store.claim_due(store.clock().now(), None, 15).await.unwrap() }
        };
        let (a, b) = tokio::join!(claim(&it.a), claim(&it.b));
        assert_eq!((a.len(), b.len()), (15, 15));
        assert!(a.iter().all(|run| !b.contains(run)));
        assert_eq!(claim(&it.a).await.len(), 25, "its own and those that are left");
        assert_eq!(claim(&it.b).await, b);
    }

    #[tokio::test]
    async fn a_node_that_lost_its_lease_begins_no_call_and_one_that_lost_a_run_records_nothing() {
        let it = two().await;
        let run = it.begun().await;
        assert_eq!(claimed(&it.a).await, std::slice::from_ref(&run));
        assert_eq!(it.b.intend(intent(&run, "plan:1", vec![])).await.unwrap(), Some(Held::Ended), "it is not its own");
        it.over_since(&it.a, Duration::ZERO).await;
        assert_eq!(it.a.intend(intent(&run, "plan:1", vec![])).await.unwrap(), Some(Held::Ended));

        assert_eq!(claimed(&it.b).await, std::slice::from_ref(&run));
        let late = it.change(&run, RunState::Done).await;
        assert_eq!(it.a.record(late).await.unwrap(), Standing::Ended);
        let lock = it.a.lock(run.clone(), "suspend".to_owned(), "plan:1".to_owned(), it.a.clock().now());
        assert_eq!(lock.await.unwrap(), Some(Held::Ended));
        assert_eq!(it.b.intend(intent(&run, "plan:1", vec![])).await.unwrap(), None);
        assert_eq!(it.b.record(it.change(&run, RunState::Done).await).await.unwrap(), Standing::Ours);
    }

    #[tokio::test]
    async fn a_run_with_a_call_under_way_is_taken_over_when_that_must_have_come_to_an_end() {
        let it = two().await;
        let run = it.begun().await;
        claimed(&it.a).await;
        assert_eq!(it.a.intend(intent(&run, "plan:1", vec![])).await.unwrap(), None);
        it.over_since(&it.a, LEASE / 2).await;
        assert_eq!(claimed(&it.b).await, [], "it may be under way");
        it.over_since(&it.a, LEASE + Duration::from_secs(1)).await;
        assert_eq!(claimed(&it.b).await, std::slice::from_ref(&run));
        let change = it.change(&run, RunState::Ready).await;
        let answered = Change { step: Some(step(StepState::Succeeded, "plan:1")), ..change };
        assert_eq!(it.a.record(answered).await.unwrap(), Standing::Ended, "its answer comes too late");
    }

    #[tokio::test]
    async fn a_run_that_waits_is_nobodys() {
        let it = two().await;
        let run = it.begun().await;
        claimed(&it.a).await;
        assert_eq!(it.a.record(it.change(&run, RunState::Waiting).await).await.unwrap(), Standing::Ours);
        assert_eq!(claimed(&it.b).await, std::slice::from_ref(&run));
        assert_eq!(claimed(&it.a).await, []);
    }

    #[tokio::test]
    async fn a_duty_is_done_by_one_node_until_that_has_left_or_its_lease_is_over() {
        let it = two().await;
        assert!(it.a.has_duty("poll feed").await.unwrap() && it.a.has_duty("poll feed").await.unwrap());
        assert!(!it.b.has_duty("poll feed").await.unwrap());
        it.over_since(&it.a, Duration::ZERO).await;
        assert!(it.b.has_duty("poll feed").await.unwrap());
        assert!(!it.a.has_duty("poll feed").await.unwrap());

        let tasks = Tasks::default();
        let third = it.it.another().await.join(LEASE, &tasks).await.unwrap();
        assert!(third.has_duty("schedules").await.unwrap());
        drop(third);
        assert!(tasks.end(Duration::from_secs(5)).await);
        assert!(it.a.has_duty("schedules").await.unwrap(), "it gave its lease back");
    }

    #[tokio::test]
    async fn an_alert_is_decided_about_by_one_node() {
        let it = two().await;
        it.a.take_in(vec![arrival("x", "0")]).await.unwrap();
        let decide = |store: &Store| {
            let (store, run) = (store.clone(), NewRun { alert: Some(1), occasion: "alert:1".to_owned(), ..new_run("contain") });
            async move { store.decide(vec![Decision { alert: 1, verdicts: vec![Verdict::Run(Box::new(run))] }]).await.unwrap().len() }
        };
        let (a, b) = tokio::join!(decide(&it.a), decide(&it.b));
        assert_eq!(a + b, 1);
    }
}
