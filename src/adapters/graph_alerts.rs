//! `graph_alerts`: asks Microsoft Graph for the partner's security alerts again and again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Member, Part, Surroundings,
    inlet::Inlet,
    microsoft,
    settings::{Every, connection},
    task::{At, Fetched, Source, Task, Trouble},
};
use crate::{
    bus::{BoxFuture, Message},
    connections::{AlertQuery, Failure, Microsoft, Page},
    duration::Span,
};

/// Ask Microsoft Graph for the partner's security alerts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphAlerts {
    /// How often.
    every: Every,
    /// Which connection of type `microsoft`.
    connection: String,
    /// How far back each listing reaches, so that late changes and late arrivals are seen.
    #[serde(default = "a_week")]
    lookback: Span,
}

struct Listing {
    microsoft: Arc<Microsoft>,
    lookback: SignedDuration,
    inlet: Inlet,
}

/// What is remembered between rounds. Losing it is harmless: what comes again is recognised by its dedup key.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// When the last whole round began.
    listed_at: Option<Timestamp>,
    /// Alerts of the last whole round and their states.
    seen: BTreeMap<String, String>,
    /// Alerts of this round so far.
    listed: BTreeMap<String, String>,
}

/// More open alerts than any partner has in a week; what is beyond is published again, which is harmless.
const MOST_REMEMBERED: usize = 10_000;

impl Member for GraphAlerts {
    const TYPE: &'static str = "graph_alerts";
    const SUMMARY: &'static str = "Ask Microsoft Graph for the partner's security alerts";
    const EXAMPLE: &'static str = r#"{"every": "60s", "connection": "contoso"}"#;

    fn build(&self, inlet: Inlet, around: &Surroundings) -> anyhow::Result<Part> {
        let microsoft = connection(&self.connection, &around.connections)?;
        let listing = Listing { microsoft, lookback: self.lookback.signed(), inlet: inlet.clone() };
        Ok(Part::Task(Task::new(self.every.0, inlet, around, listing)))
    }
}

impl Source for Listing {
    fn fetch<'a>(&'a self, position: &'a mut Option<String>, at: At<'a>) -> BoxFuture<'a, Result<Fetched, Trouble>> {
        Box::pin(async move {
            let mut known = position.as_deref().map(Position::read).unwrap_or_default();
            let page = match at.page {
                Some(next) => self.microsoft.next_page(next).await?,
                None => {
                    known.listed.clear();
                    self.microsoft.list_alerts(&self.query(&known, at.now)).await?
                }
            };
            let Page { alerts, next } = page;
            let messages = known.unseen(&alerts, &self.inlet, at.now);
            if next.is_none() {
                known.finish(at.now);
            }
            *position = Some(known.write());
            Ok(Fetched { messages, next })
        })
    }
}

impl Listing {
    /// Reaches back from the last whole round, so that a long standstill leaves no gap.
    fn query(&self, known: &Position, now: Timestamp) -> AlertQuery {
        let from = known.listed_at.map_or(now, |listed_at| listed_at.min(now));
        AlertQuery { since: from.checked_sub(self.lookback).ok(), ..AlertQuery::default() }
    }
}

impl Position {
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn write(&self) -> String {
        // Texts and times always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The alerts of a page in states that were not seen, as messages.
    fn unseen(&mut self, alerts: &[Value], inlet: &Inlet, now: Timestamp) -> Vec<Message> {
        let mut messages = Vec::new();
        for raw in alerts {
            let packed = microsoft::alert(raw, &inlet.source, now).and_then(|alert| {
                let (id, revision) = (alert.id.clone(), alert.revision.clone());
                inlet.pack(alert, now).map(|message| (id, revision, message)).map_err(|malformed| malformed.to_string())
            });
            let (id, revision, message) = packed.unwrap_or_else(|reason| {
                let message = inlet.pack_unreadable(raw, &reason);
                (message.key.clone(), String::new(), message)
            });
            // A listing that changes while it is read may name an alert twice.
            let is_known = self.seen.get(&id) == Some(&revision) || self.listed.get(&id) == Some(&revision);
            self.listed.insert(id, revision);
            if !is_known {
                messages.push(message);
            }
        }
        messages
    }

    fn finish(&mut self, now: Timestamp) {
        self.seen = std::mem::take(&mut self.listed).into_iter().take(MOST_REMEMBERED).collect();
        self.listed_at = Some(now);
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self { message: failure.to_string(), retry_after: failure.retry_after }
    }
}

/// Longer than the response time that Microsoft measures, and than a weekend.
fn a_week() -> Span {
    Span(Duration::from_hours(7 * 24))
}
