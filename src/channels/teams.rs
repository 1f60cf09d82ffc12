//! `teams`: an incoming webhook or workflow of Microsoft Teams.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Channel, Delivery, Notice, to_webhook, webhook};
use crate::{
    alert::Severity,
    connections::{Failure, FailureKind},
    secret::Secret,
};

/// Posts messages to a Teams channel or chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Teams {
    /// The URL of the workflow or incoming webhook. Who knows it can post: keep it in a file or the environment.
    url: Secret,
}

impl Channel for Teams {
    const TYPE: &'static str = "teams";
    const SUMMARY: &'static str = "Post messages to Microsoft Teams through a workflow or an incoming webhook";
    const EXAMPLE: &'static str = r#"{ "url": "https://contoso.webhook.office.com/webhookb2/x" }"#;

    fn check(&self, _name: &str) -> Result<(), String> {
        webhook(&self.url).map(|_| ())
    }

    async fn send(&self, to: &Delivery<'_>, notice: &Notice) -> Result<(), Failure> {
        let reply = to.net.send(to_webhook(&self.url)?.json(&message(notice))).await?;
        if !reply.is_success() {
            return Err(Failure::from_reply("Teams", &reply));
        }
        // The older webhooks answer 200 when Teams behind them refused, and say so in the body.
        if reply.text_excerpt().contains("delivery failed") {
            return Err(Failure::new(FailureKind::NotDone, format!("Teams answered: {}", reply.text_excerpt())));
        }
        Ok(())
    }
}

/// An Adaptive Card. Data stands in text runs only: unlike a `TextBlock` they know no Markdown, so that no link can be made.
fn message(notice: &Notice) -> Value {
    let run = |text: &str, bold: bool| json!({ "type": "TextRun", "text": text, "weight": if bold { "Bolder" } else { "Default" } });
    let line = |runs: Vec<Value>| json!({ "type": "RichTextBlock", "inlines": runs });
    let mut title = run(&notice.title, true);
    if let Some(fields) = title.as_object_mut() {
        fields.insert("size".to_owned(), "Large".into());
        fields.insert("color".to_owned(), colour(notice.severity).into());
    }
    let mut body = vec![line(vec![title])];
    body.extend(notice.text.lines().filter(|it| !it.trim().is_empty()).map(|text| line(vec![run(text, false)])));
    body.extend(notice.facts.iter().map(|(name, value)| line(vec![run(&format!("{name}: "), true), run(value, false)])));
    body.push(line(vec![json!({ "type": "TextRun", "text": notice.id, "size": "Small", "isSubtle": true })]));
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        // The first version with text runs is 1.2; Teams shows up to 1.5.
        "version": "1.4",
        "body": body,
        "msteams": { "width": "Full" },
    });
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card }],
    })
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational | Severity::Low => "Default",
        Severity::Medium => "Warning",
        Severity::High | Severity::Critical => "Attention",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_never_read_as_markdown_or_a_link() {
        let evil = "[Approve](https://evil.example) **bold**";
        let facts = vec![(evil.to_owned(), evil.to_owned())];
        let notice = Notice { id: "1".to_owned(), title: evil.to_owned(), text: evil.to_owned(), severity: Severity::High, facts };
        let sent = message(&notice).to_string();
        assert!(sent.contains("TextRun") && sent.contains("[Approve](https://evil.example)"), "{sent}");
        assert!(!sent.contains("\"TextBlock\""), "{sent}");
        assert!(!sent.contains("Action.OpenUrl") && !sent.contains("\"FactSet\""), "{sent}");
    }
}
