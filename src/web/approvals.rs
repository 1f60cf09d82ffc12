//! `/api/v1/approvals`: what people are asked, and their answers. Each person has a token; served only where somebody has one.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::person::{only_post, person, unavailable};
use crate::{
    adapters::Refusal,
    approval::{Approval, ApprovalId, Ballot, Choice, Refused},
    people::People,
    store::{ApprovalFilter, Store},
};

/// What the answers are read from and written to.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Approvals {
    pub store: Store,
    pub people: Arc<People>,
}

/// What a person sends with an answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// The hash of the plan that the person saw.
    hash: String,
    #[serde(default)]
    reason: String,
}

/// A hash and a reason fit many times over.
const LARGEST_BODY: usize = 16 * 1024;

/// As many as a page shows.
const MOST: i64 = 200;

pub(super) fn router(approvals: Approvals) -> Router {
    Router::new()
        .route("/api/v1/approvals", get(list))
        .route("/api/v1/approvals/{id}", get(show))
        .route("/api/v1/approvals/{id}/approve", post(approve).fallback(only_post))
        .route("/api/v1/approvals/{id}/reject", post(reject).fallback(only_post))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(approvals)
}

async fn list(State(served): State<Approvals>, headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Response {
    let answer = async {
        person(&served.people, &headers)?;
        let open = match query.get("state").map_or("open", String::as_str) {
            "open" => true,
            "all" => false,
            other => return Err(Refusal::bad_request("state", format!("`state` is `open` or `all`, and this is `{other}`"))),
        };
        let found = served.store.approvals(&ApprovalFilter { open, most: MOST, ..ApprovalFilter::default() }).await.map_err(unavailable)?;
        let shown: Vec<_> = found.iter().map(|approval| served.shown(approval)).collect();
        Ok(Json(json!({ "approvals": shown })))
    };
    answer.await.into_response()
}

async fn show(State(served): State<Approvals>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let answer = async {
        person(&served.people, &headers)?;
        let approval = served.store.approval(&ApprovalId(id)).await.map_err(unavailable)?.ok_or_else(|| refusal(&Refused::Unknown))?;
        Ok::<_, Refusal>(Json(served.shown(&approval)))
    };
    answer.await.into_response()
}

async fn approve(State(served): State<Approvals>, headers: HeaderMap, Path(id): Path<String>, body: Bytes) -> Response {
    served.vote(&headers, ApprovalId(id), Choice::Approve, &body).await.into_response()
}

async fn reject(State(served): State<Approvals>, headers: HeaderMap, Path(id): Path<String>, body: Bytes) -> Response {
    served.vote(&headers, ApprovalId(id), Choice::Reject, &body).await.into_response()
}

impl Approvals {
    async fn vote(&self, headers: &HeaderMap, id: ApprovalId, choice: Choice, body: &[u8]) -> Result<Json<Value>, Refusal> {
        let (name, user) = person(&self.people, headers)?;
        let said: Said = serde_json::from_slice(body)
            .map_err(|error| Refusal::bad_request("body", format!("the body is to be `{{\"hash\": …, \"reason\": …}}`: {error}")))?;
        let Said { hash, reason } = said;
        let (groups, role) = (user.groups.clone(), user.role);
        let ballot = Ballot { person: name.to_owned(), groups, role, choice, reason, hash, via: "api".to_owned() };
        match self.store.vote(&id, ballot).await.map_err(unavailable)? {
            Ok(counted) => Ok(Json(json!({"approval": id, "outcome": counted.outcome(), "missing": counted.missing()}))),
            Err(refused) => Err(refusal(&refused)),
        }
    }

    /// The question as it is shown, with those who may vote now.
    fn shown(&self, approval: &Approval) -> Value {
        let may_vote = approval.may_vote(&self.people, self.store.clock().now());
        let mut shown = json!(approval);
        if let Value::Object(fields) = &mut shown {
            fields.insert("may_vote".to_owned(), json!(may_vote));
        }
        shown
    }
}

fn refusal(refused: &Refused) -> Refusal {
    let (status, code, help) = match refused {
        Refused::Unknown => (StatusCode::NOT_FOUND, "not_found", "`GET /api/v1/approvals` lists them"),
        Refused::Closed(_) | Refused::Late(_) | Refused::RunEnds => {
            (StatusCode::GONE, "closed", "look at how it ended; nothing changes that")
        }
        Refused::Changed { .. } => (StatusCode::CONFLICT, "changed", "look at the plan again, and answer with its hash"),
        Refused::Again { .. } => (StatusCode::CONFLICT, "already_voted", "wait for the others, or reject while it is open"),
        Refused::Requester(_) => (StatusCode::FORBIDDEN, "requester", "somebody else must decide"),
        Refused::Role { .. } => (StatusCode::FORBIDDEN, "role", "ask somebody whose role allows it"),
        Refused::Foreign { .. } => (StatusCode::FORBIDDEN, "not_asked", "somebody of these groups must decide"),
        Refused::NoReason | Refused::LongReason(_) => (StatusCode::UNPROCESSABLE_ENTITY, "reason", "send another `reason`"),
    };
    Refusal::new(status, code, refused.to_string(), help)
}
