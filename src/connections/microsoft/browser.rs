//! The first consent of a person in a browser on this machine, where codes are not allowed: the browser comes back to an address here with
//! a code that is worth nothing without the key that was made for it (PKCE, RFC 7636).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use url::form_urlencoded;

use super::{super::Failure, Consented, Microsoft};
use crate::secret::Secret;

/// A sign-in in a browser that was begun.
#[derive(Debug)]
pub struct BrowserLogin {
    /// The page that the person opens.
    pub page: String,
    redirect: String,
    state: String,
    verifier: Secret,
}

/// Neither can be guessed, and the key is as long as its standard wants it at least.
const RANDOM_BYTES: usize = 32;

impl Microsoft {
    /// Makes the page on which a person signs in, and that sends the browser back to `http://localhost:PORT`.
    ///
    /// # Errors
    /// The settings do not want anybody's consent.
    pub fn begin_browser_login(&self, port: u16) -> Result<BrowserLogin, Failure> {
        self.wants_consent()?;
        let random = || {
            let mut bytes = [0; RANDOM_BYTES];
            let filled = SystemRandom::new().fill(&mut bytes);
            filled.map(|()| URL_SAFE_NO_PAD.encode(bytes)).map_err(|_unspecified| Failure::rejected("the system has no random numbers"))
        };
        let (verifier, state) = (random()?, random()?);
        let redirect = format!("http://localhost:{port}");
        let mut page = self.tokens.own_endpoint("authorize");
        page.query_pairs_mut().extend_pairs([
            ("client_id", self.tokens.client_id()),
            ("response_type", "code"),
            ("response_mode", "query"),
            ("redirect_uri", &redirect),
            ("scope", &self.tokens.lasting_scope()),
            ("state", &state),
            ("code_challenge", &URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))),
            ("code_challenge_method", "S256"),
            ("prompt", "select_account"),
        ]);
        Ok(BrowserLogin { page: page.into(), redirect, state, verifier: Secret::new(verifier) })
    }

    /// What came of a request that a browser made to this machine; `None` if it is not the one that is waited for. The consent is kept when
    /// it says who consented.
    ///
    /// # Errors
    /// Says what a person must do.
    pub async fn finish_browser_login(&self, login: &BrowserLogin, target: &str) -> Option<Result<Consented, Failure>> {
        let query = target.split_once('?')?.1;
        let fields: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        // Any page can send the browser here; the one that we sent it to knows this.
        if field("state") != login.state {
            return None;
        }
        if field("code").is_empty() {
            let said: String = field("error_description").chars().filter(|it| !it.is_control()).take(300).collect();
            return Some(Err(Failure::rejected(format!("sign in at Microsoft: {}: {said}", field("error")))));
        }
        Some(self.redeem_code(login, field("code")).await)
    }

    async fn redeem_code(&self, login: &BrowserLogin, code: &str) -> Result<Consented, Failure> {
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", login.redirect.as_str()),
            ("code_verifier", login.verifier.expose()),
            ("scope", &self.tokens.lasting_scope()),
        ];
        let reply = self.tokens.ask_own("token", &grant).await?;
        if !reply.is_success() {
            return Err(self.tokens.refused(&reply));
        }
        self.consented(&reply.json()?).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quell_simulator::Options;

    use super::*;
    use crate::connections::{MicrosoftConfig, bench};

    #[tokio::test]
    async fn the_code_that_a_browser_brings_back_is_redeemed_and_no_other() {
        let simulator = bench::simulator(Options::default()).await;
        let microsoft = bench::connect(&MicrosoftConfig { login: true, ..bench::config(&simulator) }, Arc::default());
        let login = microsoft.begin_browser_login(49_152).unwrap();
        assert!(!format!("{login:?}").contains(login.verifier.expose()));
        let page = crate::net::Url::parse(&login.page).unwrap();
        let back = bench::net().send(crate::net::Request::get(page)).await.unwrap();
        let target = back.header("location").unwrap().strip_prefix("http://localhost:49152").unwrap().to_owned();
        assert!(microsoft.finish_browser_login(&login, "/favicon.ico").await.is_none());
        assert!(microsoft.finish_browser_login(&login, &target.replace("state=", "state=x")).await.is_none());
        let other = BrowserLogin { verifier: Secret::new("another"), ..microsoft.begin_browser_login(49_152).unwrap() };
        let other = BrowserLogin { state: login.state.clone(), ..other };
        let stolen = microsoft.finish_browser_login(&other, &target).await.unwrap().unwrap_err();
        assert!(stolen.message.contains("AADSTS501481"), "{stolen}");
        let consented = microsoft.finish_browser_login(&login, &target).await.unwrap().unwrap();
        assert_eq!(consented.person, "soc@partner.example");
        let declined = format!("/?error=access_denied&error_description=no&state={}", login.state);
        assert!(microsoft.finish_browser_login(&login, &declined).await.unwrap().unwrap_err().message.contains("access_denied"));
    }
}
