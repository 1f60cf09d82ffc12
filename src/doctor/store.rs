//! The journal: whether it can be read, and whether this version may write it.

use super::{Case, Check, Finding, diagnoses::local};
use crate::store::Examined;

pub(super) struct Journal;

impl Check for Journal {
    const PART: &'static str = "store";
    const SUMMARY: &'static str = "Whether the journal can be used, and is of this version";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let finding = |diagnosis| Finding::new(diagnosis, Self::PART);
        vec![match &case.examined {
            Ok(Examined::Absent) => finding(&local::STORE_ABSENT),
            Ok(Examined::Current) => finding(&local::STORE_GOOD),
            Ok(Examined::Older(version)) => finding(&local::STORE_OLDER).with("version", version),
            Ok(Examined::Newer(version)) => finding(&local::STORE_NEWER).with("version", version),
            Err(error) => finding(&local::STORE_UNUSABLE).seen(error.to_string()),
        }]
    }
}
