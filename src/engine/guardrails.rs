//! The site's limits on actions, which no playbook can loosen. Pure: what it decides is reserved with the intent.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use crate::{
    actions::{Entry, Pattern},
    duration::Span,
    failpoints,
    mention::mentions,
    playbook::{OnExceed, Playbook},
    run::Class,
    store::{Guard, Heed, Hold},
};

/// The limits, as written under `guardrails:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrails {
    /// Destructive actions that may be carried out without a person's approval: names, or groups such as `subscription.*`.
    /// None at first: that something stops a customer's business by itself is the site's decision, not ours.
    pub without_approval: Vec<Pattern>,
    /// Tenants, subscriptions and plans that are never touched, however they are spelt.
    pub protected: Vec<String>,
    /// How many steps may begin within a while.
    pub limits: Vec<Limit>,
    /// Destructive steps are not begun for alerts that were detected longer ago: the world may have changed.
    pub max_alert_age: Span,
    /// How long a subscription or plan that Quell had stopped, and a person started again, is not stopped again without people's word.
    /// `0s` leaves it to them to place holds.
    pub human_hold: Span,
    /// The kill switch: while there is a file at this path, no step begins that changes anything but what people are told.
    pub stop_file: PathBuf,
}

/// At most so many steps within a while.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// An action, or a group such as `subscription.*`.
    pub action: Pattern,
    /// How many steps.
    pub max: u32,
    /// Within which while.
    #[serde(deserialize_with = "some_time")]
    pub per: Span,
    /// What follows when it is used up.
    #[serde(default)]
    pub on_exceed: OnExceed,
}

/// What a step is judged by, besides what it would do.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The playbooks that it is a part of, whose own limits hold as well.
    pub playbooks: &'a [&'a Playbook],
    /// When what it answers happened.
    pub detected_at: Timestamp,
    /// When people agreed to it, if they did.
    pub approved_at: Option<Timestamp>,
    /// Whether the site itself asked about the step, and people agreed.
    pub site_approved: bool,
}

/// Why a step is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// The rule's word, for counting.
    pub rule: &'static str,
    /// For people: what, why and what to do.
    pub detail: String,
    /// Whether people may let it pass.
    pub asks: bool,
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            without_approval: Vec::new(),
            protected: Vec::new(),
            limits: Vec::new(),
            max_alert_age: Span(std::time::Duration::from_hours(24)),
            // Long enough for whoever started it again to be back from a weekend and to say what it was.
            human_hold: Span(std::time::Duration::from_hours(7 * 24)),
            // Beside the journal of the defaults, where `quell run` may write.
            stop_file: PathBuf::from("data/actions-stopped"),
        }
    }
}

/// Stops after which the target itself shows whether it is at work again. Other destructive actions share their target with each other, as the
/// roles of a subscription do, or leave nothing to look at, so that our own next step would be taken for a person's.
const SHOWN_BY_THEIR_TARGET: [&str; 4] = ["subscription.suspend", "entitlement.cancel", "azure.deallocate_vm", "entra.disable_user"];

/// What is done to the same targets, and cannot have started them again: that it was done says nothing about who did.
const STARTS_NOTHING: [&str; 2] = ["entra.revoke_sessions", "entra.confirm_compromised"];

