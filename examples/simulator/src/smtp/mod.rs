//! A small mail server that accepts every message and keeps it in the ledger. No TLS, no sign-in, nothing is sent on.
//!
//! This file holds the conversation; `envelope` knows the commands.

mod envelope;

use std::{io, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::{
    core::Core,
    fault::{FaultKind, Subject},
    ledger::{Effect, Entry},
    server::sha256,
    smtp::envelope::{Envelope, header},
};

/// Announced with `SIZE`; a longer message is refused.
const MAX_MESSAGE: usize = 1024 * 1024;
/// So much of a message is kept; the digest is of all of it.
const MAX_KEPT: usize = 64 * 1024;
/// The standard allows 512 octets for a command and 1000 for a text line; generous to both.
const MAX_LINE: u64 = 4096;
/// A client that says nothing for so long is let go.
const PATIENCE: Duration = Duration::from_mins(1);

/// Serves until the task is stopped.
pub(crate) async fn run(core: Arc<Core>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let session = Session { core: Arc::clone(&core), stream: BufReader::new(stream), envelope: Envelope::default() };
        core.tasks.spawn(async move {
            // The error is a client that hung up: nothing to tell anyone.
            drop(session.serve().await);
        });
    }
}

struct Session {
    core: Arc<Core>,
    stream: BufReader<TcpStream>,
    envelope: Envelope,
}

/// Whether the conversation goes on.
enum Next {
    Listen,
    Close,
}

/// What the rules want of a command.
enum Ruling {
    Obey,
    Refuse(u16),
    /// Obey, then close without a reply.
    ObeySilently,
    Close,
}

impl Session {
    async fn serve(mut self) -> io::Result<()> {
        if !matches!(self.ruling("CONNECT", "").await, Ruling::Obey) {
            return Ok(());
        }
        self.reply("220 simulator.example ESMTP").await?;
        loop {
            let Some(line) = self.line().await? else {
                return Ok(());
            };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if let Next::Close = self.command(&line).await? {
                return Ok(());
            }
        }
    }

    async fn command(&mut self, line: &str) -> io::Result<Next> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        let ruling = self.ruling(&verb, rest).await;
        match ruling {
            Ruling::Close => return Ok(Next::Close),
            Ruling::Refuse(code) => {
                self.note(&verb, rest, code);
                self.reply(&format!("{code} injected by a fault rule")).await?;
                // 421 is the server's way to say goodbye.
                return Ok(if code == 421 { Next::Close } else { Next::Listen });
            }
            Ruling::Obey | Ruling::ObeySilently => {}
        }
        match verb.as_str() {
            "DATA" => return self.data(matches!(ruling, Ruling::Obey)).await,
            "QUIT" => {
                self.reply("221 bye").await?;
                return Ok(Next::Close);
            }
            _ => {}
        }
        let reply = self.envelope.command(&verb, rest);
        if let Ruling::ObeySilently = ruling {
            return Ok(Next::Close);
        }
        self.reply(reply).await?;
        Ok(Next::Listen)
    }

    async fn data(&mut self, is_answered: bool) -> io::Result<Next> {
        if self.envelope.from.is_none() || self.envelope.to.is_empty() {
            self.reply("503 need MAIL and RCPT first").await?;
            return Ok(Next::Listen);
        }
        self.reply("354 end with a line that is one dot").await?;
        let mut message = Vec::new();
        let mut is_too_long = false;
        loop {
            let Some(line) = self.line().await? else {
                return Ok(Next::Close);
            };
            if line == b".\r\n" || line == b".\n" {
                break;
            }
            // A leading dot was doubled by the client.
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            is_too_long |= message.len() > MAX_MESSAGE;
            if is_too_long {
                message.clear();
            }
        }
        if is_too_long {
            self.envelope.reset();
            self.reply("552 message exceeds the size limit").await?;
            return Ok(Next::Listen);
        }
        self.keep(&message, is_answered);
        self.envelope.reset();
        if !is_answered {
            return Ok(Next::Close);
        }
        self.reply("250 kept").await?;
        Ok(Next::Listen)
    }

    fn keep(&self, message: &[u8], is_answered: bool) {
        let text = String::from_utf8_lossy(message);
        let body = json!({
            "from": self.envelope.from,
            "to": self.envelope.to,
            "subject": header(&text, "subject"),
            "message": text.chars().take(MAX_KEPT).collect::<String>(),
        });
        let digest = sha256(message);
        let id = header(&text, "message-id").unwrap_or_else(|| digest.clone());
        let now = Timestamp::now();
        let mut state = self.core.state(now);
        let repeat = state.ledger.has_effect("message.email", &id);
        let mut entry = entry("DATA", &self.envelope.to.join(","), 250, now);
        entry.body_sha256 = digest;
        entry.body = Some(body);
        entry.answered = is_answered;
        entry.effect = Some(Effect::new("message.email", &id).repeated(repeat));
        state.ledger.append(entry);
    }

    fn note(&self, verb: &str, rest: &str, code: u16) {
        self.core.record(entry(verb, rest, code, Timestamp::now()));
    }

    async fn ruling(&self, verb: &str, rest: &str) -> Ruling {
        let now = Timestamp::now();
        let verdict = self.core.state(now).faults.decide(Subject { service: "smtp", method: verb, path: rest, throttle_key: "smtp", now });
        sleep(Duration::from_millis(verdict.delay + verdict.answer_delay)).await;
        match verdict.kind {
            Some(FaultKind::Status { status, .. } | FaultKind::Html { status }) => Ruling::Refuse(status),
            Some(FaultKind::ApplyThenDrop | FaultKind::Truncate) => Ruling::ObeySilently,
            Some(FaultKind::DropBeforeApply) => Ruling::Close,
            _ => Ruling::Obey,
        }
    }

    async fn reply(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await
    }

    /// One line with its end; `None` when the client is gone, silent for too long, or does not end its line.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_LINE);
        let read = timeout(PATIENCE, limited.read_until(b'\n', &mut line)).await;
        let is_whole = read.is_ok_and(|read| read.is_ok()) && line.ends_with(b"\n");
        Ok(is_whole.then_some(line))
    }
}

fn entry(verb: &str, path: &str, status: u16, now: Timestamp) -> Entry {
    Entry {
        seq: 0,
        at: now,
        service: "smtp".to_owned(),
        method: verb.to_owned(),
        path: path.to_owned(),
        request_id: None,
        correlation_id: None,
        if_match: None,
        body_sha256: sha256(b""),
        body: None::<Value>,
        status,
        applied: false,
        answered: true,
        effect: None,
    }
}
