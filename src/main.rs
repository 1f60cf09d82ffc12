//! The `quell` program: reads the command line, starts the runtime, runs the command, returns its exit code.

use std::process::ExitCode;

use clap::Parser;
use quell::cli::{Cli, Exit};

fn main() -> ExitCode {
    // The TLS library asks for this once, before its first use.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("the TLS provider was installed already");
    }
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.execute()).into(),
        Err(error) => Exit::unreachable(&format!("start the runtime: {error}")).into(),
    }
}
