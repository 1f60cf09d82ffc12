//! What can be typed at a place: keys, words, names, and what expressions read and call. [`settings`] has the names of the settings.

mod settings;

use std::ops::Range;

use gen_lsp_types::{CompletionItem, CompletionItemKind, CompletionItemTextEdit, Documentation, MarkupContent, MarkupKind, TextEdit};

use super::{
    place::Place,
    position,
    schema::{Allowed, Form, Offered},
    sketch::Slot,
    words,
};
use crate::{
    actions::{self, CATALOG, Entry},
    adapters,
    channels::Channels,
    playbook::Playbook,
};

/// Something that can be typed.
#[derive(Debug)]
struct Choice {
    label: String,
    /// What it is, in Markdown.
    about: String,
    kind: CompletionItemKind,
    /// Shown before the others.
    is_needed: bool,
}

/// Everything that can be typed at a place.
pub(super) fn complete(place: &Place<'_>) -> Vec<CompletionItem> {
    let typed = place.typed();
    if let Some(start) = place.expression() {
        let (words, start) = words::following(place, start);
        let choices = words.into_iter().map(|word| {
            let kind = if word.is_function { CompletionItemKind::Function } else { CompletionItemKind::Variable };
            Choice { label: word.name, about: word.about, kind, is_needed: false }
        });
        return choices.map(|choice| item(place, choice, start..place.offset, "")).collect();
    }
    // Nothing can be completed in a comment.
    if typed.starts_with('#') || typed.contains(" #") || typed.contains('\n') {
        return Vec::new();
    }
    let allowed = place.allowed();
    let mut items = Vec::new();
    if place.spot.slot != Slot::Value {
        let (range, colon) = key_range(place);
        items.extend(keys(place, &allowed).into_iter().map(|choice| item(place, choice, range.clone(), colon)));
    }
    if place.spot.slot != Slot::Key {
        let range = value_range(place);
        items.extend(values(place, &allowed).into_iter().map(|choice| item(place, choice, range.clone(), "")));
    }
    items
}

/// What a key replaces, and what follows it. Where its colon is there already, the whole key makes way.
fn key_range(place: &Place<'_>) -> (Range<usize>, &'static str) {
    let whole = place.spot.whole.clone();
    let has_colon =
        place.spot.slot == Slot::Key && place.sketch.text.get(whole.end..).is_some_and(|it| it.trim_start_matches(' ').starts_with(':'));
    if has_colon { (whole, "") } else { (whole.start..place.offset, ": ") }
}

/// What a value replaces: the quotes around it stay.
fn value_range(place: &Place<'_>) -> Range<usize> {
    let typed = place.typed();
    let word = typed.trim_start_matches(' ').trim_start_matches(['"', '\'']);
    place.offset - word.len()..place.offset
}

fn keys(place: &Place<'_>, allowed: &Allowed<'static>) -> Vec<Choice> {
    let is_other = |at: &usize| place.sketch.knots.get(*at).is_some_and(|it| it.key.as_ref() != Some(&place.spot.whole));
    let present: Vec<&str> = place.sketch.inside(place.container()).filter(is_other).filter_map(|at| place.sketch.name(at)).collect();
    let of_schema = allowed.keys(place.root(), &present).into_iter().map(|key: Offered<'_>| Choice {
        about: key.value.description().unwrap_or_default().to_owned(),
        label: key.name.to_owned(),
        kind: CompletionItemKind::Property,
        is_needed: key.is_needed,
    });
    let named = if allowed.takes_any_key() { known_keys(place) } else { Vec::new() };
    of_schema.chain(named.into_iter().filter(|it| !present.contains(&it.label.as_str()))).collect()
}

/// The names that are keys of maps which take any: what they are is known by the map.
fn known_keys(place: &Place<'_>) -> Vec<Choice> {
    if place.form == Form::Settings {
        return settings::keys(place);
    }
    let key = place.container().and_then(|at| place.sketch.name(at)).unwrap_or_default();
    match key {
        "steps" | "outputs" | "approvals" if place.is_test() => steps(place),
        "mocks" => steps(place).into_iter().chain(action_names()).collect(),
        "lookups" => named(place.checked.library.sandbox.tables().map(ToOwned::to_owned), "a lookup table"),
        "inputs" => inputs(place),
        "alert" | "vary" => {
            let fields = words::fields().into_iter().map(|word| (word.name, word.about));
            fields.map(|(label, about)| Choice { label, about, kind: CompletionItemKind::Property, is_needed: false }).collect()
        }
        _ => Vec::new(),
    }
}

