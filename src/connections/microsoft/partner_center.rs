//! Azure plans and the Azure subscriptions under them, in Partner Center.
//!
//! A write carries the step's own `MS-RequestId`, the same in every attempt; every other identifier is new for each call.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{CustomerId, EntitlementId, Failure, PlanId},
    Audience, Microsoft, document, field,
    refusal::Refusal,
    text, unreadable,
};
use crate::net::{Method, Request, Url};

/// A Partner Center subscription; for Azure, the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Its identifier.
    pub id: PlanId,
    /// Its name for people.
    pub name: String,
    /// `active`, `suspended` or another of Microsoft's words, in lower case.
    pub status: String,
    /// Which version of it this is, without quotes; a write must name it.
    pub etag: String,
    /// The whole of it: a write that leaves something out clears that.
    pub body: Value,
}

/// An Azure subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Entitlement {
    /// Its identifier, which alerts call the subscription.
    pub id: EntitlementId,
    /// Its name for people.
    pub name: String,
    /// `active`, `inactive` or another of Microsoft's words, in lower case.
    pub status: String,
}

/// Where an Azure subscription stands.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct EntitlementAt<'a> {
    pub customer: &'a CustomerId,
    pub plan: &'a PlanId,
    pub entitlement: &'a EntitlementId,
}

/// An Azure subscription with its plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The plan.
    pub plan: Subscription,
    /// The Azure subscription.
    pub entitlement: Entitlement,
    /// The other Azure subscriptions under the plan.
    pub others: Vec<Entitlement>,
}

/// How Partner Center took a suspension, or the end of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Suspension {
    /// The plan is as wanted.
    Done,
    /// It will be, and a later read tells.
    Accepted,
    /// Refused: Azure subscriptions under the plan are still active.
    EntitlementsActive,
}

/// More pages than any customer has; a service that goes in circles is not followed further.
const MOST_PAGES: usize = 50;

