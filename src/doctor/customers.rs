//! Customers' own tenants, where a connection may work in them: whether one of them lets it in, in Azure and among its users.

use serde_json::Value;

use super::{
    Case, Check, Diagnosis, Finding,
    case::Connected,
    diagnoses::rights,
    judge::{self, Judged},
};
use crate::connections::{Audience, CustomerAccess, CustomerId, Probed, Question};

pub(super) struct Customers;

impl Check for Customers {
    const PART: &'static str = "customers";
    const SUMMARY: &'static str = "Whether the first customer lets the connection in, where `customer_access` is set";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for connected in case.connections().iter().filter(|it| it.config.customer_access != CustomerAccess::None) {
            // Where no customer is named, the check of Partner Center tells why.
            if let Some(customer) = connected.a_customer().await {
                findings.extend(of(connected, &customer, Question::AzureSubscriptions(&customer)).await);
                findings.extend(of(connected, &customer, Question::Users(&customer)).await);
            }
        }
        findings
    }
}

async fn of(connected: &Connected<'_>, customer: &CustomerId, question: Question<'_>) -> Vec<Finding> {
    let audience = question.audience();
    let probed = connected.microsoft.probe(question).await;
    if let Probed::NoToken(failure) = &probed {
        let finding = Finding::new(judge::no_token(failure, audience), connected.name).with("connection", connected.name);
        return vec![finding.with("service", audience.service()).seen(&failure.message)];
    }
    match judge::judged(connected, audience, probed) {
        Judged::Good(answer) => {
            let count = answer.body.get("value").and_then(Value::as_array).map_or(0, Vec::len);
            vec![Finding::new(judged(audience, count), connected.name).with("customer", customer.as_str()).with("count", count)]
        }
        Judged::Bad(findings) => findings.into_iter().map(|finding| finding.with("customer", customer.as_str())).collect(),
    }
}

/// Azure lists what one has a role in, and refuses nobody.
fn judged(audience: Audience<'_>, count: usize) -> &'static Diagnosis {
    match audience {
        Audience::Azure(_) if count == 0 => &rights::AZURE_ROLE_MISSING,
        Audience::Azure(_) => &rights::AZURE_GOOD,
        Audience::Graph | Audience::PartnerCenter | Audience::CustomerGraph(_) => &rights::USERS_GOOD,
    }
}
