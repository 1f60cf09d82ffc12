//! What customers have themselves: reached with a token for their tenant and no other, and changed by what is called.

use std::time::Duration;

use quell_simulator::{Options, Power};
use serde_json::json;

use crate::support::{Lab, Reply, quick};

const MANAGEMENT: &str = "https://management.azure.com/.default";

impl Lab {
    /// A token for the first customer's tenant.
    async fn token_inside(&self, scope: &str) -> String {
        let url = format!("{}/{}/oauth2/v2.0/token", self.simulator.login_url(), self.customer().tenant_id);
        let form = self.app_form(&[("scope", scope)]);
        let reply = self.request("POST", &url).header("Content-Type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    fn subscription_url(&self) -> String {
        format!("{}/subscriptions/{}", self.simulator.azure_url(), self.customer().plan.entitlements[0].id)
    }

    async fn deallocate(&self, token: &str) -> Reply {
        let path = "resourceGroups/rg-batch/providers/Microsoft.Compute/virtualMachines/vm-07/deallocate?api-version=2023-03-01";
        self.send_as(token, "POST", &format!("{}/{path}", self.subscription_url()), &json!({})).await
    }
}

#[tokio::test]
async fn a_tenant_is_closed_to_the_partners_own_token() {
    let lab = Lab::start().await;
    let url = format!("{}/providers/Microsoft.Compute/virtualMachines?api-version=2023-03-01", lab.subscription_url());
    let partners = lab.token(MANAGEMENT).await;
    assert_eq!(lab.send_as(&partners, "GET", &url, &json!({})).await.status, 401);
    let own = lab.token_inside(MANAGEMENT).await;
    assert_eq!(lab.send_as(&own, "GET", &url, &json!({})).await.json()["value"].as_array().unwrap().len(), 2);
    let without_version = url.split('?').next().unwrap();
    assert_eq!(lab.send_as(&own, "GET", without_version, &json!({})).await.status, 400);
}

#[tokio::test]
async fn a_machine_is_deallocated_after_a_while_and_the_operation_tells() {
    let lab = Lab::with(Options { deallocate_delay: Duration::from_millis(200), ..quick() }).await;
    let token = lab.token_inside(MANAGEMENT).await;
    let accepted = lab.deallocate(&token).await;
    assert_eq!(accepted.status, 202);
    let operation = accepted.header("azure-asyncoperation").to_owned();
    assert_eq!(lab.send_as(&token, "GET", &operation, &json!({})).await.json()["status"], "InProgress");
    assert_eq!(lab.deallocate(&token).await.header("azure-asyncoperation"), operation);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(lab.send_as(&token, "GET", &operation, &json!({})).await.json()["status"], "Succeeded");
    let cloud = lab.simulator.cloud(&lab.customer().tenant_id).unwrap();
    let subscription = &cloud.subscriptions[&lab.customer().plan.entitlements[0].id];
    assert_eq!(subscription.machines[1].power, Power::Deallocated);
    let repeats: Vec<_> = lab.simulator.effects("vm.deallocated").iter().map(|it| !it.applied).collect();
    assert_eq!(repeats, [false, true]);
}

#[tokio::test]
async fn a_user_is_disabled_once_and_only_with_a_token_for_the_tenant() {
    let lab = Lab::start().await;
    let token = lab.token_inside("https://graph.microsoft.com/.default").await;
    let url = format!("{}/v1.0/users/kim@{}", lab.simulator.graph_url(), lab.customer().domain);
    for _ in 0..2 {
        assert_eq!(lab.send_as(&token, "PATCH", &url, &json!({ "accountEnabled": false })).await.status, 204);
    }
    assert_eq!(lab.send_as(&token, "GET", &url, &json!({})).await.json()["accountEnabled"], false);
    let applied: Vec<_> = lab.simulator.effects("user.disabled").iter().map(|it| it.applied).collect();
    assert_eq!(applied, [true, false]);
    let partners = lab.token("https://graph.microsoft.com/.default").await;
    assert_eq!(lab.send_as(&partners, "GET", &url, &json!({})).await.status, 403);
}
