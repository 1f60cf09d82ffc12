//! A secret that a playbook sends reaches the service, and nothing else: not the journal, not the log, not what commands show.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, http::Uri};
use serde_json::json;

use crate::{
    spine::crypto_alert,
    support::lab::{Lab, Quell},
};

/// With letters that JSON and URLs write otherwise.
const SECRET: &str = "canary-Q7/x+\"9\" é";

/// The same without what a header cannot carry.
const TOKEN: &str = "canary-token-5150";

const PLAYBOOK: &str = r#"
playbook: post
mode: enforce
trigger: {alert: {match: {kind: crypto_mining}}}
vars: {url: "URL"}
steps:
  - id: post
    action: http.request
    with:
      method: POST
      url: "${vars.url}/post"
      headers: {Authorization: 'Bearer ${secret("token")}'}
      query: {k: '${secret("key")}'}
      body: {title: "${alert.title}", key: '${secret("key")}', in_text: 'k=${ secret("key") };'}
  - id: refused
    action: http.request
    with: {url: '${vars.url}/refused/${secret("token")}', headers: {X-Api-Key: '${secret("token")}'}}
    on_error: continue
  - id: unknown
    action: http.request
    with: {url: "${vars.url}/unknown", headers: {X-Api-Key: '${secret("tokn")}'}}
    on_error: continue
  - {id: tell, action: log, with: {message: "${steps.post.output.body} ${steps.refused.error} ${steps.unknown.error}"}}
"#;

type Seen = Arc<Mutex<Vec<(Uri, HeaderMap, String)>>>;

/// A service that answers with everything that it was sent.
async fn echo(State(seen): State<Seen>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let authorization =
        headers.get("authorization").or_else(|| headers.get("x-api-key")).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let answer = json!({"uri": uri.to_string(), "authorization": authorization, "body": body, authorization: 1}).to_string();
    let status = if uri.path().starts_with("/refused") { StatusCode::FORBIDDEN } else { StatusCode::OK };
    seen.lock().unwrap().push((uri, headers, body));
    (status, answer)
}

/// Everything that the installation wrote, and everything that it shows.
fn kept_and_shown(lab: &Lab, run: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(lab.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file() && path.extension().is_none_or(|it| it != "secret"));
    let mut all: Vec<_> = files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
    fs::write(lab.path("alert.json"), crypto_alert(&lab.simulator, 0).1.to_string()).unwrap();
    for command in [
        &["runs", "show", run, "--json"][..],
        &["runs", "show", run],
        &["alerts", "show", "1", "--json"],
        &["explain", "alert.json"],
        &["explain", "alert.json", "--json"],
        &["backtest", "--since", "60d"],
        &["backtest", "--since", "60d", "--json"],
        &["check", "--json"],
    ] {
        let output = lab.quell(command);
        all.push((command.join(" "), [output.stdout, output.stderr].concat()));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_service_and_nothing_else() {
    let lab = Lab::embedded().await;
    let seen = Seen::default();
    let service = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", service.local_addr().unwrap());
    let router = Router::new().fallback(echo).with_state(Arc::clone(&seen));
    let serving = tokio::spawn(async move { axum::serve(service, router).await });
    for (name, value) in [("key", SECRET), ("token", TOKEN)] {
        fs::write(lab.path(&format!("{name}.secret")), value).unwrap();
    }
    let file = |name: &str| lab.path(&format!("{name}.secret")).display().to_string();
    lab.add_settings(&format!("secrets: {{key: '${{file:{}}}', token: '${{file:{}}}'}}", file("key"), file("token")));
    lab.change_settings("debug,lapin=off,async_rs=off,hyper=off,reqwest=off,h2=off,rustls=off,sqlx=warn", "trace");
    lab.playbook("post", &PLAYBOOK.replace("URL", &url));
    let quell: Quell = lab.run().await;
    lab.hook(&crypto_alert(&lab.simulator, 0).1).await.unwrap();
    let store = lab.store().await;
    let (_, timelines) = lab.settled(&store, 1, Duration::from_mins(1)).await;

    let requests = seen.lock().unwrap().clone();
    let [(uri, headers, body), (refused, refused_headers, _)] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(uri.query().unwrap().contains("canary-Q7%2Fx%2B%229%22+%C3%A9"), "{uri}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["key"], &body["in_text"]), (&json!(SECRET), &json!(format!("k={SECRET};"))));
    assert_eq!((refused.path(), &refused_headers["x-api-key"]), (format!("/refused/{TOKEN}").as_str(), &TOKEN.parse().unwrap()));

    let [timeline] = timelines.as_slice() else { panic!("{} runs", timelines.len()) };
    let run = timeline.run.id.to_string();
    let shown = lab.json(&["runs", "show", &run]).to_string();
    assert!(shown.contains(r#"Bearer secret(\"token\")"#) && shown.contains("***"), "{shown}");
    assert!(shown.contains("there is no secret `tokn`; did you mean `token`?"), "{shown}");
    quell.terminate();
    for (what, bytes) in kept_and_shown(&lab, &run) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("canary"),
            "{what}: {}",
            text.split("canary").next().unwrap_or_default().chars().rev().take(300).collect::<String>()
        );
    }
    serving.abort();
}
