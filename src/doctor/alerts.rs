//! Graph's alerts: whether they may be read, in the version of the settings, and whether the filter by date is heeded.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Case, Check, Diagnosis, Finding,
    case::Connected,
    diagnoses::rights,
    judge::{self, Judged},
};
use crate::connections::{Audience, Probed, Question};

pub(super) struct Alerts;

/// What reads alerts.
const ADAPTERS: &[&str] = &["graph_alerts", "partner_center_webhook"];
const ACTIONS: &[&str] = &["alert.get", "alert.update_status", "alerts.query"];

impl Check for Alerts {
    const PART: &'static str = "alerts";
    const SUMMARY: &'static str = "Whether Graph lists the alerts, and heeds the filter";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for connected in case.connections() {
            if case.has_adapter(connected.name, ADAPTERS) || case.has_action(ACTIONS) {
                findings.extend(of(&connected, case.now).await);
            }
        }
        findings
    }
}

async fn of(connected: &Connected<'_>, now: Timestamp) -> Vec<Finding> {
    let listed = match judge::judged(connected, Audience::Graph, connected.microsoft.probe(Question::Alerts).await) {
        Judged::Good(answer) => answer,
        Judged::Bad(findings) => return findings.into_iter().map(|finding| versioned(finding, connected)).collect(),
    };
    // Nothing can have been detected tomorrow, so who lists something does not filter.
    let tomorrow = now.saturating_add(SignedDuration::from_hours(24)).unwrap_or(now);
    let filtered = connected.microsoft.probe(Question::AlertsSince(tomorrow)).await;
    let (diagnosis, seen) = match filtered {
        Probed::Answered(answer) if answer.is_success() => (heeded(count(&answer.body), count(&listed.body)), String::new()),
        Probed::Answered(answer) => (&rights::FILTER_REFUSED, answer.said),
        Probed::NoToken(failure) | Probed::NoAnswer(failure) => (judge::unanswered(&failure), failure.message),
    };
    vec![Finding::new(diagnosis, connected.name).with("service", Audience::Graph.service()).seen(seen)]
}

fn heeded(with_filter: usize, without: usize) -> &'static Diagnosis {
    if with_filter > 0 && without > 0 { &rights::FILTER_IGNORED } else { &rights::ALERTS_GOOD }
}

fn count(body: &Value) -> usize {
    body.get("value").and_then(Value::as_array).map_or(0, Vec::len)
}

/// A refusal that names no other reason is one of the version.
fn versioned(finding: Finding, connected: &Connected<'_>) -> Finding {
    if finding.diagnosis.code == rights::ANSWER_REFUSED.code {
        return Finding::new(&rights::ALERTS_VERSION, connected.name).seen(finding.seen);
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_heeded_unless_something_passes_that_cannot() {
        assert_eq!(heeded(0, 0).code, "alerts-good");
        assert_eq!(heeded(0, 7).code, "alerts-good");
        assert_eq!(heeded(7, 7).code, "filter-ignored");
    }
}
