//! What a channel tells people, cut to a length that every service takes.

use crate::alert::Severity;

/// A message for people. The texts come from alerts and playbooks: a channel shows them and obeys nothing in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The same for every repeat of the message.
    pub id: String,
    /// One line.
    pub title: String,
    /// The message.
    pub text: String,
    /// How urgent it is.
    pub severity: Severity,
    /// What it is about, as names and values.
    pub facts: Vec<(String, String)>,
}

/// What Slack takes in one block; others take more.
pub(super) const LONGEST_TEXT: usize = 3_000;

/// A mail's subject is cut somewhere behind this anyway, and Slack refuses a longer header.
const LONGEST_TITLE: usize = 150;

/// A fact is an identifier or a name.
const LONGEST_FACT: usize = 300;

/// More facts are a table, not a message; Slack refuses more than ten.
const MOST_FACTS: usize = 10;

impl Notice {
    /// The notice as a channel may show it: one line where one line is meant, nothing too long, no control characters.
    pub(super) fn fitted(&self) -> Self {
        let facts = self.facts.iter().take(MOST_FACTS);
        Self {
            id: self.id.clone(),
            title: shortened(&one_line(&self.title), LONGEST_TITLE),
            text: shortened(&printable(&self.text), LONGEST_TEXT),
            severity: self.severity,
            facts: facts.map(|(name, value)| (one_line(name), shortened(&one_line(value), LONGEST_FACT))).collect(),
        }
    }

    /// The notice as plain text, without the title.
    pub(super) fn plain_text(&self) -> String {
        let mut text = self.text.clone();
        if !self.facts.is_empty() {
            text.push_str("\n\n");
        }
        text.extend(self.facts.iter().map(|(name, value)| format!("{name}: {value}\n")));
        text
    }
}

/// The text, with an ellipsis where it was cut.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

fn one_line(text: &str) -> String {
    printable(text).replace('\n', " ").trim().to_owned()
}

/// The text with plain line breaks, and without what moves a cursor or turns the direction of writing.
fn printable(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let is_kept = |it: &char| *it == '\n' || *it == '\t' || !(it.is_control() || turns_direction(*it));
    text.chars().filter(is_kept).collect()
}

/// A name that is written backwards must not read as another.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_cut_to_what_every_service_takes() {
        let facts = vec![("a".to_owned(), "é".repeat(900)); 40];
        let long = Notice { id: "1".to_owned(), title: "t".repeat(900), text: "é".repeat(9_000), severity: Severity::Low, facts };
        let fitted = long.fitted();
        assert_eq!(fitted.text.chars().count(), 3_000);
        assert!(fitted.text.ends_with('…') && fitted.title.ends_with('…'));
        assert_eq!(fitted.facts.len(), 10);
    }

    #[test]
    fn a_title_is_one_line_whatever_it_holds() {
        let facts = vec![("a".to_owned(), "b\r\nc".to_owned())];
        let title = "Hello\r\nBcc: evil@evil.example\u{1b}[31m\u{202e}".to_owned();
        let notice = Notice { id: "1".to_owned(), title, text: "a\r\nb".to_owned(), severity: Severity::Low, facts };
        let fitted = notice.fitted();
        assert_eq!(fitted.title, "Hello Bcc: evil@evil.example[31m");
        assert_eq!(fitted.text, "a\nb");
        assert_eq!(fitted.facts[0].1, "b c");
    }
}
