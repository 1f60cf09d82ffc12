//! What a backtest counts: by playbook, and the differences from what was done.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    compare,
    pipeline::Job,
    replay::{Occasion, Replayed},
};
use crate::{
    engine::foresight::{Fate, NOTIFY},
    playbook::{Playbook, Trigger},
    store::While,
};

/// Everything that a backtest found.
pub(super) struct Report {
    pub(super) within: While,
    pub(super) alerts: u64,
    /// Alerts that no playbook answers.
    pub(super) unanswered: u64,
    /// Times of schedules.
    pub(super) times: u64,
    pub(super) playbooks: BTreeMap<String, Counts>,
    pub(super) differences: Differences,
    /// How many files of playbooks cannot be used.
    pub(super) refused: usize,
}

/// What a playbook would have done, and what was done under its name.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Counts {
    /// `gone` for one that is not on the disk any more.
    pub(super) mode: String,
    pub(super) matched: u64,
    pub(super) runs: u64,
    pub(super) joined: u64,
    /// By window.
    pub(super) held: BTreeMap<&'static str, u64>,
    pub(super) errors: u64,
    pub(super) failed: u64,
    /// Runs that cannot be foreseen to their end.
    pub(super) unclear: u64,
    pub(super) destructive: u64,
    pub(super) notifications: u64,
    /// What would only be recorded, because the playbook is in shadow mode.
    pub(super) shadowed: Shadowed,
    /// Calls that a guardrail holds back, by rule.
    pub(super) guardrails: BTreeMap<&'static str, u64>,
    pub(super) approvals: u64,
    pub(super) was: Was,
}

/// What would only be recorded.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Shadowed {
    pub(super) destructive: u64,
    pub(super) notifications: u64,
}

/// What was done.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Was {
    pub(super) runs: u64,
    pub(super) destructive: u64,
    pub(super) notifications: u64,
}

/// What would be different.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Differences {
    /// Destructive calls that were not made and would be, or would be held back by a guardrail.
    pub(super) newly_destructive: List,
    /// Destructive calls that were made and would not be.
    pub(super) no_longer_destructive: List,
    pub(super) gain_notification: List,
    pub(super) lose_notification: List,
    pub(super) gain_run: List,
    pub(super) lose_run: List,
    /// Times of schedules that would begin a run, and for which none is recorded.
    pub(super) gain_time: List,
    pub(super) lose_time: List,
    /// Playbooks that would fail, or could not be told to match, and did not.
    pub(super) newly_failing: List,
    /// Runs about which nothing is concluded.
    pub(super) unclear: List,
    pub(super) unreadable: List,
}

/// Cases of one kind: how many, and the first of them.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct List {
    pub(super) count: u64,
    /// How many of them a guardrail holds back because their target is protected.
    pub(super) protected: u64,
    pub(super) shown: Vec<Item>,
}

/// One case.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Item {
    /// The number of the alert.
    pub(super) alert: Option<i64>,
    /// The time of the schedule, where no alert is answered.
    pub(super) time: Option<Timestamp>,
    pub(super) id: String,
    pub(super) playbook: String,
    pub(super) what: String,
    /// The guardrail that holds it back.
    pub(super) held: Option<&'static str>,
}

/// What fits a comment on a pull request.
const SHOWN: usize = 20;

impl Item {
    pub(super) fn of(occasion: Occasion) -> Self {
        match occasion {
            Occasion::Alert(number) => Self { alert: Some(number), ..Self::default() },
            Occasion::Time(at) => Self { time: Some(at), ..Self::default() },
        }
    }
}

impl List {
    pub(super) fn push(&mut self, item: Item) {
        self.count += 1;
        self.protected += u64::from(item.held == Some("protected"));
        if self.shown.len() < SHOWN {
            self.shown.push(item);
        }
    }
}

