//! The settings: whether everything that they name can be built, and whether people are told of what only they can settle.

use super::{Case, Check, Finding, diagnoses::local};
use crate::{
    app::check,
    config::{ConfigError, Fault},
};

pub(super) struct Settings;

impl Check for Settings {
    const PART: &'static str = "settings";
    const SUMMARY: &'static str = "Whether all that the settings name can be built";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let advice = check::untold(case.config).map(|advice| Finding::new(&local::SETTINGS_ADVICE, Self::PART).with("fault", advice));
        let mut findings: Vec<_> = match &case.built {
            Ok(_) => vec![Finding::new(&local::SETTINGS_GOOD, Self::PART)],
            Err(faults) => faults.iter().enumerate().map(wrong).collect(),
        };
        findings.extend(advice);
        findings
    }
}

/// What is told where the settings cannot even be read.
pub fn unreadable(ConfigError(faults): &ConfigError) -> Vec<Finding> {
    let findings = faults.iter().enumerate().map(wrong);
    findings.map(|finding| finding.of_part(Settings::PART)).collect()
}

/// Each is a line of its own, and so has a subject of its own: its place, or its number.
fn wrong((at, fault): (usize, &Fault)) -> Finding {
    let subject = fault.place.as_ref().map_or_else(|| format!("{} {}", Settings::PART, at + 1), ToString::to_string);
    Finding::new(&local::SETTINGS_WRONG, subject).with("fault", &fault.message)
}
