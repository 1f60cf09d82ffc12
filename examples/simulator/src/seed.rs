//! What a test says about an alert that Microsoft is to find.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An alert to be created. The default is crypto mining, found now, in the first subscription of the first customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSeed {
    /// A fresh random id when absent.
    pub id: Option<String>,
    /// Kind of the alert, such as `CryptoMining`.
    pub alert_type: String,
    /// `informational`, `low`, `medium` or `high`.
    pub severity: String,
    /// `low`, `medium` or `high`.
    pub confidence: String,
    /// Position of the customer in the world; counted round.
    pub customer: usize,
    /// Position of the Azure subscription in the customer's plan; counted round.
    pub entitlement: usize,
    /// The customer's tenant, instead of a position.
    pub tenant_id: Option<String>,
    /// The Azure subscription, instead of a position.
    pub subscription_id: Option<String>,
    /// `active`, `investigating` or `resolved`.
    pub status: String,
    /// Title.
    pub display_name: String,
    /// Text.
    pub description: String,
    /// Whether Microsoft calls it a test.
    pub is_test: bool,
    /// Resource ids; a virtual machine of the subscription when absent.
    pub affected_resources: Option<Vec<String>>,
    /// The open dictionary of details.
    pub additional_details: Value,
    /// When it was detected; now when absent.
    pub detected: Option<Timestamp>,
    /// Whether the registered webhook is told.
    pub notify: Notify,
}

/// Whether a new alert is announced with a callback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// As the options say.
    #[default]
    AsConfigured,
    /// Yes, if a webhook is registered for fraud events.
    Yes,
    /// No: the callback is lost.
    No,
}

impl Default for AlertSeed {
    fn default() -> Self {
        Self {
            id: None,
            alert_type: "CryptoMining".to_owned(),
            severity: "high".to_owned(),
            confidence: "high".to_owned(),
            customer: 0,
            entitlement: 0,
            tenant_id: None,
            subscription_id: None,
            status: "active".to_owned(),
            display_name: "Mining pool traffic from a virtual machine".to_owned(),
            description: "A virtual machine of this subscription contacted a known mining pool.".to_owned(),
            is_test: false,
            affected_resources: None,
            // The lists are texts that hold JSON, as in Microsoft's examples.
            additional_details: json!({
                "VM_IP": "[ \"203.0.113.7\" ]",
                "MiningPool_IP": "[ \"198.51.100.9\" ]",
                "ConnectionCount": "14",
                "CryptoCurrencyMiningPoolDomainName": "pool.example.net",
            }),
            detected: None,
            notify: Notify::AsConfigured,
        }
    }
}
