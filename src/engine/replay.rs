//! An alert answered once more because a person wants it: the runs that begin for it. Pure.
//!
//! The playbooks answer it as they are now, and only those that match. What would swallow a repeat does not hold for one that is wanted; how
//! many runs there may be at once or within a while does, and so does everything that holds for what a run does.

use jiff::Timestamp;

use super::foresight::{Appraisal, appraise};
use crate::{
    alert::Alert,
    playbook::Library,
    run::Replay,
    store::{NewRun, Past, REPLAY},
    window::Windows,
};

/// What begins for an alert once more.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Again {
    pub runs: Vec<NewRun>,
    /// The playbooks that cannot be evaluated, and why.
    pub failed: Vec<(String, String)>,
}

/// The runs that begin for an alert of the journal once more: of every playbook that matches it now, or only of one.
///
/// # Errors
/// Nothing answers it; says why.
pub fn replay(library: &Library, past: &Past, only: Option<&str>, by: &Replay, now: Timestamp) -> Result<Again, String> {
    let alert = Alert::from_event(&past.event).map_err(|malformed| malformed.to_string())?;
    if let Some(name) = only.filter(|name| library.get(name).is_none()) {
        return Err(format!("there is no usable playbook `{name}`; `quell check` shows what is wrong with those that are there"));
    }
    let occasion = format!("{REPLAY}{}", uuid::Uuid::now_v7());
    let mut again = Again::default();
    for (playbook, appraisal) in appraise(library, past.is_revision, &alert, now) {
        let name = &playbook.name;
        if only.is_some_and(|only| only != name) {
            continue;
        }
        match appraisal {
            Appraisal::Matches(run) => again.runs.push(NewRun {
                alert: Some(past.number),
                occasion: occasion.clone(),
                windows: wanted(&run.windows),
                replay: Some(by.clone()),
                ..*run
            }),
            Appraisal::Failed(detail) => again.failed.push((name.clone(), detail)),
            Appraisal::NotAsked(why) if only.is_some() => return Err(format!("the playbook `{name}` does not answer alerts: {why}")),
            Appraisal::Differs { clause, value } if only.is_some() => {
                return Err(format!("the playbook `{name}` does not answer it: it has {value}, and the playbook wants {clause}"));
            }
            Appraisal::NotAsked(_) | Appraisal::Differs { .. } => {}
        }
    }
    if again.runs.is_empty() && again.failed.is_empty() {
        return Err(format!("no playbook answers it as they are now; `quell explain {}` says why of each", past.number));
    }
    Ok(again)
}

/// The windows that hold for a run that a person wants. It is no repeat to be swallowed, it need not come often enough, and it answers its
/// alert alone.
pub fn wanted(windows: &Windows) -> Windows {
    Windows { throttle: windows.throttle.clone(), concurrency: windows.concurrency.clone(), ..Windows::default() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    const WINDOWED: &str = "playbook: windowed
mode: shadow
trigger: {alert: {match: {kind: mining}}}
dedup: {key: k, window: 24h}
group: {by: [customer_tenant_id], wait: 30s, interval: 10m}
throttle: {key: k, max: 20, per: 1h}
threshold: {key: k, count: 5, within: 10m}
concurrency: {key: k, max: 1, strategy: queue}
steps: [{id: end, stop: {outcome: done, reason: over}}]
";

    const OTHER: &str = "playbook: other
mode: shadow
trigger: {alert: {match: {kind: leak}}}
steps: [{id: end, stop: {outcome: done, reason: over}}]
";

    const BROKEN: &str = "playbook: broken
mode: shadow
trigger: {alert: {match: {kind: odd}, when: alert.title > 3}}
steps: [{id: end, stop: {outcome: done, reason: over}}]
";

    const DAILY: &str = "playbook: daily
mode: shadow
trigger: {schedule: {cron: '0 7 * * *'}}
steps: [{id: end, stop: {outcome: done, reason: over}}]
";

    fn again(kind: &str, only: Option<&str>) -> Result<Again, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("windowed", WINDOWED), ("other", OTHER), ("broken", BROKEN), ("daily", DAILY)] {
            fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
        }
        let alert: Alert = serde_json::from_value(json!({
            "id": "a", "source": "graph", "kind": kind, "detected_at": "2026-03-02T04:11:09Z", "received_at": "2026-03-02T04:12:00Z",
        }))
        .unwrap();
        let past = Past {
            number: 7,
            is_revision: false,
            stored_at: alert.received_at,
            event: alert.to_event(),
            decisions: Vec::new(),
            runs: Vec::new(),
            replays: Vec::new(),
        };
        let by = Replay { who: "mina".to_owned(), reason: "the plan was wrong".to_owned() };
        replay(&Library::load(folder.path()), &past, only, &by, alert.received_at)
    }

    #[test]
    fn what_matches_now_begins_and_no_window_that_swallows_repeats_is_asked() {
        let mut runs = again("mining", None).unwrap().runs;
        assert_eq!(runs.len(), 1);
        let run = runs.remove(0);
        assert_eq!((run.playbook.as_str(), run.alert), ("windowed", Some(7)));
        assert!(run.occasion.starts_with("replay:") && run.replay.is_some_and(|by| by.who == "mina"));
        let Windows { dedup, group, throttle, threshold, concurrency } = run.windows;
        assert!(dedup.is_none() && group.is_none() && threshold.is_none());
        assert!(throttle.is_some() && concurrency.is_some(), "how many there may be");
    }

    #[test]
    fn each_replay_is_an_occasion_of_its_own() {
        let occasion = || again("mining", None).unwrap().runs.remove(0).occasion;
        assert_ne!(occasion(), occasion());
    }

    #[test]
    fn what_does_not_answer_the_alert_is_not_begun_by_name_either() {
        for (kind, only, why) in [
            ("nothing", None, "no playbook answers it"),
            ("mining", Some("other"), "does not answer it: it has"),
            ("mining", Some("daily"), "does not answer alerts: a schedule begins it"),
            ("mining", Some("nowhere"), "there is no usable playbook `nowhere`"),
        ] {
            let error = again(kind, only).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_playbook_that_cannot_be_evaluated_is_named() {
        let again = again("odd", None).unwrap();
        assert!(again.runs.is_empty() && again.failed[0].0 == "broken", "{again:?}");
    }
}
