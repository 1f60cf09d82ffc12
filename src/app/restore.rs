//! Whether the journal that a program starts with knows all that was done, and what follows if it does not.

use std::path::Path;

use tracing::{error, warn};

use crate::{
    config::Config,
    engine::machine,
    store::{Mark, Recovered, Store, StoreError},
};

/// What came before a start, as whoever starts the program says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The program had stopped, however that was.
    Stop,
    /// The journal was restored from a backup.
    Restore,
}

/// The journal of a program that acts, with its mark: looked at, and answered for if somebody does.
pub(super) async fn answered(store: Store, config: &Config, after: After) -> Result<Store, StoreError> {
    // Where the program may write anyway: the kill switch is thrown there.
    let folder = config.guardrails.stop_file.parent().unwrap_or_else(|| Path::new(""));
    let store = store.with_outlet(config.outlet()).marked_by(Mark::of(config.store.url.expose(), folder)?);
    match after {
        After::Restore => {
            let lasts = config.guardrails.hold_after_restore();
            let Recovered { ends, reviewed, hold, until } = store.after_restore(machine::after_restore, lasts).await?;
            warn!(
                reviewed,
                hold,
                "the journal ends at {ends:.0}, and what was done since is not known to it: {reviewed} steps that were under way are read back \
                 or wait for a person, and until {until:.0} nothing destructive is done without people's word; \
                 `quell holds release {hold}` ends that. Start without `--after-restore` from now on"
            );
        }
        After::Stop if store.notice_restore().await? => error!(
            "the journal was restored from a backup, and does not know what was done since: alerts are taken in and people are told, and \
             nothing else is done. End every `quell run` on it and start one with `--after-restore`, once: what was under way is read back \
             before anything is done about it, and for a while nothing destructive is done without people's word"
        ),
        After::Stop => {}
    }
    Ok(store)
}
