//! Looks that change nothing and say what came of them as it was answered: for those who find out what is missing, not for those who work.

use jiff::{Timestamp, fmt::rfc2822, tz::TimeZone};
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{CustomerId, Failure},
    Actor, AlertQuery, Audience, CertificateDates, Claims, ConsentAge, Microsoft, alerts, partner_center, refusal,
    refusal::Refusal,
};
use crate::net::{Method, Reply, Request};

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// The partner's alerts, a page of them.
    Alerts,
    /// The alerts from that time on: Graph may refuse or not heed the condition.
    AlertsSince(Timestamp),
    /// The partner's own organization.
    Organization,
    /// Its customers, one of them.
    Customers,
    /// The older form of alerts.
    FraudEvents,
    /// The activity log of a day.
    AuditRecords(Timestamp),
    /// What customers used this month.
    UsageRecords,
    /// Where events are sent.
    Webhook,
    /// The Azure subscriptions of a customer that can be seen.
    AzureSubscriptions(&'a CustomerId),
    /// The users of a customer, one of them.
    Users(&'a CustomerId),
}

/// What came of a look.
#[derive(Debug, Clone)]
pub enum Probed {
    /// There is no token to look with.
    NoToken(Failure),
    /// Nothing was answered.
    NoAnswer(Failure),
    /// Something was answered.
    Answered(Answer),
}

/// What was answered.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The service's own code of a refusal; empty where it gives none.
    pub code: String,
    /// What was said, as one line for people.
    pub said: String,
    /// Whether it says that the sign-in lacks a second factor.
    pub lacks_second_factor: bool,
    /// The time at the service.
    pub at: Option<Timestamp>,
    /// The document of a success.
    pub body: Value,
}

/// A sign-in that worked.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// On whose behalf.
    pub actor: Actor,
    /// What the token says of itself.
    pub claims: Option<Claims>,
}

/// The version of Azure's list of subscriptions, which is older than those of what is in them.
const SUBSCRIPTIONS_VERSION: &str = "2020-01-01";

/// A page of alerts may hold some hundreds of some kilobytes.
const LARGEST: usize = 8 * 1024 * 1024;

impl<'a> Question<'a> {
    /// The service that is asked.
    pub fn audience(self) -> Audience<'a> {
        match self {
            Self::Alerts | Self::AlertsSince(_) => Audience::Graph,
            Self::Organization | Self::Customers | Self::FraudEvents | Self::AuditRecords(_) | Self::UsageRecords | Self::Webhook => {
                Audience::PartnerCenter
            }
            Self::AzureSubscriptions(customer) => Audience::Azure(customer),
            Self::Users(customer) => Audience::CustomerGraph(customer),
        }
    }
}

impl Microsoft {
    /// Signs in to a service and says as whom.
    ///
    /// # Errors
    /// What the sign-in answered.
    pub async fn signed_in(&self, audience: Audience<'_>) -> Result<SignedIn, Failure> {
        let token = self.tokens.access(audience).await?;
        Ok(SignedIn { actor: self.tokens.actor(audience)?, claims: Claims::read(&token) })
    }

    /// How old the consent of a person is; `None` where the connection needs nobody's.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn consent_age(&self) -> Result<Option<ConsentAge>, Failure> {
        match self.tokens.consent() {
            Some(consent) => consent.age().await.map(Some),
            None => Ok(None),
        }
    }

    /// The dates of the application's certificate, if it has one.
    pub fn certificate_dates(&self) -> Option<CertificateDates> {
        self.tokens.credential().dates()
    }

    /// Looks at what everybody may know of the partner's tenant: whether the sign-in is reached, and its time.
    pub async fn probe_sign_in_page(&self) -> Probed {
        match self.net.send(Request::get(self.tokens.description())).await {
            Ok(reply) => Probed::Answered(Answer::read(&reply)),
            Err(error) => Probed::NoAnswer(error.into()),
        }
    }

    /// Looks at something.
    pub async fn probe(&self, question: Question<'_>) -> Probed {
        let audience = question.audience();
        if let Err(failure) = self.tokens.access(audience).await {
            return Probed::NoToken(failure);
        }
        match self.call(audience, self.request(question)).await {
            Ok(reply) => Probed::Answered(Answer::read(&reply)),
            Err(failure) => Probed::NoAnswer(failure),
        }
    }

    fn request(&self, question: Question<'_>) -> Request {
        let partner_center = |path: &[&str], query: &[(&str, String)]| {
            let mut url = self.partner_center.with(path.iter().copied());
            if !query.is_empty() {
                url.query_pairs_mut().extend_pairs(query);
            }
            partner_center::request(Method::GET, url, Uuid::now_v7()).header("ValidateMfa", "true")
        };
        let one = |name: &'static str| (name, "1".to_owned());
        let request = match question {
            Question::Alerts => Request::get(self.graph.with(alerts::PATH)),
            Question::AlertsSince(since) => {
                let mut url = self.graph.with(alerts::PATH);
                let filter = AlertQuery { since: Some(since), ..AlertQuery::default() }.filter();
                url.query_pairs_mut().append_pair("$filter", &filter.unwrap_or_default());
                Request::get(url)
            }
            Question::Organization => partner_center(&["profiles", "organization"], &[]),
            Question::Customers => partner_center(&["customers"], &[one("size")]),
            Question::FraudEvents => {
                partner_center(&["fraudEvents"], &[one("PageSize"), one("PageNumber")]).header("X-NewEventsModel", "true")
            }
            Question::AuditRecords(now) => {
                let day = now.to_zoned(TimeZone::UTC).date().to_string();
                partner_center(&["auditrecords"], &[("startDate", day.clone()), ("endDate", day), one("size")])
            }
            Question::UsageRecords => partner_center(&["customers", "usagerecords"], &[]),
            Question::Webhook => partner_center::request(Method::GET, self.webhooks.with([]), Uuid::now_v7()),
            Question::AzureSubscriptions(_) => Request::get(self.azure_url(["subscriptions"], SUBSCRIPTIONS_VERSION)),
            Question::Users(_) => {
                let mut url = self.directory.with(["users"]);
                url.query_pairs_mut().append_pair("$top", "1").append_pair("$select", "id");
                Request::get(url)
            }
        };
        request.at_most(LARGEST)
    }
}

impl Answer {
    fn read(reply: &Reply) -> Self {
        let refusal = Refusal::read(reply);
        let (code, said) = if reply.is_success() { Default::default() } else { (refusal.code.clone(), refusal.said()) };
        let date = reply.header("date").and_then(|text| rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
        Self {
            status: reply.status,
            code,
            said,
            lacks_second_factor: refusal::lacks_multi_factor(reply)
                || reply.header("ismfacompliant").is_some_and(|it| it.eq_ignore_ascii_case("false")),
            at: date,
            body: reply.json().unwrap_or_default(),
        }
    }

    /// Whether it is a success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}
