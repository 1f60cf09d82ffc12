//! Who has which role in an Azure subscription.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    super::{
        super::{CustomerId, EntitlementId, Failure},
        Audience, Microsoft, field,
        refusal::Refusal,
        text, unreadable,
    },
    RoleAssignmentId,
};
use crate::net::{Method, Request};

/// That somebody has a role on something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// Its path.
    pub assignment_id: String,
    /// Who has the role, by the identifier in the tenant.
    pub principal_id: String,
    /// Azure's word for what that is: `User`, `Group`, `ServicePrincipal`, `ForeignGroup`, `Device`.
    pub principal_type: String,
    /// The name of a well-known role; empty for another.
    pub role: String,
    /// The path of the role's definition.
    pub role_definition_id: String,
    /// What it is a role on.
    pub scope: String,
    /// When it was given.
    pub created_at: String,
    /// Who gave it.
    pub created_by: String,
}

/// Roles that are the same everywhere, by the identifier of their definition.
const KNOWN_ROLES: &[(&str, &str)] = &[
    ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner"),
    ("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor"),
    ("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader"),
    ("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "User Access Administrator"),
];

impl Microsoft {
    /// The role assignments that hold in a whole Azure subscription and in what is below it.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn list_role_assignments(&self, customer: &CustomerId, subscription: &EntitlementId) -> Result<Vec<RoleAssignment>, Failure> {
        let path = ["subscriptions", subscription.as_str(), "providers", "Microsoft.Authorization", "roleAssignments"];
        let url = self.azure_url(path, &self.azure_versions.authorization);
        let all = self.azure_list(customer, url, usize::MAX).await?;
        all.iter().map(|it| RoleAssignment::read(customer, it)).collect()
    }

    /// One role assignment, if it is there.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn get_role_assignment(&self, customer: &CustomerId, id: &RoleAssignmentId) -> Result<Option<RoleAssignment>, Failure> {
        let url = self.azure_url(id.segments(), &self.azure_versions.authorization);
        let audience = Audience::Azure(customer);
        let reply = self.call(audience, Request::get(url)).await?;
        if reply.is_success() {
            return RoleAssignment::read(customer, &reply.json()?).map(Some);
        }
        let refusal = Refusal::read(&reply);
        // A subscription that is out of our sight, or a path that is wrong, is not there either, and says nothing of the role.
        if reply.status == 404 && refusal.code == "RoleAssignmentNotFound" {
            return Ok(None);
        }
        Err(refusal.into_failure(audience))
    }

    /// Takes a role away; one that is gone already is no error.
    ///
    /// # Errors
    /// [`Failure`]; the request may be repeated.
    pub async fn delete_role_assignment(&self, customer: &CustomerId, id: &RoleAssignmentId) -> Result<(), Failure> {
        let url = self.azure_url(id.segments(), &self.azure_versions.authorization);
        drop(self.write(Audience::Azure(customer), Request::new(Method::DELETE, url)).await?);
        Ok(())
    }
}

impl RoleAssignment {
    /// Whether it lets somebody do everything in the whole subscription.
    pub fn is_ownership_of(&self, subscription: &EntitlementId) -> bool {
        self.role == "Owner" && self.scope.eq_ignore_ascii_case(&format!("/subscriptions/{subscription}"))
    }

    fn read(customer: &CustomerId, body: &Value) -> Result<Self, Failure> {
        let properties = field(body, "properties").unwrap_or(&Value::Null);
        let of = |name: &str| text(properties, name).to_owned();
        let role_definition_id = of("roleDefinitionId");
        if text(body, "id").is_empty() || role_definition_id.is_empty() {
            return Err(unreadable(Audience::Azure(customer), "a role assignment without `id` or `roleDefinitionId`"));
        }
        let definition = role_definition_id.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let role = KNOWN_ROLES.iter().find(|(id, _)| *id == definition).map_or("", |(_, name)| name);
        Ok(Self {
            assignment_id: text(body, "id").to_owned(),
            principal_id: of("principalId"),
            principal_type: of("principalType"),
            role: role.to_owned(),
            role_definition_id,
            scope: of("scope"),
            created_at: of("createdOn"),
            created_by: of("createdBy"),
        })
    }
}
