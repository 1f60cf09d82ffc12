//! Secrets on their way out and back: put into what an action is given, and masked in whatever comes back from it.

use serde_json::Value;

use super::Driver;
use crate::{
    actions::{Done, Failure, Observed, ReadBack, Rendered, Revealed},
    playbook::Arguments,
    secret::Secrets,
};

/// What an action gives back.
pub(super) trait Masked: Sized {
    /// The same without any secret that it repeats.
    fn masked(self, secrets: &Secrets) -> Result<Self, Failure>;
}

impl Driver {
    /// Parameters that were rendered from these arguments, with their secrets.
    pub(super) fn reveal(&self, with: &Arguments, rendered: &Value) -> Result<Rendered, Failure> {
        let secrets = &self.services.secrets;
        let revealed = with.reveal(rendered.clone(), &|name| secrets.find(name).map(crate::secret::Secret::expose));
        Ok(Rendered { shown: rendered.clone(), revealed: Revealed(revealed.map_err(Failure::rejected)?) })
    }
}

/// The result of an action without any secret that it repeats.
pub(super) fn masked<T: Masked>(result: Result<T, Failure>, secrets: &Secrets) -> Result<T, Failure> {
    result.and_then(|it| it.masked(secrets)).map_err(|failure| Failure { message: secrets.mask(&failure.message).into_owned(), ..failure })
}

impl Masked for Done {
    fn masked(self, secrets: &Secrets) -> Result<Self, Failure> {
        Ok(match self {
            Self::Now(output) => Self::Now(secrets.mask_value(output)),
            Self::Accepted(output) => Self::Accepted(secrets.mask_value(output)),
        })
    }
}

impl Masked for Observed {
    fn masked(self, secrets: &Secrets) -> Result<Self, Failure> {
        match self {
            Self::Ready(seen) if secrets.mask_value(seen.clone()) == seen => Ok(Self::Ready(seen)),
            // It is written back as it was, so that a mask would take the place of what the target holds.
            Self::Ready(_) => Err(Failure::rejected("the target holds one of the site's secrets, so it cannot be noted how it was")),
            Self::AlreadyDone(output) => Ok(Self::AlreadyDone(secrets.mask_value(output))),
        }
    }
}

impl Masked for ReadBack {
    fn masked(self, secrets: &Secrets) -> Result<Self, Failure> {
        Ok(match self {
            Self::Reached(output) => Self::Reached(secrets.mask_value(output)),
            Self::Unchanged => Self::Unchanged,
            Self::Changed(how) => Self::Changed(secrets.mask(&how).into_owned()),
            Self::CannotTell(why) => Self::CannotTell(secrets.mask(&why).into_owned()),
        })
    }
}
