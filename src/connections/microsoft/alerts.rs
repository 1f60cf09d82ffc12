//! Partner security alerts in Graph.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{super::Failure, Audience, Microsoft, text, unreadable};
use crate::net::{Request, Url};

/// Which alerts are wanted; everything that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct AlertQuery {
    /// Detected at that time or later.
    pub since: Option<Timestamp>,
    /// Graph's word for the state, e.g. `active`.
    pub status: Option<String>,
    /// The Azure subscription.
    pub subscription_id: Option<String>,
}

/// Some alerts, as Graph writes them.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The alerts.
    pub alerts: Vec<Value>,
    /// Where the next page is; for [`Microsoft::next_page`].
    pub next: Option<String>,
}

impl Microsoft {
    /// The first page of alerts. It may hold more than was asked for: which properties Graph filters by is not documented, so
    /// that a refused filter is left out.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn list_alerts(&self, query: &AlertQuery) -> Result<Page, Failure> {
        let all = self.graph.with(PATH);
        let Some(filter) = query.filter() else {
            return self.page(all).await;
        };
        let mut filtered = all.clone();
        filtered.query_pairs_mut().append_pair("$filter", &filter);
        match self.page(filtered).await {
            Err(failure) if failure.http_status == Some(400) => self.page(all).await,
            answered => answered,
        }
    }

    /// The page that an earlier one points to.
    ///
    /// # Errors
    /// Rejected when the link leads elsewhere than to Graph's alerts: a token must not follow it.
    pub async fn next_page(&self, link: &str) -> Result<Page, Failure> {
        let expected = self.graph.with(PATH);
        let url = Url::parse(link).ok().filter(|url| url.origin() == expected.origin() && url.path() == expected.path());
        let url = url.ok_or_else(|| Failure::rejected("Graph's link to the next page leads elsewhere, and is not followed"))?;
        let page = self.page(url).await?;
        if page.next.as_deref() == Some(link) {
            return Err(Failure::rejected("Graph's link to the next page leads to itself"));
        }
        Ok(page)
    }

    /// One alert.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn get_alert(&self, id: &str) -> Result<Value, Failure> {
        self.read(Audience::Graph, Request::get(self.alert_url(id)?)).await
    }

    /// Changes where work on an alert stands. Graph's answer is no proof; read the alert again.
    ///
    /// # Errors
    /// [`Failure`]; the change may be repeated.
    pub async fn update_alert(&self, id: &str, status: &str, reason: Option<&str>) -> Result<(), Failure> {
        let mut body = json!({ "status": status });
        if let (Some(reason), Some(fields)) = (reason, body.as_object_mut()) {
            fields.insert("resolvedReason".to_owned(), reason.into());
        }
        drop(self.write(Audience::Graph, Request::patch(self.alert_url(id)?).json(&body)).await?);
        Ok(())
    }

    async fn page(&self, url: Url) -> Result<Page, Failure> {
        // A page holds up to some hundreds of alerts of some kilobytes.
        let request = Request::get(url).at_most(8 * 1024 * 1024);
        let mut body = self.read(Audience::Graph, request).await?;
        let next = Some(text(&body, "@odata.nextLink")).filter(|link| !link.is_empty()).map(str::to_owned);
        let Some(Value::Array(alerts)) = body.get_mut("value").map(Value::take) else {
            return Err(unreadable(Audience::Graph, "`value` is not a list"));
        };
        Ok(Page { alerts, next })
    }

    /// An alert's identifier is opaque; only what would change the path is refused.
    fn alert_url(&self, id: &str) -> Result<Url, Failure> {
        let is_usable = !matches!(id, "" | "." | "..") && id.len() <= 1024 && !id.chars().any(char::is_control);
        if !is_usable {
            return Err(Failure::rejected("the alert's identifier is empty, too long or not a name"));
        }
        Ok(self.graph.with(PATH.iter().copied().chain([id])))
    }
}

pub(super) const PATH: [&str; 3] = ["security", "partner", "securityAlerts"];

impl AlertQuery {
    /// The condition as Graph reads it.
    pub(super) fn filter(&self) -> Option<String> {
        let quoted = |property: &str, value: &String| format!("{property} eq '{}'", value.replace('\'', "''"));
        let clauses: Vec<_> = [
            self.since.map(|since| format!("detectedDateTime ge {since:.6}")),
            self.status.as_ref().map(|status| quoted("status", status)),
            self.subscription_id.as_ref().map(|id| quoted("subscriptionId", id)),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!clauses.is_empty()).then(|| clauses.join(" and "))
    }
}
