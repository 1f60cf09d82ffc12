//! `quell send`: puts alerts on the bus, for trying things out, for scripts, and for other programs' alerts.

use std::{
    collections::BTreeMap,
    io::{BufRead, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Desk, Exit, identity::Identity, output};
use crate::{
    alert::{self, Alert},
    app,
    bus::{Bus, Message, PUBLISH_TIMEOUT},
    store::Act,
};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Send {
    /// JSON files, or folders of them; `-` or nothing reads the standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The source of alerts that name none.
    #[arg(long, default_value = "send")]
    source: String,
    /// Put each line or file on the bus as it is, whatever it is; what is no alert ends in the quarantine.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    identity: Identity,
}

const AFTER_HELP: &str = "\
An alert needs only a `kind`; the rest has defaults. A file holds one JSON document, or one a line (`.jsonl`, standard input).

  echo '{\"kind\": \"crypto_mining\", \"severity\": \"high\", \"subscription_id\": \"…\"}' | quell send";

/// Enough to hide the time of one confirmation behind others.
const UNDER_WAY: usize = 256;

/// What fits a screen; the first tell what is wrong with the rest.
const SHOWN: usize = 20;

/// An alert's key holds its id, which may be long.
const LONGEST_KEY: usize = 100;

/// One document and where it was read.
struct Document {
    place: String,
    text: Vec<u8>,
}

impl Send {
    pub(super) async fn execute(self, desk: &Desk<'_>) -> Exit {
        let documents = match self.read() {
            Ok(documents) => documents,
            Err(message) => return Exit::usage(&message),
        };
        let count = documents.len();
        let (mut messages, mut refused) = (Vec::new(), Vec::new());
        let sender = self.identity.name();
        for document in documents {
            match self.message(&document, &sender) {
                Ok(message) => messages.push(message),
                Err(reason) => refused.push(format!("{}: {reason}", document.place)),
            }
        }
        let bus = match reach_bus(desk).await {
            Ok(bus) => bus,
            Err(exit) => return exit,
        };
        // Before anything is sent, so that nothing is sent of which this does not tell.
        if let Err(error) = desk.store.audit(self.act(count, &messages)).await {
            return Exit::unreachable(&error.to_string());
        }
        let (sent, failed) = publish_all(bus.as_ref(), messages).await;
        report(desk, sent, &failed, &refused)
    }

    /// What the audit log says of it; that something was sent, and not that all of it was taken.
    fn act(&self, documents: usize, messages: &[Message]) -> Act {
        let keys: Vec<_> = messages.iter().take(SHOWN).map(|message| output::short(&message.key, LONGEST_KEY)).collect();
        let detail = json!({"documents": documents, "messages": messages.len(), "raw": self.raw, "keys": keys});
        Act { who: self.identity.who(), what: "alerts.send", subject: "the bus".to_owned(), detail }
    }

    fn read(&self) -> Result<Vec<Document>, String> {
        let mut documents = Vec::new();
        if self.files.is_empty() {
            read_lines("the standard input", std::io::stdin().lock(), &mut documents)?;
        }
        for path in &self.files {
            if path == Path::new("-") {
                read_lines("the standard input", std::io::stdin().lock(), &mut documents)?;
            } else {
                read_path(path, &mut documents)?;
            }
        }
        Ok(documents)
    }

    fn message(&self, document: &Document, sender: &str) -> Result<Message, String> {
        if self.raw {
            return Ok(Message { key: document.place.clone(), body: document.text.clone() });
        }
        let alert = read_alert(&document.text, &self.source)?;
        Ok(Message { key: alert.dedup_key(), body: alert.to_event_by(sender) })
    }
}

/// The alert of a document, with what was left out filled in.
pub(super) fn read_alert(text: &[u8], source: &str) -> Result<Alert, String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(mut fields) = value else { return Err("an alert is a JSON object".to_owned()) };
    if fields.get("type").and_then(Value::as_str) == Some(alert::EVENT_TYPE) {
        return Alert::from_event(text).map_err(|error| error.to_string());
    }
    let now = Timestamp::now().to_string();
    let source = fields.get("source").and_then(Value::as_str).unwrap_or(source).to_owned();
    let defaults = [("id", alert::id_from_bytes(&source, text)), ("source", source), ("detected_at", now.clone()), ("received_at", now)];
    for (name, default) in defaults {
        fields.entry(name).or_insert(Value::String(default));
    }
    let raw = Value::Object(Map::clone(&fields));
    fields.entry("raw").or_insert(raw);
    let alert: Alert = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
    alert.checked().map_err(|error| error.to_string())
}

