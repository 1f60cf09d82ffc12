//! The web over real sockets: what is where, and what keeps connections within limits.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    adapters::{
        Hook,
        testing::{Bench, hook},
    },
    lifecycle::Tasks,
    playbook::{Library, Shelf},
    store::Store,
    telemetry::Metrics,
};

struct Running {
    address: SocketAddr,
    tasks: Tasks,
    flows: Arc<AtomicBool>,
}

impl Running {
    async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    async fn with(hooks: Vec<Hook>) -> Self {
        Self::obeying(None, hooks).await
    }

    async fn obeying(api_token: Option<Secret>, hooks: Vec<Hook>) -> Self {
        let flows = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&flows);
        let ready: Ready =
            Arc::new(move || Readiness { bus: true, store: true, consuming: asked.load(Ordering::Relaxed), ..no_playbooks() });
        let config = WebConfig { listen: "127.0.0.1:0".parse().unwrap(), api_token };
        let tasks = Tasks::default();
        let web = Web::bind(&config, behind(hooks, ready, &tasks).await).await.unwrap();
        let address = web.address();
        drop(tasks.spawn("web", web.run(tasks.stop())));
        Self { address, tasks, flows }
    }

    /// Sends bytes, and reads until the other side has closed.
    async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The other side may close before it has read everything.
        drop(stream.write_all(request.as_ref()).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        let answer = self.exchange(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (status(head), head.to_owned(), body.to_owned())
    }
}

async fn behind(hooks: Vec<Hook>, ready: Ready, tasks: &Tasks) -> Behind {
    let store = Store::open("sqlite::memory:", tasks, None).await.unwrap();
    let runs = Runs { store: store.clone(), people: Arc::default(), shelf: no_shelf() };
    let approvals = Approvals { store, people: Arc::default() };
    let reload: Reload = Arc::new(|_caller| Box::pin(async { Some(Reloaded::Replaced { playbooks: 2 }) }));
    Behind { hooks, metrics: Metrics::new().unwrap(), ready, reload, approvals, runs }
}

fn no_shelf() -> Shelf {
    Shelf::new(Arc::new(Library::load(tempfile::tempdir().unwrap().path())))
}

fn no_playbooks() -> Readiness {
    let since = "2026-03-02T04:11:09Z".parse().unwrap();
    Readiness { playbooks: Playbooks { loaded: 0, problems: vec!["P1".to_owned()], since }, ..Readiness::default() }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn machines_are_told_whether_it_lives_and_whether_alerts_flow() {
    let web = Running::new().await;
    assert_eq!((web.get("/healthz").await.0, web.get("/healthz").await.2.as_str()), (200, "ok\n"));
    let (status, _, body) = web.get("/readyz").await;
    let playbooks = json!({"loaded": 0, "problems": ["P1"], "since": "2026-03-02T04:11:09Z"});
    let expected = json!({"bus": true, "store": true, "consuming": true, "playbooks": playbooks});
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, expected), "broken playbooks do not stop the others");
    web.flows.store(false, Ordering::Relaxed);
    let (status, _, body) = web.get("/readyz").await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()["consuming"].as_bool()), (503, Some(false)));
    let (status, head, body) = web.get("/metrics").await;
    assert!(status == 200 && head.contains("text/plain; version=0.0.4") && body.contains("# HELP quell_"), "{head}");
}

#[tokio::test]
async fn every_answer_has_the_headers_and_every_refusal_is_json() {
    let web = Running::new().await;
    for (path, expected) in [("/", 200), ("/healthz", 200), ("/nothing", 404), ("/hooks/nobody", 404), ("/hooks", 404)] {
        let (status, head, body) = web.get(path).await;
        assert_eq!(status, expected, "{path}");
        for header in ["x-content-type-options: nosniff", "content-security-policy: default-src 'none'", "cache-control: no-store"] {
            assert!(head.contains(header), "{path}: {head}");
        }
        if status == 404 {
            assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["error"]["code"], "not_found");
        }
    }
    let answer = web.exchange("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    assert!(status(&answer) == 405 && answer.contains("\"method_not_allowed\""), "{answer}");
}

#[tokio::test]
async fn a_head_has_bounds_and_no_two_lengths() {
    let web = Running::new().await;
    let many = "h: x\r\n".repeat(65);
    for (what, request, expected) in [
        ("many headers", format!("GET / HTTP/1.1\r\n{many}\r\n"), 431),
        ("a large header", format!("GET / HTTP/1.1\r\nh: {}\r\n\r\n", "x".repeat(17 * 1024)), 431),
        ("two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx".to_owned(), 400),
        ("nonsense", "\u{0}\r\n\r\n".to_owned(), 400),
    ] {
        let answer = web.exchange(request).await;
        assert_eq!(status(&answer), expected, "{what}: {answer}");
    }
    let both = "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = web.exchange(both).await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "what follows is no second request: {answer}");
}