impl Differences {
    /// Every kind with what it says of a number of cases.
    pub(super) fn all(&self) -> [(&List, &'static str); 11] {
        [
            (&self.newly_destructive, "destructive calls would be new"),
            (&self.no_longer_destructive, "destructive calls would no longer be made"),
            (&self.gain_notification, "alerts or times of schedules gain a notification"),
            (&self.lose_notification, "alerts or times of schedules lose their notification"),
            (&self.gain_run, "alerts would be answered that were not"),
            (&self.lose_run, "alerts would no longer be answered"),
            (
                &self.gain_time,
                "times of schedules would begin a run that is not in the journal; whether anything ran then, it does not say",
            ),
            (&self.lose_time, "times of schedules would no longer begin their run"),
            (&self.newly_failing, "runs would fail that did not"),
            (&self.unclear, "runs cannot be foreseen to their end"),
            (&self.unreadable, "alerts cannot be read"),
        ]
    }
}

impl Report {
    pub(super) fn new(job: &Job) -> Self {
        let counts = |mode: &str| Counts { mode: mode.to_owned(), ..Counts::default() };
        let is_replayed = |playbook: &&Arc<Playbook>| !matches!(playbook.trigger, Trigger::Manual);
        let playbooks = job
            .library
            .playbooks
            .iter()
            .filter(is_replayed)
            .map(|playbook| (playbook.name.clone(), counts(playbook.mode.as_str())))
            .collect();
        Self { within: job.within, alerts: 0, unanswered: 0, times: 0, playbooks, differences: Differences::default(), refused: 0 }
    }

    /// Whether a person should look before this is used.
    pub(super) fn is_bad(&self) -> bool {
        self.refused > 0 || self.differences.newly_failing.count > 0
    }

    /// Counts an alert that cannot be read, unless it came before the period.
    pub(super) fn unreadable(&mut self, (occasion, at): (Occasion, Timestamp), what: String) {
        if at >= self.within.since {
            self.alerts += 1;
            self.differences.unreadable.push(Item { what, ..Item::of(occasion) });
        }
    }

    /// Counts what became of an alert, or of a time of a schedule.
    pub(super) fn count(&mut self, it: &Replayed) {
        match it.occasion {
            Occasion::Alert(_) => {
                self.alerts += 1;
                self.unanswered += u64::from(it.runs.is_empty() && it.joined.is_empty() && it.held.is_empty() && it.errors.is_empty());
            }
            Occasion::Time(_) => self.times += 1,
        }
        for foreseen in &it.runs {
            let counts = self.of(&foreseen.run.playbook);
            counts.matched += 1;
            counts.runs += 1;
            counts.failed += u64::from(foreseen.fails());
            counts.unclear += u64::from(!foreseen.unclear.is_empty());
            counts.approvals += u64::try_from(foreseen.questions.len()).unwrap_or_default();
            for call in &foreseen.calls {
                let (destructive, notifies) = (u64::from(call.destructive), u64::from(call.action == NOTIFY));
                match &call.fate {
                    Fate::Made => {
                        counts.destructive += destructive;
                        counts.notifications += notifies;
                    }
                    Fate::Shadowed(_) => {
                        counts.shadowed.destructive += destructive;
                        counts.shadowed.notifications += notifies;
                    }
                    Fate::Held(_) => {}
                }
                if let Some(held) = call.held() {
                    *counts.guardrails.entry(held.rule).or_default() += 1;
                }
            }
        }
        for playbook in &it.joined {
            let counts = self.of(playbook);
            counts.matched += 1;
            counts.joined += 1;
        }
        for (playbook, window) in &it.held {
            let counts = self.of(playbook);
            counts.matched += 1;
            *counts.held.entry(window).or_default() += 1;
        }
        for (playbook, _) in &it.errors {
            self.of(playbook).errors += 1;
        }
        for (run, steps) in &it.was.runs {
            let counts = self.of(&run.playbook);
            counts.was.runs += 1;
            for step in steps.iter().filter(|step| compare::was_made(step)) {
                counts.was.destructive += u64::from(compare::is_destructive(&step.action));
                counts.was.notifications += u64::from(step.action == NOTIFY);
            }
        }
    }

    fn of(&mut self, playbook: &str) -> &mut Counts {
        self.playbooks.entry(playbook.to_owned()).or_insert_with(|| Counts { mode: "gone".to_owned(), ..Counts::default() })
    }
}
