//! A poll against a small server: what it asks for, what reaches the bus, and when the cursor moves.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, Response},
};
use serde_json::{Value, json};

use super::{
    super::testing::{Bench, serve, task},
    position::Position,
};

type Answer = (u16, Vec<(&'static str, String)>, String);

/// Gives the answers it was told to give, the last again and again, and remembers what it was asked.
#[derive(Clone, Default)]
struct Feed {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Feed {
    fn tell(&self, status: u16, headers: &[(&'static str, &str)], body: impl Into<Value>) -> &Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let body = match body.into() {
            Value::String(text) => text,
            document => document.to_string(),
        };
        self.answers.lock().unwrap().push_back((status, headers, body));
        self
    }

    fn answer(&self, request: &Request) -> Response<Body> {
        self.asked.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
        let mut answers = self.answers.lock().unwrap();
        let (status, headers, body) = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        let response = headers.iter().fold(Response::builder().status(status), |it, (name, value)| it.header(*name, value));
        response.body(body.into()).unwrap()
    }

    async fn serve(&self) -> String {
        let feed = self.clone();
        serve(Router::new().fallback(async move |request: Request| feed.answer(&request))).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(uri, _)| uri.clone()).collect()
    }

    fn last_header(&self, name: &str) -> Option<String> {
        self.asked.lock().unwrap().last()?.1.get(name).map(|it| it.to_str().unwrap().to_owned())
    }
}

fn settings(url: &str) -> Value {
    json!({
        "name": "feed", "type": "poll", "url": format!("{url}/items"), "every": "5m", "items": "body.value",
        "map": {"id": "item.id", "kind": "item.kind", "detected_at": "item.at"},
        "headers": {"Authorization": "Bearer t0ken"}, "since": "updated_after", "cursor": "item.at",
        "next": "get(body, \"next\", ())",
    })
}

fn item(id: &str, at: &str) -> Value {
    json!({"id": id, "kind": "intrusion", "at": at})
}

async fn cursor(bench: &Bench) -> Option<String> {
    let position = bench.around.store.cursor("feed").await.unwrap()?;
    Position::read(&position).cursor
}

#[tokio::test]
async fn the_cursor_moves_only_after_the_bus_has_everything() {
    let (bench, feed) = (Bench::new().await, Feed::default());
    feed.tell(200, &[], json!({"value": [item("a", "2026-03-02T04:00:00Z"), item("b", "2026-03-02T03:00:00Z")]}));
    let task = task(settings(&feed.serve().await), &bench.around);

    bench.bus.refuse(true);
    assert!(task.round().await.unwrap_err().message.contains("broker"));
    assert_eq!(bench.around.store.cursor("feed").await.unwrap(), None);

    bench.bus.refuse(false);
    assert_eq!(task.round().await.unwrap(), 2);
    assert_eq!(bench.bus.alerts()[0].raw["id"], "a");
    assert_eq!(cursor(&bench).await.as_deref(), Some("2026-03-02T04:00:00Z"));

    task.round().await.unwrap();
    let asked = feed.asked();
    assert_eq!(asked[..2], ["/items", "/items"]);
    assert_eq!(asked[2], "/items?updated_after=2026-03-01T04%3A00%3A00Z", "a day before the cursor");
    assert_eq!(feed.last_header("authorization").as_deref(), Some("Bearer t0ken"));
}

#[tokio::test]
async fn pages_are_followed_and_the_cursor_waits_for_the_last() {
    let (bench, feed) = (Bench::new().await, Feed::default());
    feed.tell(200, &[("etag", "\"1\"")], json!({"value": [item("a", "2026-03-02T04:00:00Z")], "next": "/items?page=2"}))
        .tell(500, &[], "")
        .tell(200, &[], json!({"value": [item("a", "2026-03-02T04:00:00Z")], "next": "?page=2"}))
        .tell(200, &[], json!({"value": [item("b", "2026-03-02T05:00:00Z")], "next": ""}));
    let task = task(settings(&feed.serve().await), &bench.around);
    assert!(task.round().await.unwrap_err().message.contains("500"));
    assert_eq!(cursor(&bench).await, None);
    assert_eq!(task.round().await.unwrap(), 2);
    assert_eq!(cursor(&bench).await.as_deref(), Some("2026-03-02T05:00:00Z"));
    assert_eq!(feed.asked(), ["/items", "/items?page=2", "/items", "/items?page=2"]);
    assert_eq!(feed.last_header("if-none-match"), None, "the first of several pages says nothing about the others");
}

#[tokio::test]
async fn credentials_do_not_follow_a_link_elsewhere_and_pages_do_not_go_round() {
    let (bench, feed) = (Bench::new().await, Feed::default());
    feed.tell(200, &[], json!({"value": [], "next": "https://evil.example/items"})).tell(
        200,
        &[],
        json!({"value": [], "next": "/items?page=2"}),
    );
    let task = task(settings(&feed.serve().await), &bench.around);
    assert!(task.round().await.unwrap_err().message.contains("another host"));
    assert!(task.round().await.unwrap_err().message.contains("named before"));
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (bench, feed) = (Bench::new().await, Feed::default());
    feed.tell(200, &[("etag", "\"1\""), ("last-modified", "Mon, 02 Mar 2026 04:00:00 GMT")], json!({"value": [item("a", "x")]})).tell(
        304,
        &[],
        "",
    );
    let mut settings = settings(&feed.serve().await);
    settings.as_object_mut().unwrap().retain(|name, _| name != "since");
    let task = task(settings, &bench.around);

    bench.bus.refuse(true);
    task.round().await.unwrap_err();
    bench.bus.refuse(false);
    feed.answers.lock().unwrap().push_front((
        200,
        vec![("etag", "\"1\"".to_owned())],
        json!({"value": [item("a", "2026-03-02T04:00:00Z")]}).to_string(),
    ));
    assert_eq!(task.round().await.unwrap(), 1);
    assert_eq!(feed.last_header("if-none-match"), None, "what was not published must come again");
    assert_eq!(task.round().await.unwrap(), 0);
    assert_eq!(task.round().await.unwrap(), 0);
    assert_eq!(feed.last_header("if-none-match").as_deref(), Some("\"1\""));
    assert_eq!(bench.bus.alerts().len(), 1);
}

#[tokio::test]
async fn an_item_that_is_no_alert_goes_to_the_quarantine_once_and_holds_up_nothing() {
    let (bench, feed) = (Bench::new().await, Feed::default());
    let bad = json!({"id": "bad", "at": "2026-03-02T06:00:00Z"});
    feed.tell(200, &[], json!({"value": [bad, item("a", "2026-03-02T04:00:00Z")]}));
    let task = task(settings(&feed.serve().await), &bench.around);
    assert_eq!(task.round().await.unwrap(), 2);
    assert_eq!(task.round().await.unwrap(), 1);
    let bodies: Vec<Value> = bench.bus.messages().iter().map(|it| serde_json::from_slice(&it.body).unwrap()).collect();
    assert_eq!(bodies[0], bad);
    assert_eq!(bench.bus.alerts().len(), 2);
    assert_eq!(cursor(&bench).await.as_deref(), Some("2026-03-02T06:00:00Z"));
}

#[tokio::test]
async fn an_answer_that_is_not_the_list_is_a_failure_and_not_an_empty_list() {
    let (bench, feed) = (Bench::new().await, Feed::default());
    feed.tell(200, &[], json!({"values": []}))
        .tell(200, &[], json!({"value": null}))
        .tell(200, &[], "<html>")
        .tell(302, &[("location", "/login")], "")
        .tell(304, &[], "")
        .tell(429, &[("retry-after", "120")], "");
    let task = task(settings(&feed.serve().await), &bench.around);
    for reason in ["`items`", "no list", "JSON", "302", "304"] {
        let trouble = task.round().await.unwrap_err();
        assert!(trouble.message.contains(reason), "{} should mention {reason}", trouble.message);
    }
    assert_eq!(task.round().await.unwrap_err().retry_after, Some(Duration::from_mins(2)));
}

#[tokio::test]
async fn settings_that_cannot_work_fail_the_build() {
    let bench = Bench::new().await;
    for (setting, value, reason) in [
        ("url", json!("ftp://x"), "`url`"),
        ("url", json!("x"), "`url`"),
        ("cursor", Value::Null, "`since` needs `cursor`"),
        ("items", json!("body."), "`items`"),
        ("map", json!({"id": "item.id"}), "no `kind`"),
        ("next", json!("item.next"), "`next`"),
    ] {
        let mut settings = settings("http://127.0.0.1:1");
        settings[setting] = value;
        let config = serde_json::from_value(settings).unwrap();
        let fault = format!("{:#}", super::super::build(&[config], &bench.around).unwrap_err().remove(0));
        assert!(fault.contains(reason), "{fault} should mention {reason}");
    }
}
