//! What a playbook can do: one file for each action, each listed in [`CATALOG`].
//!
//! An action does its one thing once. Retries, time limits, intents, metrics and redaction belong to the engine.

mod alert;
mod alert_annotate;
mod alert_get;
mod alert_update_status;
mod alerts_count;
mod alerts_query;
mod amqp_publish;
mod azure;
mod azure_activity_log;
mod azure_deallocate_vm;
mod azure_delete_role_assignment;
mod azure_role_assignments;
mod azure_unattached_disks;
mod azure_virtual_machines;
mod budget_get;
mod budget_set;
mod customer_get;
mod customer_relationships;
mod entitlement;
mod entitlement_cancel;
mod entitlement_find;
mod entitlement_get;
mod entitlement_reactivate;
mod entra;
mod entra_confirm_compromised;
mod entra_disable_user;
mod entra_revoke_sessions;
mod http_request;
mod log;
mod notify;
mod organization_get;
mod pattern;
mod plan;
mod subscription_get;
mod subscription_reactivate;
mod subscription_suspend;
mod usage_get;

use std::{fmt, pin::Pin, sync::Arc};

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

pub use self::pattern::Pattern;
pub use crate::connections::{Failure, FailureKind};

use crate::{
    alert::Alert,
    bus::rabbitmq::Postbox,
    channels::Channels,
    connections::{Connections, Microsoft},
    net::Net,
    run::{Class, RunId},
    secret::{MASK, Secrets},
};

/// Every action, in the order that help prints them.
pub const CATALOG: &[Entry] = &[
    Entry::of::<notify::Notify>(),
    Entry::of::<subscription_get::SubscriptionGet>(),
    Entry::of::<subscription_suspend::SubscriptionSuspend>(),
    Entry::of::<subscription_reactivate::SubscriptionReactivate>(),
    Entry::of::<entitlement_find::EntitlementFind>(),
    Entry::of::<entitlement_get::EntitlementGet>(),
    Entry::of::<entitlement_cancel::EntitlementCancel>(),
    Entry::of::<entitlement_reactivate::EntitlementReactivate>(),
    Entry::of::<customer_get::CustomerGet>(),
    Entry::of::<customer_relationships::CustomerRelationships>(),
    Entry::of::<organization_get::OrganizationGet>(),
    Entry::of::<budget_get::BudgetGet>(),
    Entry::of::<budget_set::BudgetSet>(),
    Entry::of::<usage_get::UsageGet>(),
    Entry::of::<alert_get::AlertGet>(),
    Entry::of::<alert_update_status::AlertUpdateStatus>(),
    Entry::of::<alert_annotate::AlertAnnotate>(),
    Entry::of::<alerts_query::AlertsQuery>(),
    Entry::of::<alerts_count::AlertsCount>(),
    Entry::of::<azure_activity_log::AzureActivityLog>(),
    Entry::of::<azure_virtual_machines::AzureVirtualMachines>(),
    Entry::of::<azure_deallocate_vm::AzureDeallocateVm>(),
    Entry::of::<azure_role_assignments::AzureRoleAssignments>(),
    Entry::of::<azure_delete_role_assignment::AzureDeleteRoleAssignment>(),
    Entry::of::<azure_unattached_disks::AzureUnattachedDisks>(),
    Entry::of::<entra_disable_user::EntraDisableUser>(),
    Entry::of::<entra_revoke_sessions::EntraRevokeSessions>(),
    Entry::of::<entra_confirm_compromised::EntraConfirmCompromised>(),
    Entry::of::<amqp_publish::AmqpPublish>(),
    Entry::of::<http_request::HttpRequest>(),
    Entry::of::<log::Log>(),
];

