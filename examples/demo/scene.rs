//! What happens in the demo: the installation, and the alerts in the order of their coming.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use quell::config::Config;
use quell_simulator::{AlertSeed, Event, Notify, Options, Simulator};
use reqwest::Client;
use ring::hmac;
use serde_json::json;
use tempfile::TempDir;

use crate::show;

/// The installation: the simulator, and a folder with settings and playbooks.
pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    folder: TempDir,
}

/// Shared by the demo's SIEM and Quell.
const SIEM_SECRET: &str = "the demo's shared secret";

/// Between alerts, so that a person can follow.
const PAUSE: Duration = Duration::from_millis(350);

impl Stage {
    pub(crate) async fn build() -> anyhow::Result<Self> {
        let options = Options { seed: 7, customers: 12, cancel_delay: Duration::from_secs(1), notify: false, ..Options::default() };
        let simulator = Simulator::start(options).await.context("start the simulator")?;
        let folder = tempfile::tempdir()?;
        copy_playbooks(&Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks"), &folder.path().join("playbooks"))?;
        // Containment is shipped in shadow; here it may act, because nothing real can be hurt.
        let contain = folder.path().join("playbooks/contain-crypto-mining.yaml");
        fs::write(&contain, fs::read_to_string(&contain)?.replace("mode: shadow", "mode: enforce"))?;
        fs::write(folder.path().join("playbooks/tables/own_accounts.csv"), "account,what\nsoc@partner.example,acts in the demo\n")?;
        fs::write(folder.path().join("root.pem"), simulator.root_certificate_pem())?;
        Ok(Self { simulator, folder })
    }

    /// The settings, as a person would write them into `quell.yaml`.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let it = &self.simulator;
        let folder = self.folder.path().display();
        let certificate_url = it.certificate_url();
        let certificates = certificate_url.rsplit_once('/').map_or("", |(folder, _)| folder);
        let settings = format!(
            r#"
bus: {{url: embedded}}
store: {{url: "sqlite:{folder}/quell.db"}}
playbooks: {folder}/playbooks
web: {{listen: "127.0.0.1:0"}}
net: {{allow: ["127.0.0.1"]}}
guardrails:
  without_approval: ["subscription.suspend", "entitlement.cancel"]
  limits: [{{action: "entitlement.cancel", max: 10, per: 1h}}]
connections:
  contoso: {{type: microsoft, tenant_id: {tenant}, client_id: {client}, client_secret: {secret}, refresh_token: {refresh},
             login_url: {login}, graph_url: {graph}, partner_center_url: {partner_center}}}
adapters:
  - {{name: graph, type: graph_alerts, every: 1s, connection: contoso}}
  - {{name: partner_center, type: partner_center_webhook, path: /hooks/partner-center/demo, connection: contoso, source: graph,
      certificate_urls: ["{certificates}/"], certificate_roots: {folder}/root.pem}}
  - {{name: siem, type: webhook, path: /hooks/siem, auth: {{hmac_sha256: {{header: X-Signature, encoding: base64, secret: "{SIEM_SECRET}"}}}}}}
channels:
  "slack:secops": {{url: "{slack}/services/secops"}}
  "teams:soc": {{url: "{teams}/workflows/soc"}}
  "email:oncall": {{smtp: "smtp://{smtp}", from: "quell@partner.example", to: ["oncall@partner.example"]}}
"#,
            tenant = it.tenant_id(),
            client = it.client_id(),
            secret = it.client_secret(),
            refresh = it.refresh_token(),
            login = it.login_url(),
            graph = it.graph_url(),
            partner_center = it.partner_center_url(),
            slack = it.slack_url(),
            teams = it.teams_url(),
            smtp = it.smtp_address(),
        );
        Ok(Config::parse(&settings, "the demo's settings", std::iter::empty())?)
    }

    /// Lets the alerts come.
    pub(crate) async fn play(&self, quell: SocketAddr) -> anyhow::Result<()> {
        let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
        self.callback_about_mining(quell, 0, "high").await?;
        self.found_by_polling("ARM_AnomalousResourceConsumption", 1, "medium").await;
        siem(&client, quell, &finding("siem-1", "impossible_travel", "low"), "a sign-in from two countries: a kind that no playbook knows")
            .await?;
        self.callback_about_mining(quell, 2, "high").await?;
        self.found_by_polling("AzureMachineLearning_AnomalousDeployment", 3, "high").await;
        siem(&client, quell, &finding("siem-1", "impossible_travel", "low"), "the same once more: the SIEM repeats itself").await?;
        self.callback_about_mining(quell, 0, "high").await?;
        self.found_by_polling("CryptoMining", 4, "high").await;
        self.found_by_polling("CryptoMining", 5, "low").await;
        self.found_by_polling("ServiceHealthSecurityAdvisory", 6, "informational").await;
        siem(&client, quell, "{\"kind\": \"crypto_mining\", \"severity\": ", "half a document: refused at the door").await?;
        self.found_by_polling("ARM_SuspiciousOperations", 7, "high").await;
        self.false_positive(8).await;
        self.callback_with_a_forged_signature(quell).await?;
        siem(&client, quell, &finding("siem-2", "anomalous_vm_deployment", "high"), "forty virtual machines in one hour").await?;
        self.malformed(quell, &client).await?;
        Ok(())
    }

