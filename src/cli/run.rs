//! `quell run`: the program itself.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::Exit;
use crate::{
    app::{After, App, parts::Unusable},
    config::Config,
    engine::Acting,
    telemetry::logs,
};

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Plan and record everything, send nothing: every playbook works as if its mode were `shadow`, and runs that an acting program
    /// left open stay as they are. Alerts are taken from the bus all the same, so give it a bus and a store of its own.
    #[arg(long)]
    dry_run: bool,
    /// After the journal was restored from a backup, or its server has lost what it had committed. Quell notices that where it can, and
    /// then does nothing but tell people until it is started with this, once. What was under way is read back before anything is done about
    /// it; what cannot be read back waits for a person; and for as long as `guardrails.human_hold` and `max_alert_age`, nothing
    /// destructive is done without people's word. `quell holds` shows that hold, and ends it.
    #[arg(long, conflicts_with = "dry_run")]
    after_restore: bool,
}

impl Run {
    pub(super) async fn execute(self, config: &Config) -> Exit {
        if let Err(error) = logs::start(config.telemetry.format, &config.telemetry.log) {
            return Exit::usage(&format!("`telemetry.log`: {error}"));
        }
        let acting = if self.dry_run { Acting::DryRun } else { Acting::AsWritten };
        let after = if self.after_restore { After::Restore } else { After::Stop };
        let app = match App::start(config, acting, after).await {
            Ok(app) => app,
            Err(error) if error.is::<Unusable>() => return Exit::usage(&error.to_string()),
            Err(error) => return Exit::unreachable(&format!("{error:#}")),
        };
        info!(address = %app.address, "quell {} runs; http://{}/ shows it", env!("CARGO_PKG_VERSION"), app.address);
        tokio::select! {
            () = asked_to_end() => {}
            () = app.failed() => error!("a part that nothing works without has failed; ending, so that whoever watches starts quell again"),
        }
        let failed = app.has_failed();
        info!("stopping; what is under way is finished or found again at the next start");
        let ended = tokio::select! {
            ended = app.end() => ended,
            () = asked_to_end() => false,
        };
        if !ended {
            warn!("not every part stopped in time, or somebody asked twice; nothing is lost by that");
        }
        if failed { Exit::Problems } else { Exit::Done }
    }
}

/// Returns at Ctrl-C or SIGTERM.
async fn asked_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        drop(tokio::signal::ctrl_c().await);
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
