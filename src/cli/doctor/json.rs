//! What the doctor found, for machines.

use serde_json::{Value, json};

use crate::{
    doctor::{self, Finding},
    news::Language,
};

pub(super) fn document(findings: &[Finding], language: Language) -> Value {
    let finding = |it: &Finding| {
        json!({
            "part": it.part,
            "subject": it.subject,
            "grade": it.diagnosis.grade.as_str(),
            "code": it.diagnosis.code,
            "what": it.what(language),
            "answered": it.seen,
            "advice": it.advice(language),
        })
    };
    json!({ "grade": doctor::worst(findings).as_str(), "findings": findings.iter().map(finding).collect::<Vec<_>>() })
}
