//! `organization.get`: who the partner itself is.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Action, Context, Done, Failure};
use crate::run::Class;

/// Tells who the partner itself is. Needs a person's consent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationGet {
    /// The connection to use; that of the alert's source if left out.
    #[serde(default)]
    connection: Option<String>,
}

impl Action for OrganizationGet {
    const NAME: &'static str = "organization.get";
    const SUMMARY: &'static str = "Tell who the partner itself is";
    const EXAMPLE: &'static str = r#"{ "connection": "contoso" }"#;
    const CLASS: Class = Class::Read;

    async fn perform(&self, ctx: &Context<'_>) -> Result<Done, Failure> {
        Ok(Done::Now(json!(ctx.microsoft(self.connection.as_deref())?.organization().await?)))
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;

    use super::{
        super::contract::{Bench, prepare},
        *,
    };

    #[tokio::test]
    async fn a_partner_knows_its_own_tenant() {
        let mut bench = Bench::new(Options::default()).await;
        bench.act_for_a_person();
        let Done::Now(output) = bench.perform(&prepare("organization.get", json!({}))).await.unwrap() else { panic!() };
        assert_eq!((&output["tenant_id"], &output["country"]), (&bench.simulator.tenant_id().into(), &"NL".into()));
    }
}