fn values(place: &Place<'_>, allowed: &Allowed<'static>) -> Vec<Choice> {
    let words = allowed.words().into_iter().map(|(label, meaning)| {
        let about = actions::find(&label).map_or_else(|| meaning.to_owned(), about_action);
        Choice { label, about, kind: CompletionItemKind::EnumMember, is_needed: false }
    });
    let mut found: Vec<Choice> = words.collect();
    for name in known_values(place) {
        if found.iter().all(|it| it.label != name.label) {
            found.push(name);
        }
    }
    found
}

/// The names that can be the value of a key: what they are is known by the key.
fn known_values(place: &Place<'_>) -> Vec<Choice> {
    if place.form == Form::Settings {
        return settings::values(place);
    }
    match place.key().unwrap_or_default() {
        "channels" | "channel" => {
            let channels = place.checked.channels.iter().flat_map(Channels::names);
            named(channels.map(ToOwned::to_owned), "a channel of the settings")
        }
        "for_steps" | "step" | "before_call" | "after_call" | "never_calls" => steps(place),
        "playbook" if place.is_test() || place.container() != place.sketch.child(None, "playbook") => {
            let playbooks = place.checked.library.playbooks.iter();
            let about = |it: &Playbook| if it.description.is_empty() { "a playbook".to_owned() } else { it.description.clone() };
            playbooks
                .map(|it| Choice { label: it.name.clone(), about: about(it), kind: CompletionItemKind::File, is_needed: false })
                .collect()
        }
        "kind" => named(adapters::kinds().map(ToOwned::to_owned), "a kind of alert that Microsoft's sources bring"),
        "action" => action_names(),
        "by" => words::fields().into_iter().map(|it| choice(it.name, &it.about)).collect(),
        _ => Vec::new(),
    }
}

fn steps(place: &Place<'_>) -> Vec<Choice> {
    named(place.steps().into_iter(), "a step")
}

fn action_names() -> Vec<Choice> {
    CATALOG.iter().map(|entry| choice(entry.name.to_owned(), &about_action(entry))).collect()
}

/// The inputs of the playbook that a step calls, or that is tested.
fn inputs(place: &Place<'_>) -> Vec<Choice> {
    let step = place.spot.around.iter().rev().nth(1).copied();
    let called = place.sketch.child(step, "playbook").map(|at| place.sketch.scalar(at));
    let playbook = if place.is_test() { place.subject() } else { called.and_then(|name| place.checked.library.get(name)).map(|it| &**it) };
    let inputs = playbook.into_iter().flat_map(|playbook| &playbook.inputs);
    inputs.map(|input| choice(input.name.clone(), &input.description)).collect()
}

/// An action in Markdown: what it does, how it may be repeated, an example.
pub(super) fn about_action(entry: &Entry) -> String {
    let class = format!("class `{}`{}", entry.class, if entry.destructive { ", destructive" } else { "" });
    format!("{}\n\n{class}\n\n```yaml\naction: {}\nwith: {}\n```", entry.summary, entry.name, entry.example)
}

fn named(names: impl Iterator<Item = String>, about: &str) -> Vec<Choice> {
    names.map(|name| choice(name, about)).collect()
}

fn choice(label: String, about: &str) -> Choice {
    Choice { label, about: about.to_owned(), kind: CompletionItemKind::Value, is_needed: false }
}

fn item(place: &Place<'_>, choice: Choice, replaced: Range<usize>, colon: &str) -> CompletionItem {
    // A bracket would end what is in brackets.
    let is_bare = choice.label.starts_with("${") && !place.sketch.text.get(..replaced.start).unwrap_or_default().ends_with(['"', '\'']);
    let written = if is_bare { format!("\"{}\"", choice.label) } else { format!("{}{colon}", choice.label) };
    let edit = TextEdit { range: position::range(place.sketch.text, &replaced), new_text: written };
    let about = MarkupContent { kind: MarkupKind::Markdown, value: choice.about };
    CompletionItem {
        kind: Some(choice.kind),
        sort_text: Some(format!("{}{}", u8::from(!choice.is_needed), choice.label)),
        filter_text: Some(choice.label.clone()),
        text_edit: Some(CompletionItemTextEdit::TextEdit(edit)),
        documentation: (!about.value.is_empty()).then_some(Documentation::MarkupContent(about)),
        label: choice.label,
        ..CompletionItem::default()
    }
}

#[cfg(test)]
mod tests;
