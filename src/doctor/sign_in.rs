//! Tokens: whether each service that is needed gives one, as whom, and what the token says that it is good for.

use super::{
    Case, Check, Finding,
    case::Connected,
    diagnoses::{rights, sign_in},
    judge,
};
use crate::connections::{Actor, Audience, Failure, SignedIn};

pub(super) struct SignIn;

/// What the actions on alerts need.
const CHANGES_ALERTS: &[&str] = &["PartnerSecurity.ReadWrite.All"];

impl Check for SignIn {
    const PART: &'static str = "sign_in";
    const SUMMARY: &'static str = "Whether each service gives a token, as whom, and with which permissions";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let writes = case.has_action(&["alert.update_status"]);
        let mut findings = Vec::new();
        for connected in case.connections() {
            for audience in [Audience::Graph, Audience::PartnerCenter] {
                findings.extend(judged(&connected, audience, connected.microsoft.signed_in(audience).await, writes));
            }
        }
        findings
    }
}

fn judged(connected: &Connected<'_>, audience: Audience<'_>, asked: Result<SignedIn, Failure>, writes: bool) -> Vec<Finding> {
    let finding =
        |diagnosis| Finding::new(diagnosis, connected.name).with("service", audience.service()).with("connection", connected.name);
    let signed_in = match asked {
        Err(failure) => return vec![finding(judge::no_token(&failure, audience)).seen(failure.message)],
        Ok(signed_in) => signed_in,
    };
    let claims = signed_in.claims.unwrap_or_default();
    let actor = match (signed_in.actor, claims.person.as_str()) {
        (Actor::Application, _) => "the application",
        (Actor::Person, "") => "a person",
        (Actor::Person, person) => person,
    };
    let permissions = if claims.permissions.is_empty() { "-".to_owned() } else { claims.permissions.join(", ") };
    let mut findings = vec![finding(&sign_in::SIGNED_IN).with("actor", actor).with("permissions", &permissions)];
    if signed_in.actor == Actor::Person && !claims.factors.is_empty() && !claims.has_second_factor() {
        findings.push(finding(&sign_in::MFA_MISSING));
    }
    // That it may not even read, the service itself tells.
    let reads = claims.has_one_of(&["PartnerSecurity.Read.All"]);
    if audience == Audience::Graph && writes && reads && !claims.has_one_of(CHANGES_ALERTS) {
        findings.push(finding(&rights::ALERTS_WRITE_MISSING).seen(permissions));
    }
    findings
}
