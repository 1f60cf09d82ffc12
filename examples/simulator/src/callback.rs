//! Delivers signed events: once to any URL for a test, up to ten times to the registered webhook as Partner Center does.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    answer::Callback,
    core::Core,
    ledger::{Effect, Entry},
    server::sha256,
    services::partner_center::Attempt,
    signing::Event,
};

/// Documented by Microsoft: after ten attempts an event is put aside for good.
pub(crate) const ATTEMPTS: usize = 10;

/// Signs the event and posts it once. Errs when the event could not be signed or no answer came.
pub(crate) async fn deliver(core: &Core, url: &str, event: &Event) -> anyhow::Result<u16> {
    let now = Timestamp::now();
    let certificate = certificate_url(&core.site.url);
    let signed = event.sign(&core.site.certificates, &certificate, now)?;
    let mut request = core.client.post(url);
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    let digest = sha256(&signed.body);
    let body = serde_json::from_slice(&signed.body).ok();
    let outcome = request.body(signed.body).send().await;
    let status = outcome.as_ref().map_or(0, |answer| answer.status().as_u16());
    core.record(entry(url, &event.name, (digest, body), status));
    outcome.with_context(|| format!("deliver event to `{url}`"))?;
    Ok(status)
}

/// Delivers to the registered webhook until it answers with success.
pub(crate) async fn deliver_registered(core: &Arc<Core>, callback: Callback) {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(core.site.options.callback_retry).await;
        }
        let registered = core.state(Timestamp::now()).webhooks.target(&callback.event);
        let Some((url, event)) = registered else {
            return;
        };
        let status = deliver(core, &url, &event).await.unwrap_or(0);
        let now = Timestamp::now();
        if let Some(id) = &callback.validation {
            let attempt = Attempt { status, at: now };
            core.state(now).webhooks.note_attempt(id, attempt);
        }
        if (200..300).contains(&status) {
            return;
        }
    }
}

pub(crate) fn certificate_url(site: &str) -> String {
    format!("{site}/cert/pcnotifications-dispatch.microsoft.com.cer")
}

fn entry(url: &str, name: &str, sent: (String, Option<Value>), status: u16) -> Entry {
    let (body_sha256, body) = sent;
    let delivered = (200..300).contains(&status);
    let effect = delivered.then(|| Effect::new("callback.delivered", name));
    Entry {
        seq: 0,
        at: Timestamp::now(),
        service: "callback".to_owned(),
        method: "POST".to_owned(),
        path: url.to_owned(),
        request_id: None,
        correlation_id: None,
        if_match: None,
        body_sha256,
        body,
        status,
        applied: false,
        answered: status != 0,
        effect,
    }
}
