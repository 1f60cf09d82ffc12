//! Messages as bytes: a head that says how long the body is, and the body, which is JSON. What cannot be read is told, and reading goes on.

use std::io::{self, BufRead, Read, Write};

use gen_lsp_types::json_rpc::RequestObject;
use serde::Serialize;
use serde_json::Value;

/// What came.
#[derive(Debug)]
pub(super) enum Received {
    /// A request, or a notification.
    Call(RequestObject),
    /// An answer to a request; none is ever asked.
    Answer,
    /// Something else; a sentence about it.
    Malformed(String),
}

/// The body holds the text of one file, escaped; no playbook may have more than 256 KiB.
const LARGEST_BODY: u64 = 16 * 1024 * 1024;

/// A head has one or two lines of a few words.
const LONGEST_LINE: u64 = 1024;

/// The next message; `None` at the end of the input.
///
/// # Errors
/// The input cannot be read.
pub(super) fn read(input: &mut impl BufRead) -> io::Result<Option<Received>> {
    let mut length = None;
    let malformed = |what: String| Ok(Some(Received::Malformed(what)));
    loop {
        let mut line = Vec::new();
        input.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        match line.split_once(':') {
            _ if line.is_empty() && length.is_some() => break,
            // Between messages nothing is missed.
            _ if line.is_empty() => {}
            Some((name, value)) if name.eq_ignore_ascii_case("Content-Length") => match value.trim().parse::<u64>() {
                Ok(value) => length = Some(value),
                Err(_) => return malformed(format!("`{line}` is no length")),
            },
            // `Content-Type` says what is known.
            Some(_) if line.starts_with("Content-") => {}
            Some(_) | None => return malformed("a line that is no head of a message".to_owned()),
        }
    }
    let length = length.unwrap_or_default();
    let mut body = input.take(length);
    if length > LARGEST_BODY {
        io::copy(&mut body, &mut io::sink())?;
        return malformed(format!("a message has {length} bytes, over {LARGEST_BODY}"));
    }
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes)?;
    Ok(Some(parse(&bytes)))
}

fn parse(bytes: &[u8]) -> Received {
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => return Received::Malformed(format!("a message is not JSON: {error}")),
    };
    if value.get("method").is_none() && value.get("id").is_some() {
        return Received::Answer;
    }
    match serde_json::from_value(value) {
        Ok(call) => Received::Call(call),
        Err(error) => Received::Malformed(format!("a message is neither a request nor a notification: {error}")),
    }
}

/// Writes a message.
///
/// # Errors
/// The output cannot be written.
pub(super) fn write(output: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    write!(output, "Content-Length: {}\r\n\r\n", body.len())?;
    output.write_all(&body)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What each message is, until the input ends.
    fn told(input: &[u8]) -> Vec<String> {
        let mut input = input;
        let mut told = Vec::new();
        while let Some(received) = read(&mut input).unwrap() {
            told.push(match received {
                Received::Call(call) => call.method().to_owned(),
                Received::Answer => "answer".to_owned(),
                Received::Malformed(what) => format!("? {what}"),
            });
        }
        told
    }

    fn framed(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut bytes = Vec::new();
        write(&mut bytes, &json!({"jsonrpc": "2.0", "id": 1, "method": "경보"})).unwrap();
        write(&mut bytes, &json!({"jsonrpc": "2.0", "id": 1, "result": null})).unwrap();
        assert_eq!(told(&bytes), ["경보", "answer"]);
    }

    #[test]
    fn after_what_cannot_be_read_the_next_message_is() {
        let good = framed(r#"{"jsonrpc": "2.0", "method": "good"}"#);
        for bad in [
            framed("{"),
            framed("[]"),
            framed("{\"jsonrpc\": \"1.0\", \"method\": \"x\"}"),
            framed("\u{0}"),
            "Content-Length: many\r\n".to_owned(),
            "hello\r\n".to_owned(),
            format!("Content-Length: {}\r\n\r\n{}", LARGEST_BODY + 1, "x".repeat(usize::try_from(LARGEST_BODY).unwrap() + 1)),
        ] {
            let told = told(format!("{bad}{good}").as_bytes());
            assert!(told.len() == 2 && told[0].starts_with('?') && told[1] == "good", "{told:?}");
        }
    }

    #[test]
    fn an_input_that_ends_in_a_message_ends() {
        assert!(told(b"Content-Length: 999999999999999999\r\n\r\n{").iter().all(|it| it.starts_with('?')));
        assert!(told(b"Content-Len").iter().all(|it| it.starts_with('?')));
        assert!(told(b"").is_empty());
    }
}
