//! Secrets on their way out and back: put into what an action is given, and masked in whatever comes back from it.

use serde_json::Value;

use super::Driver;
use crate::{
    actions::{Done, Failure, Observed, ReadBack, Rendered, Revealed},
    playbook::Arguments,
    secret::{Secret, Secrets},
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
        let revealed = with.reveal(rendered.clone(), &|name| secrets.find(name).map(Secret::expose));
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
            Self::Found(output) => Self::Found(secrets.mask_value(output)),
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
            Self::Untouched => Self::Untouched,
            Self::Changed(how) => Self::Changed(secrets.mask(&how).into_owned()),
            Self::Failed(why) => Self::Failed(secrets.mask(&why).into_owned()),
            Self::CannotTell(why) => Self::CannotTell(secrets.mask(&why).into_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::actions::FailureKind;

    #[test]
    fn whatever_comes_back_is_without_secrets() {
        let secrets = Secrets::of([("key".to_owned(), Secret::new("canary-value"))]).unwrap();
        let (told, hidden) = (json!({"a": "canary-value"}), json!({"a": "***"}));
        assert_eq!(masked(Ok(Done::Now(told.clone())), &secrets).unwrap(), Done::Now(hidden.clone()));
        assert_eq!(masked(Ok(Done::Accepted(told.clone())), &secrets).unwrap(), Done::Accepted(hidden.clone()));
        assert_eq!(masked(Ok(ReadBack::Reached(told.clone())), &secrets).unwrap(), ReadBack::Reached(hidden.clone()));
        assert_eq!(masked(Ok(ReadBack::Changed("canary-value".to_owned())), &secrets).unwrap(), ReadBack::Changed("***".to_owned()));
        assert_eq!(masked(Ok(Observed::AlreadyDone(told)), &secrets).unwrap(), Observed::AlreadyDone(hidden));
        let failure = masked::<Done>(Err(Failure::new(FailureKind::Unknown, "not canary-value")), &secrets).unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Unknown, "not ***"));
    }

    #[test]
    fn what_is_written_back_as_it_was_is_never_masked() {
        let secrets = Secrets::of([("key".to_owned(), Secret::new("canary-value"))]).unwrap();
        let seen = |value: &str| masked(Ok(Observed::Ready(json!({"etag": value}))), &secrets);
        assert_eq!(seen("e-1").unwrap(), Observed::Ready(json!({"etag": "e-1"})));
        let failure = seen("canary-value").unwrap_err();
        assert!(failure.kind == FailureKind::Rejected && !failure.message.contains("canary"));
    }
}