#[tokio::test]
async fn webhooks_are_mounted_at_their_paths() {
    let bench = Bench::new().await;
    let settings = json!({"name": "siem", "type": "webhook", "path": "/hooks/siem/k7p2", "auth": "none"});
    let web = Running::with(vec![hook(settings, &bench.around)]).await;
    let post = |path: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    };
    let alert = r#"{"id": "a", "kind": "k"}"#;
    for (request, expected) in [
        (post("/hooks/siem/k7p2", alert), 202),
        (post("/hooks/siem/k7p2?x=1", alert), 202),
        (post("/hooks/siem", alert), 404),
        (post("/hooks/siem/%6b7p2", alert), 404),
        (post("/hooks/siem/k7p2/", alert), 404),
        (post("/hooks/siem/k7p2", &" ".repeat(65 * 1024)), 413),
    ] {
        let answer = web.exchange(&request).await;
        assert_eq!(status(&answer), expected, "{request:.60}: {answer}");
    }
    assert_eq!(web.get("/hooks/siem/k7p2").await.0, 405);
    assert_eq!(bench.bus.alerts().len(), 2);
    let (_, _, page) = web.get("/").await;
    assert!(page.contains("<li>siem</li>") && !page.contains("k7p2"), "a path may hold a secret: {page}");
}

#[tokio::test]
async fn who_is_slow_is_let_go_and_hinders_nobody() {
    let web = Running::new().await;
    let begun = Instant::now();
    let mut slow = TcpStream::connect(web.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(web.address).await.unwrap());
    }
    assert_eq!(web.get("/healthz").await.0, 200);
    let mut rest = Vec::new();
    drop(slow.read_to_end(&mut rest).await);
    drop(idle.pop().unwrap().read_to_end(&mut rest).await);
    let waited = begun.elapsed();
    assert!(HEAD_TIMEOUT < waited + Duration::from_millis(500) && waited < HEAD_TIMEOUT * 2, "{waited:?}");
}

#[tokio::test]
async fn the_end_lets_go_of_idle_connections_and_of_the_address() {
    let web = Running::new().await;
    let mut kept = TcpStream::connect(web.address).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    kept.read_u8().await.unwrap();
    assert!(web.tasks.end(Duration::from_secs(2)).await);
    assert!(TcpStream::connect(web.address).await.is_err());
}

#[tokio::test]
async fn a_taken_address_is_named_with_what_to_do() {
    let web = Running::new().await;
    let config = WebConfig { listen: web.address, api_token: None };
    let fault = Web::bind(&config, behind(Vec::new(), Arc::new(no_playbooks), &Tasks::default()).await).await.unwrap_err().to_string();
    assert!(fault.contains(&web.address.to_string()) && fault.contains("`web.listen`"), "{fault}");
}

#[tokio::test]
async fn who_has_the_token_is_obeyed_and_nobody_without_one() {
    let post =
        |credential: &str| format!("POST /api/v1/reload HTTP/1.1\r\nHost: x\r\n{credential}Content-Length: 0\r\nConnection: close\r\n\r\n");
    let right = "Authorization: Bearer a-token-of-the-site\r\n";
    let web = Running::new().await;
    assert_eq!(status(&web.exchange(post(right)).await), 404, "nobody is obeyed where no token is set");

    let web = Running::obeying(Some(Secret::new("a-token-of-the-site")), Vec::new()).await;
    let wrong = ["", "Authorization: Bearer \r\n", "Authorization: Bearer a-token\r\n", "Authorization: Basic a-token-of-the-site\r\n"];
    for credential in wrong {
        let answer = web.exchange(post(credential)).await;
        assert!(status(&answer) == 401 && answer.contains("www-authenticate: Bearer"), "{credential}: {answer}");
        assert!(!answer.contains("a-token"), "{answer}");
    }
    let answer = web.exchange(post(right)).await;
    assert!(status(&answer) == 200 && answer.ends_with(r#"{"outcome":"replaced","playbooks":2}"#), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
    let (status, _, body) = web.get("/api/v1/reload").await;
    assert!(status == 405 && body.contains("`POST`"), "{body}");
}

#[test]
fn a_token_that_can_be_guessed_is_refused_and_not_shown() {
    let config = |token: &str| WebConfig { api_token: Some(Secret::new(token)), ..WebConfig::default() };
    for guessable in ["", "hunter2"] {
        let fault = config(guessable).fault().unwrap();
        assert!(fault.contains("`web.api_token`") && !fault.contains("hunter2"), "{fault}");
    }
    assert_eq!(config("0123456789abcdef").fault(), None);
    assert_eq!(WebConfig::default().fault(), None);
}

#[test]
fn it_listens_on_this_machine_alone_unless_told_otherwise() {
    assert_eq!(WebConfig::default().listen.to_string(), "127.0.0.1:8080");
    assert!(serde_json::from_str::<WebConfig>(r#"{"listn": "0.0.0.0:80"}"#).is_err());
}
