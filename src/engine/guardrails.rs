//! The site's limits on actions, which no playbook can loosen. Pure: what it decides is reserved with the intent.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::{actions::Entry, alert::Alert, duration::Span, store::Guard};

/// The limits, as written under `guardrails:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrails {
    /// Destructive actions that may be carried out without a person's approval: names, or groups such as `subscription.*`.
    /// None at first: that something stops a customer's business by itself is the site's decision, not ours.
    pub without_approval: Vec<String>,
    /// Tenants, subscriptions and plans that are never touched.
    pub protected: Vec<String>,
    /// How many steps may begin within a while.
    pub limits: Vec<Limit>,
    /// Destructive steps are not begun for alerts that were detected longer ago: the world may have changed.
    pub max_alert_age: Span,
}

/// At most so many steps within a while.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// An action, or a group such as `subscription.*`.
    pub action: String,
    /// How many steps.
    pub max: u32,
    /// Within which while.
    pub per: Span,
}

/// Why a step is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// The rule's word, for counting.
    pub rule: &'static str,
    /// For people: what, why and what to do.
    pub detail: String,
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            without_approval: Vec::new(),
            protected: Vec::new(),
            limits: Vec::new(),
            max_alert_age: Span(std::time::Duration::from_hours(24)),
        }
    }
}

impl Guardrails {
    /// What must be reserved before the step may begin, or why it may not.
    ///
    /// # Errors
    /// [`HeldBack`] says which rule holds it.
    pub fn judge(&self, entry: &Entry, plan: &Value, alert: &Alert, now: Timestamp) -> Result<Vec<Guard>, HeldBack> {
        if entry.destructive {
            self.judge_destructive(entry, plan, alert, now)?;
        }
        let limits = self.limits.iter().filter(|limit| covers(&limit.action, entry.name));
        Ok(limits.map(|limit| Guard { action: limit.action.clone(), most: limit.max, per: limit.per.signed() }).collect())
    }

    fn judge_destructive(&self, entry: &Entry, plan: &Value, alert: &Alert, now: Timestamp) -> Result<(), HeldBack> {
        if let Some(id) = self.protected.iter().find(|id| mentions(plan, id)) {
            return Err(HeldBack { rule: "protected", detail: format!("`{id}` is under `guardrails.protected`") });
        }
        if !self.without_approval.iter().any(|pattern| covers(pattern, entry.name)) {
            let detail = format!(
                "`{}` needs a person's approval, which this version cannot ask for; the site allows it by naming it under `guardrails.without_approval`",
                entry.name
            );
            return Err(HeldBack { rule: "approval", detail });
        }
        let age = now.duration_since(alert.detected_at);
        if age > self.max_alert_age.signed() {
            let hours = age.as_hours();
            let detail =
                format!("the alert was detected {hours} hours ago, longer than `guardrails.max_alert_age`, so the world may have changed");
            return Err(HeldBack { rule: "freshness", detail });
        }
        Ok(())
    }
}

/// Why a reserved number was not available.
pub fn exceeded(guard: &Guard) -> HeldBack {
    let per: SignedDuration = guard.per;
    HeldBack { rule: "limit", detail: format!("`guardrails.limits` allows {} of `{}` in {per:#}", guard.most, guard.action) }
}

/// Whether a name or a group such as `subscription.*` covers an action.
fn covers(pattern: &str, action: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == action, |group| action.starts_with(group))
}

/// Whether an identifier is anywhere in rendered arguments, in any case.
fn mentions(value: &Value, id: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().contains(&id.to_lowercase()),
        Value::Array(items) => items.iter().any(|item| mentions(item, id)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, id)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