/// One kind of action. The implementing type is the parameters, as written under `with:`.
trait Action: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The name used in a playbook.
    const NAME: &'static str;
    /// One line of help.
    const SUMMARY: &'static str;
    /// Parameters that a test checks to be accepted, as JSON.
    const EXAMPLE: &'static str;
    /// How it may be repeated, whatever the parameters are.
    const CLASS: Class;
    /// Whether it can stop a customer's business.
    const DESTRUCTIVE: bool = false;
    /// Whether it works inside the customer's own tenant, which the connection's `customer_access` must allow.
    const ENTERS_TENANT: bool = false;
    /// Whether all it does is to tell people, which goes on while the kill switch is thrown.
    const TELLS: bool = false;
    /// Whether its parameters may hold secrets: what it does with them is seen by the service that is called, and by nobody else.
    const TAKES_SECRETS: bool = false;

    /// How it may be repeated with these parameters, where that is known to be safer than [`Action::CLASS`].
    fn class(&self) -> Class {
        Self::CLASS
    }

    /// What must not be changed by two steps at once, e.g. `entitlement:{id}`.
    fn target(&self, _ctx: &Context<'_>) -> Option<String> {
        None
    }

    /// Looks at the target before the first attempt. What it returns is recorded and lent to every attempt.
    fn observe(&self, _ctx: &Context<'_>) -> impl Future<Output = Result<Observed, Failure>> + Send {
        async { Ok(Observed::Ready(Value::Null)) }
    }

    /// The targets, as other actions name them, that what it has read shows to be at work.
    fn shows_at_work(&self, _output: &Value) -> Vec<String> {
        Vec::new()
    }

    /// Does it once.
    fn perform(&self, ctx: &Context<'_>) -> impl Future<Output = Result<Done, Failure>> + Send;

    /// Looks whether it has happened, after an unknown outcome or an acceptance.
    fn read_back(&self, _ctx: &Context<'_>) -> impl Future<Output = Result<ReadBack, Failure>> + Send {
        async { Ok(ReadBack::CannotTell("this action has no way to look".to_owned())) }
    }
}

/// What a run lends to an action.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Context<'a> {
    pub run: &'a RunId,
    pub playbook: &'a str,
    pub step: &'a str,
    pub alert: Option<&'a Alert>,
    /// The same for every attempt of the step.
    pub request_id: Uuid,
    /// What [`Action::observe`] returned before the first attempt.
    pub precondition: &'a Value,
    /// What an attempt was accepted with; only [`Action::read_back`] may ask.
    pub accepted: &'a Value,
    pub services: &'a Services,
}

impl Context<'_> {
    /// The connection that a step names, else that of the alert's source, else the only one.
    fn microsoft(&self, connection: Option<&str>) -> Result<Arc<Microsoft>, Failure> {
        self.services.connections.choose(connection, self.alert.map_or("", |alert| &alert.source))
    }
}

/// The outside, as actions reach it.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Services {
    pub net: Net,
    pub connections: Connections,
    pub channels: Channels,
    /// For messages to others on the broker.
    pub postbox: Postbox,
    /// What `secret("name")` stands for.
    pub secrets: Secrets,
}

/// What a look at the target before the first attempt showed.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// There is something to do; this is what every attempt needs to know, e.g. the `ETag`.
    Ready(Value),
    /// The target is in the wanted state already; this is the step's output.
    AlreadyDone(Value),
}

/// What the other side did.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// It is done; this is the step's output.
    Now(Value),
    /// It was so already, and nothing was changed; this is the step's output.
    Found(Value),
    /// It was accepted and is under way; [`Action::read_back`] tells when it is done.
    Accepted(Value),
}

/// What a look at the target after an attempt showed.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadBack {
    /// It happened; this is the step's output.
    Reached(Value),
    /// The target is as it was before the first attempt. It may have been changed and changed back.
    Unchanged,
    /// Nothing has changed the target since before the first attempt: its version is the same, which every change makes another.
    Untouched,
    /// The target was changed by somebody, and not to what was wanted.
    Changed(String),
    /// The other side says that what it had accepted came to nothing, for this reason.
    Failed(String),
    /// Looking does not tell.
    CannotTell(String),
}

/// A target that shows no trace of an attempt and has no version that every attempt names: the look may lag behind, or the other side may have
/// taken the request over and not begun. To send it again could overrule a person who undoes meanwhile what the first attempt did.
fn no_proof(target: &str) -> ReadBack {
    ReadBack::CannotTell(format!("{target}, and nothing proves that the request was not taken over"))
}

/// An action with its parameters, ready to perform.
pub type Prepared = Box<dyn Perform>;

