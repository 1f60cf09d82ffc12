//! `/api/v1/runs/{id}/rollback` and `/keep`: a person undoes what a run did after it has ended, or lets it stay where it would be undone by
//! itself. Served only where somebody has a token.

use std::{path::Path as FilePath, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::person::{conflict, only_post, operator, person, unavailable};
use crate::{
    adapters::Refusal,
    engine::rollback::{self, Offer},
    people::People,
    playbook::{Playbook, Shelf},
    run::{RunId, RunRecord},
    store::{Decider, Progress, Store},
};

/// What is undone is read from and written to these.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Runs {
    pub store: Store,
    pub people: Arc<People>,
    pub shelf: Shelf,
}

/// What a person asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The steps; all that it can be done with, if left out.
    #[serde(default)]
    steps: Vec<String>,
    reason: String,
}

/// The names of a run's steps and a reason fit in.
const LARGEST_BODY: usize = 64 * 1024;

pub(super) fn router(runs: Runs) -> Router {
    Router::new()
        .route("/api/v1/runs/{id}/rollback", get(show).post(roll_back))
        .route("/api/v1/runs/{id}/keep", post(keep).fallback(only_post))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(runs)
}

async fn show(State(served): State<Runs>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let answer = async {
        person(&served.people, &headers)?;
        let (run, offers) = served.offers(&RunId(id)).await?;
        Ok::<_, Refusal>(Json(json!({"run": run.id, "state": run.state, "rollbacks": offers})))
    };
    answer.await.into_response()
}

async fn roll_back(State(served): State<Runs>, headers: HeaderMap, Path(id): Path<String>, body: Bytes) -> Response {
    served.roll_back(&headers, &RunId(id), &body).await.into_response()
}

async fn keep(State(served): State<Runs>, headers: HeaderMap, Path(id): Path<String>, body: Bytes) -> Response {
    served.keep(&headers, &RunId(id), &body).await.into_response()
}

impl Runs {
    async fn roll_back(&self, headers: &HeaderMap, id: &RunId, body: &[u8]) -> Result<Json<Value>, Refusal> {
        let (by, steps) = self.asked(headers, body)?;
        let (run, offers) = self.offers(id).await?;
        if let Some(why) = rollback::refusal(&run) {
            return Err(conflict("not_ended", why, "ask again when it has ended and nothing of it is in doubt"));
        }
        let chosen = rollback::choose(&offers, &steps);
        let chosen =
            chosen.map_err(|why| conflict("nothing_to_undo", why, "look with `GET` at what can be undone, and why the rest cannot"))?;
        let steps: Vec<_> = chosen.iter().map(|(step, _)| step.clone()).collect();
        if !self.store.roll_back(id, chosen, &by).await.map_err(unavailable)? {
            return Err(conflict("changed", "somebody else decided meanwhile".to_owned(), "look again with `GET`"));
        }
        Ok(Json(json!({"run": id, "outcome": "begun", "steps": steps})))
    }

    async fn keep(&self, headers: &HeaderMap, id: &RunId, body: &[u8]) -> Result<Json<Value>, Refusal> {
        let (by, steps) = self.asked(headers, body)?;
        let (_, offers) = self.offers(id).await?;
        let returns = |name: &String| offers.iter().any(|offer| offer.step == *name && offer.returns_at.is_some());
        let help = "look with `GET .../rollback` at what is undone by itself, and when";
        if let Some(name) = steps.iter().find(|name| !returns(name)) {
            return Err(conflict("nothing_to_keep", format!("step `{name}` is not undone by itself, or not any more"), help));
        }
        let kept = self.store.keep_done(id, steps, &by).await.map_err(unavailable)?;
        if kept.is_empty() {
            return Err(conflict("nothing_to_keep", "nothing of the run is undone by itself, or not any more".to_owned(), help));
        }
        Ok(Json(json!({"run": id, "outcome": "kept", "steps": kept})))
    }

    /// Who asks, and for what. Only operators and admins decide about what runs did.
    fn asked(&self, headers: &HeaderMap, body: &[u8]) -> Result<(Decider, Vec<String>), Refusal> {
        let name = operator(&self.people, headers, "decides about what runs did")?;
        let Asked { steps, reason } = serde_json::from_slice(body)
            .map_err(|error| Refusal::bad_request("body", format!("the body is to be `{{\"reason\": …, \"steps\": […]}}`: {error}")))?;
        if reason.trim().is_empty() {
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "reason", "a reason is needed", "send another `reason`"));
        }
        Ok((Decider { person: name.to_owned(), who: format!("{name} (api)"), reason }, steps))
    }

    async fn offers(&self, id: &RunId) -> Result<(RunRecord, Vec<Offer>), Refusal> {
        let progress = self.store.progress(id).await.map_err(unavailable)?;
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is no such run", "`quell runs list` shows them");
        let Progress { run, steps, .. } = progress.ok_or_else(unknown)?;
        let playbook = self.written(&run).await?;
        let offers = rollback::offers(&playbook, &run, &steps, self.store.clock().now());
        Ok((run, offers))
    }

    /// The playbook as it was when the run began.
    async fn written(&self, run: &RunRecord) -> Result<Arc<Playbook>, Refusal> {
        if let Some(playbook) = self.shelf.find(&run.playbook_hash) {
            return Ok(playbook);
        }
        let (text, around) = self.store.playbook_text(&run.playbook_hash).await.map_err(unavailable)?.unwrap_or_default();
        let compiled = self.shelf.current().compile(FilePath::new(&run.playbook), &text, &around);
        compiled.map(Arc::new).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let what = format!("the text of the playbook `{}` cannot be used any more", run.playbook);
            let refusal = conflict("playbook", what, "what it did must be undone by hand");
            Refusal { detail: Some(problems.join("; ")), ..refusal }
        })
    }
}
