//! `quell webhook test`: a test event on its whole way, from Partner Center through the signature and the bus into the journal.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Taker, failed};
use crate::{
    cli::{Desk, Exit, output},
    connections::TestEvent,
    store::{AlertFilter, AlertRow},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// For how many seconds to wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Which adapter of type `partner_center_webhook`, if there are several.
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
}

/// The journal is ours; Partner Center is asked each second time.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What was seen of the event so far.
struct Seen {
    told: TestEvent,
    alert: Option<AlertRow>,
}

impl Test {
    pub(super) async fn execute(&self, desk: &Desk<'_>) -> Result<Exit, Exit> {
        let taker = Taker::find(desk, self.adapter.as_deref())?;
        let registered = taker.microsoft.webhook().await.map_err(|failure| failed("read the registration", &failure))?;
        let registered = registered.filter(|it| taker.is_at(&it.url) && it.has("test-created"));
        if registered.is_none() {
            let name = &taker.adapter.name;
            let why = format!("Partner Center has not registered adapter `{name}` for `test-created`; `quell webhook show` says more");
            return Err(Exit::problem(&why));
        }
        let begun = Timestamp::now();
        let id = taker.microsoft.send_test_event().await.map_err(|failure| failed("ask for a test event", &failure))?;
        let seen = self.follow(desk, &taker, &id).await?;
        Ok(report(desk, &id, begun, &seen))
    }

    /// Looks until the event is in the journal, or Partner Center has given it up, or there was enough time.
    async fn follow(&self, desk: &Desk<'_>, taker: &Taker<'_>, id: &str) -> Result<Seen, Exit> {
        let deadline = Instant::now() + Duration::from_secs(self.timeout);
        let mut seen = Seen { told: TestEvent { is_completed: false, attempts: Vec::new() }, alert: None };
        loop {
            let filter =
                AlertFilter { source: Some(taker.adapter.source.clone()), name: Some(id.to_owned()), most: 1, ..AlertFilter::default() };
            let found = desk.store.alerts(&filter).await.map_err(|error| Exit::unreachable(&error.to_string()))?;
            seen.alert = found.into_iter().next();
            if !seen.told.is_completed {
                // That it cannot be asked now says nothing of the event.
                seen.told = taker.microsoft.test_event(id).await.unwrap_or(seen.told);
            }
            let was_taken = seen.told.attempts.iter().any(|answer| is_success(answer));
            let is_given_up = seen.told.is_completed && !was_taken;
            if (seen.alert.is_some() && was_taken) || is_given_up || Instant::now() >= deadline {
                return Ok(seen);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn report(desk: &Desk<'_>, id: &str, begun: Timestamp, seen: &Seen) -> Exit {
    let Seen { told, alert } = seen;
    let number = alert.as_ref().map(|it| it.number);
    if desk.json {
        output::print_json(&json!({"event": id, "answers": told.attempts, "alert": number}));
    } else {
        let after = alert.as_ref().map(|it| format!("{:#}", it.received_at.duration_since(begun)));
        let facts = [
            ("event", id.to_owned()),
            ("answers", told.attempts.join("\n")),
            ("alert", number.map(|number| format!("#{number}")).unwrap_or_default()),
            ("received after", after.unwrap_or_default()),
        ];
        output::print(&output::facts(facts).to_string());
    }
    match (number.is_some(), told.attempts.last()) {
        (true, _) => Exit::Done,
        (false, None) => {
            Exit::unreachable("Partner Center has not delivered it yet; is the address public, and does the proxy pass it on?")
        }
        (false, Some(answer)) if is_success(answer) => {
            Exit::unreachable("it was taken, and is not in this journal; is `quell run` running, on this bus and store?")
        }
        (false, Some(answer)) => Exit::problem(&format!("it was answered with `{answer}`; {}", advice(answer))),
    }
}

/// Statuses are told by their name, or as a number where they have none.
fn is_success(answer: &str) -> bool {
    let word = answer.split(' ').next().unwrap_or_default();
    matches!(word, "OK" | "Accepted" | "NoContent" | "Created") || word.parse::<u16>().is_ok_and(|status| (200..300).contains(&status))
}

fn advice(answer: &str) -> &'static str {
    match answer.split(' ').next().unwrap_or_default() {
        "Unauthorized" | "Forbidden" => "the log of `quell run` says what of the signature was not good",
        "NotFound" => "the proxy or `quell run` knows no such path",
        "BadRequest" => "a proxy may take headers away; `quell webhook register --own-header` has the signature sent in another",
        _ => "the log of `quell run` and of the proxy say more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_success_by_name_or_by_number() {
        for (answer, expected) in [("OK", true), ("Accepted ", true), ("202", true), ("Unauthorized", false), ("503", false), ("", false)] {
            assert_eq!(is_success(answer), expected, "{answer}");
        }
    }
}
