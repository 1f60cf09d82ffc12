//! The users of a customer, in Graph. All of it needs a token for the customer's tenant.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::{
    super::{CustomerId, Failure},
    Audience, Microsoft, field, text, unreadable,
};
use crate::net::Request;

/// How a user is named: by the GUID, or by the name for signing in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The identifier in the tenant.
    pub user_id: String,
    /// The name for people.
    pub name: String,
    /// The name for signing in.
    pub user_principal_name: String,
    /// Whether the user may sign in; `None` where Graph does not tell.
    pub enabled: Option<bool>,
    /// Sessions that began earlier are not valid; empty where Graph does not tell.
    pub sessions_valid_from: String,
}

/// As long as a name for signing in may be.
const LONGEST_NAME: usize = 320;

const PROPERTIES: &str = "id,displayName,userPrincipalName,accountEnabled,signInSessionsValidFromDateTime";

impl UserName {
    /// Reads a GUID or a name for signing in.
    ///
    /// # Errors
    /// A sentence that shows the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let is_guid = uuid::Uuid::try_parse(text).is_ok_and(|it| !it.is_nil());
        let is_name = text.contains('@') && !text.chars().any(|it| it.is_control() || it.is_whitespace() || "/\\?%".contains(it));
        if (is_guid || is_name) && text.len() <= LONGEST_NAME {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(format!("`{}` is neither a GUID nor a name for signing in", text.escape_debug().take(100).collect::<String>()))
    }
}

impl Microsoft {
    /// One user.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn get_user(&self, customer: &CustomerId, user: &UserName) -> Result<User, Failure> {
        let mut url = self.directory.with(["users", user.0.as_str()]);
        url.query_pairs_mut().append_pair("$select", PROPERTIES);
        let body = self.read(Audience::CustomerGraph(customer), Request::get(url)).await?;
        User::read(customer, &body)
    }

    /// Keeps a user from signing in. Who is signed in stays so for up to an hour.
    ///
    /// # Errors
    /// [`Failure`]; the request may be repeated.
    pub async fn disable_user(&self, customer: &CustomerId, user: &User) -> Result<(), Failure> {
        let url = self.directory.with(["users", user.user_id.as_str()]);
        let request = Request::patch(url).json(&json!({ "accountEnabled": false }));
        drop(self.write(Audience::CustomerGraph(customer), request).await?);
        Ok(())
    }

    /// Makes a user sign in again everywhere, within some minutes.
    ///
    /// # Errors
    /// [`Failure`]; the request may be repeated.
    pub async fn revoke_sessions(&self, customer: &CustomerId, user: &User) -> Result<(), Failure> {
        let url = self.directory.with(["users", user.user_id.as_str(), "revokeSignInSessions"]);
        let answer = self.write(Audience::CustomerGraph(customer), Request::post(url)).await?;
        match answer.as_ref().and_then(|it| field(it, "value")) {
            Some(Value::Bool(false)) => Err(Failure::rejected("Graph says that it did not revoke the sessions")),
            Some(_) | None => Ok(()),
        }
    }

    /// Microsoft's word for how risky a user is held, such as `confirmedCompromised`; empty where nothing is known of the user.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn risk_state(&self, customer: &CustomerId, user: &User) -> Result<String, Failure> {
        let url = self.directory.with(["identityProtection", "riskyUsers", user.user_id.as_str()]);
        match self.read(Audience::CustomerGraph(customer), Request::get(url)).await {
            Ok(body) => Ok(text(&body, "riskState").to_owned()),
            Err(failure) if failure.http_status == Some(404) => Ok(String::new()),
            Err(failure) => Err(failure),
        }
    }

    /// Says that a user's account is in other hands, so that the tenant's risk policies act.
    ///
    /// # Errors
    /// [`Failure`]; the request may be repeated.
    pub async fn confirm_compromised(&self, customer: &CustomerId, user: &User) -> Result<(), Failure> {
        let url = self.directory.with(["identityProtection", "riskyUsers", "confirmCompromised"]);
        let request = Request::post(url).json(&json!({ "userIds": [user.user_id] }));
        drop(self.write(Audience::CustomerGraph(customer), request).await?);
        Ok(())
    }
}

impl User {
    fn read(customer: &CustomerId, body: &Value) -> Result<Self, Failure> {
        let of = |name: &str| text(body, name).to_owned();
        if uuid::Uuid::try_parse(text(body, "id")).is_err() {
            return Err(unreadable(Audience::CustomerGraph(customer), "a user whose `id` is not a GUID"));
        }
        Ok(Self {
            user_id: of("id").to_ascii_lowercase(),
            name: of("displayName"),
            user_principal_name: of("userPrincipalName"),
            enabled: field(body, "accountEnabled").and_then(Value::as_bool),
            sessions_valid_from: of("signInSessionsValidFromDateTime"),
        })
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for UserName {
    fn schema_name() -> Cow<'static, str> {
        "UserName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["alex@customer.example"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_a_guid_or_a_name_and_nothing_that_is_a_path() {
        assert_eq!(UserName::parse(" Alex@Contoso.com ").unwrap().0, "alex@contoso.com");
        assert!(UserName::parse("2222ABCD-bbbb-4bbb-8bbb-000000000002").is_ok());
        for text in ["", "alex", "a@b/../c", "a@b?x", "a b@c", "00000000-0000-0000-0000-000000000000", "$count"] {
            assert!(UserName::parse(text).is_err(), "{text}");
        }
    }
}
