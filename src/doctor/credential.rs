//! The application's certificate: how long it is good. Of a secret only its use tells.

use jiff::Timestamp;

use super::{Case, Check, Diagnosis, Finding, diagnoses::sign_in};
use crate::connections::CertificateDates;

pub(super) struct Credential;

/// Long enough to have a new one registered by those who may.
const SOON_DAYS: i64 = 30;

const SECONDS_A_DAY: i64 = 86_400;

impl Check for Credential {
    const PART: &'static str = "credential";
    const SUMMARY: &'static str = "How long the application's certificate is good";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let connections = case.connections().into_iter();
        let dated = connections.filter_map(|it| Some((it.name, it.microsoft.certificate_dates()?)));
        dated
            .map(|(name, dates)| {
                let (diagnosis, days) = judged(dates, case.now);
                Finding::new(diagnosis, name).with("days", days)
            })
            .collect()
    }
}

fn judged(dates: CertificateDates, now: Timestamp) -> (&'static Diagnosis, i64) {
    let days = dates.until.duration_since(now).as_secs() / SECONDS_A_DAY;
    let is_good = dates.from <= now && now < dates.until;
    let diagnosis = match days {
        _ if !is_good => &sign_in::CERTIFICATE_OVER,
        ..=SOON_DAYS => &sign_in::CERTIFICATE_ENDS,
        _ => &sign_in::CERTIFICATE_GOOD,
    };
    (diagnosis, days)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_certificate_is_told_of_a_month_before_its_end() {
        let now = Timestamp::now();
        let day = |days: i64| now + SignedDuration::from_hours(24 * days);
        for (from, until, code) in [
            (-1, 100, "certificate-good"),
            (-1, 30, "certificate-ends"),
            (-1, 0, "certificate-over"),
            (-9, -1, "certificate-over"),
            (1, 100, "certificate-over"),
        ] {
            assert_eq!(judged(CertificateDates { from: day(from), until: day(until) }, now).0.code, code, "{from} {until}");
        }
    }
}