impl Microsoft {
    /// All subscriptions of a customer.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn list_subscriptions(&self, customer: &CustomerId) -> Result<Vec<Subscription>, Failure> {
        let items = self.collection(self.customer(customer, &["subscriptions"])).await?;
        items.into_iter().map(Subscription::read).collect()
    }

    /// One subscription, with its `ETag`.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn get_subscription(&self, customer: &CustomerId, plan: &PlanId) -> Result<Subscription, Failure> {
        let url = self.customer(customer, &["subscriptions", plan.as_str()]);
        Subscription::read(self.read(Audience::PartnerCenter, request(Method::GET, url, Uuid::now_v7())).await?)
    }

    /// The Azure subscriptions under a plan.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn list_entitlements(&self, customer: &CustomerId, plan: &PlanId) -> Result<Vec<Entitlement>, Failure> {
        let url = self.customer(customer, &["subscriptions", plan.as_str(), "azureEntitlements"]);
        self.collection(url).await?.iter().map(Entitlement::read).collect()
    }

    /// One Azure subscription.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn get_entitlement(&self, at: EntitlementAt<'_>) -> Result<Entitlement, Failure> {
        let url = self.entitlement(at, None);
        Entitlement::read(&self.read(Audience::PartnerCenter, request(Method::GET, url, Uuid::now_v7())).await?)
    }

    /// Finds the plan of an Azure subscription by looking under every plan of the customer.
    ///
    /// # Errors
    /// Rejected when no plan of the customer has it.
    pub async fn find_entitlement(&self, customer: &CustomerId, wanted: &EntitlementId) -> Result<Found, Failure> {
        for plan in self.list_subscriptions(customer).await? {
            if !plan.may_be_azure() {
                continue;
            }
            let all = match self.list_entitlements(customer, &plan.id).await {
                // Other kinds of subscriptions have none, and say so in one of these ways.
                Err(failure) if matches!(failure.http_status, Some(400 | 404)) => continue,
                listed => listed?,
            };
            let (mut found, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.id == *wanted);
            if let Some(entitlement) = found.pop() {
                return Ok(Found { plan, entitlement, others });
            }
        }
        Err(Failure::rejected(format!("customer `{customer}` has no Azure subscription `{wanted}` under any plan in Partner Center")))
    }

    /// Cancels an Azure subscription. Success means accepted: it reads `active` for some minutes more.
    ///
    /// # Errors
    /// [`Failure`]; after an unknown outcome the same request id may be used again for a while.
    pub async fn cancel_entitlement(&self, at: EntitlementAt<'_>, reason: &str, request_id: Uuid) -> Result<(), Failure> {
        let url = self.entitlement(at, Some("cancel"));
        let request = request(Method::POST, url, request_id).json(&json!({ "cancellationReason": reason }));
        drop(self.write(Audience::PartnerCenter, request).await?);
        Ok(())
    }

    /// Makes a cancelled Azure subscription active again. Success means accepted: a later read tells.
    ///
    /// # Errors
    /// [`Failure`]; after an unknown outcome the same request id may be used again for a while.
    pub async fn reactivate_entitlement(&self, at: EntitlementAt<'_>, request_id: Uuid) -> Result<(), Failure> {
        let url = self.entitlement(at, Some("reactivate"));
        drop(self.write(Audience::PartnerCenter, request(Method::POST, url, request_id)).await?);
        Ok(())
    }

    /// Suspends a plan, provided that it is still exactly as given.
    ///
    /// # Errors
    /// Conflict when somebody changed it meanwhile; after an unknown outcome only a read tells.
    pub async fn suspend_plan(&self, customer: &CustomerId, plan: &Subscription, request_id: Uuid) -> Result<Suspension, Failure> {
        self.set_status(customer, plan, "suspended", request_id).await
    }

    /// Makes a suspended plan active again, provided that it is still exactly as given.
    ///
    /// # Errors
    /// Conflict when somebody changed it meanwhile; after an unknown outcome only a read tells.
    pub async fn reactivate_plan(&self, customer: &CustomerId, plan: &Subscription, request_id: Uuid) -> Result<Suspension, Failure> {
        self.set_status(customer, plan, "active", request_id).await
    }

    async fn set_status(&self, customer: &CustomerId, plan: &Subscription, status: &str, request_id: Uuid) -> Result<Suspension, Failure> {
        let url = self.customer(customer, &["subscriptions", plan.id.as_str()]);
        let mut body = plan.body.clone();
        let key = body.as_object().and_then(|fields| fields.keys().find(|key| key.eq_ignore_ascii_case("status")).cloned());
        if let Some(fields) = body.as_object_mut() {
            fields.insert(key.unwrap_or_else(|| "status".to_owned()), status.into());
        }
        let request = request(Method::PATCH, url, request_id).header("If-Match", &format!("\"{}\"", plan.etag)).json(&body);
        let reply = self.call(Audience::PartnerCenter, request).await?;
        if reply.is_success() {
            let is_reached = document(Audience::PartnerCenter, &reply)?.is_some_and(|it| text(&it, "status").eq_ignore_ascii_case(status));
            return Ok(if is_reached { Suspension::Done } else { Suspension::Accepted });
        }
        let refusal = Refusal::read(&reply);
        if refusal.code == "900115" {
            return Ok(Suspension::EntitlementsActive);
        }
        Err(refusal.into_failure(Audience::PartnerCenter))
    }

    /// The items of a collection, over all its pages.
    pub(super) async fn collection(&self, first: Url) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut next = Some(request(Method::GET, first, Uuid::now_v7()));
        for _ in 0..MOST_PAGES {
            let Some(request) = next else { return Ok(items) };
            // A customer may have hundreds of subscriptions of some kilobytes.
            let body = self.read(Audience::PartnerCenter, request.at_most(8 * 1024 * 1024)).await?;
            let page = field(&body, "items").and_then(Value::as_array);
            items.extend(page.ok_or_else(|| unreadable(Audience::PartnerCenter, "`items` is not a list"))?.iter().cloned());
            next = field(&body, "links").and_then(|links| field(links, "next")).and_then(|link| self.follow(link));
        }
        Err(unreadable(Audience::PartnerCenter, "a list has more pages than can be"))
    }

    /// A link of a body is relative to the version's base, and may ask for a header.
    fn follow(&self, link: &Value) -> Option<Request> {
        let uri = text(link, "uri").strip_prefix('/').filter(|uri| !uri.starts_with('/'))?;
        let base = format!("{}/", self.partner_center.0.as_str().trim_end_matches('/'));
        let url = Url::parse(&base).ok()?.join(uri).ok().filter(|url| url.as_str().starts_with(&base))?;
        let headers = field(link, "headers").and_then(Value::as_array);
        let token = headers.into_iter().flatten().find(|it| text(it, "key").eq_ignore_ascii_case("MS-ContinuationToken"));
        let request = request(Method::GET, url, Uuid::now_v7());
        Some(match token {
            Some(token) => request.header("MS-ContinuationToken", text(token, "value")),
            None => request,
        })
    }

    pub(super) fn customer(&self, customer: &CustomerId, rest: &[&str]) -> Url {
        self.partner_center.with(["customers", customer.as_str()].into_iter().chain(rest.iter().copied()))
    }

    fn entitlement(&self, at: EntitlementAt<'_>, operation: Option<&str>) -> Url {
        let path = ["subscriptions", at.plan.as_str(), "azureEntitlements", at.entitlement.as_str()];
        let path: Vec<_> = path.into_iter().chain(operation).collect();
        self.customer(at.customer, &path)
    }
}

