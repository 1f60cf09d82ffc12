//! Checks playbooks against what the site permits, which is known only to whoever has read the settings.

use std::{path::Path, time::Duration};

use super::{
    Body, Library, OwnLimit, Playbook, Step, codes,
    node::{self, Kind, Node},
    reader::place_in,
};
use crate::{
    actions::Pattern,
    problem::{Place, Problem},
    run::Mode,
};

impl Library {
    /// Warns of tables that neither the folder reads nor the other expressions of the site. Nothing can be said while a playbook cannot be read.
    pub fn check_tables<'e>(&mut self, others: impl IntoIterator<Item = &'e str>) {
        let Some(mut lookups) = self.lookups.clone() else { return };
        others.into_iter().for_each(|text| lookups.add(text));
        for (name, path) in self.tables.iter().filter(|(name, _)| !lookups.may_read(name)) {
            let help = format!("read it with `lookup(\"{name}\", key)`, or take the file away");
            let problem = Problem::warning(codes::UNUSED_TABLE, format!("nothing reads the table `{name}`"), Place::file(path));
            self.problems.push(problem.help(help));
        }
    }

    /// Warns of steps that tell people through a channel that the settings do not have. Only names that are written out can be judged.
    pub fn check_channels(&mut self, check: impl Fn(&str) -> Result<(), String>) {
        for playbook in &self.playbooks {
            for step in playbook.every_step() {
                for (channel, why) in channels(step).into_iter().filter_map(|channel| Some((channel, check(channel).err()?))) {
                    let message = format!("step `{}` cannot tell anybody: {why}", step.id);
                    let place = place_in_step(playbook, &step.id, &CHANNELS, &|text| text == channel);
                    self.problems.push(Problem::warning(codes::UNKNOWN_CHANNEL, message, place));
                }
            }
        }
    }

    /// Warns of steps that work inside customers' tenants through a connection that may not; `check` says so of a connection, or of those that
    /// are chosen from where a step names none. Only names that are written out can be judged.
    pub fn check_connections(&mut self, check: impl Fn(Option<&str>) -> Result<(), String>) {
        for playbook in &self.playbooks {
            for step in playbook.every_step() {
                let Body::Action { entry, with } = &step.body else { continue };
                if !entry.enters_tenant {
                    continue;
                }
                let connection = with.constant_text("connection");
                let Err(why) = check(connection) else { continue };
                let message = format!("step `{}` can never use `{}`: {why}", step.id, entry.name);
                let place = place_in_step(playbook, &step.id, &[&["with"]], &|text| Some(text) == connection);
                let help = "set the connection's `customer_access` to `application` or `person`, or contain through Partner Center alone";
                self.problems.push(Problem::warning(codes::NO_ACCESS, message, place).help(help));
            }
        }
    }

    /// Warns of destructive steps that the site permits and that neither people nor limits hold back, and of playbooks whose own limits are looser than the site's.
    /// `allowed` says whether the site permits an action without approval; its limits are how often an action may be done within which time.
    pub fn check_guardrails(&mut self, allowed: impl Fn(&str) -> bool, site_limits: &[(Pattern, u32, Duration)]) {
        for playbook in &self.playbooks {
            // One that does not act is watched first, and its author is not yet done.
            if playbook.mode == Mode::Enforce {
                self.problems.extend(unguarded(playbook, &allowed, site_limits));
            }
            self.problems.extend(playbook.guardrails.iter().filter_map(|own| looser(playbook, own, site_limits)));
        }
    }
}

/// Where channels stand in a step.
const CHANNELS: [&[&str]; 2] = [&["with", "channels"], &["approval", "channels"]];

/// Where a step holds such a text, below one of those keys inside of others.
pub(super) fn place_in_step(playbook: &Playbook, id: &str, below: &[&[&str]], is_it: &impl Fn(&str) -> bool) -> Place {
    // It was read before, so only a mistake of ours leads to the beginning of the file.
    let place = node::parse(&playbook.text).ok().and_then(|root| {
        let step = step_of(&root, id)?;
        let parts = below.iter().filter_map(|keys| keys.iter().try_fold(step, |part, key| part.entry(key)));
        let inside = parts.into_iter().find_map(|part| text_in(part, is_it));
        Some(inside.unwrap_or(step).place())
    });
    place_in(&playbook.path, &playbook.text, &place.unwrap_or_default())
}

