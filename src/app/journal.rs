//! Tells monitoring and the logs what only the journal knows: commands change it as well, beside this process.

use std::time::Duration;

use crate::{
    engine::KillSwitch,
    lifecycle::Stop,
    store::{Store, StoreError},
    telemetry::{Metrics, signals::Signals},
};

/// Looks at the journal.
pub(super) struct Journal {
    pub(super) store: Store,
    pub(super) switch: KillSwitch,
    pub(super) metrics: Metrics,
    pub(super) signals: Signals,
}

/// Soon enough for whoever watches, and a handful of small looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Enough for whatever people do within that time.
const ENTRIES: i64 = 100;

impl Journal {
    /// Looks until the program ends.
    pub(super) async fn watch(self, stop: Stop) {
        let (mut told, mut was_thrown) = (None, None);
        loop {
            // What cannot be read is told by those who need it.
            if let Some(Err(_unreadable)) = stop.or(self.look(&mut told, &mut was_thrown)).await {}
            if !stop.sleep(LOOK_EVERY).await {
                return;
            }
        }
    }

    async fn look(&self, told: &mut Option<i64>, was_thrown: &mut Option<bool>) -> Result<(), StoreError> {
        self.metrics.runs_in_progress.set(self.store.runs_in_progress().await?);
        self.metrics.indeterminate_runs.set(self.store.indeterminate_runs().await?);
        self.metrics.approvals_pending.set(self.store.approvals_pending().await?);
        self.metrics.outbox_waiting.with_label_values(&["people"]).set(float(self.store.outgoing_waiting().await?));
        self.metrics.outbox_waiting.with_label_values(&["bus"]).set(float(self.store.events_waiting().await?));
        let thrown = self.switch.thrown();
        // Seen twice in a row: a command that is about to write the store as well says more.
        if was_thrown.replace(thrown.is_some()) == Some(thrown.is_some()) {
            let by = thrown.as_ref().map(|stopped| (stopped.who.as_str(), stopped.reason.as_str()));
            self.store.note_stop_file(&self.switch.file().display().to_string(), by).await?;
        }
        let is_stopped = thrown.is_some() || self.store.actions_stopped().await? || self.store.notice_restore().await?;
        self.metrics.actions_stopped.set(i64::from(is_stopped));
        // After a start the last entry is told of again: its hash stands for all before it.
        let after = match *told {
            Some(told) => told,
            None => self.store.last_audited().await?.saturating_sub(1),
        };
        for entry in self.store.audited(after, ENTRIES).await? {
            self.signals.audited(entry.number, &entry.hash, (&entry.who, &entry.what, &entry.subject));
            *told = Some(entry.number);
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floating point; nobody counts so many messages one by one")]
fn float(number: i64) -> f64 {
    number as f64
}
