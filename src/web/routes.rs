//! What is where: webhooks below `/hooks/`, health and metrics for machines, what obeys below `/api/`, and one page for people.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{any, get},
};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    WebConfig, alerts,
    approvals::{self, Approvals},
    reload::{self, Reload},
    runs::{self, Runs},
};
use crate::{
    adapters::{Hook, Refusal},
    telemetry::Metrics,
};

/// What the web shows and passes on.
#[expect(missing_docs, reason = "the types say it")]
pub struct Behind {
    pub hooks: Vec<Hook>,
    pub metrics: Metrics,
    pub ready: Ready,
    pub reload: Reload,
    pub approvals: Approvals,
    pub runs: Runs,
}

/// Asks whether alerts flow. It is called often and must not wait.
pub type Ready = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// Whether alerts flow, part by part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Readiness {
    pub bus: bool,
    pub store: bool,
    pub consuming: bool,
    pub playbooks: Playbooks,
}

/// The playbooks in use. Alerts flow with whichever there are, so this does not decide whether the program is ready.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Playbooks {
    /// How many there are.
    pub loaded: usize,
    /// What is wrong with the folder as it is now, the first few.
    pub problems: Vec<String>,
    /// Since when these are in use.
    pub since: Timestamp,
}

/// The bus is given five seconds, and reading from Microsoft some more.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Nothing here is to be framed, guessed at or kept; the page has neither scripts nor styles.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ),
];

#[derive(Clone)]
struct Served {
    hooks: Arc<HashMap<String, Hook>>,
    metrics: Metrics,
    ready: Ready,
}

/// Everything that the web answers.
pub(super) fn router(config: &WebConfig, behind: Behind) -> Router {
    let Behind { hooks, metrics, ready, reload, approvals, runs } = behind;
    let api = config.api_token.clone().map(|token| reload::router(token, reload)).unwrap_or_default();
    let knows_people = approvals.people.has_tokens();
    let of_people = || approvals::router(approvals).merge(alerts::router(runs.clone())).merge(runs::router(runs));
    let asked = if knows_people { of_people() } else { Router::new() };
    let hooks = Arc::new(hooks.into_iter().map(|hook| (hook.path.clone(), hook)).collect());
    Router::new()
        .route("/", get(front))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics_text))
        .route("/hooks/{*path}", any(hook))
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this page is only read", "use `GET`")
        })
        .with_state(Served { hooks, metrics, ready })
        .merge(api)
        .merge(asked)
        .layer(middleware::from_fn(guarded))
}

/// Every answer comes in time and with the headers.
async fn guarded(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_elapsed| Refusal::unavailable("the answer took too long").into_response());
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

async fn hook(State(served): State<Served>, request: Request) -> Response {
    match served.hooks.get(request.uri().path()) {
        Some(hook) => hook.answer(request).await,
        None => not_found().into_response(),
    }
}

async fn readiness(State(served): State<Served>) -> Response {
    let readiness = (served.ready)();
    let flows = readiness.bus && readiness.store && readiness.consuming;
    let status = if flows { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn metrics_text(State(served): State<Served>) -> Response {
    match served.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            let help = "report this; nothing else is affected";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics", format!("the metrics cannot be written: {error}"), help)
                .into_response()
        }
    }
}

/// Names only: a webhook's path may hold a secret.
async fn front(State(served): State<Served>) -> Html<String> {
    let mut names: Vec<_> = served.hooks.values().map(|hook| hook.adapter.as_str()).collect();
    names.sort_unstable();
    let webhooks = if names.is_empty() { "none".to_owned() } else { names.join("</li>\n<li>") };
    let version = env!("CARGO_PKG_VERSION");
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Quell</title>\n<main>\n<h1>Quell {version} is running</h1>\n\
         <ul>\n<li><a href=\"/readyz\">Whether alerts flow</a></li>\n<li><a href=\"/metrics\">Metrics</a></li>\n</ul>\n\
         <h2>Webhooks</h2>\n<ul>\n<li>{webhooks}</li>\n</ul>\n</main>\n</html>\n"
    ))
}

fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address", "check the path")
}
