//! Where Partner Center sends its events: the one registration of the partner, and events that it sends as a test.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{super::Failure, Audience, Microsoft, field, partner_center::request, refusal::Refusal, text, unreadable};
use crate::net::{Method, Request};

/// What a partner registered. There is one for each partner, it has no name, and it does not expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Where events are sent.
    pub url: String,
    /// Their names, as Partner Center spells them.
    pub events: Vec<String>,
    /// Whether the signature comes in `x-ms-signature`, which gateways leave alone; Partner Center need not say.
    pub own_header: Option<bool>,
}

/// What became of an event that was sent as a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestEvent {
    /// Whether Partner Center is done with it.
    pub is_completed: bool,
    /// What each attempt was answered with: a word such as `OK` or `Unauthorized`, and what was said of it.
    pub attempts: Vec<String>,
}

impl Microsoft {
    /// The names of events that there are.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn webhook_events(&self) -> Result<Vec<String>, Failure> {
        let listed = self.read(Audience::PartnerCenter, self.asking(Method::GET, &["events"])).await?;
        let Value::Array(names) = listed else { return Err(unreadable(Audience::PartnerCenter, "the events are not a list")) };
        Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// What is registered, if anything is.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn webhook(&self) -> Result<Option<Registration>, Failure> {
        let audience = Audience::PartnerCenter;
        let reply = self.call(audience, self.asking(Method::GET, &[])).await?;
        if reply.is_success() {
            return Ok(Some(Registration::read(&reply.json()?)));
        }
        let refusal = Refusal::read(&reply);
        // That there is no such resource is documented as a 404. A 400 is a wrong request, a web page is some proxy's, and a tenant that is
        // not found is not ours to register.
        let is_its_own = reply.body.is_empty() || reply.json().is_ok();
        if reply.status == 404 && is_its_own && !matches!(refusal.code.as_str(), "60003" | "20003") {
            return Ok(None);
        }
        Err(refusal.into_failure(audience))
    }

    /// Registers for the first time, or in the place of what is registered. It may be repeated.
    ///
    /// # Errors
    /// [`Failure`]; afterwards only a read tells.
    pub async fn register_webhook(&self, wanted: &Registration, is_first: bool) -> Result<Registration, Failure> {
        let body = json!({
            "WebhookUrl": wanted.url,
            "WebhookEvents": wanted.events,
            "SignatureTokenToMsSignatureHeader": wanted.own_header.unwrap_or_default(),
        });
        let method = if is_first { Method::POST } else { Method::PUT };
        let answer = self.write(Audience::PartnerCenter, self.asking(method, &[]).json(&body)).await?;
        Ok(answer.map_or_else(|| wanted.clone(), |body| Registration::read(&body)))
    }

    /// Has Partner Center send a test event, which it does at most twice a minute; gives the name by which it is found again.
    ///
    /// # Errors
    /// [`Failure`]; when nobody knows whether it was asked for, asking once more does no harm.
    pub async fn send_test_event(&self) -> Result<String, Failure> {
        let answer = self.write(Audience::PartnerCenter, self.asking(Method::POST, &["validationEvents"])).await?;
        let name = answer.as_ref().map(|body| text(body, "correlationId")).unwrap_or_default();
        // It becomes a part of an address.
        let name = Uuid::try_parse(name).map_err(|_error| unreadable(Audience::PartnerCenter, "`correlationId` is no GUID"))?;
        Ok(name.to_string())
    }

    /// What became of a test event.
    ///
    /// # Errors
    /// [`Failure`]; a read may always be repeated.
    pub async fn test_event(&self, name: &str) -> Result<TestEvent, Failure> {
        let body = self.read(Audience::PartnerCenter, self.asking(Method::GET, &["validationEvents", name])).await?;
        let attempts = field(&body, "results").and_then(Value::as_array).into_iter().flatten();
        let attempts = attempts.map(|it| [text(it, "responseCode"), text(it, "responseMessage")].join(" ").trim().to_owned());
        Ok(TestEvent { is_completed: text(&body, "status").eq_ignore_ascii_case("completed"), attempts: attempts.collect() })
    }

    fn asking(&self, method: Method, rest: &[&str]) -> Request {
        request(method, self.webhooks.with(rest.iter().copied()), Uuid::now_v7())
    }
}

