//! Reads the folder of playbooks again when it has changed, at SIGHUP, and when somebody asks; replaces the set in use as a whole or not at all.
//!
//! One reading at a time, on a thread where it holds nothing up. What a reading leads to is decided in the playbooks' own module.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
};
use tracing::warn;

use super::folder::{Look, Watched};
use crate::{
    lifecycle::Stop,
    playbook::{Library, Reading, Shelf},
    store::{Act, Store},
    telemetry::signals::Signals,
    web::{Playbooks, Reload, Reloaded},
};

/// Keeps the shelf like the folder.
pub(super) struct Reloader {
    folder: PathBuf,
    shelf: Shelf,
    store: Store,
    signals: Signals,
    /// The last reading, whether or not it was put on the shelf.
    last: Arc<Library>,
    looked: Look,
    asked: mpsc::Receiver<Asked>,
    state: watch::Sender<Playbooks>,
}

/// Somebody wants the folder read, and waits for what comes of it.
struct Asked {
    who: String,
    answer: oneshot::Sender<Reloaded>,
}

/// What others have of a [`Reloader`].
pub(super) struct Handle {
    /// The playbooks in use, and what is wrong with the folder.
    pub(super) state: watch::Receiver<Playbooks>,
    /// Has the folder read now.
    pub(super) reload: Reload,
}

/// Long enough for an editor or a checkout to have written everything, short enough not to be waited for; and no more readings than this
/// allows, however often somebody writes.
const QUIET: Duration = Duration::from_millis(300);

/// A folder that changes while it is read is read again. One that never rests is taken as it is in the end, and read again after the next change.
const MOST_TRIES: u32 = 10;

/// The health page is asked often; the log and `quell check` have them all.
const MOST_PROBLEMS_SHOWN: usize = 5;

/// Each waits for one reading; who comes on top of that waits to be let in.
const MOST_ASKED: usize = 8;

impl Reloader {
    /// Reads the folder for the first time. As there is no earlier set, files that cannot be used are left out, and the others are used.
    pub(super) fn load(folder: PathBuf, store: Store, signals: Signals) -> (Self, Handle) {
        let looked = Look::at(&folder);
        let last = Arc::new(Library::load(&folder));
        for problem in &last.problems {
            warn!("{problem}");
        }
        let now = Timestamp::now();
        signals.playbooks_loaded(last.playbooks.len(), last.refused(), now);
        let (sender, asked) = mpsc::channel::<Asked>(MOST_ASKED);
        let reload: Reload = Arc::new(move |who| {
            let sender = sender.clone();
            Box::pin(async move {
                let (answer, answered) = oneshot::channel();
                sender.send(Asked { who, answer }).await.ok()?;
                answered.await.ok()
            })
        });
        let playbooks = Playbooks { loaded: last.playbooks.len(), problems: shown(last.errors()), since: now };
        let (state, receiver) = watch::channel(playbooks);
        let shelf = Shelf::new(Arc::clone(&last));
        (Self { folder, shelf, store, signals, last, looked, asked, state }, Handle { state: receiver, reload })
    }

    /// Where the set in use is.
    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Keeps the shelf like the folder until the program should end. `hangup` is SIGHUP.
    pub(super) async fn run(mut self, mut hangup: Option<Signal>, stop: Stop) {
        let mut watched = Watched::new(self.folder.clone(), self.looked.clone());
        loop {
            let mut asker = None;
            tokio::select! {
                () = stop.requested() => return,
                Some(request) = self.asked.recv() => asker = Some(request),
                () = hung_up(&mut hangup) => {}
                () = watched.changed() => {
                    if !stop.sleep(QUIET).await {
                        return;
                    }
                }
            }
            watched.begin_reading();
            let Some(reloaded) = stop.or(self.reload()).await else { return };
            watched.has_read(self.looked.clone());
            if let Some(Asked { who, answer }) = asker {
                self.audit_request(who, &reloaded).await;
                // Who asked may have gone; it is in the log.
                drop(answer.send(reloaded));
            }
        }
    }

