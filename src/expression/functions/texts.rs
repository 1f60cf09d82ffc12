//! Functions about texts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rhai::{Array, Dynamic, Engine, ImmutableString};

use super::{Outcome, patterns::Cache};
use crate::{
    digest::sha256,
    expression::limits::{LONGEST_TEXT, MOST_ITEMS},
};

pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("lower", str::to_lowercase);
    engine.register_fn("upper", str::to_uppercase);
    engine.register_fn("trim", |text: &str| text.trim().to_owned());
    engine.register_fn("join", |list: Array, separator: &str| join(&list, separator));
    engine.register_fn("hash", |text: &str| sha256(text));
    engine.register_fn("base64_encode", |text: &str| STANDARD.encode(text));
    engine.register_fn("base64_decode", |text: &str| -> Outcome<String> {
        let bytes = STANDARD.decode(text.trim()).map_err(|error| format!("the text is not base64: {error}"))?;
        String::from_utf8(bytes).map_err(|_bytes| "what was encoded in base64 is not text".into())
    });
    let cache = Cache::default();
    engine
        .register_fn("matches", move |text: &str, pattern: ImmutableString| -> Outcome<bool> { Ok(cache.get(&pattern)?.is_match(text)?) });
    register_replace(engine);
    register_split(engine);
}

/// Rhai has its own of each of these, which change the text in place and grow it without a limit.
fn register_replace(engine: &mut Engine) {
    engine.register_fn("replace", |text: &str, from: &str, to: &str| replace(text, from, to));
    engine.register_fn("replace", |text: &str, from: char, to: char| replace(text, &from.to_string(), &to.to_string()));
    engine.register_fn("replace", |text: &str, from: char, to: &str| replace(text, &from.to_string(), to));
    engine.register_fn("replace", |text: &str, from: &str, to: char| replace(text, from, &to.to_string()));
}

/// Rhai has its own of each of these, which make a list of a million parts before anybody counts them.
fn register_split(engine: &mut Engine) {
    engine.register_fn("split", |text: &str, separator: &str| listed(text.split(separator)));
    engine.register_fn("split", |text: &str, separator: char| listed(text.split(separator)));
    engine.register_fn("split", |text: &str, separator: &str, most: i64| listed(text.splitn(at_most(most), separator)));
    engine.register_fn("split", |text: &str, separator: char, most: i64| listed(text.splitn(at_most(most), separator)));
    engine.register_fn("split", |text: &str| listed(text.split_whitespace()));
    engine.register_fn("split_rev", |text: &str, separator: &str| listed(text.rsplit(separator)));
    engine.register_fn("split_rev", |text: &str, separator: char| listed(text.rsplit(separator)));
    engine.register_fn("split_rev", |text: &str, separator: &str, most: i64| listed(text.rsplitn(at_most(most), separator)));
    engine.register_fn("split_rev", |text: &str, separator: char, most: i64| listed(text.rsplitn(at_most(most), separator)));
    engine.register_fn("to_chars", |text: &str| -> Outcome<Array> {
        if text.chars().nth(MOST_ITEMS).is_some() {
            Err(too_many_parts().into())
        } else {
            Ok(text.chars().map(Dynamic::from_char).collect())
        }
    });
}

fn replace(text: &str, from: &str, to: &str) -> Outcome<String> {
    let found = text.matches(from).count();
    if text.len().saturating_add(found.saturating_mul(to.len())) > LONGEST_TEXT.saturating_add(found.saturating_mul(from.len())) {
        return Err(too_long().into());
    }
    Ok(text.replace(from, to))
}

fn join(list: &Array, separator: &str) -> Outcome<String> {
    let mut text = String::new();
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            text.push_str(separator);
        }
        text.push_str(&item.to_string());
        if text.len() > LONGEST_TEXT {
            return Err(too_long().into());
        }
    }
    Ok(text)
}

fn listed<'a>(parts: impl Iterator<Item = &'a str>) -> Outcome<Array> {
    let list: Array = parts.take(MOST_ITEMS + 1).map(Into::into).collect();
    if list.len() > MOST_ITEMS { Err(too_many_parts().into()) } else { Ok(list) }
}

/// A list of no parts would lose the text.
fn at_most(parts: i64) -> usize {
    usize::try_from(parts).unwrap_or_default().max(1)
}

fn too_long() -> String {
    format!("the text would be longer than {LONGEST_TEXT} bytes")
}

fn too_many_parts() -> String {
    format!("the text has more than {MOST_ITEMS} parts")
}
