//! What Microsoft says when it refuses, read from any of its error shapes, and what that means for us.

use serde_json::Value;

use super::{super::Failure, Audience, FailureKind, field, text};
use crate::net::Reply;

/// An answer other than success.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    reply: &'a Reply,
    /// The service's own code; empty when it gives none.
    pub(super) code: String,
    description: String,
}

impl<'a> Refusal<'a> {
    /// Reads an answer. Partner Center, its throttle, Graph and gateways have a shape each, and a proxy sends a web page.
    pub(super) fn read(reply: &'a Reply) -> Self {
        let body = reply.json().unwrap_or_default();
        let inner = field(&body, "error").filter(|it| it.is_object()).unwrap_or(&body);
        let code = match field(inner, "code") {
            Some(Value::String(code)) => code.clone(),
            Some(Value::Number(code)) => code.to_string(),
            _ => String::new(),
        };
        let said = ["description", "message"].map(|name| text(inner, name)).into_iter().find(|it| !it.is_empty());
        let description = said.map_or_else(|| reply.text_excerpt(), one_line);
        Self { reply, code: one_line(&code), description }
    }

    pub(super) fn into_failure(self, audience: Audience<'_>) -> Failure {
        let mut message = format!("{} answered {}", audience.service(), self.reply.status);
        if !self.code.is_empty() {
            message = format!("{message} ({})", self.code);
        }
        if !self.description.is_empty() {
            message = format!("{message}: {}", self.description);
        }
        if let Some(advice) = self.advice(audience) {
            message = format!("{message}; {advice}");
        }
        // By this Microsoft finds the request when asked for help.
        if let Some(id) = ["request-id", "ms-correlationid", "x-ms-request-id"].iter().find_map(|name| self.reply.header(name)) {
            message = format!("{message} [request {id}]");
        }
        let mut failure = Failure::from_status(self.reply, message);
        match self.code.as_str() {
            // The documented answer to a stale `ETag` is a 400.
            "2055" if self.reply.status == 400 => failure.kind = FailureKind::Conflict,
            // Not ready yet, and another operation on the subscription is pending.
            // So does Azure, of a resource.
            "800082" | "900278" | "AnotherOperationInProgress" if self.reply.status == 409 => failure.kind = FailureKind::NotDone,
            _ => {}
        }
        failure
    }

    /// Status, code and description as one line.
    pub(super) fn said(&self) -> String {
        let parts = [self.reply.status.to_string(), self.code.clone(), self.description.clone()];
        parts.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What a person can do about it.
    fn advice(&self, audience: Audience<'_>) -> Option<&'static str> {
        if lacks_multi_factor(self.reply) {
            return Some("a person must consent again with multi-factor sign-in, and the new refresh token must be configured");
        }
        let advice = match self.code.as_str() {
            "900420" => "the token is for another service; check `partner_center_url` and `login_url`",
            "900329" => "this needs a person's consent; configure `refresh_token`",
            "900308" | "900150" => {
                "the application or its user lacks a role; give it the Admin agent role or a GDAP role for this customer"
            }
            "900309" | "insufficient_claims" => "a Conditional Access policy stands in the way; exempt the application or its user",
            "900159" | "20002" => "the customer has no relationship with this partner",
            "AuthorizationFailed" => {
                "nobody gave it the role in this Azure subscription that the call needs, or somebody took it away; `entitlement.cancel` works \
                 without"
            }
            "ScopeLocked" => "a management lock of the customer's stands in the way; a person must decide whether to remove it",
            "Authorization_RequestDenied" if matches!(audience, Audience::CustomerGraph(_)) => {
                "the application lacks the permission in the customer's tenant, or the user to be changed is an administrator and it lacks a \
                 higher role"
            }
            "Authorization_RequestDenied" => "grant the application `PartnerSecurity.ReadWrite.All` with an administrator's consent",
            _ if self.reply.status == 401 => "the token was renewed and is still not accepted; a person must check the application",
            _ => return None,
        };
        Some(advice)
    }
}

/// Whether the refusal says that the sign-in lacks a second factor, which no renewal of a token mends.
pub(super) fn lacks_multi_factor(reply: &Reply) -> bool {
    let says_so = String::from_utf8_lossy(&reply.body).to_ascii_lowercase().contains("mfa required");
    let header = reply.header("ismfacompliant").is_some_and(|it| it.eq_ignore_ascii_case("false"));
    reply.status == 401 && (says_so || header)
}

/// Text of the other side, fit for one line of a log.
fn one_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(300).collect()
}
