//! What a service decides about one request: the HTTP answer, the effect for the ledger, and callbacks to send.

use serde_json::Value;

use crate::{ledger::Effect, signing::Event};

/// An answer on its way out; whether the client ever sees it is decided elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) effect: Option<Effect>,
    /// An event that must now be delivered to the registered webhook.
    pub(crate) callback: Option<Box<Callback>>,
}

/// An event to deliver, and the validation request that asked for it, if one did.
#[derive(Debug, Clone)]
pub(crate) struct Callback {
    pub(crate) event: Event,
    pub(crate) validation: Option<String>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json; charset=utf-8", body.to_string().into_bytes())
    }

    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self::bytes(status, "text/plain; charset=utf-8", text.into())
    }

    pub(crate) fn html(status: u16, text: &str) -> Self {
        Self::bytes(status, "text/html; charset=utf-8", text.into())
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), effect: None, callback: None }
    }

    pub(crate) fn bytes(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        let mut answer = Self::empty(status).header("Content-Type", content_type);
        answer.body = body;
        answer
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn effect(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}