    async fn callback_about_mining(&self, quell: SocketAddr, customer: usize, severity: &str) -> anyhow::Result<()> {
        let id = self.alert("CryptoMining", customer, severity, "high");
        let alert = self.simulator.alert(&id).unwrap_or_default();
        let subscription = alert["subscriptionId"].as_str().unwrap_or_default();
        let url = format!("http://{quell}/hooks/partner-center/demo");
        let status = self.simulator.deliver_webhook(&url, Event::fraud(subscription)).await?;
        show::arrival("Partner Center calls back", &format!("crypto mining at {}", self.customer(customer)), status);
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    async fn callback_with_a_forged_signature(&self, quell: SocketAddr) -> anyhow::Result<()> {
        let url = format!("http://{quell}/hooks/partner-center/demo");
        let event = Event { tamper: quell_simulator::Tamper::Body, ..Event::fraud("22222222-bbbb-4bbb-8bbb-000000000002") };
        let status = self.simulator.deliver_webhook(&url, event).await?;
        show::arrival("somebody calls back", "with a signature over other bytes", status);
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    async fn found_by_polling(&self, alert_type: &str, customer: usize, severity: &str) {
        let confidence = if severity == "low" { "low" } else { "high" };
        self.alert(alert_type, customer, severity, confidence);
        show::arrival("Graph lists", &format!("{alert_type} at {}", self.customer(customer)), 0);
        tokio::time::sleep(PAUSE).await;
    }

    /// Somebody in the portal was quicker.
    async fn false_positive(&self, customer: usize) {
        let id = self.alert("VM_AnomalousDeployment", customer, "medium", "medium");
        show::arrival("Graph lists", &format!("VM_AnomalousDeployment at {}", self.customer(customer)), 0);
        tokio::time::sleep(PAUSE * 6).await;
        self.simulator.set_alert_status(&id, "resolved", Some("legitimate"));
        show::arrival("in the portal", "somebody resolves it as legitimate", 0);
        tokio::time::sleep(PAUSE).await;
    }

    /// Another program on the bus writes what is no alert.
    async fn malformed(&self, quell: SocketAddr, client: &Client) -> anyhow::Result<()> {
        let store = quell::store::Store::open(&self.database(), &quell::lifecycle::Tasks::default(), None).await?;
        store.enqueue("foreign".to_owned(), b"{\"alarm\": \"from another program\"}".to_vec()).await?;
        show::arrival("on the bus", "a message that is no alert", 0);
        tokio::time::sleep(PAUSE).await;
        // One more good one after it: nothing is held up by the bad one.
        siem(client, quell, &finding("siem-3", "impossible_travel", "medium"), "a sign-in from two countries, again").await
    }

    fn database(&self) -> String {
        format!("sqlite:{}/quell.db", self.folder.path().display())
    }

    fn alert(&self, alert_type: &str, customer: usize, severity: &str, confidence: &str) -> String {
        self.simulator.add_alert(AlertSeed {
            alert_type: alert_type.to_owned(),
            severity: severity.to_owned(),
            confidence: confidence.to_owned(),
            customer,
            display_name: format!("{alert_type} in a subscription of {}", self.customer(customer)),
            notify: Notify::No,
            ..AlertSeed::default()
        })
    }

    fn customer(&self, index: usize) -> String {
        self.simulator.world().get(index).map(|customer| customer.name.clone()).unwrap_or_default()
    }
}

fn finding(id: &str, kind: &str, severity: &str) -> String {
    let now = Timestamp::now().to_string();
    json!({"id": id, "source": "siem", "kind": kind, "severity": severity, "title": format!("{kind} reported by the SIEM"),
           "detected_at": now, "received_at": now})
    .to_string()
}

async fn siem(client: &Client, quell: SocketAddr, body: &str, what: &str) -> anyhow::Result<()> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SIEM_SECRET.as_bytes());
    let signature = BASE64.encode(hmac::sign(&key, body.as_bytes()));
    let request =
        client.post(format!("http://{quell}/hooks/siem")).header("content-type", "application/json").header("x-signature", signature);
    let status = request.body(body.to_owned()).send().await?.status().as_u16();
    show::arrival("the SIEM sends", what, status);
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

fn copy_playbooks(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("a name")?);
        if path.is_dir() {
            copy_playbooks(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
