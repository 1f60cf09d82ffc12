//! How results are printed: tables with colour for people on a terminal, JSON for machines.

use std::io::{IsTerminal, Write};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::Exit;

/// Prints text; a reader that has gone away is no error.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    // `quell alerts list | head` closes the pipe, and nothing is left to say.
    drop(written);
}

/// Prints one document.
pub(super) fn print_json(value: &impl Serialize) -> Exit {
    match serde_json::to_string_pretty(value) {
        Ok(text) => {
            print(&text);
            Exit::Done
        }
        Err(error) => Exit::problem(&format!("write the result as JSON: {error}")),
    }
}

/// A table with a heading for each column.
pub(super) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if !colour() {
        table.force_no_tty();
    }
    table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
    table
}

/// A table without headings: names and values.
pub(super) fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !colour() {
        table.force_no_tty();
    }
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([Cell::new(name).add_attribute(Attribute::Bold), Cell::new(printable(&value))]);
    }
    table
}

/// A state, in the colour that it deserves.
pub(super) fn state(word: &str) -> Cell {
    let cell = Cell::new(word);
    match word {
        "done" | "succeeded" | "matched" | "ok" | "released" => cell.fg(Color::Green),
        "failed" | "indeterminate" | "error" | "rejected" | "unknown" | "critical" => cell.fg(Color::Red),
        "ready" | "waiting" | "received" | "executing" | "confirming" | "retrying" | "held" | "high" => cell.fg(Color::Yellow),
        _ => cell,
    }
}

/// A time as people here read it.
pub(super) fn time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Text from outside without the characters by which it could take over a terminal, or be read in another order than written.
pub(super) fn printable(text: &str) -> String {
    let deceives = |it: char| it.is_control() && it != '\n' || matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|it| if deceives(it) { char::REPLACEMENT_CHARACTER } else { it }).collect()
}

/// A text cut to a length that fits a column.
pub(super) fn short(text: &str, most: usize) -> String {
    let text = printable(text).replace('\n', " ");
    if text.chars().count() <= most { text } else { text.chars().take(most.saturating_sub(1)).chain(['…']).collect() }
}

/// Whether the reader is a person at a terminal who wants colour.
pub(super) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
