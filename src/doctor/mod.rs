//! What `quell doctor` looks at: one file for each check, each listed in [`CATALOG`].
//!
//! A check looks at one part, changes nothing, and says what it found in words of [`diagnoses`]. What is common is not in it: the time
//! limit, the order, and the joining of findings that have one cause. What an answer means is judged in [`judge`], without any outside.

mod alerts;
mod bus;
mod case;
mod channels;
mod consent;
mod credential;
mod customers;
pub mod diagnoses;
mod finding;
mod judge;
mod kill_switch;
mod partner_center;
mod playbooks;
mod reach;
mod reports;
mod settings;
mod sign_in;
mod store;
mod webhook;

use std::{pin::Pin, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};

pub use self::{
    case::Case,
    diagnoses::{Diagnosis, Grade},
    finding::{Finding, worst},
    settings::unreadable,
};
use crate::{alert::Severity, channels::Notice};

/// Every part that is looked at, in the order in which it is told of.
pub const CATALOG: &[Entry] = &[
    Entry::of::<settings::Settings>(),
    Entry::of::<store::Journal>(),
    Entry::of::<bus::Broker>(),
    Entry::of::<kill_switch::Switch>(),
    Entry::of::<playbooks::Playbooks>(),
    Entry::of::<reach::Reach>(),
    Entry::of::<credential::Credential>(),
    Entry::of::<consent::Consent>(),
    Entry::of::<sign_in::SignIn>(),
    Entry::of::<alerts::Alerts>(),
    Entry::of::<partner_center::PartnerCenter>(),
    Entry::of::<reports::Reports>(),
    Entry::of::<webhook::Webhook>(),
    Entry::of::<customers::Customers>(),
    Entry::of::<channels::Channels>(),
];

/// Looks at one part.
trait Check {
    /// The word by which it is asked for.
    const PART: &'static str;
    /// One line of help.
    const SUMMARY: &'static str;
    /// Longer than it takes where all is well, and short enough to be waited for.
    const LIMIT: Duration = Duration::from_secs(30);

    /// Looks. What is not configured is nothing to tell of.
    fn look<'a>(case: &'a Case<'a>) -> impl Future<Output = Vec<Finding>> + Send + 'a;
}

/// A line of the catalog.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "they are the constants of `Check`")]
pub struct Entry {
    pub part: &'static str,
    pub summary: &'static str,
    limit: Duration,
    look: Look,
}

type Look = for<'a> fn(&'a Case<'a>) -> Pin<Box<dyn Future<Output = Vec<Finding>> + Send + 'a>>;

impl Entry {
    const fn of<C: Check>() -> Self {
        Self { part: C::PART, summary: C::SUMMARY, limit: C::LIMIT, look: |case| Box::pin(C::look(case)) }
    }

    async fn findings(&self, case: &Case<'_>) -> Vec<Finding> {
        let looked = tokio::time::timeout(self.limit, (self.look)(case)).await;
        let mut findings = looked.unwrap_or_else(|_elapsed| {
            vec![Finding::new(&diagnoses::local::CHECK_TIMED_OUT, self.part).with("seconds", self.limit.as_secs())]
        });
        for finding in &mut findings {
            finding.part = self.part;
        }
        findings
    }
}

/// Looks at every part of those names, or at all; `done` is told of each that is through.
pub async fn examine(case: &Case<'_>, only: &[String], done: impl Fn(&'static str)) -> Vec<Finding> {
    let wanted = CATALOG.iter().enumerate().filter(|(_, entry)| only.is_empty() || only.iter().any(|part| part == entry.part));
    let mut looks: FuturesUnordered<_> = wanted.map(|(at, entry)| async move { (at, entry, entry.findings(case).await) }).collect();
    let mut found = Vec::new();
    while let Some((at, entry, findings)) = looks.next().await {
        done(entry.part);
        found.push((at, findings));
    }
    found.sort_by_key(|(at, _)| *at);
    finding::joined(found.into_iter().flat_map(|(_, findings)| findings))
}

/// What is sent where somebody asked for a message as a test.
fn test_notice(case: &Case<'_>) -> Notice {
    let text = diagnoses::local::TEST_MESSAGE.words(case.config.telemetry.language);
    Notice {
        id: format!("doctor-{}", case.now.as_second()),
        title: text.what.to_owned(),
        text: text.advice.to_owned(),
        severity: Severity::Informational,
        facts: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
