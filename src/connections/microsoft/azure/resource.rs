//! Identifiers of things in Azure, which are paths. A text that is no such path never becomes a part of a URL.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::super::EntitlementId;

/// A virtual machine: `/subscriptions/…/resourceGroups/…/providers/Microsoft.Compute/virtualMachines/…`, as alerts name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualMachineId(Path);

/// A role assignment, in a subscription or below: `…/providers/Microsoft.Authorization/roleAssignments/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignmentId(Path);

/// The segments of a path that begins with a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Path {
    segments: Vec<String>,
    subscription: EntitlementId,
}

/// Azure's own limit is 2048 letters for the whole URL.
const LONGEST: usize = 1_500;

impl VirtualMachineId {
    /// Reads a path.
    ///
    /// # Errors
    /// A sentence that shows the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = Path::parse(text)?;
        let shape: Vec<_> = path.segments.iter().map(|it| it.to_ascii_lowercase()).collect();
        let shape: Vec<_> = shape.iter().map(String::as_str).collect();
        match shape.as_slice() {
            ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.compute", "virtualmachines", _] => Ok(Self(path)),
            _ => Err(format!("`{path}` is not a virtual machine")),
        }
    }

    /// The Azure subscription that it is in.
    pub fn subscription(&self) -> &EntitlementId {
        &self.0.subscription
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.segments.iter().map(String::as_str)
    }
}

impl RoleAssignmentId {
    /// Reads a path.
    ///
    /// # Errors
    /// A sentence that shows the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = Path::parse(text)?;
        let end: Vec<_> = path.segments.iter().rev().take(4).map(|it| it.to_ascii_lowercase()).collect();
        let end: Vec<_> = end.iter().map(String::as_str).collect();
        match end.as_slice() {
            [_, "roleassignments", "microsoft.authorization", "providers"] => Ok(Self(path)),
            _ => Err(format!("`{path}` is not a role assignment in a subscription")),
        }
    }

    /// The Azure subscription that it is in.
    pub fn subscription(&self) -> &EntitlementId {
        &self.0.subscription
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.segments.iter().map(String::as_str)
    }
}

impl Path {
    fn parse(text: &str) -> Result<Self, String> {
        let shown = || text.escape_debug().take(200).collect::<String>();
        let wrong = || format!("`{}` is not the path of something in an Azure subscription", shown());
        let rest = text.trim().strip_prefix('/').filter(|it| it.len() <= LONGEST).ok_or_else(wrong)?;
        let segments: Vec<_> = rest.split('/').map(str::to_owned).collect();
        if !segments.iter().all(|it| is_name(it)) {
            return Err(wrong());
        }
        match segments.as_slice() {
            [first, id, ..] if first.eq_ignore_ascii_case("subscriptions") => {
                let subscription = EntitlementId::parse(id).map_err(|_not_a_guid| wrong())?;
                Ok(Self { segments, subscription })
            }
            _ => Err(wrong()),
        }
    }
}

/// What Azure lets people call things, and nothing that would change a path.
fn is_name(text: &str) -> bool {
    let is_usual = |it: char| it.is_alphanumeric() || matches!(it, '-' | '_' | '.' | '(' | ')');
    !matches!(text, "" | "." | "..") && text.chars().all(is_usual)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|it| write!(f, "/{it}"))
    }
}

macro_rules! written_as_its_path {
    ($($name:ident: $example:literal)+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    )+};
}

written_as_its_path! {
    VirtualMachineId:
        "/subscriptions/22222222-bbbb-4bbb-8bbb-000000000002/resourceGroups/rg-batch/providers/Microsoft.Compute/virtualMachines/vm-07"
    RoleAssignmentId:
        "/subscriptions/22222222-bbbb-4bbb-8bbb-000000000002/providers/Microsoft.Authorization/roleAssignments/33333333-cccc-4ccc-8ccc-000000000003"
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str =
        "/subscriptions/2222abcd-bbbb-4bbb-8bbb-000000000002/resourceGroups/rg (1)/providers/Microsoft.Compute/virtualMachines/vm";

    #[test]
    fn a_machine_is_read_as_alerts_name_it() {
        let path = VM.replace(" (1)", "(1)");
        let id = VirtualMachineId::parse(&path.replace("resourceGroups", "resourcegroups")).unwrap();
        assert_eq!(id.subscription().as_str(), "2222abcd-bbbb-4bbb-8bbb-000000000002");
        assert!(VirtualMachineId::parse(&path.to_uppercase()).is_ok());
    }

    #[test]
    fn a_text_that_would_lead_elsewhere_is_no_identifier() {
        let good = VM.replace(" (1)", "");
        for text in [
            VM.to_owned(),
            good.replace("/rg/", "/../"),
            good.replace("/rg/", "//"),
            good.replace("/rg/", "/a%2Fb/"),
            good.replace("/vm", "/vm?x=1"),
            good.replace("/vm", "/vm/extensions"),
            good.replace("2222abcd", "x"),
            format!("https://management.azure.com{good}"),
            format!("/providers{good}"),
            String::new(),
        ] {
            assert!(VirtualMachineId::parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_role_assignment_may_be_of_anything_in_a_subscription() {
        let good = VM.replace(" (1)", "");
        let of = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/roleAssignments/33333333-cccc-4ccc-8ccc-000000000003");
        assert!(RoleAssignmentId::parse(&of(&good)).is_ok());
        assert!(RoleAssignmentId::parse(&of("/subscriptions/2222abcd-bbbb-4bbb-8bbb-000000000002")).is_ok());
        assert!(RoleAssignmentId::parse(&of("")).is_err());
        assert!(RoleAssignmentId::parse(&good).is_err());
    }
}