impl Registration {
    /// Whether both make Partner Center do the same. What it does not say of itself is taken to be as wanted.
    pub fn is_as(&self, wanted: &Self) -> bool {
        let same_header = self.own_header.is_none_or(|it| it == wanted.own_header.unwrap_or_default());
        self.url == wanted.url && self.names() == wanted.names() && same_header
    }

    /// Whether it asks for that event.
    pub fn has(&self, event: &str) -> bool {
        self.events.iter().any(|it| it.eq_ignore_ascii_case(event))
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.events.iter().map(|event| event.to_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Reads what Partner Center answers.
    pub fn read(body: &Value) -> Self {
        let events = field(body, "WebhookEvents").and_then(Value::as_array).into_iter().flatten();
        Self {
            url: text(body, "WebhookUrl").to_owned(),
            events: events.filter_map(Value::as_str).map(str::to_owned).collect(),
            own_header: field(body, "SignatureTokenToMsSignatureHeader").and_then(Value::as_bool),
        }
    }
}

#[cfg(test)]
mod tests {
    use quell_simulator::Options;

    use super::{
        super::super::bench::{config, connect, simulator},
        *,
    };

    fn wanted(url: &str, events: &[&str]) -> Registration {
        Registration { url: url.to_owned(), events: events.iter().map(|&it| it.to_owned()).collect(), own_header: Some(true) }
    }

    #[tokio::test]
    async fn nothing_is_registered_until_it_is_and_then_it_is_replaced() {
        let simulator = simulator(Options::default()).await;
        let microsoft = connect(&config(&simulator), std::sync::Arc::default());
        assert!(microsoft.webhook_events().await.unwrap().contains(&"test-created".to_owned()));
        assert_eq!(microsoft.webhook().await.unwrap(), None);
        let first = wanted("http://127.0.0.1:9/hooks/a", &["test-created"]);
        assert!(microsoft.register_webhook(&first, true).await.unwrap().is_as(&first));
        let second = wanted("http://127.0.0.1:9/hooks/b", &["azure-fraud-event-detected", "test-created"]);
        microsoft.register_webhook(&second, false).await.unwrap();
        assert!(microsoft.webhook().await.unwrap().unwrap().is_as(&second));
        assert!(!second.is_as(&first));
    }

    #[tokio::test]
    async fn only_that_there_is_no_such_thing_says_that_nothing_is_registered() {
        let simulator = simulator(Options::default()).await;
        let microsoft = connect(&config(&simulator), std::sync::Arc::default());
        let coded = |code: &str| json!({"code": code, "description": "said"});
        for (kind, status, body) in [
            ("status", 400, Some(coded("800002"))),
            ("status", 403, None),
            ("status", 404, Some(coded("60003"))),
            ("html", 404, None),
            ("status", 429, None),
            ("status", 500, None),
        ] {
            let fault = json!({"service": "partner-center", "kind": kind, "status": status, "body": body});
            simulator.fault(serde_json::from_value(fault).unwrap());
            assert_eq!(microsoft.webhook().await.unwrap_err().http_status, Some(status), "{kind} {status}");
            simulator.clear_faults();
        }
    }

    #[test]
    fn two_registrations_are_alike_whatever_the_order_and_the_case_of_their_events() {
        let (one, other) = (wanted("u", &["A-b", "c-d"]), wanted("u", &["c-d", "a-B"]));
        assert!(one.is_as(&other));
        assert!(Registration { own_header: None, ..one.clone() }.is_as(&other));
        assert!(!Registration { own_header: Some(false), ..one }.is_as(&other));
    }
}
