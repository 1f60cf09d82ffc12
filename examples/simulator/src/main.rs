//! The simulator as a process of its own: prints where it listens, and serves until it is interrupted.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use quell_simulator::{Options, Simulator, Trouble};
use serde_json::{Value, json};

/// Stands in for Microsoft's services, for chat, paging and mail, on the loopback address.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where it listens; anything but the loopback address belongs inside a container's own network only.
    #[arg(long, default_value = "127.0.0.1")]
    host: std::net::IpAddr,
    /// How clients reach it, when that is not the address it listens on, e.g. `http://simulator:8090`.
    #[arg(long)]
    public_url: Option<String>,
    /// Port of the HTTP services; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the mail server; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    smtp_port: u16,
    /// Decides the customers and all dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Append every ledger entry to this file.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Number of customers.
    #[arg(long, default_value_t = 20)]
    customers: usize,
    /// Milliseconds until a cancelled Azure subscription reads inactive.
    #[arg(long, default_value_t = 2000)]
    cancel_delay: u64,
    /// Milliseconds before every request is looked at.
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Up to so many milliseconds more.
    #[arg(long, default_value_t = 0)]
    latency_jitter: u64,
    /// Status of the answer to a cancellation, 200 or 202.
    #[arg(long, default_value_t = 200)]
    cancel_status: u16,
    /// Alerts per Graph page.
    #[arg(long, default_value_t = 10)]
    page_size: usize,
    /// Seconds that an access token is accepted.
    #[arg(long, default_value_t = 3599)]
    token_lifetime: u64,
    /// Write the root certificate, which receivers of callbacks must trust, to this file.
    #[arg(long)]
    root_certificate: Option<PathBuf>,
    /// The certificate with which the application may prove who it is, in place of its secret.
    #[arg(long)]
    client_certificate: Option<PathBuf>,
    /// Something that a person has to put right, as `POST /admin/troubles` names it; may be repeated.
    #[arg(long)]
    trouble: Vec<String>,
    /// Do not announce new alerts to the registered webhook.
    #[arg(long)]
    no_notify: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let certificate_file = arguments.root_certificate.clone();
    let troubles = arguments.trouble.iter().map(|name| serde_json::from_value(name.as_str().into()).with_context(|| format!("`{name}`")));
    let troubles: Vec<Trouble> = troubles.collect::<anyhow::Result<_>>()?;
    let certificate = arguments.client_certificate.as_ref().map(fs::read_to_string).transpose().context("read the client certificate")?;
    let simulator = Simulator::start(Options { client_certificate: certificate, ..options(arguments) }).await?;
    for trouble in troubles {
        simulator.trouble(trouble);
    }
    if let Some(path) = certificate_file {
        fs::write(&path, simulator.root_certificate_pem()).with_context(|| format!("write `{}`", path.display()))?;
    }
    announce(&simulator);
    interrupted().await.context("wait for a signal")?;
    simulator.stop().await;
    Ok(())
}

fn options(arguments: Arguments) -> Options {
    Options {
        host: arguments.host,
        public_url: arguments.public_url,
        port: arguments.port,
        smtp_port: arguments.smtp_port,
        seed: arguments.seed,
        ledger: arguments.ledger,
        customers: arguments.customers,
        cancel_delay: Duration::from_millis(arguments.cancel_delay),
        latency: Duration::from_millis(arguments.latency),
        latency_jitter: Duration::from_millis(arguments.latency_jitter),
        cancel_status: arguments.cancel_status,
        page_size: arguments.page_size.max(1),
        token_lifetime: Duration::from_secs(arguments.token_lifetime),
        notify: !arguments.no_notify,
        ..Options::default()
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the one line on stdout is for programs, the rest for people")]
fn announce(simulator: &Simulator) {
    println!("{}", addresses(simulator));
    eprintln!("quell-simulator: {} stands in for Microsoft, Slack, Teams and PagerDuty", simulator.url());
    eprintln!("quell-simulator: mail at {}", simulator.smtp_address());
    eprintln!("quell-simulator: {} customers; open {} to see the ledger", simulator.world().len(), simulator.url());
}

fn addresses(simulator: &Simulator) -> Value {
    json!({
        "url": simulator.url(),
        "smtp": simulator.smtp_address().to_string(),
        "login": simulator.login_url(),
        "graph": simulator.graph_url(),
        "partner_center": simulator.partner_center_url(),
        "azure": simulator.azure_url(),
        "slack": simulator.slack_url(),
        "teams": simulator.teams_url(),
        "pagerduty": simulator.pagerduty_url(),
        "certificate": simulator.certificate_url(),
        "tenant_id": simulator.tenant_id(),
        "client_id": simulator.client_id(),
        "client_secret": simulator.client_secret(),
        "refresh_token": simulator.refresh_token(),
    })
}

async fn interrupted() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome,
        _ = terminate.recv() => Ok(()),
    }
}
