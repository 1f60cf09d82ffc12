//! Role assignments, which can be read and taken away.

use serde_json::{Value, json};

use super::{Place, error, list as pages};
use crate::{answer::Answer, call::Call, cloud::Assignment, ledger::Effect};

pub(super) fn list(place: &Place<'_>, call: &Call) -> Answer {
    let all: Vec<_> = place.here.assignments.iter().map(|it| json(it, place.subscription)).collect();
    pages(place, call, &all)
}

pub(super) fn one(place: &mut Place<'_>, call: &Call, name: &str) -> Answer {
    let found = place.here.assignments.iter().position(|it| it.id.to_lowercase().ends_with(&format!("/{name}")));
    match (call.method.as_str(), found) {
        ("GET", Some(index)) => {
            let found = place.here.assignments.get(index).map(|it| json(it, place.subscription));
            Answer::json(200, &found.unwrap_or_default())
        }
        ("GET", None) => error(404, "RoleAssignmentNotFound", "The role assignment is not found."),
        ("DELETE", Some(index)) => {
            let gone = place.here.assignments.remove(index);
            let effect = Effect::new("role_assignment.deleted", &gone.id);
            Answer::json(200, &json(&gone, place.subscription)).effect(effect)
        }
        ("DELETE", None) => Answer::empty(204).effect(Effect::new("role_assignment.deleted", name).repeated(true)),
        _ => error(405, "MethodNotAllowed", "The method is not allowed."),
    }
}

fn json(it: &Assignment, subscription: &str) -> Value {
    json!({
        "id": it.id,
        "name": it.id.rsplit('/').next(),
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": format!("/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}", it.role),
            "principalId": it.principal_id,
            "principalType": it.principal_type,
            "scope": it.scope,
            "createdOn": it.created.to_string(),
            "createdBy": it.principal_id,
        },
    })
}
