//! The activity log of an Azure subscription: who did what, from where.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::super::{
    super::{CustomerId, EntitlementId, Failure},
    Microsoft, field, text,
};

/// What is wanted of the log.
#[derive(Debug, Clone, Copy)]
pub struct ActivityQuery<'a> {
    /// The Azure subscription.
    pub subscription: &'a EntitlementId,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// So many pages' worth; one more is read to know that there are more.
    pub wanted: usize,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AzureEvent {
    /// When it happened.
    pub time: String,
    /// Who did it: a name for signing in, or an application's identifier.
    pub caller: String,
    /// From which address.
    pub ip: String,
    /// What was done, such as `Microsoft.Authorization/roleAssignments/write`.
    pub operation: String,
    /// How it went, such as `Succeeded`.
    pub status: String,
    /// To what it was done.
    pub resource_id: String,
    /// The same for everything that one request led to.
    pub correlation_id: String,
}

const PROPERTIES: &str = "caller,correlationId,eventTimestamp,httpRequest,operationName,resourceId,status";

impl Microsoft {
    /// What happened in an Azure subscription, as far back as Azure keeps it: about 90 days.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn activity_log(&self, customer: &CustomerId, query: ActivityQuery<'_>) -> Result<Vec<AzureEvent>, Failure> {
        let path = ["subscriptions", query.subscription.as_str(), "providers", "Microsoft.Insights", "eventtypes", "management", "values"];
        let mut url = self.azure_url(path, &self.azure_versions.activity_log);
        // Azure takes no other filter than one that begins with both times.
        let filter = format!("eventTimestamp ge '{:.3}' and eventTimestamp le '{:.3}'", query.from, query.until);
        url.query_pairs_mut().append_pair("$filter", &filter).append_pair("$select", PROPERTIES);
        let all = self.azure_list(customer, url, query.wanted).await?;
        Ok(all.iter().map(AzureEvent::read).collect())
    }
}

impl AzureEvent {
    fn read(body: &Value) -> Self {
        let part = |name: &str| field(body, name).unwrap_or(&Value::Null);
        Self {
            time: text(body, "eventTimestamp").to_owned(),
            caller: text(body, "caller").to_owned(),
            ip: text(part("httpRequest"), "clientIpAddress").to_owned(),
            operation: text(part("operationName"), "value").to_owned(),
            status: text(part("status"), "value").to_owned(),
            resource_id: text(body, "resourceId").to_owned(),
            correlation_id: text(body, "correlationId").to_owned(),
        }
    }
}
