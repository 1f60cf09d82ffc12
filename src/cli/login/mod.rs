//! `quell login`: a person consents that a connection works for them. What comes of it is kept in the journal, and shown nowhere.

mod loopback;

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use self::loopback::Loopback;
use super::{Desk, Exit, identity::Identity, output};
use crate::{
    app::parts,
    connections::{Consented, DeviceCode, Failure, FailureKind, LoginState, Microsoft},
    store::Act,
};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Login {
    /// The connection; it may be left out where there is only one.
    connection: Option<String>,
    /// Sign in with a browser on this machine, where the tenant does not allow codes. The application needs the redirect address
    /// `http://localhost`.
    #[arg(long)]
    browser: bool,
    /// The port to which the browser comes back; a free one, unless the redirect address names it.
    #[arg(long, default_value_t = 0, requires = "browser", value_name = "PORT")]
    port: u16,
    #[command(flatten)]
    identity: Identity,
}

const AFTER_HELP: &str = "\
It shows a code and a page. Open the page in any browser, on any machine, enter the code and sign in, with a second factor, as a user who is an
Admin agent in Partner Center. A running `quell run` uses the consent from its next sign-in on.";

/// As long as a code is good.
const LONGEST_SIGN_IN: Duration = Duration::from_mins(15);

/// As its standard has it (RFC 8628, 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// A lost answer is asked for again; so often in a row is no accident.
const MOST_FAILURES: u32 = 5;

impl Login {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        self.consent(desk).await.unwrap_or_else(|exit| exit)
    }

    async fn consent(self, desk: &Desk<'_>) -> Result<Exit, Exit> {
        let connections = parts::connections(desk.config, &desk.store, &desk.tasks).map_err(|error| Exit::usage(&error.to_string()))?;
        let microsoft = match &self.connection {
            Some(name) => connections.choose(Some(name.as_str()), "").map_err(|failure| Exit::usage(&failure.to_string()))?,
            None => connections.only().map_err(|why| Exit::usage(&why))?,
        };
        let consented = if self.browser { in_browser(&microsoft, self.port).await? } else { with_code(&microsoft).await? };
        let subject = format!("connection {}", microsoft.name());
        let detail = json!({ "person": consented.person, "tenant": consented.tenant });
        let act = Act { who: self.identity.who(), what: "connection.login", subject, detail };
        let untold = |error| Exit::unreachable(&format!("the consent is kept, and the audit log cannot tell: {error}"));
        desk.store.audit(act).await.map_err(untold)?;
        Ok(report(desk, &microsoft, &consented))
    }
}

async fn with_code(microsoft: &Microsoft) -> Result<Consented, Exit> {
    let code = microsoft.begin_login().await.map_err(|failure| failed(&failure))?;
    show(&code);
    wait(microsoft, &code).await
}

/// Shows the page, and waits until the browser comes back from it.
#[expect(clippy::print_stderr, reason = "the result alone goes to the standard output")]
async fn in_browser(microsoft: &Microsoft, port: u16) -> Result<Consented, Exit> {
    let unusable = |error: std::io::Error| Exit::problem(&format!("wait for the browser at `127.0.0.1:{port}`: {error}"));
    let loopback = Loopback::open(port).await.map_err(unusable)?;
    let login = microsoft.begin_browser_login(loopback.port().map_err(unusable)?).map_err(|failure| failed(&failure))?;
    eprintln!(
        "Open this page in a browser on this machine, and sign in with a second factor, as an Admin agent of the partner:\n\n{}\n",
        login.page
    );
    let back = async {
        loop {
            let visit = loopback.next().await.map_err(unusable)?;
            let Some(finished) = microsoft.finish_browser_login(&login, &visit.target).await else {
                visit.answer("404 Not Found", "Nothing is here.").await;
                continue;
            };
            let said = if finished.is_ok() { "Done. You may close this window." } else { "It did not work. The terminal says why." };
            visit.answer("200 OK", said).await;
            return finished.map_err(|failure| failed(&failure));
        }
    };
    timeout(LONGEST_SIGN_IN, back).await.unwrap_or_else(|_elapsed| Err(Exit::problem("nobody signed in in time; nothing has changed")))
}

/// Who signs in elsewhere needs the code before there is any result.
#[expect(clippy::print_stderr, reason = "the result alone goes to the standard output")]
fn show(code: &DeviceCode) {
    let minutes = code.lifetime.as_secs().div_ceil(60);
    eprintln!("Open {} in a browser and enter the code", output::printable(&code.page));
    eprintln!("\n    {}\n", output::printable(&code.code));
    eprintln!("Sign in there with a second factor, as an Admin agent of the partner. The code is good for {minutes} minutes.");
}

/// Asks at the pace that is wanted until the person is done.
async fn wait(microsoft: &Microsoft, code: &DeviceCode) -> Result<Consented, Exit> {
    let (deadline, mut interval, mut failures) = (Instant::now() + code.lifetime, code.interval, 0);
    while Instant::now() < deadline {
        sleep(interval).await;
        match microsoft.login_state(code).await {
            Ok(LoginState::Done(consented)) => return Ok(consented),
            Ok(LoginState::Waiting) => failures = 0,
            Ok(LoginState::TooOften) => interval += SLOWER,
            Ok(LoginState::Declined) => return Err(Exit::problem("the person said no; nothing has changed")),
            Ok(LoginState::Expired) => break,
            // The code may be redeemed as long as it is good.
            Err(failure) if failure.kind != FailureKind::Rejected && failures < MOST_FAILURES => failures += 1,
            Err(failure) => return Err(failed(&failure)),
        }
    }
    Err(Exit::problem("nobody entered the code in time; nothing has changed: run `quell login` again"))
}

fn report(desk: &Desk<'_>, microsoft: &Microsoft, consented: &Consented) -> Exit {
    let Consented { person, tenant, has_second_factor } = consented;
    if desk.json {
        let document = json!({ "connection": microsoft.name(), "person": person, "tenant": tenant, "second_factor": has_second_factor });
        output::print_json(&document);
    } else {
        let name = microsoft.name();
        output::print(&output::printable(&format!(
            "the connection `{name}` works for {person} from now on; `quell doctor` shows what with"
        )));
    }
    if *has_second_factor {
        return Exit::Done;
    }
    Exit::problem(
        "the sign-in was without a second factor, which Partner Center refuses: turn MFA on for that account, then run `quell login` again",
    )
}

fn failed(failure: &Failure) -> Exit {
    match failure.kind {
        FailureKind::Rejected | FailureKind::Conflict => Exit::problem(&failure.to_string()),
        FailureKind::NotDone | FailureKind::Unknown => Exit::unreachable(&failure.to_string()),
    }
}