impl Guardrails {
    /// What must be reserved before the step may begin, or why it may not.
    ///
    /// # Errors
    /// [`HeldBack`] says which rule holds it.
    pub fn judge(&self, entry: &Entry, plan: &Value, case: Case<'_>, now: Timestamp) -> Result<Vec<Guard>, HeldBack> {
        if entry.destructive {
            self.judge_destructive(entry, plan, case, now)?;
        }
        let guard = |(action, on_exceed): (&Pattern, OnExceed), most, per, playbook: Option<&str>| Guard {
            rule: action.text().to_owned(),
            actions: action.covered().collect(),
            most,
            per,
            playbook: playbook.map(ToOwned::to_owned),
            asks: on_exceed == OnExceed::RequireApproval,
        };
        // Beyond a limit that asks for approval, those who were asked about it have the word: a playbook's people about its own, the
        // site's about the site's.
        let binds = |action: &Pattern, on_exceed, approved: bool| {
            action.covers(entry.name) && !(approved && on_exceed == OnExceed::RequireApproval)
        };
        let site = self.limits.iter().filter(|limit| binds(&limit.action, limit.on_exceed, case.site_approved));
        let site = site.map(|limit| guard((&limit.action, limit.on_exceed), limit.max, limit.per.signed(), None));
        let own = case.playbooks.iter().flat_map(|playbook| playbook.guardrails.iter().map(|limit| (limit, &playbook.name)));
        let own = own.filter(|(limit, _)| binds(&limit.action, limit.on_exceed, case.approved_at.is_some()));
        let own = own.map(|(limit, name)| guard((&limit.action, limit.on_exceed), limit.max, Span(limit.per).signed(), Some(name)));
        Ok(site.chain(own).collect())
    }

    /// What holds mean for a step, if it can stop a customer's business or is never repeated.
    pub fn heed(&self, entry: &Entry, class: Class, approved_at: Option<Timestamp>) -> Option<Heed> {
        let stops = SHOWN_BY_THEIR_TARGET.into_iter().filter(|name| *name == entry.name).collect();
        let is_destructive = entry.destructive;
        let heeds = is_destructive || class == Class::Unsafe;
        heeds.then(|| Heed { is_destructive, stops, approved_at, ..self.heed_of_stops() })
    }

    /// How long everything is held after the journal was restored from a backup: as long as a hold of a person may last that it does not
    /// know of, and at least until what came before is too old to be acted on by itself.
    pub fn hold_after_restore(&self) -> SignedDuration {
        self.human_hold.signed().max(self.max_alert_age.signed())
    }

    /// What holds mean for what is seen at work.
    pub fn heed_of_stops(&self) -> Heed {
        let (stops, starts_nothing) = (SHOWN_BY_THEIR_TARGET.to_vec(), STARTS_NOTHING.to_vec());
        Heed { is_destructive: true, stops, starts_nothing, lasts: self.human_hold.signed(), approved_at: None }
    }

    fn judge_destructive(&self, entry: &Entry, plan: &Value, case: Case<'_>, now: Timestamp) -> Result<(), HeldBack> {
        if let Some(id) = self.protected.iter().find(|id| mentions(plan, id)) {
            return Err(HeldBack { rule: "protected", detail: format!("`{id}` is under `guardrails.protected`"), asks: false });
        }
        let is_approved = case.approved_at.is_some() || failpoints::mistake("no_approval");
        if !is_approved && !self.without_approval.iter().any(|pattern| pattern.covers(entry.name)) {
            let detail = format!(
                "`{}` needs a person's approval: an `approval` step for it asks, or the site asks where `approvals` names groups, or allows it by naming it under `guardrails.without_approval`",
                entry.name
            );
            return Err(HeldBack { rule: "approval", detail, asks: true });
        }
        // Who agreed has looked at the world as it was then.
        let age = now.duration_since(case.detected_at.max(case.approved_at.unwrap_or(case.detected_at)));
        if age > self.max_alert_age.signed() {
            let hours = age.as_hours();
            let detail =
                format!("the alert was detected {hours} hours ago, longer than `guardrails.max_alert_age`, so the world may have changed");
            return Err(HeldBack { rule: "freshness", detail, asks: true });
        }
        Ok(())
    }
}

/// Why a reserved number was not available.
pub fn exceeded(guard: &Guard) -> HeldBack {
    let per: SignedDuration = guard.per;
    let whose =
        guard.playbook.as_ref().map_or_else(|| "`guardrails.limits`".to_owned(), |name| format!("`guardrails` of the playbook `{name}`"));
    HeldBack { rule: "limit", detail: format!("{whose} allows {} of `{}` in {per:#}", guard.most, guard.rule), asks: guard.asks }
}

