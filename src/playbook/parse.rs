//! From the text of a playbook to a playbook, or to the list of what is wrong with it.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    Playbook,
    arguments::Arguments,
    codes,
    node::{self, Node},
    outline::Outline,
    reader::{CallSite, Fields, Reader},
    reading::{self, Rates, Triggered, check_identifier},
    step::{Body, Step},
    trigger::{AlertTrigger, Trigger},
    visible::Visible,
};
use crate::{
    digest::sha256,
    expression::{Lookups, Sandbox},
    problem::{Problem, Severity},
    run::Mode,
};

/// Half a shift: what has not ended by then should be looked at by the people who are still there.
const TIMEOUT: Duration = Duration::from_hours(6);

/// Long enough for work that waits over a holiday.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24 * 30);

const KEYS: &[&str] = &[
    "playbook",
    "description",
    "owner",
    "mode",
    "trigger",
    "dedup",
    "group",
    "throttle",
    "threshold",
    "concurrency",
    "guardrails",
    "timeout",
    "vars",
    "steps",
    "on_error",
    "output",
];

/// A playbook whose calls are not linked yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) playbook: Playbook,
    pub(super) warnings: Vec<Problem>,
    pub(super) calls: Vec<CallSite>,
    /// The tables that its expressions read.
    pub(super) lookups: Lookups,
}

/// What a playbook may be called, for a sentence.
pub const NAMES: &str = "a playbook's name has small letters, digits and `-`, and at most 64 of them";

impl Playbook {
    /// Whether a playbook may be called so; [`NAMES`] says which names there are.
    pub fn is_name(name: &str) -> bool {
        (1..=64).contains(&name.len()) && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
    }

    /// Reads a playbook by itself: what it calls is not looked for. With it come warnings.
    ///
    /// # Errors
    /// Everything that is wrong with the text, warnings included, in the order of the file.
    pub fn parse(sandbox: &Sandbox, path: &Path, text: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        draft(sandbox, path, text).map(|draft| (draft.playbook, draft.warnings))
    }
}

/// Reads a playbook, and notes what it calls.
pub(super) fn draft(sandbox: &Sandbox, path: &Path, text: &str) -> Result<Draft, Vec<Problem>> {
    let mut reader = Reader::new(sandbox, path, text);
    let playbook = match node::parse(text) {
        Ok(node) => read(&mut reader, &node, path, text),
        Err(broken) => {
            reader.report(codes::YAML, &broken.span, broken.message);
            None
        }
    };
    let (problems, calls, lookups) = reader.into_parts();
    let is_sound = problems.iter().all(|it| it.severity == Severity::Warning);
    match playbook {
        Some(playbook) if is_sound => Ok(Draft { playbook, warnings: problems, calls, lookups }),
        Some(_) | None => Err(problems),
    }
}

fn read(reader: &mut Reader<'_>, root: &Node, path: &Path, text: &str) -> Option<Playbook> {
    let fields = reader.fields(root, "a playbook", KEYS)?;
    let name = fields.require(reader, "playbook", "the file").and_then(|it| read_name(reader, it));
    let description = fields.get("description").and_then(|it| reader.text(it, "`description`")).unwrap_or_default().to_owned();
    let owner = fields.get("owner").and_then(|it| reader.text(it, "`owner`")).unwrap_or_default().to_owned();
    let modes: Vec<(&str, Mode)> = Mode::ALL.iter().map(|it| (it.as_str(), *it)).collect();
    // A playbook acts only where its author wrote so.
    let mode = fields.get("mode").and_then(|it| reader.word(it, "`mode`", &modes)).unwrap_or(Mode::Shadow);
    let triggered = fields.require(reader, "trigger", "the playbook").and_then(|it| reading::trigger(reader, it));
    let given = given(&fields, triggered.as_ref());
    let rates = Rates::read(reader, &fields, &given);
    let timeout = fields.get("timeout").and_then(|it| reader.some_time(it, "`timeout`", LONGEST_TIMEOUT)).unwrap_or(TIMEOUT);
    let vars = fields.get("vars").map(|it| read_vars(reader, it, &given)).unwrap_or_default();
    let known = vars.iter().map(|(name, _)| name.clone()).collect();
    let Work { steps, on_error, output } = read_work(reader, &fields, Visible { vars: known, ..given });
    let (name, Triggered { trigger, inputs }) = (name?, triggered?);
    if let Trigger::Alert(trigger) = &trigger {
        warn_of_catching_all(reader, &fields, trigger, &steps);
    }
    Some(Playbook {
        name,
        description,
        owner,
        mode,
        trigger,
        dedup: rates.dedup,
        group: rates.group,
        throttle: rates.throttle,
        threshold: rates.threshold,
        concurrency: rates.concurrency,
        guardrails: rates.guardrails,
        inputs,
        output,
        called: BTreeMap::new(),
        around: Arc::from("{}"),
        timeout,
        vars,
        steps,
        on_error,
        text: Arc::from(text),
        hash: sha256(text),
        path: path.into(),
    })
}

