use std::collections::BTreeSet;

use super::*;
use crate::{
    connections::{Answer, Audience, CustomerId, Failure, FailureKind},
    news::Language,
};

fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name)).collect()
}

#[test]
fn every_diagnosis_has_a_code_of_its_own_and_says_the_same_in_both_languages() {
    let mut codes = BTreeSet::new();
    for diagnosis in diagnoses::ALL.iter().copied().flatten() {
        assert!(codes.insert(diagnosis.code), "{}", diagnosis.code);
        let [english, korean] = [Language::En, Language::Ko].map(|language| diagnosis.words(language));
        for (one, other) in [(english.what, korean.what), (english.advice, korean.advice)] {
            assert_eq!(placeholders(one), placeholders(other), "{}", diagnosis.code);
            assert_eq!(one.is_empty(), other.is_empty(), "{}", diagnosis.code);
        }
        assert!(diagnosis.grade == Grade::Good || !english.advice.is_empty(), "{}: what is to be done?", diagnosis.code);
    }
    assert!(codes.len() > 60);
}

#[test]
fn every_diagnosis_is_explained_in_the_documentation() {
    let page = include_str!("../../docs/doctor.md");
    for diagnosis in diagnoses::ALL.iter().copied().flatten().filter(|it| it.grade != Grade::Good) {
        assert!(page.contains(&format!("`{}`", diagnosis.code)), "docs/doctor.md does not explain `{}`", diagnosis.code);
    }
    for entry in CATALOG {
        assert!(page.contains(&format!("`{}`", entry.part)), "docs/doctor.md does not name the part `{}`", entry.part);
    }
}

#[test]
fn a_refused_sign_in_is_told_by_microsofts_code() {
    let customer = CustomerId::parse("11111111-aaaa-4aaa-8aaa-000000000001").unwrap();
    let code = |number: &str, audience| {
        let message = format!("sign in at Microsoft: answered 400 invalid_grant: AADSTS{number}: said so.");
        judge::no_token(&Failure { http_status: Some(400), ..Failure::rejected(message) }, audience).code
    };
    for (number, here, there) in [
        ("7000215", "secret-wrong", "secret-wrong"),
        ("7000222", "secret-expired", "secret-expired"),
        ("700027", "certificate-refused", "certificate-refused"),
        ("700016", "application-unknown", "gdap-missing"),
        ("90002", "tenant-unknown", "gdap-missing"),
        ("65001", "consent-missing", "gdap-missing"),
        ("500011", "service-missing", "service-missing"),
        ("700082", "consent-over", "consent-over"),
        ("50173", "consent-over", "consent-over"),
        ("50076", "mfa-wanted", "mfa-wanted"),
        ("53003", "policy-blocks", "policy-blocks"),
        ("50057", "person-blocked", "person-blocked"),
        ("50020", "person-blocked", "gdap-missing"),
        ("99999", "sign-in-refused", "sign-in-refused"),
    ] {
        assert_eq!(code(number, Audience::PartnerCenter), here, "{number}");
        assert_eq!(code(number, Audience::Azure(&customer)), there, "{number}");
    }
}

#[test]
fn a_sign_in_without_an_answer_says_whether_the_way_is_closed_or_untrusted() {
    let of = |kind, message: &str, status| {
        judge::no_token(&Failure { http_status: status, ..Failure::new(kind, message) }, Audience::Graph).code
    };
    assert_eq!(of(FailureKind::NotDone, "POST https://x: no connection: Connection refused", None), "address-unreachable");
    assert_eq!(of(FailureKind::NotDone, "no connection: invalid peer certificate: UnknownIssuer", None), "tls-untrusted");
    assert_eq!(of(FailureKind::Rejected, "POST https://x: `10.0.0.1` is not public", None), "address-forbidden");
    assert_eq!(of(FailureKind::NotDone, "answered 503", Some(503)), "sign-in-fails");
}

#[test]
fn a_services_refusal_is_told_by_status_and_code() {
    let customer = CustomerId::parse("11111111-aaaa-4aaa-8aaa-000000000001").unwrap();
    let (graph, center) = (Audience::Graph, Audience::PartnerCenter);
    for (audience, status, code, expected) in [
        (graph, 200, "", None),
        (graph, 403, "Authorization_RequestDenied", Some("alerts-read-missing")),
        (graph, 403, "insufficient_claims", Some("policy-blocks")),
        (graph, 400, "BadRequest", Some("answer-refused")),
        (graph, 429, "TooManyRequests", Some("throttled")),
        (graph, 503, "", Some("service-fails")),
        (center, 401, "900420", Some("audience-wrong")),
        (center, 403, "900329", Some("person-needed")),
        (center, 403, "900308", Some("role-missing")),
        (center, 401, "400", Some("role-missing")),
        (center, 403, "900159", Some("customer-gone")),
        (Audience::Azure(&customer), 403, "AuthorizationFailed", Some("azure-role-missing")),
        (Audience::CustomerGraph(&customer), 403, "Authorization_RequestDenied", Some("users-denied")),
    ] {
        let answer = Answer { status, code: code.to_owned(), ..Answer::default() };
        assert_eq!(judge::refused(audience, &answer).map(|it| it.code), expected, "{status} {code}");
    }
    let lacking = Answer { status: 200, lacks_second_factor: true, ..Answer::default() };
    assert_eq!(judge::refused(center, &lacking).unwrap().code, "mfa-missing");
}

#[test]
fn what_has_one_cause_is_one_line() {
    use diagnoses::{rights, sign_in};
    let of = |service: &str| Finding::new(&sign_in::CONSENT_MISSING, "contoso").with("service", service);
    let joined = finding::joined([of("Graph"), Finding::new(&rights::REPORT_GOOD, "contoso"), of("Partner Center"), of("Graph")]);
    assert_eq!(joined.len(), 2);
    assert!(joined[0].what(Language::En).ends_with("uses Graph, Partner Center"), "{}", joined[0].what(Language::En));
    assert!(joined[0].what(Language::Ko).contains("Graph, Partner Center"));
    assert_eq!((worst(&joined), worst(&joined[1..]), worst(&[])), (Grade::Fault, Grade::Good, Grade::Good));
}
