//! `quell explain`: what every playbook says to an alert, and what those that answer it would do. Nothing is sent and nothing is written.

mod json;
mod text;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{Exit, alerts, output, send};
use crate::{
    alert::Alert,
    config::Config,
    engine::{
        foresight::{self, Appraisal, Approvals, Foreseen, Outlook, Recorded, Subject, Tally},
        replay,
    },
    lifecycle::Tasks,
    playbook::{Library, Playbook},
    run::RunRecord,
    store::{self, Hold, Past, Store, StoreError},
    window::{self, Admission},
};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Explain {
    /// A file with one alert, as `quell send` takes it; `-` for the standard input; or the number or id of an alert in the journal.
    #[arg(value_name = "ALERT")]
    alert: String,
    /// Only this playbook.
    #[arg(long, value_name = "NAME")]
    playbook: Option<String>,
    /// What people are taken to say when they are asked.
    #[arg(long, value_enum, default_value = "approve")]
    approvals: Assumed,
    /// Whether it is to be answered once more, now.
    #[arg(skip)]
    once_more: bool,
}

const AFTER_HELP: &str = "\
Reads are not performed: what depends on their answers is marked so. An alert of the journal is explained as of the moment when it came,
with the answers that its runs were given.";

/// What people are taken to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Assumed {
    Approve,
    Reject,
}

impl From<Assumed> for Approvals {
    fn from(assumed: Assumed) -> Self {
        match assumed {
            Assumed::Approve => Self::Approve,
            Assumed::Reject => Self::Reject,
        }
    }
}

/// An alert, and what is known of it.
struct Question {
    alert: Alert,
    /// As of when it is answered.
    at: Timestamp,
    /// What became of it, if it is in the journal.
    past: Option<Past>,
    /// Whether another state of the same alert was known when it came.
    is_revision: bool,
    /// Whether it is to be answered once more.
    once_more: bool,
}

/// What one playbook says.
struct Explained {
    playbook: Arc<Playbook>,
    appraisal: Appraisal,
    /// The window that holds it back.
    held: Option<Held>,
    foreseen: Option<Foreseen>,
    /// What was decided then: the verdict's word and its detail.
    decided: Option<(String, String)>,
    /// The run that was begun then.
    run: Option<RunRecord>,
}

/// Why a run that matches does not begin, or not at once.
struct Held {
    /// The window's word.
    rule: String,
    detail: String,
    until: Option<Timestamp>,
}

/// Everything that is said about an alert.
struct Answer {
    question: Question,
    explained: Vec<Explained>,
    /// How many files of playbooks cannot be used.
    refused: usize,
}

