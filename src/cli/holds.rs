//! `quell holds`: what a person wants to run, and is therefore not stopped again without people's word.

use clap::Subcommand;

use super::{Desk, Exit, identity::Identity, output};
use crate::{
    duration::Span,
    mention,
    store::{EVERYTHING, Hold, StoreError},
};

#[derive(Debug, Subcommand)]
pub(super) enum Holds {
    /// List the holds in force, newest first.
    List {
        /// Those that are over as well.
        #[arg(long)]
        all: bool,
    },
    /// Hold a subscription, a plan or a whole tenant: no step stops it any more that people did not agree to afterwards.
    Add {
        /// Its identifier, in any spelling; whatever mentions it is held. `*` holds everything destructive.
        target: String,
        /// For how long, e.g. `14d`; as long as `guardrails.human_hold` if left out.
        #[arg(long = "for", value_name = "SPAN", value_parser = Span::parse)]
        lasts: Option<Span>,
        /// Why; it is shown wherever a step is held back, and kept in the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        identity: Identity,
    },
    /// End a hold before its time.
    Release {
        /// Its number, as `quell holds list` shows it.
        number: i64,
        /// Why; it is kept in the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        identity: Identity,
    },
}

impl Holds {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let done = match self {
            Self::List { all } => list(desk, all).await,
            Self::Add { target, lasts, reason, identity } => add(desk, &target, lasts, (&identity.who(), &reason)).await,
            Self::Release { number, reason, identity } => release(desk, number, (&identity.who(), &reason)).await,
        };
        done.unwrap_or_else(|error| Exit::unreachable(&error.to_string()))
    }
}

async fn list(desk: &Desk<'_>, all: bool) -> Result<Exit, StoreError> {
    let now = desk.store.clock().now();
    let holds = desk.store.holds((!all).then_some(now)).await?;
    if desk.json {
        return Ok(output::print_json(&holds));
    }
    let mut table = output::table(&["#", "holds", "since", "until", "by", "why"]);
    for hold in &holds {
        let (until, why) = match &hold.released {
            Some((at, by, why)) => (*at, format!("{}; released by {by}: {why}", hold.reason)),
            None => (hold.until, hold.reason.clone()),
        };
        table.add_row([
            hold.number.to_string(),
            output::short(&hold.target, 60),
            output::time(hold.since),
            output::time(until),
            hold.who.clone(),
            output::short(&why, 120),
        ]);
    }
    output::print(&table.to_string());
    Ok(Exit::Done)
}

async fn add(desk: &Desk<'_>, target: &str, lasts: Option<Span>, (who, reason): (&str, &str)) -> Result<Exit, StoreError> {
    if target != EVERYTHING && !mention::names_something(target) {
        return Ok(Exit::usage(&format!("`{target}` names nothing; give the identifier of a subscription, a plan or a tenant")));
    }
    let lasts = lasts.unwrap_or(desk.config.guardrails.human_hold);
    if lasts.0.is_zero() {
        return Ok(Exit::usage("a hold lasts longer than nothing; say for how long with `--for 14d`"));
    }
    let number = desk.store.hold(target, lasts.signed(), (who, reason)).await?;
    if desk.json {
        let placed: Option<Hold> = desk.store.holds(None).await?.into_iter().find(|hold| hold.number == number);
        return Ok(output::print_json(&placed));
    }
    output::print(&format!("hold #{number}: nothing stops `{target}` for {lasts} unless people agree to it"));
    Ok(Exit::Done)
}

async fn release(desk: &Desk<'_>, number: i64, (who, reason): (&str, &str)) -> Result<Exit, StoreError> {
    if desk.store.release_hold(number, (who, reason)).await? {
        if desk.json {
            return Ok(output::print_json(&serde_json::json!({"released": number})));
        }
        output::print(&format!("hold #{number} is released"));
        return Ok(Exit::Done);
    }
    Ok(Exit::problem(&format!("hold #{number} is not in force; `quell holds list --all` shows them")))
}