fn read_name(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.text(node, "`playbook`")?;
    if Playbook::is_name(name) {
        return Some(name.to_owned());
    }
    reader.report_with_help(codes::NAME, &node.span, format!("`{name}` cannot be a playbook's name"), Some(NAMES.to_owned()));
    None
}

/// What a run is begun with: the alert, or inputs. A trigger that is broken may have been meant for alerts.
fn given(fields: &Fields<'_>, triggered: Option<&Triggered>) -> Visible {
    match triggered {
        Some(Triggered { trigger: Trigger::Schedule(_) | Trigger::Manual, inputs }) => {
            Visible { inputs: inputs.iter().map(|input| input.name.clone()).collect(), ..Visible::of(&["inputs"]) }
        }
        Some(Triggered { trigger: Trigger::Alert(_), .. }) | None => {
            let is_meant = |kind: &str| fields.get("trigger").is_some_and(|it| it.entry(kind).is_some());
            if is_meant("alert") || !(is_meant("schedule") || is_meant("manual")) {
                Visible::of(&["alert"])
            } else {
                Visible::of(&["inputs"])
            }
        }
    }
}

fn read_vars(reader: &mut Reader<'_>, node: &Node, given: &Visible) -> Vec<(String, Arguments)> {
    let mut visible = given.with("vars");
    let mut vars = Vec::new();
    for (key, value) in reader.entries(node, "`vars`").unwrap_or_default() {
        check_identifier(reader, &key.name, &key.span, "a variable's name");
        let arguments = Arguments::read(reader, value, &visible);
        visible.vars.push(key.name.clone());
        // One that is broken was reported; that others read it is no further problem.
        vars.push((key.name.clone(), arguments.unwrap_or_else(Arguments::none)));
    }
    vars
}

struct Work {
    steps: Vec<Step>,
    on_error: Vec<Step>,
    output: Option<Arguments>,
}

/// The steps, those under `on_error`, and what is given back.
fn read_work(reader: &mut Reader<'_>, fields: &Fields<'_>, given: Visible) -> Work {
    let nodes = fields.require(reader, "steps", "the playbook").and_then(|it| {
        let items = reader.list(it, "`steps`")?;
        if items.is_empty() {
            reader.report(codes::MISSING_KEY, &it.place(), "the playbook has no steps");
        }
        Some(items)
    });
    let nodes = nodes.unwrap_or_default();
    let after = fields.get("on_error").and_then(|it| reader.list(it, "`on_error` of a playbook")).unwrap_or_default();
    let outline = Arc::new(Outline::of(reader, nodes, after));
    let mut visible = Visible { outline: Arc::clone(&outline), ..given };
    visible.names.extend(["vars", "steps", "run"].map(ToOwned::to_owned));
    if fields.get("group").is_some() && visible.names.iter().any(|name| name == "alert") {
        visible.names.push("alerts".to_owned());
    }
    let mut inside = visible.clone();
    let steps = reading::sequence(reader, nodes, &mut inside);
    // Any of the steps may have been the one that failed.
    let mut failed = Visible { steps: inside.steps, ..visible.with("error") };
    failed.doubt_all();
    let on_error = reading::sequence(reader, after, &mut failed);
    visible.see(outline.seen_at_the_end());
    let output = fields.get("output").and_then(|it| Arguments::read(reader, it, &visible));
    Work { steps, on_error, output }
}

fn warn_of_catching_all(reader: &mut Reader<'_>, fields: &Fields<'_>, trigger: &AlertTrigger, steps: &[Step]) {
    let destructive = steps.iter().flat_map(Step::and_inner).find_map(|step| match &step.body {
        Body::Action { entry, .. } if entry.destructive => Some(entry.name),
        _ => None,
    });
    if let (Some(action), true, Some(key)) = (destructive, trigger.catches_all(), fields.key("trigger")) {
        reader.warn(codes::CATCHES_ALL, &key.span, format!("every alert triggers this playbook, which uses `{action}`"));
    }
}
