//! `email`: a mail through an SMTP server.

use std::{net::IpAddr, time::Duration};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ANY, Channel, Delivery, Notice};
use crate::{
    connections::{Failure, FailureKind},
    net::Url,
    secret::Secret,
};

/// Sends mails to fixed recipients, or as `email:*` to addresses that playbooks write.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Email {
    /// The server: `smtps://user:password@host` (TLS), `smtp+starttls://…` (TLS after a plain greeting) or `smtp://…` (none).
    smtp: Secret,
    /// The sender, e.g. `Quell <quell@contoso.com>`.
    from: String,
    /// The recipients.
    #[serde(default)]
    to: Vec<String>,
    /// Which addresses playbooks may write, for `email:*`: whole addresses, or domains such as `@contoso.com`.
    #[serde(default)]
    allow: Vec<String>,
}

/// Mail servers are slower than web services, and still answer within this.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Channel for Email {
    const TYPE: &'static str = "email";
    const SUMMARY: &'static str = "Send mails through an SMTP server";
    const EXAMPLE: &'static str =
        r#"{ "smtp": "smtps://quell:secret@mail.contoso.com", "from": "Quell <quell@contoso.com>", "to": ["oncall@contoso.com"] }"#;

    fn check(&self, name: &str) -> Result<(), String> {
        self.server()?;
        mailbox("from", &self.from)?;
        for recipient in &self.to {
            mailbox("to", recipient)?;
        }
        match (name == ANY, self.to.is_empty(), self.allow.is_empty()) {
            (true, true, false) | (false, false, true) => Ok(()),
            (true, ..) => Err("`email:*` needs `allow` and no `to`: its recipients are written by playbooks".to_owned()),
            (false, ..) => Err("it needs `to` and no `allow`; only `email:*` takes addresses that playbooks write".to_owned()),
        }
    }

    fn admits(&self, address: &str) -> bool {
        let Ok(parsed) = address.parse::<Address>() else { return false };
        self.allow.iter().any(|allowed| match allowed.strip_prefix('@') {
            Some(domain) => parsed.domain().eq_ignore_ascii_case(domain),
            None => address.eq_ignore_ascii_case(allowed),
        })
    }

    async fn send(&self, to: &Delivery<'_>, notice: &Notice) -> Result<(), Failure> {
        let mail = self.mail(to, notice).map_err(Failure::rejected)?;
        let transport = self.transport()?;
        match tokio::time::timeout(TIMEOUT, transport.send(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::new(kind_of(&error), format!("send a mail: {error}"))),
            Err(_) => Err(Failure::new(FailureKind::Unknown, "send a mail: the server did not answer in time")),
        }
    }

    async fn probe(&self) -> Option<Result<(), Failure>> {
        Some(self.sign_in().await)
    }
}

impl Email {
    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(&self.server().map_err(Failure::rejected)?);
        let server = server.ok().ok_or_else(|| Failure::rejected("`smtp` is not the URL of a mail server"))?;
        Ok(server.timeout(Some(TIMEOUT)).build())
    }

    /// Connects and signs in, and leaves again.
    async fn sign_in(&self) -> Result<(), Failure> {
        let transport = self.transport()?;
        match tokio::time::timeout(TIMEOUT, transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Failure::new(FailureKind::NotDone, "sign in at the mail server: it hung up")),
            Ok(Err(error)) => Err(Failure::new(kind_of(&error), format!("sign in at the mail server: {error}"))),
            Err(_) => Err(Failure::new(FailureKind::NotDone, "sign in at the mail server: it did not answer in time")),
        }
    }

    /// The server's URL as the mail library writes it.
    fn server(&self) -> Result<String, String> {
        // The parser's own error might show the password.
        let mut url = Url::parse(self.smtp.expose()).ok().ok_or("`smtp` is not a URL")?;
        if url.host_str().is_none_or(str::is_empty) || url.query().is_some() {
            return Err("`smtp` must name a host and have no query".to_owned());
        }
        match url.scheme() {
            "smtp" if url.password().is_some() && !is_this_machine(&url) => {
                Err("`smtp` has a password, which `smtp:` would send in the clear; use `smtps:` or `smtp+starttls:`".to_owned())
            }
            "smtp" | "smtps" => Ok(url.into()),
            "smtp+starttls" => {
                url.set_query(Some("tls=required"));
                Ok(url.as_str().replacen("smtp+starttls:", "smtp:", 1))
            }
            other => Err(format!("`smtp` begins with `{other}:`; use `smtps:`, `smtp+starttls:` or `smtp:`")),
        }
    }

    /// Plain text only: there is nothing in it that a mail program would load or run.
    fn mail(&self, to: &Delivery<'_>, notice: &Notice) -> Result<Message, String> {
        let from = mailbox("from", &self.from)?;
        let id = message_id(&notice.id, from.email.domain());
        let mut mail = Message::builder().from(from).message_id(Some(id)).subject(notice.title.as_str());
        match to.address {
            Some(address) => mail = mail.to(mailbox("the address", address)?),
            None => {
                for recipient in &self.to {
                    mail = mail.to(mailbox("to", recipient)?);
                }
            }
        }
        let text = format!("{}\n\n-- \nSent by Quell. Message {}\n", notice.plain_text().trim_end(), notice.id);
        mail.header(ContentType::TEXT_PLAIN).body(text).map_err(|error| format!("write the mail: {error}"))
    }
}

