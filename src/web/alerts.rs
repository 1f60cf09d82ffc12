//! `/api/v1/alerts/{alert}/replay`: a person has an alert answered once more. Served only where somebody has a token.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    person::{conflict, only_post, operator, unavailable},
    runs::Runs,
};
use crate::{
    adapters::Refusal,
    engine::replay::{self, Again},
    run::Replay,
    store::{AlertFilter, Decider, Past},
};

/// What a person asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Only this playbook.
    playbook: Option<String>,
    reason: String,
}

/// A name and a reason fit in.
const LARGEST_BODY: usize = 16 * 1024;

pub(super) fn router(runs: Runs) -> Router {
    Router::new()
        .route("/api/v1/alerts/{alert}/replay", post(once_more).fallback(only_post))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(runs)
}

async fn once_more(State(served): State<Runs>, headers: HeaderMap, Path(alert): Path<String>, body: Bytes) -> Response {
    served.once_more(&headers, &alert, &body).await.into_response()
}

impl Runs {
    async fn once_more(&self, headers: &HeaderMap, alert: &str, body: &[u8]) -> Result<Json<Value>, Refusal> {
        let name = operator(&self.people, headers, "replays alerts")?;
        let Asked { playbook, reason } = serde_json::from_slice(body)
            .map_err(|error| Refusal::bad_request("body", format!("the body is to be `{{\"reason\": …, \"playbook\": …}}`: {error}")))?;
        if reason.trim().is_empty() {
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "reason", "a reason is needed", "send another `reason`"));
        }
        let past = self.past(alert).await?;
        let by = Decider { person: name.to_owned(), who: format!("{name} (api)"), reason };
        let wish = Replay { who: by.who.clone(), reason: by.reason.clone() };
        let again = replay::replay(&self.shelf.current(), &past, playbook.as_deref(), &wish, self.store.clock().now());
        let help = "`quell explain` says what each playbook answers, and why";
        let Again { runs, failed } = again.map_err(|why| conflict("no_answer", why, help))?;
        let replayed = self.store.replay(past.number, runs, &by).await.map_err(unavailable)?;
        let undecided = || conflict("undecided", "it is not decided yet what is done about it".to_owned(), "ask again in a moment");
        let replayed = replayed.ok_or_else(undecided)?;
        let failed: Vec<_> = failed.iter().map(|(playbook, detail)| json!({"playbook": playbook, "detail": detail})).collect();
        Ok(Json(json!({"alert": past.number, "runs": replayed, "failed": failed})))
    }

    /// The alert of that number or id.
    async fn past(&self, alert: &str) -> Result<Past, Refusal> {
        let filter = AlertFilter { name: Some(alert.to_owned()), most: 2, ..AlertFilter::default() };
        let found = self.store.alerts(&filter).await.map_err(unavailable)?;
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is no such alert", "`quell alerts list` shows them");
        match found.as_slice() {
            [row] => self.store.past_of(row.number).await.map_err(unavailable)?.ok_or_else(unknown),
            [] => Err(unknown()),
            [..] => Err(conflict("ambiguous", "several alerts have that id".to_owned(), "give the number")),
        }
    }
}