/// Why a step waits that would stop what a person wants.
pub fn on_hold(hold: &Hold) -> HeldBack {
    let Hold { number, target, until, reason, .. } = hold;
    let what = if hold.is_on_everything() { "everything".to_owned() } else { format!("`{target}`") };
    let detail = format!(
        "{what} is on hold until {until:.0}: {reason}; people who agree to exactly this step may let it pass, and `quell holds release {number}` ends the hold"
    );
    HeldBack { rule: "hold", detail, asks: true }
}

/// Why an intent was not recorded although its driver took the step for approved.
pub fn unapproved() -> HeldBack {
    let detail = "people were asked about this step, and have not agreed to exactly this".to_owned();
    HeldBack { rule: "approval", detail, asks: false }
}

/// A limit over no time at all would never hold anything back.
fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.0.is_zero() { Err(D::Error::custom("`per` is longer than nothing, e.g. `1h`")) } else { Ok(span) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::{
        actions::{self, CATALOG},
        expression::Sandbox,
    };

    const NOW: &str = "2026-03-03T12:00:00Z";

    fn judged(settings: &str, action: &str, plan: &Value, detected_at: &str) -> Result<usize, &'static str> {
        let guardrails: Guardrails = serde_yaml::from_str(settings).unwrap();
        let entry = actions::find(action).unwrap();
        let text = "playbook: p\ntrigger: {alert: {}}\nsteps: [{id: s, stop: {outcome: done, reason: r}}]\n";
        let playbook = Playbook::parse(&Sandbox::new(), Path::new("p.yaml"), text).unwrap().0;
        let case = Case { playbooks: &[&playbook], detected_at: detected_at.parse().unwrap(), approved_at: None, site_approved: false };
        guardrails.judge(entry, plan, case, NOW.parse().unwrap()).map(|guards| guards.len()).map_err(|held| held.rule)
    }

    #[test]
    fn a_limit_of_the_site_is_lifted_by_whom_the_site_asked_and_one_of_a_playbook_by_its_own() {
        let sandbox = Sandbox::new();
        let text = "playbook: p\ntrigger: {alert: {}}\nguardrails: [{action: 'entitlement.*', max: 1, per: 1h, on_exceed: require_approval}]\nsteps: [{id: s, action: log, with: {message: x}}]\n";
        let playbook = Playbook::parse(&sandbox, Path::new("p.yaml"), text).unwrap().0;
        let site: Guardrails = serde_json::from_value(serde_json::json!({
            "without_approval": ["entitlement.*"],
            "limits": [{"action": "entitlement.*", "max": 3, "per": "1h", "on_exceed": "require_approval"}],
        }))
        .unwrap();
        let now: Timestamp = "2026-03-02T04:00:00Z".parse().unwrap();
        let most = |approved_at, site_approved| {
            let case = Case { playbooks: &[&playbook], detected_at: now, approved_at, site_approved };
            let guards = site.judge(actions::find("entitlement.cancel").unwrap(), &Value::Null, case, now).unwrap();
            guards.iter().map(|guard| guard.most).collect::<Vec<_>>()
        };
        assert_eq!(most(None, false), [3, 1]);
        assert_eq!(most(Some(now), false), [3], "the playbook's people were not asked about the site's limit");
        assert!(most(Some(now), true).is_empty());
    }

    #[test]
    fn a_step_is_held_back_by_the_first_rule_that_forbids_it() {
        let plan = json!({"customer_tenant_id": "T-1", "list": [{"deep": "S-1"}]});
        let fresh = "2026-03-03T11:00:00Z";
        let all = "without_approval: ['subscription.*']";
        for (settings, action, detected_at, expected) in [
            ("{}", "subscription.suspend", fresh, Err("approval")),
            ("without_approval: [entitlement.cancel]", "subscription.suspend", fresh, Err("approval")),
            (all, "subscription.suspend", fresh, Ok(0)),
            ("without_approval: ['*']", "entitlement.cancel", fresh, Ok(0)),
            ("{without_approval: ['*'], protected: [s-1]}", "subscription.suspend", fresh, Err("protected")),
            ("{without_approval: ['*'], protected: ['{S1}']}", "subscription.suspend", fresh, Err("protected")),
            ("{without_approval: ['*'], protected: [t-2]}", "subscription.suspend", fresh, Ok(0)),
            (all, "subscription.suspend", "2026-03-02T11:59:59Z", Err("freshness")),
            ("{without_approval: ['*'], max_alert_age: 2d}", "subscription.suspend", "2026-03-02T11:59:59Z", Ok(0)),
            ("{without_approval: ['*'], limits: [{action: 'subscription.*', max: 3, per: 1h}]}", "subscription.suspend", fresh, Ok(1)),
            ("{without_approval: ['*'], limits: [{action: 'entitlement.*', max: 3, per: 1h}]}", "subscription.suspend", fresh, Ok(0)),
            // What harms nobody is nobody's to approve; people may be told about what is protected.
            ("protected: [s-1]", "notify", "2020-01-01T00:00:00Z", Ok(0)),
        ] {
            assert_eq!(judged(settings, action, &plan, detected_at), expected, "{settings} {action} {detected_at}");
        }
    }

    #[test]
    fn a_step_takes_only_an_earlier_one_of_its_own_kind_for_undone_by_a_person() {
        let stops = |name: &str| {
            let entry = CATALOG.iter().find(|entry| entry.name == name).unwrap();
            Guardrails::default().heed(entry, entry.class, None).unwrap().stops
        };
        assert_eq!(stops("entra.disable_user"), ["entra.disable_user"]);
        // Both work on the same user, and neither is undone by the other having been done.
        assert_eq!(stops("entra.revoke_sessions"), Vec::<&str>::new());
        assert_eq!(stops("azure.delete_role_assignment"), Vec::<&str>::new());
        for name in SHOWN_BY_THEIR_TARGET {
            assert_eq!(stops(name), [name]);
        }
        let disabling = CATALOG.iter().find(|entry| entry.name == "entra.disable_user").unwrap();
        assert_eq!(Guardrails::default().heed(disabling, Class::Verified, None).unwrap().starts_nothing, STARTS_NOTHING);
        assert!(STARTS_NOTHING.iter().all(|name| stops(name).is_empty()), "they are in the catalog");
    }

    #[test]
    fn after_a_restore_everything_is_held_as_long_as_a_lost_hold_could_last_and_an_old_alert_is_fresh() {
        for (settings, hours) in [("{}", 7 * 24), ("human_hold: 0s", 24), ("{human_hold: 1h, max_alert_age: 2d}", 48)] {
            let guardrails: Guardrails = serde_yaml::from_str(settings).unwrap();
            assert_eq!(guardrails.hold_after_restore(), SignedDuration::from_hours(hours), "{settings}");
        }
    }

    #[test]
    fn a_guardrail_that_could_never_hold_is_refused() {
        for (settings, why) in [
            ("witout_approval: [a]", "witout_approval"),
            ("without_approval: [subscripton.suspend]", "did you mean `subscription.suspend`?"),
            ("limits: [{action: 'entitlment.*', max: 1, per: 1h}]", "covers no action"),
            ("limits: [{action: subscription.get, max: 1, per: 1h}]", "covers no action that changes something"),
            ("limits: [{action: 'sub*spend', max: 1, per: 1h}]", "covers no action"),
            ("limits: [{action: notify, max: 1, per: 0s}]", "longer than nothing"),
        ] {
            let error = serde_yaml::from_str::<Guardrails>(settings).unwrap_err().to_string();
            assert!(error.contains(why), "{settings}: {error}");
        }
    }
}
