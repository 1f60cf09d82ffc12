//! Customers, their resellers and the partner itself, as Partner Center describes them. What enriches an alert is kept for some minutes.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{CustomerId, Failure},
    Audience, Microsoft, field,
    partner_center::request,
    text, unreadable,
};
use crate::net::{Method, Url};

/// A customer of the partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Customer {
    /// The customer's Entra tenant.
    pub customer_tenant_id: CustomerId,
    /// The company's name.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// Its address for mail; empty without delegated access.
    pub email: String,
    /// Microsoft's word for what the partner is to it, such as `reseller`.
    pub relationship: String,
    /// Whether the customer lets the partner administer it.
    pub allows_delegated_access: bool,
}

/// Another partner of a customer, such as an indirect reseller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Relationship {
    /// That partner's tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// Its number at Microsoft.
    pub mpn_id: String,
    /// Microsoft's word for the kind of it.
    pub relationship: String,
    /// Microsoft's word for its state, such as `active`.
    pub state: String,
}

/// The partner's own organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Organization {
    /// The partner's tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// Its address for mail.
    pub email: String,
    /// Its country, as two letters.
    pub country: String,
}

impl Microsoft {
    /// One customer, as it is or was some minutes ago.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn get_customer(&self, customer: &CustomerId) -> Result<Customer, Failure> {
        let body = self.kept(self.customer(customer, &[])).await?;
        let profile = field(&body, "companyProfile").unwrap_or(&Value::Null);
        if text(&body, "id").is_empty() {
            return Err(unreadable(Audience::PartnerCenter, "a customer without `id`"));
        }
        Ok(Customer {
            customer_tenant_id: customer.clone(),
            name: text(profile, "companyName").to_owned(),
            domain: text(profile, "domain").to_owned(),
            email: text(profile, "email").to_owned(),
            relationship: text(&body, "relationshipToPartner").to_owned(),
            allows_delegated_access: field(&body, "allowDelegatedAccess").and_then(Value::as_bool).unwrap_or_default(),
        })
    }

    /// The other partners of a customer, as they are or were some minutes ago. Only a person's consent may read them.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn customer_relationships(&self, customer: &CustomerId) -> Result<Vec<Relationship>, Failure> {
        let body = self.kept(self.customer(customer, &["relationships"])).await?;
        let items = field(&body, "items").and_then(Value::as_array);
        let items = items.ok_or_else(|| unreadable(Audience::PartnerCenter, "`items` is not a list"))?;
        Ok(items.iter().map(Relationship::read).collect())
    }

    /// The partner's own organization, as it is or was some minutes ago. Only a person's consent may read it.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn organization(&self) -> Result<Organization, Failure> {
        let body = self.kept(self.partner_center.with(["profiles", "organization"])).await?;
        let named = |name: &str| text(&body, name).to_owned();
        let address = field(&body, "defaultAddress").unwrap_or(&Value::Null);
        Ok(Organization {
            tenant_id: named("tenantId"),
            name: named("companyName"),
            domain: named("domain"),
            email: named("email"),
            country: text(address, "country").to_owned(),
        })
    }

    /// A document of Partner Center that hardly changes.
    async fn kept(&self, url: Url) -> Result<Value, Failure> {
        if let Some(body) = self.recent.get(url.as_str()) {
            return Ok(body);
        }
        let body = self.read(Audience::PartnerCenter, request(Method::GET, url.clone(), Uuid::now_v7())).await?;
        self.recent.put(url.as_str(), &body);
        Ok(body)
    }
}

impl Relationship {
    fn read(body: &Value) -> Self {
        let named = |name: &str| text(body, name).to_owned();
        Self {
            tenant_id: named("id"),
            name: named("name"),
            mpn_id: ["mpnId", "partnerId"].map(named).into_iter().find(|it| !it.is_empty()).unwrap_or_default(),
            relationship: named("relationshipType"),
            state: named("state"),
        }
    }
}
