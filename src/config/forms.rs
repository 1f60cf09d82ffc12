//! What `store`, `guardrails` and `approvals` look like, for the schema alone: their types are the store's and the engine's, which know nothing of
//! editors.
//!
//! Each is made of the type that is read, field by field, so that neither can have what the other has not.

#![expect(dead_code, reason = "only names, types, defaults and comments count here")]

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    actions::Pattern,
    duration::Span,
    engine::{self, guardrails},
    playbook,
    secret::Secret,
    store::StoreConfig,
};

/// Where the journal is.
#[derive(JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Store {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`.
    url: Secret,
    /// How many connections read at once. One more writes.
    connections: u32,
    /// How long a server may take for an answer.
    timeout: Span,
    /// How long a program that shares the journal is waited for before others go on with its work.
    lease: Span,
}

/// The site's limits on actions, which no playbook can loosen.
#[derive(JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Guardrails {
    /// Destructive actions that may be carried out without a person's approval: names, or groups such as `subscription.*`.
    without_approval: Vec<Pattern>,
    /// Tenants, subscriptions and plans that are never touched, however they are spelt.
    protected: Vec<String>,
    /// How many steps may begin within a while.
    limits: Vec<Limit>,
    /// Destructive steps are not begun for alerts that were detected longer ago: the world may have changed.
    max_alert_age: Span,
    /// The kill switch: while there is a file at this path, no step begins that changes anything but what people are told.
    stop_file: PathBuf,
}

/// At most so many steps within a while.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// An action, or a group such as `subscription.*`.
    action: Pattern,
    /// How many steps.
    max: u32,
    /// Within which while.
    per: Span,
    /// What follows when it is used up.
    #[serde(default)]
    on_exceed: OnExceed,
}

#[derive(Default, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum OnExceed {
    /// The step is not taken.
    #[default]
    Stop,
    /// People are asked whether it may be taken.
    RequireApproval,
}

/// Whom the site asks where a guardrail wants a person's word and no playbook has asked.
#[derive(JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SiteApprovals {
    /// The groups that are asked. Without one, the site asks nobody, and the guardrail holds the step back.
    groups: Vec<String>,
    /// Where they are asked.
    channels: Vec<String>,
    /// How many must agree.
    #[schemars(range(min = 1))]
    quorum: u32,
    /// How long they have.
    timeout: Span,
}

impl Default for Store {
    fn default() -> Self {
        let StoreConfig { url, connections, timeout, lease } = StoreConfig::default();
        Self { url, connections, timeout, lease }
    }
}

impl Default for Guardrails {
    fn default() -> Self {
        let engine::Guardrails { without_approval, protected, limits, max_alert_age, stop_file } = engine::Guardrails::default();
        Self { without_approval, protected, limits: limits.into_iter().map(Limit::from).collect(), max_alert_age, stop_file }
    }
}

impl From<guardrails::Limit> for Limit {
    fn from(limit: guardrails::Limit) -> Self {
        let guardrails::Limit { action, max, per, on_exceed } = limit;
        let on_exceed = match on_exceed {
            playbook::OnExceed::Stop => OnExceed::Stop,
            playbook::OnExceed::RequireApproval => OnExceed::RequireApproval,
        };
        Self { action, max, per, on_exceed }
    }
}

impl Default for SiteApprovals {
    fn default() -> Self {
        let engine::SiteApprovals { groups, channels, quorum, timeout } = engine::SiteApprovals::default();
        Self { groups, channels, quorum, timeout }
    }
}
