//! `slack`: an incoming webhook of Slack.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Channel, Delivery, Notice, notice::LONGEST_TEXT, to_webhook, webhook};
use crate::{connections::Failure, secret::Secret};

/// Posts messages to a Slack channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Slack {
    /// The URL of the incoming webhook. Who knows it can post: keep it in a file or the environment.
    url: Secret,
}

impl Channel for Slack {
    const TYPE: &'static str = "slack";
    const SUMMARY: &'static str = "Post messages to a Slack channel through an incoming webhook";
    const EXAMPLE: &'static str = r#"{ "url": "https://hooks.slack.com/services/T0/B0/x" }"#;

    fn check(&self, _name: &str) -> Result<(), String> {
        webhook(&self.url).map(|_| ())
    }

    async fn send(&self, to: &Delivery<'_>, notice: &Notice) -> Result<(), Failure> {
        let reply = to.net.send(to_webhook(&self.url)?.json(&message(notice))).await?;
        if reply.is_success() { Ok(()) } else { Err(Failure::from_reply("Slack", &reply)) }
    }
}

/// Data stands in `plain_text` only, where Slack sees neither links nor mentions.
fn message(notice: &Notice) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": escaped(text), "emoji": false });
    let mut blocks =
        vec![json!({ "type": "header", "text": { "type": "plain_text", "text": escaped_to(&notice.title, 150), "emoji": false } })];
    if !notice.text.is_empty() {
        blocks.push(json!({ "type": "section", "text": plain(&notice.text) }));
    }
    if !notice.facts.is_empty() {
        let fields: Vec<_> = notice.facts.iter().map(|(name, value)| plain(&format!("{name}\n{value}"))).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    blocks.push(json!({ "type": "context", "elements": [plain(&format!("{:?} · {}", notice.severity, notice.id))] }));
    json!({
        // What a notification on a telephone shows.
        "text": escaped(&notice.title),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
        "link_names": false,
        "parse": "none",
    })
}

/// The text with the three characters escaped that mean something to Slack.
fn escaped(text: &str) -> String {
    escaped_to(text, LONGEST_TEXT)
}

/// Escaping makes a text longer, and a block that is too long is refused with the whole message: it is cut between escapes.
fn escaped_to(text: &str, most: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut length = 0;
    for character in text.chars() {
        let mut buffer = [0; 4];
        let piece = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            other => other.encode_utf8(&mut buffer),
        };
        length += piece.chars().count();
        if length >= most {
            escaped.push('…');
            break;
        }
        escaped.push_str(piece);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Severity;

    #[test]
    fn data_can_neither_mention_nor_link_nor_break_the_message() {
        let evil = "<!channel> <@U1> <https://evil.example|Approve> & co";
        let facts = vec![(evil.to_owned(), evil.to_owned())];
        let notice = Notice { id: "1".to_owned(), title: evil.to_owned(), text: evil.to_owned(), severity: Severity::High, facts };
        let message = message(&notice);
        let sent = message.to_string();
        assert!(!sent.contains('<') && !sent.contains("mrkdwn"), "{sent}");
        assert!(sent.contains("&lt;!channel&gt;") && sent.contains("&amp; co"), "{sent}");
        assert_eq!(message["unfurl_links"], false);
    }

    #[test]
    fn escaping_does_not_make_a_block_too_long() {
        let text = escaped(&"&".repeat(3_000));
        assert!(text.chars().count() <= 3_000 && text.ends_with(";…"), "{}", text.len());
        assert_eq!(escaped("a<b"), "a&lt;b");
    }
}
