//! Machines, which can be deallocated at once or after a while, and disks.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Place, error, list};
use crate::{
    answer::Answer,
    call::Call,
    cloud::{Machine, Power},
    ledger::Effect,
    options::OperationEnd,
    services::sinks::fresh_id,
};

pub(super) fn machines(place: &Place<'_>, call: &Call) -> Answer {
    let all: Vec<_> = place.here.machines.iter().map(shown).collect();
    list(place, call, &all)
}

pub(super) fn disks(place: &Place<'_>, call: &Call) -> Answer {
    let all = place.here.disks.iter().map(|it| {
        json!({
            "id": it.id, "name": it.name, "type": "Microsoft.Compute/disks", "location": "westeurope", "managedBy": it.managed_by,
            "properties": { "diskState": it.state, "diskSizeGB": 128, "LastOwnershipUpdateTime": "2026-03-01T08:00:00.0000000+00:00" },
        })
    });
    let all: Vec<_> = all.collect();
    list(place, call, &all)
}

pub(super) fn machine(place: &mut Place<'_>, call: &Call, (name, what): (&str, &str), delay: Duration) -> Answer {
    let base = format!("{}/azure/subscriptions/{}/providers/Microsoft.Compute/locations/westeurope", place.site, place.subscription);
    let found = place.here.machines.iter_mut().find(|it| it.name.eq_ignore_ascii_case(name));
    let Some(machine) = found else {
        return error(404, "ResourceNotFound", &format!("The Resource 'Microsoft.Compute/virtualMachines/{name}' was not found."));
    };
    match (call.method.as_str(), what) {
        ("GET", "instanceview") => Answer::json(200, &view(machine)),
        ("POST", "deallocate") => deallocate(machine, call.now, delay, &base),
        _ => error(405, "MethodNotAllowed", "The method is not allowed."),
    }
}

/// How an operation stands, by its number.
pub(super) fn operation(place: &Place<'_>, id: &str, now: Timestamp, end: OperationEnd) -> Answer {
    let mut all = place.here.machines.iter().filter_map(|it| it.operation.as_ref());
    let Some((_, ends)) = all.find(|(number, _)| number.eq_ignore_ascii_case(id)) else {
        return error(404, "NotFound", "The operation was not found.");
    };
    let body = match (*ends <= now, end) {
        (false, _) => json!({ "status": "InProgress" }),
        (true, OperationEnd::Success) => json!({ "status": "Succeeded" }),
        (true, OperationEnd::Failure) => {
            json!({ "status": "Failed", "error": { "code": "AllocationFailed", "message": "The host did not answer." } })
        }
    };
    Answer::json(200, &body)
}

/// A machine that is stopped or being stopped stays so.
fn deallocate(machine: &mut Machine, now: Timestamp, delay: Duration, base: &str) -> Answer {
    let effect = Effect::new("vm.deallocated", &machine.id).repeated(machine.power != Power::Running);
    let is_new = machine.power == Power::Running;
    if delay.is_zero() || machine.power == Power::Deallocated {
        machine.power = Power::Deallocated;
        return Answer::empty(200).effect(effect);
    }
    if is_new {
        machine.power = Power::Deallocating;
        machine.operation = Some((fresh_id().to_string(), now + SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX)));
    }
    let number = machine.operation.as_ref().map(|(number, _)| number.as_str()).unwrap_or_default();
    Answer::empty(202)
        .header("Azure-AsyncOperation", &format!("{base}/operations/{number}?api-version=2023-03-01"))
        .header("Location", &format!("{base}/operations/{number}?monitor=true&api-version=2023-03-01"))
        .header("Retry-After", "10")
        .effect(effect)
}

fn shown(machine: &Machine) -> Value {
    json!({
        "id": machine.id, "name": machine.name, "type": "Microsoft.Compute/virtualMachines", "location": "westeurope", "tags": {},
        "properties": {
            "hardwareProfile": { "vmSize": machine.size },
            "provisioningState": "Succeeded",
            "timeCreated": "2026-03-01T07:30:00.0000000+00:00",
        },
    })
}

fn view(machine: &Machine) -> Value {
    let power = match machine.power {
        Power::Running => "running",
        Power::Deallocating => "deallocating",
        Power::Deallocated => "deallocated",
    };
    json!({ "statuses": [
        { "code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded" },
        { "code": format!("PowerState/{power}"), "level": "Info", "displayStatus": format!("VM {power}") },
    ] })
}