/// A future behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The object-safe face of an action: see [`Observed`], [`Done`], [`ReadBack`].
#[expect(missing_docs, reason = "they are the methods of `Action`")]
pub trait Perform: Send + Sync {
    fn class(&self) -> Class;
    fn target(&self, ctx: &Context<'_>) -> Option<String>;
    fn observe<'a>(&'a self, ctx: &'a Context<'_>) -> BoxFuture<'a, Result<Observed, Failure>>;
    fn shows_at_work(&self, _output: &Value) -> Vec<String> {
        Vec::new()
    }
    fn perform<'a>(&'a self, ctx: &'a Context<'_>) -> BoxFuture<'a, Result<Done, Failure>>;
    fn read_back<'a>(&'a self, ctx: &'a Context<'_>) -> BoxFuture<'a, Result<ReadBack, Failure>>;
}

impl<A: Action> Perform for A {
    fn class(&self) -> Class {
        Action::class(self)
    }

    fn target(&self, ctx: &Context<'_>) -> Option<String> {
        Action::target(self, ctx)
    }

    fn observe<'a>(&'a self, ctx: &'a Context<'_>) -> BoxFuture<'a, Result<Observed, Failure>> {
        Box::pin(Action::observe(self, ctx))
    }

    fn shows_at_work(&self, output: &Value) -> Vec<String> {
        Action::shows_at_work(self, output)
    }

    fn perform<'a>(&'a self, ctx: &'a Context<'_>) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(Action::perform(self, ctx))
    }

    fn read_back<'a>(&'a self, ctx: &'a Context<'_>) -> BoxFuture<'a, Result<ReadBack, Failure>> {
        Box::pin(Action::read_back(self, ctx))
    }
}

/// Makes actions out of rendered parameters.
pub trait Stage: Send + Sync {
    /// The action that a step performs.
    ///
    /// # Errors
    /// Names the parameter that is unknown, missing or of the wrong type.
    fn prepare(&self, entry: &'static Entry, step: &str, with: Rendered) -> Result<Prepared, serde_json::Error>;
}

/// Rendered parameters.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// As they are recorded and shown.
    pub shown: Value,
    /// The same with the secrets in them, for the action alone.
    pub revealed: Revealed,
}

impl Rendered {
    /// Parameters whose secrets, if there are any, are not put in.
    pub fn without_secrets(shown: Value) -> Self {
        Self { revealed: Revealed(shown.clone()), shown }
    }
}

/// Parameters with secrets in them, whose `Debug` form shows nothing.
#[derive(Clone)]
pub struct Revealed(pub Value);

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// The stage on which actions are what they say.
#[derive(Debug, Clone, Copy)]
pub struct World;

impl Stage for World {
    fn prepare(&self, entry: &'static Entry, _step: &str, with: Rendered) -> Result<Prepared, serde_json::Error> {
        entry.prepare(with.revealed.0)
    }
}

/// A line of the catalog.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "they are the constants of `Action`")]
#[expect(clippy::struct_excessive_bools, reason = "each says something else of the action")]
pub struct Entry {
    pub name: &'static str,
    pub summary: &'static str,
    pub example: &'static str,
    pub class: Class,
    pub destructive: bool,
    pub enters_tenant: bool,
    pub tells: bool,
    pub takes_secrets: bool,
    schema: fn() -> Schema,
    prepare: fn(Value) -> Result<Prepared, serde_json::Error>,
}

impl Entry {
    const fn of<A: Action>() -> Self {
        Self {
            name: A::NAME,
            summary: A::SUMMARY,
            example: A::EXAMPLE,
            class: A::CLASS,
            destructive: A::DESTRUCTIVE,
            enters_tenant: A::ENTERS_TENANT,
            tells: A::TELLS,
            takes_secrets: A::TAKES_SECRETS,
            schema: || schemars::schema_for!(A),
            prepare: |with| Ok(Box::new(serde_json::from_value::<A>(with)?)),
        }
    }

    /// Checks rendered parameters.
    ///
    /// # Errors
    /// Names the parameter that is unknown, missing or of the wrong type.
    pub fn prepare(&self, with: Value) -> Result<Prepared, serde_json::Error> {
        (self.prepare)(with)
    }

    /// The JSON Schema of the parameters.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }
}

/// The action of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod answers;
#[cfg(test)]
mod contract;
