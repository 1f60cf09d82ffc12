//! What the word under the pointer means: a key, an action, a word that a key takes, a part of an expression.

use gen_lsp_types::{Contents, Hover, MarkupContent, MarkupKind};

use super::{completion::about_action, place::Place, position, schema::Allowed, sketch::Slot, words};
use crate::actions;

/// The text about a place, if there is anything to say.
pub(super) fn hover(place: &Place<'_>) -> Option<Hover> {
    let (span, about) = match place.expression() {
        Some(start) => words::at(place, start)?,
        None if place.spot.slot == Slot::Key => (place.spot.whole.clone(), about_key(place)?),
        None => (place.spot.whole.clone(), about_value(place)?),
    };
    let contents = Contents::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value: about });
    Some(Hover { contents, range: Some(position::range(place.sketch.text, &span)) })
}

fn about_key(place: &Place<'_>) -> Option<String> {
    let key = place.sketch.knots.iter().position(|knot| knot.key.as_ref() == Some(&place.spot.whole))?;
    let mut around = place.spot.around.clone();
    around.push(key);
    let name = place.sketch.name(key)?;
    let allowed = Allowed::at(place.root(), &place.sketch, &around);
    let words: Vec<String> = allowed.words().into_iter().map(|(word, _)| format!("`{word}`")).collect();
    let default = allowed.default_value().map(|value| format!("\n\nIf left out: `{value}`")).unwrap_or_default();
    Some(format!("`{name}`: {}{default}\n\n{}", allowed.description()?, words.join(", ")).trim_end().to_owned())
}

fn about_value(place: &Place<'_>) -> Option<String> {
    let value = place.container().map(|at| place.sketch.scalar(at))?;
    if let Some(entry) = actions::find(value) {
        return Some(format!("`{value}`: {}", about_action(entry)));
    }
    let (word, meaning) = place.allowed().words().into_iter().find(|(word, _)| word == value)?;
    (!meaning.is_empty()).then(|| format!("`{word}`: {meaning}"))
}
