//! The playbooks and alerts of the ordeals.

use jiff::Timestamp;
use quell::run::Class;
use serde_json::{Value, json};

use crate::{
    spine::{crypto_alert, customer_with},
    support::lab::Lab,
};

/// How a step leaves its mark outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// A request that nobody can look at afterwards: left at most once, and in doubt if it dies in between.
    Unsafe,
    /// A message to people: left at least once, with one identifier.
    Notice,
}

impl Marker {
    /// A step that leaves a mark; `about` makes the marks of different runs different.
    pub(super) fn about(self, name: &str, about: &str) -> String {
        let id = name.split(['-', '$']).next().unwrap_or(name);
        format!("{{id: {id}, {}}}", self.action(name, about))
    }

    /// The same for steps of a run that answers an alert.
    pub(super) fn step(self, name: &str) -> String {
        self.about(name, ALERT)
    }

    /// What such a step does.
    pub(super) fn action(self, name: &str, about: &str) -> String {
        match self {
            Self::Unsafe => {
                let url = format!("SLACK/services/{name}-{about}");
                format!(r#"action: http.request, with: {{method: POST, url: "{url}", body: {{text: "{name}"}}}}"#)
            }
            Self::Notice => {
                let retry = "retry: {delay: 100ms}";
                format!(r#"action: notify, {retry}, with: {{channels: ["slack:secops"], title: "{name}", text: "{about}"}}"#)
            }
        }
    }
}

/// What marks of a run that answers an alert are about.
pub(super) const ALERT: &str = "${alert.id}";

/// A playbook about alerts of the kind `scene`, with what stands above its steps.
pub(super) fn playbook(name: &str, head: &str, steps: &[String]) -> String {
    let steps = steps.iter().map(|step| format!("  - {step}\n")).collect::<Vec<_>>().concat();
    format!("playbook: {name}\nmode: enforce\ntrigger: {{alert: {{match: {{kind: scene}}}}}}\n{head}\nsteps:\n{steps}")
}

/// So many alerts that nothing outside knows of.
pub(super) fn alerts(count: usize) -> impl Fn(&Lab) -> Vec<Value> + Send + Sync {
    move |_lab| (0..count).map(|number| plain_alert(&format!("alert-{number}"))).collect()
}

pub(super) fn plain_alert(id: &str) -> Value {
    let now = Timestamp::now().to_string();
    json!({
        "id": id, "source": "graph", "kind": "scene", "severity": "high", "title": format!("about {id}"),
        "customer_tenant_id": "11111111-aaaa-4aaa-8aaa-000000000001", "subscription_id": "22222222-bbbb-4bbb-8bbb-000000000002",
        "detected_at": now, "received_at": now,
    })
}

/// An alert about an Azure subscription that the simulator knows, with the kind that the playbooks of the scenes ask for.
pub(super) fn known_alert(lab: &Lab) -> Vec<Value> {
    let (_, mut alert) = crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1));
    alert["kind"] = json!("scene");
    vec![alert]
}

/// The steps that act on what a known alert is about, one for each class. The last of them is the one that matters.
pub(super) fn act(class: Class) -> Vec<String> {
    let step = |id: &str, action: &str, with: &str| format!("{{id: {id}, action: {action}, retry: {{delay: 100ms}}, with: {{{with}}}}}");
    let ids = r#"customer_tenant_id: "${alert.customer_tenant_id}", subscription_id: "${alert.subscription_id}""#;
    let find = step("sub", "entitlement.find", ids);
    let entitlement = r#"customer_tenant_id: "${alert.customer_tenant_id}", entitlement_id: "${alert.subscription_id}", plan_id: "${steps.sub.output.plan_id}""#;
    let cancel = step("cancel", "entitlement.cancel", entitlement);
    match class {
        Class::Read => vec![find],
        Class::Idempotent => vec![step("act", "alert.update_status", "status: resolved, resolved_reason: fraud")],
        Class::Keyed => vec![find, cancel],
        Class::Verified => vec![find, cancel, step("suspend", "subscription.suspend", ids)],
        Class::Unsafe => vec![Marker::Unsafe.step("act")],
    }
}