/// Whether a server is reached without a network. The parser takes the host of a scheme that it does not know for a mere name.
fn is_this_machine(server: &Url) -> bool {
    let host = server.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn mailbox(what: &str, text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|error| format!("`{text}` in `{what}` is not a mail address: {error}"))
}

/// The same for a repeat, so that a mail program shows it once.
fn message_id(id: &str, domain: &str) -> String {
    let safe: String = id.chars().map(|it| if it.is_ascii_alphanumeric() || it == '-' { it } else { '.' }).collect();
    format!("<{safe}@{domain}>")
}

fn kind_of(error: &lettre::transport::smtp::Error) -> FailureKind {
    if error.is_permanent() || error.is_client() {
        FailureKind::Rejected
    } else if error.is_transient() {
        FailureKind::NotDone
    } else {
        // A connection that broke may have broken after the mail was taken.
        FailureKind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{alert::Severity, connections::bench};

    fn email(settings: &serde_json::Value) -> Email {
        let mut all = serde_json::json!({ "smtp": "smtps://mail.contoso.com", "from": "Quell <quell@contoso.com>" });
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn only_allowed_addresses_are_written_to() {
        let email = email(&serde_json::json!({ "allow": ["@contoso.com", "ceo@fabrikam.example"] }));
        for address in ["a@contoso.com", "A.B@CONTOSO.COM", "ceo@fabrikam.example"] {
            assert!(email.admits(address), "{address}");
        }
        for address in [
            "a@evil.example",
            "a@sub.contoso.com",
            "a@notcontoso.com",
            "a@contoso.com@evil.example",
            "a@evil.example,b@contoso.com",
            "a@contoso.com\r\nBcc: b@evil.example",
            "<a@evil.example> @contoso.com",
            "other@fabrikam.example",
            "@contoso.com",
            "",
        ] {
            assert!(!email.admits(address), "{address}");
        }
    }

    #[test]
    fn no_text_becomes_a_header_or_ends_the_mail() {
        let email = email(&serde_json::json!({ "to": ["a@contoso.com"] }));
        let evil = "x\r\nBcc: b@evil.example\r\n\r\n.\r\nMAIL FROM:<c@evil.example>";
        let facts = vec![(evil.to_owned(), evil.to_owned())];
        let notice = Notice { id: evil.to_owned(), title: evil.to_owned(), text: evil.to_owned(), severity: Severity::Low, facts };
        let net = bench::net();
        let to = Delivery { net: &net, channel: "email:a", address: None };
        let mail = email.mail(&to, &notice.fitted()).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        let head = text.split_once("\r\n\r\n").unwrap().0;
        assert!(!head.to_lowercase().lines().any(|line| line.starts_with("bcc:")), "{head}");
        assert_eq!(head.matches("Message-ID: ").count(), 1);
        let recipients: Vec<_> = mail.envelope().to().iter().map(ToString::to_string).collect();
        assert_eq!(recipients, ["a@contoso.com"]);
    }

    #[test]
    fn the_server_is_named_as_the_library_wants_it() {
        let server = |smtp: &str| email(&serde_json::json!({ "smtp": smtp })).server();
        assert_eq!(server("smtp+starttls://u:p@mail.contoso.com:587").unwrap(), "smtp://u:p@mail.contoso.com:587?tls=required");
        assert_eq!(server("smtps://mail.contoso.com").unwrap(), "smtps://mail.contoso.com");
        for wrong in ["smtp:mail", "smtp://mail?tls=opportunistic", "https://mail", "mail"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_not_sent_in_the_clear_over_a_network() {
        let server = |smtp: &str| email(&serde_json::json!({ "smtp": smtp })).server();
        for wrong in
            ["smtp://u:hunter2@mail.contoso.com", "smtp://u:hunter2@10.0.0.1", "smtp://u:hunter2@localhost", "smtp://:hunter2@mail"]
        {
            let error = server(wrong).unwrap_err();
            assert!(error.contains("in the clear") && !error.contains("hunter2"), "{error}");
        }
        for right in
            ["smtp://mail.contoso.com", "smtp://u:p@127.0.0.1:25", "smtp://u:p@[::1]", "smtps://u:p@mail", "smtp+starttls://u:p@mail"]
        {
            assert!(server(right).is_ok(), "{right}");
        }
    }
}
