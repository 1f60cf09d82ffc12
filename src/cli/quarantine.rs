//! `quell quarantine`: messages that are not alerts, or alerts for review, and a person's decision about them.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Desk, Exit, identity::Identity, output, send};
use crate::{
    alert::Alert,
    bus::Message,
    digest::sha256,
    store::{QuarantineRow, QuarantineState, StoreError},
};

#[derive(Debug, Subcommand)]
pub(super) enum Quarantine {
    /// List the messages that wait for a decision, newest first.
    List {
        /// Those that were released or dropped as well.
        #[arg(long)]
        all: bool,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one message: why it is here, and its bytes.
    Show {
        /// Its number.
        number: i64,
    },
    /// Put a message on the bus again, as it came or mended.
    Release {
        /// Its number.
        number: i64,
        /// The mended message; without it, the bytes as they came.
        #[arg(long, value_name = "FILE")]
        mended: Option<PathBuf>,
        #[command(flatten)]
        identity: Identity,
    },
    /// Decide that a message is of no use. Its row and bytes stay.
    Drop {
        /// Its number.
        number: i64,
        #[command(flatten)]
        identity: Identity,
    },
}

impl Quarantine {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let done = match self {
            Self::List { all, limit } => list(desk, all, i64::from(limit)).await,
            Self::Show { number } => show(desk, number).await,
            Self::Release { number, mended, identity } => release(desk, (number, &identity), mended).await,
            Self::Drop { number, identity } => decide(desk, (number, &identity), QuarantineState::Dropped, Value::Null).await,
        };
        done.unwrap_or_else(|error| Exit::unreachable(&error.to_string()))
    }
}

async fn list(desk: &Desk<'_>, all: bool, most: i64) -> Result<Exit, StoreError> {
    let rows = desk.store.quarantine(!all, most).await?;
    if desk.json {
        return Ok(output::print_json(&rows));
    }
    let mut table = output::table(&["#", "at", "state", "reason", "detail", "begins with"]);
    for row in &rows {
        table.add_row([
            row.number.to_string().into(),
            output::time(row.at).into(),
            output::state(row.state.as_str()),
            (&row.reason).into(),
            output::short(&row.detail, 60).into(),
            output::short(&String::from_utf8_lossy(&row.body), 40).into(),
        ]);
    }
    output::print(&table.to_string());
    Ok(Exit::Done)
}

async fn show(desk: &Desk<'_>, number: i64) -> Result<Exit, StoreError> {
    let Some(row) = desk.store.quarantined(number).await? else { return Ok(absent(number)) };
    let body = String::from_utf8_lossy(&row.body);
    if desk.json {
        return Ok(output::print_json(&json!({"message": row, "body": body})));
    }
    let facts = [
        ("message", format!("#{}", row.number)),
        ("at", output::time(row.at)),
        ("state", row.state.as_str().to_owned()),
        ("reason", row.reason.clone()),
        ("detail", row.detail.clone()),
        ("bytes", row.body.len().to_string()),
    ];
    output::print(&format!("{}\n\n{}", output::facts(facts), output::printable(&body)));
    Ok(Exit::Done)
}

async fn release(desk: &Desk<'_>, (number, identity): (i64, &Identity), mended: Option<PathBuf>) -> Result<Exit, StoreError> {
    let Some(row) = desk.store.quarantined(number).await? else { return Ok(absent(number)) };
    if row.state != QuarantineState::Held {
        return Ok(decided_already(&row));
    }
    let (body, detail) = match mended {
        None => (row.body, json!({"mended": false})),
        Some(path) => match std::fs::read(&path) {
            Ok(body) => by(identity, body),
            Err(error) => return Ok(Exit::usage(&format!("read `{}`: {error}", path.display()))),
        },
    };
    let bus = match send::reach_bus(desk).await {
        Ok(bus) => bus,
        Err(exit) => return Ok(exit),
    };
    // Published first: if the record of it is lost, the message comes twice, and is recognised; the other way round it would be lost.
    if let Err(error) = bus.publish(Message { key: format!("quarantine/{number}"), body }).await {
        return Ok(Exit::unreachable(&error.to_string()));
    }
    decide(desk, (number, identity), QuarantineState::Released, detail).await
}

/// A mended message with who mended it, who therefore does not decide about it; and what the audit log says of it. What is no alert still
/// is put on the bus as it is, and comes back.
fn by(identity: &Identity, mended: Vec<u8>) -> (Vec<u8>, Value) {
    let detail = json!({"mended": true, "sha256": sha256(&mended)});
    match Alert::from_event(&mended) {
        Ok(alert) => (alert.to_event_by(&identity.name()), detail),
        Err(_malformed) => (mended, detail),
    }
}

async fn decide(desk: &Desk<'_>, (number, identity): (i64, &Identity), state: QuarantineState, detail: Value) -> Result<Exit, StoreError> {
    if desk.store.decide_quarantined(number, state, &identity.who(), detail).await? {
        output::print(&format!("message #{number} is {}", state.as_str()));
        return Ok(Exit::Done);
    }
    Ok(desk.store.quarantined(number).await?.map_or_else(|| absent(number), |row| decided_already(&row)))
}

fn absent(number: i64) -> Exit {
    Exit::problem(&format!("there is no message #{number} in quarantine; `quell quarantine list --all` shows them"))
}

fn decided_already(row: &QuarantineRow) -> Exit {
    Exit::problem(&format!("message #{} was {} already", row.number, row.state.as_str()))
}
