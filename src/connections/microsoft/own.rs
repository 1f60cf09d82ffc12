//! What is ours: the partner's own tenant, and who we act as in a customer's. What would lock us out is refused, whoever asks for it.
//!
//! Who we are is read from our own tokens: it is told nowhere else without another permission. That a group which we are a member of is
//! ours cannot be known.

use uuid::Uuid;

use super::{
    super::{CustomerId, Failure},
    Audience, Microsoft, User,
    claims::Claims,
};

impl Microsoft {
    /// Refuses to change who may do what in the partner's own tenant.
    ///
    /// # Errors
    /// Rejected if it is that tenant, or if nobody knows whether it is.
    pub async fn refuse_own_tenant(&self, customer: &CustomerId) -> Result<(), Failure> {
        let own = match Uuid::try_parse(&self.tenant) {
            Ok(id) => id.hyphenated().to_string(),
            Err(_a_domain) => self.actor(Audience::Graph).await?.tenant,
        };
        if own.is_empty() {
            return Err(Failure::rejected("nobody knows which tenant is our own; write its GUID as the connection's `tenant_id`"));
        }
        if own.eq_ignore_ascii_case(customer.as_str()) {
            return Err(Failure::rejected(format!("`{customer}` is our own tenant, where this would lock us out")));
        }
        Ok(())
    }

    /// Refuses to lock out the person on whose behalf we act, in whatever form that person is known to the customer's tenant.
    ///
    /// # Errors
    /// Rejected if the user is that person, or if nobody knows whether it is.
    pub async fn refuse_own_user(&self, customer: &CustomerId, user: &User) -> Result<(), Failure> {
        // An application is no user.
        if !self.tokens.enters_for_a_person() {
            return Ok(());
        }
        for audience in [Audience::CustomerGraph(customer), Audience::PartnerCenter] {
            let us = self.actor(audience).await?;
            if us.object.eq_ignore_ascii_case(&user.user_id) || is_name_of(&us.person, &user.user_principal_name) {
                let message = format!("`{}` is the person on whose behalf we act; this would end our own access", user.user_principal_name);
                return Err(Failure::rejected(message));
            }
        }
        Ok(())
    }

    /// Refuses to take a role from who we act as in the customer's Azure.
    ///
    /// # Errors
    /// Rejected if it is ours, or if nobody knows whether it is.
    pub async fn refuse_own_role(&self, customer: &CustomerId, principal: &str) -> Result<(), Failure> {
        if self.actor(Audience::Azure(customer)).await?.object.eq_ignore_ascii_case(principal) {
            return Err(Failure::rejected(format!("the role is our own: `{principal}` is who we act as, and could not help any more")));
        }
        Ok(())
    }

    async fn actor(&self, audience: Audience<'_>) -> Result<Claims, Failure> {
        let claims = Claims::read(&self.tokens.access(audience).await?);
        claims.filter(|it| !it.object.is_empty()).ok_or_else(|| {
            Failure::rejected(format!("the token for {} does not tell who we are, so this might lock us out", audience.service()))
        })
    }
}

/// Whether a name for signing in is that person's, at home or as a guest: `kim_partner.example#EXT#@customer.example`.
fn is_name_of(person: &str, name: &str) -> bool {
    let (person, name) = (person.to_lowercase(), name.to_lowercase());
    !person.is_empty() && (name == person || name.starts_with(&format!("{}#ext#@", person.replace('@', "_"))))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{super::bench, CustomerAccess, MicrosoftConfig},
        *,
    };
    use crate::secret::Text;

    #[test]
    fn a_person_is_known_at_home_and_as_a_guest() {
        for (name, is_ours) in [
            ("kim@partner.example", true),
            ("KIM_partner.example#EXT#@customer.onmicrosoft.com", true),
            ("kim@customer.example", false),
            ("", false),
        ] {
            assert_eq!(is_name_of("Kim@Partner.example", name), is_ours, "{name}");
        }
        assert!(!is_name_of("", "") && !is_name_of("", "#ext#@customer.example"), "who has no name is nobody");
    }

    #[tokio::test]
    async fn our_own_tenant_is_known_by_its_domain_too() {
        let simulator = bench::simulator(quell_simulator::Options::default()).await;
        let own = CustomerId::parse(&simulator.tenant_id()).unwrap();
        for tenant in [simulator.tenant_id(), "partner.example".to_owned()] {
            let config = MicrosoftConfig {
                tenant_id: Text(tenant.clone()),
                customer_access: CustomerAccess::Application,
                ..bench::config(&simulator)
            };
            let microsoft = bench::connect(&config, std::sync::Arc::default());
            let refused = microsoft.refuse_own_tenant(&own).await.unwrap_err();
            assert!(refused.message.contains("our own tenant"), "{tenant}: {refused}");
            microsoft.refuse_own_tenant(&bench::first(&simulator).0).await.unwrap();
        }
    }
}
