//! A small HTTP client with a token for each service.

use std::time::Duration;

use quell_simulator::{Customer, EntitlementStatus, Options, Simulator};
use serde_json::{Value, json};

pub(crate) const GRAPH: &str = "https://graph.microsoft.com/.default";
pub(crate) const PARTNER_CENTER: &str = "https://api.partnercenter.microsoft.com/.default";

pub(crate) struct Lab {
    pub(crate) simulator: Simulator,
    http: reqwest::Client,
    graph: String,
    partner_center: String,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }
}

/// Everything is quick, so that the tests are.
pub(crate) fn quick() -> Options {
    Options { cancel_delay: Duration::from_millis(200), callback_retry: Duration::from_millis(20), ..Options::default() }
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(quick()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(5)).build().unwrap();
        let mut lab = Self { simulator, http, graph: String::new(), partner_center: String::new() };
        lab.graph = lab.token(GRAPH).await;
        lab.partner_center = lab.token(PARTNER_CENTER).await;
        lab
    }

    pub(crate) async fn token(&self, scope: &str) -> String {
        let form = self.app_form(&[("scope", scope)]);
        let reply = self.sign_in("oauth2/v2.0/token", &form).await;
        reply.json()["access_token"].as_str().unwrap_or_default().to_owned()
    }

    /// A token that acts for a person.
    pub(crate) async fn user_token(&self, scope: &str) -> String {
        let token = self.simulator.refresh_token();
        let form = self.app_form(&[("scope", scope), ("refresh_token", &token)]);
        let form = form.replace("client_credentials", "refresh_token");
        let reply = self.sign_in("oauth2/v2.0/token", &form).await;
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn send_as(&self, token: &str, method: &str, url: &str, body: &Value) -> Reply {
        let request = self.http.request(method.parse().unwrap(), url).bearer_auth(token);
        finish(request.body(body.to_string())).await.unwrap()
    }

    pub(crate) fn app_form(&self, more: &[(&str, &str)]) -> String {
        let usual = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            self.simulator.client_id(),
            self.simulator.client_secret()
        );
        more.iter().fold(usual, |form, (name, value)| format!("{form}&{name}={value}"))
    }

    pub(crate) async fn sign_in(&self, path: &str, form: &str) -> Reply {
        let url = format!("{}/{}/{path}", self.simulator.login_url(), self.simulator.tenant_id());
        let request = self.http.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(form.to_owned());
        finish(request).await.unwrap()
    }

    pub(crate) fn request(&self, method: &str, url: &str) -> reqwest::RequestBuilder {
        let token = if url.contains("/graph/") { &self.graph } else { &self.partner_center };
        self.http.request(method.parse().unwrap(), url).bearer_auth(token)
    }

    pub(crate) async fn get(&self, url: &str) -> Reply {
        finish(self.request("GET", url)).await.unwrap()
    }

    pub(crate) async fn send(&self, method: &str, url: &str, body: &Value) -> Reply {
        finish(self.request(method, url).body(body.to_string())).await.unwrap()
    }

    pub(crate) async fn try_send(&self, method: &str, url: &str, body: &Value) -> Result<Reply, reqwest::Error> {
        finish(self.request(method, url).body(body.to_string())).await
    }

    pub(crate) fn customer(&self) -> Customer {
        self.simulator.world().remove(0)
    }

    pub(crate) fn alerts_url(&self) -> String {
        format!("{}/beta/security/partner/securityAlerts", self.simulator.graph_url())
    }

    pub(crate) fn plan_url(&self) -> String {
        let customer = self.customer();
        let base = self.simulator.partner_center_url();
        format!("{base}/v1/customers/{}/subscriptions/{}", customer.tenant_id, customer.plan.id)
    }

    pub(crate) fn entitlement_url(&self, index: usize) -> String {
        let id = &self.customer().plan.entitlements[index].id;
        format!("{}/azureEntitlements/{id}", self.plan_url())
    }

    /// The whole plan with another status, and its etag in quotes.
    pub(crate) async fn suspension(&self) -> (Value, String) {
        let mut plan = self.get(&self.plan_url()).await.json();
        let etag = format!("\"{}\"", plan["attributes"]["etag"].as_str().unwrap());
        plan["status"] = json!("suspended");
        (plan, etag)
    }

    pub(crate) async fn suspend(&self, (body, etag): &(Value, String), request_id: &str) -> Reply {
        let request =
            self.request("PATCH", &self.plan_url()).header("If-Match", etag).header("MS-RequestId", request_id).body(body.to_string());
        finish(request).await.unwrap()
    }

    /// Cancels every Azure subscription of the first customer and waits until that shows.
    pub(crate) async fn cancel_all(&self) {
        let count = self.customer().plan.entitlements.len();
        for index in 0..count {
            let url = format!("{}/cancel", self.entitlement_url(index));
            self.send("POST", &url, &json!({ "cancellationReason": "compromise" })).await;
        }
        self.until(|customer| {
            let mut all = customer.plan.entitlements.iter();
            all.all(|it| it.status == EntitlementStatus::Inactive)
        })
        .await;
    }

    /// Waits until the first customer is as wanted.
    pub(crate) async fn until(&self, is_wanted: impl Fn(&Customer) -> bool) {
        while !is_wanted(&self.customer()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) async fn finish(request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await?;
    Ok(Reply { status, headers, text })
}
