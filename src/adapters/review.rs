//! The review queue: alerts that were old when Quell first saw them wait in the quarantine until a person releases them.
//!
//! They are not put on the bus, so that no playbook acts on what somebody may have dealt with long ago.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tracing::info;

use super::{Surroundings, inlet::Inlet, task::Trouble};
use crate::{
    alert::{Alert, Status},
    store::{Arrival, Rejected, Store, StoreError},
};

/// Holds old alerts back.
pub(super) struct Review {
    store: Store,
    inlet: Inlet,
}

/// The reason that the quarantine gives.
const REASON: &str = "review";

/// Microsoft has told of fraud since December 2021; nobody has more than that unresolved.
const MOST_HELD: i64 = 100_000;

impl Review {
    pub(super) fn new(inlet: &Inlet, around: &Surroundings) -> Self {
        Self { store: around.store.clone(), inlet: inlet.clone() }
    }

    /// Gives back the alerts that nobody is asked about. Of those that were held, whatever was decided since, a new state is held as well:
    /// whoever brings it, it is what the listing would have done.
    pub(super) async fn sift(&self, alerts: Vec<Alert>, now: Timestamp) -> Result<Vec<Alert>, Trouble> {
        let held = held(&self.store).await.map_err(|error| Trouble::new(format!("look what is held back: {error}")))?;
        let held: BTreeSet<_> = held.into_iter().filter(|alert| alert.source == self.inlet.source).map(|alert| alert.id).collect();
        let (old, others) = alerts.into_iter().partition(|alert| held.contains(&alert.id));
        self.hold(old, now).await?;
        Ok(others)
    }

    /// Holds these alerts, unless they are held or were decided about already. What is resolved needs nobody.
    pub(super) async fn hold(&self, mut alerts: Vec<Alert>, now: Timestamp) -> Result<(), Trouble> {
        alerts.retain(|alert| alert.status != Status::Resolved);
        if alerts.is_empty() {
            return Ok(());
        }
        let trouble = |error| Trouble::new(format!("hold old alerts back: {error}"));
        let before = held(&self.store).await.map_err(trouble)?;
        let mut held: BTreeSet<String> = before.iter().map(Alert::dedup_key).collect();
        let mut arrivals = Vec::new();
        for alert in alerts {
            let message = self.inlet.pack(alert.clone(), now).map_err(|malformed| Trouble::new(malformed.to_string()))?;
            if held.insert(message.key) {
                arrivals.push(Arrival::Rejected(Rejected { reason: REASON, detail: detail(&alert), body: message.body }));
            }
        }
        let (count, adapter) = (arrivals.len(), &self.inlet.adapter);
        if count > 0 {
            self.store.take_in(arrivals).await.map_err(trouble)?;
            info!(adapter, count, "{count} alerts of {adapter} were old when it began; they wait for a person in the quarantine");
        }
        Ok(())
    }
}

/// The alerts that were held back, whatever was decided about them since.
pub(super) async fn held(store: &Store) -> Result<Vec<Alert>, StoreError> {
    let rows = store.quarantine(false, MOST_HELD).await?;
    Ok(rows.iter().filter(|row| row.reason == REASON).filter_map(|row| Alert::from_event(&row.body).ok()).collect())
}

fn detail(alert: &Alert) -> String {
    let Alert { kind, subscription_id, detected_at, .. } = alert;
    format!("{kind} in the subscription `{subscription_id}`, detected {detected_at:.0}: release it to have playbooks act on it")
}