fn report(desk: &Desk<'_>, sent: usize, failed: &BTreeMap<String, usize>, refused: &[String]) -> Exit {
    if desk.json {
        output::print_json(&json!({"sent": sent, "refused": refused, "failed": failed}));
    } else {
        output::print(&format!("{sent} sent"));
    }
    for reason in refused.iter().take(SHOWN) {
        Exit::problem(reason);
    }
    if refused.len() > SHOWN {
        Exit::problem(&format!("{} more were refused; `--json` lists them all", refused.len() - SHOWN));
    }
    for (reason, count) in failed {
        Exit::unreachable(&format!("{count} not sent: {reason}"));
    }
    match (failed.is_empty(), refused.is_empty()) {
        (false, _) => Exit::Unreachable,
        (true, false) => Exit::Problems,
        (true, true) => Exit::Done,
    }
}

/// The bus, once it can take messages.
pub(super) async fn reach_bus(desk: &Desk<'_>) -> Result<Arc<dyn Bus>, Exit> {
    let bus = app::open_bus(desk.config, &desk.store, &desk.tasks).map_err(|error| Exit::usage(&format!("{error:#}")))?;
    let deadline = tokio::time::Instant::now() + PUBLISH_TIMEOUT * 2;
    while !bus.health().await.publishing {
        if tokio::time::Instant::now() > deadline {
            let reason = bus.publish(Message { key: String::new(), body: Vec::new() }).await.err().map(|error| error.to_string());
            return Err(Exit::unreachable(&reason.unwrap_or_else(|| "the bus does not answer".to_owned())));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(bus)
}

/// Publishes with many under way at once; returns how many were confirmed, and the reasons of the others.
async fn publish_all(bus: &dyn Bus, messages: Vec<Message>) -> (usize, BTreeMap<String, usize>) {
    let progress = progress(messages.len());
    let mut results = stream::iter(messages).map(|message| bus.publish(message)).buffered(UNDER_WAY);
    let (mut sent, mut failed) = (0, BTreeMap::new());
    while let Some(result) = results.next().await {
        progress.inc(1);
        match result {
            Ok(()) => sent += 1,
            Err(error) => *failed.entry(error.to_string()).or_insert(0) += 1,
        }
    }
    progress.finish_and_clear();
    (sent, failed)
}

/// A bar for so many alerts, if somebody is there to see it.
pub(super) fn progress(count: usize) -> ProgressBar {
    // For a handful it would only flicker.
    if count < 100 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(count).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} alerts, {per_sec}, {eta} left");
    match style {
        Ok(style) => bar.with_style(style),
        // Only a mistake in the text above leads here; the plain bar serves as well.
        Err(_) => bar,
    }
}

fn read_path(path: &Path, documents: &mut Vec<Document>) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("read `{}`: {error}", path.display());
    if path.is_dir() {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(fault)? {
            files.push(entry.map_err(fault)?.path());
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json" || extension == "jsonl"));
        files.sort();
        return files.iter().try_for_each(|file| read_path(file, documents));
    }
    let place = path.display().to_string();
    let file = std::fs::File::open(path).map_err(fault)?;
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        return read_lines(&place, std::io::BufReader::new(file), documents);
    }
    documents.push(Document { place, text: std::fs::read(path).map_err(fault)? });
    Ok(())
}

fn read_lines(name: &str, lines: impl BufRead, documents: &mut Vec<Document>) -> Result<(), String> {
    for (at, line) in lines.split(b'\n').enumerate() {
        let text = line.map_err(|error| format!("read {name}: {error}"))?;
        if !text.trim_ascii().is_empty() {
            documents.push(Document { place: format!("{name}:{}", at + 1), text });
        }
    }
    Ok(())
}