/// Why there is nothing to explain.
enum Trouble {
    Said(Exit),
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Explain {
    /// What would be done if an alert of the journal were answered once more now.
    pub(super) fn once_more(alert: String, playbook: Option<String>) -> Self {
        Self { alert, playbook, approvals: Assumed::Approve, once_more: true }
    }

    pub(super) async fn execute(self, config: &Config, json: bool) -> Exit {
        let tasks = Tasks::default();
        let done = self.answer(config, &tasks).await;
        tasks.end(std::time::Duration::from_secs(5)).await;
        let answer = match done {
            Ok(answer) => answer,
            Err(Trouble::Said(exit)) => return exit,
            Err(Trouble::Store(error)) => return Exit::unreachable(&error.to_string()),
        };
        if json {
            json::print(&answer);
        } else {
            text::print(&answer);
        }
        let fails = |it: &Explained| matches!(it.appraisal, Appraisal::Failed(_));
        if answer.explained.iter().any(fails) { Exit::Problems } else { Exit::Done }
    }

    async fn answer(&self, config: &Config, tasks: &Tasks) -> Result<Answer, Trouble> {
        if !config.playbooks.is_dir() {
            return Err(Trouble::Said(Exit::usage(&format!("`{}` is not a folder of playbooks", config.playbooks.display()))));
        }
        let library = Library::load(&config.playbooks);
        if let Some(name) = self.playbook.as_ref().filter(|name| library.get(name).is_none()) {
            let why = format!("there is no playbook `{name}` that can be used in `{}`", config.playbooks.display());
            return Err(Trouble::Said(Exit::usage(&why)));
        }
        // A look makes no journal.
        let store = match store::file_of(config.store.url.expose()) {
            Ok(file) if file.as_ref().is_none_or(|file| file.exists()) => Some(Store::open(&config.store, tasks, None).await?),
            Ok(_) | Err(_) => None,
        };
        let question = self.question(store.as_ref()).await?;
        // Released ones held then, if the alert came before that.
        let holds = match &store {
            Some(store) => store.holds(None).await?,
            None => Vec::new(),
        };
        let mut tally = tally(config, &library, (store.as_ref(), &question)).await?;
        let mut explained = Vec::new();
        for (playbook, appraisal) in foresight::appraise(&library, question.is_revision, &question.alert, question.at) {
            if self.playbook.as_ref().is_none_or(|name| *name == playbook.name) {
                let held = window(store.as_ref(), &question, &appraisal).await?;
                let foreseen = self.foresee((config, &holds), (&question, &playbook, &appraisal), &mut tally);
                let decided = decided(&question, &playbook.name);
                let run = run(&question, &playbook.name);
                explained.push(Explained { playbook, appraisal, held, foreseen, decided, run });
            }
        }
        Ok(Answer { question, explained, refused: library.refused() })
    }

    async fn question(&self, store: Option<&Store>) -> Result<Question, Trouble> {
        let said = |exit: Exit| Trouble::Said(exit);
        let once_more = self.once_more;
        if !once_more && (self.alert == "-" || Path::new(&self.alert).is_file()) {
            let text = read(&self.alert).map_err(|error| said(Exit::usage(&error)))?;
            let alert = send::read_alert(&text, "send").map_err(|why| said(Exit::problem(&format!("{}: {why}", self.alert))))?;
            return Ok(Question { alert, at: Timestamp::now(), past: None, is_revision: false, once_more });
        }
        let Some(store) = store else {
            let why = format!("`{}` is no file, and there is no journal in which an alert could have that number or id", self.alert);
            return Err(said(Exit::problem(&why)));
        };
        let row = alerts::find(store, &self.alert).await?.map_err(said)?;
        let Some(past) = store.past_of(row.number).await? else {
            return Err(said(Exit::problem(&format!("alert #{} is not there any more", row.number))));
        };
        let alert = Alert::from_event(&past.event).map_err(|malformed| said(Exit::problem(&malformed.to_string())))?;
        let is_revision = past.is_revision;
        // What was decided and answered then says nothing of now.
        let (at, past) = if once_more { (Timestamp::now(), None) } else { (past.stored_at, Some(past)) };
        Ok(Question { alert, at, past, is_revision, once_more })
    }

    fn foresee(
        &self,
        (config, holds): (&Config, &[Hold]),
        (question, playbook, appraisal): (&Question, &Playbook, &Appraisal),
        tally: &mut Tally,
    ) -> Option<Foreseen> {
        let Appraisal::Matches(new) = appraisal else { return None };
        let begun = foresight::run_of(new, question.past.as_ref().map(|past| past.number), question.at);
        // Texts that name the run read as they did.
        let id = run(question, &playbook.name).map_or_else(|| begun.id.clone(), |run| run.id);
        let run = RunRecord { id, ..begun };
        let seen = serde_json::to_value(&question.alert).unwrap_or_default();
        let recorded: Vec<_> = question.past.iter().flat_map(|past| &past.runs).flat_map(|(_, steps)| steps).cloned().collect();
        let outlook = Outlook {
            guardrails: &config.guardrails,
            site: &config.approvals,
            holds,
            answers: &Recorded(&recorded),
            approvals: self.approvals.into(),
        };
        let alerts = serde_json::json!([seen]);
        let subject = Subject { playbook, run: &run, alert: Some(&question.alert), seen: &seen, alerts: &alerts };
        Some(foresight::foresee(subject, outlook, tally))
    }
}

fn read(name: &str) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut text = Vec::new();
    let read = match name {
        "-" => std::io::stdin().lock().read_to_end(&mut text),
        path => std::fs::File::open(PathBuf::from(path)).and_then(|mut file| file.read_to_end(&mut text)),
    };
    read.map(|_| text).map_err(|error| format!("read `{name}`: {error}"))
}

