//! A partner's alerts and what goes wrong around them, in less than a minute: the simulator stands in for Microsoft's services, Slack, Teams
//! and the mail server, this program plays the SIEM, and everything else is Quell itself with the shipped playbooks.
//!
//! `cargo run --release --example demo` leaves it running until Ctrl-C; with `-- --once` it ends, with 0 only if Quell's journal
//! and the simulator's ledger agree.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "the demo plays the outside, which has a client of its own, and a missing JSON key reads as null"
)]

mod account;
mod scene;
mod show;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use quell::{
    app::{After, App},
    engine::Acting,
    telemetry::logs,
};

/// Runs Quell on the embedded bus against the simulator, with alerts as they come.
#[derive(Debug, Parser)]
struct Arguments {
    /// End when all is done, with 0 only if Quell and the simulator agree.
    #[arg(long)]
    once: bool,
    /// Show Quell's log as well.
    #[arg(long)]
    log: bool,
}

/// Longer than anything in the scene takes.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            show::line(&format!("the demo cannot go on: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider is installed");
    }
    let filter = if arguments.log { "info,lapin=off" } else { "error" };
    logs::start(logs::LogFormat::Text, filter)?;
    let stage = scene::Stage::build().await?;
    let app = App::start(&stage.config()?, Acting::AsWritten, After::Stop).await?;
    show::introduce(&stage, app.address);

    let watcher = show::watch(app.store.clone());
    stage.play(app.address).await?;
    let agreed = account::settle(&stage, &app.store, PATIENCE).await?;
    watcher.abort();
    account::print(&stage, &app.store).await?;
    if !arguments.once {
        show::line(&format!(
            "\nQuell goes on at http://{}/ and the simulator at {}; Ctrl-C ends both.",
            app.address,
            stage.simulator.url()
        ));
        tokio::signal::ctrl_c().await?;
    }
    app.end().await;
    stage.simulator.stop().await;
    Ok(agreed)
}
