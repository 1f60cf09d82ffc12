//! The way to Microsoft: whether its sign-in is reached over trusted TLS, knows the tenant, and what its clock says.

use jiff::Timestamp;

use super::{Case, Check, Finding, case::Connected, diagnoses::sign_in, judge};
use crate::connections::{Answer, Probed};

pub(super) struct Reach;

/// Who is asked.
const SIGN_IN: &str = "Microsoft's sign-in";

/// From five minutes on, Microsoft refuses statements and tokens; below a minute an answer may only have taken long.
const REFUSED_FROM: u64 = 240;
const DRIFTS_FROM: u64 = 60;

impl Check for Reach {
    const PART: &'static str = "reach";
    const SUMMARY: &'static str = "Whether Microsoft is reached over TLS, and whether the clocks agree";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for connected in case.connections() {
            let probed = connected.microsoft.probe_sign_in_page().await;
            findings.extend(judged(&connected, probed, Timestamp::now()));
        }
        findings
    }
}

fn judged(connected: &Connected<'_>, probed: Probed, now: Timestamp) -> Vec<Finding> {
    let finding = |diagnosis| Finding::new(diagnosis, connected.name).with("service", SIGN_IN).with("connection", connected.name);
    match probed {
        Probed::NoToken(failure) | Probed::NoAnswer(failure) => vec![finding(judge::unanswered(&failure)).seen(failure.message)],
        Probed::Answered(answer) => {
            let (diagnosis, apart) = clock(&answer, now);
            let mut findings = vec![finding(diagnosis).with("seconds", apart)];
            if answer.status == 400 {
                findings.push(finding(&sign_in::TENANT_UNKNOWN).seen(answer.said));
            }
            findings
        }
    }
}

fn clock(answer: &Answer, now: Timestamp) -> (&'static super::Diagnosis, u64) {
    let apart = answer.at.map_or(0, |at| now.duration_since(at).as_secs().unsigned_abs());
    let diagnosis = match apart {
        REFUSED_FROM.. => &sign_in::CLOCK_OFF,
        DRIFTS_FROM.. => &sign_in::CLOCK_DRIFTS,
        _ => &sign_in::REACHED,
    };
    (diagnosis, apart)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off_whichever_way() {
        let now = Timestamp::now();
        for (seconds, code) in
            [(0, "reached"), (59, "reached"), (60, "clock-drifts"), (-61, "clock-drifts"), (240, "clock-off"), (-600, "clock-off")]
        {
            let answer = Answer { at: Some(now + SignedDuration::from_secs(seconds)), ..Answer::default() };
            assert_eq!(clock(&answer, now).0.code, code, "{seconds}");
        }
        assert_eq!(clock(&Answer::default(), now).0.code, "reached");
    }
}
