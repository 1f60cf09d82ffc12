//! `quell audit`: who did what, and whether somebody edited it afterwards.

use std::io::Write;

use clap::Subcommand;
use comfy_table::Cell;
use serde_json::json;

use super::{Desk, Exit, output};
use crate::store::{Chain, StoreError};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// List who did what, oldest first.
    List {
        /// How many, the newest of all.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Look at every entry, whether it is as it was written; exit 1 if one is not.
    ///
    /// An entry that was cut off at the end breaks no chain: name a hash that you remember from outside, such as the last one in the logs.
    Verify {
        /// A hash that the log must still hold.
        #[arg(long, value_name = "HASH")]
        known: Option<String>,
    },
    /// Print every entry, one JSON document a line, to be kept elsewhere.
    Export {
        /// Only those after this number: the last that was exported before.
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        after: i64,
    },
}

/// Read at once while all of it is printed.
const PAGE: i64 = 1_000;

impl Audit {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let done = match self {
            Self::List { limit } => list(desk, i64::from(limit)).await,
            Self::Verify { known } => verify(desk, known.as_deref()).await,
            Self::Export { after } => export(desk, after).await,
        };
        done.unwrap_or_else(|error| Exit::unreachable(&error.to_string()))
    }
}

async fn list(desk: &Desk<'_>, most: i64) -> Result<Exit, StoreError> {
    let last = desk.store.last_audited().await?;
    let entries = desk.store.audited(last.saturating_sub(most), most).await?;
    if desk.json {
        return Ok(output::print_json(&entries));
    }
    let mut table = output::table(&["#", "at", "who", "what", "to", "detail"]);
    for entry in &entries {
        table.add_row([
            Cell::new(entry.number),
            output::time(entry.at).into(),
            output::short(&entry.who, 40).into(),
            (&entry.what).into(),
            output::short(&entry.subject, 50).into(),
            output::short(&if entry.detail.is_null() { String::new() } else { entry.detail.to_string() }, 60).into(),
        ]);
    }
    output::print(&table.to_string());
    Ok(Exit::Done)
}

async fn verify(desk: &Desk<'_>, known: Option<&str>) -> Result<Exit, StoreError> {
    let chain = desk.store.verify_audit(known).await?;
    if desk.json {
        output::print_json(&match &chain {
            Chain::Whole { entries, head, holds } => json!({"whole": true, "entries": entries, "head": head, "holds_known": holds}),
            Chain::Broken { number, why } => json!({"whole": false, "number": number, "why": why}),
        });
    }
    Ok(match chain {
        Chain::Whole { holds: false, .. } => Exit::problem(&format!(
            "no entry has the hash `{}`: entries were cut off, or the log was written anew; compare it with an export",
            known.unwrap_or_default()
        )),
        Chain::Broken { number, why } => {
            Exit::problem(&format!("entry {number} of the audit log is not as it was written: {why}; compare it with an export"))
        }
        Chain::Whole { .. } if desk.json => Exit::Done,
        Chain::Whole { entries, head, .. } => {
            let head = head.map(|head| format!(", the last has the hash {head}")).unwrap_or_default();
            output::print(&format!("the audit log is whole: {entries} entries{head}"));
            Exit::Done
        }
    })
}

async fn export(desk: &Desk<'_>, mut after: i64) -> Result<Exit, StoreError> {
    let mut out = std::io::stdout().lock();
    loop {
        let page = desk.store.audited(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(Exit::Done) };
        after = last.number;
        for entry in &page {
            let line = serde_json::to_string(entry).unwrap_or_default();
            // Whoever reads may have seen enough.
            if writeln!(out, "{line}").is_err() {
                return Ok(Exit::Done);
            }
        }
    }
}
