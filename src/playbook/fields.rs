//! The fields of an alert, as playbooks may name them.

use crate::alert::Severity;

/// What a field of an alert holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// True or false.
    Flag,
    /// Texts.
    Texts,
    /// Whatever the source says, by name.
    Anything,
}

const SEVERITIES: &[&str] = &["informational", "low", "medium", "high", "critical"];
const CONFIDENCES: &[&str] = &["low", "medium", "high"];
const STATUSES: &[&str] = &["active", "investigating", "resolved"];

const FIELDS: &[(&str, Holds)] = &[
    ("id", Holds::Text),
    ("source", Holds::Text),
    ("kind", Holds::Text),
    ("severity", Holds::Word(SEVERITIES)),
    ("confidence", Holds::Word(CONFIDENCES)),
    ("status", Holds::Word(STATUSES)),
    ("title", Holds::Text),
    ("description", Holds::Text),
    ("customer_tenant_id", Holds::Text),
    ("customer_name", Holds::Text),
    ("subscription_id", Holds::Text),
    ("reseller_tenant_id", Holds::Text),
    ("resources", Holds::Texts),
    ("detected_at", Holds::Text),
    ("received_at", Holds::Text),
    ("revision", Holds::Text),
    ("is_test", Holds::Flag),
    ("details", Holds::Anything),
    ("raw", Holds::Anything),
];

/// Every field's name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(name, _)| *name)
}

pub(super) fn is_known(name: &str) -> bool {
    holds(name).is_some()
}

pub(super) fn holds(name: &str) -> Option<Holds> {
    FIELDS.iter().find(|(field, _)| *field == name).map(|(_, holds)| *holds)
}

/// The rank of a severity or confidence: they share their words and their order.
pub(super) fn rank(word: &str) -> Option<Severity> {
    Severity::parse(word)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::alert::{Alert, Confidence, Status};

    #[test]
    fn the_fields_are_those_of_the_alert() {
        let alert: Alert = serde_json::from_value(json!({
            "id": "a", "source": "s", "kind": "k", "customer_name": "c", "reseller_tenant_id": "r",
            "detected_at": "2026-03-02T04:11:09Z", "received_at": "2026-03-02T04:12:00Z",
        }))
        .unwrap();
        let Value::Object(fields) = serde_json::to_value(alert).unwrap() else { panic!("an alert is an object") };
        let mut known: Vec<&str> = names().collect();
        let mut real: Vec<&str> = fields.keys().map(String::as_str).collect();
        known.sort_unstable();
        real.sort_unstable();
        assert_eq!(known, real);
    }

    #[test]
    fn the_words_are_those_of_the_alert() {
        assert_eq!(SEVERITIES, Severity::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>());
        assert_eq!(CONFIDENCES, Confidence::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>());
        assert_eq!(STATUSES, Status::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>());
    }
}
