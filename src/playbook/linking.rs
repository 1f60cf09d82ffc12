//! Joins playbooks with those that they call, and freezes what each leans on, so that a run goes on with all of it as it was.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Body, Playbook, Step, Trigger, codes,
    parse::Draft,
    reader::{CallSite, GivenInput, listed},
};
use crate::{
    digest::sha256,
    problem::{Place, Problem, did_you_mean},
};

/// What a text leans on: see [`Playbook::around`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Around {
    pub(super) lib: Vec<String>,
    pub(super) playbooks: BTreeMap<String, String>,
}

/// Playbooks that are being joined.
pub(super) struct Linking<'a> {
    drafts: BTreeMap<String, Draft>,
    /// The names of playbooks that have problems of their own.
    broken: &'a [String],
    lib: &'a [String],
    /// Who calls whom on the way to the playbook that is being joined.
    way: Vec<String>,
    /// Those that are done; nothing where one cannot be used.
    done: BTreeMap<String, Option<Arc<Playbook>>>,
    problems: Vec<Problem>,
}

impl Around {
    /// As a run keeps it.
    pub(super) fn text(&self) -> Arc<str> {
        if self.lib.is_empty() && self.playbooks.is_empty() {
            return Arc::from("{}");
        }
        // Texts and lists of them can always be written.
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

impl<'a> Linking<'a> {
    pub(super) fn new(drafts: Vec<Draft>, broken: &'a [String], lib: &'a [String]) -> Self {
        let drafts = drafts.into_iter().map(|draft| (draft.playbook.name.clone(), draft)).collect();
        Self { drafts, broken, lib, way: Vec::new(), done: BTreeMap::new(), problems: Vec::new() }
    }

    /// All playbooks that can be used, in the order of their names, and what is wrong with the calls of the others.
    pub(super) fn finish(mut self) -> (Vec<Arc<Playbook>>, Vec<Problem>) {
        let names: Vec<String> = self.drafts.keys().cloned().collect();
        for name in names {
            drop(self.link(&name));
        }
        (self.done.into_values().flatten().collect(), self.problems)
    }

    fn link(&mut self, name: &str) -> Option<Arc<Playbook>> {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let Draft { mut playbook, warnings, calls, .. } = self.drafts.remove(name)?;
        self.problems.extend(warnings);
        self.way.push(name.to_owned());
        let mut is_sound = true;
        for call in &calls {
            match self.callee(call) {
                Some(called) => drop(playbook.called.insert(call.playbook.clone(), called)),
                None => is_sound = false,
            }
        }
        drop(self.way.pop());
        let linked = is_sound.then(|| {
            self.warn_of_catching_all(&playbook);
            freeze(&mut playbook, self.lib);
            Arc::new(playbook)
        });
        drop(self.done.insert(name.to_owned(), linked.clone()));
        linked
    }

    /// The playbook that a step calls, if it can be called so.
    fn callee(&mut self, call: &CallSite) -> Option<Arc<Playbook>> {
        let name = call.playbook.as_str();
        if let Some(at) = self.way.iter().position(|it| it == name) {
            let circle: Vec<&str> = self.way.iter().skip(at).map(String::as_str).chain([name]).collect();
            let message = format!("a call of `{name}` would never end: {}", circle.join(" calls "));
            return self.refuse(&call.place, message, None);
        }
        let is_there = self.drafts.contains_key(name) || self.done.contains_key(name);
        if !is_there && self.broken.iter().any(|it| it == name) {
            return self.refuse(&call.place, format!("the playbook `{name}` cannot be used itself"), None);
        }
        if !is_there {
            let known: Vec<&str> = self.drafts.keys().chain(self.done.keys()).map(String::as_str).collect();
            let help = did_you_mean(name, known);
            return self.refuse(&call.place, format!("there is no playbook `{name}`"), help);
        }
        let Some(called) = self.link(name) else {
            return self.refuse(&call.place, format!("the playbook `{name}` cannot be used itself"), None);
        };
        if !matches!(called.trigger, Trigger::Manual) {
            let help = "a playbook that others call has `trigger: {manual: {inputs: …}}`".to_owned();
            return self.refuse(&call.place, format!("the playbook `{name}` is not made to be called"), Some(help));
        }
        let before = self.problems.len();
        self.check_inputs(call, &called);
        (self.problems.len() == before).then_some(called)
    }

    fn check_inputs(&mut self, call: &CallSite, called: &Playbook) {
        let names: Vec<&str> = called.inputs.iter().map(|input| input.name.as_str()).collect();
        for GivenInput { name, places: [at_name, at_value], constant } in &call.inputs {
            let Some(input) = called.inputs.iter().find(|input| input.name == *name) else {
                let takes = if names.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", listed(&names)) };
                let help = did_you_mean(name, names.iter().copied()).unwrap_or(takes);
                drop(self.refuse(at_name, format!("the playbook `{}` has no input `{name}`", called.name), Some(help)));
                continue;
            };
            if let Some(value) = constant.as_ref().filter(|value| !input.kind.fits(value)) {
                let shown: String = value.to_string().chars().take(60).collect();
                drop(self.refuse(at_value, format!("the input `{name}` is {}, and this is `{shown}`", input.kind.words()), None));
            }
        }
        for input in called.inputs.iter().filter(|input| input.default.is_none()) {
            if !call.inputs.iter().any(|given| given.name == input.name) {
                let message = format!("the playbook `{}` needs the input `{}`", called.name, input.name);
                drop(self.refuse(&call.place, message, None));
            }
        }
    }

    fn refuse(&mut self, place: &Place, message: String, help: Option<String>) -> Option<Arc<Playbook>> {
        let problem = Problem::error(codes::CALL, message, place.clone());
        self.problems.push(Problem { help, ..problem });
        None
    }

    /// A playbook that calls a destructive one does what that does.
    fn warn_of_catching_all(&mut self, playbook: &Playbook) {
        let catches_all = playbook.trigger.alert().is_some_and(super::AlertTrigger::catches_all);
        let own = destructive(playbook);
        let called = playbook.called.values().find_map(|called| Some((&called.name, destructive_at_all(called)?)));
        if let (true, None, Some((name, action))) = (catches_all, own, called) {
            let start = playbook.text.find("trigger").unwrap_or_default();
            let place = Place::in_text(&playbook.path, &playbook.text, start..start + "trigger".len());
            let message = format!("every alert triggers this playbook, which uses `{action}` through `{name}`");
            self.problems.push(Problem::warning(codes::CATCHES_ALL, message, place));
        }
    }
}

fn destructive(playbook: &Playbook) -> Option<&'static str> {
    playbook.every_step().into_iter().find_map(|step: &Step| match &step.body {
        Body::Action { entry, .. } if entry.destructive => Some(entry.name),
        _ => None,
    })
}

fn destructive_at_all(playbook: &Playbook) -> Option<&'static str> {
    destructive(playbook).or_else(|| playbook.called.values().find_map(|called| destructive_at_all(called)))
}

/// Notes what the playbook leans on. Its hash then stands for all of it.
fn freeze(playbook: &mut Playbook, lib: &[String]) {
    let mut around = Around { lib: lib.to_vec(), playbooks: BTreeMap::new() };
    gather(playbook, &mut around.playbooks);
    playbook.around = around.text();
    if &*playbook.around != "{}" {
        playbook.hash = sha256(&format!("{}{}", playbook.text, playbook.around));
    }
}

fn gather(playbook: &Playbook, texts: &mut BTreeMap<String, String>) {
    for (name, called) in &playbook.called {
        if texts.insert(name.clone(), called.text.to_string()).is_none() {
            gather(called, texts);
        }
    }
}
