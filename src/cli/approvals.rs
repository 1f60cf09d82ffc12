//! `quell approvals`: what people are asked, the exact plan of each, and their answers.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Desk, Exit,
    identity::{self, Identity},
    output,
};
use crate::{
    approval::{Approval, ApprovalState, Ballot, Choice, Counted, Planned},
    store::{ApprovalFilter, StoreError},
};

#[derive(Debug, Subcommand)]
pub(super) enum Approvals {
    /// List the questions that wait for people, newest first.
    List {
        /// Those that are decided as well.
        #[arg(long)]
        all: bool,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one question: the exact plan, its hash, who may vote, until when, and who voted.
    Show {
        /// Its id; the first characters are enough.
        approval: String,
    },
    /// Agree to exactly the plan that is shown.
    Approve(Answer),
    /// Do not agree; one person who does not is enough.
    Reject(Answer),
}

#[derive(Debug, clap::Args)]
pub(super) struct Answer {
    /// Its id; the first characters are enough.
    approval: String,
    /// Why, for the others. A rejection needs one.
    #[arg(long, default_value = "")]
    reason: String,
    /// The hash of the plan that you saw; without it, the plan is read and shown now.
    #[arg(long)]
    hash: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

/// Enough to say that the start of an id is not enough.
const SHOWN: i64 = 20;

impl Approvals {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let done = match self {
            Self::List { all, limit } => list(desk, all, i64::from(limit)).await,
            Self::Show { approval } => show(desk, &approval).await,
            Self::Approve(answer) => answer.cast(desk, Choice::Approve).await,
            Self::Reject(answer) => answer.cast(desk, Choice::Reject).await,
        };
        done.unwrap_or_else(|error| Exit::unreachable(&error.to_string()))
    }
}

async fn list(desk: &Desk<'_>, all: bool, most: i64) -> Result<Exit, StoreError> {
    let found = desk.store.approvals(&ApprovalFilter { open: !all, most, ..ApprovalFilter::default() }).await?;
    if desk.json {
        return Ok(output::print_json(&found));
    }
    output::print(&table(&found).to_string());
    Ok(Exit::Done)
}

/// Questions, one a line.
pub(super) fn table(approvals: &[Approval]) -> comfy_table::Table {
    let mut table = output::table(&["approval", "asked", "until", "step", "question", "state", "votes", "outcome"]);
    for approval in approvals {
        let agreed = approval.voters(Choice::Approve).len();
        table.add_row([
            approval.id.to_string().into(),
            output::time(approval.opened_at).into(),
            output::time(approval.expires_at).into(),
            format!("{} {}", approval.question.playbook, approval.asker).into(),
            output::short(&approval.question.title, 60).into(),
            output::state(approval.state.as_str()),
            format!("{agreed} of {}", approval.question.quorum).into(),
            output::short(&approval.outcome, 60).into(),
        ]);
    }
    table
}

async fn show(desk: &Desk<'_>, start: &str) -> Result<Exit, StoreError> {
    let approval = match find(desk, start).await? {
        Ok(approval) => approval,
        Err(exit) => return Ok(exit),
    };
    let may_vote = approval.may_vote(&desk.config.users, desk.store.clock().now());
    if desk.json {
        let Value::Object(mut shown) = json!(approval) else { return Ok(Exit::Done) };
        shown.insert("may_vote".to_owned(), json!(may_vote));
        return Ok(output::print_json(&shown));
    }
    print(&approval, &may_vote);
    Ok(Exit::Done)
}

fn print(approval: &Approval, may_vote: &[&str]) {
    let question = &approval.question;
    let since = question.escalate.iter().map(|it| format!("{} from {}", it.groups.join(", "), output::time(it.at)));
    let facts = [
        ("approval", approval.id.to_string()),
        ("question", question.title.clone()),
        ("why", question.why.clone()),
        ("state", format!("{} {}", approval.state, approval.outcome).trim_end().to_owned()),
        ("run", approval.run.to_string()),
        ("step", format!("{} of {}, round {}", approval.asker, question.playbook, approval.round)),
        ("asked", output::time(approval.opened_at)),
        ("until", output::time(approval.expires_at)),
        ("asks", format!("{} of {}", question.quorum, question.groups.join(", "))),
        ("and", since.collect::<Vec<_>>().join("; ")),
        ("may vote", if may_vote.is_empty() { "nobody among `users`".to_owned() } else { may_vote.join(", ") }),
        ("not", question.requesters.join(", ")),
        ("hash", approval.hash.clone()),
    ];
    output::print(&output::facts(facts).to_string());
    print_plan(&question.plan);
    for vote in &approval.votes {
        let reason = output::printable(&vote.reason);
        output::print(&format!("{} {}: {} {reason} ({})", output::time(vote.at), vote.person, vote.choice, vote.via));
    }
}

/// Every argument, whole: this is what people agree to.
fn print_plan(plan: &[Planned]) {
    output::print("\nexactly this is done if enough people agree:");
    for planned in plan {
        let target = planned.target.as_ref().map(|target| format!(" on {target}")).unwrap_or_default();
        output::print(&format!("- {}: {}{}", planned.step, planned.action, output::printable(&target)));
        match &planned.unknown {
            Some(why) => output::print(&format!("    {}; you will be asked again", output::printable(why))),
            None => print_arguments(&planned.with),
        }
    }
    if plan.is_empty() {
        output::print("- nothing of what it asks about, as things stand");
    }
}

fn print_arguments(with: &Value) {
    let Some(arguments) = with.as_object() else { return };
    for (name, value) in arguments {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        output::print(&format!("    {}: {}", output::printable(name), output::printable(&text)));
    }
}

impl Answer {
    async fn cast(self, desk: &Desk<'_>, choice: Choice) -> Result<Exit, StoreError> {
        let (name, user) = match self.identity.among(&desk.config.users) {
            Ok(found) => found,
            Err(why) => return Ok(Exit::problem(&why)),
        };
        let approval = match find(desk, &self.approval).await? {
            Ok(approval) => approval,
            Err(exit) => return Ok(exit),
        };
        if self.hash.is_none() && !desk.json {
            print_plan(&approval.question.plan);
        }
        let ballot = Ballot {
            person: name.to_owned(),
            groups: user.groups.clone(),
            role: user.role,
            choice,
            reason: self.reason,
            hash: self.hash.unwrap_or_else(|| approval.hash.clone()),
            via: identity::via(),
        };
        Ok(match desk.store.vote(&approval.id, ballot).await? {
            Ok(counted) if desk.json => {
                output::print_json(&json!({"approval": approval.id, "outcome": counted.outcome(), "missing": counted.missing()}))
            }
            Ok(counted) => {
                output::print(&sentence(&approval, &counted));
                Exit::Done
            }
            Err(refused) => Exit::problem(&format!("your vote does not count: {refused}")),
        })
    }
}

fn sentence(approval: &Approval, counted: &Counted) -> String {
    match counted {
        Counted::Waits { missing: 1 } => format!("noted; one more must agree to approval {}", approval.id),
        Counted::Waits { missing } => format!("noted; {missing} more must agree to approval {}", approval.id),
        Counted::Decided(state) => format!("approval {} is {state}; run {} goes on from there", approval.id, approval.run),
    }
}

/// The one approval whose id begins so, or what to tell the person. One that is open is meant before those that are over.
async fn find(desk: &Desk<'_>, start: &str) -> Result<Result<Approval, Exit>, StoreError> {
    let filter = ApprovalFilter { start: Some(start.to_lowercase()), most: SHOWN, ..ApprovalFilter::default() };
    let mut found = desk.store.approvals(&filter).await?;
    if found.iter().filter(|it| it.state == ApprovalState::Open).count() == 1 {
        found.retain(|it| it.state == ApprovalState::Open);
    }
    let mut found = found.into_iter();
    Ok(match (found.next(), found.next()) {
        (Some(approval), None) => Ok(approval),
        (None, _) => Err(Exit::problem(&format!("there is no approval `{start}`; `quell approvals list` shows them"))),
        (Some(_), Some(_)) => Err(Exit::problem(&format!("several approvals begin with `{start}`; give more of the id"))),
    })
}
