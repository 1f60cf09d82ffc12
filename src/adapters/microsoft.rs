//! Partner security alerts of Microsoft Graph as alerts of ours: a pure function, shared by the webhook and the poll.
//!
//! Both must give the same alert the same identifier and revision, or one fact would be acted on twice.

use jiff::Timestamp;
use ring::digest;
use serde_json::{Map, Value};

use crate::alert::{Alert, Confidence, Severity, Status};

/// What Microsoft's names for alert types mean, in lower case; its documents spell them in several ways.
const KINDS: &[(&str, &str)] = &[
    ("cryptomining", "crypto_mining"),
    ("networkconnectionstocryptominingpools", "crypto_mining"),
    ("arm_anomalousresourceconsumption", "anomalous_resource_consumption"),
    ("usageanomalydetection", "anomalous_resource_consumption"),
    ("vm_anomalousdeployment", "anomalous_vm_deployment"),
    ("virtualmachinedeploymentanomaly", "anomalous_vm_deployment"),
    ("multiregionvirtualmachinescalesetdeploymentanomaly", "anomalous_vm_deployment"),
    ("azurebatch_anomalousdeployment", "anomalous_batch_deployment"),
    ("azuremachinelearning_anomalousdeployment", "anomalous_machine_learning_deployment"),
    ("multiregionmachinelearningusageanomaly", "anomalous_machine_learning_deployment"),
    ("azurecontainerinstances_anomalousdeployment", "anomalous_container_deployment"),
    ("arm_suspiciousoperations", "suspicious_arm_operations"),
    ("servicehealthsecurityadvisory", "service_health_advisory"),
];

const QUOTA: &str = "quota_increase";
const UNKNOWN: &str = "unknown";

/// The kinds of alerts that Microsoft's types are known to mean.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    let mut kinds: Vec<&str> = KINDS.iter().map(|(_, kind)| *kind).chain([QUOTA, UNKNOWN]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.into_iter()
}

/// Keeps of a source's alert what an alert of ours has a field for, and all of it under `raw`.
///
/// # Errors
/// It has no identifier, so a repeat could not be recognised.
pub(super) fn alert(raw: &Value, source: &str, now: Timestamp) -> Result<Alert, String> {
    let id = text(raw, "id").filter(|id| !id.is_empty()).ok_or("the alert has no `id`")?;
    let detected = ["detectedDateTime", "firstObservedDateTime"].iter().find_map(|name| text(raw, name)?.parse().ok());
    let optional = |name| text(raw, name).filter(|it| !it.is_empty()).map(str::to_owned);
    Ok(Alert {
        id: id.to_owned(),
        source: source.to_owned(),
        kind: kind(text(raw, "alertType").unwrap_or_default()),
        // A word that is newer than this program is no reason to think less of an alert.
        severity: text(raw, "severity").and_then(Severity::parse).unwrap_or(Severity::Medium),
        confidence: text(raw, "confidenceLevel").and_then(Confidence::parse).unwrap_or(Confidence::Medium),
        status: text(raw, "status").and_then(Status::parse).unwrap_or(Status::Active),
        title: optional("displayName").unwrap_or_default(),
        description: optional("description").unwrap_or_default(),
        customer_tenant_id: optional("customerTenantId").unwrap_or_default(),
        customer_name: None,
        subscription_id: optional("subscriptionId").unwrap_or_default(),
        reseller_tenant_id: optional("valueAddedResellerTenantId"),
        resources: resources(raw),
        detected_at: detected.unwrap_or(now),
        received_at: now,
        revision: revision(raw),
        is_test: is_true(raw.get("isTest")),
        details: details(raw),
        raw: raw.clone(),
    })
}

/// Which state of the alert this is: a pure function of what matters to a playbook, whoever reads it and whenever.
pub(super) fn revision(raw: &Value) -> String {
    let mut parts: Vec<String> = ["status", "resolvedReason", "severity", "confidenceLevel"]
        .iter()
        .map(|name| text(raw, name).unwrap_or_default().to_lowercase())
        .collect();
    let mut resources = resources(raw);
    resources.sort_unstable();
    parts.append(&mut resources);
    let hash = digest::digest(&digest::SHA256, Value::from(parts).to_string().as_bytes());
    let begins_with = hash.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // 48 bits: an alert has a handful of states.
    format!("{:012x}", begins_with >> 16)
}

fn kind(alert_type: &str) -> String {
    let lower = alert_type.to_lowercase();
    if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == lower) {
        return (*kind).to_owned();
    }
    match lower.as_str() {
        "" => UNKNOWN.to_owned(),
        quota if quota.starts_with("quot") => QUOTA.to_owned(),
        _ => snake_case(alert_type),
    }
}

/// `VM_AnomalousThing` becomes `vm_anomalous_thing`, `ARMChange` becomes `arm_change`.
pub(super) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let begins_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase() || before.is_ascii_digit() || letters.get(at + 1).is_some_and(|it| it.is_lowercase())
            });
        let separates = !letter.is_alphanumeric();
        if (begins_word || separates) && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        if !separates {
            snake.extend(letter.to_lowercase());
        }
    }
    snake.trim_end_matches('_').to_owned()
}

