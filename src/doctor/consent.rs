//! A person's consent: how old its newest refresh token is. Microsoft gives 90 days, anew at each use.

use jiff::Timestamp;

use super::{Case, Check, Finding, diagnoses::sign_in};
use crate::connections::ConsentAge;

pub(super) struct Consent;

/// A month before it is too late.
const OLD_DAYS: i64 = 60;

const SECONDS_A_DAY: i64 = 86_400;

impl Check for Consent {
    const PART: &'static str = "consent";
    const SUMMARY: &'static str = "How old the refresh token of the person is who consented";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for connected in case.connections() {
            if let Ok(Some(age)) = connected.microsoft.consent_age().await {
                findings.push(judged(connected.name, age, case.now));
            }
        }
        findings
    }
}

fn judged(connection: &str, age: ConsentAge, now: Timestamp) -> Finding {
    let (diagnosis, days) = match age {
        ConsentAge::Nobody => (&sign_in::CONSENT_NOBODY, 0),
        ConsentAge::Unknown => (&sign_in::CONSENT_UNDATED, 0),
        ConsentAge::Known { given, .. } => match now.duration_since(given).as_secs() / SECONDS_A_DAY {
            days @ OLD_DAYS.. => (&sign_in::CONSENT_OLD, days),
            days => (&sign_in::CONSENT_GOOD, days),
        },
    };
    Finding::new(diagnosis, connection).with("days", days).with("connection", connection)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_token_that_nobody_used_for_two_months_is_told_of() {
        let now = Timestamp::now();
        let known = |days: i64| ConsentAge::Known { given: now - SignedDuration::from_hours(24 * days), consented: None };
        for (age, code) in [
            (ConsentAge::Nobody, "consent-nobody"),
            (ConsentAge::Unknown, "consent-undated"),
            (known(59), "consent-good"),
            (known(60), "consent-old"),
        ] {
            assert_eq!(judged("contoso", age, now).diagnosis.code, code);
        }
    }
}
