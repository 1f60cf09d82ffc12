//! Lists of Partner Center that adapters poll: fraud events, the activity log, and what customers used.

use super::{
    Case, Check, Finding,
    diagnoses::rights,
    judge::{self, Judged},
};
use crate::connections::{Audience, Question};

pub(super) struct Reports;

impl Check for Reports {
    const PART: &'static str = "reports";
    const SUMMARY: &'static str = "Whether the lists can be read that adapters poll in Partner Center";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let polled = [
            ("fraud_events", "fraud events", Question::FraudEvents),
            ("audit_records", "the activity log", Question::AuditRecords(case.now)),
            ("usage_thresholds", "usage records", Question::UsageRecords),
        ];
        let mut findings = Vec::new();
        for connected in case.connections() {
            for (adapter, what, question) in polled {
                if !case.has_adapter(connected.name, &[adapter]) {
                    continue;
                }
                findings.extend(match judge::judged(&connected, Audience::PartnerCenter, connected.microsoft.probe(question).await) {
                    Judged::Good(_) => vec![Finding::new(&rights::REPORT_GOOD, connected.name).with("what", what)],
                    Judged::Bad(bad) => bad.into_iter().map(|finding| finding.naming("what", what)).collect(),
                });
            }
        }
        findings
    }
}