/// The window that holds a run back: for an alert of the journal as it was decided then, otherwise as the journal stands.
async fn window(store: Option<&Store>, question: &Question, appraisal: &Appraisal) -> Result<Option<Held>, StoreError> {
    let (Some(store), Appraisal::Matches(new)) = (store, appraisal) else { return Ok(None) };
    if question.past.is_some() {
        let decided = decided(question, &new.playbook).filter(|(verdict, _)| verdict == "held" || verdict == "joined");
        return Ok(decided.map(|(verdict, detail)| {
            let rule = detail.split_once(':').map_or(verdict, |(rule, _)| rule.to_owned());
            Held { rule, detail, until: None }
        }));
    }
    let windows = if question.once_more { replay::wanted(&new.windows) } else { new.windows.clone() };
    let seen = store.windows_seen((&new.playbook, new.mode), &windows, question.at).await?;
    let held = |rule: &str, detail: String, until| Some(Held { rule: rule.to_owned(), detail, until });
    Ok(match window::admit(&windows, &seen, question.at) {
        Admission::Begin { due } if due <= question.at => None,
        Admission::Begin { due } => held("group", format!("group: it begins at {due}, with the alerts that come until then"), Some(due)),
        Admission::Queue { cancel, .. } if cancel.is_empty() => {
            held("concurrency", "concurrency: it begins when others have ended".to_owned(), None)
        }
        Admission::Queue { cancel, .. } => {
            let others = cancel.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            held("concurrency", format!("concurrency: it begins when these are cancelled: {others}"), None)
        }
        Admission::Join { run } => held("group", format!("group: run {run} answers it, too"), None),
        Admission::Held { rule, detail, until } => held(rule, detail, until),
    })
}

/// What counts against the limits at that moment.
async fn tally(config: &Config, library: &Library, (store, question): (Option<&Store>, &Question)) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    let own = library.playbooks.iter().flat_map(|playbook| &playbook.guardrails).map(|limit| limit.per);
    let longest = config.guardrails.limits.iter().map(|limit| limit.per.0).chain(own).max();
    if let (Some(store), Some(longest)) = (store, longest) {
        let since = question.at.checked_sub(longest).unwrap_or(Timestamp::MIN);
        let attempted = store.attempted_since(since).await?;
        attempted.iter().filter(|(.., at)| *at <= question.at).for_each(|(action, within, at)| tally.add(action, within, *at));
    }
    Ok(tally)
}

fn decided(question: &Question, playbook: &str) -> Option<(String, String)> {
    let decisions = question.past.iter().flat_map(|past| &past.decisions);
    let by_playbook: BTreeMap<_, _> = decisions.map(|(name, verdict, detail)| (name.as_str(), (verdict, detail))).collect();
    by_playbook.get(playbook).map(|(verdict, detail)| ((*verdict).clone(), (*detail).clone()))
}

fn run(question: &Question, playbook: &str) -> Option<RunRecord> {
    let runs = question.past.iter().flat_map(|past| &past.runs);
    runs.map(|(run, _)| run).find(|run| run.playbook == playbook).cloned()
}

impl Explained {
    /// The verdict's word and why.
    fn verdict(&self) -> (&'static str, String) {
        match (&self.appraisal, &self.held) {
            (Appraisal::NotAsked(why), _) => ("not asked", (*why).to_owned()),
            (Appraisal::Differs { clause, value }, _) => ("differs", format!("has {value}; wants {clause}")),
            (Appraisal::Failed(detail), _) => ("error", detail.clone()),
            (Appraisal::Matches(_), Some(held)) => ("held", held.detail.clone()),
            (Appraisal::Matches(_), None) => ("matches", String::new()),
        }
    }
}
