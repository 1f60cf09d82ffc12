//! Partner Center itself: whose it is, and whether its customers may be read.

use serde_json::Value;

use super::{
    Case, Check, Finding,
    case::Connected,
    diagnoses::rights,
    judge::{self, Judged},
};
use crate::connections::{Answer, Audience, Question};

pub(super) struct PartnerCenter;

impl Check for PartnerCenter {
    const PART: &'static str = "partner_center";
    const SUMMARY: &'static str = "Whether Partner Center is the partner's own, and lists its customers";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for connected in case.connections() {
            findings.extend(of(&connected).await);
        }
        findings
    }
}

async fn of(connected: &Connected<'_>) -> Vec<Finding> {
    let ask = async |question| judge::judged(connected, Audience::PartnerCenter, connected.microsoft.probe(question).await);
    let mut findings = Vec::new();
    // It is told to a person only.
    if connected.is_for_person() {
        match ask(Question::Organization).await {
            Judged::Good(answer) => findings.push(organization(connected.name, &connected.config.tenant_id.0, &answer)),
            Judged::Bad(bad) => findings.extend(bad),
        }
    }
    match ask(Question::Customers).await {
        Judged::Good(answer) => findings.push(customers(connected.name, &answer)),
        Judged::Bad(bad) => findings.extend(bad),
    }
    findings
}

fn organization(connection: &str, own: &str, answer: &Answer) -> Finding {
    let named = |name: &str| answer.body.get(name).and_then(Value::as_str).unwrap_or_default();
    let tenant = named("tenantId");
    // A domain may be any of the tenant's.
    let is_own = own.contains('.') || tenant.is_empty() || tenant.eq_ignore_ascii_case(own);
    let diagnosis = if is_own { &rights::ORGANIZATION_GOOD } else { &rights::ORGANIZATION_OTHER };
    Finding::new(diagnosis, connection).with("name", named("companyName")).with("tenant", tenant).with("own", own)
}

fn customers(connection: &str, answer: &Answer) -> Finding {
    let items = answer.body.get("items").and_then(Value::as_array).map_or(0, Vec::len);
    let total = answer.body.get("totalCount").and_then(Value::as_u64);
    let diagnosis = if items == 0 { &rights::CUSTOMERS_NONE } else { &rights::CUSTOMERS_GOOD };
    Finding::new(diagnosis, connection).with("count", total.unwrap_or_else(|| u64::try_from(items).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(body: Value) -> Answer {
        Answer { status: 200, body, ..Answer::default() }
    }

    #[test]
    fn another_partners_tenant_is_noticed_and_a_domain_is_any_of_ones_own() {
        let other = answer(json!({ "tenantId": "B", "companyName": "Fabrikam" }));
        for (own, code) in [("A", "organization-other"), ("b", "organization-good"), ("contoso.com", "organization-good")] {
            assert_eq!(organization("c", own, &other).diagnosis.code, code);
        }
        assert_eq!(customers("c", &answer(json!({ "items": [] }))).diagnosis.code, "customers-none");
        assert_eq!(customers("c", &answer(json!({ "totalCount": 9, "items": [{}] }))).diagnosis.code, "customers-good");
    }
}
