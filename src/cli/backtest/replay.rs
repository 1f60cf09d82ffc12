//! Alerts in the order in which they came, and the times of schedules between them: windows let runs begin or hold them back, and those that begin are played to their end.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{compare, pipeline::Job, report::Report};
use crate::{
    alert::Alert,
    engine::foresight::{self, Foreseen, Outlook, Recorded, Subject, Tally},
    playbook::Playbook,
    run::{RunId, RunRecord, StepRecord},
    store::{NewRun, Verdict},
    window::{Admission, Memory, admit},
};

/// What runs answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Occasion {
    /// The alert of that number.
    Alert(i64),
    /// That time of a schedule.
    Time(Timestamp),
}

/// What is recorded of an occasion.
#[derive(Default)]
pub(super) struct Was {
    /// By playbook: the verdict's word and its detail.
    pub(super) decisions: Vec<(String, String, String)>,
    pub(super) runs: Vec<(RunRecord, Vec<StepRecord>)>,
}

/// An occasion with what the playbooks say to it.
pub(super) struct Matched {
    pub(super) occasion: Occasion,
    pub(super) at: Timestamp,
    pub(super) was: Was,
    /// None for a time of a schedule; or why an alert cannot be read.
    pub(super) alert: Result<Option<Alert>, String>,
    pub(super) verdicts: Vec<Verdict>,
}

/// What became of an occasion in the replay.
pub(super) struct Replayed {
    pub(super) occasion: Occasion,
    pub(super) at: Timestamp,
    pub(super) was: Was,
    /// The alert's own id; empty for a time of a schedule.
    pub(super) id: String,
    pub(super) runs: Vec<Foreseen>,
    /// The playbooks whose run for other alerts answers this one, too.
    pub(super) joined: Vec<String>,
    /// By playbook: the window that held its run.
    pub(super) held: Vec<(String, &'static str)>,
    /// By playbook: why it cannot be told whether it matches.
    pub(super) errors: Vec<(String, String)>,
}

pub(super) struct Replay {
    job: Job,
    memory: Memory,
    tally: Tally,
    /// When runs that hold a place end.
    ends: BTreeSet<(Timestamp, RunId)>,
    playbooks: HashMap<String, Arc<Playbook>>,
    /// Alerts whose runs wait for others to join, and what came after them.
    waiting: VecDeque<Waiting>,
    /// By the run that gathers them: the further alerts of a group.
    gathered: HashMap<RunId, Vec<Value>>,
    report: Report,
}

struct Waiting {
    replayed: Replayed,
    alert: Option<Alert>,
    seen: Value,
    /// The runs that gather alerts, and when each begins.
    gathering: Vec<(NewRun, Timestamp)>,
}

impl Replay {
    pub(super) fn new(job: Job) -> Self {
        let playbooks = job.library.playbooks.iter().map(|it| (it.name.clone(), Arc::clone(it))).collect();
        let report = Report::new(&job);
        Self {
            job,
            memory: Memory::default(),
            tally: Tally::default(),
            ends: BTreeSet::new(),
            playbooks,
            waiting: VecDeque::new(),
            gathered: HashMap::new(),
            report,
        }
    }

    pub(super) fn take(&mut self, Matched { occasion, at: now, was, alert, verdicts }: Matched) {
        self.pass(now);
        let alert = match alert {
            Ok(alert) => alert,
            Err(why) => return self.report.unreadable((occasion, now), why),
        };
        // Most alerts meet no playbook.
        let seen = if verdicts.is_empty() { Value::Null } else { serde_json::to_value(&alert).unwrap_or_default() };
        let id = alert.as_ref().map(|alert| alert.id.clone()).unwrap_or_default();
        let replayed = Replayed { occasion, at: now, was, id, runs: Vec::new(), joined: Vec::new(), held: Vec::new(), errors: Vec::new() };
        let mut it = Waiting { replayed, alert, seen, gathering: Vec::new() };
        for verdict in verdicts {
            match verdict {
                Verdict::Error { playbook, detail, .. } => it.replayed.errors.push((playbook, detail)),
                Verdict::Run(new) => self.admit(&mut it, *new, now),
            }
        }
        self.waiting.push_back(it);
        self.release(Some(now));
    }

    /// The report, once all alerts were taken.
    pub(super) fn end(mut self) -> Report {
        self.release(None);
        self.report
    }

    fn admit(&mut self, it: &mut Waiting, new: NewRun, now: Timestamp) {
        if new.windows.is_empty() {
            return self.begin(it, &new, now);
        }
        let seen = self.memory.seen(&new.playbook, &new.windows, now);
        let admission = admit(&new.windows, &seen, now);
        self.memory.note((&new.playbook, &new.id), &new.windows, &admission, now);
        match admission {
            Admission::Begin { due } | Admission::Queue { due, .. } if new.windows.group.is_some() => it.gathering.push((new, due)),
            Admission::Begin { due } | Admission::Queue { due, .. } => self.begin(it, &new, due),
            Admission::Join { run } => {
                self.gathered.entry(run).or_default().push(it.seen.clone());
                it.replayed.joined.push(new.playbook);
            }
            Admission::Held { rule, .. } => it.replayed.held.push((new.playbook, rule)),
        }
    }

    fn begin(&mut self, it: &mut Waiting, new: &NewRun, at: Timestamp) {
        let Some(playbook) = self.playbooks.get(&new.playbook).cloned() else { return };
        let first = it.alert.is_some().then(|| it.seen.clone());
        let alerts: Vec<Value> = first.into_iter().chain(self.gathered.remove(&new.id).unwrap_or_default()).collect();
        let alerts = Value::Array(alerts);
        let number = if let Occasion::Alert(number) = it.replayed.occasion { Some(number) } else { None };
        let run = foresight::run_of(new, number, at);
        let recorded: Vec<StepRecord> = it.replayed.was.runs.iter().flat_map(|(_, steps)| steps).cloned().collect();
        let outlook = Outlook {
            guardrails: &self.job.guardrails,
            site: &self.job.site,
            holds: &self.job.holds,
            answers: &Recorded(&recorded),
            approvals: self.job.approvals,
        };
        let subject = Subject { playbook: &playbook, run: &run, alert: it.alert.as_ref(), seen: &it.seen, alerts: &alerts };
        let foreseen = foresight::foresee(subject, outlook, &mut self.tally);
        if new.windows.concurrency.is_some() {
            self.ends.insert((foreseen.run.ended_at.unwrap_or(at), new.id.clone()));
        }
        it.replayed.runs.push(foreseen);
    }

    /// Lets time pass: groups begin, and places become free.
    fn pass(&mut self, now: Timestamp) {
        self.release(Some(now));
        self.memory.pass(now);
        while let Some((at, run)) = self.ends.pop_first() {
            if at > now {
                self.ends.insert((at, run));
                return;
            }
            self.memory.ended(&run);
        }
    }

    /// Counts the occasions about which everything is known by then, in order.
    fn release(&mut self, now: Option<Timestamp>) {
        while let Some(mut first) = self.waiting.pop_front() {
            if first.gathering.iter().any(|(_, due)| now.is_some_and(|now| *due > now)) {
                self.waiting.push_front(first);
                return;
            }
            for (new, due) in std::mem::take(&mut first.gathering) {
                self.begin(&mut first, &new, due);
            }
            // What came before the period only left something in windows and limits.
            if first.replayed.at >= self.job.within.since {
                self.report.count(&first.replayed);
                compare::compare(&first.replayed, &mut self.report);
            }
        }
    }
}