/// The source's own dictionary with its own names, and beside it what work on the alert has been done.
fn details(raw: &Value) -> Map<String, Value> {
    let mut details = Map::new();
    if let Some(Value::Object(given)) = raw.get("additionalDetails") {
        details.extend(given.iter().map(|(name, value)| (name.clone(), unwrapped(value))));
    }
    let beside = [
        ("resolved_by", "resolvedBy"),
        ("resolved_reason", "resolvedReason"),
        ("resolved_at", "resolvedOnDateTime"),
        ("first_observed_at", "firstObservedDateTime"),
        ("last_observed_at", "lastObservedDateTime"),
        ("catalog_offer_id", "catalogOfferId"),
        ("alert_type", "alertType"),
    ];
    for (name, given) in beside {
        if let Some(value) = raw.get(given).filter(|value| !value.is_null()) {
            details.insert(name.to_owned(), value.clone());
        }
    }
    details
}

/// Some values are texts that hold a JSON list or a number; a playbook wants what they hold.
fn unwrapped(value: &Value) -> Value {
    let held = value.as_str().and_then(|text| serde_json::from_str(text).ok());
    held.filter(|held| !matches!(held, Value::Null)).unwrap_or_else(|| value.clone())
}

fn resources(raw: &Value) -> Vec<String> {
    let affected = raw.get("affectedResources").and_then(Value::as_array);
    affected.into_iter().flatten().filter_map(|it| text(it, "resourceId").map(str::to_owned)).collect()
}

fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(is_true)) => *is_true,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// A member of an object, whatever its case: Partner Center's documents show it in one and its answers in another.
pub(super) fn named<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    fields.get(name).or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph() -> Value {
        json!({
            "id": "a-1", "displayName": "Mining", "alertType": "CryptoMining", "status": "active", "severity": "high", "confidenceLevel": "low",
            "customerTenantId": "c", "subscriptionId": "s", "valueAddedResellerTenantId": null, "detectedDateTime": "2026-03-02T04:11:09.5Z",
            "isTest": "false", "resolvedReason": null, "resolvedBy": "soc@partner.example",
            "affectedResources": [{"resourceId": "/b", "resourceType": "AzureResource"}, {"resourceId": "/a"}],
            "additionalDetails": {"VM_IP": "[ \"203.0.113.7\" ]", "ConnectionCount": "14", "Pool": "pool.example.net"},
        })
    }

    fn now() -> Timestamp {
        "2026-03-02T05:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_the_source_says_is_kept() {
        let alert = alert(&graph(), "graph", now()).unwrap();
        assert_eq!(
            (alert.id.as_str(), alert.kind.as_str(), alert.severity, alert.confidence),
            ("a-1", "crypto_mining", Severity::High, Confidence::Low)
        );
        assert_eq!(alert.resources, ["/b", "/a"]);
        assert_eq!(alert.detected_at.to_string(), "2026-03-02T04:11:09.5Z");
        assert_eq!(alert.reseller_tenant_id, None);
        assert!(!alert.is_test);
        assert_eq!(alert.details["VM_IP"], json!(["203.0.113.7"]));
        assert_eq!(alert.details["ConnectionCount"], 14);
        assert_eq!(alert.details["Pool"], "pool.example.net");
        assert_eq!(alert.details["resolved_by"], "soc@partner.example");
        assert_eq!(alert.raw, graph());
    }

    #[test]
    fn what_is_missing_or_new_does_not_lose_an_alert() {
        let bare = alert(&json!({"id": "a", "severity": "unknownFutureValue", "isTest": true}), "graph", now()).unwrap();
        assert_eq!((bare.kind.as_str(), bare.severity, bare.detected_at, bare.is_test), ("unknown", Severity::Medium, now(), true));
        assert!(alert(&json!({"alertType": "CryptoMining"}), "graph", now()).is_err());
    }

    #[test]
    fn kinds_are_known_in_every_spelling_and_never_dropped() {
        for (given, expected) in [
            ("networkConnectionsToCryptoMiningPools", "crypto_mining"),
            ("NetworkConnectionsToCryptoMiningPools", "crypto_mining"),
            ("usageAnomalyDetection", "anomalous_resource_consumption"),
            ("VM_AnomalousDeployment", "anomalous_vm_deployment"),
            ("MultiRegionMachineLearningUsageAnomaly", "anomalous_machine_learning_deployment"),
            ("Quota_Increase", "quota_increase"),
            ("QuotaRequest", "quota_increase"),
            ("VM_AnomalousThing", "vm_anomalous_thing"),
            ("ARMChange", "arm_change"),
            ("newKindV2Seen", "new_kind_v2_seen"),
            ("a b--c", "a_b_c"),
        ] {
            assert_eq!(kind(given), expected);
        }
    }

    #[test]
    fn a_revision_is_a_function_of_the_state_alone() {
        let first = revision(&graph());
        let mut same = graph();
        same["affectedResources"].as_array_mut().unwrap().reverse();
        same["lastObservedDateTime"] = "2026-03-03T00:00:00Z".into();
        same["status"] = "Active".into();
        assert_eq!(revision(&same), first);
        for (name, value) in [("status", "resolved"), ("resolvedReason", "fraud"), ("severity", "low"), ("confidenceLevel", "high")] {
            let mut other = graph();
            other[name] = value.into();
            assert_ne!(revision(&other), first, "{name}");
        }
        let mut other = graph();
        other["affectedResources"] = json!([]);
        assert_ne!(revision(&other), first);
    }
}
