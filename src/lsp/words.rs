//! What expressions can read and call: names, parts after a dot, functions; each with a text about it.

use super::{place::Place, schema::PLAYBOOK};
use crate::{
    expression::{FUNCTIONS, Function, RHAI_FUNCTIONS},
    playbook::{OF_STEP, READABLE},
};

/// A word that can stand in an expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) name: String,
    /// What it is, in Markdown.
    pub(super) about: String,
    pub(super) is_function: bool,
}

/// The words that can follow what is typed of an expression, and where the one begins that is being typed.
pub(super) fn following(place: &Place<'_>, start: usize) -> (Vec<Word>, usize) {
    let typed = place.sketch.text.get(start..place.offset).unwrap_or_default();
    if let Some(table) = begun_text(typed, "lookup(") {
        let tables = place.checked.library.sandbox.tables().map(|name| name_of(name, "a lookup table"));
        return (tables.collect(), place.offset - table.len());
    }
    let is_part = |it: char| it.is_alphanumeric() || matches!(it, '_' | '.' | '?');
    let chain = typed.rsplit(|it| !is_part(it)).next().unwrap_or_default();
    let mut parts: Vec<&str> = chain.split('.').map(|part| part.trim_end_matches('?')).collect();
    let last = parts.pop().unwrap_or_default();
    (after(place, &parts), place.offset - last.len())
}

/// The word at a place, whole, and its meaning.
pub(super) fn at(place: &Place<'_>, start: usize) -> Option<(std::ops::Range<usize>, String)> {
    let text = place.sketch.text;
    let is_word = |it: char| it.is_alphanumeric() || it == '_';
    let end = place.offset + text.get(place.offset..)?.find(|it| !is_word(it)).unwrap_or(0);
    let typed = text.get(start..end)?;
    let word = typed.rsplit(|it| !is_word(it)).next().filter(|it| !it.is_empty())?;
    let chain = typed.rsplit(|it: char| !is_word(it) && !matches!(it, '.' | '?')).next()?;
    let parts: Vec<&str> = chain.split('.').map(|part| part.trim_end_matches('?')).collect();
    let (_, before) = parts.split_last()?;
    let found = after(place, before).into_iter().find(|it| it.name == word)?;
    Some((end - word.len()..end, found.about))
}

/// What can stand after some words and a dot.
fn after(place: &Place<'_>, parts: &[&str]) -> Vec<Word> {
    let named = |names: Vec<String>, about: &str| names.iter().map(|name| name_of(name, about)).collect();
    let owned = |names: Vec<&str>| names.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>();
    match parts {
        [] => names(place).into_iter().chain(functions(|function| !is_method(function))).collect(),
        ["alert"] => fields(),
        ["steps"] => named(place.steps_before(), "a step"),
        ["steps", _] => named(owned(OF_STEP.to_vec()), "of the step"),
        ["vars"] => named(owned(place.keys_at(&["vars"])), "a variable"),
        ["inputs"] => named(owned(place.keys_at(&["trigger", "manual", "inputs"])), "an input"),
        [name] if READABLE.iter().any(|it| it.name == *name && !it.parts.is_empty()) => {
            let parts = READABLE.iter().filter(|it| it.name == *name).flat_map(|it| it.parts);
            parts.map(|part| name_of(part, &format!("of `{name}`"))).collect()
        }
        [_, ..] => functions(is_method).collect(),
    }
}

fn names(place: &Place<'_>) -> Vec<Word> {
    let readable = READABLE.iter().map(|it| name_of(it.name, it.holds));
    readable.chain(place.items().map(|name| name_of(name, "the item of the list"))).collect()
}

/// The fields of an alert, as the schema of `match` describes them.
pub(super) fn fields() -> Vec<Word> {
    let fields = PLAYBOOK.pointer("/properties/trigger/properties/alert/properties/match/properties").and_then(|it| it.as_object());
    let word = |(name, field): (&String, &serde_json::Value)| {
        name_of(name, field.get("description").and_then(serde_json::Value::as_str).unwrap_or_default())
    };
    fields.into_iter().flatten().map(word).collect()
}

fn functions(wanted: impl Fn(&Function) -> bool) -> impl Iterator<Item = Word> {
    let all = FUNCTIONS.iter().chain(RHAI_FUNCTIONS);
    all.filter(move |it| wanted(it)).map(|it| {
        let about = format!("`{}`: {}\n\n```rhai\n{} // {}\n```", it.signature, it.meaning, it.example, it.value);
        Word { name: it.name.to_owned(), about, is_function: true }
    })
}

/// Whether a function is called on a value, as in `x.len()`.
fn is_method(function: &Function) -> bool {
    function.signature.contains(&format!(".{}(", function.name))
}

fn name_of(name: &str, about: &str) -> Word {
    Word { name: name.to_owned(), about: about.to_owned(), is_function: false }
}

/// The text in quotes that has begun as the first argument of a call and has not ended.
fn begun_text<'t>(typed: &'t str, call: &str) -> Option<&'t str> {
    let argument = typed.get(typed.rfind(call)? + call.len()..)?.trim_start_matches('\\');
    argument.strip_prefix('"').filter(|text| !text.contains(['"', '\\']))
}
