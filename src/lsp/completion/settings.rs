//! The names of the settings: those of the same file, and the types of channels, which are a part of a name.

use std::collections::BTreeSet;

use super::{Choice, choice, named};
use crate::{channels, lsp::place::Place};

/// The names that are keys of maps which take any.
pub(super) fn keys(place: &Place<'_>) -> Vec<Choice> {
    match place.key() {
        Some("channels") => channels::CATALOG.iter().map(|entry| choice(format!("{}:name", entry.kind), entry.summary)).collect(),
        Some(_) | None => Vec::new(),
    }
}

/// The names that can be the value of a key.
pub(super) fn values(place: &Place<'_>) -> Vec<Choice> {
    match place.key().unwrap_or_default() {
        "connection" => named(owned(place.keys_at(&["connections"])), "a connection"),
        // At the top it is the map of them.
        "channels" | "to" if place.spot.around.len() > 1 && !is_in_channels(place) => {
            let always = place.keys_at(&["channels"]).into_iter().chain([channels::DEFAULT]);
            named(owned(always.collect::<BTreeSet<_>>()), "a channel")
        }
        "groups" => named(owned(groups(place)), "a group of users"),
        _ => Vec::new(),
    }
}

/// Whether it is in the settings of a channel, where `to` are people.
fn is_in_channels(place: &Place<'_>) -> bool {
    let outermost = place.spot.around.first().copied();
    outermost.is_some() && outermost == place.sketch.child(None, "channels")
}

/// The groups that users are members of.
fn groups<'p>(place: &'p Place<'_>) -> BTreeSet<&'p str> {
    let sketch = &place.sketch;
    let users = sketch.child(None, "users").into_iter().flat_map(|users| sketch.inside(Some(users)));
    let groups = users.filter_map(|user| sketch.child(Some(user), "groups")).flat_map(|groups| sketch.inside(Some(groups)));
    let here = place.container();
    groups.filter(|group| Some(*group) != here).map(|group| sketch.scalar(group)).filter(|name| !name.is_empty()).collect()
}

fn owned<'n>(names: impl IntoIterator<Item = &'n str>) -> impl Iterator<Item = String> {
    names.into_iter().map(ToOwned::to_owned)
}
