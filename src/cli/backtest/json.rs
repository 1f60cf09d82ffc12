//! The report for scripts: one document.

use serde_json::json;

use super::{super::output, report::Report};

pub(super) fn print(report: &Report) {
    output::print_json(&json!({
        "since": report.within.since, "until": report.within.until, "alerts": report.alerts, "unanswered": report.unanswered, "times": report.times,
        "playbooks": report.playbooks, "differences": report.differences, "refused_files": report.refused,
    }));
}
