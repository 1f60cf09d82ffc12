//! The envelope of a mail: which command may come when, and what it says.

use super::MAX_MESSAGE;

/// Sender and recipients as told so far.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    is_greeted: bool,
    pub(super) from: Option<String>,
    pub(super) to: Vec<String>,
}

impl Envelope {
    /// The reply to a command; none of them makes the conversation end.
    pub(super) fn command(&mut self, verb: &str, rest: &str) -> &'static str {
        match verb {
            "EHLO" => {
                self.is_greeted = true;
                self.reset();
                "250-simulator.example\r\n250-SIZE 1048576\r\n250-8BITMIME\r\n250 SMTPUTF8"
            }
            "HELO" => {
                self.is_greeted = true;
                self.reset();
                "250 simulator.example"
            }
            "MAIL" if !self.is_greeted => "503 say hello first",
            "MAIL" => match address(rest, "FROM:") {
                None => "501 MAIL FROM:<address>",
                Some(_) if announced_size(rest) > MAX_MESSAGE => "552 message exceeds the size limit",
                Some(from) => {
                    self.reset();
                    self.from = Some(from);
                    "250 ok"
                }
            },
            "RCPT" if self.from.is_none() => "503 need MAIL first",
            "RCPT" => match address(rest, "TO:") {
                Some(to) if to.contains('@') => {
                    self.to.push(to);
                    "250 ok"
                }
                _ => "501 RCPT TO:<address>",
            },
            "RSET" => {
                self.reset();
                "250 ok"
            }
            "NOOP" => "250 ok",
            _ => "502 command not implemented",
        }
    }

    pub(super) fn reset(&mut self) {
        self.from = None;
        self.to.clear();
    }
}

/// The address between the angle brackets after `FROM:` or `TO:`.
fn address(rest: &str, word: &str) -> Option<String> {
    let start = rest.get(..word.len()).filter(|it| it.eq_ignore_ascii_case(word))?;
    let after = rest.strip_prefix(start)?.trim_start().strip_prefix('<')?;
    let (address, _) = after.split_once('>')?;
    Some(address.to_owned())
}

fn announced_size(rest: &str) -> usize {
    let mut words = rest.split(' ').filter_map(|word| word.split_once('='));
    let size = words.find(|(name, _)| name.eq_ignore_ascii_case("size"));
    size.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// The first header of that name, with folded lines joined.
pub(super) fn header(message: &str, name: &str) -> Option<String> {
    let mut found: Option<String> = None;
    for line in message.lines().take_while(|line| !line.is_empty()) {
        if let Some(value) = found.as_mut() {
            if !line.starts_with([' ', '\t']) {
                break;
            }
            value.push(' ');
            value.push_str(line.trim());
        } else if let Some((key, value)) = line.split_once(':') {
            found = key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned());
        }
    }
    found
}
