//! `POST /api/v1/reload`: the folder of playbooks is read again now. Served only where the settings have a token.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use axum::{
    Json, Router,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Serialize;

use super::person::{is_bearer, only_post, unauthorized};
use crate::{adapters::Refusal, secret::Secret};

/// Has the folder read again for whoever asks; says what came of it, or nothing when the program ends.
pub type Reload = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Option<Reloaded>> + Send>> + Send + Sync>;

/// What came of reading the folder again, with the number of playbooks in use now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reloaded {
    Replaced { playbooks: usize },
    Unchanged { playbooks: usize },
    Refused { playbooks: usize, problems: Vec<String> },
}

#[derive(Clone)]
struct Served {
    token: Secret,
    reload: Reload,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// What answers who has the token.
pub(super) fn router(token: Secret, reload: Reload) -> Router {
    Router::new().route("/api/v1/reload", post(answer).fallback(only_post)).with_state(Served { token, reload })
}

async fn answer(State(served): State<Served>, peer: Option<Extension<Peer>>, headers: HeaderMap) -> Response {
    if !is_bearer(&headers, &served.token) {
        return unauthorized("send `Authorization: Bearer …` with the token of `web.api_token`").into_response();
    }
    // One token for all: where the request came from is all that is known of who asks. Behind a proxy, that is the proxy.
    let place = peer.map(|Extension(Peer(address))| format!(", {address}")).unwrap_or_default();
    match (served.reload)(format!("whoever has `web.api_token` (api{place})")).await {
        Some(reloaded @ (Reloaded::Replaced { .. } | Reloaded::Unchanged { .. })) => Json(reloaded).into_response(),
        Some(reloaded @ Reloaded::Refused { .. }) => (StatusCode::UNPROCESSABLE_ENTITY, Json(reloaded)).into_response(),
        None => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the program ends", "ask again after its start").into_response()
        }
    }
}