impl Subscription {
    /// Reads what Partner Center wrote, or what was recorded of it.
    ///
    /// # Errors
    /// Unknown: something answered, and nobody knows what.
    pub fn read(body: Value) -> Result<Self, Failure> {
        let id = PlanId::parse(text(&body, "id")).map_err(|why| unreadable(Audience::PartnerCenter, &why))?;
        let status = text(&body, "status").to_ascii_lowercase();
        if status.is_empty() {
            return Err(unreadable(Audience::PartnerCenter, "a subscription without `status`"));
        }
        let name = ["friendlyName", "offerName"].map(|key| text(&body, key)).into_iter().find(|it| !it.is_empty());
        let name = name.unwrap_or_default().to_owned();
        let etag = field(&body, "attributes").map(|it| text(it, "etag")).unwrap_or_default();
        let etag = etag.trim_matches('"').to_owned();
        Ok(Self { id, name, status, etag, body })
    }

    /// Licences have no Azure subscriptions under them.
    fn may_be_azure(&self) -> bool {
        let says = |key: &str, word: &str| text(&self.body, key).eq_ignore_ascii_case(word);
        !says("billingType", "license") && !says("unitType", "Licenses")
    }
}

impl Entitlement {
    /// Whether it is in use.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }

    fn read(body: &Value) -> Result<Self, Failure> {
        let id = EntitlementId::parse(text(body, "id")).map_err(|why| unreadable(Audience::PartnerCenter, &why))?;
        let status = text(body, "status").to_ascii_lowercase();
        if status.is_empty() {
            return Err(unreadable(Audience::PartnerCenter, "an entitlement without `status`"));
        }
        Ok(Self { id, name: text(body, "friendlyName").to_owned(), status })
    }
}

/// A request as Partner Center wants it.
pub(super) fn request(method: Method, url: Url, request_id: Uuid) -> Request {
    Request::new(method, url)
        .header("Accept", "application/json")
        .header("MS-Contract-Version", "v1")
        .header("MS-RequestId", &request_id.to_string())
        .header("MS-CorrelationId", &Uuid::now_v7().to_string())
}
