//! What the running parts share: the fixed site, the guarded state, the tasks and the way out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use jiff::Timestamp;
use reqwest::{Client, redirect};

use crate::{
    answer::Callback,
    callback,
    ledger::{Entry, Ledger},
    options::Options,
    signing::Certificates,
    state::{Site, State},
    tasks::Tasks,
};

/// The simulator's inside.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) site: Arc<Site>,
    pub(crate) tasks: Tasks,
    /// Sends callbacks.
    pub(crate) client: Client,
    state: Mutex<State>,
}

impl Core {
    pub(crate) fn new(options: Options, url: String) -> anyhow::Result<Arc<Self>> {
        let ledger = Ledger::open(options.ledger.as_deref())?;
        let certificates = Certificates::make()?;
        let site = Arc::new(Site { options, url, certificates });
        Ok(Arc::new(Self { state: Mutex::new(State::new(Arc::clone(&site), ledger)), client: client()?, tasks: Tasks::new(), site }))
    }

    /// The state with everything in it that has become due.
    pub(crate) fn state(&self, now: Timestamp) -> MutexGuard<'_, State> {
        // A panic elsewhere must not hide the ledger from the test that wants to see why.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(now);
        state
    }

    pub(crate) fn record(&self, entry: Entry) -> u64 {
        self.state(entry.at).ledger.append(entry)
    }

    /// Starts the delivery of an event to the registered webhook.
    pub(crate) fn send(self: &Arc<Self>, callback: Callback) {
        let core = Arc::clone(self);
        self.tasks.spawn(async move { callback::deliver_registered(&core, callback).await });
    }
}

#[expect(clippy::disallowed_methods, reason = "this crate stands outside Quell; time limit and redirects are set here")]
fn client() -> anyhow::Result<Client> {
    // Another part of the process may have chosen a provider already: that one is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .timeout(std::time::Duration::from_secs(10))
        .redirect(redirect::Policy::none())
        // The receiver of a callback has a certificate of the lab, which nothing here is meant to check.
        .tls_danger_accept_invalid_certs(true)
        .build()
        .context("build client for callbacks")
}
