//! The device code flow: a program shows a short code, and a person enters it in a browser elsewhere and signs in there.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Form, check_client, error};
use crate::{answer::Answer, services::sinks::fresh_id, state::State};

/// Codes that were given and not used up.
#[derive(Debug, Default)]
pub(crate) struct Devices(BTreeMap<String, Device>);

#[derive(Debug)]
struct Device {
    expires: Timestamp,
    asked: Option<Timestamp>,
    decision: Option<Decision>,
    scope: String,
}

/// What the person did with the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Approved,
    Declined,
}

impl Devices {
    /// The person decides about every code that waits and is good; how many there were.
    pub(crate) fn decide(&mut self, decision: Decision, now: Timestamp) -> usize {
        let waiting = self.0.values_mut().filter(|device| device.decision.is_none() && device.expires > now);
        waiting.map(|device| device.decision = Some(decision)).count()
    }

    /// Every code is over its time.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.0.values_mut().for_each(|device| device.expires = now);
    }
}

/// A new code.
pub(super) fn begin(state: &mut State, form: &Form<'_>, now: Timestamp) -> Answer {
    if let Err(refused) = check_client(state, form, None) {
        return refused;
    }
    let code = fresh_id().simple().to_string();
    let shown: String = code.chars().take(9).collect::<String>().to_uppercase();
    let options = &state.site.options;
    let lifetime = options.device_lifetime;
    let page = format!("{}/login/device", state.site.url);
    let body = json!({
        "user_code": shown,
        "device_code": code,
        "verification_uri": page,
        "expires_in": lifetime.as_secs(),
        "interval": options.device_interval.as_secs(),
        "message": format!("To sign in, use a web browser to open the page {page} and enter the code {shown} to authenticate."),
    });
    let expires = now + SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
    state.devices.0.insert(code, Device { expires, asked: None, decision: None, scope: form.get("scope").to_owned() });
    Answer::json(200, &body)
}

/// The scope for which the person has signed in with the code, which is then used up.
pub(super) fn redeem(state: &mut State, code: &str, now: Timestamp) -> Result<String, Answer> {
    let interval = SignedDuration::try_from(state.site.options.device_interval).unwrap_or(SignedDuration::MAX);
    let Some(device) = state.devices.0.get_mut(code) else {
        return Err(error(400, "bad_verification_code", 70_000, "The device code is not known."));
    };
    if device.expires <= now {
        return Err(error(400, "expired_token", 70_020, "The device code has expired."));
    }
    let is_early = device.asked.replace(now).is_some_and(|before| now.duration_since(before) < interval);
    match device.decision {
        Some(Decision::Approved) => {
            let scope = device.scope.clone();
            state.devices.0.remove(code);
            Ok(scope)
        }
        Some(Decision::Declined) => Err(error(400, "authorization_declined", 70_018, "The person declined to sign in.")),
        None if is_early => Err(error(400, "slow_down", 70_029, "The program asks too often.")),
        None => Err(error(400, "authorization_pending", 70_016, "The person has not signed in yet.")),
    }
}
