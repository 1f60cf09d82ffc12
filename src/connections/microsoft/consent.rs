//! A person's consent: a refresh token that is replaced at every use, the newest of which is kept, sealed, in the journal.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tracing::warn;

use super::{
    super::{
        Failure, FailureKind,
        keep::{Keeper, Seal},
    },
    MicrosoftConfig,
    credential::Credential,
};
use crate::secret::Secret;

/// The consent that a connection works with.
pub(super) struct Consent {
    /// Under which the token is kept in the store.
    name: String,
    connection: String,
    /// The one of the settings; without it, a person signs in with `quell login`.
    configured: Option<Secret>,
    pub(super) newest: Mutex<Newest>,
    seal: Seal,
    keeper: Arc<dyn Keeper>,
}

/// The newest refresh token, as far as it is known.
pub(super) enum Newest {
    /// It is what the store holds, which was not read yet.
    Unread,
    /// The store holds it.
    Kept(Dated),
    /// The store could not take it: it is only here.
    Unkept(Dated),
}

/// A refresh token with what is known of its age.
#[derive(Clone)]
pub(super) struct Dated {
    pub(super) token: Secret,
    /// When it was given.
    given: Option<Timestamp>,
    /// When the person signed in of whose sign-in it descends.
    consented: Option<Timestamp>,
}

/// How old a person's consent is, as far as it is known. Microsoft gives a token 90 days, anew at each use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentAge {
    /// Nobody has consented yet.
    Nobody,
    /// The settings hold a token that was not used yet, or nothing is known of it.
    Unknown,
    /// The newest token was given at that time.
    Known {
        /// When it was given.
        given: Timestamp,
        /// When a person signed in with `quell login`, if that is where it comes from.
        consented: Option<Timestamp>,
    },
}

impl Consent {
    pub(super) fn new(
        connection: &str,
        config: &MicrosoftConfig,
        credential: &Credential,
        keeper: &Arc<dyn Keeper>,
    ) -> Result<Self, String> {
        let configured = config.refresh_token.clone();
        let key = config.seal_key.as_ref().map_or_else(|| credential.material(), |key| key.expose().as_bytes());
        Ok(Self {
            name: format!("refresh_token:{connection}"),
            connection: connection.to_owned(),
            newest: Mutex::new(Newest::Unread),
            seal: Seal::new(key, configured.as_ref())?,
            configured,
            keeper: Arc::clone(keeper),
        })
    }

    /// The newest token, which the store holds when this succeeds: one that it could not take is handed to it again.
    pub(super) async fn kept(&self, newest: &mut Newest) -> Result<Dated, Failure> {
        let dated = match newest {
            Newest::Kept(dated) => return Ok(dated.clone()),
            Newest::Unread => self.load().await?.ok_or_else(|| self.nobody())?,
            Newest::Unkept(dated) => {
                self.keep(dated).await?;
                dated.clone()
            }
        };
        *newest = Newest::Kept(dated.clone());
        Ok(dated)
    }

    /// A token that replaces the newest, as one follows from another; it is kept when this succeeds.
    pub(super) async fn replace(&self, newest: &mut Newest, token: Secret, now: Timestamp) -> Result<(), Failure> {
        let consented = match newest {
            Newest::Kept(before) | Newest::Unkept(before) => before.consented,
            Newest::Unread => None,
        };
        *newest = Newest::Unkept(Dated { token, given: Some(now), consented });
        self.kept(newest).await.map(drop)
    }

    /// A token with which a person has just consented; it is kept when this succeeds.
    pub(super) async fn begin(&self, token: Secret, now: Timestamp) -> Result<(), Failure> {
        let mut newest = self.newest.lock().await;
        *newest = Newest::Unkept(Dated { token, given: Some(now), consented: Some(now) });
        self.kept(&mut newest).await.map(drop)
    }

    /// Another token than one that was refused, if the store has one by now.
    pub(super) async fn later(&self, newest: &mut Newest, refused: &Dated) -> Option<Dated> {
        let found = self.load().await.ok()??;
        (found.token.expose() != refused.token.expose()).then(|| {
            *newest = Newest::Kept(found.clone());
            found
        })
    }

    /// How old the consent is.
    pub(super) async fn age(&self) -> Result<ConsentAge, Failure> {
        Ok(match self.load().await? {
            None => ConsentAge::Nobody,
            Some(Dated { given: None, .. }) => ConsentAge::Unknown,
            Some(Dated { given: Some(given), consented, .. }) => ConsentAge::Known { given, consented },
        })
    }

