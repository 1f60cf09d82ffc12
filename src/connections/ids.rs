//! Identifiers of what Partner Center keeps. Each kind is a type of its own, because the service would take one for another.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

macro_rules! identifier {
    ($($(#[$doc:meta])+ $name:ident)+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[schemars(extend("format" = "uuid"))] String);

        impl $name {
            /// Reads a GUID in any spelling and keeps it in lower case with hyphens, so that equal ones are equal texts.
            ///
            /// # Errors
            /// A sentence that shows the text.
            pub fn parse(text: &str) -> Result<Self, String> {
                canonical(text).map(Self)
            }

            /// The GUID in lower case, with hyphens.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )+};
}

identifier! {
    /// A customer's Entra tenant.
    CustomerId
    /// A Partner Center subscription; for Azure, the plan under which Azure subscriptions stand.
    PlanId
    /// An Azure subscription, which Partner Center calls an entitlement and alerts call the subscription.
    EntitlementId
}

fn canonical(text: &str) -> Result<String, String> {
    match Uuid::try_parse(text.trim()) {
        Ok(id) if !id.is_nil() => Ok(id.hyphenated().to_string()),
        _ => Err(format!("`{}` is not a GUID", text.escape_debug().take(100).collect::<String>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_guid_is_the_same_identifier() {
        let plain = EntitlementId::parse("2222abcd-bbbb-4bbb-8bbb-000000000002").unwrap();
        for spelling in [
            "2222ABCD-BBBB-4BBB-8BBB-000000000002",
            "{2222abcd-bbbb-4bbb-8bbb-000000000002}",
            "2222abcdbbbb4bbb8bbb000000000002",
            " 2222abcd-bbbb-4bbb-8bbb-000000000002\n",
        ] {
            assert_eq!(EntitlementId::parse(spelling).unwrap(), plain, "{spelling}");
        }
    }

    #[test]
    fn a_path_is_not_an_identifier() {
        for text in ["", "..", "../customers", "2222abcd-bbbb-4bbb-8bbb-000000000002/cancel", "00000000-0000-0000-0000-000000000000"] {
            assert!(CustomerId::parse(text).is_err(), "{text}");
        }
    }
}
