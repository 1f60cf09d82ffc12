//! What an answer means, decided without any outside: from the codes that Microsoft documents, and from what a refused connection says.

use super::{
    Diagnosis, Finding,
    case::Connected,
    diagnoses::{local, rights, sign_in},
};
use crate::connections::{Answer, Audience, Failure, FailureKind, Probed};

/// What came of a look that should have been a success.
pub(super) enum Judged {
    /// It is one.
    Good(Answer),
    /// It is none; nothing, where another check tells of the cause.
    Bad(Vec<Finding>),
}

/// Judges a look at a service.
pub(super) fn judged(connected: &Connected<'_>, audience: Audience<'_>, probed: Probed) -> Judged {
    let finding =
        |diagnosis| Finding::new(diagnosis, connected.name).with("service", audience.service()).with("connection", connected.name);
    match probed {
        // The check of sign-ins tells why.
        Probed::NoToken(_) => Judged::Bad(Vec::new()),
        Probed::NoAnswer(failure) => Judged::Bad(vec![finding(unanswered(&failure)).seen(failure.message)]),
        Probed::Answered(answer) => match refused(audience, &answer) {
            None => Judged::Good(answer),
            Some(diagnosis) => Judged::Bad(vec![finding(diagnosis).with("what", "this").seen(answer.said)]),
        },
    }
}

/// Why there is no token, from the sentence that the sign-in failed with.
pub(super) fn no_token(failure: &Failure, audience: Audience<'_>) -> &'static Diagnosis {
    let is_customers = matches!(audience, Audience::CustomerGraph(_) | Audience::Azure(_));
    let code = failure.message.split_once("AADSTS").and_then(|(_, rest)| rest.split(|it: char| !it.is_ascii_digit()).next());
    match code.unwrap_or_default() {
        "7000215" | "7000216" => &sign_in::SECRET_WRONG,
        "7000222" => &sign_in::SECRET_EXPIRED,
        "700027" | "700024" | "700021" | "50027" => &sign_in::CERTIFICATE_REFUSED,
        // In a customer's tenant all of these say that nobody let us in there.
        "700016" | "65001" | "650057" | "50020" | "50034" | "50177" | "90002" if is_customers => &sign_in::GDAP_MISSING,
        "700016" => &sign_in::APPLICATION_UNKNOWN,
        "90002" | "900021" => &sign_in::TENANT_UNKNOWN,
        "65001" | "650057" => &sign_in::CONSENT_MISSING,
        "500011" => &sign_in::SERVICE_MISSING,
        "700082" | "700084" | "70008" | "50173" | "70043" | "50089" => &sign_in::CONSENT_OVER,
        "50076" | "50079" | "50072" | "50074" | "50158" => &sign_in::MFA_WANTED,
        "53000" | "53001" | "53002" | "53003" | "53004" | "53011" | "530084" => &sign_in::POLICY_BLOCKS,
        "50057" | "50020" | "50034" => &sign_in::PERSON_BLOCKED,
        "" if failure.message.contains("`quell login ") => &sign_in::CONSENT_NOBODY,
        _ if failure.kind != FailureKind::Rejected && failure.http_status.is_some() => &sign_in::SIGN_IN_FAILS,
        _ if failure.http_status.is_none() => unanswered(failure),
        _ => &sign_in::SIGN_IN_REFUSED,
    }
}

/// Why nothing was answered.
pub(super) fn unanswered(failure: &Failure) -> &'static Diagnosis {
    let says = |words: &[&str]| words.iter().any(|word| failure.message.to_ascii_lowercase().contains(word));
    if says(&["certificate", "unknownissuer", "tls handshake"]) {
        return &sign_in::TLS_UNTRUSTED;
    }
    if failure.kind == FailureKind::Rejected { &sign_in::ADDRESS_FORBIDDEN } else { &sign_in::ADDRESS_UNREACHABLE }
}

/// Why a service refuses; `None` if it does not.
pub(super) fn refused(audience: Audience<'_>, answer: &Answer) -> Option<&'static Diagnosis> {
    if answer.lacks_second_factor {
        return Some(&sign_in::MFA_MISSING);
    }
    if answer.is_success() {
        return None;
    }
    Some(match (answer.status, answer.code.as_str(), audience) {
        (429, ..) => &rights::THROTTLED,
        (408 | 500.., ..) => &rights::SERVICE_FAILS,
        (_, "900420" | "InvalidAuthenticationTokenAudience", _) => &rights::AUDIENCE_WRONG,
        (_, "900329", _) => &rights::PERSON_NEEDED,
        (_, "900308" | "900150", _) => &rights::ROLE_MISSING,
        (_, "900309" | "insufficient_claims", _) => &sign_in::POLICY_BLOCKS,
        (_, "900159" | "20002", _) => &rights::CUSTOMER_GONE,
        (403, _, Audience::Graph) => &rights::ALERTS_READ_MISSING,
        (401 | 403, _, Audience::PartnerCenter) => &rights::ROLE_MISSING,
        (403, _, Audience::Azure(_)) => &rights::AZURE_ROLE_MISSING,
        (403, _, Audience::CustomerGraph(_)) => &rights::USERS_DENIED,
        (_, _, Audience::Graph | Audience::PartnerCenter | Audience::Azure(_) | Audience::CustomerGraph(_)) => &rights::ANSWER_REFUSED,
    })
}

/// Why a channel did not take what it was given.
pub(super) fn channel(failure: &Failure) -> &'static Diagnosis {
    match failure.kind {
        FailureKind::Rejected | FailureKind::Conflict => &local::CHANNEL_REFUSED,
        FailureKind::NotDone | FailureKind::Unknown => &local::CHANNEL_UNREACHABLE,
    }
}