    /// The newest token that was kept, else the configured one.
    async fn load(&self) -> Result<Option<Dated>, Failure> {
        let kept = self.keeper.kept(&self.name).await;
        let kept = kept.map_err(|error| Failure::new(FailureKind::NotDone, format!("read the kept refresh token: {error}")))?;
        let configured = || self.configured.clone().map(|token| Dated { token, given: None, consented: None });
        let Some(bytes) = kept else { return Ok(configured()) };
        let opened = self.seal.open(&self.name, &bytes).map(|text| Dated::read(&text));
        if opened.is_none() {
            let instead = if self.configured.is_some() { "the configured one is used" } else { "a person must consent again" };
            warn!(name = %self.name, "the kept refresh token was sealed with other credentials; {instead}");
        }
        Ok(opened.or_else(configured))
    }

    async fn keep(&self, dated: &Dated) -> Result<(), Failure> {
        let not_kept = |why: &str| Failure::new(FailureKind::NotDone, format!("keep the new refresh token: {why}"));
        let sealed = self.seal.seal(&self.name, &dated.written()).ok_or_else(|| not_kept("it cannot be sealed"))?;
        self.keeper.keep(&self.name, &sealed).await.map_err(|error| not_kept(&error.to_string()))
    }

    fn nobody(&self) -> Failure {
        let name = &self.connection;
        Failure::rejected(format!("nobody has consented to the connection `{name}` yet; a person must: `quell login {name}`"))
    }
}

impl Dated {
    /// As it is sealed: the seconds of both times, and the token, in which there is no space.
    fn written(&self) -> Secret {
        let second = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_second);
        Secret::new(format!("{} {} {}", second(self.given), second(self.consented), self.token.expose()))
    }

    /// An earlier form was the token alone.
    fn read(sealed: &Secret) -> Self {
        let parts: Vec<_> = sealed.expose().split(' ').collect();
        let time = |text: &str| text.parse().ok().filter(|second| *second != 0).and_then(|second| Timestamp::from_second(second).ok());
        match parts.as_slice() {
            [given, consented, token] => Self { token: Secret::new(*token), given: time(given), consented: time(consented) },
            _ => Self { token: sealed.clone(), given: None, consented: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::bench::{self, Memory};

    async fn consent(configured: Option<&str>, keeper: &Arc<Memory>) -> Consent {
        let simulator = bench::simulator(quell_simulator::Options::default()).await;
        let config = MicrosoftConfig { refresh_token: configured.map(Secret::new), ..bench::config(&simulator) };
        let keeper: Arc<dyn Keeper> = Arc::<Memory>::clone(keeper);
        Consent::new("a", &config, &Credential::build(&config).unwrap(), &keeper).unwrap()
    }

    fn dated(token: &str) -> Dated {
        Dated { token: Secret::new(token), given: None, consented: None }
    }

    async fn loaded(consent: &Consent) -> Option<String> {
        consent.load().await.unwrap().map(|it| it.token.expose().to_owned())
    }

    #[tokio::test]
    async fn what_was_kept_is_used_until_another_token_is_configured() {
        let keeper = Arc::default();
        assert_eq!(loaded(&consent(Some("first"), &keeper).await).await.unwrap(), "first");
        consent(Some("first"), &keeper).await.keep(&dated("rotated")).await.unwrap();
        assert_eq!(loaded(&consent(Some("first"), &keeper).await).await.unwrap(), "rotated");
        assert_eq!(loaded(&consent(Some("second"), &keeper).await).await.unwrap(), "second");
        assert_eq!(loaded(&consent(None, &keeper).await).await, None);
    }

    #[tokio::test]
    async fn a_token_that_could_not_be_kept_stays_in_memory_until_it_is() {
        let memory = Memory::broken();
        let consent = consent(Some("first"), &memory).await;
        let mut newest = Newest::Unkept(dated("rotated"));
        assert_eq!(consent.kept(&mut newest).await.err().unwrap().kind, FailureKind::NotDone);
        memory.mend();
        assert_eq!(consent.kept(&mut newest).await.unwrap().token.expose(), "rotated");
        assert_eq!(loaded(&consent).await.unwrap(), "rotated");
    }

    #[tokio::test]
    async fn the_day_of_the_consent_stays_with_every_token_that_follows_from_it() {
        let keeper = Arc::default();
        let (then, now): (Timestamp, Timestamp) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-02-01T00:00:00Z".parse().unwrap());
        let first = consent(None, &keeper).await;
        assert_eq!(first.age().await.unwrap(), ConsentAge::Nobody);
        assert!(first.kept(&mut Newest::Unread).await.err().unwrap().message.contains("quell login a"));
        first.begin(Secret::new("one"), then).await.unwrap();
        first.replace(&mut *first.newest.lock().await, Secret::new("two"), now).await.unwrap();
        let again = consent(None, &keeper).await;
        assert_eq!(again.age().await.unwrap(), ConsentAge::Known { given: now, consented: Some(then) });
        assert_eq!(loaded(&again).await.unwrap(), "two");
        let later = again.later(&mut Newest::Unread, &dated("one")).await;
        assert_eq!(later.unwrap().token.expose(), "two");
        assert!(again.later(&mut Newest::Unread, &dated("two")).await.is_none());
    }
}