/// The step of that id below a node. What a step is given may have an `id` of its own, and is no step.
fn step_of<'n>(node: &'n Node, id: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::Map(_) if node.entry("id").and_then(Node::as_text) == Some(id) => Some(node),
        Kind::Map(entries) => {
            let is_given = |name: &str| matches!(name, "with" | "inputs" | "vars" | "output");
            entries.iter().filter(|(key, _)| !is_given(&key.name)).find_map(|(_, value)| step_of(value, id))
        }
        Kind::List(items) => items.iter().find_map(|item| step_of(item, id)),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => None,
    }
}

fn text_in<'n>(node: &'n Node, is_it: &impl Fn(&str) -> bool) -> Option<&'n Node> {
    match &node.kind {
        Kind::Text(text) => is_it(text).then_some(node),
        Kind::Map(entries) => entries.iter().find_map(|(_, value)| text_in(value, is_it)),
        Kind::List(items) => items.iter().find_map(|item| text_in(item, is_it)),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => None,
    }
}

/// The channels that a step names in plain words.
fn channels(step: &Step) -> Vec<&str> {
    match &step.body {
        Body::Action { entry, with } if entry.name == "notify" => with.constant_texts("channels"),
        Body::Approval(approval) => approval.channels.constant_items(),
        Body::Action { .. }
        | Body::Stop { .. }
        | Body::Switch { .. }
        | Body::Foreach { .. }
        | Body::Parallel { .. }
        | Body::Script(_)
        | Body::Wait(_)
        | Body::Call { .. } => Vec::new(),
    }
}

fn unguarded(playbook: &Playbook, allowed: impl Fn(&str) -> bool, site_limits: &[(Pattern, u32, Duration)]) -> Vec<Problem> {
    let steps = playbook.every_step();
    let is_asked = |id: &str| {
        steps
            .iter()
            .any(|step| if let Body::Approval(approval) = &step.body { approval.for_steps.iter().any(|it| it == id) } else { false })
    };
    let problem = |step: &&Step| {
        let Body::Action { entry, .. } = &step.body else { return None };
        let own = playbook.guardrails.iter().map(|limit| &limit.action);
        let is_limited = own.chain(site_limits.iter().map(|(action, ..)| action)).any(|action| action.covers(entry.name));
        // What the site does not permit without approval is held back by that.
        if !entry.destructive || is_limited || is_asked(&step.id) || !allowed(entry.name) {
            return None;
        }
        let message = format!("the step `{}` uses `{}`, and neither an approval nor a guardrail is before it", step.id, entry.name);
        let help = "ask people with an `approval` step for it, or limit it under `guardrails`";
        Some(Problem::warning(codes::UNGUARDED, message, place_of_id(&playbook.path, &playbook.text, &step.id)).help(help))
    };
    steps.iter().filter_map(problem).collect()
}

fn looser(playbook: &Playbook, own: &OwnLimit, site_limits: &[(Pattern, u32, Duration)]) -> Option<Problem> {
    let rate = |max: u32, other: Duration| u128::from(max) * other.as_millis();
    let covers_same = |pattern: &Pattern| own.action.covered().any(|action| pattern.covers(action));
    let (pattern, max, _) =
        site_limits.iter().find(|(pattern, max, per)| covers_same(pattern) && rate(own.max, *per) > rate(*max, own.per))?;
    let message = format!("the limit for `{}` is looser than the site's, which is {max} for `{}`", own.action.text(), pattern.text());
    let help = "the site's limit holds in any case; write one that is no larger, or leave it out";
    let start = playbook.text.find("guardrails").unwrap_or_default();
    let inside = playbook.text.get(start..)?.find(own.action.text()).unwrap_or_default();
    let span = start + inside..start + inside + own.action.text().len();
    Some(Problem::warning(codes::LOOSER, message, place_in(&playbook.path, &playbook.text, &span)).help(help))
}

/// Where the id of a step is written.
fn place_of_id(path: &Path, text: &str, id: &str) -> Place {
    let is_whole = |at: usize| {
        let is_end = |c: char| !c.is_alphanumeric() && c != '_';
        let before = text.get(..at).unwrap_or_default().trim_end_matches(['"', '\'']).trim_end();
        before.ends_with("id:") && text.get(at + id.len()..).is_some_and(|rest| rest.starts_with(is_end))
    };
    let start = text.match_indices(id).map(|(at, _)| at).find(|at| is_whole(*at)).unwrap_or_default();
    place_in(path, text, &(start..start + id.len()))
}
