//! What a PostgreSQL server is refused for, and what is said of it. The tests of what both databases must do are in [`super::tests`].

use sqlx::AssertSqlSafe;

use super::{
    tests::{Fixture, on_a_server},
    *,
};

async fn run(it: &Fixture, statement: &str) {
    let mut connection = it.store.readers.acquire().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *connection).await.unwrap();
}

async fn refusal(url: &str) -> String {
    let soon = StoreConfig { timeout: Span(Duration::from_secs(1)), ..StoreConfig::from(url) };
    Store::open(&soon, &Tasks::default(), None).await.unwrap_err().to_string()
}

mod on_postgres {
    use super::*;

    #[tokio::test]
    async fn a_newer_schema_and_the_tables_of_another_program_are_refused() {
        let it = on_a_server().await;
        run(&it, "UPDATE journal SET version = 99").await;
        assert!(refusal(&it.url).await.contains("newer Quell (schema 99"));
        run(&it, "DROP TABLE journal").await;
        assert!(refusal(&it.url).await.contains("another program"));
    }

    #[tokio::test]
    async fn a_server_that_may_forget_what_it_committed_is_refused() {
        let it = on_a_server().await;
        let mut url = url::Url::parse(&it.url).unwrap();
        url.query_pairs_mut().append_pair("options", "-c synchronous_commit=off");
        let refusal = refusal(url.as_str()).await;
        assert!(refusal.contains("`synchronous_commit = off`") && refusal.contains("made twice"), "{refusal}");
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do_and_tells_no_password() {
        let it = on_a_server().await;
        let mut url = url::Url::parse(&it.url).unwrap();
        url.set_password(Some("xyzzy")).unwrap();
        let with = |change: fn(&mut url::Url)| {
            let mut url = url.clone();
            change(&mut url);
            url
        };
        for (url, advice) in [
            (with(|url| url.set_path("no_such_database")), "CREATE DATABASE"),
            (with(|url| url.set_username("nobody_known").unwrap()), "its user or password is wrong"),
            (with(|url| url.set_port(Some(1)).unwrap()), "cannot be reached"),
        ] {
            let refusal = refusal(url.as_str()).await;
            assert!(refusal.contains(advice) && !refusal.contains("xyzzy"), "{refusal}");
        }
    }

    #[tokio::test]
    async fn a_writer_that_stands_still_loses_its_turn() {
        let it = on_a_server().await;
        let mut other = it.store.readers.acquire().await.unwrap();
        sqlx::raw_sql("SET idle_in_transaction_session_timeout = 500; BEGIN; LOCK TABLE journal IN EXCLUSIVE MODE; INSERT INTO kept VALUES ('theirs', '', 0)")
            .execute(&mut *other)
            .await
            .unwrap();
        it.store.keep("ours", b"v").await.unwrap();
        assert_eq!(it.store.kept("theirs").await.unwrap(), None);
        assert!(sqlx::raw_sql("COMMIT").execute(&mut *other).await.is_err(), "it is told");
    }

    #[tokio::test]
    async fn two_nodes_may_start_on_an_empty_database_at_once() {
        let it = on_a_server().await;
        run(&it, "DO $$ BEGIN EXECUTE 'DROP SCHEMA ' || current_schema() || ' CASCADE; CREATE SCHEMA ' || substring(current_setting('search_path') from '[a-z_0-9]+'); END $$").await;
        let (tasks, url) = (Tasks::default(), it.url.as_str());
        let (first, second) = tokio::join!(Store::open(url, &tasks, None), Store::open(url, &tasks, None));
        first.unwrap().keep("a", b"").await.unwrap();
        assert!(second.unwrap().kept("a").await.unwrap().is_some());
    }
}