    async fn reload(&mut self) -> Reloaded {
        let Some(new) = self.read().await else {
            let problems = vec!["the program failed while it read the folder; its log says where".to_owned()];
            self.last = Arc::default();
            return self.refuse(problems, 1);
        };
        let known = self.last.sources == new.sources && self.last.problems == new.problems;
        self.last = Arc::clone(&new);
        let current = self.shelf.current();
        match current.read_again(&new) {
            Reading::Unchanged => self.unchanged(&current),
            Reading::Replace(changes) => {
                for problem in &new.problems {
                    warn!("{problem}");
                }
                let (playbooks, now) = (new.playbooks.len(), Timestamp::now());
                self.shelf.replace(new);
                self.audit(&changes.to_string()).await;
                self.signals.playbooks_replaced(&changes.to_string(), &changes.names(), playbooks, now);
                self.state.send_replace(Playbooks { loaded: playbooks, problems: Vec::new(), since: now });
                self.forget().await;
                Reloaded::Replaced { playbooks }
            }
            // It was said already.
            Reading::Keep(problems) if known => Reloaded::Refused { playbooks: current.playbooks.len(), problems },
            Reading::Keep(problems) => self.refuse(problems, new.refused()),
        }
    }

    /// Reads the folder when it rests; nothing if that failed.
    async fn read(&mut self) -> Option<Arc<Library>> {
        let mut tries = 0;
        loop {
            let folder = self.folder.clone();
            self.looked = spawn_blocking(move || Look::at(&folder)).await.ok()?;
            let folder = self.folder.clone();
            let (library, after) = spawn_blocking(move || (Library::load(&folder), Look::at(&folder))).await.ok()?;
            tries += 1;
            if self.looked == after || tries == MOST_TRIES {
                return Some(Arc::new(library));
            }
            tokio::time::sleep(QUIET).await;
        }
    }

    /// The set in use is what the folder holds, perhaps again.
    fn unchanged(&self, current: &Library) -> Reloaded {
        let errors = current.errors();
        let was_refused = self.state.borrow().problems != shown(errors.clone());
        self.state.send_modify(|state| state.problems = shown(errors));
        self.signals.playbooks_unchanged(current.refused(), was_refused);
        Reloaded::Unchanged { playbooks: current.playbooks.len() }
    }

    fn refuse(&self, problems: Vec<String>, files: usize) -> Reloaded {
        let playbooks = self.shelf.current().playbooks.len();
        self.signals.playbooks_refused(&problems, files, playbooks);
        self.state.send_modify(|state| state.problems = shown(problems.clone()));
        Reloaded::Refused { playbooks, problems }
    }

    /// The set is in use whether or not that can be recorded.
    async fn audit(&self, changes: &str) {
        let subject = format!("playbooks {}", self.shelf.current().hash());
        let detail = serde_json::json!({"changes": changes});
        let act = Act { who: format!("the folder `{}`", self.folder.display()), what: "playbooks.replace", subject, detail };
        if let Err(error) = self.store.audit(act).await {
            self.signals.store_failed(&error.to_string());
        }
    }

    /// Whoever asks over the API is in the log, whatever came of it.
    async fn audit_request(&self, who: String, reloaded: &Reloaded) {
        let (subject, detail) = (format!("the folder `{}`", self.folder.display()), serde_json::json!(reloaded));
        if let Err(error) = self.store.audit(Act { who, what: "playbooks.reload", subject, detail }).await {
            self.signals.store_failed(&error.to_string());
        }
    }

    /// Lets go of replaced playbooks that no open run uses.
    async fn forget(&self) {
        match self.store.texts_in_use().await {
            Ok(in_use) => self.shelf.forget_all_but(&in_use),
            // They are only kept for longer.
            Err(error) => self.signals.store_failed(&error.to_string()),
        }
    }
}

/// SIGHUP, which would end the program if nobody took it; nothing is to be had of it where it cannot be taken.
pub(super) fn hangup() -> Option<Signal> {
    signal(SignalKind::hangup()).inspect_err(|error| warn!(%error, "SIGHUP cannot be taken: {error}")).ok()
}

async fn hung_up(hangup: &mut Option<Signal>) {
    if let Some(signal) = hangup
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn shown(mut problems: Vec<String>) -> Vec<String> {
    let more = problems.len().saturating_sub(MOST_PROBLEMS_SHOWN);
    problems.truncate(MOST_PROBLEMS_SHOWN);
    if more > 0 {
        problems.push(format!("and {more} more; `quell check` shows them"));
    }
    problems
}
