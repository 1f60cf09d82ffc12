//! How each part of a playbook is read: one file for each kind of thing. Each reader takes what it can and reports the rest.

mod action;
mod control;
mod inputs;
mod question;
mod rates;
mod step;
mod trigger;

pub(super) use action::MOST_ATTEMPTS;
pub(super) use control::MOST_AT_ONCE;
pub(super) use question::LARGEST_QUORUM;
pub(super) use rates::{MOST as LARGEST_COUNT, Rates};
pub(super) use step::KINDS;
pub(super) use step::sequence;
pub(super) use trigger::{Triggered, read as trigger};

use super::{codes, node::Node, reader::Reader};

/// Whether a text can stand as a name in expressions.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Reports a name that cannot stand in expressions; says whether it can.
pub(super) fn check_identifier(reader: &mut Reader<'_>, name: &str, span: &std::ops::Range<usize>, what: &str) -> bool {
    let is_good = is_identifier(name);
    if !is_good {
        let help = format!("{what} has small letters, digits and `_`, starts with a letter, and has at most 64 of them");
        reader.report_with_help(codes::NAME, span, format!("`{name}` cannot be {what}"), Some(help));
    }
    is_good
}

/// The texts of a list that is not empty.
fn texts(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Vec<String>> {
    let items = reader.list(node, what)?;
    if items.is_empty() {
        reader.report(codes::MISSING_KEY, &node.place(), format!("{what} is empty"));
        return None;
    }
    items.iter().map(|item| reader.text(item, what).map(ToOwned::to_owned)).collect()
}
