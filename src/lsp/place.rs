//! A place in a file, with all that can be known of it: what lies around it, what may stand there, what the folder and the settings give.

use std::path::Path;

use serde_json::Value;

use super::{
    schema::{Allowed, Form},
    sketch::{Sketch, Slot, Spot},
};
use crate::{app::check::Checked, playbook::Playbook};

/// A place in a file.
pub(super) struct Place<'a> {
    pub(super) sketch: Sketch<'a>,
    pub(super) spot: Spot,
    pub(super) offset: usize,
    pub(super) checked: &'a Checked,
    pub(super) form: Form,
    path: &'a Path,
}

impl<'a> Place<'a> {
    pub(super) fn new((path, form): (&'a Path, Form), text: &'a str, offset: usize, checked: &'a Checked) -> Self {
        let sketch = Sketch::of(text);
        let spot = sketch.spot(offset);
        Self { sketch, spot, offset, checked, form, path }
    }

    /// The schema of the whole file.
    pub(super) fn root(&self) -> &'static Value {
        self.form.schema()
    }

    /// Whether the file holds tests.
    pub(super) fn is_test(&self) -> bool {
        self.form == Form::Tests
    }

    /// What may stand here.
    pub(super) fn allowed(&self) -> Allowed<'static> {
        let allowed = Allowed::at(self.root(), &self.sketch, &self.spot.around);
        if self.spot.slot == Slot::Item { allowed.item(self.root()) } else { allowed }
    }

    /// The key or item that lies directly around.
    pub(super) fn container(&self) -> Option<usize> {
        self.spot.around.last().copied()
    }

    /// The innermost key around: that of a value, or of the map that a key is in.
    pub(super) fn key(&self) -> Option<&str> {
        self.spot.around.iter().rev().find_map(|at| self.sketch.name(*at))
    }

    /// What was typed of the word so far, from its beginning to the place.
    pub(super) fn typed(&self) -> &str {
        self.sketch.text.get(self.spot.whole.start..self.offset).unwrap_or_default()
    }

    /// Where the expression begins in whose midst the place is.
    pub(super) fn expression(&self) -> Option<usize> {
        if self.form != Form::Playbook || self.spot.slot == Slot::Key {
            return None;
        }
        let begun = self.typed().rfind("${").filter(|at| !self.typed().get(*at..).unwrap_or_default().contains('}'));
        let start = begun.map(|at| at + 2).or_else(|| (self.spot.slot == Slot::Value && self.allowed().is_expression()).then_some(0))?;
        Some(self.spot.whole.start + start)
    }

    /// The playbook that a test file is about.
    pub(super) fn subject(&self) -> Option<&Playbook> {
        let file = self.path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        let named = self.sketch.child(None, "playbook").map(|at| self.sketch.scalar(at)).filter(|name| !name.is_empty());
        let name = named.or_else(|| file.split(".test.").next())?;
        self.checked.library.get(name).map(|playbook| &**playbook)
    }

    /// The ids of steps that can be meant: those of a test's playbook, or those of this one.
    pub(super) fn steps(&self) -> Vec<String> {
        if self.is_test() {
            let steps = self.subject().map(Playbook::every_step).unwrap_or_default();
            return steps.iter().map(|step| step.id.clone()).collect();
        }
        let is_id = |at: &usize| self.sketch.name(*at) == Some("id") && !self.spot.around.contains(at);
        let ids = (0..self.sketch.knots.len()).filter(is_id).map(|at| self.sketch.scalar(at).to_owned());
        ids.filter(|id| !id.is_empty()).collect()
    }

    /// The ids of the steps before this place, without those that it lies in.
    pub(super) fn steps_before(&self) -> Vec<String> {
        let is_before = |at: &usize| {
            let parent = self.sketch.knots.get(*at).and_then(|knot| Some((knot.key.as_ref()?.end, knot.parent)));
            parent.is_some_and(|(end, parent)| end < self.offset && !parent.is_some_and(|it| self.spot.around.contains(&it)))
        };
        let ids = (0..self.sketch.knots.len()).filter(|at| self.sketch.name(*at) == Some("id")).filter(is_before);
        ids.map(|at| self.sketch.scalar(at).to_owned()).filter(|id| !id.is_empty()).collect()
    }

    /// The keys of the map that lies at a path from the top.
    pub(super) fn keys_at(&self, path: &[&str]) -> Vec<&str> {
        let map = path.iter().try_fold(None, |parent, key| self.sketch.child(parent, key).map(Some)).flatten();
        map.into_iter().flat_map(|map| self.sketch.inside(Some(map))).filter_map(|at| self.sketch.name(at)).collect()
    }

    /// The names that the lists around give to their items.
    pub(super) fn items(&self) -> impl Iterator<Item = &str> {
        let names = self.spot.around.iter().filter_map(|at| self.sketch.child(Some(*at), "as"));
        names.map(|at| self.sketch.scalar(at)).filter(|name| !name.is_empty())
    }
}
