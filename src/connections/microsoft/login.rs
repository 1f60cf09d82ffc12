//! The first consent of a person, with a device code: a short code is shown, the person enters it in any browser and signs in there, with a
//! second factor. What comes of it is kept as a rotated token is; nothing of it is shown.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::{Failure, FailureKind},
    Claims, Microsoft, text,
};
use crate::{net::Reply, secret::Secret};

/// What a person is to do, and how long there is time for it.
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// The code that the person enters.
    pub code: String,
    /// The page where it is entered.
    pub page: String,
    /// How long the code is good.
    pub lifetime: Duration,
    /// How often it may be asked whether the person has signed in.
    pub interval: Duration,
    device: Secret,
}

/// How far the person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginState {
    /// Not signed in yet.
    Waiting,
    /// Not signed in yet, and asked too often.
    TooOften,
    /// Signed in, and the consent is kept.
    Done(Consented),
    /// The person said no.
    Declined,
    /// The code is over its time.
    Expired,
}

/// Who consented.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Consented {
    pub person: String,
    pub tenant: String,
    pub has_second_factor: bool,
}

/// As its standard has it where the answer does not say (RFC 8628, 3.2).
const USUAL_INTERVAL: Duration = Duration::from_secs(5);

/// What the answer's seconds may be at most, so that sums stay in bounds: Microsoft gives fifteen minutes.
const LONGEST: u64 = 3600;

impl Microsoft {
    /// Asks for a code that a person can sign in with.
    ///
    /// # Errors
    /// Says what a person must do; the settings may not want anybody's consent.
    pub async fn begin_login(&self) -> Result<DeviceCode, Failure> {
        self.wants_consent()?;
        let reply = self.tokens.ask_own("devicecode", &[("scope", &self.tokens.lasting_scope())]).await?;
        if !reply.is_success() {
            return Err(self.tokens.refused(&reply));
        }
        let body = reply.json()?;
        let seconds = |name: &str| {
            let number = body.get(name).and_then(|it| it.as_u64().or_else(|| it.as_str()?.parse().ok()));
            number.map(|seconds| Duration::from_secs(seconds.min(LONGEST)))
        };
        let page = ["verification_uri", "verification_url"].map(|name| text(&body, name)).into_iter().find(|it| !it.is_empty());
        let (code, device) = (text(&body, "user_code"), text(&body, "device_code"));
        let Some(page) = page.filter(|_| !code.is_empty() && !device.is_empty()) else {
            return Err(Failure::new(FailureKind::Unknown, "sign in at Microsoft: the answer holds no code"));
        };
        Ok(DeviceCode {
            code: code.to_owned(),
            page: page.to_owned(),
            lifetime: seconds("expires_in").unwrap_or(Duration::from_secs(LONGEST)),
            interval: seconds("interval").unwrap_or(USUAL_INTERVAL),
            device: Secret::new(device),
        })
    }

    /// Whether the person has signed in. The consent is kept when it says so.
    ///
    /// # Errors
    /// Says what a person must do, or that it may work later.
    pub async fn login_state(&self, code: &DeviceCode) -> Result<LoginState, Failure> {
        let grant = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code.device.expose())];
        let reply = self.tokens.ask_own("token", &grant).await?;
        if let Some(state) = unfinished(&reply) {
            return Ok(state);
        }
        if !reply.is_success() {
            return Err(self.tokens.refused(&reply));
        }
        self.consented(&reply.json()?).await.map(LoginState::Done)
    }

    /// Whether the connection works for a person.
    pub(super) fn wants_consent(&self) -> Result<(), Failure> {
        let why = "the connection works as the application alone; set its `login` to true, and it works for the person who signs in";
        self.tokens.consent().map(drop).ok_or_else(|| Failure::rejected(why))
    }

    /// Keeps the consent that a sign-in brought.
    pub(super) async fn consented(&self, body: &Value) -> Result<Consented, Failure> {
        let refresh = text(body, "refresh_token");
        let Some(consent) = self.tokens.consent().filter(|_| !refresh.is_empty()) else {
            return Err(Failure::rejected("the sign-in brought no refresh token; see that the application may have `offline_access`"));
        };
        consent.begin(Secret::new(refresh), Timestamp::now()).await?;
        let claims = Claims::read(&Secret::new(text(body, "access_token"))).unwrap_or_default();
        let has_second_factor = claims.has_second_factor();
        Ok(Consented { person: claims.person, tenant: claims.tenant, has_second_factor })
    }
}

/// What an answer says that is neither a success nor a failure.
fn unfinished(reply: &Reply) -> Option<LoginState> {
    let body = reply.json().unwrap_or_default();
    match text(&body, "error") {
        _ if reply.is_success() => None,
        "authorization_pending" => Some(LoginState::Waiting),
        "slow_down" => Some(LoginState::TooOften),
        "authorization_declined" | "access_denied" => Some(LoginState::Declined),
        "expired_token" | "code_expired" => Some(LoginState::Expired),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quell_simulator::{Options, Trouble};

    use super::*;
    use crate::connections::{
        ConsentAge, MicrosoftConfig,
        bench::{self, Memory},
    };

    const NOW: Duration = Duration::ZERO;

    #[tokio::test]
    async fn a_person_signs_in_once_and_the_connection_works_from_then_on() {
        let simulator = bench::simulator(Options { device_interval: NOW, ..Options::default() }).await;
        let keeper: Arc<Memory> = Arc::default();
        let config = MicrosoftConfig { login: true, ..bench::config(&simulator) };
        let connect = || bench::connect(&config, Arc::clone(&keeper));
        let running = connect();
        let refused = running.organization().await.unwrap_err();
        assert!(refused.message.contains("`quell login contoso`"), "{refused}");
        let login = connect();
        let code = login.begin_login().await.unwrap();
        assert!(code.page.starts_with(&simulator.login_url()) && !format!("{code:?}").contains(code.device.expose()));
        assert_eq!(login.login_state(&code).await.unwrap(), LoginState::Waiting);
        simulator.approve_devices();
        let LoginState::Done(consented) = login.login_state(&code).await.unwrap() else { panic!("not done") };
        assert_eq!((consented.person.as_str(), consented.has_second_factor), ("soc@partner.example", true));
        // The one that asked before the consent was there finds it without a restart.
        assert_eq!(running.organization().await.unwrap().tenant_id, simulator.tenant_id());
        let ConsentAge::Known { consented: Some(_), .. } = connect().consent_age().await.unwrap().unwrap() else { panic!("no age") };
    }

    #[tokio::test]
    async fn whatever_else_a_person_does_is_told_apart() {
        let simulator = bench::simulator(Options::default()).await;
        let microsoft = bench::connect(&MicrosoftConfig { login: true, ..bench::config(&simulator) }, Arc::default());
        let code = microsoft.begin_login().await.unwrap();
        assert_eq!(microsoft.login_state(&code).await.unwrap(), LoginState::Waiting);
        assert_eq!(microsoft.login_state(&code).await.unwrap(), LoginState::TooOften);
        simulator.decline_devices();
        assert_eq!(microsoft.login_state(&code).await.unwrap(), LoginState::Declined);
        let code = microsoft.begin_login().await.unwrap();
        simulator.expire_devices();
        assert_eq!(microsoft.login_state(&code).await.unwrap(), LoginState::Expired);
        simulator.trouble(Trouble::SecretExpired);
        assert!(microsoft.begin_login().await.unwrap_err().message.contains("AADSTS7000222"));
        let application = bench::connect(&bench::config(&simulator), Arc::default());
        assert!(application.begin_login().await.unwrap_err().message.contains("set its `login` to true"));
    }
}
