//! Channels: whether each lets Quell in, where that shows without a message; with a message where somebody asked for one.

use super::{Case, Check, Finding, diagnoses::local, judge, test_notice};
use crate::connections::Failure;

pub(super) struct Channels;

impl Check for Channels {
    const PART: &'static str = "channels";
    const SUMMARY: &'static str = "Whether the channels let Quell in; `--send-test` also sends a message";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        let Ok(built) = &case.built else { return Vec::new() };
        let mut findings = Vec::new();
        for name in case.config.channels.keys() {
            // `TYPE:*` has no recipient of its own.
            let tried = if case.sends_test && !name.ends_with(":*") {
                built.channels.send(name, &test_notice(case)).await.map(|()| &local::CHANNEL_SENT)
            } else {
                match built.channels.probe(name).await {
                    Some(probed) => probed.map(|()| &local::CHANNEL_GOOD),
                    None => Ok(&local::CHANNEL_NOT_TRIED),
                }
            };
            findings.push(tried.map_or_else(|failure| refused(name, &failure), |diagnosis| Finding::new(diagnosis, name)));
        }
        findings
    }
}

fn refused(name: &str, failure: &Failure) -> Finding {
    Finding::new(judge::channel(failure), name).seen(&failure.message)
}
