//! The bus: whether it is reached, has what Quell needs as it should be, and how much waits in it. Nothing is declared.

use super::{Case, Check, Diagnosis, Finding, diagnoses::local};
use crate::bus::rabbitmq::{self, Found, Ill};

pub(super) struct Broker;

/// What a single burst brings; more waits only where nobody takes it.
const MANY: u32 = 1000;

impl Check for Broker {
    const PART: &'static str = "bus";
    const SUMMARY: &'static str = "Whether the broker is reached, its queues are right, and how much waits";

    async fn look<'a>(case: &'a Case<'a>) -> Vec<Finding> {
        if case.config.bus.is_embedded() {
            let waiting = match &case.store {
                Some(store) => store.queue_depth().await.unwrap_or_default(),
                None => 0,
            };
            return depth(&local::BUS_EMBEDDED, u32::try_from(waiting).unwrap_or(u32::MAX));
        }
        // What is wrong with the URL itself, the settings' own check tells.
        if !case.config.bus.faults().is_empty() {
            return Vec::new();
        }
        judged(rabbitmq::examine(&case.config.bus).await, case.config.bus.declare)
    }
}

fn judged(found: Result<Found, Ill>, declares: bool) -> Vec<Finding> {
    let (diagnosis, seen) = match found {
        Ok(Found { waiting, .. }) => return depth(&local::BUS_GOOD, waiting),
        Err(Ill::Unreachable(seen)) => (&local::BUS_UNREACHABLE, seen),
        Err(Ill::Missing(_)) if declares => (&local::BUS_UNDECLARED, String::new()),
        Err(Ill::Missing(seen)) => (&local::BUS_MISSING, seen),
        Err(Ill::Differs(seen)) => (&local::BUS_DIFFERS, seen),
    };
    vec![Finding::new(diagnosis, Broker::PART).seen(seen)]
}

fn depth(diagnosis: &'static Diagnosis, waiting: u32) -> Vec<Finding> {
    let diagnosis = if waiting > MANY { &local::QUEUE_LONG } else { diagnosis };
    vec![Finding::new(diagnosis, Broker::PART).with("waiting", waiting)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_broker_has_a_line_of_its_own() {
        let code = |found, declares| judged(found, declares)[0].diagnosis.code;
        let said = || "x".to_owned();
        assert_eq!(code(Ok(Found { waiting: 1000, dead: 0 }), true), "bus-good");
        assert_eq!(code(Ok(Found { waiting: 1001, dead: 0 }), true), "queue-long");
        assert_eq!(code(Err(Ill::Unreachable(said())), true), "bus-unreachable");
        assert_eq!(code(Err(Ill::Missing(said())), true), "bus-undeclared");
        assert_eq!(code(Err(Ill::Missing(said())), false), "bus-missing");
        assert_eq!(code(Err(Ill::Differs(said())), true), "bus-differs");
    }
}
