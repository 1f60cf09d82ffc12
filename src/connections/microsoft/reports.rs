//! Lists of Partner Center about all customers: the activity log, what was used, and the older form of fraud alerts.

use jiff::civil::Date;
use serde_json::Value;
use uuid::Uuid;

use super::{super::Failure, Audience, Microsoft, partner_center::request, unreadable};
use crate::net::Method;

/// Few enough for one answer, and with the most pages that are read more than any partner's days hold.
const RECORDS_PER_PAGE: &str = "500";

impl Microsoft {
    /// The activity log from one day to another, both whole. Partner Center keeps 90 days.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn audit_records(&self, from: Date, to: Date) -> Result<Vec<Value>, Failure> {
        let mut url = self.partner_center.with(["auditrecords"]);
        let days = [("startDate", from.to_string()), ("endDate", to.to_string()), ("size", RECORDS_PER_PAGE.to_owned())];
        url.query_pairs_mut().extend_pairs(days);
        self.collection(url).await
    }

    /// What each customer has used this month, as far as it is known, beside its budget. Needs a person's consent.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn usage_records(&self) -> Result<Vec<Value>, Failure> {
        self.collection(self.partner_center.with(["customers", "usagerecords"])).await
    }

    /// A page of fraud events, counted from one, in their newer form. A page with fewer than `size` is the last. Needs a person's consent.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn fraud_events(&self, page: u32, size: u32) -> Result<Vec<Value>, Failure> {
        let mut url = self.partner_center.with(["fraudEvents"]);
        url.query_pairs_mut().append_pair("PageSize", &size.to_string()).append_pair("PageNumber", &page.to_string());
        let request = request(Method::GET, url, Uuid::now_v7()).header("X-NewEventsModel", "true").at_most(8 * 1024 * 1024);
        match self.read(Audience::PartnerCenter, request).await? {
            Value::Array(events) => Ok(events),
            _ => Err(unreadable(Audience::PartnerCenter, "the fraud events are not a list")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::{Timestamp, tz::TimeZone};
    use quell_simulator::{AlertSeed, Notify, Options};

    use super::super::super::bench::{config, connect, simulator};

    #[tokio::test]
    async fn a_long_log_is_read_to_its_end_and_without_consent_the_other_lists_say_what_is_missing() {
        let simulator = simulator(Options::default()).await;
        for _ in 0..501 {
            simulator.add_alert(AlertSeed { notify: Notify::No, ..AlertSeed::default() });
        }
        let microsoft = connect(&config(&simulator), Arc::default());
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let records = microsoft.audit_records(today.yesterday().unwrap(), today).await.unwrap();
        assert_eq!(records.len(), 501);
        let refused = microsoft.fraud_events(1, 10).await.unwrap_err();
        assert!(refused.message.contains("configure `refresh_token`"), "{refused}");
        assert_eq!(microsoft.usage_records().await.unwrap_err().http_status, Some(403));
    }
}
