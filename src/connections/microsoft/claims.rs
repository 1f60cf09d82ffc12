//! What an access token says of itself, read for people and to know what is our own. Nothing is allowed by it: a token is the service's to judge,
//! and may change its form.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::text;
use crate::secret::Secret;

/// What a token says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// The tenant that it is for.
    pub tenant: String,
    /// Who it acts as, by the identifier in that tenant.
    pub object: String,
    /// Who it acts for, if it is a person.
    pub person: String,
    /// The permissions that an administrator consented to: an application's roles, or what it may do for a person.
    pub permissions: Vec<String>,
    /// How the person signed in; `mfa` is among it where that was with a second factor.
    pub factors: Vec<String>,
}

impl Claims {
    /// Reads a token; `None` if it does not have the usual form, which is nobody's fault.
    pub(super) fn read(token: &Secret) -> Option<Self> {
        let middle = token.expose().split('.').nth(1)?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle.trim_end_matches('=')).ok()?).ok()?;
        let list = |name: &str| claims.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let scopes = text(&claims, "scp").split_whitespace();
        let person = ["upn", "preferred_username", "unique_name"].map(|name| text(&claims, name)).into_iter().find(|it| !it.is_empty());
        Some(Self {
            tenant: text(&claims, "tid").to_owned(),
            object: text(&claims, "oid").to_owned(),
            person: person.unwrap_or_default().to_owned(),
            permissions: list("roles").chain(scopes).map(str::to_owned).collect(),
            factors: list("amr").map(str::to_owned).collect(),
        })
    }

    /// Whether one of these permissions was given.
    pub fn has_one_of(&self, permissions: &[&str]) -> bool {
        self.permissions.iter().any(|it| permissions.iter().any(|wanted| it.eq_ignore_ascii_case(wanted)))
    }

    /// Whether the person signed in with a second factor.
    pub fn has_second_factor(&self) -> bool {
        self.factors.iter().any(|it| it == "mfa")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &Value) -> Secret {
        Secret::new(format!("head.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string())))
    }

    #[test]
    fn roles_and_scopes_are_read_and_another_form_is_nothing() {
        let app = Claims::read(&token(&serde_json::json!({ "tid": "t", "roles": ["A.Read.All"] }))).unwrap();
        assert!(app.has_one_of(&["a.read.all"]) && !app.has_one_of(&["B"]) && !app.has_second_factor());
        let person = Claims::read(&token(&serde_json::json!({ "scp": "a b", "amr": ["pwd", "mfa"], "upn": "soc@x" }))).unwrap();
        assert_eq!((person.permissions.len(), person.person.as_str(), person.has_second_factor()), (2, "soc@x", true));
        for other in ["opaque", "a.b.c", "a.e30", ""] {
            assert!(Claims::read(&Secret::new(other)).unwrap_or_default() == Claims::default(), "{other}");
        }
    }
}
